package plan

import (
	"cmp"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

// kept are the wanted mounts without those that the spec keeps only to say what becomes of their volume.
func (d *differ) kept(want setting.Members) setting.Members {
	out := setting.Members{}
	for id, r := range want {
		removed, destroy := setting.Removal(r)
		if !removed {
			out[id] = r
		} else if destroy {
			d.destroy[id] = true
		}
	}
	return out
}

// twice reports whether there is another mount with a path, or will be.
func (d *differ) twice(id string) bool {
	for _, l := range []setting.Live{d.have.Current, d.have.Next} {
		for other := range mountsOf(l.Record) {
			if strings.HasPrefix(other, id+" (") {
				return true
			}
		}
	}
	return false
}

// freeIndex finds the index of a new member. Proxmox mounts mp0 to mp255 in this order, so a mount comes
// after the mounts above it and before those below it, which it would hide otherwise. why is what stands in
// the way.
func (d *differ) freeIndex(fam *setting.Family, id string, taken map[int]bool) (index int, why string) {
	low, high, below := 0, fam.Max, ""
	if fam == setting.Mounts {
		for _, slot := range d.slots(fam) {
			i, _ := fam.Index(slot)
			other, _ := at(d.have.Next, fam, slot)
			other = cmp.Or(d.paths[slot], other)
			switch {
			case other == "":
			case isBelow(id, other):
				low = max(low, i+1)
			case isBelow(other, id) && i <= high:
				high, below = i-1, other
			}
		}
	}
	for i := low; i <= high; i++ {
		if !taken[i] {
			return i, ""
		}
	}
	if below == "" {
		return low, "there is no free index left"
	}
	return low, "it would hide the mount " + below + ", which has the lower index: take that one out of the spec, apply, " +
		"and add both, the lower one with the volume that it has"
}
