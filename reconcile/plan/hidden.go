package plan

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

// isBelow reports whether a path lies below another one, however the two are written.
func isBelow(p, other string) bool {
	p, other = path.Clean(p), path.Clean(other)
	return p != other && strings.HasPrefix(p, strings.TrimSuffix(other, "/")+"/")
}

// hidden finds the mounts that keep their key and whose path would be hidden, or would hide another, since the upper
// of both has the higher index: of the two, the one that gets a new path, or the lower one where neither does. The
// value is the other one.
func (d *differ) hidden(slots map[string]string) map[string]string {
	out := map[string]string{}
	d.paths = map[string]string{}
	renamed := func(id string) bool {
		current, r := at(d.have.Current, setting.Mounts, slots[id])
		return r == nil || current != id
	}
	ids := slices.Sorted(maps.Keys(slots))
	for _, upper := range ids {
		d.paths[slots[upper]] = upper
		for _, lower := range ids {
			i, _ := setting.Mounts.Index(slots[upper])
			j, _ := setting.Mounts.Index(slots[lower])
			if !isBelow(lower, upper) || i < j {
				continue
			}
			if renamed(upper) {
				out[upper] = lower
			}
			if renamed(lower) || !renamed(upper) {
				out[lower] = upper
			}
		}
	}
	return out
}

// refuseHidden refuses what hidden has found.
func (d *differ) refuseHidden(slot, id string, spec setting.Record, other string) {
	fam := setting.Mounts
	index, _ := fam.Index(slot)
	current, r := at(d.have.Current, fam, slot)
	if r == nil {
		current, r = at(d.have.Next, fam, slot)
	}
	want := fam.Member.Merge(spec, *r, d.facts)
	ch := d.memberChange(fam, index, id, named{current, r}, &want)
	ch.Effect, ch.Note = setting.Refused, "it would hide the mount "+other+", which has the lower index"
	if isBelow(id, other) {
		ch.Note = "the mount " + other + " hides it, which has the higher index"
	}
	d.add(edit{change: ch, key: slot})
}
