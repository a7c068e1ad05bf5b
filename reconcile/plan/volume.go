package plan

import (
	"maps"

	"github.com/felhom/tend/spec/setting"
)

// mount compares a mount point that has a slot. A volume is never made here: the wanted mount carries the
// volume that is there, and what cannot be done in place becomes a refused change.
func (d *differ) mount(fam *setting.Family, slot, id string, cur, next named, want setting.Record) {
	base := next
	if base.r == nil {
		base = cur
	}
	index, _ := fam.Index(slot)
	if !setting.SameSource(*base.r, want) || setting.Storage.Or(*base.r, "") != setting.Storage.Or(want, "") {
		ch := fam.Change(id, base.r, &want, index, d.facts)
		ch.Effect, ch.Note = setting.Refused, otherSource(*base.r, want)
		d.add(edit{change: ch, key: slot})
		return
	}
	ch := d.memberChange(fam, index, id, cur, new(withSize(want, sized(cur.r, want))))
	e, differs := d.against(equalNamed(fam), slot, bare(cur), bare(next), bare(named{id, &want}), ch)
	if differs {
		if e.kind == editSet {
			e.value = fam.FormatMember(id, withSize(want, sized(cur.r, *base.r)))
		}
		d.add(e)
	}
	have := sized(cur.r, *base.r)
	if size, ok := setting.Size.Get(want); ok && size != setting.Size.Or(have, size) {
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

// sized is the record that tells the size that a volume has: the one in force, where there is one.
func sized(current *setting.Record, otherwise setting.Record) setting.Record {
	if current != nil {
		return *current
	}
	return otherwise
}

// volume compares the root file system.
func (d *differ) volume(row setting.Row, slot string, current, next, want any) {
	base, ok := next.(setting.Record)
	w, wanted := want.(setting.Record)
	if !ok || !wanted {
		return
	}
	if !setting.SameSource(base, w) || setting.Storage.Or(base, "") != setting.Storage.Or(w, "") {
		ch := scalarChange(row, base, w, d.facts)
		ch.Effect, ch.Note = setting.Refused, otherSource(base, w)
		d.add(edit{change: ch, key: slot})
		return
	}
	have, ok := current.(setting.Record)
	if !ok {
		have = base
	}
	ch := scalarChange(row, have, withSize(w, have), d.facts)
	e, differs := d.against(row.Equal, slot, withSize(have, nil), withSize(base, nil), withSize(w, nil), ch)
	if differs {
		if e.kind == editSet {
			e.value = row.FormatWire(withSize(w, have))
		}
		d.add(e)
	}
	if size, ok := setting.Size.Get(w); ok && size != setting.Size.Or(have, size) {
		d.grow(scalarChange(row, have, withSize(have, w), d.facts), slot, size)
	}
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

func otherSource(old, new setting.Record) string {
	a, b := setting.Storage.Or(old, ""), setting.Storage.Or(new, "")
	if setting.SameSource(old, new) && a != b {
		return "the volume lies on " + a + "; this version of tend does not move volumes"
	}
	return "another volume or directory is mounted there"
}
