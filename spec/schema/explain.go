package schema

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// Explain is a field in words, in lines of at most width characters (80 where it is too small to use). The
// path has the names of containers, mounts and the like as errors tell them, or leaves them out:
// "containers.web.network.eth0.vlan", "containers.network.vlan", or "network.vlan". An empty path explains the
// document.
func Explain(path string, width int) (string, error) {
	root := Root()
	f := root.Find(path)
	switch {
	case later(path):
		return "", fmt.Errorf("%s %w", path, spec.ErrLater)
	case f == nil:
		return "", unknown(path, root)
	}
	if width < 40 {
		width = 80
	}
	var b strings.Builder
	fmt.Fprintln(&b, cmp.Or(f.Path, "spec"))
	if f.Doc != "" {
		fmt.Fprint(&b, wrap(f.Doc, "  ", width))
	}
	fmt.Fprintln(&b)
	for _, fact := range f.facts() {
		head := fmt.Sprintf("  %-9s ", fact[0])
		fmt.Fprint(&b, head, strings.TrimLeft(wrap(fact[1], strings.Repeat(" ", len(head)), width), " "))
	}
	if len(f.Children) > 0 {
		fmt.Fprint(&b, "\n  Fields:\n", f.list(width))
	}
	return b.String(), nil
}

// later reports whether a path leads to what this version does not act on.
func later(path string) bool {
	for _, p := range []string{path, spec.Containers.Path + "." + path, spec.Containers.Path + ".*." + path} {
		if spec.IsLater(strings.Split(wildcards(p), ".")) || spec.IsLater(strings.Split(p, ".")) {
			return true
		}
	}
	return false
}

// unknown names the path that was most likely meant.
func unknown(path string, root *Field) error {
	var paths []string
	for _, f := range root.All() {
		paths = append(paths, f.Path, strings.TrimPrefix(f.Path, spec.Containers.Path+"."))
	}
	if n := setting.Nearest(path, paths); n != "" {
		return fmt.Errorf("there is no field %s: did you mean %s?", path, n)
	}
	var top []string
	for _, c := range root.Children {
		top = append(top, c.Name)
	}
	return fmt.Errorf("there is no field %s: the fields of a spec are %s", path, strings.Join(top, ", "))
}

// facts are the properties of a field with their names.
func (f *Field) facts() [][2]string {
	out := [][2]string{{"type", f.Type}}
	switch {
	case f.Required && spec.LayerFields.Row(f.Name) == nil:
		out = append(out, [2]string{"absent", "is an error"})
	case f.Required:
		out = append(out, [2]string{"absent", "is an error, unless a lower layer has it"})
	case f.Default != "":
		out = append(out, [2]string{"absent", f.Default})
	}
	if f.Setting {
		out = append(out, [2]string{"change", f.Running + " (of a running container)"}, [2]string{"by", by(f.Lane)}, [2]string{"Proxmox", f.PVE})
	}
	if f.Example != "" {
		out = append(out, [2]string{"example", f.Name + ": " + f.Example})
	}
	return out
}

// by spells out who may make a change.
func by(lane string) string {
	switch lane {
	case "token":
		return "an API token"
	case "root":
		return "root@pam alone, no API token"
	}
	return lane
}

// list names the children with the first sentence about each.
func (f *Field) list(width int) string {
	long := 0
	for _, c := range f.Children {
		long = max(long, utf8.RuneCountInString(c.Name))
	}
	var b strings.Builder
	for _, c := range f.Children {
		head := fmt.Sprintf("    %-*s  ", long, c.Name)
		fmt.Fprint(&b, head, strings.TrimLeft(wrap(c.Summary(), strings.Repeat(" ", len(head)), width), " "))
	}
	return b.String()
}

// Summary is the first sentence about the field.
func (f *Field) Summary() string {
	first, _, _ := strings.Cut(f.Doc, ". ")
	return strings.TrimSuffix(first, ".")
}

// wrap breaks a text into indented lines.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	used := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > width {
			b.WriteByte('\n')
			used = 0
		}
		if used == 0 {
			b.WriteString(indent)
			used = len(indent)
		} else {
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	b.WriteByte('\n')
	return b.String()
}
