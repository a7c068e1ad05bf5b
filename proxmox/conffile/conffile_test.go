package conffile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
)

func TestParse(t *testing.T) {
	text := strings.Join([]string{
		"#100%25 done%3A ja%C3%A4",
		"#",
		"#%zz stays",
		"hostname: web",
		"memory:   512  ",
		"net0: name=eth0,bridge=vmbr0",
		"cores: 1",
		"cores: 2",
		"lxc.environment.runtime: A=1",
		"lxc.cap.drop = sys_admin",
		"lxc.environment.runtime: B=x: y # z",
		"what is this",
		"delete: mp0",
		"",
		"[pve:pending]",
		"memory: 1024",
		"delete: mp0,!nameserver",
		"",
		"[before]",
		"#a snapshot",
		"memory: 256",
		"snaptime: 1",
	}, "\n")
	f := conffile.Parse([]byte(text))
	want := proxmox.Config{
		Current: proxmox.Values{
			"description": "100% done: jaä\n\n%zz stays\n", "hostname": "web", "memory": "512",
			"net0": "name=eth0,bridge=vmbr0", "cores": "2", "env": "A=1\x00B=x: y # z",
		},
		Pending: proxmox.Values{"memory": "1024"},
		Deleted: map[string]bool{"mp0": true, "nameserver": true},
		Digest:  f.Config().Digest,
	}
	if d := cmp.Diff(want, f.Config()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]proxmox.RawLine{{Key: "lxc.cap.drop", Value: "sys_admin"}}, f.Current().Raw()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"before"}, f.Snapshots()); d != "" {
		t.Error(d)
	}
	var problems []string
	for _, p := range f.Problems() {
		problems = append(problems, p.String())
	}
	if d := cmp.Diff([]string{
		`line 12: is not a line of such a file: "what is this"`,
		`line 13: delete is only allowed in the pending section: "delete: mp0"`,
	}, problems); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(text, string(f.Bytes())); d != "" {
		t.Error(d)
	}
}

func TestKinds(t *testing.T) {
	tests := []struct {
		name, text string
		want       conffile.Line
	}{
		{"blank", " \t\n", conffile.Line{Kind: conffile.Blank}},
		{"windows", "cores: 2\r\n", conffile.Line{Kind: conffile.Setting, Key: "cores", Value: "2"}},
		{"pending in capitals", "[PVE:PENDING] ", conffile.Line{Kind: conffile.Head, Key: conffile.Pending}},
		{"snapshot", "[a-b_1]", conffile.Line{Kind: conffile.Head, Key: "a-b_1"}},
		{"one letter is no name", "[a]", conffile.Line{Kind: conffile.Unknown}},
		{"raw", "lxc.net.0.type: veth", conffile.Line{Kind: conffile.Raw, Key: "lxc.net.0.type", Value: "veth"}},
		{"raw without value", "lxc.cap.drop:", conffile.Line{Kind: conffile.Raw, Key: "lxc.cap.drop"}},
		{"old description", "description: a%0Ab", conffile.Line{Kind: conffile.Setting, Key: "description", Value: "a\nb"}},
		{"no value", "cores:", conffile.Line{Kind: conffile.Unknown}},
		{"indented", " cores: 1", conffile.Line{Kind: conffile.Unknown}},
		{"bytes", "#%FF", conffile.Line{Kind: conffile.Comment, Value: "\xff"}},
		{"escape cut off", "#%4", conffile.Line{Kind: conffile.Comment, Value: "%4"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := conffile.Parse([]byte(tt.text))
			last := f.Sections[len(f.Sections)-1]
			tt.want.Text = tt.text
			if d := cmp.Diff([]conffile.Line{tt.want}, last.Lines); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestCorpus reads files that nodes wrote and such that people published: no line is unknown.
func TestCorpus(t *testing.T) {
	for _, glob := range []string{"../../testdata/pve/corpus/*.conf", "../../testdata/pve/conf/*.conf"} {
		names, err := filepath.Glob(glob)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: no files: %v", glob, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f := conffile.Parse(data)
			for _, p := range f.Problems() {
				t.Errorf("%s: %s", name, p)
			}
			if f.Config().Current["hostname"] == "" {
				t.Errorf("%s: no host name", name)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("#a%3A\nhostname: web\n\n[pve:pending]\ndelete: mp0\n\n[snap]\nmemory: 1\nlxc.cap.drop:\r\n"))
	f.Add([]byte("[pve:pending]\n[pve:pending]\n\xff: \x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := conffile.Parse(data)
		if string(file.Bytes()) != string(data) {
			t.Errorf("%q becomes %q", data, file.Bytes())
		}
		c := file.Config()
		for key := range c.Pending {
			if c.Deleted[key] {
				t.Errorf("%s is both pending and deleted", key)
			}
		}
		for _, v := range []proxmox.Values{c.Current, c.Pending} {
			for key, value := range v {
				if key != "description" && strings.ContainsAny(value, "\n") {
					t.Errorf("%s has several lines: %q", key, value)
				}
			}
		}
		file.Problems()
		file.Snapshots()
	})
}
