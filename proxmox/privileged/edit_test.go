package privileged_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/proxmox/privileged"
)

// corpus is every configuration file of the test data, by name.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, dir := range []string{"conf", "corpus"} {
		files, err := filepath.Glob("../../testdata/pve/" + dir + "/*.conf")
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out[dir+"/"+filepath.Base(name)] = data
		}
	}
	return out
}

func digestOf(file []byte) string { return conffile.Parse(file).Config().Digest }

// TestEditSnapshots adds a line to a container with two snapshots and pending changes, which have the same lines.
func TestEditSnapshots(t *testing.T) {
	old := string(corpus(t)["conf/running-pending-snapshots.conf"])
	have := privileged.RawLines(conffile.Parse([]byte(old)))
	line := proxmox.RawLine{Key: "lxc.mount.entry", Value: "/srv/films films none bind,ro,create=dir 0 0"}
	got, err := privileged.Edit([]byte(old), append(have, line), digestOf([]byte(old)))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(old, "\n\n[pve:pending]\n", "\n"+line.String()+"\n\n[pve:pending]\n", 1)
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	back, err := privileged.Edit(got, have, digestOf(got))
	if d := cmp.Diff(old, string(back)); d != "" || err != nil {
		t.Errorf("taking it away does not give the old file: %v\n%s", err, d)
	}
}

