package write_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/setting"
	"github.com/felhom/tend/spec/write"
)

// TestGolden shows what people get: the corpus in each layout, and the files that a node wrote.
func TestGolden(t *testing.T) {
	tests := []struct {
		file, glob string
		o          write.Options
	}{
		{"testdata/corpus.txt", "../../testdata/pve/corpus/*.conf", write.Options{Cluster: "home"}},
		{"testdata/node.txt", "../../testdata/pve/conf/*.conf", write.Options{Layout: write.Single}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			sources := corpus(t, tt.glob)
			r := write.Spec(sources, tt.o)
			inSync(t, r.Files, sources, setting.TagStyle{})
			got := joinNamed(r.Files)
			for _, p := range r.Problems {
				got += p.String() + "\n"
			}
			if *update {
				if err := os.WriteFile(tt.file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(tt.file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestOrder writes the same files whatever the order of what was found.
func TestOrder(t *testing.T) {
	sources := corpus(t, "../../testdata/pve/corpus/*.conf")
	want := write.Spec(sources, write.Options{})
	for i := range sources {
		sources[i], sources[len(sources)-1-i/2] = sources[len(sources)-1-i/2], sources[i]
	}
	if d := cmp.Diff(want, write.Spec(sources, write.Options{})); d != "" {
		t.Error(d)
	}
}

// TestAdopt writes adopt: true unless it shall not, or the tag is there.
func TestAdopt(t *testing.T) {
	s := sourceOf(101, conffile.Parse([]byte("hostname: web\nrootfs: local:1/x.raw,size=1G\nswap: 0\n")))
	owned := sourceOf(102, conffile.Parse([]byte("hostname: db\nrootfs: local:2/x.raw,size=1G\nswap: 0\ntags: tend\n")))
	for name, tt := range map[string]struct {
		o    write.Options
		want int
	}{"as usual": {write.Options{}, 1}, "not": {write.Options{NoAdopt: true}, 0}, "another owner": {write.Options{Owner: "other"}, 2}} {
		text := joinAll(write.Spec([]write.Source{s, owned}, tt.o).Files)
		if got := strings.Count(text, "adopt: true\n"); got != tt.want {
			t.Errorf("%s: %d times adopt: true\n%s", name, got, text)
		}
	}
}

// TestLeftOut tells of what cannot be written at all, and writes a spec that loads all the same.
func TestLeftOut(t *testing.T) {
	good := sourceOf(101, conffile.Parse([]byte("hostname: web\nrootfs: local:1/x.raw,size=1G\n")))
	broken := sourceOf(102, conffile.Parse([]byte("hostname: db\nnet0: name=eth0,newkey=1\n")))
	tests := []struct {
		name    string
		sources []write.Source
		want    []string
	}{
		{"nothing", nil, nil},
		{"unknown part", []write.Source{good, broken}, []string{`102 db: left out, since this version of tend does not understand it: net0: "name=eth0,newkey=1" unknown part "newkey"`}},
		{"twice", []write.Source{good, good}, []string{"101 web: is there twice: only the first one is written"}},
		{"no VMID", []write.Source{{Ref: proxmox.Ref{Node: "pve1", ID: 7}}}, []string{"7 : 7 is no VMID"}},
		{"no node", []write.Source{{Ref: proxmox.Ref{ID: 101}, Config: good.Config}}, []string{"101 web: left out: node: is missing: write the node, here or in defaults"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := write.Spec(tt.sources, write.Options{})
			var got []string
			for _, p := range r.Problems {
				got = append(got, p.String())
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if _, err := read(t, r.Files); err != nil {
				t.Errorf("%v\n%s", err, joinAll(r.Files))
			}
		})
	}
}

// TestAdd writes containers for a spec that is there: its defaults lie under them, its names are taken.
func TestAdd(t *testing.T) {
	old := map[string][]byte{"cluster.yaml": []byte("defaults: {node: pve1, swap: 0MiB, rootfs: {storage: local}}\ncontainers: {web: {id: 900}}\n")}
	w, err := load.Layers(mapFS(old), load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := sourceOf(101, conffile.Parse([]byte("hostname: web.home.lan\nrootfs: local:1/x.raw,size=1G\n")))
	s.Config.Current["unprivileged"] = "1"
	r := write.Spec([]write.Source{s}, write.Options{Defaults: w.Defaults.Record, Taken: []string{"web"}})
	want := map[string]string{"containers/web-101.yaml": `containers:
  web-101:
    id: 101
    adopt: true
    hostname: web.home.lan
    rootfs: {size: 1GiB}
    state: stopped
`}
	got := map[string]string{}
	for name, data := range r.Files {
		got[name] = string(data)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// FuzzFile writes the spec of any file that could have been saved: it loads and is in sync, or the container
// is left out.
func FuzzFile(f *testing.F) {
	for _, s := range []string{"#a%FF%0D\nhostname: web\nmp0: local:1/a,mp=/a,size=1G\nswap: 0\n", "hostname: a\n[pve:pending]\nmemory: 1\ndelete: mp0\n", "lxc.cap.drop: x\nlxc.environment.runtime: A=1\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := conffile.Parse(data)
		s := write.FromFile(proxmox.Ref{Node: "pve1", ID: 101}, file)
		s.Config.Pending, s.Config.Deleted = nil, nil // shown elsewhere: what is pending must make sense
		r := write.Spec([]write.Source{s}, write.Options{})
		if len(r.Problems) > 0 && r.Problems[0].Path == "" {
			if _, err := read(t, r.Files); err != nil {
				t.Fatalf("%v\n%s", err, joinAll(r.Files))
			}
			return
		}
		inSync(t, r.Files, []write.Source{s}, setting.TagStyle{})
	})
}
