package setting

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// List is a list of texts: authors write a YAML list, or one text for a list of one. Proxmox's text is
// split and joined by the given functions; check accepts an element.
func List(name string, split func(string) []string, sep string, check func(string) error) Type[[]string] {
	element := Text(name, check)
	return Type[[]string]{
		Name: "list of: " + name,
		Decode: func(in any, at Path, report Report) ([]string, bool) {
			if s, ok := in.(string); ok {
				in = []any{s}
			}
			items, ok := in.([]any)
			if !ok {
				report(at, fmt.Errorf("%s is not a list: write [a, b] with each element a %s", kindOf(in), name))
				return nil, false
			}
			out, good := make([]string, 0, len(items)), true
			for i, item := range items {
				s, ok := element.Decode(item, at.Join(fmt.Sprint(i)), report)
				good = good && ok
				out = append(out, s)
			}
			return out, good
		},
		Encode: func(v []string) any {
			out := make([]any, len(v))
			for i, s := range v {
				out[i] = s
			}
			return out
		},
		Parse:  func(s string) ([]string, error) { return split(s), nil },
		Format: func(v []string) string { return strings.Join(v, sep) },
		Text: func(v []string) string {
			if len(v) == 0 {
				return "none"
			}
			return strings.Join(v, ", ")
		},
		Equal: slices.Equal[[]string],
		Schema: Schema{"anyOf": []any{
			element.Schema, Schema{"type": "array", "items": element.Schema},
		}},
	}
}

// Unordered compares lists as sets.
func Unordered(t Type[[]string]) Type[[]string] {
	t.Equal = func(a, b []string) bool {
		return slices.Equal(slices.Compact(slices.Sorted(slices.Values(a))), slices.Compact(slices.Sorted(slices.Values(b))))
	}
	return t
}

// semicolons splits lists inside property strings, where a comma would end the value.
func semicolons(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ";"), func(e string) bool { return e == "" })
}

// Dictionary is a mapping of names to texts, of which some are secret: plans and errors tell the names and no
// value. On Proxmox's side it is a list of NAME=VALUE, each ended by sep; the order of names is the alphabet's.
func Dictionary(name, sep string, checkName, checkValue func(string) error) Type[map[string]string] {
	key, value := Text("name", checkName), Text(name, checkValue)
	return Type[map[string]string]{
		Name: "mapping of names to " + name,
		Decode: func(in any, at Path, report Report) (map[string]string, bool) {
			items, ok := in.(map[string]any)
			if !ok {
				report(at, fmt.Errorf("%s is not a mapping: write NAME: \"value\" on a line each", kindOf(in)))
				return nil, false
			}
			out, good := make(map[string]string, len(items)), true
			for _, k := range slices.Sorted(maps.Keys(items)) {
				_, okName := key.Decode(k, at.Join(k), report)
				v, okValue := value.Decode(items[k], at.Join(k), report)
				good = good && okName && okValue
				out[k] = v
			}
			return out, good
		},
		Encode: func(v map[string]string) any {
			out := make(map[string]any, len(v))
			for k, s := range v {
				out[k] = s
			}
			return out
		},
		Parse: func(s string) (map[string]string, error) {
			out := map[string]string{}
			for i, part := range strings.Split(s, sep) {
				if k, v, found := strings.Cut(part, "="); found {
					out[k] = v
				} else if part != "" {
					return nil, fmt.Errorf("entry %d is not of the form NAME=VALUE", i+1)
				}
			}
			return out, nil
		},
		Format: func(v map[string]string) string {
			parts := make([]string, 0, len(v))
			for _, k := range slices.Sorted(maps.Keys(v)) {
				parts = append(parts, k+"="+v[k])
			}
			return strings.Join(parts, sep)
		},
		Text:   names,
		Equal:  maps.Equal[map[string]string, map[string]string],
		Schema: Schema{"type": "object", "additionalProperties": value.Schema},
	}
}

// names is what plans show of a dictionary.
func names(v map[string]string) string { return strings.Join(slices.Sorted(maps.Keys(v)), ", ") }
