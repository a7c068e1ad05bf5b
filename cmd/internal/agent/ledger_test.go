package agent_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/cmd/internal/agent"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/permit"
)

// several is a spec with containers that run, by VMID.
func several(settings string, ids ...int) string {
	var b strings.Builder
	b.WriteString("cluster: {name: pve1, owner: tend}\ncontainers:\n")
	for _, id := range ids {
		fmt.Fprintf(&b, "  c%d: {id: %d, node: pve1, from: {template: \"local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst\"}, "+
			"rootfs: {storage: local-btrfs, size: 1GiB}, restart: now%s}\n", id, id, settings)
	}
	return b.String()
}

// daily permits one restart and one destroy a day.
func daily() agent.Settings {
	s := agent.Settings{Interval: 100 * time.Hour, Location: time.UTC}
	s.Rules.Budget = permit.Budget{RestartsPerRun: -1, RestartsPerDay: 1, DestroysPerRun: -1, DestroysPerDay: 1}
	s.Policy.Prune, s.Policy.PruneMax, s.Policy.PrunePercent = true, 9, 100
	return s
}

// TestBudgetHoldsOverKills ends the agent at each call that it sends, before the node does what it is asked for and after,
// and begins another with what the first one had written down by then. However it comes, the two together restart and
// destroy no more than the budget of the day; the next day they go on.
func TestBudgetHoldsOverKills(t *testing.T) {
	t.Parallel()
	var start *sim.State
	synctest.Test(t, func(t *testing.T) {
		r, _ := inFolder(t, several("", 300, 301, 302, 310, 311))
		r.light = true
		r.start()
		r.await("made", waiting)
		start = r.sim.State()
		start.Tasks = nil
	})
	var calls []string
	synctest.Test(t, func(t *testing.T) {
		r := restarting(t, start)
		var mu sync.Mutex
		r.fault = func(c sim.Call) sim.Fault {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, c.Method)
			return sim.Fault{}
		}
		r.start()
		r.await("the budget spent", waiting)
		if restarts, destroys := r.interrupted(), r.destroyed(); len(restarts) != 1 || len(destroys) != 1 {
			t.Fatalf("restarted %v, destroyed %v", restarts, destroys)
		}
		r.end()
	})
	isChange := func(method string) bool { return method != http.MethodGet }
	first, n := slices.IndexFunc(calls, isChange), 0
	for i, method := range calls {
		for _, after := range []bool{false, true} {
			if i > 0 && i < first || after && !isChange(method) || testing.Short() && !isChange(method) {
				continue // where nothing was begun, and where nothing is done, one is like the other
			}
			n++
			t.Run(fmt.Sprintf("%d %s %v", i, method, after), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { killAt(t, start, i, after) })
			})
		}
	}
	t.Logf("ended at %d moments of %d calls", n, len(calls))
}

// restarting is a rig with three containers that shall be restarted and two that shall go, and a budget of one of each a day.
func restarting(t *testing.T, start *sim.State) *rig {
	t.Helper()
	r := rigOn(t, config.Source{Dir: folder(t, several(", features: {nesting: true}", 300, 301, 302))}, start, 10*time.Millisecond)
	r.light, r.settings = true, daily()
	return r
}

// killAt ends an agent at one of its calls, and begins another.
func killAt(t *testing.T, start *sim.State, n int, after bool) {
	t.Helper()
	r := restarting(t, start)
	frozen, dead := t.TempDir(), make(chan struct{})
	var mu sync.Mutex // held while a call is let through, so that what was written down before those is what is kept
	calls := -1
	r.fault = func(sim.Call) sim.Fault {
		mu.Lock()
		defer mu.Unlock()
		switch calls++; {
		case calls < n:
			return sim.Fault{}
		case calls > n:
			return sim.Fault{Cut: true}
		}
		if err := os.CopyFS(frozen, os.DirFS(r.dir)); err != nil {
			t.Error(err)
		}
		close(dead)
		return sim.Fault{Cut: true, After: after}
	}
	r.start()
	<-dead
	r.kill()
	r.fault, r.dir = nil, frozen
	time.Sleep(time.Minute) // tasks go on without an agent
	r.start()
	r.await("begun anew", waiting)
	r.again()
	if restarts, destroys := r.interrupted(), r.destroyed(); len(restarts) > 1 || len(destroys) > 1 {
		t.Errorf("restarted %v and destroyed %v within a day, and the budget is one of each", restarts, destroys)
	}
	for range 3 {
		time.Sleep(25 * time.Hour)
		r.again()
	}
	if restarts, destroys := r.interrupted(), r.destroyed(); len(restarts) != 3 || len(destroys) != 2 {
		t.Errorf("after three days more restarted %v, destroyed %v: it does not go on", restarts, destroys)
	}
	r.end()
}

