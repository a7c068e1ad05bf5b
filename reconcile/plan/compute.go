package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// Compute makes the plan that turns what there is into what shall be, as far as the policy allows. It is
// total and deterministic, and does not depend on the order of its input.
func Compute(want *spec.State, have *Live, pol Policy) *Plan {
	c := &computation{want: want, have: have, policy: pol, plan: &Plan{Cluster: cmp.Or(want.Cluster.Name, have.Cluster), Voice: pol.Voice, needs: newNeeds()}, used: map[proxmox.VMID]bool{}}
	c.hostMounts()
	c.templates()
	c.snippets()
	claimed := map[proxmox.VMID]bool{}
	for _, w := range want.Containers {
		claimed[w.ID] = true
		c.container(w)
	}
	c.unclaimed(claimed)
	c.unmounts()
	c.policyFaults()
	c.preflight()
	c.orderStarts()
	c.jobs()
	c.backedUp()
	c.locks()
	slices.SortFunc(c.plan.Lanes, func(a, b Lane) int {
		if a.Kind == b.Kind {
			return cmp.Or(cmp.Compare(min(a.Action, Create), min(b.Action, Create)), a.Subject().Compare(b.Subject()))
		}
		return a.Subject().Compare(b.Subject())
	})
	slices.SortFunc(c.plan.Unused, func(a, b UnusedVolume) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), strings.Compare(a.Volume, b.Volume))
	})
	slices.SortStableFunc(c.plan.Blocked, func(a, b Blocked) int { return a.Subject().Compare(b.Subject()) })
	return c.plan
}

type computation struct {
	want   *spec.State
	have   *Live
	policy Policy
	plan   *Plan
	// sources are the templates of the spec, by name and node.
	sources map[string]map[string]source
	mounts  map[string]mountState            // host mounts of the spec, by name
	scripts map[string]map[string]mountState // snippets of the spec, by name and node
	used    map[proxmox.VMID]bool            // whose consent to be unlocked met something
}

func (c *computation) block(b Blocked) { c.plan.Blocked = append(c.plan.Blocked, b) }

// container plans one declared container.
func (c *computation) container(w *spec.Container) {
	refuse := func(what, reason string, ways ...string) {
		c.block(Blocked{ID: w.ID, Name: w.Name, What: what, Reason: reason, Ways: ways})
	}
	have := c.have.Containers[w.ID]
	if have == nil {
		c.create(w, refuse)
		return
	}
	owned := c.ours(have)
	l := c.stuck(w, have)
	if l != nil && (owned || w.Adopt || c.policy.Adopt || l.remnant || have.Lock == lockCreate || have.Lock == lockDestroyed) {
		synced := c.plan.InSync
		if !c.recovered(w, have, l, refuse) {
			return
		}
		defer func() {
			c.plan.InSync = synced
			c.recoverFirst(have, w.Name, l)
		}()
	}
	switch {
	case !owned && have.Lock != "" && l == nil:
		// It may be on its way to be ours: what a create leaves at first has no tags.
		c.block(Blocked{
			ID: w.ID, Name: w.Name, What: "change", Waiting: true,
			Reason: fmt.Sprintf("VMID %d is locked (%s): an operation is at work, and whose container it becomes is not known yet", w.ID, have.Lock),
			Ways:   []string{"plan again when it has ended"},
		})
	case !owned && !w.Adopt && !c.policy.Adopt:
		c.refuseForeign(w, have, refuse)
	case have.Broken != nil:
		refuse("change", have.Broken.Error(), "put the value right with pct set, or report it as a fault of tend")
	case have.Ref.Node != w.Node && !c.leftToHA(w, w.ID, ""):
		c.migrate(w, have)
	default:
		c.change(w, have)
	}
}

func (c *computation) refuseForeign(w *spec.Container, have *Observed, refuse func(string, string, ...string)) {
	reason := fmt.Sprintf("VMID %d is taken by container %q, which does not carry the tag %q of this spec", w.ID, have.Name, c.want.Cluster.Owner)
	if strings.EqualFold(have.Name, w.Name) {
		reason = fmt.Sprintf("a container of this name exists and does not carry the tag %q of this spec", c.want.Cluster.Owner)
	}
	refuse("change", reason, c.policy.Voice.adopt(), "give the container another id")
}

// settings are the values that a container shall have, in Proxmox's terms: those written, its host name and the owner's
// tag.
func (c *computation) settings(w *spec.Container) setting.Record {
	r := c.want.Settings(w)
	if _, ok := setting.Hostname.Get(r); !ok {
		setting.Hostname.Set(r, w.Name)
	}
	tags := setting.Tags.Or(r, nil)
	if !slices.Contains(tags, c.want.Cluster.Owner) {
		tags = append(slices.Clone(tags), c.want.Cluster.Owner)
	}
	setting.Tags.Set(r, tags)
	return r
}

func scalarChange(row setting.Row, old, new any, f setting.Facts) setting.Change {
	return setting.Change{
		Row: row, Old: old, New: new,
		Effect: row.Effect(old, new, f), Access: row.Access(old, new, f), Note: row.Note(old, new, f),
	}
}
