package write

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/setting"
)

// defaultsLayer names the defaults among the layers; no profile may be called so.
const defaultsLayer = "/"

// A merger brings a spec up to what is live.
type merger struct {
	fsys     fs.FS
	written  *load.Written
	o        Options
	drifts   map[string][]drift // by container
	texts    map[string]string  // changed files
	guests   map[string]*guest  // by container
	skip     map[string]string  // container and setting that cannot be merged, with the reason
	problems []Problem
}

// A drift is one thing in which a container differs from its spec: the value that it shall have there, or
// none.
type drift struct {
	container string
	path      []string // below the layer: "network", "eth0", "ipv4"
	value     any      // as it is written; nil: to be removed
	key       string   // path and value, to compare by
	layers    []string // in which it stands, the strongest first; "" is the container's own
	override  any      // what says the same at the container where it cannot be removed; nil: nothing
}

// Merge writes what is live into an existing spec: the containers of the sources, where they differ from
// it. Each value is changed where it stands: at the container, or in a profile or the defaults if all that
// have it from there agree; otherwise the container gets its own. Comments, order and all other lines stay.
// The files of the result are those that change.
func Merge(fsys fs.FS, sources []Source, o Options) (Result, error) {
	w, err := load.Layers(fsys, load.Options{})
	if err != nil {
		return Result{}, err
	}
	o.Owner = w.State.Cluster.Owner
	skip := map[string]string{}
	for {
		m := &merger{fsys: fsys, written: w, o: o, drifts: map[string][]drift{}, texts: map[string]string{}, skip: skip}
		files := m.merge(sources)
		err := m.verify(files)
		if err == nil {
			return Result{Files: files, Problems: m.problems}, nil
		}
		if !m.refused(err) {
			return Result{Problems: m.problems}, err
		}
	}
}

// merge changes the texts of the spec.
func (m *merger) merge(sources []Source) map[string][]byte {
	m.guests = map[string]*guest{}
	for _, s := range sources {
		i := slices.IndexFunc(m.written.State.Containers, func(c *spec.Container) bool { return c.ID == s.Ref.ID })
		if i < 0 {
			continue
		}
		g := newGuest(s, m.o)
		g.name = m.written.State.Containers[i].Name
		if m.guests[g.name] != nil {
			m.problem(g, "", "is there twice: only the first one is merged")
			continue
		}
		if g.broken != nil {
			m.problem(g, "", "not merged, since this version of tend does not understand it: "+g.broken.Error())
			continue
		}
		m.guests[g.name] = g
		m.find(g)
	}
	m.place()
	files := map[string][]byte{}
	for name, text := range m.texts {
		files[name] = []byte(text)
	}
	return files
}

// refused notes what the rules across containers refuse, such as an address that is taken twice, so that it
// is left out of the next attempt. It reports whether there is anything new.
func (m *merger) refused(err error) bool {
	var faults load.Faults
	if !errors.As(err, &faults) {
		return false
	}
	more := false
	for _, f := range faults {
		if len(f.At) < 3 || f.At[0] != spec.Containers.Path {
			continue
		}
		if row := rowAt(f.At[2:]); row != nil {
			key := f.At[1] + "\x00" + row.SpecPath()
			more = more || m.skip[key] == ""
			m.skip[key] = f.Err.Error()
		}
	}
	return more
}

func (m *merger) problem(g *guest, path, why string) {
	m.problems = append(m.problems, Problem{g.src.Ref.ID, g.name, path, why})
}

// stack is the layers of a container, the strongest first.
func (m *merger) stack(name string) []string {
	out := []string{""}
	for _, p := range slices.Backward(spec.Use.Or(m.written.Containers[name].Record, nil)) {
		out = append(out, p)
	}
	return append(out, defaultsLayer)
}

func (m *merger) layer(w *load.Written, container, name string) load.Layer {
	switch name {
	case "":
		return w.Containers[container]
	case defaultsLayer:
		return w.Defaults
	}
	return w.Profiles[name]
}

// merged is what the layers of a container say together.
func (m *merger) merged(w *load.Written, name string) setting.Record {
	out := w.Defaults.Record
	for _, p := range spec.Use.Or(w.Containers[name].Record, nil) {
		out = setting.Overlay(out, w.Profiles[p].Record)
	}
	return setting.Overlay(out, w.Containers[name].Record)
}

// find finds the drifts of a container.
func (m *merger) find(g *guest) {
	merged := m.merged(m.written, g.name)
	if !g.owned && !spec.Adopt.Or(merged, false) {
		m.problem(g, "", fmt.Sprintf("the tag %q was taken off: write adopt: true to take it back, or take the container out of the spec", m.o.Owner))
	}
	ignored := spec.Ignore.Or(merged, nil)
	for _, row := range setting.Container.Rows {
		path := row.SpecPath()
		if slices.Contains(ignored, path) || satisfied(row, m.meant(merged, g, row), g.live[path], g.facts) {
			continue
		}
		if g.unread(row) {
			continue
		}
		if why := m.skip[g.name+"\x00"+path]; why != "" {
			m.problem(g, path, why)
			continue
		}
		if i := slices.IndexFunc(g.ignored, func(n ignoredSetting) bool { return n.path == path }); i >= 0 {
			m.problem(g, path, g.ignored[i].why+": write it by hand, or add it to lifecycle.ignore")
			continue
		}
		v, err := target(row, merged[path], g.live[path], g.facts)
		if err == nil && v != nil {
			v, err = readable(row, v)
		}
		if err == nil && v != nil && !satisfied(row, v, g.live[path], g.facts) {
			err = errUnsayable
		}
		if err == nil && v == nil && !satisfied(row, m.meant(setting.Record{}, g, row), g.live[path], g.facts) {
			err = errNothing
		}
		if err != nil {
			m.problem(g, path, err.Error()+": write it by hand, or add it to lifecycle.ignore")
			continue
		}
		m.drifts[g.name] = append(m.drifts[g.name], m.differences(g, row, merged[path], v)...)
	}
	if node := g.src.Ref.Node; node != spec.Node.Or(merged, "") {
		m.add(g, drift{path: []string{spec.Node.Path}, value: node})
	}
	power := string(g.src.Power)
	if want := spec.PowerState.Or(merged, *spec.PowerState.Default); want != power && want != string(spec.Any) && power != string(spec.Any) {
		m.add(g, drift{path: []string{spec.PowerState.Path}, value: power})
	}
}

func (m *merger) add(g *guest, d drift) {
	m.drifts[g.name] = append(m.drifts[g.name], m.stand(g, d))
}

// meant is what the layers say of a row: a host name that is not written is the container's name.
func (m *merger) meant(merged setting.Record, g *guest, row setting.Row) any {
	path := row.SpecPath()
	if v, ok := merged[path]; ok || path != setting.Hostname.Path {
		return v
	}
	return g.name
}
