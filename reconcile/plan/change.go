package plan

import (
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// change plans a container that exists.
func (c *computation) change(w *spec.Container, have *Observed) {
	stop := w.Power == spec.Stopped && have.Running
	facts := setting.Facts{
		// A container that shall be stopped is stopped first, so that nothing stays pending.
		Running:      have.Running && !stop,
		Unprivileged: setting.Unprivileged.Or(have.Current.Record, false),
		TagStyle:     c.have.TagStyle,
	}
	edits := diff(c.settings(w), have, facts, w.Lifecycle.Ignore)
	edits = c.possible(w, edits)
	lane := Lane{Ref: have.Ref, Name: w.Name, Action: Change, Base: have.Config}
	for _, e := range edits {
		lane.Changes = append(lane.Changes, e.change)
	}
	if stop {
		lane.Steps, edits = revertFirst(edits, have)
		lane.Steps = append(lane.Steps, Step{Op: Shutdown{shutdownTimeout}, Effect: setting.Restart, Cause: "state: stopped"})
	}
	lane.Steps = append(lane.Steps, settingSteps(edits, have)...)
	if s := c.power(w, have, facts, edits); s != nil {
		lane.Steps = append(lane.Steps, *s)
	}
	if len(lane.Steps) == 0 {
		if !slices.ContainsFunc(c.plan.Blocked, func(b Blocked) bool { return b.ID == w.ID }) {
			c.plan.InSync++
		}
		return
	}
	for _, s := range lane.Steps {
		lane.Effect = max(lane.Effect, s.Effect)
	}
	c.plan.Lanes = append(c.plan.Lanes, lane)
}

// revertFirst drops what is pending for keys that are edited, before the stop of the container would put it in
// force: the edits were computed on what is in force now, and some values only root@pam may take away again.
func revertFirst(edits []edit, have *Observed) (steps []Step, rest []edit) {
	op, step := SetConfig{Set: proxmox.Values{}}, Step{Cause: "drops what is pending before the stop puts it in force"}
	for _, e := range edits {
		if have.pending(e.key) && !slices.Contains(op.Revert, e.key) {
			op.Revert = append(op.Revert, e.key)
		}
		if e.kind == editRevert {
			step.Why = append(step.Why, e.change)
			continue
		}
		e.undo = false
		rest = append(rest, e)
	}
	if len(op.Revert) == 0 {
		return nil, rest
	}
	step.Op = op
	return []Step{step}, rest
}

// possible moves the edits that Proxmox or the policy refuses to the blocked ones.
func (c *computation) possible(w *spec.Container, edits []edit) []edit {
	var out []edit
	for _, e := range edits {
		b := Blocked{ID: w.ID, Name: w.Name, What: e.change.Label(), Change: &e.change}
		switch {
		case e.change.Access.Root && e.kind != editWait:
			b.Reason = e.change.Access.Reason + ", and this version of tend acts with an API token only; Proxmox would answer: " + e.change.Access.Refusal
			b.Ways = []string{"make the change by hand as root@pam", "add the setting to lifecycle.ignore"}
		case e.change.Effect == setting.Recreate:
			b.Reason = "an existing container cannot change it"
			b.Ways = []string{
				"write the value that it has: " + e.change.Row.Text(e.change.Old),
				"back the container up and restore the backup with the new value",
			}
		case e.change.Effect == setting.Refused:
			b.Reason, b.Ways = refusal(e.change)
		case e.kind == editAlloc:
			if why, ways := c.cannotAllocate(w, e); why != "" {
				b.Reason, b.Ways = why, ways
			}
		}
		if b.Reason == "" {
			out = append(out, e)
		} else {
			c.block(b)
		}
	}
	return out
}

func (c *computation) cannotAllocate(w *spec.Container, e edit) (why string, ways []string) {
	r, _ := e.change.New.(setting.Record)
	if _, exists := setting.Volume.Get(r); exists {
		return "", nil
	}
	storage, ok := setting.Storage.Get(r)
	if !ok {
		return "the spec does not say on which storage it shall lie", []string{"write storage and size"}
	}
	return c.cannotHold(w.Node, storage, setting.Size.Or(r, 0))
}

func refusal(ch setting.Change) (reason string, ways []string) {
	old, _ := ch.Old.(setting.Record)
	new, _ := ch.New.(setting.Record)
	if a, b := setting.Size.Or(old, 0), setting.Size.Or(new, 0); b < a && ch.Note == "" {
		return "a volume cannot shrink: it has " + a.String() + ", the spec says " + b.String(),
			[]string{"write size: " + a.Spec() + " or more", "mount a new, smaller volume and copy the data over"}
	}
	ways = []string{"write what is there: " + ch.Row.Text(old)}
	if setting.Storage.Or(old, "") != setting.Storage.Or(new, "") && setting.SameSource(old, new) {
		ways = append(ways, "move it by hand while the container is stopped: pct move-volume")
	} else {
		ways = append(ways, "take the mount out of the spec, apply, and add it anew: its volume is kept as unused")
	}
	return ch.Note, ways
}

// settingSteps are the calls that carry edits, in an order in which each state between them is safe: what
// protects volumes is lifted before they change and put back after; one new volume or one network change a
// call, since Proxmox does not undo the first when the second fails (pve-container API2/LXC/Config.pm).
func settingSteps(edits []edit, have *Observed) []Step {
	var plain, protection, volumes, grows []edit
	for _, e := range edits {
		switch {
		case e.kind == editGrow:
			grows = append(grows, e)
		case e.key == setting.Protection.PVE:
			protection = append(protection, e)
		case e.kind == editAlloc || e.kind == editNet:
			volumes = append(volumes, e)
		case isVolumeKey(e.key):
			volumes = append(volumes, e)
		case e.kind != editWait:
			plain = append(plain, e)
		}
	}
	protected := setting.Protection.Or(have.Current.Record, false)
	lift := protected && slices.ContainsFunc(volumes, func(e edit) bool { return isVolumeKey(e.key) && e.kind != editWait })
	var steps []Step
	switch {
	case lift && len(protection) == 0:
		steps = append(steps, protect(false, "lifted for a change of volumes"))
	case lift:
		plain, protection = append(protection, plain...), nil
	case protected || len(volumes) == 0:
		plain, protection = append(plain, protection...), nil
	}
	steps = append(steps, configStep(plain)...)
	steps = append(steps, volumeSteps(volumes)...)
	for _, e := range grows {
		steps = append(steps, Step{
			Op: Resize{Disk: e.key, Size: e.size}, Effect: e.change.Effect, Access: e.change.Access, Why: []setting.Change{e.change},
		})
	}
	if lift && len(protection) == 0 && !unprotects(edits) {
		steps = append(steps, protect(true, "put back after the change of volumes"))
	}
	return append(steps, configStep(protection)...)
}

// unprotects reports whether the edits end the protection for good.
func unprotects(edits []edit) bool {
	return slices.ContainsFunc(edits, func(e edit) bool { return e.key == setting.Protection.PVE })
}

func isVolumeKey(key string) bool {
	_, ok := setting.Mounts.Index(key)
	return ok || key == setting.RootFS.PVE
}

func protect(on bool, cause string) Step {
	return Step{Op: SetConfig{Set: proxmox.Values{setting.Protection.PVE: setting.Protection.FormatWire(on)}}, Cause: cause}
}

// volumeSteps puts all edits that allocate nothing and touch no network into one call, each other one into a
// call of its own.
func volumeSteps(edits []edit) []Step {
	var together, alone []edit
	for _, e := range edits {
		switch e.kind {
		case editWait:
		case editAlloc, editNet:
			alone = append(alone, e)
		default:
			together = append(together, e)
		}
	}
	steps := configStep(together)
	for _, e := range alone {
		steps = append(steps, configStep([]edit{e})...)
	}
	return steps
}

// configStep is one call with all the given edits; none where there are none. A call before it drops pending
// values that a delete would leave: Proxmox takes no delete and revert of a key together.
func configStep(edits []edit) (steps []Step) {
	if len(edits) == 0 {
		return nil
	}
	op, undo, step := SetConfig{Set: proxmox.Values{}}, SetConfig{Set: proxmox.Values{}}, Step{}
	for _, e := range edits {
		switch {
		case e.kind == editRevert:
			op.Revert = append(op.Revert, e.key)
		case e.kind == editDelete || e.kind == editNet && e.value == "":
			op.Delete = append(op.Delete, e.key)
			if e.undo {
				undo.Revert = append(undo.Revert, e.key)
			}
		default:
			op.Set[e.key] = e.value
		}
		step.Why = append(step.Why, e.change)
		step.Effect = max(step.Effect, e.change.Effect)
		step.Access.Root = step.Access.Root || e.change.Access.Root
	}
	step.Op = op
	if len(undo.Revert) > 0 {
		steps = append(steps, Step{Op: undo, Cause: "drops a pending value, which a delete would leave"})
	}
	return append(steps, step)
}
