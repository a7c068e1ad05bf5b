package plan

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A container is stuck when its configuration carries a lock and no task runs that could hold it: the task was killed,
// or failed where Proxmox does not clean up. Only "pct unlock" on the node takes the lock away, and what must follow
// depends on what was at work. Without consent the plan names the state and prints the commands.

// A Holder is what is known of who holds the lock of a container.
type Holder struct {
	Task proxmox.UPID // a task that runs and may be the one; zero: none is seen
	// Blind says that the token does not see the tasks of others, so that none being seen proves nothing.
	Blind bool
}

// A Remnant is what is known, besides its configuration, of a container that an operation left half made.
type Remnant struct {
	Began   time.Time        // when the task that was killed began; zero: there is none, or it is not seen
	Volumes []proxmox.Volume // that carry the VMID, on all storages that the token sees
	Whole   bool             // the token sees all storages and the volumes on them
}

// A leftover is what an operation that died left of a container, and what must be done about it.
type leftover struct {
	name  string // of the state: "a backup that was not finished"
	steps []Step // unlock, and then the clean-up
	then  []Step // what follows where a plain delete of a snapshot fails, for people who read the commands
	// wants is the snapshot that consent must name: the one that the container is rolled back to.
	wants   string
	choices []string // for wants
	why     string   // why tend does not do it, whatever the consent
	manual  []string // the commands then
	careful bool     // nothing proves that the holder is dead: only consent for this very container counts
	remnant bool     // the container goes, and is made anew
	alone   bool     // nothing else can be planned, since the configuration will be another
	frees   []string // volumes that go with it
	keeps   []string // volumes that are not provably its own, and stay
}

// stuck looks into the lock of a container, and at what was left of one without a lock where consent names it. It
// is nil where nothing is left over, where an operation is at work and where that cannot be told.
func (c *computation) stuck(w *spec.Container, have *Observed) *leftover {
	named := c.named(have.Ref.ID)
	switch {
	case have.Lock == "" && !named:
		return nil
	case have.Lock != "" && (have.Holder == nil || !have.Holder.Task.IsZero() || have.Holder.Blind && !named):
		return nil
	case (have.Lock == lockMounted || have.Lock == lockFstrim) && !named: // of a person, or a timer: no task ever shows
		return nil
	case w != nil && c.isRemnant(w, have):
		return c.remnant(w, have)
	}
	return c.operation(w, have)
}

// named reports whether consent names a container.
func (c *computation) named(id proxmox.VMID) bool {
	_, ok := c.policy.Unlock[id]
	return ok
}

// consents reports whether a leftover may be cleaned up.
func (c *computation) consents(l *leftover, id proxmox.VMID) bool {
	snapshot, named := c.policy.Unlock[id]
	if l.wants != "" {
		return named && snapshot == l.wants
	}
	return named || c.policy.Recover && !l.careful
}

// recoverable reports whether a leftover is going to be cleaned up, and blocks it where not.
func (c *computation) recoverable(l *leftover, have *Observed, name string) bool {
	id, node := have.Ref.ID, have.Ref.Node
	c.used[id] = true
	b := Blocked{ID: id, Name: name, What: "recover", Reason: "it is stuck: " + l.name + c.proof(have), Ways: l.runbook(id, node)}
	switch root := l.rootStep(); {
	case l.why != "":
		b.Reason += "; " + l.why
	case root != nil && c.barred(root.Access, node):
		b.Ways = append(b.Ways, "or let tend do it where it acts as root on "+node+": "+c.policy.Voice.unlock(id, l.choices))
	case !c.consents(l, id):
		b.Ways = append(b.Ways, "or let tend do it: "+c.policy.Voice.unlock(id, l.choices))
	default:
		why, ways := c.obstacles(Lane{Ref: have.Ref, Base: have.Config}, l.steps)
		if why == "" {
			return true
		}
		b.Reason, b.Ways = b.Reason+"; "+why, ways
	}
	c.block(b)
	return false
}

// proof says how it is known that no operation is at work.
func (c *computation) proof(have *Observed) string {
	switch {
	case have.Lock == "":
		return ""
	case have.Holder.Blind:
		return "; it carries the lock " + have.Lock + ", and whether a task works on it cannot be told: " + blind(have.Ref.Node)
	}
	return "; it carries the lock " + have.Lock + ", and no task works on it"
}

func blind(node string) string { return "the token lacks Sys.Audit on /nodes/" + node }

func (l *leftover) rootStep() *Step {
	i := slices.IndexFunc(l.steps, func(s Step) bool { return s.Access.Root })
	if i < 0 {
		return nil
	}
	return &l.steps[i]
}

// runbook is how a person does it by hand, one command a line.
func (l *leftover) runbook(id proxmox.VMID, node string) []string {
	out := slices.Clone(l.manual)
	for _, s := range l.steps {
		if line := ByHand(s.Op, id); line != "" {
			out = append(out, line)
		}
	}
	for i := range out {
		if i == 0 {
			out[i] = "as root on " + node + ", once it is sure that nothing works on it: " + out[i]
		} else {
			out[i] = "then: " + out[i]
		}
	}
	for i, s := range l.then {
		lead := "and then: "
		if i == 0 {
			lead = "only if that says that a volume has no such snapshot: "
		}
		out = append(out, lead+ByHand(s.Op, id))
	}
	for _, v := range l.keeps {
		out = append(out, "only if nothing of it is wanted: pvesm free "+v)
	}
	return out
}

