package view

import (
	"cmp"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// OthersOf are the templates and backup jobs that are not as they shall be.
func OthersOf(p *plan.Plan) []string {
	var out []string
	add := func(s plan.Subject) {
		if s.Kind != plan.ContainerKind && !slices.Contains(out, s.String()) {
			out = append(out, s.String())
		}
	}
	for _, l := range p.Lanes {
		add(l.Subject())
	}
	for _, b := range p.Blocked {
		add(b.Subject())
	}
	return out
}

// StateOf puts a declared container on the two axes, by a plan and by what was seen of it (nil: it is not there).
func StateOf(w *spec.Container, p *plan.Plan, have *plan.Observed) ContainerState {
	c := ContainerState{
		ID: w.ID, Name: w.Name, Node: w.Node, Sync: Synced, Healthy: true, Power: "missing",
		Differs: []string{}, Restart: []string{}, Problems: []string{},
	}
	if l := p.Lane(w.ID); l != nil {
		c.Sync = OutOfSync
		if l.Action == plan.Change {
			c.Differs = append(c.Differs, labelsOf(*l)...)
		}
	}
	for _, b := range p.Blocked {
		if b.ID == w.ID && b.Kind == plan.ContainerKind {
			c.Sync = OutOfSync
			if !b.Waiting {
				c.Differs = append(c.Differs, b.What+" (blocked)")
			}
		}
	}
	observe(&c, have)
	switch {
	case have == nil:
		c.Problems = append(c.Problems, absence(w, p))
	case have.Broken != nil:
		c.Problems = append(c.Problems, have.Broken.Error())
	case w.Power == spec.Running && !have.Running:
		c.Problems = append(c.Problems, "shall run and is stopped")
	}
	if c.Lock != "" {
		c.Problems = append(c.Problems, "an operation is at work on it, or was killed")
	}
	c.Healthy = len(c.Problems) == 0
	return c
}

// absence says of a container that was not found why it is not made, where that is known: it may only be out of the
// token's sight.
func absence(w *spec.Container, p *plan.Plan) string {
	for _, b := range p.Blocked {
		if b.ID == w.ID && b.What == plan.Create.String() {
			return b.Reason
		}
	}
	return "does not exist"
}

func labelsOf(l plan.Lane) []string {
	var out []string
	for _, ch := range l.Changes {
		out = append(out, ch.Label())
	}
	if len(out) == 0 {
		for _, s := range l.Steps {
			out = append(out, cmp.Or(s.Cause, s.Op.Verb()))
		}
	}
	return out
}

// UnclaimedState puts a container on the axes that the spec does not declare.
func UnclaimedState(u plan.Unclaimed, have *plan.Observed) ContainerState {
	c := ContainerState{
		ID: u.Ref.ID, Name: u.Name, Sync: Unclaimed, Healthy: true,
		Differs: []string{}, Restart: []string{}, Problems: []string{},
	}
	observe(&c, have)
	return c
}

// observe fills in what was seen.
func observe(c *ContainerState, have *plan.Observed) {
	if have == nil {
		return
	}
	c.Node, c.Lock, c.Power = have.Ref.Node, have.Lock, string(proxmox.Stopped)
	if have.Running {
		c.Power, c.Uptime = string(proxmox.Running), have.Uptime
		c.Seconds = int64(c.Uptime.Seconds())
	}
	waits := maps.Clone(have.Config.Deleted)
	if waits == nil {
		waits = map[string]bool{}
	}
	for key := range have.Config.Pending {
		waits[key] = true
	}
	c.Restart = append(c.Restart, slices.Sorted(maps.Keys(waits))...)
}
