package write_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
	"github.com/felhom/tend/spec/write"
)

var update = flag.Bool("update", false, "write the golden files anew")

// mapFS makes a folder of files.
func mapFS(files map[string][]byte) fstest.MapFS {
	out := fstest.MapFS{}
	for name, data := range files {
		out[name] = &fstest.MapFile{Data: data}
	}
	return out
}

// TestMergeGolden merges saved files into specs: each archive holds a spec (*.yaml), what is live (ID.conf) and
// what becomes of the spec (want/…) with the problems (problems).
func TestMergeGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/merge/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files, want := map[string][]byte{}, map[string]string{}
			var sources []write.Source
			var inputs []txtar.File
			for _, f := range a.Files {
				var id proxmox.VMID
				switch {
				case strings.HasPrefix(f.Name, "want/") || f.Name == "problems":
					want[f.Name] = string(f.Data)
					continue
				case strings.HasSuffix(f.Name, ".yaml"):
					files[f.Name] = f.Data
				default:
					if _, err := fmt.Sscanf(f.Name, "%d.conf", &id); err != nil {
						t.Fatalf("%s: %v", f.Name, err)
					}
					sources = append(sources, write.FromFile(proxmox.Ref{Node: "pve1", ID: id}, conffile.Parse(f.Data)))
				}
				inputs = append(inputs, f)
			}
			r, err := write.Merge(mapFS(files), sources, write.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			after := maps.Clone(files)
			for name, data := range r.Files {
				got["want/"+name] = string(data)
				after[name] = data
			}
			for _, p := range r.Problems {
				got["problems"] += p.String() + "\n"
			}
			if len(r.Problems) == 0 {
				inSync(t, after, sources, setting.TagStyle{})
			}
			if *update {
				a.Files = inputs
				for _, name := range slices.Sorted(maps.Keys(got)) {
					a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(got[name])})
				}
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			again, err := write.Merge(mapFS(after), sources, write.Options{})
			if err != nil || len(again.Files) > 0 {
				t.Errorf("a second merge changes %v, %v", slices.Collect(maps.Keys(again.Files)), err)
			}
		})
	}
}

var (
	flowList = regexp.MustCompile(`^( *)([a-z]+): \[([^\[\]"{}]+)\]$`)
	literal  = regexp.MustCompile(`: \|-?$`)
)

// annotate puts a comment above and at the end of every line, and some lists into lines of their own.
func annotate(c chance, files map[string][]byte) (map[string][]byte, int) {
	out, n := map[string][]byte{}, 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		var b strings.Builder
		block := -1
		for line := range strings.SplitSeq(strings.TrimSuffix(string(files[name]), "\n"), "\n") {
			indent := len(line) - len(strings.TrimLeft(line, " "))
			note := func() string { n++; return fmt.Sprintf("# c%d.", n) }
			pad := strings.Repeat(" ", indent)
			if strings.TrimSpace(line) == "" || block >= 0 && indent > block || strings.HasPrefix(strings.TrimSpace(line), "#") {
				b.WriteString(line + "\n")
				continue
			}
			block = -1
			b.WriteString(pad + note() + "\n")
			m := flowList.FindStringSubmatch(line)
			switch {
			case literal.MatchString(line):
				block = indent
				b.WriteString(line + " " + note() + "\n")
			case m != nil && c.IntN(2) == 0:
				b.WriteString(m[1] + m[2] + ": " + note() + "\n")
				for item := range strings.SplitSeq(m[3], ", ") {
					b.WriteString(pad + "  " + note() + "\n" + pad + "  - " + item + " " + note() + "\n")
				}
			case strings.Contains(line, " # "):
				b.WriteString(line + "\n")
			default:
				b.WriteString(line + "  " + note() + "\n")
			}
		}
		b.WriteString(fmt.Sprintf("# c%d.\n", n+1))
		n++
		out[name] = []byte(b.String())
	}
	return out, n
}

// drift changes a live container by hand.
func (c chance) drift(s write.Source) write.Source {
	s.Config.Current = maps.Clone(s.Config.Current)
	s.Config.Pending, s.Config.Deleted = proxmox.Values{}, map[string]bool{}
	v := s.Config.Current
	for range c.IntN(5) {
		row := pick(c, setting.Container.Rows)
		fam, ok := row.(*setting.Family)
		switch key := row.PVEKey(); {
		case key == "rootfs" || key == "template" || key == "unprivileged":
		case c.IntN(3) > 0:
			c.value(int(s.Ref.ID), row, v)
		case ok:
			for i := range fam.Max + 1 {
				if v[fam.Key(i)] != "" && c.IntN(2) == 0 {
					delete(v, fam.Key(i))
				}
			}
		default:
			delete(v, key)
		}
	}
	if c.IntN(4) == 0 {
		s.Raw = slices.Clone(pick(c, rawLines))
	}
	if v["template"] != "1" && c.IntN(5) == 0 {
		s.Power = pick(c, []spec.Power{spec.Running, spec.Stopped})
	}
	return s
}

var commentRE = regexp.MustCompile(`# c[0-9]+\.`)

// TestMergeRandom writes random clusters, puts comments everywhere, changes the containers by hand, and merges:
// the next plan is empty, and each comment is there, in the same order.
func TestMergeRandom(t *testing.T) {
	rounds := 600
	if testing.Short() {
		rounds = 60
	}
	changed, problems := 0, 0
	for seed := range uint64(rounds) {
		c := chance{rand.New(rand.NewPCG(seed, 2)), t}
		var sources, drifted []write.Source
		for i := range 1 + c.IntN(8) {
			s := c.source(100 + i)
			s.Config.Pending, s.Config.Deleted = proxmox.Values{}, map[string]bool{}
			sources = append(sources, s)
		}
		common := c.drift(sources[0]) // what happened to several of them
		for _, s := range sources {
			d := c.drift(s)
			if c.IntN(2) == 0 {
				for k, text := range common.Config.Current {
					if sources[0].Config.Current[k] != text && k != "hostname" && k != "rootfs" && !strings.HasPrefix(k, "mp") {
						d.Config.Current[k] = text
					}
				}
			}
			drifted = append(drifted, d)
		}
		first := write.Spec(sources, write.Options{Layout: pick(c, []write.Layout{write.PerContainer, write.Single})})
		files, n := annotate(c, first.Files)
		if _, err := read(t, files); err != nil {
			t.Fatalf("seed %d: the comments spoil it: %v\n%s", seed, err, joinAll(files))
		}
		r, err := write.Merge(mapFS(files), drifted, write.Options{})
		if err != nil {
			if strings.Contains(err.Error(), "would not load") { // addresses taken twice by hand
				problems++
				continue
			}
			t.Fatalf("seed %d: %v\n%s", seed, err, join(files))
		}
		if len(r.Files) > 0 {
			changed++
		}
		before := commentRE.FindAllString(joinAll(files), -1)
		for name, data := range r.Files {
			files[name] = data
		}
		after := commentRE.FindAllString(joinAll(files), -1)
		if len(before) != n {
			t.Fatalf("seed %d: %d comments for %d", seed, len(before), n)
		}
		if d := cmp.Diff(before, after); d != "" {
			t.Fatalf("seed %d: comments: %s\n%s", seed, d, join(files))
		}
		if len(r.Problems) > 0 {
			problems++
			continue
		}
		inSync(t, files, drifted, setting.TagStyle{})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d specs, %d changed, %d with problems", rounds, changed, problems)
}

func joinAll(files map[string][]byte) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b.Write(files[name])
	}
	return b.String()
}
