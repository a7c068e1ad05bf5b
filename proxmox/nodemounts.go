package proxmox

import (
	"path"
	"slices"
	"strings"
)

// A NodeMounts is what a node tells of its host mounts, to who acts as root there.
type NodeMounts struct {
	Mounts []MountStatus `json:"mounts"` // those that tend made, of any owner
	Others []OtherMount  `json:"others"` // what else is mounted, or will be, below the places for host mounts
	// FileSystems are all that the node has, mounted or not.
	FileSystems []FileSystem `json:"fileSystems"`
	// Found are the devices that were asked for and are there.
	Found map[string]FileSystem `json:"found"`
	Uses  []PathUse             `json:"uses"` // who uses paths below the places for host mounts
}

// A MountStatus is a host mount that tend made.
type MountStatus struct {
	HostMount
	Owner   string `json:"owner"`   // tag of the spec that it is from
	Enabled bool   `json:"enabled"` // it is mounted when the node starts
	Mounted string `json:"mounted"` // what is mounted there: "/dev/sdb1 ext4"; empty: nothing
	Right   bool   `json:"right"`   // and that is what the unit says
}

// An OtherMount is something that is mounted, or will be, and is not tend's.
type OtherMount struct {
	Path string `json:"path"`
	By   string `json:"by"` // what it is, and where it is written: "/dev/sdb1 ext4, in /etc/fstab"
}

// A FileSystem is one that a node has.
type FileSystem struct {
	Device    string `json:"device"` // "/dev/sdb1"
	Type      string `json:"type"`   // "ext4"; empty where the device holds none
	UUID      string `json:"uuid"`
	Label     string `json:"label"`
	PartUUID  string `json:"partUUID"`
	PartLabel string `json:"partLabel"`
}

// Is reports whether a device of a host mount, written by a tag, is this one.
func (f FileSystem) Is(device string) bool {
	tag, value, ok := strings.Cut(device, "=")
	have := map[string]string{"UUID": f.UUID, "LABEL": f.Label, "PARTUUID": f.PartUUID, "PARTLABEL": f.PartLabel}
	return ok && value != "" && have[tag] == value
}

// String is "UUID=6f8d… (ext4, label media, /dev/sdb1)".
func (f FileSystem) String() string {
	name := "UUID=" + f.UUID
	if f.UUID == "" {
		name = "PARTUUID=" + f.PartUUID
	}
	parts := []string{f.Type}
	if f.Label != "" {
		parts = append(parts, "label "+f.Label)
	}
	return name + " (" + strings.Join(append(parts, f.Device), ", ") + ")"
}

// notMountable are types of what is no file system but a part of something else (libblkid).
var notMountable = map[string]string{
	"swap": "swap space", "crypto_LUKS": "encrypted: open it first", "LVM2_member": "a part of a volume group", "zfs_member": "a part of a ZFS pool",
	"linux_raid_member": "a part of a RAID", "ceph_bluestore": "a part of Ceph", "BitLocker": "encrypted: open it first",
}

// Mountable says why a device cannot be mounted as it is; "" where it can. What holds no file system is never given one.
func (f FileSystem) Mountable() string {
	if f.Type == "" {
		return "it holds no file system, and nothing is ever formatted"
	}
	return notMountable[f.Type]
}

// A PathUse is somebody who uses a path of the node.
type PathUse struct {
	Path    string `json:"path"`
	Guest   VMID   `json:"guest"`   // a container; 0: see Storage
	Running bool   `json:"running"` // it has it mounted now; else its configuration names it
	Storage string `json:"storage"` // a storage of Proxmox that lies there
}

// String is "container 101", "container 101, which runs with it" or "storage backups".
func (u PathUse) String() string {
	switch {
	case u.Storage != "":
		return "storage " + u.Storage
	case u.Running:
		return "container " + u.Guest.String() + ", which runs with it"
	}
	return "container " + u.Guest.String()
}

// UsesBelow are those who use a path or anything below it, each told once.
func (n NodeMounts) UsesBelow(where string) []PathUse {
	var out []PathUse
	for _, u := range n.Uses {
		if p := path.Clean(u.Path); p != where && !strings.HasPrefix(p, where+"/") {
			continue
		}
		i := slices.IndexFunc(out, func(o PathUse) bool { return o.Guest == u.Guest && o.Storage == u.Storage })
		if i < 0 {
			u.Path, i = where, len(out)
			out = append(out, u)
		}
		out[i].Running = out[i].Running || u.Running
	}
	return out
}

// Status returns the host mount that tend made at a path.
func (n NodeMounts) Status(where string) (MountStatus, bool) {
	i := slices.IndexFunc(n.Mounts, func(m MountStatus) bool { return m.Path == where })
	if i < 0 {
		return MountStatus{}, false
	}
	return n.Mounts[i], true
}

// Equal reports whether two host mounts are the same, whatever the order of their options.
func (m HostMount) Equal(o HostMount) bool {
	sorted := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	return m.Name == o.Name && m.Device == o.Device && m.Path == o.Path && m.Filesystem == o.Filesystem &&
		slices.Equal(sorted(m.Options), sorted(o.Options))
}

// A SnippetStatus is what a node has in place of a snippet.
type SnippetStatus struct {
	SHA256     string `json:"sha256"`     // of its content, in hex; empty: it is absent
	Executable bool   `json:"executable"` // as Proxmox needs it
	Broken     string `json:"broken"`     // why that could not be found out; empty where it could
}

// CannotMount says why a host mount cannot be mounted: its device is not among the file systems of the node, is not
// clear, holds none, or holds another type than was named; "" where it can. found are those that its device names.
func CannotMount(m HostMount, found, all []FileSystem) string {
	var names []string
	for _, f := range all {
		if f.Mountable() == "" {
			names = append(names, f.String())
		}
	}
	slices.Sort(names)
	switch {
	case len(found) == 0 && len(names) == 0:
		return "there is no " + m.Device + " on the node, and no other file system either"
	case len(found) == 0:
		return "there is no " + m.Device + " on the node; there are: " + strings.Join(names, "; ")
	case len(found) > 1:
		return m.Device + " is both " + found[0].Device + " and " + found[1].Device + ": name it by UUID"
	case found[0].Mountable() != "":
		return found[0].Device + " cannot be mounted: " + found[0].Mountable()
	case m.Filesystem != "" && m.Filesystem != found[0].Type:
		return found[0].Device + " holds " + found[0].Type + ", and not " + m.Filesystem
	}
	return ""
}
