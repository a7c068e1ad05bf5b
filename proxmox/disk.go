package proxmox

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A Disk is a disk of a node, or with Parent one of its partitions (pve-storage Diskmanage.pm, get_disks). Disks
// behind iSCSI, device mapper and md are not among them.
type Disk struct {
	Device  string `pve:"devpath" json:"device"`          // "/dev/sda", "/dev/nvme0n1p3"
	Parent  string `pve:"parent" json:"parent,omitempty"` // of a partition: "/dev/nvme0n1"
	Type    string `pve:"type" json:"type,omitempty"`     // "hdd", "ssd", "nvme", "usb", "unknown", "partition"
	Model   string `pve:"model" json:"model,omitempty"`
	Vendor  string `pve:"vendor" json:"vendor,omitempty"`
	Serial  string `pve:"serial" json:"serial,omitempty"` // "unknown" where the kernel does not tell
	WWN     string `pve:"wwn" json:"wwn,omitempty"`       // "0x5000c500a1b2c3d4", "eui.0025385b01404242" or "unknown"
	Link    string `pve:"by_id_link" json:"link,omitempty"`
	Size    int64  `pve:"size" json:"size"`                 // bytes
	Used    string `pve:"used" json:"used,omitempty"`       // "LVM", "ZFS", "mounted", "ext4", "partitions", …; empty: unused
	Mounted bool   `pve:"mounted" json:"mounted,omitempty"` // what is mounted where is not told
	// Health is what the disk's own check said: "PASSED", "OK", "FAILED!", another text, or "UNKNOWN" where it could
	// not be asked, or was not.
	Health string `pve:"health" json:"health,omitempty"`
	// Wearout is how many percent of its endurance are left, of disks without moving parts; "N/A" where that is not told.
	Wearout string `pve:"wearout" json:"wearout,omitempty"`
}

// Left is how many percent of its endurance are left, as Proxmox reckons it: 100 less what a disk says was used, or
// the normalised value of the first attribute that is known to count down (get_wear_leveling_info).
func (d Disk) Left() (percent int, known bool) { return percentOf(d.Wearout) }

func percentOf(text string) (int, bool) {
	v, err := strconv.ParseFloat(text, 64)
	return int(v), err == nil && v >= -255 && v <= 255
}

// A DiskFilter says what a list of disks tells. Its zero value lists disks without partitions, each asked for its health.
type DiskFilter struct {
	Partitions bool // partitions as well
	NoHealth   bool // do not ask the disks, which takes up to ten seconds of one that does not answer
}

// Disks lists the disks of a node, with their health. It takes Sys.Audit on / or on the node (pve-storage
// API2/Disks.pm, list).
func (c *Client) Disks(ctx context.Context, node string, f DiskFilter) (list []Disk, err error) {
	p := params{}
	p.flag("include-partitions", f.Partitions)
	p.flag("skipsmart", f.NoHealth)
	return list, c.get(ctx, nodePath(node, "/disks/list"), p.values(), &list)
}

// A Smart is what smartctl told Proxmox of a disk (pve-storage Diskmanage.pm, get_smart_data).
type Smart struct {
	Health     string           `pve:"health"`     // as of [Disk]
	Type       string           `pve:"type"`       // "ata": attributes; "text": a text of lines "name: value"
	Attributes []SmartAttribute `pve:"attributes"` // of ATA disks
	Text       string           `pve:"text"`       // of NVMe and SCSI disks
	Wearout    string           `pve:"wearout"`    // percent left, where the text says how many were used
}

// A SmartAttribute is a row of the table that ATA disks keep.
type SmartAttribute struct {
	ID        string `pve:"id"` // "  5", padded
	Name      string `pve:"name"`
	Value     int    `pve:"normalized"`
	Threshold int    `pve:"threshold"`
	Fail      string `pve:"fail"` // "-", "Past" or "NOW"
	Raw       string `pve:"raw"`  // "0", "35 (Min/Max 21/48)"
}

// Smart reads the health of one disk. It takes Sys.Audit on /, which on the node is not enough (pve-storage
// API2/Disks.pm, smart). Where the disk cannot be asked, that is no error: Health is "UNKNOWN" then.
func (c *Client) Smart(ctx context.Context, node, disk string) (s Smart, err error) {
	return s, c.get(ctx, nodePath(node, "/disks/smart"), url.Values{"disk": {disk}}, &s)
}

// SmartHealth reads what a disk's own check says and nothing else, which is quicker. Privileges are those of
// [Client.Smart].
func (c *Client) SmartHealth(ctx context.Context, node, disk string) (health string, err error) {
	var s Smart
	err = c.get(ctx, nodePath(node, "/disks/smart"), url.Values{"disk": {disk}, "healthonly": {"1"}}, &s)
	return s.Health, err
}

// A VolumeGroup is one of LVM. Sizes are in bytes.
type VolumeGroup struct {
	Name    string           `pve:"name" json:"name"`
	Size    int64            `pve:"size" json:"size"`
	Free    int64            `pve:"free" json:"free"`
	Volumes []PhysicalVolume `pve:"children" json:"volumes"`
}

// A PhysicalVolume is what a volume group lies on.
type PhysicalVolume struct {
	Device string `pve:"name" json:"device"` // "/dev/sda3", or "[unknown]" where it is gone
	Size   int64  `pve:"size" json:"size"`
	Free   int64  `pve:"free" json:"free"`
}

