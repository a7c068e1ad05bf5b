package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/felhom/tend/spec"
)

// JSON is the JSON Schema (draft 2020-12) of a file of a spec, for editors. It accepts all that loading
// accepts; rules across settings and containers are beyond it.
func JSON() ([]byte, error) {
	raw, err := json.Marshal(spec.Document.Schema())
	if err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	var root map[string]any
	if err := json.Unmarshal(raw, &root); err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	// What a container requires may stand in a lower layer, but for its id.
	for _, head := range []string{spec.Defaults.Path, spec.Profiles.Path, spec.Containers.Path} {
		dropRequired(property(root, head))
	}
	containers := property(root, spec.Containers.Path)
	container, _ := containers["additionalProperties"].(map[string]any)
	container["required"] = []string{spec.ID.Path}
	container["type"] = "object"
	for _, c := range Root().Children {
		decorate(root, c)
	}
	dropLater(root)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "tend spec"
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	return out.Bytes(), nil
}

// property returns the schema of a property, in a mapping or in the members of one; nil where there is none.
func property(s map[string]any, name string) map[string]any {
	if members, ok := s["additionalProperties"].(map[string]any); ok {
		s = members
	}
	properties, _ := s["properties"].(map[string]any)
	out, _ := properties[name].(map[string]any)
	return out
}

func dropRequired(s map[string]any) {
	delete(s, "required")
	for _, v := range s {
		if sub, ok := v.(map[string]any); ok {
			dropRequired(sub)
		}
	}
}

// decorate adds the rules of a change to the descriptions, which editors show.
func decorate(parent map[string]any, f *Field) {
	s := property(parent, f.Name)
	if s == nil {
		return
	}
	if d, ok := s["description"].(string); ok && f.Setting {
		s["description"] = d + " Changing it on a running container: " + f.Running + ". By: " + f.Lane + "."
	}
	for _, c := range f.Children {
		decorate(s, c)
	}
}

// dropLater takes out what this version does not act on.
func dropLater(root map[string]any) {
	for _, f := range spec.LaterInDocument {
		drop(root, strings.Split(f.Path, "."))
	}
	for _, head := range []string{spec.Defaults.Path, spec.Profiles.Path, spec.Containers.Path} {
		for _, f := range spec.LaterInContainer {
			if f.Value == "" {
				drop(property(root, head), strings.Split(strings.ReplaceAll(f.Path, "*.", ""), "."))
			}
		}
	}
}

func drop(s map[string]any, path []string) {
	if s == nil {
		return
	}
	if len(path) > 1 {
		drop(property(s, path[0]), path[1:])
		return
	}
	if members, ok := s["additionalProperties"].(map[string]any); ok {
		s = members
	}
	if properties, ok := s["properties"].(map[string]any); ok {
		delete(properties, path[0])
	}
}
