package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A snapshotter takes, deletes and rolls back to one snapshot, in the steps of pve-guest-common AbstractConfig.pm:
// the config is written between them, so that a worker which is killed leaves what it leaves on a node.
type snapshotter struct {
	t    *task
	call *call
	name string
}

func (sn snapshotter) sim() *Sim { return sn.t.sim }

// edit changes the config under the lock of its file (lock_config around load and write).
func (sn snapshotter) edit(fn func(g *guest, c *conf) error) error {
	id := sn.call.vmid()
	if err := sn.t.lockGuest(id); err != nil {
		return err
	}
	defer sn.t.unlockGuest(id)
	g, err := sn.call.container()
	if err != nil {
		return err
	}
	c := g.conf.clone()
	if err := fn(g, c); err != nil {
		return err
	}
	return sn.sim().write(g, c)
}

func (sn snapshotter) missing() error { return dief("snapshot '%s' does not exist", sn.name) }

// Keys that a snapshot does not take over from the config (__snapshot_copy_config).
var notInSnapshot = []string{"snapstate", "snaptime", "vmstate", "lock", "digest", "description"}

func copyConfig(from, to section) section {
	for k, v := range from.values {
		if !slices.Contains(notInSnapshot, k) && !isFamily(k, "unused") {
			to.values[k] = v
		}
	}
	to.lxc = slices.Clone(from.lxc)
	return to
}

// create is snapshot_create: a section in the state "prepare", the volumes one by one, then the commit.
func (sn snapshotter) create(description string) error {
	if err := sn.edit(func(g *guest, c *conf) error { return sn.prepare(c, description) }); err != nil {
		return err
	}
	if err := sn.t.work(); err != nil {
		return err
	}
	g, err := sn.call.container()
	if err != nil {
		return err
	}
	done := map[string]bool{}
	if err := sn.takeVolumes(g.conf.snaps[sn.name], done); err != nil {
		sn.t.print("snapshot create failed: starting cleanup")
		if derr := sn.delete(true, done); derr != nil {
			sn.t.warnErr(derr)
		}
		return &fault{status: 500, text: perlString(err) + "\n"} // Proxmox adds a newline to the one that is there
	}
	return sn.edit(func(_ *guest, c *conf) error { return sn.commit(c) })
}

func (sn snapshotter) prepare(c *conf, description string) error {
	if c.on("template") {
		return dief("you can't take a snapshot if it's a template")
	}
	if err := checkLock(c); err != nil {
		return err
	}
	if _, ok := c.snaps[sn.name]; ok {
		return dief("snapshot name '%s' already used", sn.name)
	}
	if !sn.sim().sectionHasFeature("snapshot", c.section, "", sn.name == vzdumpSnapshot) {
		return dief("snapshot feature is not available")
	}
	for _, n := range sortedKeys(c.snaps) {
		if c.snaps[n].values["parent"] == sn.name {
			sn.t.print(fmt.Sprintf("deleting parent '%s' reference from '%s' to avoid bogus snapshot cycle.", sn.name, n))
			delete(c.snaps[n].values, "parent")
		}
	}
	snap := copyConfig(c.section, newSection())
	snap.values["snapstate"] = "prepare"
	snap.values["snaptime"] = strconv.FormatInt(sn.sim().opts.Now().Unix(), 10)
	if truthy(description) {
		snap.values["description"] = description
	}
	c.values["lock"] = "snapshot"
	c.snaps[sn.name] = snap
	return nil
}

// vzdumpSnapshot is the reserved name under which only what is backed up is snapshotted.
const vzdumpSnapshot = "vzdump"

func (sn snapshotter) takeVolumes(snap section, done map[string]bool) error {
	for m := range snap.mounts() {
		if sn.name == vzdumpSnapshot && !m.backedUp() {
			done[m.key] = true
			continue
		}
		if err := sn.sim().storageOp(sn.t, "snapshot "+m.volume+"@"+sn.name); err != nil {
			return err
		}
		v := sn.sim().st.Volumes[m.volume]
		if v == nil {
			return dief("volume '%s' does not exist", m.volume)
		}
		if slices.Contains(v.Snapshots, sn.name) {
			return sn.sim().snapshotError(m.volume, sn.name, "exists")
		}
		v.Snapshots = append(v.Snapshots, sn.name)
		sn.sim().store.touch()
		done[m.key] = true
	}
	return nil
}

