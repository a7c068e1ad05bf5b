package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// unclaimed lists the containers that carry the owner's tag and are not declared, and destroys them where the
// policy prunes. A spec without containers prunes nothing: it is more likely a mistake than a wish.
func (c *computation) unclaimed(claimed map[proxmox.VMID]bool) {
	owned := 0
	for _, have := range c.have.Containers {
		if have.Owned(c.want.Cluster.Owner) {
			owned++
		}
	}
	budget := c.policy.budget(owned)
	for _, id := range slices.Sorted(maps.Keys(c.have.Containers)) {
		have := c.have.Containers[id]
		if claimed[id] || !have.Owned(c.want.Cluster.Owner) {
			continue
		}
		if l := c.stuck(nil, have); l != nil && (c.policy.Prune || c.policy.Recover || c.named(id)) {
			if c.recoverable(l, have, have.Name) {
				c.recoverOnly(have, have.Name, l)
			}
			continue
		}
		if !c.policy.Prune {
			c.plan.Unclaimed = append(c.plan.Unclaimed, Unclaimed{have.Ref, have.Name, status(have)})
			continue
		}
		b := c.spared(have, len(claimed) == 0)
		if b.Reason == "" && budget == 0 {
			b.Reason = fmt.Sprintf("the budget of %d for one run is used up", c.policy.budget(owned))
			b.Ways, b.Waiting = []string{c.policy.Voice.pruneMore()}, true
		}
		if b.Reason != "" {
			c.block(b)
			continue
		}
		budget--
		c.plan.Lanes = append(c.plan.Lanes, c.pruneLane(have))
	}
}

// budget is how many containers one run may stop or destroy: the smaller of both limits.
func (p Policy) budget(owned int) int {
	n := max(p.PruneMax, 1)
	if p.PrunePercent > 0 {
		n = min(n, owned*p.PrunePercent/100)
	}
	return n
}

// spared says why an unclaimed container is not destroyed; without a reason it may be.
func (c *computation) spared(have *Observed, empty bool) Blocked {
	b := Blocked{ID: have.Ref.ID, Name: have.Name, What: "destroy"}
	expires, marked := c.expiry(have)
	switch {
	case empty:
		b.Reason, b.Ways = "the spec declares no container at all: nothing is pruned", []string{"destroy it by hand"}
	case have.Broken != nil:
		b.Reason, b.Ways = have.Broken.Error(), []string{"destroy it by hand"}
	case c.replaced(have) != nil:
		w := c.replaced(have)
		b.Reason = fmt.Sprintf("the spec means %d by this name, which does not carry the owner's tag: this one may be in its place, as after tend backups restore --swap", w.ID)
		b.Ways = []string{fmt.Sprintf("write id: %d for %s, if this one is meant", have.Ref.ID, w.Name), "destroy it by hand"}
	case setting.Protection.Or(have.Current.Record, false):
		b.Reason, b.Ways = "it is protected", []string{"lift its protection by hand, if it shall go"}
	case c.have.HA[have.Ref.ID] != "":
		b.Reason, b.Ways = "it is managed by HA", []string{fmt.Sprintf("ha-manager remove ct:%d, if it shall go", have.Ref.ID)}
	case marked && have.Running:
		b.Reason = "somebody has started it again after it was stopped to be destroyed"
		b.Ways = []string{"declare it", "take the tag " + c.expiryTag(expires) + " off: it is stopped anew, and the grace time begins anew", "destroy it by hand"}
	case marked && c.policy.Now.Before(expires):
		b.Reason, b.Waiting = "its grace time lasts until "+expires.Format(time.RFC3339), true
		b.Ways = []string{"declare it, to keep it"}
	}
	return b
}

// replaced is the declared container with the name of an unclaimed one, where what has its VMID is not tend's; nil where
// there is none. So it is from a restore in its place until the spec names the new VMID: what runs then is unclaimed.
func (c *computation) replaced(have *Observed) *spec.Container {
	for _, w := range c.want.Containers {
		at := c.have.Containers[w.ID]
		if w.Name == have.Name && at != nil && !at.Owned(c.want.Cluster.Owner) {
			return w
		}
	}
	return nil
}

// pruneLane stops a container and marks it, or destroys it once its grace time is over.
func (c *computation) pruneLane(have *Observed) Lane {
	if _, marked := c.expiry(have); marked || c.policy.PruneGrace == 0 {
		return destroyLane(have)
	}
	expires := c.policy.Now.Add(c.policy.PruneGrace)
	tags := append(slices.Clone(have.Tags), c.expiryTag(expires))
	l := Lane{Ref: have.Ref, Name: have.Name, Action: Retire, Base: have.Config, Effect: setting.Restart}
	l.Steps = append(l.Steps, Step{
		Op:    SetConfig{Set: proxmox.Values{setting.Tags.PVE: setting.Tags.FormatWire(tags)}},
		Cause: "to be destroyed after " + expires.UTC().Format(time.RFC3339),
	})
	if have.Running {
		l.Steps = append(l.Steps, Step{Op: Shutdown{shutdownTimeout}, Effect: setting.Restart, Cause: "not in the spec"})
	}
	return l
}

func destroyLane(have *Observed) Lane {
	l := Lane{Ref: have.Ref, Name: have.Name, Action: Destroy, Base: have.Config, Effect: setting.Recreate, Frees: have.volumes()}
	if have.Running {
		l.Steps = append(l.Steps, Step{Op: Shutdown{shutdownTimeout}, Effect: setting.Restart, Cause: "to be destroyed"})
	}
	l.Steps = append(l.Steps, Step{Op: DestroyContainer{have.volumes()}, Effect: setting.Recreate, Cause: "not in the spec"})
	return l
}

// The end of the grace time stands in a tag of the container: it is seen by everybody, needs no state of tend's
// own, and goes by itself when the container is declared again, since a spec says all tags.
const expiryForm = "20060102t150405z"

func (c *computation) expiryPrefix() string {
	return strings.ToLower(c.want.Cluster.Owner) + "-expires-"
}

func (c *computation) expiryTag(at time.Time) string {
	return c.expiryPrefix() + at.UTC().Format(expiryForm)
}

func (c *computation) expiry(have *Observed) (at time.Time, marked bool) {
	for _, tag := range have.Tags {
		if text, ok := strings.CutPrefix(strings.ToLower(tag), c.expiryPrefix()); ok {
			if at, err := time.Parse(expiryForm, text); err == nil {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

func status(o *Observed) string {
	if o.Running {
		return "running"
	}
	return "stopped"
}
