package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// An Unfit is a mount, or the root file system, that keeps Proxmox from taking snapshots of its container, which takes
// one of all volumes or none (pve-container LXC/Config.pm, has_feature).
type Unfit struct {
	Mount   string // where it is in the container: "/media", or "/" for the root file system
	Storage string // on which its volume lies; empty where it is a directory or a device of the node
	Type    string // of the storage
}

// String says what is unfit and why: "/data on storage nas (nfs)".
func (u Unfit) String() string {
	if u.Storage == "" {
		return u.Mount + ", a directory or device of the node"
	}
	return fmt.Sprintf("%s on storage %s (%s)", u.Mount, u.Storage, u.Type)
}

// way is what helps. It is the mount that changes, or the place of its volume.
func (u Unfit) way() string {
	if u.Storage == "" {
		return "write keepSnapshots: true for mount " + u.Mount + ": the same directory is mounted by a raw line, which does not count"
	}
	return "put " + u.Mount + " on a storage that takes snapshots: zfspool, lvmthin, rbd or btrfs"
}

// withoutSnapshots are Proxmox's own types of storages that take no snapshots of the volumes of containers, which are
// raw images or folders there (pve-storage, volume_has_feature of the plugins). Plugins of others say it themselves, and
// are not in anybody's way here.
var withoutSnapshots = []string{"dir", "nfs", "cifs", "cephfs", "glusterfs", "lvm", "iscsi", "iscsidirect"}

// newestOnly are the types of storages that roll back to the newest snapshot of a volume alone (pve-storage
// ZFSPoolPlugin.pm, volume_rollback_is_possible).
var newestOnly = []string{"zfspool"}

// unfit are the mounts that keep a container with these settings from having snapshots, the root file system first.
// Storages that were not read are in nobody's way.
func (p *Live) unfit(node string, settings setting.Record) (out []Unfit) {
	add := func(id string, r setting.Record) {
		storage := storageOf(setting.Volume.Or(r, ""))
		if storage == "" {
			storage = setting.Storage.Or(r, "")
		}
		s, known := p.Storages[node][storage]
		if known && slices.Contains(withoutSnapshots, s.Type) {
			out = append(out, Unfit{id, storage, s.Type})
		}
	}
	add("/", setting.RootFS.Or(settings, nil))
	host := BlocksSnapshots(settings)
	mounts := mountsOf(settings)
	for _, id := range slices.Sorted(maps.Keys(mounts)) {
		if removed, _ := setting.Removal(mounts[id]); removed {
			continue
		}
		if slices.Contains(host, id) {
			out = append(out, Unfit{Mount: id})
		} else {
			add(id, mounts[id])
		}
	}
	return out
}

// noSnapshot says why no snapshot is taken of a container with these settings, and what helps; "" where nothing is
// known to be in the way.
func (p *Live) noSnapshot(node string, settings setting.Record) (why string, ways []string) {
	list := p.unfit(node, settings)
	if len(list) == 0 {
		return "", nil
	}
	var texts []string
	for _, u := range list {
		texts, ways = append(texts, u.String()), append(ways, u.way())
	}
	return "Proxmox takes no snapshot of a container with " + join(texts), ways
}

// newestVolumes are the volumes of a configuration that can be rolled back to their newest snapshot alone.
func (p *Live) newestVolumes(node string, config proxmox.Values) (out []string) {
	for _, key := range config.Keys() {
		v := volumeOf(key, config[key])
		if v != "" && slices.Contains(newestOnly, p.Storages[node][storageOf(v)].Type) {
			out = append(out, v)
		}
	}
	return out
}

// volumeOf is the volume of a mount's text; empty where the key is no mount, or shows a path of the node.
func volumeOf(key, text string) string {
	if !isVolumeKey(key) || storageOf(text) == "" {
		return ""
	}
	volume, _, _ := strings.Cut(strings.TrimPrefix(text, "volume="), ",")
	return volume
}
