package plan

import (
	"fmt"
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

// offers warns of containers that shall have snapshots and cannot, and says what helps.
func (c *computation) offers() {
	for _, w := range c.want.Containers {
		p := c.want.PolicyOf(w)
		if p == nil {
			continue
		}
		switch why, ways := OfferKeepSnapshots(c.want.Settings(w)); {
		case why == "":
		case p.Fallback != "":
			c.plan.Notes = append(c.plan.Notes, fmt.Sprintf("%s has backups on %s in place of the snapshots of policy %s: %s", w.Label(), p.Fallback, p.Name, why))
		default:
			c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf("%s has a snapshot policy, and %s; %s", w.Label(), why, join(ways)))
		}
	}
}

// OfferKeepSnapshots says why snapshots of a container are refused, and what helps; "" where they are not. A policy for
// snapshots meets it where it is about a container with such a mount.
func OfferKeepSnapshots(settings setting.Record) (why string, ways []string) {
	mounts := BlocksSnapshots(settings)
	if len(mounts) == 0 {
		return "", nil
	}
	why = "Proxmox takes no snapshot of a container with a directory or device of the node as a mount point: " + join(mounts)
	for _, id := range mounts {
		ways = append(ways, "write keepSnapshots: true for mount "+id+": the same directory is mounted by a raw line, which does not count")
	}
	return why, ways
}
