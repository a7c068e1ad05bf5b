// Package write makes specs out of live containers: the files that a person would have written.
//
// [Spec] writes what differs from what absence means, row by row of the table of settings, with what several
// containers share in defaults and profiles. [Merge] brings existing files up to what is live, where each
// setting stands, and leaves every other byte as it is. Both hold themselves to one promise: read again, the
// spec wants exactly what is there. What no spec can say goes to lifecycle.ignore with the reason beside it;
// a file that would not load is never returned.
//
// The package does no I/O beyond the file system that Merge is given.
package write

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A Source is one container as it was found: on a node, in a saved file or in a command line.
type Source struct {
	Ref    proxmox.Ref
	Power  spec.Power // Any where it is not known
	Config proxmox.Config
	Raw    []proxmox.RawLine // lines for LXC itself; nil where they were not read
	Notes  []string          // what else a person should read beside the container, in words
	// Template is what the container is yet to be made from; Config.Current then holds the parameters of the
	// create. Empty for a container that exists.
	Template string
}

// A Layout says how containers are spread over files.
type Layout int

// The layouts.
const (
	PerContainer Layout = iota // containers/NAME.yaml, and cluster.yaml for all that they share
	ByTag                      // containers with a tag in common share a file
	Single                     // one file, for the terminal
)

// Options of writing; the zero value is good.
type Options struct {
	Cluster  string // name for cluster.name, may be empty
	Owner    string // tag of containers that tend manages; empty: the spec's default
	TagStyle setting.TagStyle
	Layout   Layout
	NoAdopt  bool // do not write adopt: true; the containers are then taken over with --adopt only
	NoLayers bool // write every setting at its container
	// Defaults are those of a spec that the containers are added to, and Taken the names in it: cluster.yaml
	// is then not written.
	Defaults setting.Record
	Taken    []string
}

// A Result is a spec in files, by their path, and what a person must know about it.
type Result struct {
	Files    map[string][]byte
	Problems []Problem
}

// A Problem is something that could not be brought into the spec.
type Problem struct {
	ID   proxmox.VMID
	Name string
	Path string // of the setting; empty where it is the container as a whole
	Text string // what is wrong and what comes of it
}

// String is "105 web: network: what is wrong".
func (p Problem) String() string {
	at := fmt.Sprintf("%d %s", p.ID, p.Name)
	if p.Path != "" {
		at += ": " + p.Path
	}
	return at + ": " + p.Text
}

// A writer holds what is being written.
type writer struct {
	o        Options
	guests   []*guest
	left     []*guest // left out
	problems []Problem
	defaults setting.Record
	profiles map[string]setting.Record
}

// Spec writes the spec of containers. It does not depend on their order.
func Spec(sources []Source, o Options) Result {
	if o.Owner == "" {
		o.Owner = *spec.Owner.Default
	}
	w := &writer{o: o, defaults: o.Defaults, profiles: map[string]setting.Record{}}
	sorted := slices.Clone(sources)
	slices.SortStableFunc(sorted, func(a, b Source) int { return cmp.Compare(a.Ref.ID, b.Ref.ID) })
	seen := map[proxmox.VMID]bool{}
	for _, s := range sorted {
		g := newGuest(s, o)
		switch {
		case seen[s.Ref.ID]:
			w.leaveOut(g, "is there twice: only the first one is written")
		case s.Ref.ID < proxmox.MinVMID || s.Ref.ID > proxmox.MaxVMID:
			w.leaveOut(g, fmt.Sprintf("%d is no VMID", s.Ref.ID))
		case s.Ref.Node != "" && !isNode(s.Ref.Node):
			w.leaveOut(g, fmt.Sprintf("left out: %q cannot be the name of a node", s.Ref.Node))
		case g.broken != nil:
			w.leaveOut(g, "left out, since this version of tend does not understand it: "+g.broken.Error())
		default:
			w.guests = append(w.guests, g)
			seen[s.Ref.ID] = true
		}
	}
	w.name()
	w.settle()
	if !o.NoLayers && o.Defaults == nil {
		w.factor()
	}
	for _, g := range w.guests {
		for _, n := range g.ignored {
			w.problems = append(w.problems, Problem{g.src.Ref.ID, g.name, n.path, n.why + "; left as it is"})
		}
	}
	return Result{Files: w.files(), Problems: w.problems}
}

func isNode(name string) bool {
	_, err := readable(spec.Node, name)
	return err == nil
}

func (w *writer) leaveOut(g *guest, why string) {
	w.left = append(w.left, g)
	g.notes = []string{why}
	w.problems = append(w.problems, Problem{ID: g.src.Ref.ID, Name: g.label(), Text: why})
}

// settle writes all containers and moves to lifecycle.ignore what the rules across containers refuse, until
// none is left.
func (w *writer) settle() {
	for {
		for _, g := range w.guests {
			g.express(w.under(g))
		}
		faults := spec.Validate(w.state())
		if len(faults) == 0 {
			return
		}
		moved := false
		for _, f := range faults {
			moved = w.resolve(f) || moved
		}
		if !moved { // what is at fault is no setting, or not written at all
			w.giveUp(faults[0])
		}
	}
}

// resolve gives one setting up and reports whether there was one to give up.
func (w *writer) resolve(f spec.Fault) bool {
	i := w.at(f)
	row := rowAt(f.At[2:])
	if row == nil || w.guests[i].ignores(row.SpecPath()) {
		return false
	}
	w.guests[i].ignore(row, f.Err.Error())
	return true
}

// giveUp leaves a container out.
func (w *writer) giveUp(f spec.Fault) {
	i := w.at(f)
	g := w.guests[i]
	w.guests = slices.Delete(w.guests, i, i+1)
	w.leaveOut(g, "left out: "+f.At[2:].String()+": "+f.Err.Error())
}

// at is the index of the container that a fault is about.
func (w *writer) at(f spec.Fault) int {
	return slices.IndexFunc(w.guests, func(g *guest) bool { return g.name == f.At[1] })
}

// rowAt finds the row of the table that a path leads to or into.
func rowAt(path setting.Path) setting.Row {
	for n := len(path); n > 0; n-- {
		if row := setting.Container.Row(path[:n].String()); row != nil {
			return row
		}
	}
	return nil
}

// under is what lies under a container's own settings.
func (w *writer) under(g *guest) setting.Record {
	out := w.defaults
	for _, name := range spec.Use.Or(g.own, nil) {
		out = setting.Overlay(out, w.profiles[name])
	}
	return out
}

// state is the spec as it will be read.
func (w *writer) state() *spec.State {
	var all []*spec.Container
	for _, g := range w.guests {
		all = append(all, spec.NewContainer(g.name, setting.Overlay(w.under(g), g.own), spec.Place{}))
	}
	return spec.NewState(spec.Cluster{Name: w.o.Cluster, Owner: w.o.Owner}, all)
}
