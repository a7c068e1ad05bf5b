package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// unclaimed lists the containers that carry the owner's tag and are not declared, and destroys them where the
// policy prunes. A spec without containers prunes nothing: it is more likely a mistake than a wish.
func (c *computation) unclaimed(claimed map[proxmox.VMID]bool) {
	budget := max(c.policy.PruneMax, 1)
	for _, id := range slices.Sorted(maps.Keys(c.have.Containers)) {
		have := c.have.Containers[id]
		if claimed[id] || !have.Owned(c.want.Cluster.Owner) {
			continue
		}
		if !c.policy.Prune {
			c.plan.Unclaimed = append(c.plan.Unclaimed, Unclaimed{have.Ref, have.Name, status(have)})
			continue
		}
		b := Blocked{ID: id, Name: have.Name, What: "destroy"}
		switch {
		case len(claimed) == 0:
			b.Reason, b.Ways = "the spec declares no container at all: nothing is pruned", []string{"destroy it by hand"}
		case have.Broken != nil:
			b.Reason, b.Ways = have.Broken.Error(), []string{"destroy it by hand"}
		case setting.Protection.Or(have.Current.Record, false):
			b.Reason, b.Ways = "it is protected", []string{"lift its protection by hand, if it shall go"}
		case budget == 0:
			b.Reason = fmt.Sprintf("the budget of %d for one run is used up", max(c.policy.PruneMax, 1))
			b.Ways, b.Waiting = []string{"allow more: --prune-max"}, true
		}
		if b.Reason != "" {
			c.block(b)
			continue
		}
		budget--
		c.plan.Lanes = append(c.plan.Lanes, destroyLane(have))
	}
}

func destroyLane(have *Observed) Lane {
	l := Lane{Ref: have.Ref, Name: have.Name, Action: Destroy, Base: have.Config, Effect: setting.Recreate}
	if have.Running {
		l.Steps = append(l.Steps, Step{Op: Shutdown{shutdownTimeout}, Effect: setting.Restart, Cause: "to be destroyed"})
	}
	l.Steps = append(l.Steps, Step{Op: DestroyContainer{have.volumes()}, Effect: setting.Recreate, Cause: "not in the spec"})
	return l
}

func status(o *Observed) string {
	if o.Running {
		return "running"
	}
	return "stopped"
}
