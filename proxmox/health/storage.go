package health

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// A Backing says on which disks of a node a storage lies.
type Backing struct {
	Storage string   `json:"storage"`
	What    string   `json:"what"`  // "volume group pve", "pool rpool", "/dev/sdb1 on /mnt/pve/usb"
	Disks   []string `json:"disks"` // devices, as listed
	// Unknown says why the disks, or some of them, are not known; empty where they all are.
	Unknown string `json:"unknown,omitempty"`
}

// Locate says for each storage of a node on which disks it lies, as far as what was read tells. Storages that lie on
// other machines are left out.
func Locate(node string, f proxmox.NodeDisks) []Backing {
	l := locator{f}
	out := []Backing{}
	for _, s := range f.Storages {
		if !s.On(node) {
			continue
		}
		var b Backing
		switch s.Type {
		case "lvm", "lvmthin":
			b = l.group(s.VGName)
		case "zfspool":
			b = l.pool(s.PoolName())
		case "dir", "btrfs":
			b = l.directory(s.Path)
		default: // of the network: nfs, cifs, cephfs, rbd, pbs, iscsi, zfs over iSCSI, esxi
			continue
		}
		b.Storage = s.Name
		slices.Sort(b.Disks)
		b.Disks = slices.Compact(b.Disks)
		if b.Disks == nil {
			b.Disks = []string{}
		}
		out = append(out, b)
	}
	return out
}

type locator struct{ proxmox.NodeDisks }

// group is a volume group: its volumes may lie on any of what it is made of.
func (l locator) group(name string) Backing {
	b := Backing{What: "volume group " + name}
	i := slices.IndexFunc(l.Groups, func(g proxmox.VolumeGroup) bool { return g.Name == name })
	if i < 0 {
		b.Unknown = l.why(proxmox.UnreadGroups, "the node does not list the volume group")
		return b
	}
	for _, pv := range l.Groups[i].Volumes {
		l.put(&b, pv.Device)
	}
	if len(l.Groups[i].Volumes) == 0 {
		b.Unknown = "the node does not say what the volume group is made of"
	}
	return b
}

// noData are the sections of a pool whose devices hold nothing that is not elsewhere (zpoolconcepts(7)).
var noData = []string{"cache", "spares"}

func (l locator) pool(name string) Backing {
	b := Backing{What: "pool " + name}
	p, ok := l.Pools[name]
	if !ok || p.Name == "" {
		b.Unknown = l.why(proxmox.UnreadPool+name, "the node does not tell of the pool")
		return b
	}
	for _, v := range p.Children {
		if !slices.Contains(noData, v.Name) {
			l.vdev(&b, v)
		}
	}
	if len(b.Disks) == 0 && b.Unknown == "" {
		b.Unknown = "the node does not say what the pool is made of"
	}
	return b
}

func (l locator) vdev(b *Backing, v proxmox.Vdev) {
	for _, child := range v.Children {
		l.vdev(b, child)
	}
	if len(v.Children) == 0 && v.Name != "" && !slices.Contains([]string{"logs", "special", "dedup"}, v.Name) {
		l.put(b, v.Name)
	}
}

// directory is a path of the node: it lies on what is mounted there, or deepest above.
func (l locator) directory(where string) Backing {
	b := Backing{What: where}
	source, at := "", ""
	for _, m := range l.Mounts {
		if below(where, m.Path) && len(m.Path) >= len(at) {
			source, at = m.Source, m.Path
		}
	}
	if len(l.Mounts) == 0 {
		for _, d := range l.Directories {
			if below(where, d.Path) && len(d.Path) >= len(at) {
				source, at = d.Device, d.Path
			}
		}
	}
	switch {
	case source == "" && l.Mounts != nil:
		b.Unknown = "nothing is mounted there"
	case source == "":
		b.Unknown = l.why(proxmox.UnreadDirectories, "the API does not say what is mounted there; root on the node sees it (lane: helper)")
	case strings.HasPrefix(source, "/dev/mapper/"):
		if g, ok := groupOf(strings.TrimPrefix(source, "/dev/mapper/")); ok {
			in := l.group(g)
			b.What, b.Disks, b.Unknown = in.What+", on "+at, in.Disks, in.Unknown
			break
		}
		b.Unknown = "it is not known what " + source + " is made of"
	case strings.HasPrefix(source, "/dev/"):
		b.What = source + " on " + at
		l.put(&b, source)
	default: // a data set of ZFS; what it is else is not in the pools
		in := l.pool(first(source))
		b.What, b.Disks, b.Unknown = in.What+", on "+at, in.Disks, in.Unknown
	}
	return b
}