func TestEdit(t *testing.T) {
	a, b := proxmox.RawLine{Key: "lxc.cap.drop", Value: "sys_time"}, proxmox.RawLine{Key: "lxc.apparmor.profile", Value: "unconfined"}
	tests := []struct {
		name, old string
		want      []proxmox.RawLine
		text      string
	}{
		{"the first", "arch: amd64\nswap: 0\n", []proxmox.RawLine{a}, "arch: amd64\nswap: 0\nlxc.cap.drop: sys_time\n"},
		{"none there and none wanted", "arch: amd64", nil, "arch: amd64"},
		{"no line end at the end", "arch: amd64", []proxmox.RawLine{a}, "arch: amd64\nlxc.cap.drop: sys_time\n"},
		{"an empty file", "", []proxmox.RawLine{a}, "lxc.cap.drop: sys_time\n"},
		{"another order", a.String() + "\n" + b.String() + "\n", []proxmox.RawLine{b, a}, b.String() + "\n" + a.String() + "\n"},
		{"written otherwise and the same", "lxc.cap.drop =  sys_time  \n", []proxmox.RawLine{a}, "lxc.cap.drop =  sys_time  \n"},
		{"the same line twice", "arch: amd64\n", []proxmox.RawLine{a, a}, "arch: amd64\nlxc.cap.drop: sys_time\nlxc.cap.drop: sys_time\n"},
		{"the environment stays", "lxc.environment.runtime: A=1\nlxc.cap.drop: x\n", []proxmox.RawLine{a}, "lxc.environment.runtime: A=1\nlxc.cap.drop: sys_time\n"},
		{"what Proxmox drops stays", "lxc.unknown: 1\nlxc.rootfs.path: x\n???\n", []proxmox.RawLine{a}, "lxc.unknown: 1\nlxc.rootfs.path: x\n???\nlxc.cap.drop: sys_time\n"},
		{"lines in between go", "lxc.cap.drop: x\narch: amd64\nlxc.cap.drop: y\nswap: 0\n\n\n[s1]\nlxc.cap.drop: x\n", nil, "arch: amd64\nswap: 0\n\n\n[s1]\nlxc.cap.drop: x\n"},
		{"sections of other line ends", "arch: amd64\r\n\r\n[s1]\r\narch: amd64\r\n", []proxmox.RawLine{a}, "arch: amd64\r\nlxc.cap.drop: sys_time\n\r\n[s1]\r\narch: amd64\r\n"},
		{"the lock of a snapshot is none", "arch: amd64\n\n[s1]\nlock: backup\n", []proxmox.RawLine{a}, "arch: amd64\nlxc.cap.drop: sys_time\n\n[s1]\nlock: backup\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := privileged.Edit([]byte(tt.old), tt.want, digestOf([]byte(tt.old)))
			if d := cmp.Diff(tt.text, string(got)); d != "" || err != nil {
				t.Errorf("%v\n%s", err, d)
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	locked := []byte("arch: amd64\nlock: backup\n")
	_, err := privileged.Edit(locked, nil, digestOf(locked))
	if api := (*proxmox.APIError)(nil); !errors.Is(err, proxmox.ErrLocked) || !errors.As(err, &api) || api.Lock != "backup" {
		t.Errorf("want ErrLocked by backup, got %v", err)
	}
	if _, err = privileged.Edit([]byte("arch: amd64\n"), nil, digest); !errors.Is(err, proxmox.ErrModified) {
		t.Errorf("want ErrModified, got %v", err)
	}
	bad := []proxmox.RawLine{{Key: "lxc.cap.drop", Value: "a\nlock: x"}}
	if _, err = privileged.Edit(nil, bad, digestOf(nil)); err == nil || !strings.Contains(err.Error(), "raw line 1") {
		t.Errorf("a line of two lines is written: %v", err)
	}
	large := bytes.Repeat([]byte("#"+strings.Repeat("x", 1022)+"\n"), 1<<10)
	if _, err = privileged.Edit(large, []proxmox.RawLine{{Key: "lxc.cap.drop", Value: strings.Repeat("x", 100)}}, digestOf(large)); !errors.Is(err, privileged.ErrTooLarge) {
		t.Errorf("want ErrTooLarge, got %v", err)
	}
}

// checkEdit holds an edit against what it promises: the lines are there, and every other byte is as it was.
func checkEdit(file []byte, want []proxmox.RawLine) error {
	got, err := privileged.Edit(file, want, digestOf(file))
	if errors.Is(err, proxmox.ErrLocked) || errors.Is(err, privileged.ErrTooLarge) {
		return nil
	}
	if err != nil {
		return err
	}
	old, now := conffile.Parse(file), conffile.Parse(got)
	if raw := privileged.RawLines(now); !slices.Equal(raw, want) {
		return fmt.Errorf("the lines are %q and not %q", raw, want)
	}
	if len(old.Sections) != len(now.Sections) {
		return fmt.Errorf("%d sections became %d", len(old.Sections), len(now.Sections))
	}
	for i := range old.Sections {
		if a, b := rest(old.Sections[i], i == 0), rest(now.Sections[i], i == 0); a != b {
			return fmt.Errorf("section %d: %q became %q", i, a, b)
		}
	}
	same, err := privileged.Edit(file, privileged.RawLines(old), digestOf(file))
	if err != nil || !bytes.Equal(same, file) {
		return fmt.Errorf("the lines that are there change the file: %w", err)
	}
	again, err := privileged.Edit(got, want, digestOf(got))
	if err != nil || !bytes.Equal(again, got) {
		return fmt.Errorf("a second edit changes the file again: %w", err)
	}
	return nil
}

// rest is the text of a section; of the first one without its raw lines, and without a line end at its end, which an
// edit may have to add.
func rest(s conffile.Section, first bool) string {
	var b strings.Builder
	for _, l := range s.Lines {
		if !first || l.Kind != conffile.Raw || l.Key == "lxc.environment.runtime" || proxmox.CheckRawKey(l.Key) != nil {
			b.WriteString(l.Text)
		}
	}
	if first {
		return strings.TrimSuffix(b.String(), "\n")
	}
	return b.String()
}

func TestEditCorpus(t *testing.T) {
	for name, file := range corpus(t) {
		old := conffile.Parse(file)
		if !bytes.Equal(old.Bytes(), file) {
			t.Errorf("%s: parsing and printing changes it", name)
		}
		have := privileged.RawLines(old)
		more := append(slices.Clone(have), proxmox.RawLine{Key: "lxc.cap.drop", Value: "sys_time"})
		for _, want := range [][]proxmox.RawLine{nil, have, more, more[len(more)-1:]} {
			if err := checkEdit(file, want); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func FuzzEdit(f *testing.F) {
	for _, file := range corpus(f) {
		f.Add(file, "lxc.cap.drop", "sys_time", "lxc.mount.entry", "/a b none bind 0 0")
	}
	f.Add([]byte("lxc.cap.drop: x"), "lxc.net.0.type", "veth", "", "")
	f.Fuzz(func(t *testing.T, file []byte, k1, v1, k2, v2 string) {
		var want []proxmox.RawLine
		for _, l := range []proxmox.RawLine{{Key: k1, Value: v1}, {Key: k2, Value: v2}} {
			if l.Check() == nil {
				want = append(want, l)
			}
		}
		if err := checkEdit(file, want); err != nil {
			t.Errorf("%v: %v", want, err)
		}
	})
}