func (sn snapshotter) commit(c *conf) error {
	if c.values["lock"] != "snapshot" {
		return dief("missing snapshot lock")
	}
	snap, ok := c.snaps[sn.name]
	if !ok {
		return sn.missing()
	}
	if snap.values["snapstate"] != "prepare" {
		return dief("wrong snapshot state")
	}
	delete(snap.values, "snapstate")
	delete(c.values, "lock")
	c.values["parent"] = sn.name
	return nil
}

// delete is snapshot_delete. After a snapshot that failed, taken holds the volumes to clean up; else it is nil.
func (sn snapshotter) delete(force bool, taken map[string]bool) error {
	g, err := sn.call.container()
	if err != nil {
		return err
	}
	if _, ok := g.conf.snaps[sn.name]; !ok {
		return sn.missing()
	}
	lock := "snapshot"
	if taken == nil {
		lock = "snapshot-delete"
		if err := sn.edit(func(_ *guest, c *conf) error { return lockConf(c, lock) }); err != nil {
			return err
		}
		if err := sn.t.work(); err != nil {
			return err
		}
	}
	if err := sn.edit(func(_ *guest, c *conf) error { return sn.markDeleted(c, lock) }); err != nil {
		return err
	}
	unused, err := sn.dropVolumes(force, taken, lock)
	if err != nil {
		return err
	}
	return sn.edit(func(_ *guest, c *conf) error { return sn.forget(c, lock, unused) })
}

func lockConf(c *conf, name string) error {
	if err := checkLock(c); err != nil {
		return err
	}
	c.values["lock"] = name
	return nil
}

// theSection is the snapshot's section, while the config carries the lock.
func (sn snapshotter) theSection(c *conf, lock string) (section, error) {
	if c.values["lock"] != lock {
		return section{}, dief("encountered invalid lock, expected '%s'", lock)
	}
	snap, ok := c.snaps[sn.name]
	if !ok {
		return section{}, sn.missing()
	}
	return snap, nil
}

func (sn snapshotter) markDeleted(c *conf, lock string) error {
	if c.values["lock"] == lock && c.on("template") {
		return dief("you can't delete a snapshot if vm is a template")
	}
	snap, err := sn.theSection(c, lock)
	if err == nil {
		snap.values["snapstate"] = "delete"
	}
	return err
}

// dropVolumes removes the snapshot of each volume, and the volume from the section unless it is forced. It returns
// the volumes, which become unused if nothing else has them.
func (sn snapshotter) dropVolumes(force bool, taken map[string]bool, lock string) ([]string, error) {
	g, err := sn.call.container()
	if err != nil {
		return nil, err
	}
	var unused []string
	for m := range g.conf.snaps[sn.name].clone().mounts() {
		if sn.name == vzdumpSnapshot && m.key != "rootfs" && !m.on("backup") {
			continue
		}
		if taken == nil || taken[m.key] {
			switch err := sn.dropVolume(m); {
			case err == nil:
				unused = append(unused, m.volume)
			case !force:
				return nil, err
			default:
				sn.t.warnErr(err)
			}
		}
		if !force {
			if err := sn.edit(func(_ *guest, c *conf) error { return sn.dropMount(c, m, lock) }); err != nil {
				return nil, err
			}
		}
	}
	return unused, nil
}

func (sn snapshotter) dropVolume(m *mount) error {
	if sn.name == vzdumpSnapshot && !m.backedUp() {
		return nil
	}
	if err := sn.sim().storageOp(sn.t, "destroy "+m.volume+"@"+sn.name); err != nil {
		return err
	}
	v := sn.sim().st.Volumes[m.volume]
	if v == nil || !slices.Contains(v.Snapshots, sn.name) {
		return sn.sim().snapshotError(m.volume, sn.name, "missing")
	}
	v.forget(sn.name)
	sn.sim().store.touch()
	return nil
}

