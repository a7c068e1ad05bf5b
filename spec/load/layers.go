package load

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A layer is what defaults, a profile or a container say.
type layer struct {
	record setting.Record
	at     setting.Path // of the layer in the spec
	trees  []entry      // where it is written; defaults may be spread over files
}

// place finds where a path is written.
func (y layer) place(path setting.Path) (place spec.Place, depth int) {
	for i, t := range y.trees {
		if p, d := t.find(path); i == 0 || d > depth {
			place, depth = p, d
		}
	}
	return place, depth
}

// An assembly puts documents together.
type assembly struct {
	*loader
	cluster    setting.Record
	clusterAt  *spec.Place
	defaults   layer
	profiles   map[string]layer
	containers map[string]layer
	others     map[string]map[string]layer // templates, host mounts, snippets, policies and backup jobs, by where they are written
	stacks     map[string][]layer          // of each container, the strongest first
	asked      map[string]bool             // what is written somewhere: containers:, …
	partial    map[string]bool             // containers of which a layer is missing
}

// assemble makes the state. It is nil where nothing could be read.
func (l *loader) assemble() *spec.State {
	a := &assembly{
		loader: l, cluster: setting.Record{}, defaults: layer{record: setting.Record{}, at: setting.Path{spec.Defaults.Path}},
		profiles: map[string]layer{}, containers: map[string]layer{}, stacks: map[string][]layer{}, partial: map[string]bool{},
		others: map[string]map[string]layer{}, asked: map[string]bool{},
	}
	l.built = a
	for _, d := range l.docs {
		a.document(d)
	}
	if len(l.faults) == 0 && !a.asked[spec.Containers.Path] {
		l.fileFault(".", errors.New("no containers found: write containers: {} if there shall be none"))
		return nil
	}
	var containers []*spec.Container
	for _, name := range slices.Sorted(maps.Keys(a.containers)) {
		containers = append(containers, a.container(name))
	}
	state := spec.NewState(spec.NewCluster(a.cluster), containers)
	state.Templates = each(a.others[spec.Templates.Path], spec.NewTemplate)
	state.HostMounts = each(a.others[spec.HostMounts.Path], spec.NewHostMount)
	state.Snippets = each(a.others[spec.Snippets.Path], spec.NewSnippet)
	state.Jobs = each(a.others[spec.BackupJobs.Path], spec.NewBackupJob)
	state.ManagesHostMounts = a.asked[spec.HostMounts.Path]
	state.Policies = each(a.others[spec.SnapshotPolicies.Path], func(name string, r setting.Record, at spec.Place) *spec.SnapshotPolicy {
		return spec.NewSnapshotPolicy(name, r, state.Cluster, at)
	})
	state.ManagesJobs = a.asked[spec.BackupJobs.Path]
	a.snippets(state.Snippets)
	a.validate(state)
	return state
}

// each makes what layers say, sorted by name.
func each[T any](from map[string]layer, make func(string, setting.Record, spec.Place) *T) (out []*T) {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		out = append(out, make(name, from[name].record, from[name].trees[0].place))
	}
	return out
}

// otherFields are the fields of what has one layer and is no container.
var otherFields = map[string]setting.Object{
	spec.Templates.Path: spec.TemplateFields, spec.HostMounts.Path: spec.HostMountFields, spec.Snippets.Path: spec.SnippetFields,
	spec.SnapshotPolicies.Path: spec.PolicyFields, spec.BackupJobs.Path: spec.JobFields,
}

