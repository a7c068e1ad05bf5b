package reconcile_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// saved makes a plan, writes it to a text and reads it again.
func saved(t *testing.T, r *reconcile.Reconciler, want *spec.State) *reconcile.Saved {
	t.Helper()
	run := r.NewRun(want)
	if _, _, err := run.Plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := run.Save("4f2c91e")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	again, err := reconcile.ParseSaved(text)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// TestSaved applies a saved plan after this and that has happened to the node.
func TestSaved(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, n *node)
		says   []string // of the refusal; nil: it is applied
	}{
		{"nothing happened", func(*testing.T, *node) {}, nil},
		{
			"one that is not in the plan was edited in what the spec ignores",
			func(t *testing.T, n *node) {
				_, err := n.root.Snapshot(t.Context(), ref(205), "nightly", "")
				if err != nil {
					t.Fatal(err)
				}
			}, nil,
		},
		{
			"one was edited", func(t *testing.T, n *node) { n.byHand(t, 202, proxmox.Update{Set: proxmox.Values{"cores": "1"}}) },
			[]string{"the configuration of 202 ct202 has changed", "make a new plan"},
		},
		{
			"one that was in sync was edited",
			func(t *testing.T, n *node) { n.byHand(t, 205, proxmox.Update{Set: proxmox.Values{"cores": "1"}}) },
			[]string{`newly planned: 205 on pve1: delete cores`},
		},
		{
			"one was stopped", func(t *testing.T, n *node) {
				if _, err := n.root.Stop(t.Context(), ref(201)); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"201 ct201 was running and is stopped"},
		},
		{
			"one is gone", func(t *testing.T, n *node) {
				if _, err := n.root.Destroy(t.Context(), ref(202), proxmox.DestroyParams{}); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"202 ct202 is gone"},
		},
		{
			"a VMID was taken", func(t *testing.T, n *node) {
				_, err := n.root.Create(t.Context(), "pve1", proxmox.CreateParams{
					ID: 210, Template: template, Values: proxmox.Values{"rootfs": "local:1", "hostname": "theirs"},
				})
				if err != nil {
					t.Fatal(err)
				}
			},
			[]string{"210 exists by now: theirs on pve1"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t, sim.Options{})
			r := n.reconciler(nil)
			list := five(nil).Containers
			for _, c := range list { // on a storage that can take snapshots
				setting.Storage.Set(setting.RootFS.Or(c.Settings, nil), "local-btrfs")
				delete(c.Settings, setting.Mounts.Path)
			}
			converged(t, once(t, r, state(list...)))
			for _, c := range list[:4] {
				setting.Memory.Set(c.Settings, setting.GiB)
			}
			want := state(append(list, container(210, nil))...)
			r.Policy = plan.Policy{RestartAll: true}
			s := saved(t, r, want)
			tt.change(t, n)
			n.reset(nil)
			run, err := n.reconciler(nil).Resume(t.Context(), s)
			if tt.says == nil {
				if err != nil {
					t.Fatal(err)
				}
				out, err := run.Apply(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				converged(t, out)
				if out.Count(reconcile.Changed) != 4 || out.Count(reconcile.Created) != 1 {
					t.Error(summary(out))
				}
				return
			}
			if !errors.Is(err, reconcile.ErrMoved) {
				t.Fatalf("error is %v", err)
			}
			for _, part := range tt.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if m := n.mutations(); len(m) > 0 {
				t.Errorf("sent: %v", m)
			}
		})
	}
}

func TestSavedOfAnotherKind(t *testing.T) {
	for _, text := range []string{"", "{}", `{"version": 1}`, "[1]"} {
		if _, err := reconcile.ParseSaved([]byte(text)); err == nil {
			t.Errorf("%q is taken for a saved plan", text)
		}
	}
	s := reconcile.Saved{Version: 2, Spec: json.RawMessage(`{"containers": {"a": {"id": "x"}}}`)}
	if _, err := s.State(); err == nil || !strings.Contains(err.Error(), "saved plan: spec.yaml") {
		t.Errorf("error is %v", err)
	}
}

// TestSavedSpec saves the plans of random specs: the spec comes back as it was.
func TestSavedSpec(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	for seed := range uint64(300) {
		want := newGenerator(seed).state(4)
		got, err := saved(t, r, want).State()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(spec.Container{}, "Place"), cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("seed %d: %s", seed, d)
		}
	}
}

// TestSavedElsewhere refuses a plan that was made against another cluster, though all of it looks the same.
func TestSavedElsewhere(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	r.Target = "https://pve1:8006"
	s := saved(t, r, state(container(210, nil)))
	n.reset(nil)
	for _, target := range []string{"", "https://pve2:8006", "the sandbox /home/me/.tend/sandbox.yaml"} {
		other := n.reconciler(nil)
		other.Target = target
		if _, err := other.Resume(t.Context(), s); !errors.Is(err, reconcile.ErrElsewhere) || !strings.Contains(err.Error(), "made against https://pve1:8006") {
			t.Errorf("%q: the error is %v", target, err)
		}
	}
	if reads := n.requests(); reads > 0 {
		t.Errorf("%d requests were sent to the wrong cluster", reads)
	}
	if _, err := r.Resume(t.Context(), s); err != nil {
		t.Error(err)
	}
}

// TestSavedSecrets shows that a saved plan holds nothing of the environment that it found, and what stands for that
// of the spec differs from plan to plan.
func TestSavedSecrets(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	c := container(210, nil)
	setting.Env.Set(c.Settings, map[string]string{"KEY": "hush-spec"})
	converged(t, once(t, r, state(c)))
	n.byHand(t, 210, proxmox.Update{Set: proxmox.Values{"env": "KEY=hush-live"}})
	setting.Env.Set(c.Settings, map[string]string{"KEY": "hush-new"})
	var plans [2]string
	for i := range plans {
		s := saved(t, r, state(c))
		plans[i] = strings.Join(s.Plan, "\n")
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "hush-live") || strings.Contains(plans[i], "hush") || !strings.Contains(plans[i], "(digest ") {
			t.Errorf("the saved plan is %s", text)
		}
	}
	if plans[0] == plans[1] {
		t.Error("the digests can be compared between plans")
	}
}
