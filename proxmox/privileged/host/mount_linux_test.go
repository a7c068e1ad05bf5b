package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/lane"
)

// standIn does in place of systemd what a mount unit says, with mount(8): systemd itself is not there where tests run.
const standIn = `#!/bin/sh
set -eu
dir=/etc/systemd/system
wants=$dir/multi-user.target.wants
[ "$1" = daemon-reload ] && exit 0
unit=$2 file="$dir/$2"
[ -e "$file" ] || { echo "Failed to $1 $unit: Unit file does not exist." >&2; exit 1; }
get() { sed -n "s/^$1=//p" "$file"; }
type=$(get Type)
case $1 in
enable) mkdir -p "$wants"; ln -sf "$file" "$wants/$unit" ;;
disable) rm -f "$wants/$unit" ;;
is-enabled) [ -L "$wants/$unit" ] ;;
start) findmnt "$(get Where)" >/dev/null || mount ${type:+-t "$type"} -o "$(get Options)" "$(get What)" "$(get Where)" ;;
stop) ! findmnt "$(get Where)" >/dev/null || umount "$(get Where)" ;;
reload) mount -o "remount,$(get Options)" "$(get Where)" ;;
*) exit 1 ;;
esac
`

const inNamespace = "TEND_TEST_IN_MOUNT_NAMESPACE"

// TestHostMount mounts a real file system of a loop device on this machine, through the very lane that a node has, in a
// mount namespace of its own: of what it does to /etc and /mnt, the machine sees nothing.
func TestHostMount(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		hostMount(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root: run the tests as root to have this one")
	}
	for _, program := range []string{"mount", "umount", "findmnt", "blkid", "losetup", "mkfs.ext4", "chattr", "sh", "sed"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("this machine has no %s (util-linux, e2fsprogs): host mounts are not tested on its kernel", program)
		}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHostMount$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("this machine lets root make no mount namespace (a container without CAP_SYS_ADMIN): host mounts are not tested on its kernel")
	}
	t.Logf("%s", out)
	if skip, reason, ok := strings.Cut(string(out), "cannot be tested here: "); ok && strings.Contains(skip, "RUN") {
		reason, _, _ = strings.Cut(reason, "\n")
		t.Skip(reason)
	}
	if err != nil || !bytes.Contains(out, []byte("PASS")) {
		t.Errorf("in the namespace: %v", err)
	}
}

// run is a command that the test itself needs.
func run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// overlay lets the test write to a directory of the machine without changing it.
func overlay(t *testing.T, scratch, dir string) {
	t.Helper()
	up, work := filepath.Join(scratch, dir, "up"), filepath.Join(scratch, dir, "work")
	for _, d := range []string{up, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+up+",workdir="+work); err != nil {
		t.Skipf("cannot be tested here: the kernel lays no directory over %s: %v", dir, err)
	}
}

// disk makes a loop device with a file system and returns its UUID.
func disk(t *testing.T, scratch string) (device, uuid string) {
	t.Helper()
	image := filepath.Join(scratch, "disk.img")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(8<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("cannot be tested here: there are no loop devices: %s", bytes.TrimSpace(out))
	}
	device = strings.TrimSpace(string(out))
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", device).Run() }) // what is left is told by losetup --list
	run(t, "mkfs.ext4", "-q", "-L", "tendtest", device)
	return device, run(t, "blkid", "--cache-file", "/dev/null", "--match-tag", "UUID", "--output", "value", device)
}

// nodeHere makes a node out of this machine, in the namespace.
func nodeHere(t *testing.T) (lane.Lane, string) {
	t.Helper()
	scratch := os.Getenv(inNamespace)
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Skipf("cannot be tested here: mounts cannot be made private: %v", err)
	}
	if err := syscall.Mount("tmpfs", scratch, "tmpfs", 0, ""); err != nil {
		t.Skipf("cannot be tested here: nothing can be mounted: %v", err)
	}
	for _, dir := range []string{"/etc", "/usr/bin", "/mnt"} {
		overlay(t, scratch, dir)
	}
	for _, dir := range []string{"/etc/systemd/system", "/etc/pve/nodes/pve1/lxc"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Remove("/usr/bin/systemctl") // of the overlay; where it is absent there is nothing to remove
	if err := os.WriteFile("/usr/bin/systemctl", []byte(standIn), 0o755); err != nil {
		t.Fatal(err)
	}
	h, err := New(Options{Node: "pve1"})
	if err != nil {
		t.Fatal(err)
	}
	return lane.Lane{Backend: h}, scratch
}

