//go:build linux

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/lane"
)

var _ lane.Backend = (*Host)(nil)

var ref = proxmox.Ref{Node: "pve1", ID: 101}

const old = "arch: amd64\nswap: 0\n\n[one]\narch: amd64\n\n[two]\narch: amd64\n"

// TestMain is also the second process of the tests: where the environment says so, it does one thing and ends.
func TestMain(m *testing.M) {
	switch os.Getenv("TEND_TEST_DO") {
	case "":
		os.Exit(m.Run())
	case "lock": // and keep it until the input ends
		h := &Host{root: os.Getenv("TEND_TEST_ROOT"), node: "pve1"}
		unlock, err := h.Lock(context.Background(), privileged.LockFile(ref.ID), time.Second)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("locked")
		_, _ = os.Stdin.Read(make([]byte, 1))
		unlock()
	case "die": // at the point that is named, as in a power cut
		h := &Host{root: os.Getenv("TEND_TEST_ROOT"), node: "pve1"}
		h.fault = func(point string) error {
			if point == os.Getenv("TEND_TEST_POINT") {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			return nil
		}
		_, err := lane.Lane{Backend: h}.Do(context.Background(), request(old, "lxc.cap.drop"))
		fmt.Println(err)
	}
}

// again runs this test binary as another process.
func again(t *testing.T, root, do, point string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = []string{"TEND_TEST_DO=" + do, "TEND_TEST_ROOT=" + root, "TEND_TEST_POINT=" + point}
	return cmd
}

// place makes a node in a directory, with the container 101.
func place(t *testing.T) *Host {
	t.Helper()
	root := t.TempDir()
	h, err := New(Options{Root: root, Node: "pve1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/etc/pve/nodes/pve1/lxc", "/run/lock", "/usr/sbin", "/var/lib/vz/snippets"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, h, privileged.ConfigFile(ref), old, 0o640)
	return h
}

func put(t *testing.T, h *Host, name, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.root, name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(h.root, name), mode); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, h *Host, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(h.root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// left are the names in the directory of a file.
func left(t *testing.T, h *Host, name string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(filepath.Join(h.root, name)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func request(file, key string) privileged.SetRaw {
	return privileged.SetRaw{
		Ref: ref, Digest: conffile.Parse([]byte(file)).Config().Digest,
		Lines: []proxmox.RawLine{{Key: key, Value: "sys_time"}},
	}
}

const edited = "arch: amd64\nswap: 0\nlxc.cap.drop: sys_time\n\n[one]\narch: amd64\n\n[two]\narch: amd64\n"

func TestEdit(t *testing.T) {
	h := place(t)
	out, err := lane.Lane{Backend: h}.Do(t.Context(), request(old, "lxc.cap.drop"))
	if err != nil || !out.Changed {
		t.Fatal(out, err)
	}
	if got := text(t, h, privileged.ConfigFile(ref)); got != edited {
		t.Errorf("got\n%s", got)
	}
	if names := left(t, h, privileged.ConfigFile(ref)); names != "101.conf" {
		t.Errorf("there is %s", names)
	}
	if _, err := (lane.Lane{Backend: h}).Do(t.Context(), request(old, "lxc.cap.keep")); !errors.Is(err, proxmox.ErrModified) {
		t.Errorf("moved digest: want ErrModified, got %v", err)
	}
}

// TestFaults lets each step of a replacement go wrong: the old file stays whole, nothing is left over, and the error
// says so.
func TestFaults(t *testing.T) {
	for _, point := range []string{"write", "rename"} {
		for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
			h := place(t)
			h.fault = func(at string) error {
				if at == point {
					return fault
				}
				return nil
			}
			_, err := lane.Lane{Backend: h}.Do(t.Context(), request(old, "lxc.cap.drop"))
			if !errors.Is(err, fault) || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "101.conf") {
				t.Errorf("%s, %v: got %v", point, fault, err)
			}
			if got := text(t, h, privileged.ConfigFile(ref)); got != old {
				t.Errorf("%s, %v: the file is\n%s", point, fault, got)
			}
			if names := left(t, h, privileged.ConfigFile(ref)); names != "101.conf" {
				t.Errorf("%s, %v: there is %s", point, fault, names)
			}
		}
	}
}

// TestDiskFull fills a real file system.
func TestDiskFull(t *testing.T) {
	h := place(t)
	dir := filepath.Join(h.root, "/etc/pve/nodes/pve1/lxc")
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=755"); err != nil {
		t.Skipf("needs root with the right to mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	large := old + strings.Repeat("#"+strings.Repeat("x", 998)+"\n", 36) // two of them do not fit
	put(t, h, privileged.ConfigFile(ref), large, 0o640)
	_, err := lane.Lane{Backend: h}.Do(t.Context(), request(large, "lxc.cap.drop"))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("want ENOSPC, got %v", err)
	}
	if text(t, h, privileged.ConfigFile(ref)) != large || left(t, h, privileged.ConfigFile(ref)) != "101.conf" {
		t.Errorf("the file changed, or there is %s", left(t, h, privileged.ConfigFile(ref)))
	}
}

// TestPowerCut kills a process in the middle of writing and between write and rename: the old file is whole, the lock
// is free, and the next edit goes through and leaves nothing behind.
func TestPowerCut(t *testing.T) {
	for _, point := range []string{"write", "rename"} {
		h := place(t)
		cmd := again(t, h.root, "die", point)
		if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("%s: it was not killed: %v %s", point, err, out)
		}
		if got := text(t, h, privileged.ConfigFile(ref)); got != old {
			t.Errorf("%s: the file is\n%s", point, got)
		}
		if names := left(t, h, privileged.ConfigFile(ref)); names != "101.conf 101.conf.tmp.tend" {
			t.Errorf("%s: there is %s: the test does not cut where it should", point, names)
		}
		if _, err := (lane.Lane{Backend: h}).Do(t.Context(), request(old, "lxc.cap.drop")); err != nil {
			t.Errorf("%s: %v", point, err)
		}
		if got, names := text(t, h, privileged.ConfigFile(ref)), left(t, h, privileged.ConfigFile(ref)); got != edited || names != "101.conf" {
			t.Errorf("%s: there is %s, and the file is\n%s", point, names, got)
		}
	}
}

// TestLock holds the lock in another process.
func TestLock(t *testing.T) {
	h := place(t)
	cmd := again(t, h.root, "lock", "")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	if n, err := out.Read(line); err != nil || string(line[:n]) != "locked\n" {
		t.Fatalf("%q, %v", line[:n], err)
	}
	_, err = h.Lock(t.Context(), privileged.LockFile(ref.ID), 2*retry)
	if !errors.Is(err, proxmox.ErrBusy) || !strings.Contains(err.Error(), privileged.LockFile(ref.ID)) {
		t.Errorf("want ErrBusy with the file, got %v", err)
	}
	if got := text(t, h, privileged.ConfigFile(ref)); got != old {
		t.Errorf("the file is\n%s", got)
	}
	done := make(chan error)
	go func() {
		_, err := lane.Lane{Backend: h}.Do(t.Context(), request(old, "lxc.cap.drop"))
		done <- err
	}()
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-done, cmd.Wait()); err != nil {
		t.Error(err)
	}
	if got := text(t, h, privileged.ConfigFile(ref)); got != edited {
		t.Errorf("after the other let go, the file is\n%s", got)
	}
}

// TestForeignWriter writes the file without asking for the lock, at the last moment.
func TestForeignWriter(t *testing.T) {
	h := place(t)
	other := "#by hand\n" + old
	h.fault = func(point string) error {
		if point == "write" {
			put(t, h, privileged.ConfigFile(ref), other, 0o640)
		}
		return nil
	}
	_, err := lane.Lane{Backend: h}.Do(t.Context(), request(old, "lxc.cap.drop"))
	if !errors.Is(err, proxmox.ErrModified) || !strings.Contains(err.Error(), "somebody else wrote it meanwhile") {
		t.Errorf("want ErrModified and why, got %v", err)
	}
	if got := text(t, h, privileged.ConfigFile(ref)); got != other || left(t, h, privileged.ConfigFile(ref)) != "101.conf" {
		t.Errorf("the other's file is lost:\n%s", got)
	}
}

func TestPaths(t *testing.T) {
	h := place(t)
	at := func(name string) string { return filepath.Join(h.root, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Symlink(at("/etc"), at("/link")))
	must(os.Symlink("101.conf", at("/etc/pve/nodes/pve1/lxc/102.conf")))
	must(os.Mkdir(at("/open"), 0o755))
	must(os.Chmod(at("/open"), 0o777))
	must(os.MkdirAll(at("/open/below"), 0o755))
	must(os.Mkdir(at("/etc/pve/nodes/pve1/lxc/103.conf"), 0o755))
	tests := []struct{ name, read, write string }{
		{"/link/pve/nodes/pve1/lxc/101.conf", "/link is a symbolic link", "/link is a symbolic link"},
		{"/etc/pve/nodes/pve1/lxc/102.conf", "it is a symbolic link", ""},
		{"/etc/pve/nodes/pve1/lxc/103.conf", "no regular file", "nothing was changed"},
		{"/open/x", "no such file", "/open can be written to by others"},
		{"/open/below/x", "no such file", "/open can be written to by others"},
		{"/etc/../etc/x", "not a plain absolute path", "not a plain absolute path"},
		{"etc/x", "not a plain absolute path", "not a plain absolute path"},
		{"/", "not a plain absolute path", "not a plain absolute path"},
		{"/etc/shadow", "no such file", "stands on no row"},
		{"/var/lib/vz/snippets.sh", "no such file", "stands on no row"},
		{"/nowhere/x", "/nowhere: no such file", "/nowhere: no such file"},
		{"/etc/pve/nodes/pve1/lxc/101.conf/x", "not a directory", "not a directory"},
	}
	for _, tt := range tests {
		if _, _, err := h.ReadFile(tt.name); err == nil || !strings.Contains(err.Error(), tt.read) {
			t.Errorf("read %s: want %q, got %v", tt.name, tt.read, err)
		}
		err := h.ReplaceFile(tt.name, nil, []byte("new"), 0o755)
		if (err == nil) != (tt.write == "") || err != nil && !strings.Contains(err.Error(), tt.write) {
			t.Errorf("write %s: want %q, got %v", tt.name, tt.write, err)
		}
	}
	if got := text(t, h, privileged.ConfigFile(ref)); got != old {
		t.Errorf("a symbolic link was followed:\n%s", got)
	}
}

func TestReplaceFile(t *testing.T) {
	h := place(t)
	before := syscall.Umask(0o077)
	defer syscall.Umask(before)
	name := "/var/lib/vz/snippets/hook.sh"
	if err := h.ReplaceFile(name, nil, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	data, mode, err := h.ReadFile(name)
	if err != nil || mode.Perm() != 0o755 || string(data) != "#!/bin/sh\n" {
		t.Errorf("got %q, %v, %v", data, mode, err)
	}
	if err := h.ReplaceFile(privileged.KeysFile(101), nil, []byte("key"), 0o600); err != nil {
		t.Error(err)
	}
	if err := errors.Join(h.RemoveFile(privileged.KeysFile(101)), h.RemoveFile(privileged.KeysFile(101))); err != nil {
		t.Error(err)
	}
	if _, _, err := h.ReadFile(privileged.KeysFile(101)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("want ErrNotExist, got %v", err)
	}
}

func TestRun(t *testing.T) {
	h := place(t)
	put(t, h, "/usr/sbin/pct", "#!/bin/sh\nread line; echo \"$# $2 $line\"; env >&2; exit 7\n", 0o755)
	stdout, stderr, exit, err := h.Run(t.Context(), []string{"/usr/sbin/pct", "set", "a $(b) 'c'"}, []byte("in\n"))
	if err != nil || exit != 7 || string(stdout) != "2 a $(b) 'c' in\n" {
		t.Errorf("got %q, %d, %v", stdout, exit, err)
	}
	for _, v := range []string{"LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"} {
		if !bytes.Contains(stderr, []byte(v+"\n")) {
			t.Errorf("%s is not in its environment:\n%s", v, stderr)
		}
	}
	if bytes.Contains(stderr, []byte("GO")) || bytes.Contains(stderr, []byte("USER")) {
		t.Errorf("its environment is not clean:\n%s", stderr)
	}
	for _, argv := range [][]string{nil, {""}, {"pct"}, {"/bin/sh", "-c", "true"}, {"/usr/sbin/../sbin/pct"}} {
		if _, _, _, err := h.Run(t.Context(), argv, nil); !errors.Is(err, ErrNotListed) {
			t.Errorf("%q: want ErrNotListed, got %v", argv, err)
		}
	}
	put(t, h, "/usr/sbin/pct", "#!/bin/sh\n", 0o777)
	if _, _, _, err := h.Run(t.Context(), []string{"/usr/sbin/pct"}, nil); !errors.Is(err, errUnsafe) {
		t.Errorf("what everybody can write is run: %v", err)
	}
}

// TestSetup holds that setup runs what Run refuses, and nothing that does not come from its own functions.
func TestSetup(t *testing.T) {
	h := place(t)
	put(t, h, "/usr/sbin/pveum", "#!/bin/sh\necho \"$@\"; exit 3\n", 0o755)
	stdout, _, exit, err := h.Setup(t.Context(), privileged.ListRoles())
	if err != nil || exit != 3 || string(stdout) != "role list --output-format json\n" {
		t.Errorf("got %q, %d, %v", stdout, exit, err)
	}
	if _, _, _, err := h.Run(t.Context(), privileged.ListRoles().Argv(), nil); !errors.Is(err, ErrNotListed) {
		t.Errorf("the lane can run it: %v", err)
	}
	if _, _, _, err := h.Setup(t.Context(), privileged.Setup{}); !errors.Is(err, ErrNotListed) {
		t.Errorf("nothing is run: %v", err)
	}
}

func TestRunBounds(t *testing.T) {
	h := place(t)
	put(t, h, "/usr/sbin/pct", "#!/bin/sh\nhead -c 3000000 /dev/zero\n", 0o755)
	stdout, _, exit, err := h.Run(t.Context(), []string{"/usr/sbin/pct"}, nil)
	if err != nil || exit != 0 || len(stdout) != privileged.MaxOutput {
		t.Errorf("got %d bytes, %d, %v", len(stdout), exit, err)
	}
	ready := filepath.Join(h.root, "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, h, "/usr/sbin/pct", "#!/bin/sh\ntrap 'echo told; exit 1' TERM\n: >"+ready+"\nwhile :; do sleep 0.01; done\n", 0o755)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = os.ReadFile(ready) // returns once the command has opened and closed it
		cancel()
	}()
	stdout, _, _, err = h.Run(ctx, []string{"/usr/sbin/pct"}, nil)
	if !errors.Is(err, context.Canceled) || string(stdout) != "told\n" {
		t.Errorf("got %q, %v", stdout, err)
	}
}

// TestClusterLock makes, renews and removes a directory as a cluster lock is, and touches no other.
func TestClusterLock(t *testing.T) {
	root := t.TempDir()
	there := false
	h := &Host{root: root, node: "pve1", mounted: func(string) bool { return there }}
	lock := privileged.LeadLock("tend")
	l := lane.Lane{Backend: h}
	for _, r := range []privileged.Request{privileged.Lead{Node: "pve1", Owner: "tend"}, privileged.KeepLead{Node: "pve1", Owner: "tend"}} {
		if out, err := l.Do(t.Context(), r); !errors.Is(err, errNotMounted) {
			t.Errorf("%v without pmxcfs: %+v, %v", r, out, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(root, "etc")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made on the disk of the node: %v", err)
	}
	there = true
	if err := os.MkdirAll(filepath.Join(root, "/etc/pve/priv"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := l.Do(t.Context(), privileged.Lead{Node: "pve1", Owner: "tend"})
	if text, rerr := os.ReadFile(filepath.Join(root, privileged.LeadFile("tend"))); err != nil || !out.Changed || len(out.Notes) > 0 || rerr != nil || string(text) != "pve1\n" {
		t.Errorf("%+v, %v; who leads is written as %q, %v", out, err, text, rerr)
	}
	if out, err := l.Do(t.Context(), privileged.Lead{Node: "pve1", Owner: "tend", Resign: true}); err != nil || !out.Changed {
		t.Errorf("%+v, %v", out, err)
	}
	for i, want := range []bool{true, false} {
		if made, err := h.MakeDir(lock, 0o700); err != nil || made != want {
			t.Fatalf("%d: made %v, %v", i, made, err)
		}
	}
	then := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := h.SetTime(lock, then); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(root, lock)); err != nil || !info.ModTime().Equal(then) {
		t.Errorf("its time is %v, %v", info.ModTime(), err)
	}
	for range 2 {
		if err := h.RemoveDir(lock); err != nil {
			t.Error(err)
		}
	}
	if err := h.SetTime(lock, then); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is gone: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "etc/pve/priv/lock/file-user_cfg"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"/etc/pve/priv/lock/file-user_cfg", "/etc/pve/priv", lock + "/..", "/etc/pve/priv/lock/tend-a/../x"} {
		if err := h.RemoveDir(other); !errors.Is(err, ErrNotListed) {
			t.Errorf("%s is removed: %v", other, err)
		}
		if err := h.SetTime(other, then); !errors.Is(err, ErrNotListed) {
			t.Errorf("%s is touched: %v", other, err)
		}
	}
	if err := os.Symlink("file-user_cfg", filepath.Join(root, lock)); err != nil {
		t.Fatal(err)
	}
	if err := h.RemoveDir(lock); err == nil {
		t.Error("a symbolic link is removed")
	}
}
