package plan

import (
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// A sorting is the edits of a container by what must be told apart when they are put into calls.
type sorting struct {
	plain      []edit // settings that touch neither volumes nor networks
	protection []edit
	volumes    []edit // mounts and the root file system, and networks
	grows      []edit
	moves      []edit
	raw        []edit // lines for LXC itself
	template   []edit
	frees      []string         // volumes that go, once they are not mounted any more
	need       []setting.Change // what takes effect when the container stops
	protected  bool             // as it is now
}

func sorted(edits []edit, have *Observed) sorting {
	s := sorting{need: needRestart(edits), protected: setting.Protection.Or(have.Current.Record, false)}
	for _, e := range edits {
		if e.frees != "" {
			s.frees = append(s.frees, e.frees)
		}
		switch {
		case e.kind == editFree || e.kind == editWait:
		case e.kind == editGrow:
			s.grows = append(s.grows, e)
		case e.kind == editMove:
			s.moves = append(s.moves, e)
		case e.kind == editRaw:
			s.raw = append(s.raw, e)
		case e.kind == editTemplate:
			s.template = append(s.template, e)
		case e.key == setting.Protection.PVE:
			s.protection = append(s.protection, e)
		case e.kind == editAlloc || e.kind == editNet || isVolumeKey(e.key):
			s.volumes = append(s.volumes, e)
		default:
			s.plain = append(s.plain, e)
		}
	}
	s.volumes = grown(s.volumes, s.grows, have)
	return s
}

// grown are the settings of mounts with the sizes that they have when these are set. What is pending for the root
// file system names its size too, and Proxmox takes that over as it stands when the container stops: it is set anew
// (pve-container LXC/Config.pm, vmconfig_apply_pending).
func grown(volumes, grows []edit, have *Observed) []edit {
	for _, g := range grows {
		found := false
		for i, e := range volumes {
			if e.key == g.key {
				found = true
				volumes[i].value = withTextSize(e, g.size)
			}
		}
		pending, ok := have.Next.Record[setting.RootFS.Path].(setting.Record)
		if !found && ok && g.key == setting.RootFS.PVE && have.Config.Pending[g.key] != "" {
			text := setting.RootFS.FormatWire(withSize(pending, setting.Record{setting.Size.Path: g.size}))
			volumes = append(volumes, edit{change: g.change, kind: editSet, key: g.key, value: text})
		}
	}
	return volumes
}

// withTextSize is the value of an edit of a mount with another size.
func withTextSize(e edit, size setting.Bytes) string {
	r, ok := e.change.New.(setting.Record)
	if e.kind != editSet || !ok {
		return e.value
	}
	r = withSize(r, setting.Record{setting.Size.Path: size})
	if e.key == setting.RootFS.PVE {
		return setting.RootFS.FormatWire(r)
	}
	return setting.Mounts.FormatMember(e.change.Identity, r)
}

func isVolumeKey(key string) bool {
	_, ok := setting.Mounts.Index(key)
	return ok || key == setting.RootFS.PVE
}

// steps are the calls, in an order in which each state between them is safe: what protects volumes is lifted
// before they change and put back after, volumes are moved while the container is stopped and freed last. One
// new volume or one network change a call, since Proxmox does not undo the first when the second fails
// (pve-container API2/LXC/Config.pm).
func (s sorting) steps(f setting.Facts, restart, start bool) []Step {
	lift := s.protected && (len(s.frees) > 0 || slices.ContainsFunc(s.volumes, func(e edit) bool { return isVolumeKey(e.key) }))
	var out, last []Step
	switch {
	case lift && len(s.protection) == 0:
		out = append(out, protect(false, "lifted for a change of volumes"))
		last = append(last, protect(true, "put back after the change of volumes"))
	case lift || s.protected || len(s.volumes)+len(s.frees) == 0:
		s.plain = append(s.protection, s.plain...)
	default:
		last = configStep(s.protection)
	}
	out = append(out, configStep(s.plain)...)
	for _, e := range s.grows { // before the settings, which name the size
		out = append(out, stepOf(Resize{Disk: e.key, Size: e.size}, e))
	}
	out = append(out, volumeSteps(s.volumes)...)
	if len(s.frees) == 0 {
		out, last = append(out, last...), nil
	}
	out = append(out, s.powerSteps(f, restart, start)...)
	for _, v := range s.frees {
		out = append(out, Step{Op: DestroyVolume{v}, Effect: setting.Online, Cause: "as the spec or the command line says"})
	}
	out = append(out, last...)
	for _, e := range s.template {
		out = append(out, stepOf(MakeTemplate{}, e))
	}
	return out
}

// powerSteps do what is done to a stopped container, and bring it to run, or to run with what was pending. Of raw
// lines nothing shows whether the running container has them, so that they are written while it is stopped.
func (s sorting) powerSteps(f setting.Facts, restart, start bool) []Step {
	var stopped []Step
	for _, e := range s.moves {
		stopped = append(stopped, stepOf(MoveVolume{Disk: e.key, Storage: e.value}, e))
	}
	for _, e := range s.raw {
		stopped = append(stopped, stepOf(setRaw(e), e))
	}
	switch {
	case f.Running && len(stopped) > 0:
		cause := labels(changesOf(append(s.moves, s.raw...)))
		out := append([]Step{{Op: Shutdown{shutdownTimeout}, Effect: setting.Restart, Cause: cause}}, stopped...)
		return append(out, Step{Op: Start{}, Cause: "stopped for " + cause})
	case f.Running && restart:
		return []Step{{Op: Reboot{shutdownTimeout}, Effect: setting.Restart, Why: s.need, Cause: labels(s.need)}}
	case start:
		return append(stopped, Step{Op: Start{}, Cause: "state: running"})
	}
	return stopped
}

func stepOf(op Op, e edit) Step {
	return Step{Op: op, Effect: e.change.Effect, Access: e.change.Access, Why: []setting.Change{e.change}}
}

func protect(on bool, cause string) Step {
	return Step{Op: SetConfig{Set: proxmox.Values{setting.Protection.PVE: setting.Protection.FormatWire(on)}}, Cause: cause}
}

// revertFirst drops what is pending for keys that are edited, before the stop of the container would put it in
// force: the edits were computed on what is in force now, and some values only root@pam may take away again.
func revertFirst(edits []edit, have *Observed) (steps []Step, rest []edit) {
	var drop []edit
	for _, e := range edits {
		if have.pending(e.key) && !slices.ContainsFunc(drop, func(d edit) bool { return d.key == e.key }) {
			drop = append(drop, e)
		}
		if e.kind != editRevert {
			e.undo = false
			rest = append(rest, e)
		}
	}
	for _, part := range byLane(drop, func(e edit) setting.Access { return e.drop }) {
		op, step := SetConfig{Set: proxmox.Values{}}, Step{Access: part[0].drop, Cause: "drops what is pending before the stop puts it in force"}
		for _, e := range part {
			op.Revert = append(op.Revert, e.key)
			if e.kind == editRevert {
				step.Why = append(step.Why, e.change)
			}
		}
		step.Op = op
		steps = append(steps, step)
	}
	return steps, rest
}

// volumeSteps puts all edits that allocate nothing and touch no network into one call, each other one into a
// call of its own.
func volumeSteps(edits []edit) []Step {
	var together, alone []edit
	for _, e := range edits {
		switch e.kind {
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

// configStep is one call with all the given edits, or one for each lane; none where there are none.
func configStep(edits []edit) (steps []Step) {
	for _, part := range byLane(edits, func(e edit) setting.Access { return e.change.Access }) {
		steps = append(steps, configCall(part)...)
	}
	return steps
}

// byLane parts edits into those that an API token makes and those that root makes, leaving out what is empty.
func byLane(edits []edit, access func(edit) setting.Access) (parts [][]edit) {
	var token, root []edit
	for _, e := range edits {
		if access(e).Root {
			root = append(root, e)
		} else {
			token = append(token, e)
		}
	}
	return slices.DeleteFunc([][]edit{token, root}, func(part []edit) bool { return len(part) == 0 })
}

// configCall is one call with edits of one lane. A call before it drops pending values that a delete would leave:
// Proxmox takes no delete and revert of a key together.
func configCall(edits []edit) (steps []Step) {
	access := edits[0].change.Access
	op, undo, step := SetConfig{Set: proxmox.Values{}}, SetConfig{Set: proxmox.Values{}}, Step{Access: access}
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
	}
	step.Op = op
	if len(undo.Revert) > 0 {
		steps = append(steps, Step{Op: undo, Access: access, Cause: "drops a pending value, which a delete would leave"})
	}
	return append(steps, step)
}
