package reconcile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A job is something that tend does in one run: from a state of the node to what a spec says.
type job struct {
	name   string
	start  *sim.State
	before *spec.State // what the node is like at the start; nil: empty
	want   *spec.State
	prune  int
	// starts and restarts are how often containers may be started and restarted in all, however often the job
	// is begun.
	starts, restarts map[proxmox.VMID]int
	volumes          int
}

// jobs are a creation of containers, and a run in which each kind of change happens once.
func jobs(t *testing.T) []*job {
	t.Helper()
	create := &job{
		name: "create", want: five(nil), volumes: 10,
		starts: map[proxmox.VMID]int{201: 1, 203: 1, 205: 1},
	}
	change := &job{
		name: "change", before: five(nil), prune: 1, volumes: 9,
		starts: map[proxmox.VMID]int{202: 1}, restarts: map[proxmox.VMID]int{201: 1},
	}
	list := five(nil).Containers
	setting.TimeZone.Set(list[0].Settings, "host") // a restart
	setting.Memory.Set(list[0].Settings, setting.GiB)
	list[1].Power = spec.Running
	setting.Cores.Set(list[1].Settings, 2)
	mounts := list[2].Settings[setting.Mounts.Path].(setting.Members)
	more := setting.Record{}
	setting.Storage.Set(more, "local")
	setting.Size.Set(more, setting.GiB)
	mounts["/more"] = more // a new volume
	root := setting.RootFS.Or(list[3].Settings, nil)
	setting.Size.Set(root, 6*setting.GiB) // a growth
	setting.Protection.Set(list[3].Settings, true)
	change.want = state(list[:4]...) // and a destroy of 205, which runs
	for _, j := range []*job{create, change} {
		n := newNode(t, sim.Options{})
		if j.before != nil {
			converged(t, once(t, n.reconciler(nil), j.before))
		}
		j.start = n.State()
		j.start.Tasks = nil
	}
	return []*job{create, change}
}

// on makes a node that is as at the start of the job.
func (j *job) on(t *testing.T, o sim.Options) *node {
	t.Helper()
	n := nodeOf(t, j.start, o)
	t.Cleanup(n.Close)
	return n
}

// finished runs the job anew and checks that the node ends as it should, whatever happened before.
func (j *job) finished(t *testing.T, n *node, r *reconcile.Reconciler) {
	t.Helper()
	r.Policy = prune(j.prune)
	out := once(t, r, j.want)
	converged(t, out)
	if out.Worst() > reconcile.PendingRestart {
		t.Errorf("worst is %s: %s", out.Worst(), summary(out))
	}
	p, have, err := r.Plan(t.Context(), j.want)
	if err != nil || !p.Synced() {
		t.Fatalf("not in sync: %v", err)
	}
	if len(have.Containers) != len(j.want.Containers) {
		t.Errorf("%d containers, want %d", len(have.Containers), len(j.want.Containers))
	}
	if v := n.volumes(t); len(v) != j.volumes {
		t.Errorf("%d volumes, want %d: %v", len(v), j.volumes, v)
	}
	for _, o := range have.Containers {
		if len(o.Current.Unused) > 0 || o.Lock != "" {
			t.Errorf("%s is left with %v, lock %q", o.Ref, o.Current.Unused, o.Lock)
		}
	}
	starts, restarts := n.tasks(t, "vzstart"), n.tasks(t, "vzreboot")
	for id := proxmox.VMID(201); id <= 205; id++ {
		// A restart that failed half-way is made good by a start.
		if restarts[id] > j.restarts[id] || starts[id]+restarts[id] > j.starts[id]+j.restarts[id] {
			t.Errorf("%d was started %d times and restarted %d times, want %d and %d", id, starts[id], restarts[id], j.starts[id], j.restarts[id])
		}
	}
}

