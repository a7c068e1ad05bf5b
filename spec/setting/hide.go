package setting

import (
	"maps"
	"slices"
	"strings"
)

// hidden stands in the place of a value that plans do not tell.
const hidden = "•••"

// hiddenChanged is that of one that differs from the value on the other side.
const hiddenChanged = hidden + " (changed)"

// Shown are the values of the change as an author would write them, for whoever looks at a plan; nil where there is
// none. Proxmox itself shows the environment of a container only to those who may change it (VM.Config.Options), so
// that of variables the names are told alone, and which of them change.
func (c Change) Shown() (old, new any) {
	a, b := encodeSide(c.Row, c.Old), encodeSide(c.Row, c.New)
	return hide(a, b), hide(b, a)
}

func encodeSide(r Row, v any) any {
	if v == nil {
		return nil
	}
	if fam, ok := r.(*Family); ok {
		if member, ok := v.(Record); ok {
			return fam.Member.Encode(member)
		}
	}
	if vars, ok := v.(map[string]string); ok {
		return vars
	}
	if lines, ok := v.([]string); ok && r.SpecPath() == Raw.Path {
		shown := make([]string, len(lines))
		for i, line := range lines {
			shown[i] = hideRaw(line)
		}
		return r.EncodeSpec(shown)
	}
	return r.EncodeSpec(v)
}

// hide replaces the values of variables.
func hide(v, other any) any {
	vars, ok := v.(map[string]string)
	if !ok {
		return v
	}
	there, _ := other.(map[string]string)
	out := make(map[string]any, len(vars))
	for name, value := range vars {
		out[name] = hidden
		if o, both := there[name]; both && o != value {
			out[name] = hiddenChanged
		}
	}
	return out
}

// variablesText says how two environments differ, by the names of their variables.
func variablesText(old, new map[string]string) string {
	all := maps.Clone(old)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, new)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a, was := old[name]
		b, is := new[name]
		switch {
		case !was:
			parts = append(parts, name+" added")
		case !is:
			parts = append(parts, name+" removed")
		case a != b:
			parts = append(parts, name+" changed")
		}
	}
	return strings.Join(parts, ", ")
}
