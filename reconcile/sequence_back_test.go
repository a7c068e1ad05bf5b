package reconcile_test

import (
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// thereAndBack changes the spec from A to B and back to A: all is as it was. B is anything that needs no consent and
// makes or grows no volume, since volumes are kept and never shrink.
func (q *sequence) thereAndBack() {
	q.settle("A")
	if q.Failed() {
		return
	}
	pinned := q.pin()
	q.settle("A by name")
	if q.Failed() {
		return
	}
	a, before, volumes := maps.Clone(q.want), q.configs(), q.node.Volumes()
	blocked := map[proxmox.VMID]bool{}
	for _, b := range q.last.Blocked {
		blocked[b.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(q.want)) {
		q.want[id] = cloned(q.want[id])
		if !blocked[id] {
			q.other(q.want[id], pinned[id])
		}
	}
	if len(spec.Validate(q.state())) > 0 {
		q.want = a
		return
	}
	b := maps.Clone(q.want)
	q.settle("B")
	q.want = a
	if q.Failed() {
		return
	}
	q.settle("A again")
	if q.Failed() {
		return
	}
	after := q.configs()
	for id := range a {
		if blocked[id] {
			continue
		}
		q.counts.add("containers there and back")
		q.sameAgain(id, before[id], after[id], b[id])
	}
	if now := q.node.Volumes(); !slices.Equal(volumes, now) {
		q.failf("volumes were %v and are %v", volumes, now)
	}
	for _, x := range q.last.Blocked {
		if !blocked[x.ID] {
			q.failf("blocked, and was not before:\n%s", q.last)
		}
	}
}

// pin names the volumes of some containers in the spec, so that the spec alone says which goes where; and of all what
// Proxmox has found in their templates, since absence means: as it is.
func (q *sequence) pin() map[proxmox.VMID]bool {
	out := map[proxmox.VMID]bool{}
	for _, id := range slices.Sorted(maps.Keys(q.want)) {
		live := q.live(id)
		if !live.there {
			continue
		}
		c := cloned(q.want[id])
		q.want[id] = c
		for _, path := range []string{setting.Arch.Path, setting.OSType.Path} {
			if v := live.Record[path]; v != nil {
				c.Settings[path] = v
			}
		}
		if q.g.chance(40) {
			continue
		}
		for at, r := range mountsIn(c) {
			if volume := q.volumeAt(id, at); volume != "" {
				mountsIn(c)[at] = byVolume(r, volume)
			}
		}
		out[id] = true
	}
	return out
}

// settle applies the spec, with all restarts.
func (q *sequence) settle(name string) {
	q.note("%s", name)
	q.policy = q.anyPolicy()
	q.policy.RestartAll, q.policy.Adopt = true, true
	q.apply()
}

// other makes of a container of A one of B. Volumes change places only where A says where each belongs.
func (q *sequence) other(c *spec.Container, pinned bool) {
	protected, template := setting.Protection.Or(c.Settings, false), setting.Template.Or(c.Settings, false)
	unprivileged, written := setting.Unprivileged.Get(c.Settings)
	q.changeSettings(c)
	delete(c.Settings, setting.Unprivileged.Path)
	if written {
		setting.Unprivileged.Set(c.Settings, unprivileged)
	}
	delete(c.Settings, setting.Template.Path)
	if template {
		setting.Template.Set(c.Settings, true)
	}
	setting.Protection.Set(c.Settings, q.g.chance(50) != protected)
	changes := []func(*sequence, *spec.Container) bool{
		(*sequence).changeOptions, (*sequence).changeInterfaces, (*sequence).changeTags, (*sequence).changeRestart, (*sequence).changePool,
	}
	if pinned {
		changes = append(changes, (*sequence).renameByVolume, (*sequence).swapMounts, (*sequence).dropMount)
	}
	for _, change := range changes {
		if q.g.chance(30) {
			change(q, c)
		}
	}
	if c.Power != spec.Any {
		c.Power = pick(q.g, c.Power, c.Power, spec.Stopped)
	}
	if q.g.chance(10) {
		q.dropContainer(c) // without prune
		delete(q.gone, c.ID)
	}
}

func (q *sequence) configs() map[proxmox.VMID]config {
	out := map[proxmox.VMID]config{}
	for id := range q.want {
		out[id] = q.live(id)
	}
	return out
}

// sameAgain compares a container before and after. An interface that was away gets a new address from Proxmox.
func (q *sequence) sameAgain(id proxmox.VMID, before, after config, b *spec.Container) {
	a := q.want[id]
	before, after = toldSizes(before), toldSizes(after)
	if pending := waiting(a, after); len(pending) > 0 {
		q.failf("%d: %v is pending", id, pending)
	}
	for _, row := range setting.Container.Rows {
		path := row.SpecPath()
		if leftAlone(a, row) {
			continue
		}
		if path == setting.Network.Path {
			q.withoutNewAddresses(a, b, before.Record, after.Record)
		}
		if !row.Equal(before.Record[path], after.Record[path]) {
			q.failf("%d: %s was %v and is %v", id, path, before.Record[path], after.Record[path])
		}
	}
	if !maps.Equal(volumeSet(before.Unused), volumeSet(after.Unused)) {
		q.failf("%d: unused were %v and are %v", id, before.Unused, after.Unused)
	}
}

func volumeSet(unused map[string]string) map[string]bool {
	out := map[string]bool{}
	for _, v := range unused {
		out[v] = true
	}
	return out
}

func (q *sequence) withoutNewAddresses(a, b *spec.Container, records ...setting.Record) {
	inA, _ := a.Settings[setting.Network.Path].(setting.Members)
	if b == nil {
		return
	}
	inB, _ := b.Settings[setting.Network.Path].(setting.Members)
	for _, r := range records {
		m, _ := r[setting.Network.Path].(setting.Members)
		for name, nic := range m {
			_, written := setting.MAC.Get(inA[name])
			_, other := setting.MAC.Get(inB[name])
			if _, kept := inB[name]; !written && (!kept || other) {
				delete(nic, setting.MAC.Path)
			}
		}
	}
}