// tasks are the containers that there were tasks of some types of, each once.
func (r *rig) tasks(types ...string) (out []string) {
	r.t.Helper()
	list, err := r.byRoot().Tasks(r.t.Context(), "pve1", proxmox.TaskFilter{Source: proxmox.TasksAll, Limit: 1000})
	r.must(err)
	for _, t := range list {
		if slices.Contains(types, t.UPID.Type) && !slices.Contains(out, t.UPID.ID) {
			out = append(out, t.UPID.ID)
		}
	}
	slices.Sort(out)
	return out
}

func (r *rig) destroyed() []string { return r.tasks("vzdestroy") }

// interrupted are the containers that were, and are not destroyed or to be.
func (r *rig) interrupted() []string {
	return slices.DeleteFunc(r.tasks("vzreboot", "vzshutdown", "vzstop"), func(id string) bool { return id >= "310" })
}

// A step that the node refuses to begin costs nothing; one whose task fails does, for nobody knows what it has done.
func TestBudgetOfFailures(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault sim.Fault
		spent permit.Spent
	}{
		{"refused", sim.Fault{Status: http.StatusInternalServerError, Reason: "got no worker upid - start worker failed"}, permit.Spent{}},
		{"failed", sim.Fault{TaskError: "out of luck"}, permit.Spent{Restarts: 1}},
		{"not known", sim.Fault{Status: 596, Reason: "Connection timed out"}, permit.Spent{Restarts: 1}},
		{"well", sim.Fault{}, permit.Spent{Restarts: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, write := inFolder(t, web("cores: 1"))
				r.light, r.settings = true, daily()
				r.start()
				r.await("made", waiting)
				write(web("cores: 1", "features: {nesting: true}"))
				r.fault = func(c sim.Call) sim.Fault {
					if strings.HasSuffix(c.Path, "/status/reboot") || strings.HasSuffix(c.Path, "/status/shutdown") {
						return tc.fault
					}
					return sim.Fault{}
				}
				rep := r.again()
				r.end()
				m, err := agent.OpenMemory(filepath.Join(r.dir, "agent.json"))
				r.must(err)
				if got := m.Spent(time.Now()); got != tc.spent {
					t.Errorf("spent %+v, want %+v; last %+v", got, tc.spent, rep.Loop.Last)
				}
			})
		})
	}
}

// What cannot be noted is not begun.
func TestBudgetUnwritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, budgetUnwritten)
}

func budgetUnwritten(t *testing.T) {
	r, write := inFolder(t, web("cores: 1"))
	r.light, r.settings = true, daily()
	r.start()
	r.await("made", waiting)
	path := filepath.Join(r.dir, "agent.json")
	r.must(errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Join(path, "in the way"), 0o700)))
	write(web("cores: 2", "features: {nesting: true}"))
	rep := r.again()
	if rep.Loop.Last.Result != report.Failed || !strings.Contains(rep.Loop.Last.Error, "without a note of what it costs of the budget") {
		t.Errorf("last %+v", rep.Loop.Last)
	}
	if len(r.interrupted()) != 0 || r.config()["cores"] != "2" {
		t.Errorf("restarted %v, config %v", r.interrupted(), r.config())
	}
	r.must(os.RemoveAll(path))
	if rep = r.again(); rep.Loop.Last.Result != report.Converged || len(r.interrupted()) != 1 {
		t.Errorf("once it can be: last %+v, restarted %v", rep.Loop.Last, r.interrupted())
	}
}