// hostMount is the test in the namespace.
func hostMount(t *testing.T) {
	l, scratch := nodeHere(t)
	device, uuid := disk(t, scratch)
	r := privileged.Mount{Node: "pve1", Owner: "tend", Mount: proxmox.HostMount{
		Name: "usb", Device: "UUID=" + uuid, Path: "/mnt/tend-test-usb", Filesystem: "ext4", Options: []string{"noatime"},
	}}
	where := r.Mount.Path

	// It is refused when the UUID is absent, with those that are there.
	absent := r
	absent.Mount.Device = "UUID=00000000-dead-beef-0000-000000000000"
	_, err := l.Do(t.Context(), absent)
	if !errors.Is(err, lane.ErrNoDevice) || !strings.Contains(err.Error(), "UUID="+uuid+" (ext4, label tendtest, "+device+")") {
		t.Fatalf("an absent UUID: %v", err)
	}
	if _, err := os.Stat(where); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mount point was made for nothing: %v", err)
	}

	// It appears, and survives a second run unchanged.
	out, err := l.Do(t.Context(), r)
	if err != nil || !out.Changed {
		t.Fatalf("mount: %+v, %v", out, err)
	}
	if got := run(t, "findmnt", "--noheadings", "--output", "SOURCE,FSTYPE,OPTIONS", where); !strings.HasPrefix(got, device) || !strings.Contains(got, "ext4") || !strings.Contains(got, "noatime") {
		t.Errorf("mounted is %q", got)
	}
	if err := os.WriteFile(filepath.Join(where, "kept"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := l.Do(t.Context(), r); err != nil || out.Changed {
		t.Errorf("the second run: %+v, %v", out, err)
	}
	quiet := r
	quiet.Mount.Options = []string{"noatime", "nodev"}
	if out, err := l.Do(t.Context(), quiet); err != nil || !out.Changed || !strings.Contains(run(t, "findmnt", "--noheadings", "--output", "OPTIONS", where), "nodev") {
		t.Errorf("other options: %+v, %v", out, err)
	}
	reading(t, l, quiet.Mount)

	// It is not unmounted while in use: by a container's configuration, by a running one, by a process of the node.
	gone := quiet
	gone.Absent = true
	conf := "/etc/pve/nodes/pve1/lxc/101.conf"
	if err := os.WriteFile(conf, []byte("arch: amd64\nlxc.mount.entry: "+where+" media none bind,ro,create=dir 0 0\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	stays := func(phrase string) {
		t.Helper()
		_, err := l.Do(t.Context(), gone)
		if !errors.Is(err, lane.ErrInUse) || !strings.Contains(err.Error(), phrase) {
			t.Errorf("unmounted while in use, or for another reason: %v", err)
		}
		if _, err := os.Stat(filepath.Join(where, "kept")); err != nil {
			t.Fatalf("it is not mounted any more: %v", err)
		}
	}
	stays("container 101")
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(where, "kept"))
	if err != nil {
		t.Fatal(err)
	}
	stays("stays mounted")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	runningContainer(t, where, func(id proxmox.VMID) { stays(fmt.Sprintf("container %d, which runs with it", id)) })

	// It goes once nobody uses it, and nobody can write where it was.
	if out, err := l.Do(t.Context(), gone); err != nil || !out.Changed {
		t.Fatalf("unmount: %+v, %v", out, err)
	}
	if left, err := os.ReadDir(where); err != nil || len(left) != 0 {
		t.Errorf("at the mount point are %v, %v", left, err)
	}
	if _, err := os.Stat(privileged.UnitFile(where)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unit is still there: %v", err)
	}
	if len(out.Notes) == 0 { // the file system below keeps the flag
		if err := os.WriteFile(filepath.Join(where, "lost"), []byte("x"), 0o644); !errors.Is(err, syscall.EPERM) {
			t.Errorf("root could write where the disk is away: %v", err)
		}
	} else {
		t.Log(out.Notes)
	}
	if out, err := l.Do(t.Context(), gone); err != nil || out.Changed {
		t.Errorf("unmounting again: %+v, %v", out, err)
	}
}

// reading is what the planner is told.
func reading(t *testing.T, l lane.Lane, m proxmox.HostMount) {
	t.Helper()
	out, err := l.Do(t.Context(), privileged.ReadMounts{Node: "pve1", Devices: []string{m.Device}})
	if err != nil {
		t.Fatal(err)
	}
	var got proxmox.NodeMounts
	if err := json.Unmarshal(out.Output, &got); err != nil {
		t.Fatal(err)
	}
	s, ok := got.Status(m.Path)
	if !ok || !s.Equal(m) || !s.Enabled || !s.Right || got.Found[m.Device].Type != "ext4" {
		t.Errorf("read %+v, found %+v", got.Mounts, got.Found)
	}
}

// runningContainer runs a process that sees the mount from a mount namespace of its own and whose control group is that
// of a container, as far as this machine has such groups.
func runningContainer(t *testing.T, where string, check func(proxmox.VMID)) {
	t.Helper()
	const id = 999999901
	tree, err := exec.CommandContext(t.Context(), "findmnt", "--noheadings", "--list", "--first-only", "--types", "cgroup2", "--output", "TARGET").Output()
	if err != nil || len(tree) == 0 {
		t.Log("a running container is not tested here: there are no control groups")
		return
	}
	group := fmt.Sprintf("%s/lxc/%d", bytes.TrimSpace(tree), id)
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Logf("a running container is not tested here: no control groups can be made: %v", err)
		return
	}
	defer func() { _, _ = os.Remove(group), os.Remove(filepath.Dir(group)) }() // the latter stays if it is not ours alone
	inside := os.Getenv(inNamespace) + "/inside"
	script := fmt.Sprintf("mkdir -p %s && mount --bind %s %s && umount %s && echo ready && read _", inside, where, inside, where)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = stdin.Close(), cmd.Wait() }() // it ends with its input
	if _, err := stdout.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(group+"/cgroup.procs", fmt.Appendf(nil, "%d", cmd.Process.Pid), 0o644); err != nil {
		t.Logf("a running container is not tested here: its process cannot be put into a control group: %v", err)
		return
	}
	check(id)
}