// document reads what a file says into the layers.
func (a *assembly) document(d document) {
	report := func(at setting.Path, err error) {
		place, _ := d.root.find(at)
		a.report(place, at, err)
	}
	spec.TakeLater(d.value, spec.LaterInDocument, nil, report)
	rest := maps.Clone(d.value)
	for _, row := range []setting.Row{
		spec.Defaults, spec.Profiles, spec.Templates, spec.HostMounts, spec.Snippets, spec.Containers, spec.SnapshotPolicies, spec.BackupJobs,
	} {
		path := row.Info().Path
		v, ok := rest[path]
		if !ok {
			continue
		}
		a.asked[path] = true
		m, isMap := v.(map[string]any)
		if !isMap {
			continue // Decode says so
		}
		delete(rest, path)
		switch path {
		case spec.Defaults.Path:
			a.addDefaults(d, m)
		case spec.Profiles.Path:
			a.addMembers(d, row, m, a.profiles, spec.LayerFields)
		case spec.Containers.Path:
			a.addMembers(d, row, m, a.containers, spec.ContainerFields)
		default:
			if a.others[path] == nil {
				a.others[path] = map[string]layer{}
			}
			a.addMembers(d, row, m, a.others[path], otherFields[path])
		}
	}
	r, _ := spec.Document.Decode(rest, nil, report)
	if _, ok := rest["cluster"]; !ok {
		return
	}
	place, _ := d.root.find(setting.Path{"cluster"})
	if a.clusterAt != nil {
		a.faultAt(place, setting.Path{"cluster"}, fmt.Errorf("is written in %s too: keep one", a.clusterAt))
		return
	}
	a.cluster, a.clusterAt = r, &place
}

// decode reads a layer by its table.
func (a *assembly) decode(o setting.Object, e entry, v any, at setting.Path) layer {
	y := layer{at: at, trees: []entry{e}}
	report := func(p setting.Path, err error) {
		place, _ := e.find(p[len(at):])
		a.report(place, p, err)
	}
	if v == nil {
		v = map[string]any{}
	}
	if _, other := otherFields[at[0]]; !other {
		spec.TakeLater(v, spec.LaterInContainer, at, report)
	}
	y.record, _ = o.Decode(v, at, report)
	return y
}

func (a *assembly) addDefaults(d document, m map[string]any) {
	at, e := a.defaults.at, d.root.fields[spec.Defaults.Path]
	for _, other := range a.defaults.trees {
		a.overlap(other, e, at)
	}
	y := a.decode(spec.LayerFields, e, m, at)
	a.defaults.record = setting.Overlay(a.defaults.record, y.record)
	a.defaults.trees = append(a.defaults.trees, e)
}

// overlap finds what two files say about the same thing.
func (a *assembly) overlap(one, two entry, at setting.Path) {
	for _, name := range slices.Sorted(maps.Keys(two.fields)) {
		first, ok := one.fields[name]
		second := two.fields[name]
		switch {
		case !ok:
		case first.fields != nil && second.fields != nil:
			a.overlap(first, second, at.Join(name))
		default:
			a.faultAt(second.place, at.Join(name), fmt.Errorf("is written in %s too: keep one", first.place))
		}
	}
}

// taken is the fault of a name that stands elsewhere too.
type taken struct{ by spec.Place }

func (t taken) Error() string {
	return fmt.Sprintf("is written in %s too: names are unique across files", t.by)
}

// addMembers reads profiles or containers.
func (a *assembly) addMembers(d document, row setting.Row, m map[string]any, to map[string]layer, o setting.Object) {
	top := row.Info().Path
	for _, name := range slices.Sorted(maps.Keys(m)) {
		at := setting.Path{top, name}
		e := d.root.fields[top].fields[name]
		row.DecodeSpec(map[string]any{name: nil}, at[:1], func(_ setting.Path, err error) { a.faultAt(e.place, at, err) })
		if old, ok := to[name]; ok {
			a.faultAt(e.place, at, taken{old.trees[0].place})
			continue
		}
		to[name] = a.decode(o, e, m[name], at)
	}
}

// container merges the layers of a container.
func (a *assembly) container(name string) *spec.Container {
	own := a.containers[name]
	stack := []layer{a.defaults}
	for i, profile := range spec.Use.Or(own.record, nil) {
		y, ok := a.profiles[profile]
		if !ok {
			path := setting.Path{spec.Use.Path, fmt.Sprint(i)}
			place, _ := own.place(path)
			a.faultAt(place, setting.Path{spec.Containers.Path, name}.Join(path...), unknownProfile(profile, a.profiles))
			a.partial[name] = true
			continue
		}
		stack = append(stack, y)
	}
	stack = append(stack, own)
	merged := stack[0].record
	for _, y := range stack[1:] {
		merged = spec.Overlay(merged, y.record)
	}
	slices.Reverse(stack)
	a.stacks[name] = stack
	return spec.NewContainer(name, merged, own.trees[0].place)
}