func first(dataset string) string {
	name, _, _ := strings.Cut(dataset, "/")
	return name
}

// below reports whether a path is another one or below it.
func below(where, parent string) bool {
	where, parent = path.Clean(where), path.Clean(parent)
	return parent == "/" || where == parent || strings.HasPrefix(where, parent+"/")
}

// groupOf is the volume group in the name that device mapper gives a volume: a dash parts the two, and dashes of names
// stand twice (lvm(8)).
func groupOf(name string) (string, bool) {
	for i := 1; i+1 < len(name); i++ {
		if name[i] != '-' {
			continue
		}
		if name[i+1] != '-' {
			return strings.ReplaceAll(name[:i], "--", "-"), true
		}
		i++
	}
	return "", false
}

// why is why a part was not read, or what else is the reason.
func (l locator) why(part, otherwise string) string {
	for _, p := range []string{part, proxmox.UnreadStorages} {
		if text := l.Unread[p]; text != "" {
			return p + ": " + text
		}
	}
	return otherwise
}

// put adds the disk that a device is, or is a part of.
func (l locator) put(b *Backing, device string) {
	if d, ok := l.disk(device); ok {
		b.Disks = append(b.Disks, d)
		return
	}
	if b.Unknown == "" {
		b.Unknown = "it is not known which disk " + device + " is"
	}
}

var partSuffix = regexp.MustCompile(`-part[0-9]+$`)

// disk finds the disk of a device path: as listed, by a link of udev that names it, or by the file system on it. A name
// that fits two disks fits none.
func (l locator) disk(device string) (string, bool) {
	for _, d := range l.Disks {
		if d.Device == device {
			return whole(d), true
		}
	}
	if tag, value, ok := strings.Cut(strings.TrimPrefix(device, "/dev/disk/by-"), "/"); ok && strings.HasPrefix(device, "/dev/disk/by-") {
		if tag == "id" {
			return l.byID(partSuffix.ReplaceAllString(value, ""))
		}
		name := map[string]string{"uuid": "UUID", "label": "LABEL", "partuuid": "PARTUUID", "partlabel": "PARTLABEL"}[tag]
		return l.byFileSystem(name + "=" + value)
	}
	return "", false
}

func whole(d proxmox.Disk) string {
	if d.Parent != "" {
		return d.Parent
	}
	return d.Device
}

// byFileSystem finds the device that carries a tag, which root alone is told of.
func (l locator) byFileSystem(tag string) (device string, ok bool) {
	for _, f := range l.FileSystems {
		if f.Is(tag) {
			if device != "" {
				return "", false
			}
			device = f.Device
		}
	}
	for _, d := range l.Disks {
		if device != "" && d.Device == device {
			return whole(d), true
		}
	}
	return "", false
}

// byID finds the disk of a link below /dev/disk/by-id. Besides the one that is listed, udev makes them of the WWN and
// of the model with the serial number, which for namespaces of NVMe is followed by their number (systemd
// 60-persistent-storage.rules).
func (l locator) byID(name string) (string, bool) {
	found := ""
	for _, d := range l.Disks {
		if d.Parent != "" || !named(d, name) {
			continue
		}
		if found != "" && found != d.Device {
			return "", false
		}
		found = d.Device
	}
	return found, found != ""
}

func named(d proxmox.Disk, name string) bool {
	if d.Link != "" && path.Base(d.Link) == name {
		return true
	}
	if w := known(d.WWN); w != "" && (name == "wwn-"+w || name == "nvme-"+w || name == "scsi-"+strings.Replace(w, "0x", "3", 1)) {
		return true
	}
	serial := known(d.Serial)
	return len(serial) >= 4 && (strings.HasSuffix(name, "_"+serial) || strings.HasSuffix(name, "_"+serial+"_1") && d.Type == "nvme")
}
