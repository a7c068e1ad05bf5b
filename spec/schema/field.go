// Package schema tells people and editors what may be written in a spec: the JSON Schema, the explanation of
// a field and the reference page, all made by walking the tables of packages spec and setting.
//
// The package does no I/O; what it returns follows from the tables alone.
package schema

import (
	"encoding/json"
	"strings"
	"sync"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A Field is something that may be written in a spec, or a group of such.
type Field struct {
	Path     string // from the root, without the names of members: "containers.network.vlan"
	Name     string // the last part
	Doc      string
	Type     string
	Default  string // what absence means; empty: nothing
	Example  string // a value as authors write it
	Required bool

	Setting bool   // of a container, on Proxmox's side; the following are empty otherwise
	PVE     string // Proxmox's key; "net[n]: tag" for a part
	Running string // what a change costs a running container
	Lane    string // who may change it

	Children []*Field
}

// Root is the document as a field without a name. All callers get the same one, for reading only.
func Root() *Field { return root() }

var root = sync.OnceValue(func() *Field {
	root := &Field{Type: "mapping", Doc: "A file of a spec. All files of a folder form one spec."}
	root.add(spec.Document.Rows, spec.Document.Groups, nil)
	return root
})

// add puts rows below a field, with a group for each name before a dot. owner is the setting that the rows
// are parts of, or nil.
func (f *Field) add(rows []setting.Row, groups map[string]setting.Group, owner setting.Row) {
	for _, row := range rows {
		i := row.Info()
		parent := f
		elems := strings.Split(i.Path, ".")
		for n, name := range elems[:len(elems)-1] {
			parent = parent.group(name, groups[strings.Join(elems[:n+1], ".")])
		}
		child := parent.child(elems[len(elems)-1])
		if spec.IsLater(strings.Split(wildcards(child.Path), ".")) {
			continue
		}
		child.describe(row, owner)
		below := owner
		if setting.Container.Row(i.Path) != nil && f.layer() {
			below = row
		}
		child.add(i.Rows, i.Groups, below)
		parent.Children = append(parent.Children, child)
	}
}

// wildcards puts a * where a path leaves out the name of a member.
func wildcards(path string) string {
	for _, head := range []string{spec.Profiles.Path, spec.Containers.Path} {
		if rest, ok := strings.CutPrefix(path, head+"."); ok {
			path = head + ".*." + rest
		}
	}
	for _, row := range setting.Container.Rows {
		if _, ok := row.(*setting.Family); ok {
			name := row.Info().Path
			path = strings.Replace(path, "."+name+".", "."+name+".*.", 1)
		}
	}
	return path
}

func (f *Field) child(name string) *Field {
	return &Field{Name: name, Path: strings.TrimPrefix(f.Path+"."+name, ".")}
}

// group returns the group of a name, made where it is new.
func (f *Field) group(name string, about setting.Group) *Field {
	for _, c := range f.Children {
		if c.Name == name {
			return c
		}
	}
	g := f.child(name)
	g.Type, g.Doc, g.Example = "mapping", about.Doc, about.Example
	f.Children = append(f.Children, g)
	return g
}

// layer reports whether the field's children are those of a container.
func (f *Field) layer() bool {
	return f.Path == spec.Defaults.Path || f.Path == spec.Profiles.Path || f.Path == spec.Containers.Path
}

// describe takes what the table says of a row.
func (f *Field) describe(row, owner setting.Row) {
	i := row.Info()
	f.Doc, f.Type, f.Default, f.Example, f.Required = i.Doc, i.Type, i.Default, i.Example, i.Required
	// Plans speak of yes and no; here stands what is to be written.
	if w, ok := map[string]string{"yes": "true", "no": "false"}[f.Default]; ok {
		f.Default = w
	}
	if amount, err := setting.ParseBytes(f.Default); err == nil {
		f.Default = amount.Spec()
	}
	switch {
	case owner != nil:
		f.Setting, f.PVE = true, strings.TrimSuffix(wireKey(owner)+": "+i.PVE, ": ")
		f.Running, f.Lane = partRules(row, owner)
	case setting.Container.Row(i.Path) != nil:
		f.Setting, f.PVE, f.Running, f.Lane = true, wireKey(row), i.Running, i.Lane
	}
}

// wireKey is Proxmox's key of a row.
func wireKey(row setting.Row) string {
	if fam, ok := row.(*setting.Family); ok {
		return fam.PVE + "[n]"
	}
	return row.Info().PVE
}

// partRules asks the rules of a setting what it costs to add one part to it, and who may. What the part says
// of itself goes before.
func partRules(part, owner setting.Row) (running, lane string) {
	i := part.Info()
	running, lane = owner.Info().Running, owner.Info().Lane
	if v := example(part); v != nil {
		facts := setting.Facts{Running: true, Unprivileged: true}
		old, new := setting.Record{}, setting.Record{i.Path: v}
		change := setting.Change{Effect: owner.Effect(old, new, facts), Access: owner.Access(old, new, facts)}
		if fam, ok := owner.(*setting.Family); ok {
			change = fam.Change("", &old, &new, 0, facts)
		}
		running, lane = change.Effect.String(), "token"
		if change.Note != "" {
			running += "; " + change.Note
		}
		if change.Access.Root {
			lane = "root"
		}
	}
	if i.Running != setting.Online.String() {
		running = i.Running
	}
	return running, lane
}

// example is a value of a row that is not what absence means: the row's example, if it is that. It is nil
// where there is none.
func example(row setting.Row) any {
	text := row.Info().Example
	var list []any
	for word := range strings.SplitSeq(strings.Trim(text, "[]"), ", ") {
		list = append(list, strings.Trim(word, `"`))
	}
	for _, in := range []any{true, false, json.Number(text), json.Number("1"), strings.Trim(text, `"`), list} {
		v, ok := row.DecodeSpec(in, nil, func(setting.Path, error) {})
		if ok && !row.Equal(v, nil) {
			return v
		}
	}
	return nil
}

// All are the field and all below it.
func (f *Field) All() []*Field {
	out := []*Field{f}
	for _, c := range f.Children {
		out = append(out, c.All()...)
	}
	return out
}
