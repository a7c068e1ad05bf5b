package permit

import (
	"slices"

	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// ours are the lanes that this agent may carry out at all. Of one that follows these are root's, whole: a snapshot before a
// change and the restart after it serve the change. The rest is left to the agent that leads, and told in the plan.
func (g *Gate) ours(out *plan.Plan, lanes []plan.Lane) []plan.Lane {
	if g.rules.Follows == "" {
		return lanes
	}
	var mine []plan.Lane
	left := map[plan.Subject]bool{}
	for _, l := range lanes { // what a lane uses stands before it
		if roots(l) && !slices.ContainsFunc(l.Uses, func(s plan.Subject) bool { return left[s] }) {
			mine = append(mine, l)
			continue
		}
		left[l.Subject()] = true
		out.Blocked = append(out.Blocked, held(l, "left to the agent on "+g.rules.Follows+", which leads", nil)...)
	}
	return mine
}

// roots reports whether a lane is root's work. The agent that leads acts as root on its own node alone: it cannot make a
// container of which a part is for root, nor recover one that is locked; and of changes it makes those of a token first,
// after which those are left that only root may make.
func roots(l plan.Lane) bool {
	if !slices.ContainsFunc(l.Steps, func(s plan.Step) bool { return s.Access.Root }) {
		return false
	}
	if l.Action == plan.Create || l.Recovers() {
		return true
	}
	return !slices.ContainsFunc(l.Changes, func(c setting.Change) bool { return !c.Access.Root })
}
