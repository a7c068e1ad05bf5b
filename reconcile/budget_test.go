package reconcile_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/rest"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// overHTTPS is a reconciler that reaches the node as it would a real one.
func overHTTPS(t testing.TB, n *node) *reconcile.Reconciler {
	t.Helper()
	server := httptest.NewTLSServer(n.Handler())
	t.Cleanup(server.Close)
	pin := sha256.Sum256(server.Certificate().Raw)
	transport, err := rest.New(rest.Options{
		Endpoint: server.URL, Fingerprint: hex.EncodeToString(pin[:]),
		Token: proxmox.NewSecret(agent + "=22222222-2222-4222-8222-222222222222"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &reconcile.Reconciler{Client: proxmox.NewClient(transport), Executor: execute.Executor{}}
}

// TestRequests bounds what the main jobs cost, counted at the node's HTTPS side, for 20 containers with a root
// file system, a volume and an interface each.
func TestRequests(t *testing.T) {
	const n = 20
	// A create or destroy of a node takes seconds; a little of that, so that waiting costs what it would.
	node := newNode(t, sim.Options{TaskTime: 50 * time.Millisecond})
	r := overHTTPS(t, node)
	spec20 := func(edit func(*spec.Container)) *spec.State {
		var list []*spec.Container
		for i := range n {
			list = append(list, container(proxmox.VMID(200+i), func(c *spec.Container) {
				c.Power = spec.Stopped
				if edit != nil {
					edit(c)
				}
			}))
		}
		return state(list...)
	}
	cost := func(name string, most int, f func()) {
		t.Helper()
		before := node.Requests()
		f()
		got := node.Requests() - before
		t.Logf("%s: %d requests, at most %d", name, got, most)
		if got > most {
			t.Errorf("%s: %d requests, want at most %d", name, got, most)
		}
	}
	empty := func(want *spec.State) {
		t.Helper()
		p, _, err := r.Plan(t.Context(), want)
		if err != nil || !p.Synced() {
			t.Fatalf("not in sync: %v", err)
		}
	}
	cost("create, read back and empty second plan", 4*n+10, func() {
		converged(t, once(t, r, spec20(nil)))
		empty(spec20(nil))
	})
	cost("empty plan", n+5, func() { empty(spec20(nil)) })
	cost("change of memory", 3*n+5, func() {
		converged(t, once(t, r, spec20(func(c *spec.Container) { setting.Memory.Set(c.Settings, setting.GiB) })))
	})
	cost("destroy", 3*n+10, func() {
		r.Policy = prune(n)
		want := state(container(300, func(c *spec.Container) { c.From.Template = "" }))
		out := once(t, r, want)
		if out.Count(reconcile.Destroyed) != n {
			t.Errorf("not all destroyed: %s", summary(out))
		}
	})
	if v := node.volumes(t); len(v) > 0 {
		t.Errorf("volumes left: %v", v)
	}
}
