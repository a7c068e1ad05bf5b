package plan

import (
	"maps"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

// mountViews is a mount as it is, as it will be, and the one of both that the spec means.
type mountViews struct {
	cur, next named
	base      setting.Record
}

// strayed reports whether what is pending for a mount shows other data than what is mounted now, without the
// spec saying so: somebody has put it there by hand, and what is mounted is what the spec means.
func strayed(spec, cur, next setting.Record) bool {
	if setting.SameSource(cur, next) && setting.SameSource(next, cur) {
		return false
	}
	_, byVolume := setting.Volume.Get(spec)
	_, byPath := setting.HostPath.Get(spec)
	return !(byVolume || byPath) || !setting.SameSource(next, spec)
}

// mount compares a mount point that has a slot. A volume is never made here: the wanted mount carries the
// volume that is there, and what cannot be done in place becomes a move or a refused change.
func (d *differ) mount(slot, id string, v mountViews, want setting.Record) {
	fam, cur, next, base := setting.Mounts, v.cur, v.next, v.base
	index, _ := fam.Index(slot)
	ch := fam.Change(id, &base, &want, index, d.facts)
	if why := unmovable(base, want); why != "" {
		ch.Effect, ch.Note = setting.Refused, why
		d.add(edit{change: ch, key: slot})
		return
	}
	if to := setting.Storage.Or(want, ""); to != setting.Storage.Or(base, "") {
		d.move(fam.Change(id, &base, new(moved(base, to)), index, d.facts), slot, to)
		want = onStorageOf(want, base)
	}
	if size, ok := setting.Size.Get(want); ok && size != setting.Size.Or(sized(cur.r, base), size) && d.toldLater(slot, next.r, size) &&
		equalNamed(fam)(bare(cur), bare(next)) && equalNamed(fam)(bare(cur), bare(named{id, &want})) {
		return // nothing else is pending
	}
	ch = d.memberChange(fam, index, id, cur, new(withSize(want, sized(cur.r, want))))
	e, differs := d.against(equalNamed(fam), slot, bare(cur), bare(next), bare(named{id, &want}), ch)
	if differs {
		switch e.kind {
		case editSet:
			e.value = fam.FormatMember(id, withSize(want, sized(cur.r, base)))
		case editRevert:
			e.change.Old = reverted(e.change, next.r)
		}
		d.add(e)
	}
	have := sized(cur.r, base)
	if size, ok := setting.Size.Get(want); ok && size != setting.Size.Or(have, size) && !d.toldLater(slot, next.r, size) {
		d.grow(fam.Change(id, &have, new(withSize(have, want)), index, d.facts), slot, size)
	}
}

// bare is a mount without its size: sizes change by growing, never with the other options, and lag behind in
// what is pending.
func bare(n named) named {
	if n.r == nil {
		return n
	}
	return named{n.id, new(withSize(*n.r, nil))}
}

// reverted is what a plan shows of a pending mount that is dropped: of the same volume it tells no size, since
// that is not pending.
func reverted(ch setting.Change, pending *setting.Record) any {
	if pending == nil {
		return nil
	}
	keep, _ := ch.New.(setting.Record)
	if setting.SameSource(*pending, keep) {
		return withSize(*pending, keep)
	}
	return *pending
}

// sized is the record that tells the size that a volume has: the one in force, where there is one.
func sized(current *setting.Record, otherwise setting.Record) setting.Record {
	if current != nil {
		return *current
	}
	return otherwise
}

// volume compares the root file system.
func (d *differ) volume(row setting.Row, slot string, current, next, want any) {
	pending, ok := next.(setting.Record)
	w, wanted := want.(setting.Record)
	if !ok || !wanted {
		return
	}
	have, ok := current.(setting.Record)
	if !ok {
		have = pending
	}
	base := pending
	if spec, _ := d.want[row.SpecPath()].(setting.Record); strayed(spec, have, pending) {
		merged, _ := row.Want(d.want[row.SpecPath()], have, d.facts)
		base, w = have, merged.(setting.Record)
	}
	if why := unmovable(base, w); why != "" {
		ch := scalarChange(row, base, w, d.facts)
		ch.Effect, ch.Note = setting.Refused, why
		d.add(edit{change: ch, key: slot})
		return
	}
	if to := setting.Storage.Or(w, ""); to != setting.Storage.Or(base, "") {
		d.move(scalarChange(row, base, moved(base, to), d.facts), slot, to)
		w = onStorageOf(w, base)
	}
	if size, ok := setting.Size.Get(w); ok && size != setting.Size.Or(have, size) && d.toldLater(slot, &pending, size) &&
		row.Equal(withSize(have, nil), withSize(pending, nil)) && row.Equal(withSize(have, nil), withSize(w, nil)) {
		return // nothing else is pending
	}
	ch := scalarChange(row, have, withSize(w, have), d.facts)
	e, differs := d.against(row.Equal, slot, withSize(have, nil), withSize(pending, nil), withSize(w, nil), ch)
	if differs {
		if e.kind == editWait && setting.Size.Or(pending, 0) != setting.Size.Or(have, 0) {
			e.kind = editSet // it has grown since, and the size that is pending would be taken over as it stands
		}
		switch e.kind {
		case editSet:
			e.value = row.FormatWire(withSize(w, have))
		case editRevert:
			e.change.Old = reverted(e.change, &pending)
		}
		d.add(e)
	}
	if size, ok := setting.Size.Get(w); ok && size != setting.Size.Or(have, size) && !d.toldLater(slot, &pending, size) {
		d.grow(scalarChange(row, have, withSize(have, w), d.facts), slot, size)
	}
}

// toldLater reports whether what is pending says the size already: the volume has it, and the configuration, which
// lagged behind, will say so when the container has stopped.
func (d *differ) toldLater(slot string, next *setting.Record, size setting.Bytes) bool {
	return d.have.pending(slot) && next != nil && setting.Size.Or(*next, 0) == size
}

func (d *differ) grow(ch setting.Change, slot string, size setting.Bytes) {
	d.add(edit{change: ch, key: slot, kind: editGrow, size: size})
}

// withSize returns r with the size of another record: sizes change by growing only, never by a setting.
func withSize(r, of setting.Record) setting.Record {
	out := maps.Clone(r)
	delete(out, setting.Size.Path)
	if size, ok := setting.Size.Get(of); ok {
		setting.Size.Set(out, size)
	}
	return out
}

// move adds the move of a volume to another storage. Proxmox copies it while the container is stopped, into a
// new volume, and keeps the old one as unused (pve-container API2/LXC.pm, move_volume).
func (d *differ) move(ch setting.Change, slot, storage string) {
	old, _ := ch.Old.(setting.Record)
	if v, ok := setting.Volume.Get(old); ok {
		ch.Note = "copied; volume " + v + " is kept as unused"
	}
	d.add(edit{change: ch, key: slot, kind: editMove, value: storage})
}

// moved is a mount whose volume lies on another storage.
func moved(r setting.Record, storage string) setting.Record {
	out := maps.Clone(r)
	setting.Storage.Set(out, storage)
	return out
}

// onStorageOf is a mount with the volume where it is: its other options change before it is moved.
func onStorageOf(r, of setting.Record) setting.Record {
	out := maps.Clone(r)
	setting.Storage.Set(out, setting.Storage.Or(of, ""))
	if v, ok := setting.Volume.Get(of); ok {
		setting.Volume.Set(out, v)
	}
	return out
}

// unmovable says why a mount cannot become another in place; "" where it can.
func unmovable(old, new setting.Record) string {
	_, name, _ := strings.Cut(setting.Volume.Or(old, ""), ":")
	switch {
	case !setting.SameSource(old, new):
		return "another volume or directory is mounted there"
	case name != "" && strings.Trim(name, "0123456789.") == "":
		// written back, it would be taken for the size of a new volume
		return "its volume is called " + name + ", which Proxmox would take for the size of a new one"
	}
	return ""
}
