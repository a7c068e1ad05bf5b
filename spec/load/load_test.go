package load_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/setting"
)

var update = flag.Bool("update", false, "write the golden files anew")

// files makes a folder from the files of an archive, but for the golden one.
func files(a *txtar.Archive) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, f := range a.Files {
		if f.Name != "faults" {
			fsys[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	return fsys
}

// TestBad loads specs with faults: each archive ends with the file "faults", all that is to be reported.
func TestBad(t *testing.T) {
	names, err := filepath.Glob("../../testdata/spec/bad/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			state, err := load.Load(files(a), load.Options{})
			if err == nil {
				t.Fatalf("loads without a fault: %d containers", len(state.Containers))
			}
			if state != nil {
				t.Error("returns a state beside the faults")
			}
			got := err.Error() + "\n"
			golden := len(a.Files) - 1
			if a.Files[golden].Name != "faults" {
				golden++
				a.Files = append(a.Files, txtar.File{Name: "faults"})
			}
			if *update {
				a.Files[golden].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(a.Files[golden].Data), got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGood(t *testing.T) {
	names, err := filepath.Glob("../../testdata/spec/good/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			if _, err := load.Path(name, load.Options{}); err != nil {
				t.Error(err)
			}
		})
		t.Run(filepath.Base(name)+" with Windows line ends and a byte order mark", func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want, err := load.Path(name, load.Options{})
			if err != nil {
				t.Fatal(err)
			}
			windows := append([]byte("\xef\xbb\xbf"), bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))...)
			got, err := load.Load(fstest.MapFS{"a.yaml": {Data: windows}}, load.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".File" }, cmp.Ignore())); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMerge shows the order of layers and that mappings are merged while all else is replaced.
func TestMerge(t *testing.T) {
	state, err := load.Load(fstest.MapFS{
		"a.yaml": {Data: []byte(`
defaults:
  node: pve1
  tags: [default]
  env: {A: "1", B: "1"}
  rootfs: {storage: local, size: 1GiB}
  network: {eth0: {bridge: vmbr0, vlan: 1}}
  restart: now
profiles:
  one: {cores: 1, env: {B: "2", C: "2"}, network: {eth0: {vlan: 2}, eth1: {bridge: vmbr1}}, dns: {servers: [192.0.2.1]}}
  two: {cores: 2, dns: {search: example.org}}
`)},
		"b/c.yml": {Data: []byte(`
cluster: {name: lab, owner: us}
defaults: {memory: 1GiB, features: {nesting: true}}
containers:
  web: {id: 101, use: [one, two], tags: [web], rootfs: {size: 2GiB}, env: {C: "3"}, features: {fuse: true}}
  db: {id: 100, use: [two, one], node: pve2, hostname: data}
`)},
	}, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	eth0 := setting.Record{"bridge": "vmbr0", "vlan": int64(2)}
	eth1 := setting.Record{"bridge": "vmbr1"}
	want := &spec.State{
		Cluster: spec.Cluster{Name: "lab", Owner: "us"},
		Containers: []*spec.Container{{
			Name: "db", ID: 100, Node: "pve2", Power: spec.Running, Restart: spec.RestartNow,
			Place: spec.Place{File: "b/c.yml", Line: 6, Column: 3},
			Settings: setting.Record{
				"cores": int64(1), "tags": []string{"default"}, "env": map[string]string{"A": "1", "B": "2", "C": "2"},
				"rootfs":  setting.Record{"storage": "local", "size": setting.GiB},
				"network": setting.Members{"eth0": eth0, "eth1": eth1}, "dns.servers": []string{"192.0.2.1"},
				"dns.search": []string{"example.org"}, "memory": setting.GiB, "hostname": "data",
				"features": setting.Record{"nesting": true},
			},
		}, {
			Name: "web", ID: 101, Node: "pve1", Power: spec.Running, Restart: spec.RestartNow,
			Place: spec.Place{File: "b/c.yml", Line: 5, Column: 3},
			Settings: setting.Record{
				"cores": int64(2), "tags": []string{"web"}, "env": map[string]string{"A": "1", "B": "2", "C": "3"},
				"rootfs":  setting.Record{"storage": "local", "size": 2 * setting.GiB},
				"network": setting.Members{"eth0": eth0, "eth1": eth1}, "dns.servers": []string{"192.0.2.1"},
				"dns.search": []string{"example.org"}, "memory": setting.GiB,
				"features": setting.Record{"nesting": true, "fuse": true},
			},
		}},
	}
	if diff := cmp.Diff(want, state); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

// TestContainer shows that everything beside the settings reaches its field.
func TestContainer(t *testing.T) {
	state, err := load.Path("../../testdata/spec/good/homelab.yaml", load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := *state.Containers[0]
	got.Settings = nil
	want := spec.Container{
		Name: "media", ID: 120, Node: "pve1", Power: spec.Running, Restart: spec.RestartWindow,
		From:      spec.From{Template: "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"},
		Lifecycle: spec.Lifecycle{ForbidDestroy: true, Ignore: []string{"description", "network"}},
		Init:      spec.Init{SSHKeys: []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"}, Password: spec.SecretRef{File: "/run/credentials/media"}},
		Place:     spec.Place{File: "../../testdata/spec/good/homelab.yaml", Line: 17, Column: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("media (-want +got):\n%s", diff)
	}
	if got := state.Containers[1].Hostname(); got != "web.home.lan" {
		t.Errorf("host name of web: %q", got)
	}
	if got := state.Containers[0].Hostname(); got != "media" {
		t.Errorf("host name of media: %q", got)
	}
}

func TestMergeKeys(t *testing.T) {
	state, err := load.Path("../../testdata/spec/good/anchors.yaml", load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := setting.Record{
		"memory": 2 * setting.GiB, "swap": 2 * setting.GiB,
		"network": setting.Members{"eth0": {"bridge": "vmbr0", "ipv4": "dhcp", "vlan": int64(5), "firewall": true}},
	}
	if diff := cmp.Diff(want, state.Containers[1].Settings); diff != "" {
		t.Errorf("two (-want +got):\n%s", diff)
	}
}

// one is a spec of one file.
func one(text string) fs.FS { return fstest.MapFS{"a.yaml": {Data: []byte(text)}} }

// TestHostile loads what nobody writes in good faith, or what broke on its way.
func TestHostile(t *testing.T) {
	const ok = "containers: {web: {id: 100, node: a}}\n"
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := '1'; i <= '9'; i++ {
		bomb.WriteString("a" + string(i) + ": &a" + string(i) + " [" + strings.Repeat("*a"+string(i-1)+", ", 9) + "*a" + string(i-1) + "]\n")
	}
	var merges strings.Builder
	merges.WriteString("a: &a {")
	for i := range 2000 {
		merges.WriteString("k" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strings.Repeat("y", i/26) + ": 1, ")
	}
	merges.WriteString("}\nb:\n" + strings.Repeat("- {<<: *a}\n", 2000))
	tests := []struct {
		name, text, want string
	}{
		{"bytes of Latin-1", "containers: # \xe4\n", "a.yaml:1:15: byte 0xe4 is not UTF-8"},
		{"UTF-16", "\xff\xfec\x00", "a.yaml:1:1: is UTF-16"},
		{"NUL", ok + "# \x00", "a.yaml:2:3: control character U+0000"},
		{"escape codes", "containers: \x1b[31m", "a.yaml:1:13: control character U+001B"},
		{"a file that was cut off", " \n", "a.yaml: is empty"},
		{"tab as the first character", "containers:\n  web:\n\t\tid: 1", "a.yaml:3:1: a tab indents this line"},
		{"aliases of aliases", bomb.String() + ok, "aliases repeat too much"},
		{"merge keys of many keys", merges.String() + ok, "aliases repeat too much"},
		{"alias of itself", "containers: &a {web: *a}", "a.yaml:1:22: containers.web: the anchor &a contains itself"},
		{"deep lists", "containers: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "nested more than 100 levels deep"},
		{"deeper lists than the parser takes", strings.Repeat("[", 100000), "is not YAML"},
		{"deep mappings", "containers: " + strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000), "nested more than 100 levels deep"},
		{"chain of anchors", chain(200) + ok, "nested more than 100 levels deep"},
		{"a mapping as key", "? {a: b}\n: c", "a key must be a text"},
		{"null as key", "~: a", "a key must be a text"},
		{"millions of values", "containers: [" + strings.Repeat("a,", 2<<20) + "]", "a.yaml: holds more than 1048576 values"},
		{"huge number", "containers: {web: {id: 100000000000000000000000000, node: a}}", "put it in quotes"},
		{"alias of a key", "&k containers: {web: {id: 100, node: a, description: *k}}\nx: 1", "x: unknown field"},
		{"unknown anchor", "containers:\n  web: *gone\n", "a.yaml:2:8: there is no anchor &gone above"},
		{"error of the parser, which counts lines from 0", "a:\n  - b\n  c: 1\n", "a.yaml:2:3: is not YAML: did not find expected '-' indicator"},
		{"error of the scanner, which counts them from 1", "x: 1\ny: @foo\n", "a.yaml:2:1: is not YAML: found character that cannot start any token"},
		{"tab after blanks", "x:\n  y: 1\n  \tz: 2\n", "a.yaml:3:3: a tab indents this line"},
		{"list with a spoilt element", "containers: {web: {id: 100, node: a, tags: [on, 12]}}", "containers.web.tags.1: the number 12 is not a text"},
		{"second document after comments", ok + "---\n# more\nx: 1\n", "a.yaml:2:1: a second document"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load.Load(one(tt.text), load.Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// chain is a list in a list in a list, each by an anchor, so that no line is deep.
func chain(n int) string {
	var b strings.Builder
	b.WriteString("c0: &c0 [x]\n")
	for i := 1; i <= n; i++ {
		b.WriteString("c" + string(rune('a'+i%26)) + strings.Repeat("z", i) + ": &c" + strings.Repeat("i", i) + " [*c" + previous(i) + "]\n")
	}
	return b.String()
}

func previous(i int) string {
	if i == 1 {
		return "0"
	}
	return strings.Repeat("i", i-1)
}

func TestSize(t *testing.T) {
	big := "# " + strings.Repeat("x", 10<<20) + "\ncontainers: {}\n"
	_, err := load.Load(one(big), load.Options{})
	if want := "a.yaml: is larger than 8 MiB: split it into several files"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	if _, err := load.Load(one(big), load.Options{MaxFile: 11 << 20}); err != nil {
		t.Errorf("with a higher limit: %v", err)
	}
}

func TestNothing(t *testing.T) {
	_, err := load.Load(fstest.MapFS{}, load.Options{})
	if want := ".: no spec found: there is no *.yaml or *.yml file here"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	dir := t.TempDir()
	_, err = load.Path(dir, load.Options{})
	if want := dir + ": no spec found: there is no *.yaml or *.yml file here"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	if _, err = load.Path(filepath.Join(dir, "none"), load.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a path that does not exist: %v", err)
	}
}

// write makes files and links below a folder; a link is written "-> target".
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLinks(t *testing.T) {
	const web, db = "containers: {web: {id: 100, node: a}}\n", "containers: {db: {id: 101, node: a}}\n"
	tests := []struct {
		name  string
		files map[string]string
		want  []string // parts of the faults, in order; none where it loads
	}{
		{"to a file of a hidden folder, as Kubernetes mounts them", map[string]string{
			"spec/..v1/web.yaml": web, "spec/..data": "-> ..v1", "spec/web.yaml": "-> ..data/web.yaml",
		}, nil},
		{"to a file that is read anyway", map[string]string{"spec/web.yaml": web, "spec/x.yaml": "-> web.yaml"}, []string{
			"x.yaml:1:14: containers.web: is written in",
		}},
		{"to itself", map[string]string{"spec/web.yaml": web, "spec/x.yaml": "-> x.yaml"}, []string{"x.yaml: is a link that leads nowhere"}},
		{"in a circle of folders", map[string]string{"spec/a/web.yaml": web, "spec/a/up": "-> .."}, []string{"a/up: is a link to a folder"}},
		{"out of the folder", map[string]string{"spec/web.yaml": web, "db.yaml": db, "spec/x.yaml": "-> ../db.yaml"}, []string{
			"x.yaml: is a link that leads nowhere, in a circle or out of the folder",
		}},
		{"to nothing", map[string]string{"spec/web.yaml": web, "spec/x.yaml": "-> gone.yaml"}, []string{"x.yaml: is a link that leads nowhere"}},
		{"to a file that is no spec", map[string]string{"spec/web.yaml": web, "spec/README": "hello", "spec/x": "-> README"}, nil},
		{"hidden", map[string]string{"spec/web.yaml": web, "spec/.x": "-> /nowhere"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, tt.files)
			_, err := load.Path(filepath.Join(dir, "spec"), load.Options{})
			var faults load.Faults
			if err != nil && !errors.As(err, &faults) {
				t.Fatal(err)
			}
			if len(faults) != len(tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			for i, want := range tt.want {
				if !strings.Contains(faults[i].Error(), want) {
					t.Errorf("got %v, want %q", faults[i], want)
				}
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"folder.yaml/web.yaml": "containers: {web: {id: 100, node: a}}\n"})
	if _, err := load.Path(dir, load.Options{}); err != nil {
		t.Errorf("a folder with the name of a file: %v", err)
	}
	_, err := load.Load(failing{one("containers: {}")}, load.Options{})
	if err == nil || !strings.Contains(err.Error(), "a.yaml: cannot be read: broken disk") || !errors.Is(err, errDisk) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

var errDisk = errors.New("broken disk")

// failing is a file system whose files cannot be opened.
type failing struct{ fs.FS }

func (f failing) Open(name string) (fs.File, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errDisk}
	}
	return f.FS.Open(name)
}

func (f failing) Stat(name string) (fs.FileInfo, error) { return fs.Stat(f.FS, name) }

// FuzzLoad shows that no text makes loading panic, that a fault has its place, and that what loads has all
// that is required.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"../../testdata/spec/good/*", "../../testdata/spec/bad/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			a, err := txtar.ParseFile(name)
			if err != nil {
				f.Fatal(err)
			}
			for _, file := range a.Files {
				f.Add(file.Data)
			}
			f.Add(a.Comment)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := load.Load(fstest.MapFS{"a.yaml": {Data: data}}, load.Options{MaxFile: 1 << 16})
		if err != nil {
			var faults load.Faults
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("no faults: %v", err)
			}
			for _, f := range faults {
				if f.Place.File == "" || f.Err == nil {
					t.Errorf("fault without place or words: %v", f)
				}
			}
			return
		}
		for _, c := range state.Containers {
			if c.ID == 0 || c.Node == "" {
				t.Errorf("%s has no id or node", c.Name)
			}
		}
	})
}
