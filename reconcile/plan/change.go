package plan

import (
	"maps"
	"slices"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// change plans a container that exists.
func (c *computation) change(w *spec.Container, have *Observed) {
	stop := w.Power == spec.Stopped && have.Running && !c.powerless(w, have.Ref.ID, "stop")
	facts := setting.Facts{
		// A container that shall be stopped is stopped first, so that nothing stays pending.
		Running:      have.Running && !stop,
		Unprivileged: setting.Unprivileged.Or(have.Current.Record, false),
		TagStyle:     c.have.TagStyle,
	}
	edits := diff(ofImage(w, withImageNetwork(w, c.settings(w)), have), have, facts, c.ignored(w, have))
	edits, done := c.recreate(w, have, edits)
	if done {
		return
	}
	edits = append(edits, c.freed(w, have)...)
	edits = c.together(w, edits, c.possible(w, c.withoutRenames(w, edits)))
	c.unused(w, have, edits)
	edits, mark, hold := c.finish(w, have, edits)
	restart := c.mayRestart(w, have, facts, edits)
	if facts.Running && !restart {
		edits = c.together(w, edits, c.without(w, edits))
	}
	lane := Lane{Ref: have.Ref, Name: w.Name, Action: Change, Base: have.Config, Changes: changesOf(slices.Concat(edits, mark))}
	lane.Adopts = !c.ours(have)
	save := c.saveFirst(w, have, edits, restart)
	if stop {
		lane.Steps, edits = revertFirst(edits, have)
		lane.Steps = append(lane.Steps, Step{Op: Shutdown{shutdownTimeout}, Effect: setting.Restart, Cause: "state: stopped"})
	}
	start := w.Power == spec.Running && !have.Running && !hold && !setting.Template.Or(have.Current.Record, false) &&
		!c.powerless(w, have.Ref.ID, "start") && !c.lacking(w)
	lane.Steps = append(lane.Steps, beforeStart(sorted(edits, have).steps(facts, restart, start), configStep(mark))...)
	if ch, steps, differs := c.poolChange(w, have.Ref.ID); differs {
		lane.Changes, lane.Steps = append(lane.Changes, ch), append(lane.Steps, steps...)
	}
	lane.Uses, lane.OnMounts = c.needed(w), len(c.want.Uses(w)) > 0
	if len(lane.Steps) > 0 {
		lane.Steps = append(save, lane.Steps...)
	}
	if len(lane.Steps) == 0 {
		if !slices.ContainsFunc(c.plan.Blocked, func(b Blocked) bool { return b.ID == w.ID }) {
			c.plan.InSync++
		}
		return
	}
	for _, s := range lane.Steps {
		lane.Effect = max(lane.Effect, s.Effect)
		if d, ok := s.Op.(DestroyVolume); ok {
			lane.Frees = append(lane.Frees, d.Volume)
		}
	}
	c.plan.Lanes = append(c.plan.Lanes, lane)
}

// ignored are the settings that are left as they are. The mark of a container that is not finished goes in any case.
func (c *computation) ignored(w *spec.Container, have *Observed) []string {
	out := slices.Concat(w.Lifecycle.Ignore, keptOfImage(w))
	if c.unfinished(have) {
		out = slices.DeleteFunc(out, func(path string) bool { return path == setting.Description.Path })
	}
	return out
}

// without keeps the edits that can be made without a restart. Settings are made and wait by themselves; a volume
// is neither moved nor, being mounted, destroyed.
func (c *computation) without(w *spec.Container, edits []edit) []edit {
	var out []edit
	for _, e := range edits {
		if e.kind != editFree {
			e.frees = ""
		}
		if why := stoppedOnly(e); why != "" {
			c.block(Blocked{
				ID: w.ID, Name: w.Name, What: e.change.Label(), Change: &e.change, Waiting: true,
				Reason: why + ": it waits for the restart",
			})
			continue
		}
		out = append(out, e)
	}
	return out
}

// stoppedOnly says why an edit is made while the container is stopped; "" where it need not be.
func stoppedOnly(e edit) string {
	switch e.kind {
	case editMove:
		return "a volume is moved while the container is stopped"
	case editRaw:
		return "raw lines are written while the container is stopped, since nothing shows whether a running one has them"
	}
	return ""
}

// possible moves the edits that Proxmox or the policy refuses to the blocked ones.
func (c *computation) possible(w *spec.Container, edits []edit) []edit {
	var out []edit
	have := c.have.Containers[w.ID]
	for _, e := range edits {
		b := Blocked{ID: w.ID, Name: w.Name, What: e.change.Label(), Change: &e.change}
		switch {
		case c.barred(e.change.Access, have.Ref.Node) && e.kind != editWait:
			b.Reason = c.rootReason(e.change.Access, have.Ref.Node)
			b.Ways = []string{"make the change by hand as root@pam", "add the setting to lifecycle.ignore"}
		case c.barred(e.drop, have.Ref.Node) && w.Power == spec.Stopped && have.Running:
			b.Reason = "the stop would put another value in force, which is pending: " + c.rootReason(e.drop, have.Ref.Node)
			b.Ways = []string{"drop it by hand as root@pam", "stop the container by hand"}
		case e.change.Effect == setting.Recreate:
			b.Reason = "an existing container cannot change it"
			b.Ways = []string{
				"write the value that it has: " + e.change.Row.Text(e.change.Old),
				"write lifecycle: {recreate: allow, backupTo: STORAGE}: it is backed up, and restored with the new value",
			}
		case e.change.Effect == setting.Refused:
			b.Reason, b.Ways = refusal(e.change)
		case asksForQuota(e) && setting.Unprivileged.Or(have.Current.Record, false):
			// pve-container API2/LXC/Status.pm, vm_start
			b.Reason = "unprivileged containers do not start with quotas, and it is still one"
		case e.kind == editAlloc:
			b.Reason, b.Ways = c.cannotAllocate(w, e)
		case e.kind == editMove:
			b.Reason, b.Ways = c.cannotHold(w.Node, e.value)
		case e.kind == editTemplate:
			b.Reason, b.Ways = noTemplate(have)
		}
		if b.Reason == "" {
			b.Reason = c.missing(w, e)
		}
		if b.Reason == "" {
			b.Reason, b.Ways = c.preflightEdit(w, e)
		}
		if b.Reason == "" {
			b.Reason, b.Ways = c.unsaved(w, have, e)
		}
		if b.Reason == "" {
			out = append(out, e)
		} else {
			c.block(b)
		}
	}
	return out
}

// asksForQuota reports whether a mount shall have quotas that it has not.
func asksForQuota(e edit) bool {
	old, _ := e.change.Old.(setting.Record)
	new, _ := e.change.New.(setting.Record)
	return e.kind != editRevert && setting.Quota.Or(new, false) && !setting.Quota.Or(old, false)
}

func (c *computation) cannotAllocate(w *spec.Container, e edit) (why string, ways []string) {
	r, _ := e.change.New.(setting.Record)
	if v, exists := setting.Volume.Get(r); exists {
		return c.cannotAttach(w, v)
	}
	if _, isHost := setting.HostPath.Get(r); isHost {
		return "", nil // nothing is allocated
	}
	storage, ok := setting.Storage.Get(r)
	if !ok {
		return "the spec does not say on which storage it shall lie", []string{"write storage and size"}
	}
	return c.cannotHold(w.Node, storage)
}

// noTemplate says why a container cannot become a template (pve-container API2/LXC.pm, template, and LXC.pm,
// template_create).
func noTemplate(have *Observed) (why string, ways []string) {
	if have.Config.Current["parent"] != "" {
		return "a container with snapshots cannot become a template", []string{"delete its snapshots"}
	}
	if base, _ := have.baseVolumes(); len(base) > 0 {
		return "it was a template before: volume " + base[0] + " is one of a template, of which Proxmox makes no second",
			[]string{"make a full clone of it, and a template of that", "take out the mounts that have come since"}
	}
	mounts := mountsOf(have.Current.Record)
	for _, id := range slices.Sorted(maps.Keys(mounts)) {
		if _, isHost := setting.HostPath.Get(mounts[id]); isHost {
			return "mount " + id + " shows a path of the node, which no template can", []string{"take the mount out first"}
		}
	}
	return "", nil
}

func refusal(ch setting.Change) (reason string, ways []string) {
	old, _ := ch.Old.(setting.Record)
	new, _ := ch.New.(setting.Record)
	if a, b := setting.Size.Or(old, 0), setting.Size.Or(new, 0); b < a && ch.Note == "" {
		return "a volume cannot shrink: it has " + a.String() + ", the spec says " + b.String(),
			[]string{"write size: " + a.Spec() + " or more", "mount a new, smaller volume and copy the data over"}
	}
	if ch.Old == nil {
		return ch.Note, nil
	}
	return ch.Note, []string{
		"write what is there: " + ch.Row.Text(old),
		"take the mount out of the spec, apply, and add it anew: its volume is kept as unused",
	}
}
