package sim_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
)

// drives is a node with disks of each kind, and users who may read more or less of them.
func drives(t *testing.T) *sim.Sim {
	t.Helper()
	text, err := os.ReadFile("../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	st.Nodes["pve1"].Drives = []*sim.Drive{
		{Device: "/dev/nvme0n1", Type: "nvme", Model: "X_1", Serial: "N1", ID: "nvme-X_1_N1", Size: 1 << 30, Used: 31, Celsius: 32, Parts: []*sim.DrivePart{
			{Device: "/dev/nvme0n1p1", Type: "vfat"}, {Device: "/dev/nvme0n1p3", Pool: "rpool", Vdev: "mirror-0", Size: 1 << 29},
		}},
		{Device: "/dev/sda", Type: "hdd", Serial: "S1", Size: 1 << 31, Health: "FAILED!", Pending: 8, Parts: []*sim.DrivePart{{Device: "/dev/sda", Pool: "rpool", Vdev: "mirror-0"}}},
		{Device: "/dev/sdb", Type: "usb", Size: 1 << 31, Health: "UNKNOWN", Parts: []*sim.DrivePart{{Device: "/dev/sdb1", UUID: "1-2", Mount: "/mnt/pve/usb"}}},
		{Device: "/dev/sdc", Type: "ssd", Size: 1 << 31, Parts: []*sim.DrivePart{{Device: "/dev/sdc1", VG: "pve", Size: 1 << 30}}},
	}
	st.Users["a@pve"], st.Users["b@pve"] = &sim.User{}, &sim.User{}
	st.ACL = append(st.ACL, sim.ACL{Path: "/", Role: "PVEAuditor", User: "a@pve"}, sim.ACL{Path: "/nodes/pve1", Role: "PVEAuditor", User: "b@pve"})
	s, err := sim.New(st, sim.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestDrives reads disks as the client does, and is refused where Proxmox refuses.
func TestDrives(t *testing.T) {
	s := drives(t)
	all, node, nobody := proxmox.NewClient(s.As("a@pve")), proxmox.NewClient(s.As("b@pve")), proxmox.NewClient(s.As("c@pve"))
	list, err := node.Disks(t.Context(), "pve1", proxmox.DiskFilter{})
	if err != nil || len(list) != 4 {
		t.Fatalf("%d disks, %v", len(list), err)
	}
	want := proxmox.Disk{Device: "/dev/nvme0n1", Type: "nvme", Model: "X_1", Vendor: "unknown", Serial: "N1", WWN: "unknown", Link: "/dev/disk/by-id/nvme-X_1_N1", Size: 1 << 30, Used: "vfat", Health: "PASSED", Wearout: "69"}
	if d := cmp.Diff(want, list[0]); d != "" {
		t.Error(d)
	}
	if left, ok := list[0].Left(); left != 69 || !ok {
		t.Errorf("%d percent are left, %v", left, ok)
	}
	if _, ok := list[1].Left(); ok || list[1].Health != "FAILED!" || list[2].Health != "UNKNOWN" || list[2].Used != "ext4" {
		t.Errorf("got %+v", list)
	}
	parts, err := all.Disks(t.Context(), "pve1", proxmox.DiskFilter{Partitions: true, NoHealth: true})
	if err != nil || len(parts) != 8 || parts[0].Used != "partitions" || parts[0].Health != "UNKNOWN" || parts[1].Parent != "/dev/nvme0n1" || parts[2].Used != "ZFS" {
		t.Errorf("with partitions: %+v, %v", parts, err)
	}
	if _, err := nobody.Disks(t.Context(), "pve1", proxmox.DiskFilter{}); !errors.Is(err, proxmox.ErrForbidden) && !errors.Is(err, proxmox.ErrUnauthorized) {
		t.Errorf("nobody reads disks: %v", err)
	}
	if _, err := node.Smart(t.Context(), "pve1", "/dev/sda"); !errors.Is(err, proxmox.ErrForbidden) || !strings.Contains(err.Error(), "(/, Sys.Audit)") {
		t.Errorf("the node is enough for a disk: %v", err)
	}
	smart, err := all.Smart(t.Context(), "pve1", "/dev/nvme0n1")
	if err != nil || smart.Type != "text" || smart.Wearout != "69" || !strings.Contains(smart.Text, "Temperature:                        32 Celsius\n") {
		t.Errorf("got %+v, %v", smart, err)
	}
	if smart, err = all.Smart(t.Context(), "pve1", "/dev/sda"); err != nil || smart.Type != "ata" || smart.Health != "FAILED!" || len(smart.Attributes) != 4 {
		t.Errorf("got %+v, %v", smart, err)
	}
	if h, err := all.SmartHealth(t.Context(), "pve1", "/dev/sdb"); h != "UNKNOWN" || err != nil {
		t.Errorf("got %q, %v", h, err)
	}
	if _, err := all.Smart(t.Context(), "pve1", "/dev/../etc"); err == nil {
		t.Error("any path is a disk")
	}
	pool, err := all.ZPool(t.Context(), "pve1", "rpool")
	leaves := []string{}
	if err == nil {
		for _, v := range pool.Children[0].Children[0].Children {
			leaves = append(leaves, v.Name)
		}
	}
	if d := cmp.Diff([]string{"/dev/disk/by-id/nvme-X_1_N1-part3", "/dev/sda"}, leaves); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := all.ZPool(t.Context(), "pve1", "none"); err == nil {
		t.Error("a pool that is not there is told of")
	}
	groups, err := all.VolumeGroups(t.Context(), "pve1")
	if d := cmp.Diff([]proxmox.VolumeGroup{{Name: "pve", Size: 1 << 30, Volumes: []proxmox.PhysicalVolume{{Device: "/dev/sdc1", Size: 1 << 30}}}}, groups); d != "" || err != nil {
		t.Error(d, err)
	}
	dirs, err := all.DiskDirectories(t.Context(), "pve1")
	if d := cmp.Diff([]proxmox.DiskDirectory{{Path: "/mnt/pve/usb", Device: "/dev/disk/by-uuid/1-2", Type: "ext4"}}, dirs); d != "" || err != nil {
		t.Error(d, err)
	}
}

// TestDriveState keeps disks in a state's file, and says what is wrong with them.
func TestDriveState(t *testing.T) {
	st := drives(t).State()
	raw, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := sim.ParseState(raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(st.Nodes["pve1"].Drives, again.Nodes["pve1"].Drives); d != "" {
		t.Error(d)
	}
	for _, bad := range []*sim.Drive{{Device: "sda", Type: "hdd"}, {Device: "/dev/sda", Type: "disk"}, {Device: "/dev/sda", Type: "hdd", Parts: []*sim.DrivePart{{Device: "/dev/sdb1"}}}} {
		st.Nodes["pve1"].Drives = []*sim.Drive{bad}
		raw, err := st.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sim.ParseState(raw); err == nil || !strings.Contains(err.Error(), "nodes.pve1.drives[0]") {
			t.Errorf("%+v passes: %v", *bad, err)
		}
	}
}

// TestDrivePrograms runs what root runs.
func TestDrivePrograms(t *testing.T) {
	r := drives(t).Root("pve1")
	run := func(argv ...string) (string, int) {
		t.Helper()
		out, _, exit, err := r.Run(t.Context(), argv, nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(out), exit
	}
	var doc struct {
		SmartStatus struct{ Passed *bool } `json:"smart_status"`
	}
	out, exit := run("/usr/sbin/smartctl", "--json", "--all", "/dev/sda")
	if err := json.Unmarshal([]byte(out), &doc); err != nil || exit != 8 || doc.SmartStatus.Passed == nil || *doc.SmartStatus.Passed {
		t.Errorf("exit %d, %v: %s", exit, err, out)
	}
	if out, exit := run("/usr/sbin/smartctl", "--json", "--all", "/dev/sdz"); exit != 2 || !strings.Contains(out, "No such device") {
		t.Errorf("exit %d: %s", exit, out)
	}
	if _, exit := run("/usr/bin/sensors", "-j"); exit != 1 {
		t.Errorf("exit %d without sensors", exit)
	}
	if out, _ := run("/usr/bin/findmnt", "--json"); !strings.Contains(out, `"source":"/dev/sdb1","target":"/mnt/pve/usb"`) {
		t.Error(out)
	}
	if _, _, _, err := r.Run(t.Context(), []string{"/usr/sbin/smartctl", "--set", "off"}, nil); err == nil {
		t.Error("any command of smartctl is known")
	}
}
