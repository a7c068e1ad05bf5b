package health_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
)

func facts() proxmox.NodeDisks {
	link := "/dev/disk/by-id/"
	return proxmox.NodeDisks{
		Disks: []proxmox.Disk{
			{Device: "/dev/nvme0n1", Type: "nvme", Serial: "S5TEST1", WWN: "eui.0025385b01404242", Link: link + "nvme-Samsung_980_S5TEST1"},
			{Device: "/dev/nvme0n1p3", Parent: "/dev/nvme0n1", Type: "partition", Used: "LVM"},
			{Device: "/dev/sda", Type: "hdd", Serial: "WD-A", WWN: "0x50014ee2", Link: link + "ata-WDC_WD40_WD-A"},
			{Device: "/dev/sdb", Type: "hdd", Serial: "WD-B0001", WWN: "unknown"},
			{Device: "/dev/sdb1", Parent: "/dev/sdb", Type: "partition"},
			{Device: "/dev/sdc", Type: "usb", Serial: "unknown"},
			{Device: "/dev/sdc1", Parent: "/dev/sdc", Type: "partition", Used: "ext4", Mounted: true},
		},
		Storages: []proxmox.StorageConfig{
			{Name: "thin", Type: "lvmthin", VGName: "pve", ThinPool: "data"},
			{Name: "tank", Type: "zfspool", Pool: "tank/guests"},
			{Name: "usb", Type: "dir", Path: "/mnt/pve/usb"},
			{Name: "local", Type: "dir", Path: "/var/lib/vz"},
			{Name: "nas", Type: "nfs", Path: "/mnt/pve/nas"},
			{Name: "off", Type: "dir", Path: "/off", Disabled: true},
			{Name: "elsewhere", Type: "dir", Path: "/x", Nodes: []string{"pve2"}},
		},
		Groups: []proxmox.VolumeGroup{{Name: "pve", Volumes: []proxmox.PhysicalVolume{{Device: "/dev/nvme0n1p3"}}}, {Name: "my-vg", Volumes: []proxmox.PhysicalVolume{{Device: "/dev/sdb1"}, {Device: "[unknown]"}}}},
		Pools: map[string]proxmox.ZPool{"tank": {Name: "tank", Children: []proxmox.Vdev{
			{Name: "tank", Children: []proxmox.Vdev{{Name: "mirror-0", Children: []proxmox.Vdev{{Name: link + "ata-WDC_WD40_WD-A-part1"}, {Name: link + "ata-WDC_WD40_WD-B0001-part1"}}}}},
			{Name: "logs", Children: []proxmox.Vdev{{Name: link + "nvme-eui.0025385b01404242-part4"}}},
			{Name: "cache", Children: []proxmox.Vdev{{Name: "/dev/sdc1"}}},
			{Name: "spares", Children: []proxmox.Vdev{{Name: "/dev/sdz"}}},
		}}},
		Directories: []proxmox.DiskDirectory{{Path: "/mnt/pve/usb", Device: "/dev/disk/by-uuid/1111-2222"}},
	}
}

