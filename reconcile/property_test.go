package reconcile_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// TestProperties carries out the plans of 10,000 random specs on simulated nodes: 5,000 times to make what a spec
// says, and then to make of it, with what somebody has changed by hand, what an edited spec says. After each, the next
// plan is empty or blocked for the same reasons; no volume is gone that no destroy named; no container was
// stopped whose plan did not say so.
func TestProperties(t *testing.T) {
	cases := 5_000
	if underRace || testing.Short() {
		cases = 250
	}
	sharded(t, cases, func(t *testing.T, _ int, seeds []uint64) {
		n := newNode(t, sim.Options{})
		for i, seed := range seeds {
			if i%50 == 49 { // the list of tasks grows
				n = newNode(t, sim.Options{})
			}
			c := &experiment{T: t, seed: seed, g: newGenerator(seed), node: n}
			c.run()
			if t.Failed() {
				return
			}
		}
	})
}

// An experiment is one case.
type experiment struct {
	*testing.T
	seed uint64
	g    generator
	node *node
}

func (c *experiment) failf(format string, args ...any) {
	c.Helper()
	c.Errorf("seed %d: %s", c.seed, fmt.Sprintf(format, args...))
}

func (c *experiment) run() {
	first := c.g.state(3)
	c.apply(first, plan.Policy{})
	if c.Failed() {
		return
	}
	c.disturb(first)
	c.apply(c.g.edited(first), plan.Policy{
		Prune: c.g.chance(50), PruneMax: 10, WindowOpen: c.g.chance(30), RestartAll: c.g.chance(20),
	})
	c.clean()
}

// apply makes and carries out a plan and holds it against the properties.
func (c *experiment) apply(want *spec.State, pol plan.Policy) {
	r := c.node.reconcilerAs(strong, nil)
	r.Policy = pol
	before := c.node.volumes(c.T)
	run := r.NewRun(want)
	p, _, err := run.Plan(c.Context())
	if err != nil {
		c.failf("%v", err)
		return
	}
	shown := planText(c.T, p)
	c.node.reset(nil)
	out, err := run.Apply(c.Context())
	if err != nil {
		c.failf("%v", err)
		return
	}
	stops := c.stops()
	next, _, err := r.Plan(c.Context(), want)
	if err != nil {
		c.failf("%v", err)
		return
	}
	switch {
	case !next.Empty():
		c.failf("the next plan is not empty:\n%s\nthe first was\n%s\n%s", planText(c.T, next), shown, summary(out))
	case !out.Converged() || out.Worst() >= reconcile.Left:
		c.failf("not converged: %s\nplan %s", summary(out), shown)
	}
	known := plainReasons(p)
	for _, why := range plainReasons(next) {
		if !slices.Contains(known, why) {
			c.failf("newly blocked: %s\nthe plan was\n%s", why, shown)
		}
	}
	c.kept(before, p, shown)
	for id, n := range stops {
		planned := 0
		if l := p.Lane(id); l != nil {
			for _, s := range l.Steps {
				if s.Restarts() {
					planned++
				}
			}
		}
		if n > planned {
			c.failf("%d was stopped %d times, planned were %d:\n%s", id, n, planned, shown)
		}
	}
}

var slotText = regexp.MustCompile(` \((net|mp)\d+\)`)

// plainReasons are the reasons without what tells interfaces of one name apart, which is not needed any more
// once one of them is gone.
func plainReasons(p *plan.Plan) []string {
	out := reasons(p)
	for i, why := range out {
		out[i] = slotText.ReplaceAllString(why, "")
	}
	return out
}

// kept checks that no volume is gone but those that a destroy of the plan named.
func (c *experiment) kept(before []string, p *plan.Plan, shown string) {
	named := map[string]bool{}
	for _, l := range p.Lanes {
		for _, s := range l.Steps {
			if op, ok := s.Op.(plan.DestroyContainer); ok {
				for _, v := range op.Volumes {
					named[v] = true
				}
			}
		}
	}
	after := c.node.volumes(c.T)
	for _, v := range before {
		if !slices.Contains(after, v) && !named[v] {
			c.failf("volume %s is gone:\n%s", v, shown)
		}
	}
}

// stops counts how often the agent has stopped or restarted each container.
func (c *experiment) stops() map[proxmox.VMID]int {
	out := map[proxmox.VMID]int{}
	for _, m := range c.node.mutations() {
		var id proxmox.VMID
		rest, ok := strings.CutPrefix(m, "POST /nodes/pve1/lxc/")
		at, verb, _ := strings.Cut(rest, "/status/")
		if _, err := fmt.Sscan(at, &id); ok && err == nil && slices.Contains([]string{"reboot", "shutdown", "stop"}, verb) {
			out[id]++
		}
	}
	return out
}

// disturb does by hand what people do. What Proxmox refuses is left.
func (c *experiment) disturb(s *spec.State) {
	for _, w := range s.Containers {
		ref := proxmox.Ref{Node: w.Node, ID: w.ID}
		cfg, err := c.node.root.Config(c.Context(), ref)
		if err != nil || c.g.chance(40) {
			continue
		}
		u := proxmox.Update{Set: c.g.byHand(w.ID)}
		keys := slices.DeleteFunc(cfg.Current.Keys(), func(k string) bool {
			return slices.Contains([]string{"rootfs", "tags", "arch", "ostype"}, k)
		})
		for _, key := range keys {
			if c.g.chance(8) && u.Set[key] == "" {
				u.Delete = append(u.Delete, key)
			}
		}
		_ = c.node.root.SetConfig(c.Context(), ref, u)
		if c.g.chance(15) {
			nic := fmt.Sprintf("name=eth%d,bridge=vmbr0,ip=dhcp", c.g.IntN(4))
			_ = c.node.root.SetConfig(c.Context(), ref, proxmox.Update{Set: proxmox.Values{fmt.Sprintf("net%d", c.g.IntN(12)): nic}})
		}
		if c.g.chance(15) {
			mp := fmt.Sprintf("local:1,mp=%s", pick(c.g, "/data", "/extra"))
			if slot := fmt.Sprintf("mp%d", c.g.IntN(6)); cfg.Current[slot] == "" {
				_ = c.node.root.SetConfig(c.Context(), ref, proxmox.Update{Set: proxmox.Values{slot: mp}})
			}
		}
		switch c.g.IntN(6) {
		case 0:
			_, _ = c.node.root.Start(c.Context(), ref)
		case 1:
			_, _ = c.node.root.Stop(c.Context(), ref)
		case 2:
			_, _ = c.node.root.Resize(c.Context(), ref, proxmox.ResizeParams{Disk: "rootfs", Size: 1 << 30, Grow: true})
		}
	}
}

// clean empties the node and checks that nothing is left.
func (c *experiment) clean() {
	list, err := c.node.root.Containers(c.Context(), "pve1")
	if err != nil {
		c.failf("%v", err)
	}
	for _, s := range list {
		ref := proxmox.Ref{Node: "pve1", ID: s.ID}
		if err := c.node.root.SetConfig(c.Context(), ref, proxmox.Update{Delete: []string{"protection"}}); err != nil {
			c.failf("%v", err)
		}
		task, err := c.node.root.Destroy(c.Context(), ref, proxmox.DestroyParams{Force: true})
		if err == nil {
			_, err = c.node.root.WaitTask(c.Context(), task, proxmox.WaitOptions{})
		}
		if err != nil {
			c.failf("%v", err)
		}
	}
	if v := c.node.volumes(c.T); len(v) > 0 {
		c.failf("volumes left: %v", v)
	}
}
