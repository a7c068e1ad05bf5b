package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDebVersion(t *testing.T) {
	commit := time.Date(2026, 11, 24, 13, 35, 39, 0, time.UTC)
	order := []struct{ describe, want string }{ // as dpkg must sort them
		{"a62d89c-dirty", "0~20261124.133539.a62d89c.dirty"},
		{"0123456", "0~20261124.133539.0123456"},
		{"dev", "0~20261124.133539.dev"},
		{"v1.0.0-rc.1", "1.0.0~rc.1"},
		{"v1.0.0-rc.1-3-gabc1234", "1.0.0~rc.1+3.gabc1234"},
		{"v1.0.0", "1.0.0"},
		{"v1.0.0-dirty", "1.0.0+dirty"},
		{"v1.0.0-3-gabc1234-dirty", "1.0.0+3.gabc1234+dirty"},
		{"v1.0.1", "1.0.1"},
	}
	for i, tt := range order {
		if got := debVersion(tt.describe, commit); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.describe, got, tt.want)
		}
		if i < 3 || i == len(order)-1 { // those without a tag have no order among themselves
			continue
		}
		if _, err := exec.LookPath("dpkg"); err != nil {
			continue
		}
		next := order[i+1].want
		if i == 5 || i == 6 { // a work tree that was changed says nothing of later commits
			next = "1.0.1"
		}
		if err := exec.Command("dpkg", "--compare-versions", tt.want, "lt", next).Run(); err != nil {
			t.Errorf("dpkg does not sort %s before %s", tt.want, next)
		}
	}
}

// TestPackage makes the package of this machine's architecture twice, which must give the same bytes, and installs,
// removes and purges it in a directory of its own: its scripts run against that and never against this machine. Whether
// the binary is the same wherever it is built, make reproduce asks.
func TestPackage(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program and has nothing for the race detector")
	}
	t.Chdir("../../..")
	dist, again := filepath.Join(t.TempDir(), "dist"), filepath.Join(t.TempDir(), "dist")
	sums := makePackage(t, dist)
	if other := makePackage(t, again); sums != other {
		t.Errorf("two builds of the same differ:\n%s%s", sums, other)
	}
	if _, err := exec.LookPath("dpkg"); err != nil || os.Getuid() != 0 {
		t.Skip("installing it needs dpkg and root")
	}
	debs, _ := filepath.Glob(filepath.Join(dist, "*.deb"))
	if len(debs) != 1 {
		t.Fatalf("want one package, got %q", debs)
	}
	d := newDebian(t)
	d.dpkg("-i", debs[0])
	d.wantFiles(
		"usr/bin/tend", "usr/lib/systemd/system/tend.service", "usr/lib/systemd/system/tend-helper.socket",
		"usr/lib/systemd/system/tend-helper.service", "usr/lib/sysusers.d/tend.conf", "usr/share/man/man1/tend.1.gz",
		"usr/share/man/man1/tend-apply.1.gz", "usr/share/bash-completion/completions/tend", "usr/share/zsh/vendor-completions/_tend",
		"usr/share/fish/vendor_completions.d/tend.fish", "usr/share/doc/tend/copyright", "usr/share/doc/tend/README.md",
		"usr/share/doc/tend/docs/security.md", "usr/share/doc/tend/examples/config/tend.yaml", "usr/share/doc/tend/grafana/tend.json",
		"usr/share/doc/tend/prometheus/tend.rules.yaml", "usr/share/doc/tend/third-party-licenses.gz",
	)
	if out := d.dpkg("-V", "tend"); out != "" {
		t.Errorf("dpkg -V: %s", out)
	}
	d.wantVersion("tend v1.2.3-4-gabc1234 ")
	if left := d.enabled(); len(left) > 0 {
		t.Errorf("installing it enabled %q", left)
	}
	d.enable()
	state := []string{"etc/tend/tend.yaml", "etc/tend/token", "var/lib/tend/journal", "var/log/tend/audit.log"}
	d.put(state...)
	d.dpkg("-i", debs[0]) // over itself, as in an upgrade
	if len(d.enabled()) == 0 && d.hasSystemctl() {
		t.Error("an upgrade disabled the units")
	}
	d.dpkg("-r", "tend")
	d.wantFiles(state...)
	if left := slices.Concat(d.enabled(), d.below("usr")); len(left) > 0 {
		t.Errorf("removing it left %q", left)
	}
	d.dpkg("-P", "tend")
	if left := d.below("."); len(left) > 0 {
		t.Errorf("purging it left %q", left)
	}
}

// makePackage makes the package of this architecture and returns its checksums.
func makePackage(t *testing.T, out string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args := []string{"-version", "v1.2.3-4-gabc1234", "-date", "1700000000", "-out", out, "-arch", runtime.GOARCH, "-sbom=false", "-quick"}
	if err := runPackage(args, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	return stdout.String()
}

// A debian is a directory with a database of packages of its own.
type debian struct {
	t    *testing.T
	root string
}

func newDebian(t *testing.T) debian {
	d := debian{t, t.TempDir()}
	d.put("var/lib/dpkg/status", "var/lib/dpkg/available", "etc/keep")
	for _, dir := range []string{"info", "updates"} {
		if err := os.MkdirAll(filepath.Join(d.root, "var/lib/dpkg", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// dpkg runs dpkg on the directory. The scripts are not run inside of it, where there is no shell, but are told of it
// (DPKG_ROOT, dpkg(1)).
func (d debian) dpkg(args ...string) string {
	d.t.Helper()
	cmd := exec.Command("dpkg", append([]string{"--root=" + d.root, "--force-script-chrootless", "--force-unsafe-io", "--log=" + os.DevNull}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("dpkg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (d debian) put(files ...string) {
	d.t.Helper()
	for _, f := range files {
		path := filepath.Join(d.root, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			d.t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d debian) wantFiles(files ...string) {
	d.t.Helper()
	for _, f := range files {
		if info, err := os.Stat(filepath.Join(d.root, f)); err != nil || !info.Mode().IsRegular() {
			d.t.Errorf("%s is not there: %v", f, err)
		}
	}
}

func (d debian) wantVersion(want string) {
	d.t.Helper()
	out, err := exec.Command(filepath.Join(d.root, "usr/bin/tend"), "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), want) {
		d.t.Errorf("tend version: %q, %v", out, err)
	}
}

func (d debian) hasSystemctl() bool {
	_, err := exec.LookPath("systemctl")
	return err == nil
}

// enable does what a person does who wants the agent.
func (d debian) enable() {
	d.t.Helper()
	if !d.hasSystemctl() {
		return
	}
	if out, err := exec.Command("systemctl", "--root="+d.root, "enable", "tend.service", "tend-helper.socket").CombinedOutput(); err != nil {
		d.t.Fatalf("systemctl enable: %v\n%s", err, out)
	}
	if len(d.enabled()) == 0 {
		d.t.Error("enabling the units made no link")
	}
}

// enabled are the links by which systemd starts units.
func (d debian) enabled() []string { return d.below("etc/systemd") }

// below are the files of a folder, without those of dpkg itself, the users, and what was there before.
func (d debian) below(dir string) []string {
	var out []string
	_ = filepath.WalkDir(filepath.Join(d.root, dir), func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(d.root, path)
		others := slices.ContainsFunc([]string{"var/lib/dpkg/", "etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/keep", "etc/.pwd.lock"},
			func(p string) bool { return strings.HasPrefix(rel, p) })
		if err == nil && !e.IsDir() && !others {
			out = append(out, rel)
		}
		return nil
	})
	return out
}
