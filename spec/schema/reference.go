package schema

import (
	"fmt"
	"strings"

	"github.com/felhom/tend/spec"
)

// Reference is the page about all fields, in Markdown.
func Reference() string {
	root := Root()
	var b strings.Builder
	b.WriteString(`# Reference of the spec

This page is generated from the table of settings (` + "`make gen`" + `); ` + "`tend explain FIELD`" + ` shows the same for one field, and
` + "`tend schema`" + ` prints the JSON Schema for editors.

*Change* is what a change costs a running container: **online** (nothing), **link flap** (a network link is cut for a
moment), **restart** (it waits until the container stops and starts), **recreate** (only a new container can have it).
A stopped container takes every change at once, but for those that need a new container.
*By* is who may make it: an API **token**, or only **root**@pam.

`)
	section(&b, "The document", root.Children)
	b.WriteString("`defaults` and `profiles` take the fields of a container, but for `id`, `use`, `adopt`, `snapshotHolds` and `hostname`.\n\n")
	sections(&b, root.Find("cluster"))
	containers := root.Find(spec.Containers.Path)
	section(&b, "containers", containers.Children)
	for _, f := range containers.Children {
		if len(f.Children) > 0 {
			sections(&b, f)
		}
	}
	for _, path := range []string{
		spec.Templates.Path, spec.HostMounts.Path, spec.Snippets.Path, spec.SnapshotPolicies.Path, spec.BackupJobs.Path,
	} {
		sections(&b, root.Find(path))
	}
	return b.String()
}

// sections writes a field with parts, and those of its parts that have parts.
func sections(b *strings.Builder, f *Field) {
	section(b, f.Path, f.Children)
	if f.Example != "" && strings.Contains(f.Path, ".") {
		fmt.Fprintf(b, "Example: `%s: %s`\n\n", f.Name, f.Example)
	}
	for _, c := range f.Children {
		if len(c.Children) > 0 {
			sections(b, c)
		}
	}
}

func section(b *strings.Builder, title string, fields []*Field) {
	fmt.Fprintf(b, "## %s\n\n", title)
	settings := false
	for _, f := range fields {
		settings = settings || f.Setting || len(f.Children) > 0 && f.Children[0].Setting
	}
	if settings {
		b.WriteString("| field | type | absent | change | by | what it is |\n|---|---|---|---|---|---|\n")
	} else {
		b.WriteString("| field | type | absent | what it is |\n|---|---|---|---|\n")
	}
	for _, f := range fields {
		cells := []string{"`" + f.Name + "`", f.Type, f.absent()}
		if settings {
			cells = append(cells, f.Running, f.Lane)
		}
		doc := f.Doc
		if f.Example != "" {
			doc += " Example: `" + f.Example + "`"
		}
		for i, c := range append(cells, doc) {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString("| " + strings.ReplaceAll(c, "|", "\\|"))
		}
		b.WriteString(" |\n")
	}
	b.WriteByte('\n')
}

func (f *Field) absent() string {
	if f.Required {
		return "**required**"
	}
	return f.Default
}
