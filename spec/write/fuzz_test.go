package write_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/proxmox/pct"
	"github.com/felhom/tend/spec/write"
)

// FuzzMerge merges any container into any spec: the text is edited such that it says what is live and nothing
// else, or nothing is changed; the spec that comes of it needs no second merge.
func FuzzMerge(f *testing.F) {
	names, err := filepath.Glob("testdata/merge/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, spec := range a.Files {
			for _, conf := range a.Files {
				if strings.HasSuffix(spec.Name, ".yaml") && strings.HasSuffix(conf.Name, ".conf") {
					f.Add(spec.Data, conf.Data)
				}
			}
		}
	}
	f.Add([]byte("containers: {web: {id: 101, node: pve1, tags: [\n a, # x\n b], mounts: , cores: 2}}"), []byte("hostname: web\ntags: b;c\nmp0: a1:b,mp=/x\n"))
	f.Add([]byte("containers:\n  ? web\n  : id: 101\n    node: pve1\n    description: >-\n\n      a\n      b\n\n"), []byte("#x\n#y\nhostname: web\ncores: 3\n"))
	f.Fuzz(func(t *testing.T, text, conf []byte) {
		var sources []write.Source
		for id := proxmox.VMID(101); id <= 103; id++ {
			sources = append(sources, write.FromFile(proxmox.Ref{Node: "pve1", ID: id}, conffile.Parse(conf)))
		}
		files := map[string][]byte{"spec.yaml": text}
		r, err := write.Merge(mapFS(files), sources[:1], write.Options{})
		if err != nil {
			if strings.Contains(err.Error(), "report this") {
				t.Fatal(err)
			}
			return
		}
		if len(r.Files) == 0 {
			return
		}
		again, err := write.Merge(mapFS(r.Files), sources[:1], write.Options{})
		if err != nil || len(again.Files) > 0 {
			t.Fatalf("a second merge: %v\n%s\n---\n%s\n---\n%s", err, text, r.Files["spec.yaml"], again.Files["spec.yaml"])
		}
	})
}

// FuzzCommand writes the spec of any command line that can be read: it loads.
func FuzzCommand(f *testing.F) {
	f.Add("pct create 120 local:vztmpl/a.tar --hostname media --rootfs 8 --storage local --mp0 local:8,mp=/a --net0 name=eth0,ip=dhcp --start 1")
	f.Add("pct create 101 - --mp0 /srv,mp=/srv --tags 'a;b' --swap 0 --features nesting=1,fuse=1 --unprivileged no\npct set 101 --delete swap")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := pct.Parse(text)
		if err != nil {
			return
		}
		var sources []write.Source
		for _, c := range all {
			sources = append(sources, write.FromCommand("pve1", c))
		}
		r := write.Spec(sources, write.Options{})
		if _, err := read(t, r.Files); err != nil {
			t.Errorf("%v\n%s", err, joinAll(r.Files))
		}
	})
}

func BenchmarkSpec(b *testing.B) {
	for _, n := range []int{100, 1000} {
		c := chance{rand.New(rand.NewPCG(1, 3)), b}
		var sources []write.Source
		for i := range n {
			sources = append(sources, c.source(100+i))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				write.Spec(sources, write.Options{})
			}
		})
		b.Run(fmt.Sprintf("merge-%d", n), func(b *testing.B) {
			files := write.Spec(sources, write.Options{}).Files
			drifted := sources
			for i := range 10 {
				drifted = append([]write.Source{c.drift(sources[i])}, drifted...)
			}
			for b.Loop() {
				if _, err := write.Merge(mapFS(files), drifted[:n], write.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
