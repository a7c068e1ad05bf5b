package write_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/setting"
	"github.com/felhom/tend/spec/write"
)

// corpus reads the saved files of a folder; containers that start at boot are taken for running.
func corpus(t testing.TB, glob string) []write.Source {
	t.Helper()
	names, err := filepath.Glob(glob)
	if err != nil || len(names) == 0 {
		t.Fatalf("no files: %v", err)
	}
	var out []write.Source
	for i, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(filepath.Base(name), "-")
		id, err := strconv.Atoi(first)
		if err != nil {
			id = 700 + i
		}
		out = append(out, sourceOf(proxmox.VMID(id), conffile.Parse(data)))
	}
	return out
}

func sourceOf(id proxmox.VMID, f *conffile.File) write.Source {
	s := write.Source{
		Ref: proxmox.Ref{Node: "pve1", ID: id}, Config: f.Config(), Raw: f.Current().Raw(), Power: spec.Stopped,
	}
	if f.Current().Values()["onboot"] == "1" {
		s.Power = spec.Running
	}
	return s
}

// read loads the files of a spec.
func read(t testing.TB, files map[string][]byte) (*spec.State, error) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, data := range files {
		fsys[name] = &fstest.MapFile{Data: data}
	}
	return load.Load(fsys, load.Options{})
}

// observe is what package live would find: sources, with the owner's tag where owned.
func observe(t testing.TB, sources []write.Source, style setting.TagStyle, owned bool) *plan.Live {
	t.Helper()
	have := &plan.Live{Nodes: map[string]bool{"pve1": true, "pve2": true}, TagStyle: style, Containers: map[proxmox.VMID]*plan.Observed{}}
	for _, s := range sources {
		c := s.Config
		c.Current = maps.Clone(c.Current)
		if len(s.Raw) > 0 {
			var lines []string
			for _, l := range s.Raw {
				lines = append(lines, l.Key+": "+l.Value)
			}
			c.Current["lxc"] = strings.Join(lines, "\n")
		}
		if owned {
			tag := func(v proxmox.Values) {
				tags := setting.Words(v["tags"])
				if !slices.ContainsFunc(tags, func(s string) bool { return s == "tend" || !style.CaseSensitive && strings.EqualFold(s, "tend") }) {
					tags = append(tags, "tend")
				}
				want, _ := setting.Tags.Want(tags, nil, setting.Facts{TagStyle: style}) // as Proxmox would store them
				v["tags"] = setting.Tags.FormatWire(want)
			}
			tag(c.Current)
			if _, ok := c.Pending["tags"]; ok {
				c.Pending = maps.Clone(c.Pending)
				tag(c.Pending)
			}
		}
		o := &plan.Observed{
			Ref: s.Ref, Name: c.Current["hostname"], Tags: setting.Words(c.Current["tags"]),
			Running: s.Power == spec.Running, Managed: true, Config: c,
		}
		o.Broken = o.Understand()
		have.Containers[s.Ref.ID] = o
	}
	return have
}

// inSync fails unless the plan of a spec is the owner's tag before adoption, and nothing after it.
func inSync(t testing.TB, files map[string][]byte, sources []write.Source, style setting.TagStyle) {
	t.Helper()
	state, err := read(t, files)
	if err != nil {
		t.Fatalf("does not load: %v\n%s", err, join(files))
	}
	before := plan.Compute(state, observe(t, sources, style, false), plan.Policy{})
	for _, l := range before.Lanes {
		for _, ch := range l.Changes {
			if ch.Row.SpecPath() != "tags" && ch.Note != "pending already" {
				t.Errorf("%d %s: before adoption: %s: %v → %v\n%s", l.Ref.ID, l.Name, ch.Label(), ch.Old, ch.New, join(files))
			}
		}
	}
	after := plan.Compute(state, observe(t, sources, style, true), plan.Policy{})
	for _, l := range after.Lanes {
		for _, ch := range l.Changes {
			if ch.Note == "pending already" {
				continue
			}
			t.Errorf("%d %s: %s: %v → %v (%s)\n%v\n%s", l.Ref.ID, l.Name, ch.Label(), ch.Old, ch.New, ch.Note, sourceByID(sources, l.Ref.ID), join(files))
		}
		for _, s := range l.Steps {
			t.Errorf("%d %s: step %s", l.Ref.ID, l.Name, s.Op.Verb())
		}
	}
	for _, p := range []*plan.Plan{before, after} {
		for _, b := range p.Blocked {
			if !b.Waiting {
				t.Errorf("%d %s: blocked: %s: %s\n%v\n%s", b.ID, b.Name, b.What, b.Reason, sourceByID(sources, b.ID), join(files))
			}
		}
	}
}

func sourceByID(sources []write.Source, id proxmox.VMID) proxmox.Config {
	i := slices.IndexFunc(sources, func(s write.Source) bool { return s.Ref.ID == id })
	return sources[i].Config
}

// joinNamed is all files with their names.
func joinNamed(files map[string][]byte) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b.WriteString("-- " + name + " --\n")
		b.Write(files[name])
	}
	return b.String()
}

// join is files for the message of a failed test: of many only what they share.
func join(files map[string][]byte) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if len(files) > 4 && name != "cluster.yaml" {
			continue
		}
		b.WriteString("-- " + name + " --\n")
		b.Write(files[name])
	}
	return b.String()
}

func TestCorpus(t *testing.T) {
	sources := corpus(t, "../../testdata/pve/corpus/*.conf")
	if len(sources) < 30 {
		t.Fatalf("%d files are no corpus", len(sources))
	}
	for _, o := range []write.Options{{}, {Layout: write.ByTag}, {Layout: write.Single}, {NoLayers: true}} {
		r := write.Spec(sources, o)
		inSync(t, r.Files, sources, setting.TagStyle{})
		if state, err := read(t, r.Files); err != nil || len(state.Containers) != len(sources) {
			t.Errorf("%v: not all containers are there: %v", o, r.Problems)
		}
	}
	for _, s := range sources { // each alone
		inSync(t, write.Spec([]write.Source{s}, write.Options{}).Files, []write.Source{s}, setting.TagStyle{})
	}
}
