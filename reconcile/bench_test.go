package reconcile_test

import (
	"fmt"
	"runtime/debug"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/spec"
)

// createTime is how long a node takes for a create when tend has four of them under way, as it does by default: on a
// real node of two cores (9.2.11, November 2026) twenty creates took 0.51 to 0.58 s each, however many were under
// way at once.
const createTime = 4 * 550 * time.Millisecond

// benchNode is a node with room for thousands. Both sides of the connection are in this process, and both count.
func benchNode(b *testing.B, o sim.Options) *node {
	b.Helper()
	b.Cleanup(func(old int) func() { return func() { debug.SetGCPercent(old) } }(debug.SetGCPercent(100)))
	n := newNode(b, o)
	st := n.State()
	st.Storages["local"].Total = 1 << 50
	n.Close()
	var err error
	o.Seed = 1
	if n.Sim, err = sim.New(st, o); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(n.Close)
	return n
}

// stopped are n containers with a root file system, a volume and an interface each, which are not started.
func stopped(n int) *spec.State {
	var list []*spec.Container
	for i := range n {
		list = append(list, container(proxmox.VMID(1000+i), func(c *spec.Container) { c.Power = spec.Stopped }))
	}
	return state(list...)
}

func benchOnce(b *testing.B, r *reconcile.Reconciler, want *spec.State) {
	b.Helper()
	out, err := r.Once(b.Context(), want)
	if err != nil || !out.Converged() {
		b.Fatalf("not converged: %v %s", err, summary(out))
	}
}

// BenchmarkPlan is a plan with nothing to do, read over HTTPS.
func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{20, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			node, want := benchNode(b, sim.Options{}), stopped(n)
			benchOnce(b, node.reconciler(nil), want)
			r := overHTTPS(b, node)
			before := node.Requests()
			b.ReportAllocs()
			for b.Loop() {
				p, _, err := r.Plan(b.Context(), want)
				if err != nil || !p.Synced() {
					b.Fatalf("not in sync: %v", err)
				}
			}
			b.ReportMetric(float64(node.Requests()-before)/float64(b.N*n), "requests/container")
		})
	}
}

// BenchmarkApply makes 100 containers and reads them back, over HTTPS, with tasks that take what they take on a node.
func BenchmarkApply(b *testing.B) {
	const n = 100
	want := stopped(n)
	requests := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		node := benchNode(b, sim.Options{WorkerTime: func(worker string) time.Duration {
			if worker == "vzcreate" {
				return createTime
			}
			return 0
		}})
		r := overHTTPS(b, node)
		b.StartTimer()
		benchOnce(b, r, want)
		requests += node.Requests()
	}
	b.ReportMetric(float64(requests)/float64(b.N*n), "requests/container")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N*n), "s/container")
}
