package plan

import (
	"path"
	"slices"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// rawChanged are the places in the container whose mounts by raw lines an edit changes.
func rawChanged(e edit) map[string]bool {
	old, _ := e.change.Old.([]string)
	new, _ := e.change.New.([]string)
	return setting.RawMountsChanged(old, new)
}

// addedByRaw are those that are there afterwards.
func addedByRaw(e edit) map[string]bool {
	new, _ := e.change.New.([]string)
	out := map[string]bool{}
	for where := range rawChanged(e) {
		if slices.ContainsFunc(new, func(line string) bool { at, _, ok := setting.ParseRawMount(line); return ok && at == where }) {
			out[where] = true
		}
	}
	return out
}

// together keeps the two halves of a mount that becomes one by a raw line, or one by a mount point again: while the
// raw lines cannot be written, the mount point stays as it is. Else a restart by hand would leave the container without
// the mount. before are the edits of which left are still to be made.
func (c *computation) together(w *spec.Container, before, left []edit) []edit {
	isRaw := func(e edit) bool { return e.kind == editRaw }
	i := slices.IndexFunc(before, isRaw)
	if i < 0 || slices.ContainsFunc(left, isRaw) {
		return left
	}
	changed := rawChanged(before[i])
	var out []edit
	for _, e := range left {
		if e.change.Row != setting.Mounts || !changed[path.Clean(e.change.Identity)] {
			out = append(out, e)
			continue
		}
		c.block(Blocked{
			ID: w.ID, Name: w.Name, What: e.change.Label(), Change: &e.change, Waiting: true,
			Reason: "it goes together with the raw line that mounts the same, and that one is not written now",
		})
	}
	return out
}

// ofImage are the raw lines that a container of an image keeps: those that it has, but for mounts, where the spec has
// none. Proxmox makes lines of the image's own (pve-container LXC/Create.pm, restore_oci_archive).
func ofImage(w *spec.Container, want setting.Record, have *Observed) setting.Record {
	if _, written := w.Settings[setting.Raw.Path]; written || w.From.Image == "" || have.Raw == nil {
		return want
	}
	var lines []string
	for _, l := range have.Raw {
		if _, _, isMount := setting.ParseRawMount(l.String()); !isMount {
			lines = append(lines, l.String())
		}
	}
	lines = append(lines, setting.Raw.Or(want, nil)...)
	if len(lines) > 0 {
		setting.Raw.Set(want, lines) // the record is a copy
	}
	return want
}

// BlocksSnapshots are the mounts of a container that keep Proxmox from taking snapshots of it, by where they are in the
// container: directories and devices of the node that are mount points (pve-guest-common AbstractConfig.pm,
// __snapshot_prepare).
func BlocksSnapshots(settings setting.Record) (mounts []string) {
	for id, r := range mountsOf(settings) {
		removed, _ := setting.Removal(r)
		_, host := setting.HostPath.Get(r)
		_, named := setting.HostMount.Get(r)
		if !removed && (host || named) && !setting.KeepSnapshots.Or(r, false) {
			mounts = append(mounts, id)
		}
	}
	slices.Sort(mounts)
	return mounts
}
