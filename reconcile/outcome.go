package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/plan"
)

// A State is what became of a container.
type State int

// The states, from the best to the worst.
const (
	Unchanged      State = iota // it was as it should be
	Created                     // it was made
	Changed                     // it was changed, without a restart
	Restarted                   // it was changed and restarted
	Destroyed                   // it is gone
	Retired                     // it was stopped, and will be destroyed after its grace time
	Waiting                     // what could be done is; the rest waits for a window, a yes, another container or the end of a suspension
	PendingRestart              // what could be done is; the rest waits for a restart that may not be now
	Blocked                     // something cannot or may not be done; the plan says why
	Left                        // what is left goes beyond the plan that was shown
	Stuck                       // steps were carried out and made no difference
	Interrupted                 // it was asked to stop before all was done
	Failed                      // a step failed
)

// words are those of String.
var words = [...]string{
	"unchanged", "created", "changed", "restarted", "destroyed", "retired", "waiting", "pending until restart", "blocked", "left",
	"stuck", "interrupted", "failed",
}

// String is the word for a state.
func (s State) String() string { return words[s] }

// MarshalText encodes the word of String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText decodes the word of String.
func (s *State) UnmarshalText(text []byte) error {
	i := slices.Index(words[:], string(text))
	if i < 0 {
		return fmt.Errorf("%q is no state of a container", text)
	}
	*s = State(i)
	return nil
}

// A Container is what became of one container, or of a template or backup job.
type Container struct {
	Kind  plan.Kind
	Ref   proxmox.Ref // of a template the node, of a backup job nothing
	Name  string
	State State
	// Done are the steps that were carried out, over all passes.
	Done []plan.Step
	// NotDone are the steps that were begun or planned last and not carried out; for Stuck, Left, Interrupted
	// and Failed.
	NotDone []plan.Step
	// Err is why; nil where all is well.
	Err error
	// At is the step that failed with Err; nil where no step was tried.
	At *plan.Step
	// Log is the tail of the log of the task that failed.
	Log []string
	// Warnings are the tasks that ended well with warnings.
	Warnings []proxmox.TaskStatus
	// Lane is what is left to do, with both values of each difference; nil where nothing is left or where it
	// was not looked at again.
	Lane *plan.Lane
	// Blocked is what cannot or may not be done.
	Blocked []plan.Blocked
}

// An Outcome is what became of a plan.
type Outcome struct {
	Containers []Container // all that the spec declares or the plan named, by VMID
	Others     []Container // the templates and backup jobs that the plan named
	Passes     int
	// Interrupted says that it was asked to stop.
	Interrupted bool
	// Remaining is the plan that was made after the last pass; nil where it was not made, as after an
	// interruption.
	Remaining *plan.Plan
	// Running are tasks that were not waited for to their end.
	Running []proxmox.UPID
}

// Converged reports whether nothing is left that could be done. Blocked changes may remain.
func (o Outcome) Converged() bool {
	return o.Remaining != nil && o.Remaining.Empty() && !o.Interrupted && o.Worst() != Failed
}

// All are the containers, and the templates and backup jobs, in the order of a plan.
func (o Outcome) All() []Container {
	out := slices.Concat(o.Containers, o.Others)
	slices.SortStableFunc(out, func(a, b Container) int { return a.Subject().Compare(b.Subject()) })
	return out
}

// Subject is what it is about.
func (c Container) Subject() plan.Subject {
	return plan.Lane{Kind: c.Kind, Ref: c.Ref, Name: c.Name}.Subject()
}

// Worst is the worst state of any.
func (o Outcome) Worst() State {
	worst := Unchanged
	for _, c := range o.All() {
		worst = max(worst, c.State)
	}
	return worst
}

// Count counts the containers in a state.
func (o Outcome) Count(s State) (n int) {
	for _, c := range o.Containers {
		if c.State == s {
			n++
		}
	}
	return n
}

// outcome sums up. remaining is nil where nothing was read back.
func (a *application) outcome(run *Run, remaining *plan.Plan) Outcome {
	out := Outcome{Passes: a.passes, Interrupted: a.interrupted, Remaining: remaining}
	for _, rec := range run.open {
		if t := rec.Entry().Task; !t.IsZero() {
			out.Running = append(out.Running, t)
		}
	}
	all := a.named(run, remaining)
	for _, s := range slices.SortedFunc(maps.Keys(all), plan.Subject.Compare) {
		c := all[s]
		a.sumUp(&c, remaining)
		if c.Err == nil {
			c.Err = run.unsettled[s.String()]
		}
		if s.Kind == plan.ContainerKind {
			out.Containers = append(out.Containers, c)
		} else {
			out.Others = append(out.Others, c)
		}
	}
	return out
}

// named are the containers, templates and backup jobs that the outcome tells of.
func (a *application) named(run *Run, remaining *plan.Plan) map[plan.Subject]Container {
	all := map[plan.Subject]Container{}
	for _, p := range []*plan.Plan{remaining, a.approved} {
		if p == nil {
			continue
		}
		for _, b := range p.Blocked {
			c := Container{Kind: b.Kind, Ref: proxmox.Ref{Node: b.Node, ID: b.ID}, Name: b.Name}
			if h := run.have.Containers[b.ID]; h != nil && b.Kind == plan.ContainerKind {
				c.Ref = h.Ref
			}
			all[b.Subject()] = c
		}
		for _, l := range p.Lanes {
			all[l.Subject()] = Container{Kind: l.Kind, Ref: l.Ref, Name: l.Name}
		}
	}
	for _, w := range run.want.Containers {
		ref := proxmox.Ref{Node: w.Node, ID: w.ID}
		if h := run.have.Containers[w.ID]; h != nil {
			ref = h.Ref
		}
		all[plan.Subject{ID: w.ID}] = Container{Ref: ref, Name: w.Name}
	}
	return all
}