func unknownProfile(name string, profiles map[string]layer) error {
	known := slices.Sorted(maps.Keys(profiles))
	switch n := setting.Nearest(name, known); {
	case n != "":
		return fmt.Errorf("there is no profile %q: did you mean %q?", name, n)
	case len(known) == 0:
		return fmt.Errorf("there is no profile %q: no profiles are written", name)
	}
	return fmt.Errorf("there is no profile %q: the profiles are %s", name, strings.Join(known, ", "))
}

// validate adds the faults that only show in the whole, each where it is written. What several containers
// have from one layer is reported once. What follows from a value with a fault is left out: that value is not
// what the author meant.
func (a *assembly) validate(s *spec.State) {
	broken := brokenBy(a.faults)
	type key struct {
		place spec.Place
		text  string
	}
	seen := map[key]bool{}
	for _, f := range spec.Validate(s) {
		f.Place = a.placeOf(f.At)
		k := key{f.Place, f.Err.Error()}
		if a.follows(f, broken) || seen[k] {
			continue
		}
		// The own place of a container is that of all that nobody wrote for it.
		seen[k] = len(f.At) > 2 && f.Place != a.own(f.At).trees[0].place
		a.faults = append(a.faults, f)
	}
}

// A breach says what the fault of a value does to it.
type breach int

const (
	lost  breach = iota + 1 // the value is not there, with all below it
	named                   // its name is wrong; what lies below it could be read
)

// brokenBy finds the values that are not what their authors meant, by path.
func brokenBy(faults Faults) map[string]breach {
	out := map[string]breach{}
	for _, f := range faults {
		var unknown setting.UnknownField
		switch {
		case errors.As(f.Err, new(taken)): // the one of that name is judged
		case errors.As(f.Err, new(setting.NameFault)):
			out[f.At.String()] = named
		case errors.As(f.Err, &unknown) && unknown.Meant != "":
			out[f.At[:len(f.At)-1].Join(unknown.Meant).String()] = lost
			fallthrough
		default:
			out[f.At.String()] = lost
		}
	}
	return out
}

// follows reports whether a fault may only follow from another one: in its value, or in one that it was judged
// by.
func (a *assembly) follows(f spec.Fault, broken map[string]breach) bool {
	return slices.ContainsFunc(append([]setting.Path{f.At}, f.With...), func(at setting.Path) bool {
		if at[0] != spec.Containers.Path { // what is no container has one layer
			for n := 2; n <= len(at); n++ {
				if broken[at[:n].String()] == lost {
					return true
				}
			}
			return false
		}
		written := false
		for _, y := range a.stacks[at[1]] {
			_, depth := y.place(at[2:])
			here := depth == len(at)-2
			if written = written || here; !here && broken[y.at.String()] == lost {
				return true
			}
			p := y.at.Join(at[2:]...)
			for i := len(y.at) + 1; i <= len(p); i++ {
				if b := broken[p[:i].String()]; b == lost || b == named && i == len(p) {
					return true
				}
			}
		}
		return !written && a.partial[at[1]]
	})
}

// placeOf finds where a container has a value from: the strongest layer of those that go furthest.
func (a *assembly) placeOf(at setting.Path) (place spec.Place) {
	deepest := -1
	for i, y := range a.layersOf(at) {
		// The own layer has a place even for what nobody wrote; others only for what they say.
		p, depth := y.place(at[2:])
		if depth > deepest && (i == 0 || depth > 0) {
			place, deepest = p, depth
		}
	}
	return place
}

// own is the layer that something at a path of the spec is written in itself.
func (a *assembly) own(at setting.Path) layer {
	if at[0] == spec.Containers.Path {
		return a.containers[at[1]]
	}
	return a.others[at[0]][at[1]]
}

// layersOf are the layers that something is made of, the strongest first.
func (a *assembly) layersOf(at setting.Path) []layer {
	if at[0] == spec.Containers.Path {
		return a.stacks[at[1]]
	}
	return []layer{a.own(at)}
}
