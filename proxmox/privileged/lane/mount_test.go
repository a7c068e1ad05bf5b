package lane_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/proxmox/sim"
)

// disks is a node with a disk, one that is a part of something, and an empty one.
func disks(t *testing.T) node {
	t.Helper()
	n := start(t, sim.Options{})
	return n.with(t, func(s *sim.Node) {
		s.Disks = []*sim.Disk{
			{Device: "/dev/sdb1", Type: "ext4", UUID: "1f2e", Label: "media", ID: "usb-WD-part1"},
			{Device: "/dev/sdc1", Type: "LVM2_member", UUID: "lvm"},
			{Device: "/dev/sdd1", PartUUID: "empty"},
			{Device: "/dev/sde1", Type: "xfs", UUID: "9a9a", Label: "media2"},
		}
	})
}

// with is a node like it, whose state was changed before it began.
func (n node) with(t *testing.T, change func(*sim.Node)) node {
	t.Helper()
	st := n.sim.State()
	change(st.Nodes["pve1"])
	s, err := sim.New(st, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	root := s.Root("pve1")
	return node{lane.Lane{Backend: root}, root, s}
}

func mount(change func(*proxmox.HostMount)) privileged.Mount {
	r := privileged.Mount{Node: "pve1", Owner: "tend", Mount: proxmox.HostMount{Name: "usb", Device: "UUID=1f2e", Path: "/mnt/usb", Filesystem: "ext4", Options: []string{"noatime"}}}
	if change != nil {
		change(&r.Mount)
	}
	return r
}

func (n node) mounts(t *testing.T, devices ...string) proxmox.NodeMounts {
	t.Helper()
	var out proxmox.NodeMounts
	if err := json.Unmarshal(n.do(t, privileged.ReadMounts{Node: "pve1", Devices: devices}).Output, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestMount mounts, does nothing the second time, changes options in place, and unmounts.
func TestMount(t *testing.T) {
	n := disks(t)
	if got := n.mounts(t); len(got.Mounts) != 0 || len(got.FileSystems) != 4 {
		t.Fatalf("at first there is %+v", got)
	}
	if out := n.do(t, mount(nil)); !out.Changed {
		t.Error("mounting has changed nothing")
	}
	if out := n.do(t, mount(nil)); out.Changed {
		t.Error("mounting again has changed something")
	}
	got, _ := n.mounts(t).Status("/mnt/usb")
	want := proxmox.MountStatus{HostMount: mount(nil).Mount, Owner: "tend", Enabled: true, Mounted: "/dev/sdb1 ext4", Right: true}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("it is (-want +got):\n%s", d)
	}
	quiet := mount(func(m *proxmox.HostMount) { m.Options = []string{"nodev"} })
	if out := n.do(t, quiet); !out.Changed {
		t.Error("other options have changed nothing")
	}
	if got, _ := n.mounts(t).Status("/mnt/usb"); !got.Equal(quiet.Mount) || !got.Right {
		t.Errorf("with other options it is %+v", got)
	}
	gone := mount(nil)
	gone.Absent = true
	if out := n.do(t, gone); !out.Changed {
		t.Error("unmounting has changed nothing")
	}
	if out := n.do(t, gone); out.Changed {
		t.Error("unmounting again has changed something")
	}
	if got := n.mounts(t); len(got.Mounts) != 0 || len(got.Others) != 0 {
		t.Errorf("in the end there is %+v", got)
	}
}

// TestMountRefused refuses what is not there, not clear, or not tend's, and changes nothing.
func TestMountRefused(t *testing.T) {
	foreign := func(text string) func(*sim.Node) {
		return func(s *sim.Node) {
			s.Files = map[string]*sim.File{privileged.UnitFile("/mnt/usb"): {Mode: 0o644, Content: text}}
		}
	}
	for _, tt := range []struct {
		name   string
		r      func(*proxmox.HostMount)
		state  func(*sim.Node)
		err    error
		phrase string
	}{
		{"no such UUID", func(m *proxmox.HostMount) { m.Device = "UUID=beef" }, nil, lane.ErrNoDevice, "there are: UUID=1f2e (ext4, label media, /dev/sdb1); UUID=9a9a (xfs, label media2, /dev/sde1)"},
		{"no such link", func(m *proxmox.HostMount) { m.Device = "/dev/disk/by-id/usb-x" }, nil, lane.ErrNoDevice, "there is no /dev/disk/by-id/usb-x"},
		{"a part of a volume group", func(m *proxmox.HostMount) { m.Device = "UUID=lvm" }, nil, lane.ErrNoDevice, "a part of a volume group"},
		{"no file system", func(m *proxmox.HostMount) { m.Device = "PARTUUID=empty" }, nil, lane.ErrNoDevice, "nothing is ever formatted"},
		{"another type", func(m *proxmox.HostMount) { m.Filesystem = "xfs" }, nil, lane.ErrNoDevice, "holds ext4, and not xfs"},
		{"two of a label", func(m *proxmox.HostMount) { m.Device = "LABEL=media" }, func(s *sim.Node) { s.Disks[3].Label = "media" }, lane.ErrNoDevice, "name it by UUID"},
		{"somebody's unit", nil, foreign("[Mount]\nWhat=/dev/sdb1\nWhere=/mnt/usb\n"), lane.ErrNotOurs, "unit of somebody else"},
		{"another owner's unit", nil, foreign("[X-Tend]\nName=usb\nOwner=other\n"), lane.ErrNotOurs, "unit of the owner other"},
		{"a line of fstab", nil, func(s *sim.Node) {
			s.Files = map[string]*sim.File{"/etc/fstab": {Content: "# x\nUUID=1f2e /mnt/usb ext4 defaults 0 2\n"}}
		}, lane.ErrNotOurs, "take the line out first"},
		{"mounted by hand", nil, func(s *sim.Node) { s.Disks[3].MountedAt = "/mnt/usb" }, lane.ErrNotOurs, "/dev/sde1 xfs is mounted at /mnt/usb"},
		{"a directory with files", nil, func(s *sim.Node) {
			s.Made = []string{"/mnt/usb"}
			s.Files = map[string]*sim.File{"/mnt/usb/a.txt": {}}
		}, lane.ErrNotOurs, "is not empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := disks(t)
			if tt.state != nil {
				n = n.with(t, tt.state)
			}
			before := n.sim.State().Nodes["pve1"].Files
			_, err := n.Do(context.Background(), mount(tt.r))
			if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.phrase) {
				t.Errorf("got %v, want %v with %q", err, tt.err, tt.phrase)
			}
			if d := cmp.Diff(before, n.sim.State().Nodes["pve1"].Files); d != "" {
				t.Errorf("files were changed:\n%s", d)
			}
		})
	}
}

