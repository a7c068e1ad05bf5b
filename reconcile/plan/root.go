package plan

import (
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// barred reports whether a change on a node is for root@pam, and nobody acts as root@pam for tend there.
func (c *computation) barred(a setting.Access, node string) bool {
	return a.Root && !slices.Contains(c.policy.RootNodes, node)
}

// rootReason says why a change is left to root.
func (c *computation) rootReason(a setting.Access, node string) string {
	reason := a.Reason + "; tend acts with an API token, to which Proxmox answers: " + a.Refusal
	if len(c.policy.RootNodes) > 0 {
		reason = a.Reason + "; tend may act as root on " + join(c.policy.RootNodes) + ", and the container is on " + node
	}
	return reason
}

// needsRoot refuses a create that only root@pam could make where there is no root lane.
func (c *computation) needsRoot(w *spec.Container, changes []setting.Change, refuse func(string, string, ...string)) (refused bool) {
	for i, ch := range changes {
		if c.barred(ch.Access, w.Node) {
			c.block(Blocked{ID: w.ID, Name: w.Name, What: ch.Label(), Change: &changes[i], Reason: c.rootReason(ch.Access, w.Node)})
			refused = true
		}
	}
	if refused {
		refuse("create", "some of it only root@pam may set, and a container is never made in part",
			"take that out of the spec", "create the container by hand as root@pam and adopt it")
	}
	return refused
}

// createAccess says who makes a container: root as soon as one setting is for root, in one call. Raw lines are no
// part of that call.
func createAccess(changes []setting.Change) setting.Access {
	for _, ch := range changes {
		if ch.Access.Root && ch.Row.SpecPath() != setting.Raw.Path {
			return ch.Access
		}
	}
	return setting.Access{}
}

// envStep sets the environment of a container that root has made: root makes it by a command, whose arguments
// everybody on the node can read.
func envStep(env string, changes []setting.Change) Step {
	s := Step{Op: SetConfig{Set: proxmox.Values{setting.Env.PVE: env}}, Cause: "kept out of the command line"}
	for _, ch := range changes {
		if ch.Row.SpecPath() == setting.Env.Path {
			s.Why = []setting.Change{ch}
		}
	}
	return s
}

// setRaw is the operation of an edit of raw lines.
func setRaw(e edit) SetRaw {
	lines, _ := e.change.New.([]string)
	return SetRaw{Lines: lines}
}

// rawStep writes the raw lines of a container that has just been made.
func rawStep(lines []string, changes []setting.Change) Step {
	s := Step{Op: SetRaw{Lines: lines}}
	for _, ch := range changes {
		if ch.Row.SpecPath() == setting.Raw.Path {
			s.Why, s.Access = []setting.Change{ch}, ch.Access
		}
	}
	return s
}

func withoutRoot(changes []setting.Change) []setting.Change {
	return slices.DeleteFunc(slices.Clone(changes), func(ch setting.Change) bool {
		_, isFamily := ch.Row.(*setting.Family)
		return ch.Access.Root || isFamily || ch.Row.SpecPath() == setting.RootFS.Path
	})
}
