package agent_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/schedule"
	"github.com/felhom/tend/reconcile/source/git/gittest"
)

// A webhook that comes while the agent rests has the node converged within a second, of which the clock of the test counts
// what is waited for: the end of a burst, and answers of the node that take their time. Webhooks that come one after the
// other lead to one pass, and those that do not end keep none from beginning.
func TestWebhook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := gittest.New(t)
		tip := m.Commit("first", gittest.Spec(web("cores: 1")))
		m.Set("refs/heads/main", tip)
		r := newRig(t, config.Source{Git: m.Dir, Branch: "main", Path: "lxc"})
		r.light = true
		var calls atomic.Int64
		r.fault = func(sim.Call) sim.Fault {
			calls.Add(1)
			return sim.Fault{Delay: 20 * time.Millisecond}
		}
		r.start()
		r.await("in force", func(x *report.Report) bool { return waiting(x) && x.Source.InForce.ID == tip })
		r.hooks = r.web()
		push := func(cores int) {
			t.Helper()
			tip = m.Commit("change", gittest.Spec(web(fmt.Sprintf("cores: %d", cores))), tip)
			m.Set("refs/heads/main", tip)
			if code := r.push(hookSecret); code != http.StatusAccepted {
				t.Fatalf("the webhook was answered with %d", code)
			}
		}
		rest := func() uint64 {
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			rep, _ := r.board.Report()
			return passes(rep)
		}
		converged := func() time.Duration {
			t.Helper()
			began := time.Now()
			rep := r.await("the last commit", func(x *report.Report) bool { return waiting(x) && x.Source.InForce.ID == tip })
			if rep.Loop.Last.Result != report.Converged || rep.Loop.Last.Trigger != "webhook" {
				t.Errorf("last %+v", rep.Loop.Last)
			}
			return rep.Loop.Last.Ended.Sub(began)
		}

		before := rest()
		calls.Store(0)
		push(2)
		took := converged()
		if took > time.Second || r.config()["cores"] != "2" {
			t.Errorf("%v after the webhook, cores %s", took, r.config()["cores"])
		}
		t.Logf("converged %v after the webhook, with %d requests of 20ms", took, calls.Load())

		if n := rest(); n != before+1 {
			t.Errorf("%d passes for a webhook", n-before)
		}
		before = rest()
		for range 20 {
			time.Sleep(50 * time.Millisecond)
			push(3)
		}
		took = converged()
		if n := rest() - before; took > time.Second || n != 1 || r.config()["cores"] != "3" {
			t.Errorf("%v after a burst of webhooks, %d passes, cores %s", took, n, r.config()["cores"])
		}
		t.Logf("converged %v after the last of 20 webhooks within a second, in one pass", took)

		before = rest()
		for i := range 100 { // for ten seconds, without a pause in which a burst would be over
			push(1 + i%4)
			time.Sleep(100 * time.Millisecond)
		}
		n := rest() - before
		if n < 3 || n > 6 {
			t.Errorf("100 webhooks in 10 s led to %d passes", n)
		}
		t.Logf("100 webhooks in 10s led to %d passes", n)
	})
}

// What asks for a pass while one is under way is told as waiting until the next begins.
func TestQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := inFolder(t, web("cores: 1"))
		r.light = true
		r.fault = func(sim.Call) sim.Fault { return sim.Fault{Delay: time.Second} }
		r.start()
		r.await("made", waiting)
		r.agent.Call(schedule.Signal)
		time.Sleep(1500 * time.Millisecond) // in the middle of its pass
		for range 3 {
			r.agent.Call(schedule.Webhook)
			r.must(r.agent.Reconcile(t.Context(), "test"))
		}
		rep, _ := r.board.Report()
		if q := rep.Queue; rep.Loop.Doing == "waiting" || q.Depth != 2 || !slices.Equal(q.Triggers, []string{"webhook", "manual"}) {
			t.Errorf("doing %q, queue %+v", rep.Loop.Doing, q)
		}
		time.Sleep(time.Minute)
		if rep, _ = r.board.Report(); rep.Queue.Depth != 0 || rep.Loop.Last.Trigger != "webhook, asked for by test" {
			t.Errorf("queue %+v, last %+v", rep.Queue, rep.Loop.Last)
		}
	})
}