func located(f proxmox.NodeDisks) string {
	var out []string
	for _, b := range health.Locate("pve1", f) {
		line := fmt.Sprintf("%s: %s: %s", b.Storage, b.What, strings.Join(b.Disks, " "))
		if b.Unknown != "" {
			line += " (" + b.Unknown + ")"
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestLocate(t *testing.T) {
	const rest = "the API does not say what is mounted there; root on the node sees it (lane: helper)"
	link := "/dev/disk/by-id/"
	pool := func(names ...string) func(*proxmox.NodeDisks) {
		return func(f *proxmox.NodeDisks) {
			f.Storages = []proxmox.StorageConfig{{Name: "tank", Type: "zfspool", Pool: "tank"}}
			root := proxmox.Vdev{Name: "tank"}
			for _, n := range names {
				root.Children = append(root.Children, proxmox.Vdev{Name: n})
			}
			f.Pools = map[string]proxmox.ZPool{"tank": {Name: "tank", Children: []proxmox.Vdev{root}}}
		}
	}
	for _, tt := range []struct {
		name string
		edit func(*proxmox.NodeDisks)
		want string
	}{
		{"over the API", func(*proxmox.NodeDisks) {}, "thin: volume group pve: /dev/nvme0n1\ntank: pool tank: /dev/nvme0n1 /dev/sda /dev/sdb\n" +
			"usb: /dev/disk/by-uuid/1111-2222 on /mnt/pve/usb:  (it is not known which disk /dev/disk/by-uuid/1111-2222 is)\nlocal: /var/lib/vz:  (" + rest + ")"},
		{"as root", func(f *proxmox.NodeDisks) {
			f.Storages = append(f.Storages[2:4], proxmox.StorageConfig{Name: "deep", Type: "dir", Path: "/srv/guests/a"}, proxmox.StorageConfig{Name: "data", Type: "btrfs", Path: "/data"}, proxmox.StorageConfig{Name: "crypt", Type: "dir", Path: "/crypt"})
			f.FileSystems = []proxmox.FileSystem{{Device: "/dev/sdc1", UUID: "1111-2222"}}
			f.Mounts = []proxmox.NodeMount{
				{Source: "/dev/mapper/pve-root", Path: "/"},
				{Source: "/dev/sdc1", Path: "/mnt/pve/usb"},
				{Source: "tank/srv", Path: "/srv", Type: "zfs"},
				{Source: "/dev/mapper/my--vg-data", Path: "/data"},
				{Source: "/dev/mapper/luks", Path: "/crypt"},
			}
		}, "usb: /dev/sdc1 on /mnt/pve/usb: /dev/sdc\nlocal: volume group pve, on /: /dev/nvme0n1\ndeep: pool tank, on /srv: /dev/nvme0n1 /dev/sda /dev/sdb\n" +
			"data: volume group my-vg, on /data: /dev/sdb (it is not known which disk [unknown] is)\ncrypt: /crypt:  (it is not known what /dev/mapper/luks is made of)"},
		{"nothing may be read", func(f *proxmox.NodeDisks) {
			f.Groups, f.Pools, f.Directories, f.Storages = nil, nil, nil, f.Storages[:3]
			f.Unread = map[string]string{proxmox.UnreadGroups: "403", proxmox.UnreadPool + "tank": "403", proxmox.UnreadDirectories: "403"}
		}, "thin: volume group pve:  (volume groups: 403)\ntank: pool tank:  (pool tank: 403)\nusb: /mnt/pve/usb:  (mounted disks: 403)"},
		{"a group that is not listed", func(f *proxmox.NodeDisks) { f.Groups, f.Storages = f.Groups[1:], f.Storages[:1] }, "thin: volume group pve:  (the node does not list the volume group)"},
		{"by WWN, and a device that is gone", pool(link+"wwn-0x50014ee2-part1", "12345678901234567890"), "tank: pool tank: /dev/sda (it is not known which disk 12345678901234567890 is)"},
		{"by the number of a namespace", pool(link + "nvme-Samsung_980_S5TEST1_1-part3"), "tank: pool tank: /dev/nvme0n1"},
		{"whole disks", pool("/dev/sdb"), "tank: pool tank: /dev/sdb"},
		{"the end of a serial number is none", pool(link + "ata-WDC_WD40_XWD-B0001-part1"), "tank: pool tank:  (it is not known which disk /dev/disk/by-id/ata-WDC_WD40_XWD-B0001-part1 is)"},
		{"two disks of one name", func(f *proxmox.NodeDisks) {
			pool(link + "ata-X_WD-B0001-part1")(f)
			f.Disks = append(f.Disks, proxmox.Disk{Device: "/dev/sdy", Serial: "WD-B0001"})
		}, "tank: pool tank:  (it is not known which disk /dev/disk/by-id/ata-X_WD-B0001-part1 is)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := facts()
			tt.edit(&f)
			if d := cmp.Diff(tt.want, located(f)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestOn finds what is in the way of a storage, and never more than is known.
func TestOn(t *testing.T) {
	node := &health.Node{
		Name: "pve1",
		Disks: []health.Disk{
			{Device: "/dev/sda", Model: "WDC", Serial: "WD-A", Level: health.Failing, Reasons: []string{"its own health check failed"}},
			{Device: "/dev/sdb", Level: health.Warning, Reasons: []string{"it is hot"}},
		},
		Storages: []health.Backing{
			{Storage: "tank", Disks: []string{"/dev/sda", "/dev/sdb"}}, {Storage: "warm", Disks: []string{"/dev/sdb"}}, {Storage: "dark", Disks: []string{}, Unknown: "who knows"},
		},
	}
	want := "storage tank lies on a failing disk, one of its 2 disks: /dev/sda (WDC, serial WD-A) of node pve1 is failing: its own health check failed"
	if o := node.On("tank", nil); o.Why != want || o.Allowed {
		t.Errorf("got %+v", o)
	}
	if o := node.On("tank", []string{"sdb", "pve1:sda"}); o.Why != want || !o.Allowed {
		t.Errorf("consent is not taken: %+v", o)
	}
	if o := node.On("tank", []string{"sdb"}); o.Allowed {
		t.Error("consent to another disk is taken")
	}
	for _, s := range []string{"warm", "dark", "nas"} {
		if o := node.On(s, nil); o.Why != "" {
			t.Errorf("%s: %s", s, o.Why)
		}
	}
	if o := (*health.Node)(nil).On("tank", nil); o.Why != "" {
		t.Error("what was not read is in the way")
	}
}
