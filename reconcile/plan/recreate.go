package plan

import (
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// recreate makes a container anew for the changes that it cannot have otherwise: it is backed up, and the backup
// is restored over it with the changes. Everything else waits for the next pass, which finds the new container.
// done is that; where it cannot be, that is blocked, and rest are the other edits.
func (c *computation) recreate(w *spec.Container, have *Observed, edits []edit) (rest []edit, done bool) {
	needs := func(e edit) bool {
		// A backup of a template is restored as one.
		return e.change.Effect == setting.Recreate && e.value != "" && e.key != setting.Template.PVE
	}
	need := slices.DeleteFunc(slices.Clone(edits), func(e edit) bool { return !needs(e) })
	if !w.Lifecycle.AllowRecreate || len(need) == 0 {
		return edits, false
	}
	b := Blocked{ID: w.ID, Name: w.Name, What: need[0].change.Label(), Change: &need[0].change}
	b.Reason, b.Ways = c.cannotRecreate(w, have)
	if b.Reason == "" && have.Running {
		b.Reason, b.Ways = c.noRestart(w, labels(changesOf(need)))
		b.Waiting = b.Reason != ""
	}
	if b.Reason != "" {
		c.block(b)
		return slices.DeleteFunc(slices.Clone(edits), needs), false
	}
	lane := Lane{Ref: have.Ref, Name: w.Name, Action: Change, Base: have.Config, Effect: setting.Recreate, Changes: changesOf(need)}
	for i := range lane.Changes {
		lane.Changes[i].Note = "the container is made anew from a backup on " + w.Lifecycle.BackupTo + lost(have)
	}
	if have.Running {
		lane.Steps = append(lane.Steps, Step{Op: Shutdown{shutdownTimeout}, Effect: setting.Restart, Cause: "to be made anew"})
	}
	lane.Steps = append(lane.Steps,
		Step{Op: Backup{Storage: w.Lifecycle.BackupTo}, Cause: "of the container as it is"},
		Step{Op: RestoreOver{Values: anew(have, need)}, Effect: setting.Recreate, Why: lane.Changes},
	)
	switch {
	case have.Running && w.Power != spec.Stopped:
		lane.Steps = append(lane.Steps, Step{Op: Start{}, Cause: "stopped to be made anew"})
	case w.Power == spec.Running:
		lane.Steps = append(lane.Steps, Step{Op: Start{}, Cause: "state: running"})
	}
	c.plan.Lanes = append(c.plan.Lanes, lane)
	return nil, true
}

func lost(have *Observed) string {
	if have.Config.Current["parent"] != "" {
		return "; its snapshots are lost"
	}
	return ""
}

// cannotRecreate says what a backup and restore would lose (pve-container LXC/Config.pm, mountpoint_backup_enabled,
// and API2/LXC.pm, create_vm: a restore over a container destroys its volumes).
func (c *computation) cannotRecreate(w *spec.Container, have *Observed) (why string, ways []string) {
	mounts := mountsOf(have.Current.Record)
	for _, id := range slices.Sorted(maps.Keys(mounts)) {
		if _, isHost := setting.HostPath.Get(mounts[id]); isHost {
			return "mount " + id + " shows a path of the node, which only root@pam can restore", []string{"take the mount out first"}
		}
		if !setting.Backup.Or(mounts[id], false) {
			return "mount " + id + " is in no backup, and its data would be lost", []string{"write backup: true for it, and apply that first"}
		}
	}
	switch {
	case len(have.Current.Unused) > 0:
		return "it has unused volumes, which would be destroyed", []string{"attach them to another container, or destroy them by name"}
	case setting.Protection.Or(have.Current.Record, false):
		return "it is protected", []string{"write protection: false, and apply that first"}
	case c.have.HA[have.Ref.ID] != "":
		return "it is managed by HA", []string{"take it out of HA first"}
	case len(have.Config.Pending)+len(have.Config.Deleted) > 0:
		return "changes are pending", []string{"restart it first"}
	}
	return c.cannotHold(have.Ref.Node, setting.Storage.Or(setting.RootFS.Or(have.Current.Record, nil), ""))
}

// anew are the parameters of the restore: the volumes where they are, made anew, and the changes.
func anew(have *Observed, need []edit) proxmox.Values {
	out := proxmox.Values{}
	for _, e := range need {
		out[e.key] = e.value
	}
	fresh := func(r setting.Record) setting.Record {
		r = maps.Clone(r)
		delete(r, setting.Volume.Path)
		return r
	}
	out[setting.RootFS.PVE] = setting.RootFS.FormatWire(fresh(setting.RootFS.Or(have.Current.Record, nil)))
	for id, r := range mountsOf(have.Current.Record) {
		out[have.Current.Slots[setting.Mounts.Path][id]] = setting.Mounts.FormatMember(id, fresh(r))
	}
	return out
}
