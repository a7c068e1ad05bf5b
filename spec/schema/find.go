package schema

import (
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// Find returns the field with a path, or nil. The path may have the names of members or leave them out, end in the
// place of an element of a list, and leave out "containers" and a container's name.
func (f *Field) Find(path string) *Field {
	if found := f.find(path); found != nil || f.Path != "" {
		return found
	}
	return f.find(spec.Containers.Path).below(path)
}

// below finds a path among the field's children alone.
func (f *Field) below(path string) *Field {
	bare := *f
	bare.Path, bare.Name = "", "" // so that it takes no name before
	return bare.find(path)
}

func (f *Field) find(path string) *Field {
	if path == "" {
		return f
	}
	for _, c := range f.Children {
		if path == c.Name {
			return c
		}
		if rest, ok := strings.CutPrefix(path, c.Name+"."); ok {
			if found := c.find(rest); found != nil {
				return found
			}
		}
	}
	if f.named() {
		return f.member(path)
	}
	if f.elements(path) {
		return f
	}
	return nil
}

// named reports whether the field's members have names that an author gives them.
func (f *Field) named() bool {
	_, isFamily := setting.Container.Row(f.Name).(*setting.Family)
	return isFamily || slices.Contains([]string{
		spec.Profiles.Path, spec.Containers.Path, spec.Templates.Path, spec.BackupJobs.Path, spec.SnapshotPolicies.Path,
	}, f.Path)
}

// member finds what stands below a member. Its name may have dots, as those of mounts do.
func (f *Field) member(path string) *Field {
	for i := range path {
		if path[i] != '.' || path[i+1:] == "" {
			continue
		}
		if found := f.below(path[i+1:]); found != nil {
			return found
		}
	}
	var fields []string
	for _, c := range f.Children {
		fields = append(fields, c.Name)
	}
	isName := strings.HasPrefix(path, "/") || !strings.Contains(path, ".")
	if !isName || setting.Nearest(path, fields) != "" { // a field that was misspelled is more likely than a member
		return nil
	}
	return f
}

// elements reports whether a path leads to an element of a list, or of a mapping without fields of its own.
func (f *Field) elements(path string) bool {
	if len(f.Children) > 0 {
		return false
	}
	_, err := strconv.Atoi(path)
	return strings.HasPrefix(f.Type, "list") && err == nil || strings.HasPrefix(f.Type, "mapping of names")
}