// VolumeGroups lists the volume groups of a node. It takes Sys.Audit on / (pve-storage API2/Disks/LVM.pm, index).
func (c *Client) VolumeGroups(ctx context.Context, node string) ([]VolumeGroup, error) {
	var tree struct {
		Groups []VolumeGroup `pve:"children"`
	}
	err := c.get(ctx, nodePath(node, "/disks/lvm"), nil, &tree)
	return tree.Groups, err
}

// A ZPool is a pool of ZFS, as "zpool status -P" shows it.
type ZPool struct {
	Name     string `pve:"name" json:"name"`
	State    string `pve:"state" json:"state"`   // "ONLINE", "DEGRADED", …
	Errors   string `pve:"errors" json:"errors"` // "No known data errors"
	Children []Vdev `pve:"children" json:"children"`
}

// A Vdev is a node of a pool's tree: the pool itself or a section beside it ("logs", "cache", "spares", "special"), a
// group ("mirror-0", "raidz1-0") or a device by its path.
type Vdev struct {
	Name     string `pve:"name" json:"name"`
	State    string `pve:"state" json:"state,omitempty"`
	Message  string `pve:"msg" json:"message,omitempty"`
	Children []Vdev `pve:"children" json:"children,omitempty"`
}

// ZPool reads a pool. It takes Sys.Audit on / (pve-storage API2/Disks/ZFS.pm, detail).
func (c *Client) ZPool(ctx context.Context, node, name string) (p ZPool, err error) {
	return p, c.get(ctx, nodePath(node, "/disks/zfs/"+escape(name)), nil, &p)
}

// A DiskDirectory is a mount unit that Proxmox made for a directory storage.
type DiskDirectory struct {
	Path   string `pve:"path" json:"path"`     // "/mnt/pve/backup"
	Device string `pve:"device" json:"device"` // "/dev/disk/by-uuid/6f8d2b1e-…"
	Type   string `pve:"type" json:"type"`
}

// DiskDirectories lists the mounts that Proxmox made of disks of a node. It takes Sys.Audit on / (pve-storage
// API2/Disks/Directory.pm, index).
func (c *Client) DiskDirectories(ctx context.Context, node string) (list []DiskDirectory, err error) {
	return list, c.get(ctx, nodePath(node, "/disks/directory"), nil, &list)
}

// NodeDisks is what a node tells of its disks and of what lies on them, to who acts as root there. Over the API it is
// put together from several calls.
type NodeDisks struct {
	Disks       []Disk           `json:"disks"` // with partitions
	Storages    []StorageConfig  `json:"storages"`
	Groups      []VolumeGroup    `json:"groups"`
	Pools       map[string]ZPool `json:"pools"`
	Directories []DiskDirectory  `json:"directories"`
	// FileSystems and Mounts are known to root alone.
	FileSystems []FileSystem `json:"fileSystems,omitempty"`
	Mounts      []NodeMount  `json:"mounts"` // nil: not known
	// Unread says why a part could not be read, by its name: "lvm", "zfs rpool", "directory".
	Unread map[string]string `json:"unread,omitempty"`
}

// A NodeMount is something that is mounted on a node.
type NodeMount struct {
	Source string `json:"source"` // "/dev/mapper/pve-root", "rpool/ROOT/pve-1"
	Path   string `json:"path"`
	Type   string `json:"type"`
}

// PoolName is the name of the pool in which a ZFS storage has its datasets.
func (s StorageConfig) PoolName() string {
	name, _, _ := strings.Cut(s.Pool, "/")
	return name
}

// On reports whether a node has the storage.
func (s StorageConfig) On(node string) bool {
	return !s.Disabled && (len(s.Nodes) == 0 || slices.Contains(s.Nodes, node))
}

// DiskLayout reads what lies on the disks of a node, which were listed before with their partitions: the storages, and of
// volume groups, pools and mounted disks what those storages use. That is up to three requests and one for each pool.
// What is mounted where the API does not tell; who knows gives it, else nil. What cannot be read is named in Unread, and
// is no error.
func (c *Client) DiskLayout(ctx context.Context, node string, disks []Disk, mounts []NodeMount) NodeDisks {
	out := NodeDisks{Disks: disks, Mounts: mounts, Pools: map[string]ZPool{}, Unread: map[string]string{}}
	var err error
	note := func(part string) {
		if err != nil {
			out.Unread[part] = err.Error()
		}
	}
	out.Storages, err = c.StorageConfigs(ctx)
	note(UnreadStorages)
	groups, pools, directories := false, map[string]bool{}, false
	for _, s := range out.Storages {
		switch {
		case !s.On(node):
		case s.VGName != "":
			groups = true
		case s.Type == "zfspool":
			pools[s.PoolName()] = true
		case s.Type == "dir" || s.Type == "btrfs":
			directories = true
		}
	}
	for _, m := range mounts {
		if directories && m.Type == "zfs" {
			pools[StorageConfig{Pool: m.Source}.PoolName()] = true
		}
		groups = groups || directories && strings.HasPrefix(m.Source, "/dev/mapper/")
	}
	for pool := range pools {
		out.Pools[pool], err = c.ZPool(ctx, node, pool)
		note(UnreadPool + pool)
	}
	if groups {
		out.Groups, err = c.VolumeGroups(ctx, node)
		note(UnreadGroups)
	}
	if directories && mounts == nil {
		out.Directories, err = c.DiskDirectories(ctx, node)
		note(UnreadDirectories)
	}
	return out
}

// The parts of [NodeDisks] that may not be read; a pool is named after UnreadPool.
const (
	UnreadStorages    = "storages"
	UnreadGroups      = "volume groups"
	UnreadPool        = "pool "
	UnreadDirectories = "mounted disks"
)
