package permit

import (
	"slices"

	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// ours are the lanes that this agent may carry out at all, beside others. Of one that follows these are root's, whole: a
// snapshot before a change and the restart after it serve the change. The rest is left to the agent that leads, which in
// turn leaves what only root on another node can see; and what waits for something that is left waits with it.
func (g *Gate) ours(out *plan.Plan, lanes []plan.Lane) []plan.Lane {
	r := g.rules
	if r.Follows == "" && !r.Leads {
		return lanes
	}
	left := map[plan.Subject]bool{}
	hold := func(l plan.Lane, reason string) {
		left[l.Subject()] = true
		out.Blocked = append(out.Blocked, held(l, reason, nil)...)
	}
	for _, l := range lanes {
		switch {
		case r.Follows != "" && !roots(l):
			hold(l, "left to the agent on "+r.Follows+", which leads")
		case r.Leads && seenAsRoot(l) && !slices.Contains(r.RootNodes, l.Ref.Node):
			hold(l, "left to the agent on "+l.Ref.Node+", where alone it is seen whether its host mounts are there")
		}
	}
	for again := true; again; { // what waits for it comes before or after it in the plan
		again = false
		for _, l := range lanes {
			if s, waits := waitsFor(l, left); waits && !left[l.Subject()] {
				hold(l, "waits for "+s.String()+", which is left to another agent")
				again = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(lanes), func(l plan.Lane) bool { return left[l.Subject()] })
}

// waitsFor is a lane that is left and must have ended before another begins.
func waitsFor(l plan.Lane, left map[plan.Subject]bool) (plan.Subject, bool) {
	after := slices.Clone(l.Uses)
	for _, id := range l.After {
		after = append(after, plan.Subject{Kind: plan.ContainerKind, ID: id})
	}
	i := slices.IndexFunc(after, func(s plan.Subject) bool { return left[s] })
	if i < 0 {
		return plan.Subject{}, false
	}
	return after[i], true
}

// roots reports whether a lane is root's work. The agent that leads acts as root on its own node alone: it cannot make a
// container of which a part is for root, nor recover one that is locked; and of changes it makes those of a token first,
// after which those are left that only root may make.
func roots(l plan.Lane) bool {
	if seenAsRoot(l) {
		return true
	}
	if !slices.ContainsFunc(l.Steps, func(s plan.Step) bool { return s.Access.Root }) {
		return false
	}
	if l.Action == plan.Create || l.Recovers() {
		return true
	}
	return !slices.ContainsFunc(l.Changes, func(c setting.Change) bool { return !c.Access.Root })
}

// seenAsRoot reports whether a lane starts a container whose host mounts must be there.
func seenAsRoot(l plan.Lane) bool {
	return l.OnMounts && slices.ContainsFunc(l.Steps, plan.Step.Starts)
}