// tasks counts the tasks of a type that ended well, by container.
func (n *node) tasks(t *testing.T, typ string) map[proxmox.VMID]int {
	t.Helper()
	list, err := n.root.Tasks(t.Context(), "pve1", proxmox.TaskFilter{Source: proxmox.TasksAll, Type: typ, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	out := map[proxmox.VMID]int{}
	for _, s := range list {
		var id proxmox.VMID
		if _, err := fmt.Sscan(s.UPID.ID, &id); err == nil && s.OK() {
			out[id]++
		}
	}
	return out
}

// TestEveryFault lets each request of a job fail in turn, in every way, and then runs the job anew.
func TestEveryFault(t *testing.T) {
	faults := []struct {
		name  string
		fault sim.Fault
		only  func(sim.Call) bool
	}{
		{"refused", sim.Fault{Status: 500, Reason: "something is wrong"}, nil},
		{"unreachable", sim.Fault{Status: 595, Reason: "Connection refused"}, nil},
		{"cut before", sim.Fault{Cut: true}, nil},
		{"cut after", sim.Fault{Cut: true, After: true}, isMutation},
		{"time-out after", sim.Fault{Status: 596, Reason: "Connection timed out", After: true}, isMutation},
		{"not JSON", sim.Fault{Status: 200, Body: "<html>"}, nil},
		{"task fails", sim.Fault{TaskError: "something broke"}, startsTask},
		{"task killed", sim.Fault{TaskKill: true}, func(c sim.Call) bool { return startsTask(c) && !isCreate(c) && !isDestroy(c) }},
	}
	for _, j := range jobs(t) {
		for _, f := range faults {
			t.Run(j.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				calls(func(i int) bool { return j.faulty(t, i, f.fault, f.only) })
			})
		}
	}
}

// calls tries each call of a job, the first being 1, until there are no more; every third under the race detector.
func calls(try func(i int) bool) {
	step := 1
	if underRace || testing.Short() {
		step = 3
	}
	for i := 1; try(i); i += step {
	}
}

func isMutation(c sim.Call) bool { return c.Method != "GET" }

func isCreate(c sim.Call) bool { return c.Method == "POST" && strings.HasSuffix(c.Path, "/lxc") }

func isDestroy(c sim.Call) bool { return c.Method == "DELETE" }

func startsTask(c sim.Call) bool {
	return isMutation(c) && !strings.HasSuffix(c.Path, "/config")
}

// faulty runs the job with a fault in its i-th call and then without; false once there are fewer calls.
func (j *job) faulty(t *testing.T, i int, f sim.Fault, only func(sim.Call) bool) bool {
	n := j.on(t, sim.Options{})
	var hit string
	n.reset(func(count int, c sim.Call) sim.Fault {
		if count != i || only != nil && !only(c) {
			return sim.Fault{}
		}
		hit = c.Method + " " + c.Path
		return f
	})
	path := filepath.Join(t.TempDir(), "journal")
	log := openJournal(t, path)
	r := n.reconciler(log)
	r.Policy = prune(j.prune)
	out, err := r.Once(t.Context(), j.want)
	reached := n.requests() >= i
	n.reset(nil)
	if hit == "" {
		return reached
	}
	said := err != nil
	for _, c := range out.Containers {
		said = said || c.Err != nil
	}
	if !said && !out.Converged() {
		t.Errorf("call %d, %s: nothing is said of the fault", i, hit)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	j.finished(t, n, n.reconciler(openJournal(t, path)))
	if t.Failed() {
		t.Fatalf("call %d, %s: after a first run with %s: %v", i, hit, summary(out), err)
	}
	return reached
}

// A mortal transport dies at a certain call, before or after it is carried out: from then on, nothing gets
// through and what is on disk is all that a new process finds.
type mortal struct {
	proxmox.Transport
	after bool
	die   int
	death func()

	mu    sync.Mutex // guards what is below
	calls int
	dead  bool
}

var errDead = errors.New("killed")

func (m *mortal) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	m.mu.Lock()
	m.calls++
	now := m.calls == m.die
	if now && !m.after {
		m.dead = true
		m.death()
	}
	dead := m.dead
	m.mu.Unlock()
	if dead {
		return nil, fmt.Errorf("%s: %w: %w", r, proxmox.ErrOutcomeUnknown, errDead)
	}
	data, err := m.Transport.Do(ctx, r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if now && m.after {
		m.dead = true
		m.death()
	}
	if m.dead {
		return nil, fmt.Errorf("%s: %w: %w", r, proxmox.ErrOutcomeUnknown, errDead)
	}
	return data, err
}

func (m *mortal) died() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// TestKilled kills the process before and after each call of a job, while tasks take time, and lets a new one
// finish with the journal as it was on disk.
func TestKilled(t *testing.T) {
	for _, j := range jobs(t) {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/after %v", j.name, after), func(t *testing.T) {
				t.Parallel()
				calls(func(i int) bool { return j.killed(t, i, after) })
			})
		}
	}
}

func (j *job) killed(t *testing.T, i int, after bool) bool {
	n := j.on(t, sim.Options{TaskTime: 3 * time.Millisecond})
	path := filepath.Join(t.TempDir(), "journal")
	log := openJournal(t, path)
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	m := &mortal{Transport: n.As(agent), die: i, after: after, death: func() {
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path+".copy", text, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
		kill()
	}}
	c := proxmox.NewClient(m)
	first := &reconcile.Reconciler{Client: c, Policy: prune(j.prune), Executor: execute.Executor{
		Journal: log, Watcher: proxmox.NewTaskWatcher(c, proxmox.WatchOptions{Delay: -1}),
	}}
	_, _ = first.Once(ctx, j.want)
	if !m.died() {
		return false
	}
	j.finished(t, n, n.reconciler(openJournal(t, path+".copy")))
	if t.Failed() {
		t.Fatalf("killed at call %d, after %v", i, after)
	}
	return true
}

// TestTwoRuns runs the jobs without a fault, as a check of what the others expect.
func TestTwoRuns(t *testing.T) {
	for _, j := range jobs(t) {
		t.Run(j.name, func(t *testing.T) {
			n := j.on(t, sim.Options{})
			r := n.reconciler(nil)
			j.finished(t, n, r)
			for typ, want := range map[string]map[proxmox.VMID]int{"vzstart": j.starts, "vzreboot": j.restarts} {
				got := n.tasks(t, typ)
				if d := cmp.Diff(want, got); d != "" && len(want)+len(got) > 0 {
					t.Errorf("%s: %s", typ, d)
				}
			}
			n.reset(nil)
			j.finished(t, n, r)
			if m := n.mutations(); len(m) > 0 {
				t.Errorf("the second run does %v", slices.Compact(m))
			}
		})
	}
}