// dropMount takes a volume out of the section (__snapshot_delete_remove_drive).
func (sn snapshotter) dropMount(c *conf, m *mount, lock string) error {
	snap, err := sn.theSection(c, lock)
	if err != nil {
		return err
	}
	delete(snap.values, m.key)
	if m.kind == volumeMount {
		return snap.addUnused(m.volume)
	}
	return nil
}

// forget removes the section; children of the snapshot become its parent's.
func (sn snapshotter) forget(c *conf, lock string, unused []string) error {
	snap, err := sn.theSection(c, lock)
	if err != nil {
		return err
	}
	parent := snap.values["parent"]
	relink := func(v map[string]string) {
		if v["parent"] != sn.name {
			return
		}
		delete(v, "parent")
		if truthy(parent) {
			v["parent"] = parent
		}
	}
	relink(c.values)
	for n, s := range c.snaps {
		if n != sn.name {
			relink(s.values)
		}
	}
	delete(c.snaps, sn.name)
	delete(c.values, "lock")
	for _, v := range unused {
		if err := c.addUnused(v); err != nil {
			return err
		}
	}
	return nil
}

// rollback is snapshot_rollback: everything is asked first, then the container is killed, the volumes go back, and
// the config becomes that of the snapshot.
func (sn snapshotter) rollback() error {
	var mounts []*mount
	err := sn.edit(func(g *guest, c *conf) error {
		snap, err := sn.rollbackTo(c)
		if err != nil {
			return err
		}
		mounts = slices.Collect(snap.mounts())
		if err := sn.dropReplication(mounts); err != nil {
			return err
		}
		for _, m := range mounts {
			if err := sn.rollbackPossible(m); err != nil {
				return err
			}
		}
		if st := snap.values["snapstate"]; truthy(st) {
			return dief("unable to rollback to incomplete snapshot (snapstate = %s)", st)
		}
		if err := checkLock(c); err != nil {
			return err
		}
		if g.running {
			sn.sim().stopped(g) // the hook rewrites the file, what was read before stays
		}
		c.values["lock"] = "rollback"
		return nil
	})
	if err != nil {
		return err
	}
	if err := sn.t.work(); err != nil {
		return err
	}
	for _, m := range mounts {
		if err := sn.rollbackVolume(m); err != nil {
			return err
		}
	}
	return sn.edit(func(g *guest, c *conf) error {
		snap, err := sn.rollbackTo(c)
		if err != nil {
			return err
		}
		if st := snap.values["snapstate"]; truthy(st) {
			return dief("unable to rollback to incomplete snapshot (snapstate = %s)", st)
		}
		if g.running {
			return dief("unable to rollback vm %d: vm is running", g.id)
		}
		return sn.swap(c, snap)
	})
}

func (sn snapshotter) rollbackTo(c *conf) (section, error) {
	if c.on("template") {
		return section{}, dief("you can't rollback if vm is a template")
	}
	snap, ok := c.snaps[sn.name]
	if !ok {
		return section{}, sn.missing()
	}
	return snap, nil
}

// replicationPrefix begins the names of snapshots that replication takes.
const replicationPrefix = "__replicate_"

// dropReplication removes the snapshots of replication that are in the way; any other in the way is an error
// ($rollback_remove_replication_snapshots).
func (sn snapshotter) dropReplication(mounts []*mount) error {
	removed := false
	for _, m := range mounts {
		v := sn.sim().st.Volumes[m.volume]
		blockers := sn.blockers(v, m)
		if !slices.ContainsFunc(blockers, isReplication) {
			continue
		}
		for _, b := range blockers {
			if !isReplication(b) {
				return sn.rollbackPossible(m)
			}
			sn.t.print(fmt.Sprintf("WARN: removing replication snapshot '%s@%s'", m.volume, b))
			if err := sn.sim().storageOp(sn.t, "destroy "+m.volume+"@"+b); err != nil {
				return err
			}
			v.forget(b)
			removed = true
		}
	}
	if removed {
		sn.t.print(fmt.Sprintf("WARN: you shouldn't remove '%s' before running the next replication!", sn.name))
		sn.sim().store.touch()
	}
	return nil
}

