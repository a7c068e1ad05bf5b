package spec

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

// ErrLater is the fault of what the format knows and this version of tend does not act on. It is neither
// taken silently, which would promise what is not done, nor called unknown.
var ErrLater = errors.New("is part of the format, but this version of tend does not act on it yet: remove it")

// A LaterField is such a part of the format, by its path; * stands for a name. Where Value is set, only
// that value is meant.
type LaterField struct{ Path, Value string }

// LaterInDocument and LaterInContainer are all there are, of a document and of a container or layer.
var (
	LaterInDocument  = []LaterField{}
	LaterInContainer = []LaterField{
		{Path: "init.password.age"},
	}
)

// TakeLater takes the listed fields out of a decoded mapping, so that the rest can be read, and reports each.
func TakeLater(in any, fields []LaterField, at setting.Path, report setting.Report) {
	for _, f := range fields {
		take(in, strings.Split(f.Path, "."), f.Value, at, report)
	}
}

func take(in any, path []string, value string, at setting.Path, report setting.Report) {
	m, ok := in.(map[string]any)
	if !ok {
		return
	}
	names := []string{path[0]}
	if path[0] == "*" {
		names = slices.Sorted(maps.Keys(m))
	}
	for _, name := range names {
		v, ok := m[name]
		switch {
		case !ok:
		case len(path) > 1:
			take(v, path[1:], value, at.Join(name), report)
		case value == "" || v == value:
			delete(m, name)
			report(at.Join(name), ErrLater)
		}
	}
}

// IsLater reports whether a path of the document, with names or * for names, leads to such a field or below.
func IsLater(path setting.Path) bool {
	in := func(fields []LaterField, path setting.Path) bool {
		return slices.ContainsFunc(fields, func(f LaterField) bool {
			want := strings.Split(f.Path, ".")
			return f.Value == "" && len(want) <= len(path) && slices.EqualFunc(want, path[:len(want)], func(a, b string) bool {
				return a == b || a == "*"
			})
		})
	}
	switch {
	case len(path) > 1 && path[0] == Defaults.Path:
		return in(LaterInContainer, path[1:])
	case len(path) > 2 && (path[0] == Containers.Path || path[0] == Profiles.Path):
		return in(LaterInContainer, path[2:])
	}
	return in(LaterInDocument, path)
}
