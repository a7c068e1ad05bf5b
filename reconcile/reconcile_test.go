package reconcile_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// TestLife takes containers through their life: created, changed, restarted, destroyed; after each, a second
// plan is empty.
func TestLife(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	steps := []struct {
		name   string
		want   *spec.State
		states []string
	}{
		{"create", five(nil), []string{"201 created", "202 created", "203 created", "204 created", "205 created"}},
		{"again", five(nil), []string{"201 unchanged", "202 unchanged", "203 unchanged", "204 unchanged", "205 unchanged"}},
		{
			"memory", five(func(c *spec.Container) { setting.Memory.Set(c.Settings, setting.GiB) }),
			[]string{"201 changed", "202 changed", "203 changed", "204 changed", "205 changed"},
		},
		{
			"time zone", five(func(c *spec.Container) {
				setting.Memory.Set(c.Settings, setting.GiB)
				setting.TimeZone.Set(c.Settings, "host")
				if c.ID == 203 {
					c.Restart = spec.RestartNever
				}
			}),
			[]string{"201 restarted", "202 changed", "203 pending until restart", "204 changed", "205 restarted"},
		},
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			out := once(t, r, s.want)
			converged(t, out)
			if d := cmp.Diff(s.states, states(out)); d != "" {
				t.Errorf("%s\n%s", d, summary(out))
			}
			p, _, err := r.Plan(t.Context(), s.want)
			if err != nil || !p.Empty() {
				t.Errorf("the second plan is not empty: %v, %s", err, planText(t, p))
			}
		})
	}
	t.Run("held", func(t *testing.T) {
		r := n.reconciler(nil)
		r.Permit = func(p *plan.Plan) *plan.Plan {
			held := *p
			held.Lanes = nil
			for _, l := range p.Lanes {
				held.Blocked = append(held.Blocked, plan.Blocked{ID: l.Ref.ID, Name: l.Name, What: "memory", Reason: "suspended", Waiting: true})
			}
			return &held
		}
		out := once(t, r, state(container(201, func(c *spec.Container) { setting.Memory.Set(c.Settings, 2*setting.GiB) })))
		if got := states(out); !slices.Contains(got, "201 waiting") {
			t.Errorf("what is held, and by no restart: %q", got)
		}
	})
	t.Run("destroy", func(t *testing.T) {
		r := n.reconciler(nil)
		r.Policy = prune(3)
		out := once(t, r, state(container(201, func(c *spec.Container) {
			setting.Memory.Set(c.Settings, setting.GiB)
			setting.TimeZone.Set(c.Settings, "host")
		})))
		want := []string{"201 unchanged", "202 destroyed", "203 destroyed", "204 destroyed", "205 blocked"}
		if d := cmp.Diff(want, states(out)); d != "" {
			t.Errorf("%s\n%s", d, summary(out))
		}
		if v := n.volumes(t); len(v) != 4 {
			t.Errorf("volumes left: %v", v)
		}
	})
	if _, err := n.root.Config(t.Context(), proxmox.Ref{Node: "pve1", ID: 202}); err == nil {
		t.Error("202 is still there")
	}
}