// TestUnmountInUse leaves a host mount alone that anybody uses.
func TestUnmountInUse(t *testing.T) {
	gone := mount(nil)
	gone.Absent = true
	conf := func(more string) *sim.Container {
		return &sim.Container{Node: "pve1", Config: "arch: amd64\nhostname: x\nmemory: 512\nostype: debian\nrootfs: local-btrfs:900/vm-900-disk-0.raw,size=1G\nswap: 512\n" + more}
	}
	for _, tt := range []struct {
		name   string
		change func(*sim.State)
		phrase string
	}{
		{"a mount point below it", func(s *sim.State) { s.Containers[900] = conf("mp0: /mnt/usb/films,mp=/films\n") }, "container 900: it is in use"},
		{"one that is pending", func(s *sim.State) { s.Containers[900] = conf("\n[pve:pending]\nmp0: /mnt/usb,mp=/films\n") }, "container 900: it is in use"},
		{"a raw line", func(s *sim.State) {
			s.Containers[900] = conf("lxc.mount.entry: /mnt/usb/a\\040b films none bind,create=dir 0 0\n")
		}, "container 900: it is in use"},
		{"a process of the node", func(s *sim.State) { s.Nodes["pve1"].Disks[0].Busy = true }, "stays mounted"},
		{"a path beside it", func(s *sim.State) { s.Containers[900] = conf("mp0: /mnt/usb2,mp=/films\n") }, ""},
		{"a snapshot that had it", func(s *sim.State) { s.Containers[900] = conf("\n[s1]\nlxc.mount.entry: /mnt/usb f none bind 0 0\n") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := disks(t)
			n.do(t, mount(nil))
			st := n.sim.State()
			tt.change(st)
			s, err := sim.New(st, sim.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			root := s.Root("pve1")
			n = node{lane.Lane{Backend: root}, root, s}
			_, err = n.Do(context.Background(), gone)
			if tt.phrase == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, lane.ErrInUse) || !strings.Contains(err.Error(), tt.phrase) {
				t.Errorf("got %v, want %q", err, tt.phrase)
			}
			if got, _ := n.mounts(t).Status("/mnt/usb"); !got.Right || !got.Enabled {
				t.Errorf("it is %+v", got)
			}
		})
	}
}

