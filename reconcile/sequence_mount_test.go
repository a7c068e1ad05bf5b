package reconcile_test

import (
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// mounts are the mounts of a container, to be changed.
func (q *sequence) mounts(c *spec.Container) setting.Members {
	if mountsIn(c) == nil {
		c.Settings[setting.Mounts.Path] = setting.Members{}
	}
	return mountsIn(c)
}

// aMount is the path of a mount of a volume, and what the spec says of it; "" where there is none.
func (q *sequence) aMount(c *spec.Container) (at string, r setting.Record) {
	var paths []string
	for at, r := range mountsIn(c) {
		_, onStorage := setting.Storage.Get(r)
		_, byName := setting.Volume.Get(r)
		if onStorage || byName {
			paths = append(paths, at)
		}
	}
	if len(paths) == 0 {
		return "", nil
	}
	slices.Sort(paths)
	at = pick(q.g, paths...)
	return at, mountsIn(c)[at]
}

// aVolume is the root file system or a mount.
func (q *sequence) aVolume(c *spec.Container) setting.Record {
	if _, r := q.aMount(c); r != nil && q.g.chance(70) {
		return r
	}
	return setting.RootFS.Or(c.Settings, nil)
}

func (q *sequence) addMount(c *spec.Container) bool {
	at := pick(q.g, "/data", "/srv/www", "/var/lib/app", "/mnt/a b", "/data/deep", "/srv")
	_, had := mountsIn(c)[at]
	q.mounts(c)[at] = q.g.volume()
	return !had
}

func (q *sequence) dropMount(c *spec.Container) bool {
	at, r := q.aMount(c)
	delete(mountsIn(c), at)
	return r != nil
}

func (q *sequence) detachMount(c *spec.Container) bool { return q.removeMount(c, "detach") }

func (q *sequence) destroyMount(c *spec.Container) bool { return q.removeMount(c, "destroy") }

func (q *sequence) removeMount(c *spec.Container, how string) bool {
	at, r := q.aMount(c)
	if r != nil {
		mountsIn(c)[at] = setting.Record{setting.OnRemove.Path: how}
	}
	return r != nil
}

func (q *sequence) changeOptions(c *spec.Container) bool {
	_, r := q.aMount(c)
	if r == nil {
		return false
	}
	setting.Backup.Set(r, q.g.chance(50))
	setting.ReadOnly.Set(r, q.g.chance(50))
	setting.MountOptions.Set(r, some(q.g, "nodev", "noatime"))
	return true
}

func (q *sequence) growVolume(c *spec.Container) bool {
	r := q.aVolume(c)
	old, ok := setting.Size.Get(r)
	setting.Size.Set(r, old+setting.Bytes(1+q.g.IntN(3))*setting.GiB/setting.Bytes(pick(q.g, 1, 1, 2)))
	return ok
}

func (q *sequence) shrinkVolume(c *spec.Container) bool {
	r := q.aVolume(c)
	old, _ := setting.Size.Get(r)
	setting.Size.Set(r, old/2)
	return old > setting.GiB
}

func (q *sequence) moveVolume(c *spec.Container) bool {
	r := q.aVolume(c)
	if _, byName := setting.Volume.Get(r); byName || r == nil {
		return false
	}
	old := setting.Storage.Or(r, "")
	setting.Storage.Set(r, map[string]string{"local": "local-btrfs"}[old])
	if old != "local" {
		setting.Storage.Set(r, "local")
	}
	return true
}

// renameByVolume gives a mount another path and names its volume, so that the data comes along.
func (q *sequence) renameByVolume(c *spec.Container) bool {
	at, r := q.aMount(c)
	volume := q.volumeAt(c.ID, at)
	return volume != "" && q.rename(c, at, byVolume(r, volume))
}

// renameMount gives a mount another path without saying that its data shall come along.
func (q *sequence) renameMount(c *spec.Container) bool {
	at, r := q.aMount(c)
	return r != nil && q.rename(c, at, r)
}

func (q *sequence) rename(c *spec.Container, from string, r setting.Record) bool {
	to := pick(q.g, "/data", "/srv/new", "/mnt/new")
	if _, taken := mountsIn(c)[to]; taken {
		return false
	}
	delete(mountsIn(c), from)
	mountsIn(c)[to] = r
	return true
}

// byVolume is a mount of a volume that is named.
func byVolume(r setting.Record, volume string) setting.Record {
	out := setting.Overlay(r, setting.Record{setting.Volume.Path: volume})
	delete(out, setting.Storage.Path)
	delete(out, setting.Size.Path)
	return out
}

// swapMounts gives each of two mounts the volume of the other.
func (q *sequence) swapMounts(c *spec.Container) bool {
	a, first := q.aMount(c)
	b, second := q.aMount(c)
	x, y := q.volumeAt(c.ID, a), q.volumeAt(c.ID, b)
	if a == b || x == "" || y == "" {
		return false
	}
	mountsIn(c)[a], mountsIn(c)[b] = byVolume(second, y), byVolume(first, x)
	return true
}

// attachVolume mounts a volume that nothing mounts.
func (q *sequence) attachVolume(c *spec.Container) bool {
	at, unused := pick(q.g, "/old", "/data", "/srv/www"), q.unusedOf(c.ID)
	if _, taken := mountsIn(c)[at]; taken || len(unused) == 0 {
		return false
	}
	q.mounts(c)[at] = setting.Record{setting.Volume.Path: pick(q.g, unused...)}
	return true
}

// claimVolume mounts a volume that another container has, which Proxmox would do and tend must not.
func (q *sequence) claimVolume(c *spec.Container) bool {
	for _, id := range slices.Sorted(maps.Keys(q.want)) {
		if at, _ := q.aMount(q.want[id]); id != c.ID && q.volumeAt(id, at) != "" {
			q.mounts(c)["/theirs"] = setting.Record{setting.Volume.Path: q.volumeAt(id, at)}
			return true
		}
	}
	return false
}

// giveVolume does by hand what tend asks for, and mounts the volume in the other container.
func (q *sequence) giveVolume(c *spec.Container) bool {
	live := q.live(c.ID)
	for _, slot := range slices.Sorted(maps.Keys(live.Unused)) {
		for _, id := range slices.Sorted(maps.Keys(q.want)) {
			if id == c.ID || q.named(live.Unused[slot]) {
				continue
			}
			before := q.live(id)
			if !before.there || q.running(id) {
				continue
			}
			target := setting.Unused.Key(len(before.Unused))
			_, err := q.node.root.MoveVolume(q.Context(), ref(c.ID), proxmox.MoveParams{Volume: slot, Target: id, TargetVolume: target, Digest: live.Digest})
			q.look()
			volume := q.live(id).Unused[target]
			if err != nil || volume == "" || volume == before.Unused[target] {
				continue
			}
			q.touched = true
			q.want[id] = cloned(q.want[id])
			q.mounts(q.want[id])["/given"] = setting.Record{setting.Volume.Path: volume}
			return true
		}
	}
	return false
}

// forgetVolumes lets new volumes be made in place of those that a container had.
func (q *sequence) forgetVolumes(c *spec.Container) {
	for at, r := range mountsIn(c) {
		if _, named := setting.Volume.Get(r); named {
			mountsIn(c)[at] = q.g.volume()
		}
	}
}