func isReplication(name string) bool { return strings.HasPrefix(name, replicationPrefix) }

// blockers are the snapshots of a volume that are newer, where the storage takes back only the newest.
func (sn snapshotter) blockers(v *Volume, m *mount) []string {
	n, err := sn.sim().parseVolume(m.volume)
	if err != nil || v == nil || !storageKinds[sn.sim().st.Storages[n.storage].Type].newest {
		return nil
	}
	i := slices.Index(v.Snapshots, sn.name)
	if i < 0 {
		return nil
	}
	return slices.Clone(v.Snapshots[i+1:])
}

// rollbackPossible asks the storage: some take back only their newest snapshot (volume_rollback_is_possible).
func (sn snapshotter) rollbackPossible(m *mount) error {
	n, err := sn.sim().parseVolume(m.volume)
	if err != nil {
		return err
	}
	v := sn.sim().st.Volumes[m.volume]
	i := -1
	if v != nil {
		i = slices.Index(v.Snapshots, sn.name)
	}
	if !storageKinds[sn.sim().st.Storages[n.storage].Type].newest {
		return nil
	}
	if i < 0 {
		return dief("can't rollback, snapshot '%s' does not exist on '%s'", sn.name, m.volume)
	}
	if i != len(v.Snapshots)-1 {
		return dief("can't rollback, '%s' is not most recent snapshot on '%s'", sn.name, m.volume)
	}
	return nil
}

func (sn snapshotter) rollbackVolume(m *mount) error {
	if err := sn.sim().storageOp(sn.t, "rollback "+m.volume+"@"+sn.name); err != nil {
		return err
	}
	v := sn.sim().st.Volumes[m.volume]
	if v == nil || !slices.Contains(v.Snapshots, sn.name) {
		return dief("snapshot '%s' does not exist on '%s'", sn.name, m.volume)
	}
	if size, other := v.Sizes[sn.name]; other {
		v.resize(size)
		sn.sim().store.touch()
	}
	return nil
}

// resize gives a volume another size. A snapshot keeps the one that it was taken with, and a rollback brings it back
// (pve-storage ZFSPoolPlugin.pm and BTRFSPlugin.pm, volume_snapshot_rollback).
func (v *Volume) resize(size Bytes) {
	for _, name := range v.Snapshots {
		if _, other := v.Sizes[name]; !other {
			if v.Sizes == nil {
				v.Sizes = map[string]Bytes{}
			}
			v.Sizes[name] = v.Size
		}
	}
	v.Size = size
	maps.DeleteFunc(v.Sizes, func(_ string, old Bytes) bool { return old == size })
}

// forget drops a snapshot.
func (v *Volume) forget(name string) {
	v.Snapshots = slices.DeleteFunc(v.Snapshots, func(n string) bool { return n == name })
	delete(v.Sizes, name)
}

// swap puts the snapshot's config in force. Description and unused volumes stay, and volumes that the snapshot
// does not have become unused (__snapshot_rollback_get_unused, __snapshot_apply_config).
func (sn snapshotter) swap(c *conf, snap section) error {
	if c.values["lock"] != "rollback" {
		return dief("got wrong lock")
	}
	delete(c.values, "lock")
	for m := range c.mounts() {
		if m.kind == volumeMount && !snap.usesVolume(m.volume) {
			if err := c.addUnused(m.volume); err != nil {
				return err
			}
		}
	}
	kept := newSection()
	for k, v := range c.values {
		if k == "description" || isFamily(k, "unused") {
			kept.values[k] = v
		}
	}
	c.section = copyConfig(snap, kept)
	c.values = maps.Clone(c.values)
	c.values["parent"] = sn.name
	c.pending = newSection()
	return nil
}
