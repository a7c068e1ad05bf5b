package setting

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// Raw are the lines for LXC itself. Proxmox has no call for them, not even for root: they stand in the
// configuration file of the container and nowhere else (pve-container LXC/Config.pm, json_config_properties).
var Raw = Key[[]string]{
	Path: "lxc", PVE: "lxc", Label: "raw LXC line", OnEdit: afterStop[[]string], Absent: new([]string(nil)),
	Type: rawLines(),
	Doc: "Lines for LXC itself, in their order, each a key and its value. Reading them costs a request of its own: they are " +
		"compared where the container has any in the spec, or mounts with keepSnapshots, and otherwise on nodes where tend " +
		"may act as root alone. What an OCI image has brought is kept where the spec has none.",
	Example: `[{lxc.mount.entry: "/srv/media media none bind,ro,create=dir 0 0"}]`,
	MayEdit: func(_, _ *[]string, _ Facts) Access {
		return Access{
			Root: true, Reason: "raw LXC lines are written into the configuration file on the node, there is no call for them",
			Refusal: "property is not defined in schema and the schema does not allow additional properties",
		}
	},
	Lane: "root",
}

// rawLines is a list of mappings with one key each; Proxmox's text is a line "key: value" each.
func rawLines() Type[[]string] {
	return Type[[]string]{
		Name: "list of lines, each a mapping of an lxc.* key to its value",
		Decode: func(in any, at Path, report Report) ([]string, bool) {
			items, ok := in.([]any)
			if !ok {
				report(at, fmt.Errorf("%s is not a list: write each line as - lxc.key: value", kindOf(in)))
				return nil, false
			}
			out, good := []string{}, true
			for i, item := range items {
				line, err := rawLine(item)
				if err != nil {
					report(at.Join(fmt.Sprint(i)), err)
					good = false
				}
				out = append(out, line)
			}
			return out, good
		},
		Encode: func(v []string) any {
			out := make([]any, len(v))
			for i, line := range v {
				key, value, _ := strings.Cut(line, ": ")
				out[i] = map[string]any{key: value}
			}
			return out
		},
		Parse:  func(s string) ([]string, error) { return Lines(s), nil },
		Format: func(v []string) string { return strings.Join(v, "\n") },
		Text: func(v []string) string {
			if len(v) == 0 {
				return "none"
			}
			shown := make([]string, len(v))
			for i, line := range v {
				shown[i] = hideRaw(line)
			}
			return strings.Join(shown, "; ")
		},
		Equal: slices.Equal[[]string],
		Schema: Schema{"type": "array", "items": Schema{
			"type": "object", "minProperties": 1, "maxProperties": 1,
			"propertyNames": Schema{"pattern": `^lxc(\.[-a-z0-9_]+)+$`}, "additionalProperties": Schema{"type": "string"},
		}},
	}
}

func rawLine(item any) (string, error) {
	m, ok := item.(map[string]any)
	if !ok || len(m) != 1 {
		return "", errors.New("is not one key and its value: write - lxc.key: value")
	}
	key := slices.Collect(maps.Keys(m))[0]
	value, ok := m[key].(string)
	if !ok {
		return "", fmt.Errorf("%s has %s as its value: put it in quotes", key, kindOf(m[key]))
	}
	line := proxmox.RawLine{Key: key, Value: value}
	return line.String(), line.Check()
}

// hideRaw hides what may be secret in a raw line: the value of a variable of the environment.
func hideRaw(line string) string {
	if key, value, _ := strings.Cut(line, ": "); key == "lxc.environment" || strings.HasPrefix(key, "lxc.environment.") {
		name, _, _ := strings.Cut(value, "=")
		return key + ": " + name + "=" + hidden
	}
	return line
}