// sumUp fills in what became of a container.
func (a *application) sumUp(c *Container, remaining *plan.Plan) {
	g := a.progress[c.Subject()]
	if g == nil {
		g = &progress{}
	}
	c.Done, c.Warnings = g.done, g.warnings
	shown := remaining
	if shown == nil {
		shown = a.approved
	}
	c.Blocked = blockedOf(shown, c.Subject())
	if remaining == nil {
		a.sumUpUnread(c, g)
		return
	}
	c.Lane = remaining.Of(c.Subject())
	switch {
	case c.Lane == nil && leftDown(g.last): // and its spec is content with that, as with state: any
		c.State, c.NotDone = Failed, g.last.NotDone()
		c.noteError(g.last, true)
	case c.Lane == nil:
		c.State = settled(c, a.approved.Of(c.Subject()))
		c.noteError(g.last, c.State == Blocked)
	case overBudget(a.approved, c):
		c.State, c.Blocked, c.Lane = Blocked, blockedOf(a.approved, c.Subject()), nil
	default:
		c.NotDone = c.Lane.Steps
		a.sumUpLeft(c, g)
	}
}

// leftDown reports whether a lane has stopped its container, and could not start it again.
func leftDown(last *execute.LaneResult) bool {
	if last == nil || last.Status != execute.Failed || len(last.NotDone()) == 0 {
		return false
	}
	_, atStart := last.NotDone()[0].Op.(plan.Start)
	return atStart && slices.ContainsFunc(last.Done(), func(s plan.Step) bool { _, stop := s.Op.(plan.Shutdown); return stop })
}

// overBudget reports whether all that is left is a destroy that the budget of this run did not cover.
func overBudget(approved *plan.Plan, c *Container) bool {
	return c.Lane.Action == plan.Destroy && len(c.Done) == 0 && len(blockedOf(approved, c.Subject())) > 0
}

// sumUpLeft is for containers for which something is left to do.
func (a *application) sumUpLeft(c *Container, g *progress) {
	switch {
	case a.interrupted:
		c.State = Interrupted
		c.noteError(g.last, true)
	case g.last != nil && (g.last.Status == execute.Failed || g.last.Status == execute.Skipped):
		c.State = Failed
		c.noteError(g.last, true)
	case errors.Is(g.withheld, errBeyond):
		c.State, c.Err = Left, g.withheld
	case g.withheld != nil:
		c.State, c.Err = Failed, g.withheld
	case g.stuck:
		c.State, c.Err = Stuck, errors.New("its steps were carried out, and it is not as it shall be")
	default:
		c.State, c.Err = Stuck, fmt.Errorf("not done after %d passes", a.passes)
		if g.last != nil && g.last.Err != nil {
			c.Err = fmt.Errorf("not done after %d passes: %w", a.passes, g.last.Err)
		}
	}
}

// sumUpUnread is for runs that ended before the live state was read again.
func (a *application) sumUpUnread(c *Container, g *progress) {
	shown := a.approved.Of(c.Subject())
	switch {
	case shown == nil:
		c.State = settled(c, nil)
	case g.last == nil:
		c.State, c.NotDone, c.Err = Interrupted, shown.Steps, g.withheld
	case g.last.Status == execute.Done:
		c.State = settled(c, shown)
	case g.last.Status == execute.Failed || g.last.Status == execute.Skipped:
		c.State, c.NotDone = Failed, g.last.NotDone()
		c.noteError(g.last, true)
	default:
		c.State, c.NotDone = Interrupted, g.last.NotDone()
		c.noteError(g.last, true)
	}
}

// noteError takes the error of a lane over, where it still matters.
func (c *Container) noteError(last *execute.LaneResult, matters bool) {
	if last == nil || !matters {
		return
	}
	c.Err = last.Err
	if rest := last.NotDone(); last.Status == execute.Failed && len(rest) > 0 {
		c.At = &rest[0]
	}
	if e, ok := errors.AsType[*proxmox.TaskError](last.Err); ok {
		c.Log = e.Log
	}
}

// settled is the state of a container for which nothing is left that could be done.
func settled(c *Container, shown *plan.Lane) State {
	waits := func(b plan.Blocked) bool { return b.Waiting }
	switch {
	case shown != nil && shown.Action == plan.Retire && len(c.Done) > 0:
		return Retired
	case slices.ContainsFunc(c.Blocked, func(b plan.Blocked) bool { return !waits(b) }):
		return Blocked
	case slices.ContainsFunc(c.Blocked, func(b plan.Blocked) bool { return b.What == "restart" }):
		return PendingRestart
	case len(c.Blocked) > 0:
		return Waiting
	case len(c.Done) == 0 || shown == nil:
		return Unchanged
	case shown.Action == plan.Create:
		return Created
	case shown.Action == plan.Destroy:
		return Destroyed
	case restarts(c.Done) > 0:
		return Restarted
	}
	return Changed
}