// TestMountUndone puts back what was there where systemd cannot mount.
func TestMountUndone(t *testing.T) {
	n := disks(t)
	fail := func(context.Context, []string, []byte) ([]byte, []byte, int) { return nil, []byte("it broke\n"), 1 }
	n.root.Programs = map[string]sim.Program{"/usr/bin/systemctl": fail}
	_, err := n.Do(context.Background(), mount(nil))
	if err == nil || !strings.Contains(err.Error(), "it broke") {
		t.Errorf("got %v", err)
	}
	if _, _, err := n.root.ReadFile(privileged.UnitFile("/mnt/usb")); err == nil {
		t.Error("the unit stays, and the node would try at each start")
	}
}

// TestReadMounts tells apart what is tend's and what is not, and who uses what.
func TestReadMounts(t *testing.T) {
	n := disks(t).with(t, func(s *sim.Node) {
		s.Disks[3].MountedAt = "/srv/by-hand"
		s.Files = map[string]*sim.File{
			"/etc/fstab": {Content: "UUID=77 /media/old ext4 defaults 0 2\nUUID=78 / ext4 errors=remount-ro 0 1\n"},
			privileged.UnitDir + "/" + "mnt-theirs.mount": {Content: "[Mount]\nWhat=/dev/x\nWhere=/mnt/theirs\n"},
			"/etc/pve/storage.cfg":                        {Content: "dir: local\n\tpath /var/lib/vz\n\ndir: usb\n\tpath /mnt/usb/store\n\ndir: far\n\tpath /mnt/usb/far\n\tnodes pve2\n"},
		}
	})
	n.do(t, mount(nil))
	got := n.mounts(t, "UUID=1f2e", "/dev/disk/by-id/usb-WD-part1", "UUID=nosuch")
	var others []string
	for _, o := range got.Others {
		others = append(others, o.Path+": "+o.By)
	}
	if d := cmp.Diff([]string{"/media/old: UUID=77 ext4, in /etc/fstab", "/mnt/theirs: /dev/x, in the unit mnt-theirs.mount", "/srv/by-hand: /dev/sde1 xfs"}, others); d != "" {
		t.Errorf("others (-want +got):\n%s", d)
	}
	var found []string
	for d := range got.Found {
		found = append(found, d)
	}
	slices.Sort(found)
	if d := cmp.Diff([]string{"/dev/disk/by-id/usb-WD-part1", "UUID=1f2e"}, found); d != "" {
		t.Errorf("found (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]proxmox.PathUse{{Path: "/mnt/usb/store", Storage: "usb"}}, got.Uses); d != "" {
		t.Errorf("uses (-want +got):\n%s", d)
	}
}

func TestReadSnippets(t *testing.T) {
	n := start(t, sim.Options{})
	n.do(t, snippet("#!/bin/sh\n"))
	var got map[string]proxmox.SnippetStatus
	out := n.do(t, privileged.ReadSnippets{Node: "pve1", Volumes: []string{"local:snippets/put.sh", "local:snippets/nosuch.sh", "nosuch:snippets/x"}})
	if err := json.Unmarshal(out.Output, &got); err != nil {
		t.Fatal(err)
	}
	want := proxmox.SnippetStatus{SHA256: "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf", Executable: true}
	if got["local:snippets/put.sh"] != want || got["local:snippets/nosuch.sh"] != (proxmox.SnippetStatus{}) || got["nosuch:snippets/x"].Broken == "" {
		t.Errorf("got %+v", got)
	}
}

func snippet(text string) privileged.PutSnippet {
	sum := sha256.Sum256([]byte(text))
	return privileged.PutSnippet{Node: "pve1", Volume: "local:snippets/put.sh", Content: []byte(text), SHA256: hex.EncodeToString(sum[:])}
}