// ByHand is the command with which root does a step of a recovery; empty for what is none.
func ByHand(op Op, id proxmox.VMID) string {
	switch op := op.(type) {
	case Unlock:
		return fmt.Sprintf("pct unlock %d", id)
	case DeleteSnapshot:
		if op.Force {
			return fmt.Sprintf("pct delsnapshot %d %s --force 1", id, op.Name)
		}
		return fmt.Sprintf("pct delsnapshot %d %s", id, op.Name)
	case RollBack:
		return fmt.Sprintf("pct rollback %d %s", id, op.Name)
	case RemoveRemnant:
		if op.Unreferenced {
			return fmt.Sprintf("pct destroy %d --destroy-unreferenced-disks 1", id)
		}
		return fmt.Sprintf("pct destroy %d", id)
	}
	return ""
}

// recovered plans a declared container that is stuck. Where more can be planned, it reports so, and its steps are to
// follow those of the recovery.
func (c *computation) recovered(w *spec.Container, have *Observed, l *leftover, refuse func(string, string, ...string)) (more bool) {
	if !c.recoverable(l, have, w.Name) {
		return false
	}
	switch {
	case l.remnant:
		c.create(w, refuse)
		if lane := c.plan.Lane(w.ID); lane != nil {
			lane.Steps, lane.Base = slices.Concat(l.steps, lane.Steps), have.Config
			lane.Frees = append(lane.Frees, l.frees...)
			c.warnOfKept(l, have)
		}
		return false
	case l.alone:
		c.recoverOnly(have, w.Name, l)
		return false
	}
	return true
}

// recoverFirst puts a recovery before whatever else is done to a container.
func (c *computation) recoverFirst(have *Observed, name string, l *leftover) {
	lane := c.plan.Lane(have.Ref.ID)
	if lane == nil {
		c.recoverOnly(have, name, l)
		return
	}
	lane.Steps = slices.Concat(l.steps, lane.Steps)
}

func (c *computation) recoverOnly(have *Observed, name string, l *leftover) {
	c.plan.Lanes = append(c.plan.Lanes, Lane{Ref: have.Ref, Name: name, Action: Change, Base: have.Config, Steps: l.steps})
}

func (c *computation) warnOfKept(l *leftover, have *Observed) {
	for _, v := range l.keeps {
		c.warn("%d: volume %s stays: it is not certain that what was not finished made it; %s removes it too", have.Ref.ID, v, c.policy.Voice.DestroyVolume(fmt.Sprintf("%d:%s", have.Ref.ID, v)))
	}
}

func (c *computation) warn(format string, args ...any) {
	c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf(format, args...))
}

// source plans the recovery of a container that is to be copied and is not declared: a clone that was killed locks both.
// It says what is in the way, and after what the copy must come.
func (c *computation) source(id proxmox.VMID) (why string, ways []string, after []proxmox.VMID) {
	have := c.have.Containers[id]
	if have == nil || have.Lock == "" {
		return "", nil, nil
	}
	l := c.stuck(nil, have)
	if l == nil || l.why != "" || have.Lock != lockDisk {
		return "", nil, nil // it is waited for, or planned by itself
	}
	root := l.rootStep()
	c.used[id] = true
	if c.barred(root.Access, have.Ref.Node) || !c.consents(l, id) {
		return fmt.Sprintf("container %d, which it shall be a clone of, is stuck: %s%s", id, l.name, c.proof(have)),
			append(l.runbook(id, have.Ref.Node), "or let tend do it where it acts as root on "+have.Ref.Node+": "+c.policy.Voice.unlock(id, l.choices)), nil
	}
	if !c.declared(id) && c.plan.Lane(id) == nil {
		c.recoverOnly(have, have.Name, l)
	}
	return "", nil, []proxmox.VMID{id}
}

func (c *computation) declared(id proxmox.VMID) bool {
	return slices.ContainsFunc(c.want.Containers, func(w *spec.Container) bool { return w.ID == id })
}

// locks says what is left to say of locks: of those that nobody can tell to be held, and of consent that met nothing.
func (c *computation) locks() {
	for _, id := range slices.Sorted(maps.Keys(c.have.Containers)) {
		have := c.have.Containers[id]
		if have.Lock == "" || have.Holder == nil || !have.Holder.Task.IsZero() || c.named(id) {
			continue
		}
		switch {
		case have.Lock == lockMounted:
			c.warn("%d %s is mounted on its node: pct unmount %[1]d ends that", id, have.Name)
		case have.Lock == lockFstrim:
			c.warn("%d %s is locked (fstrim) by a pct fstrim; if none runs any more: %s", id, have.Name, c.policy.Voice.unlock(id, nil))
		case have.Holder.Blind:
			c.warn("%d %s is locked (%s), and whether a task works on it cannot be told: %s; if none does: %s",
				id, have.Name, have.Lock, blind(have.Ref.Node), c.policy.Voice.unlock(id, nil))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.policy.Unlock)) {
		why := "nothing of it is left over that this spec is about"
		if have := c.have.Containers[id]; have != nil && have.Holder != nil && !have.Holder.Task.IsZero() {
			why = "task " + have.Holder.Task.Type + " of " + have.Holder.Task.User + " works on it"
		}
		if !c.used[id] {
			c.warn("--unlock %d does nothing: %s", id, why)
		}
	}
}

// unlock is the step that takes a lock away.
func unlock(lock string) Step {
	return Step{Op: Unlock{Lock: lock}, Access: setting.Access{
		Root: true, Reason: "no call removes a lock", Refusal: "CT is locked (X)",
	}}
}
