package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
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

// UnfitMounts are the mounts that keep a container with these settings from having snapshots, the root file system first.
// The storages are those of its node, by name; what was not read is in nobody's way.
func UnfitMounts(storages map[string]proxmox.Storage, settings setting.Record) (out []Unfit) {
	add := func(id string, r setting.Record) {
		storage := placeOf(r)
		s, known := storages[storage]
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

// NoSnapshot says of unfit mounts why no snapshot is taken, and what helps; "" where there are none.
func NoSnapshot(list []Unfit) (why string, ways []string) {
	if len(list) == 0 {
		return "", nil
	}
	var texts []string
	for _, u := range list {
		texts, ways = append(texts, u.String()), append(ways, u.way())
	}
	return "Proxmox takes no snapshot of a container with " + join(texts), ways
}

// noSnapshot is [NoSnapshot] for a container with these settings.
func (p *Live) noSnapshot(node string, settings setting.Record) (why string, ways []string) {
	return NoSnapshot(UnfitMounts(p.Storages[node], settings))
}

// A PolicyFault is a snapshot policy that cannot be carried out for a container, which itself is as the spec says.
type PolicyFault struct {
	ID     proxmox.VMID
	Name   string // of the container
	Policy string
	Mounts []Unfit
	Reason string
	Ways   []string
}

// policyFaults finds the policies that Proxmox would not carry out, as far as reading can for those who are shown the
// plan, and what else a person should know of snapshots that are to come.
func (c *computation) policyFaults() {
	for _, w := range c.want.Containers {
		p := c.want.PolicyOf(w)
		if p == nil {
			continue
		}
		if c.have.Shown && c.have.Storages[w.Node] == nil && c.have.Nodes[w.Node] {
			c.plan.needs.Storages[w.Node] = true
		}
		c.plan.needs.Guests = c.plan.needs.Guests || c.have.Shown && c.have.HA == nil
		settings := c.inPlace(w)
		list := UnfitMounts(c.have.Storages[w.Node], settings)
		if why, ways := NoSnapshot(list); why != "" && p.Fallback != "" {
			c.plan.Notes = append(c.plan.Notes, fmt.Sprintf("%s has backups on %s in place of the snapshots of policy %s: %s", w.Label(), p.Fallback, p.Name, why))
			continue
		} else if why != "" {
			ways = append(ways, "write fallback: {backup: STORAGE} for the policy: backups in place of snapshots")
			c.plan.Policies = append(c.plan.Policies, PolicyFault{ID: w.ID, Name: w.Name, Policy: p.Name, Mounts: list, Reason: why, Ways: ways})
			continue
		}
		if state := c.have.HA[w.ID]; state != "" {
			if local := c.local(w.Node, settings); local != "" {
				c.warn("%s: should HA start it on another node, its snapshots stay on %s, with storage %s; and HA must let go of it for a rollback", w.Label(), w.Node, local)
			}
		}
		if setting.FUSE.Or(setting.Features.Or(settings, nil), false) && w.Power != spec.Stopped {
			c.warn("%s: its snapshots may hang: the container is frozen for them, and it may use FUSE", w.Label())
		}
	}
}

// local is a storage of a container's volumes that other nodes do not have; empty where there is none.
func (c *computation) local(node string, settings setting.Record) string {
	records := []setting.Record{setting.RootFS.Or(settings, nil)}
	mounts := mountsOf(settings)
	for _, id := range slices.Sorted(maps.Keys(mounts)) {
		records = append(records, mounts[id])
	}
	for _, r := range records {
		name := placeOf(r)
		if s, known := c.have.Storages[node][name]; known && !s.Shared {
			return name
		}
	}
	return ""
}

// placeOf is the storage of a volume; empty for what is none.
func placeOf(r setting.Record) string {
	if storage := storageOf(setting.Volume.Or(r, "")); storage != "" {
		return storage
	}
	return setting.Storage.Or(r, "")
}

// inPlace are the settings that a container shall have. Of mounts whose storage the spec does not say, it is the one that
// they lie on.
func (c *computation) inPlace(w *spec.Container) setting.Record {
	want := c.want.Settings(w)
	have := c.have.Containers[w.ID]
	if have == nil {
		return want
	}
	mounts := setting.Members{}
	for id, r := range mountsOf(want) {
		mounts[id] = placed(r, mountsOf(have.Current.Record)[id])
	}
	want = maps.Clone(want)
	want[setting.Mounts.Path] = mounts
	setting.RootFS.Set(want, placed(setting.RootFS.Or(want, nil), setting.RootFS.Or(have.Current.Record, nil)))
	return want
}

func placed(want, have setting.Record) setting.Record {
	_, host := setting.HostPath.Get(want)
	_, named := setting.HostMount.Get(want)
	_, said := setting.Storage.Get(want)
	v, lies := setting.Volume.Get(have)
	if host || named || said || !lies {
		return want
	}
	want = maps.Clone(want)
	if want == nil {
		want = setting.Record{}
	}
	setting.Volume.Set(want, v)
	return want
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
