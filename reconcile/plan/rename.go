package plan

import (
	"fmt"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// withoutRenames blocks what looks like a mount that was given another path: one goes, and a new one of the
// same size on the same storage comes. Carried out, the software would find an empty volume where its data
// was; the volume would be kept, but nobody would expect that.
func (c *computation) withoutRenames(w *spec.Container, edits []edit) []edit {
	drop := map[int]bool{}
	var keep []edit
	for i, gone := range edits {
		old, ok := gone.change.Old.(setting.Record)
		volume, isVolume := setting.Volume.Get(old)
		if !ok || !isVolume || gone.change.Row != setting.Mounts || gone.change.New != nil || gone.frees != "" || c.explicit(w, gone) {
			continue
		}
		for j, made := range edits {
			if drop[j] || made.kind != editAlloc || !alike(old, made.change.New) {
				continue
			}
			drop[i], drop[j] = true, true
			if gone.undo {
				keep = append(keep, staying(gone, c.have.Containers[w.ID]))
			}
			c.block(Blocked{
				ID: w.ID, Name: w.Name, What: made.change.Label(), Change: &edits[j].change,
				Reason: fmt.Sprintf("it looks like %s under another path, and would be a new, empty volume", gone.change.Label()),
				Ways: []string{
					"to keep the data, name its volume: volume: " + volume,
					fmt.Sprintf("for an empty volume, write %s: {onRemove: detach}; the old one is kept as unused", gone.change.Identity),
				},
			})
			break
		}
	}
	var out []edit
	for i, e := range edits {
		if !drop[i] {
			out = append(out, e)
		}
	}
	return append(out, keep...)
}

// staying drops what is pending for a mount that stays though it should go: with the next start, its volume might
// be where that of another is.
func staying(gone edit, have *Observed) edit {
	id, next := at(have.Next, setting.Mounts, gone.key)
	e := edit{change: gone.change, kind: editRevert, key: gone.key, drop: gone.drop}
	e.change.Old, e.change.New = *next, gone.change.Old
	e.change.Effect, e.change.Access, e.change.Note = setting.Online, gone.drop, "drops a change that is pending"
	if id != gone.change.Identity {
		e.change.Renamed = id
	}
	return e
}

// explicit reports whether the spec says of a mount that it shall go.
func (c *computation) explicit(w *spec.Container, e edit) bool {
	removed, _ := setting.Removal(mountsOf(w.Settings)[e.change.Identity])
	return removed
}

func alike(old setting.Record, new any) bool {
	r, ok := new.(setting.Record)
	_, named := setting.Volume.Get(r)
	return ok && !named && setting.Storage.Or(r, "") == setting.Storage.Or(old, "") && setting.Size.Or(r, 0) == setting.Size.Or(old, 0)
}
