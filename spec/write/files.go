package write

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// The files of a spec.
const (
	clusterFile   = "cluster.yaml"
	containersDir = "containers/"
)

// about is what a person should know once, not at each container.
var about = []string{
	"Written by tend import from what was there. It says only what differs from tend's defaults:",
	"tend explain shows them, with what each change costs.",
	"",
	"What Proxmox generates is not written and stays as it is: MAC addresses, the names of volumes,",
	"architecture and OS type. Write mac: or volume: where a container must have a certain one.",
	"from: is missing, since Proxmox does not remember what a container was made from. It is needed",
	"only for making a container anew.",
}

// adopting is what adopt: true means, said once.
var adopting = []string{
	"adopt: true takes a container over: the next apply adds the tag %q to it and changes nothing",
	"else. It may be removed after that.",
}

// files writes all files.
func (w *writer) files() map[string][]byte {
	out := map[string][]byte{}
	groups := map[string][]*guest{}
	for _, g := range w.guests {
		file := w.fileOf(g)
		groups[file] = append(groups[file], g)
	}
	if w.o.Layout == Single {
		p := &printer{}
		w.cluster(p)
		p.b.WriteByte('\n')
		w.containers(p, w.guests)
		return map[string][]byte{clusterFile: []byte(p.b.String())}
	}
	if w.o.Defaults == nil {
		p := &printer{}
		w.cluster(p)
		if len(w.guests) == 0 {
			p.b.WriteString("\ncontainers: {}\n")
		}
		out[clusterFile] = []byte(p.b.String())
	}
	for _, file := range slices.Sorted(maps.Keys(groups)) {
		p := &printer{}
		w.containers(p, groups[file])
		out[file] = []byte(p.b.String())
	}
	return out
}

// fileOf is the file of a container: its own, or that of the most frequent of its tags that others carry too.
func (w *writer) fileOf(g *guest) string {
	own := containersDir + strings.ToLower(g.name) + ".yaml"
	if w.o.Layout != ByTag {
		return own
	}
	best, most := "", 1
	for _, tag := range slices.Sorted(slices.Values(setting.Tags.Or(g.live, nil))) {
		n := 0
		for _, other := range w.guests {
			if slices.Contains(setting.Tags.Or(other.live, nil), tag) {
				n++
			}
		}
		if n > most && profileWord(tag) != "" {
			best, most = profileWord(tag), n
		}
	}
	if best == "" {
		return own
	}
	return "tags/" + best + ".yaml"
}

// cluster writes what all containers share.
func (w *writer) cluster(p *printer) {
	p.comments(0, about)
	if slices.ContainsFunc(w.guests, func(g *guest) bool { return spec.Adopt.Or(g.own, false) }) {
		p.comments(0, []string{""})
		for _, l := range adopting {
			if strings.Contains(l, "%q") {
				l = fmt.Sprintf(l, w.o.Owner)
			}
			p.comments(0, []string{l})
		}
	}
	for _, g := range w.left {
		p.comments(0, append([]string{""}, comment(fmt.Sprintf("Container %d %s: %s", g.src.Ref.ID, g.label(), g.notes[0]))))
	}
	nodes := map[string]bool{}
	for _, g := range w.guests {
		nodes[g.src.Ref.Node] = true
	}
	c := setting.Record{}
	if w.o.Cluster != "" {
		spec.ClusterName.Set(c, w.o.Cluster)
	}
	spec.Owner.Set(c, w.o.Owner)
	if len(nodes) > 0 {
		spec.Nodes.Set(c, slices.Sorted(maps.Keys(nodes)))
	}
	p.fields(0, blocks(arrange(spec.Document.Rows, spec.Document.Encode(c), "")))
	if len(w.defaults) > 0 {
		p.comments(0, nil)
		p.b.WriteByte('\n')
		p.field(0, field{
			key: spec.Defaults.Path, block: true, value: arrange(spec.LayerFields.Rows, spec.LayerFields.Encode(w.defaults), ""),
			head: []string{"What most containers have in common."},
		})
	}
	if len(w.profiles) == 0 {
		return
	}
	var profiles fields
	for _, name := range slices.Sorted(maps.Keys(w.profiles)) {
		profiles = append(profiles, field{
			key: name, block: true, value: arrange(spec.LayerFields.Rows, spec.LayerFields.Encode(w.profiles[name]), ""),
		})
	}
	p.b.WriteByte('\n')
	p.field(0, field{
		key: spec.Profiles.Path, block: true, value: profiles,
		head: []string{"What several containers share. The names were guessed: rename them as you like."},
	})
}

// blocks makes each mapping of a level stand in lines.
func blocks(all fields) fields {
	for i := range all {
		all[i].block = true
	}
	return all
}

func (w *writer) containers(p *printer, guests []*guest) {
	sorted := slices.Clone(guests)
	slices.SortFunc(sorted, func(a, b *guest) int { return cmp.Compare(a.src.Ref.ID, b.src.Ref.ID) })
	var all fields
	for _, g := range sorted {
		all = append(all, field{key: g.name, block: true, value: g.fields()})
	}
	if len(all) == 0 {
		p.b.WriteString("containers: {}\n")
		return
	}
	p.b.WriteString(spec.Containers.Path + ":\n")
	for i, f := range all {
		if i > 0 {
			p.b.WriteByte('\n')
		}
		p.field(2, f)
	}
}

// fields is the container as it is written: what identifies it first, its settings, and then what becomes of
// it.
func (g *guest) fields() fields {
	out := arrange(writtenRows(), spec.ContainerFields.Encode(g.own), "")
	for i := range out {
		g.annotate(&out[i])
	}
	if notes := g.remarks(); len(notes) > 0 {
		out[0].head = append(notes, out[0].head...)
	}
	return out
}

// writtenRows are the rows of a container in the order in which they are written.
func writtenRows() []setting.Row {
	rows := []setting.Row{spec.ID, spec.Adopt, spec.Node, spec.Use, spec.FromTemplate}
	rows = append(rows, setting.Container.Rows...)
	for _, row := range spec.ContainerFields.Rows {
		if !slices.ContainsFunc(rows, func(r setting.Row) bool { return r.SpecPath() == row.SpecPath() }) {
			rows = append(rows, row)
		}
	}
	return rows
}
