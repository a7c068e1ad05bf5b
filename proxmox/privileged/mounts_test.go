package privileged_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/proxmox/privileged"
)

// TestUnitName escapes paths as systemd does; where its own tool is there, it is asked.
func TestUnitName(t *testing.T) {
	for where, want := range map[string]string{
		"/mnt/usb": "mnt-usb.mount", "/mnt/usb-media": `mnt-usb\x2dmedia.mount`, "/srv/a.b/.c": "srv-a.b-.c.mount", "/media/x_1:2": "media-x_1:2.mount",
		"/mnt/é": `mnt-\xc3\xa9.mount`, "/mnt/a+b@c": `mnt-a\x2bb\x40c.mount`,
	} {
		if got := privileged.UnitName(where); got != want {
			t.Errorf("%s: got %s, want %s", where, got, want)
		}
		out, err := exec.Command("systemd-escape", "--path", "--suffix=mount", where).Output()
		if err == nil && strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: systemd says %s", where, out)
		}
	}
}

// TestUnit shows that what is read from a unit is what was written, and whose it is.
func TestUnit(t *testing.T) {
	for _, m := range []proxmox.HostMount{
		{Name: "usb", Device: "UUID=1f2e", Path: "/mnt/usb"},
		{Name: "usb", Device: "/dev/disk/by-id/usb-x", Path: "/mnt/usb-2", Filesystem: "xfs", Options: []string{"noatime", "commit=30"}},
	} {
		text := privileged.Unit(m, "tend")
		got, owner, ok := privileged.ParseUnit(text)
		if d := cmp.Diff(m, got); d != "" || owner != "tend" || !ok {
			t.Errorf("read %v of %q, %t:\n%s", got, owner, ok, d)
		}
		for _, must := range []string{"nofail", "JobTimeoutSec=", "TimeoutSec=", "Before=pve-guests.service", "WantedBy=multi-user.target"} {
			if !strings.Contains(string(text), must) {
				t.Errorf("has no %s:\n%s", must, text)
			}
		}
	}
	for _, text := range []string{"", "[Mount]\nWhat=/dev/sdb1\nWhere=/mnt/x\n", "[X-Tend]\nName=x\n", "[Unit]\nOwner=tend\nName=x\n"} {
		if _, _, ok := privileged.ParseUnit([]byte(text)); ok {
			t.Errorf("is taken for tend's: %q", text)
		}
	}
}

func TestParseFileSystems(t *testing.T) {
	const text = "DEVNAME=/dev/sda1\nUUID=AB-CD\nTYPE=vfat\nPARTLABEL=EFI\\ System\nPARTUUID=p1\n\nDEVNAME=/dev/sdb1\nLABEL=my\\ disk\nUUID=1f2e\nTYPE=ext4\n"
	want := []proxmox.FileSystem{
		{Device: "/dev/sda1", UUID: "AB-CD", Type: "vfat", PartLabel: "EFI System", PartUUID: "p1"},
		{Device: "/dev/sdb1", UUID: "1f2e", Type: "ext4", Label: "my disk"},
	}
	if d := cmp.Diff(want, privileged.ParseFileSystems([]byte(text))); d != "" {
		t.Error(d)
	}
	if got := privileged.ParseFileSystems([]byte("garbage\n\n=x\nTYPE=a")); got != nil {
		t.Errorf("of garbage %v", got)
	}
}

func TestContainerPaths(t *testing.T) {
	const text = "mp0: /mnt/a,mp=/a\nmp1: local:vm-100-disk-1,mp=/b\nmp2: volume=/mnt/c,mp=/c\nrootfs: local:vm-100-disk-0\n" +
		"lxc.mount.entry: /mnt/d\\040d d none bind,create=dir 0 0\nlxc.mount.entry: tmpfs tmp tmpfs rw 0 0\n\n" +
		"[pve:pending]\nmp3: /mnt/e,mp=/e\n\n[snap]\nmp4: /mnt/f,mp=/f\nlxc.mount.entry: /mnt/g g none bind 0 0\n"
	got := privileged.ContainerPaths(conffile.Parse([]byte(text)))
	if d := cmp.Diff([]string{"/mnt/a", "/mnt/c", "/mnt/d d", "/mnt/e"}, got, cmpopts.SortSlices(strings.Compare)); d != "" {
		t.Error(d)
	}
}

func TestTables(t *testing.T) {
	fstab := privileged.ParseFstab([]byte("# /x\nUUID=1 /mnt/a\\040b ext4 defaults 0 2\n/dev/sda2 none swap sw 0 0\nshort\n"))
	if d := cmp.Diff(map[string]string{"/mnt/a b": "UUID=1 ext4", "none": "/dev/sda2 swap"}, fstab); d != "" {
		t.Error(d)
	}
	storages := privileged.StoragePaths([]byte("dir: a\n\tpath /mnt/a/\n\tcontent backup\n\nzfspool: z\n\tpool rpool\n\ndir: b\n\tpath /mnt/b\n\tnodes pve2,pve3\n"), "pve1")
	if d := cmp.Diff(map[string]string{"a": "/mnt/a"}, storages); d != "" {
		t.Error(d)
	}
	for text, want := range map[string]proxmox.VMID{
		"0::/lxc/101/ns/system.slice\n": 101, "12:cpu:/lxc/102\n0::/init.scope\n": 102, "0::/system.slice/x.service\n": 0, "0::/lxc/abc\n": 0, "": 0,
		"0::/lxc.monitor/101\n": 0,
	} {
		if got := privileged.GuestOfProcess([]byte(text)); got != want {
			t.Errorf("%q: got %d", text, got)
		}
	}
	const table = "36 35 8:17 /films /media rw,noatime master:1 - ext4 /dev/sdb1 rw\n"
	if !privileged.HasDevice([]byte(table), "8:17") || privileged.HasDevice([]byte(table), "8:1") {
		t.Error("devices are not told apart")
	}
}

func FuzzParseUnit(f *testing.F) {
	f.Add([]byte("[Mount]\nWhat=UUID=1\nWhere=/mnt/a\n[X-Tend]\nName=a\nOwner=b\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, owner, ok := privileged.ParseUnit(text)
		if !ok || m.Check() != nil {
			return
		}
		again, by, ok := privileged.ParseUnit(privileged.Unit(m, owner))
		if !ok || by != owner || !again.Equal(m) {
			t.Errorf("%+v of %q becomes %+v of %q", m, owner, again, by)
		}
	})
}
