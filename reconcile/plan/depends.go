package plan

import (
	"fmt"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
)

// orderStarts makes containers start after those that they depend on. Where one of these is not going to run in
// this plan, the start is left to a later pass, if one will start it, and else it is blocked. A container that runs
// already is only restarted after them: it runs without them as it is, and once stopped it would stay so.
func (c *computation) orderStarts() {
	byName := map[string]*spec.Container{}
	for _, w := range c.want.Containers {
		byName[w.Name] = w
	}
	for again := true; again; { // a start that is taken out may be what another waits for
		again = false
		for _, w := range c.want.Containers {
			l := c.plan.Lane(w.ID)
			if l == nil || !starts(l.Steps) {
				continue
			}
			l.After = nil
			for _, name := range w.DependsOn {
				dep := byName[name]
				if dep == nil || c.holdsUp(w, l, dep) {
					again = dep != nil
					break
				}
			}
		}
		c.dropEmpty()
	}
}

// holdsUp looks at one dependency of a container that is to be started, and reports whether the start was
// taken out because of it.
func (c *computation) holdsUp(w *spec.Container, l *Lane, dep *spec.Container) bool {
	before := c.plan.Lane(dep.ID)
	switch {
	case dep.Power == spec.Stopped:
		return false // it shall not run, so nobody can wait for it
	case before != nil && before.Action != Destroy && starts(before.Steps):
		l.After = append(l.After, dep.ID)
		return false
	case c.runs(dep.ID) || dep.Power == spec.Any || c.runs(w.ID):
		return false
	}
	l.Steps = slices.DeleteFunc(l.Steps, func(s Step) bool { _, ok := s.Op.(Start); return ok })
	if before == nil || before.Action != Create { // no later pass will start it
		c.block(Blocked{
			ID: w.ID, Name: w.Name, What: "start", Waiting: true,
			Reason: fmt.Sprintf("it depends on %d %s, which does not run", dep.ID, dep.Name),
			Ways:   []string{"see why " + dep.Name + " is not started", "take it out of dependsOn"},
		})
	}
	return true
}

// runs reports whether a container runs now.
func (c *computation) runs(id proxmox.VMID) bool {
	have := c.have.Containers[id]
	return have != nil && have.Running
}

func starts(steps []Step) bool { return slices.ContainsFunc(steps, Step.Starts) }

// dropEmpty takes out lanes of which nothing is left.
func (c *computation) dropEmpty() {
	c.plan.Lanes = slices.DeleteFunc(c.plan.Lanes, func(l Lane) bool { return len(l.Steps) == 0 })
}

// leftToHA reports whether the power state of a container is the high availability manager's, which would undo
// what anybody else does (pve-container API2/LXC/Status.pm). A power action that is due is then blocked.
func (c *computation) leftToHA(w *spec.Container, id proxmox.VMID, due string) bool {
	state := c.have.HA[id]
	if state == "" || state == "ignored" {
		return false
	}
	if due != "" {
		c.block(Blocked{
			ID: w.ID, Name: w.Name, What: due, Waiting: true,
			Reason: "it is managed by HA (state " + state + "), which alone starts and stops it",
			Ways:   []string{fmt.Sprintf("ha-manager set ct:%d --state %s", id, haState(w, due)), "write state: any"},
		})
	}
	return true
}

func haState(w *spec.Container, due string) string {
	if due == "restart" || w.Power == spec.Running {
		return "started"
	}
	return "stopped"
}
