package reconcile_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

func ref(id proxmox.VMID) proxmox.Ref { return proxmox.Ref{Node: "pve1", ID: id} }

// withMemory are the five containers with another size of memory.
func withMemory(size setting.Bytes) *spec.State {
	return five(func(c *spec.Container) { setting.Memory.Set(c.Settings, size) })
}

func find(t *testing.T, out reconcile.Outcome, id proxmox.VMID) reconcile.Container {
	t.Helper()
	for _, c := range out.Containers {
		if c.Ref.ID == id {
			return c
		}
	}
	t.Fatalf("the outcome says nothing of %d: %s", id, summary(out))
	return reconcile.Container{}
}

// hooked runs f once, before the agent's n-th call that matches.
func hooked(n int, match func(sim.Call) bool, f func()) func(int, sim.Call) sim.Fault {
	var seen int
	return func(_ int, c sim.Call) sim.Fault {
		if match(c) {
			if seen++; seen == n {
				f()
			}
		}
		return sim.Fault{}
	}
}

func isUpdate(id proxmox.VMID) func(sim.Call) bool {
	return func(c sim.Call) bool {
		return c.Method == "PUT" && c.Path == "/nodes/pve1/lxc/"+id.String()+"/config"
	}
}

// TestLocked applies while a backup holds the lock of one container: that one waits with a reason, the others
// do not.
func TestLocked(t *testing.T) {
	tests := []struct {
		name    string
		backup  time.Duration
		timeout time.Duration
		state   reconcile.State
		says    string
	}{
		{"released", 40 * time.Second, time.Minute, reconcile.Changed, ""},
		{"held", time.Hour, time.Minute, reconcile.Failed, "gave up after 1m0s: PUT /nodes/pve1/lxc/202/config: 500 CT is locked (backup)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, sim.Options{WorkerTime: func(worker string) time.Duration {
					if worker == "vzdump" {
						return tt.backup
					}
					return 0
				}})
				r := n.reconciler(nil)
				converged(t, once(t, r, five(nil)))
				if _, err := n.root.Backup(t.Context(), "pve1", proxmox.BackupParams{Guests: []proxmox.VMID{202}, Storage: "local"}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				var reasons []string
				begin := time.Now()
				ended := map[proxmox.VMID]time.Duration{}
				r.Executor.LockTimeout = tt.timeout
				r.Executor.Progress = func(e execute.Event) {
					switch e.Kind {
					case execute.Waiting:
						reasons = append(reasons, e.Lane.Ref.ID.String()+" "+e.Reason)
					case execute.LaneEnded:
						ended[e.Lane.Ref.ID] = time.Since(begin)
					}
				}
				out := once(t, r, withMemory(setting.GiB))
				c := find(t, out, 202)
				if c.State != tt.state || tt.says != "" && (c.Err == nil || c.Err.Error() != tt.says) {
					t.Errorf("202 is %s: %v", c.State, c.Err)
				}
				if len(reasons) == 0 || reasons[0] != "202 locked (backup)" {
					t.Errorf("waited for %v", slices.Compact(reasons))
				}
				if out.Count(reconcile.Changed) < 4 || ended[201] > time.Second || ended[202] < 30*time.Second {
					t.Errorf("ended after %v: %s", ended, summary(out))
				}
				n.Close()
			})
		})
	}
}

// TestEditedByHand changes a container between the plan and the change: what was changed by hand is looked at
// before anything is sent.
func TestEditedByHand(t *testing.T) {
	tests := []struct {
		name string
		hand proxmox.Update
		want []string
	}{
		{
			"another setting",
			proxmox.Update{Set: proxmox.Values{"cores": "1"}},
			[]string{"PUT /nodes/pve1/lxc/202/config", "PUT /nodes/pve1/lxc/202/config"},
		},
		{
			"the same setting to the wanted value",
			proxmox.Update{Set: proxmox.Values{"memory": "1024"}},
			[]string{"PUT /nodes/pve1/lxc/202/config"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t, sim.Options{})
			r := n.reconciler(nil)
			converged(t, once(t, r, five(nil)))
			n.reset(hooked(1, isUpdate(202), func() { n.byHand(t, 202, tt.hand) }))
			out := once(t, r, withMemory(setting.GiB))
			converged(t, out)
			if out.Passes != 2 && out.Passes != 1 {
				t.Errorf("%d passes", out.Passes)
			}
			got := slices.DeleteFunc(n.mutations(), func(s string) bool { return !strings.Contains(s, "/202/") })
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			cfg, err := n.root.Config(t.Context(), ref(202))
			if err != nil || cfg.Current["memory"] != "1024" || cfg.Current["cores"] != "" {
				t.Errorf("202 is %v, %v", cfg.Current, err)
			}
		})
	}
}

// TestEditedBetweenSteps changes a container between two steps of its lane: the lane ends and is planned anew.
func TestEditedBetweenSteps(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	converged(t, once(t, r, five(nil)))
	want := five(func(c *spec.Container) {
		setting.Memory.Set(c.Settings, setting.GiB)
		root := setting.RootFS.Or(c.Settings, nil)
		setting.Size.Set(root, 6*setting.GiB)
	})
	var modified bool
	r.Executor.Progress = func(e execute.Event) {
		if e.Kind == execute.StepEnded && e.Lane.Ref.ID == 203 && e.Step == 0 && !modified {
			modified = true
			n.byHand(t, 203, proxmox.Update{Set: proxmox.Values{"description": "mine"}})
		}
	}
	out := once(t, r, want)
	converged(t, out)
	if c := find(t, out, 203); c.State != reconcile.Changed || out.Passes != 2 {
		t.Errorf("203 is %s after %d passes", c.State, out.Passes)
	}
}

// TestKeepsChanging edits a container before each change: the run gives up and says so.
func TestKeepsChanging(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	converged(t, once(t, r, five(nil)))
	cores := 1
	n.reset(func(_ int, c sim.Call) sim.Fault {
		if isUpdate(202)(c) {
			cores = 3 - cores
			n.byHand(t, 202, proxmox.Update{Set: proxmox.Values{"cores": proxmox.VMID(cores).String()}})
		}
		return sim.Fault{}
	})
	out := once(t, r, withMemory(setting.GiB))
	c := find(t, out, 202)
	if out.Converged() || c.State != reconcile.Stuck || !errors.Is(c.Err, proxmox.ErrModified) || out.Passes != 5 {
		t.Errorf("after %d passes 202 is %s: %v", out.Passes, c.State, c.Err)
	}
	n.reset(nil)
	converged(t, once(t, r, withMemory(setting.GiB)))
}

// TestDeletedByHand destroys a container while the plan for it is carried out: it is not made anew without
// anybody having seen that, but by the next run.
func TestDeletedByHand(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	converged(t, once(t, r, five(nil)))
	n.reset(hooked(1, isUpdate(202), func() {
		if _, err := n.root.Destroy(context.Background(), ref(202), proxmox.DestroyParams{}); err != nil {
			t.Error(err)
		}
	}))
	out := once(t, r, withMemory(setting.GiB))
	c := find(t, out, 202)
	if c.State != reconcile.Left || c.Err == nil || !strings.Contains(c.Err.Error(), "destroyed by somebody else") {
		t.Errorf("202 is %s: %v", c.State, c.Err)
	}
	n.reset(nil)
	out = once(t, r, withMemory(setting.GiB))
	converged(t, out)
	if c := find(t, out, 202); c.State != reconcile.Created {
		t.Errorf("202 is %s then", c.State)
	}
}

// TestTakenMeanwhile lets somebody else take the VMID of a container that is to be created.
func TestTakenMeanwhile(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	n.reset(hooked(1, isCreate, func() {
		_, err := n.root.Create(context.Background(), "pve1", proxmox.CreateParams{
			ID: 201, Template: template, Values: proxmox.Values{"rootfs": "local:1", "hostname": "theirs"},
		})
		if err != nil {
			t.Error(err)
		}
	}))
	out := once(t, r, state(container(201, nil)))
	c := find(t, out, 201)
	if c.State != reconcile.Blocked || !errors.Is(c.Err, proxmox.ErrExists) || !strings.Contains(c.Err.Error(), "not touched") {
		t.Errorf("201 is %s: %v", c.State, c.Err)
	}
	for _, m := range n.mutations() {
		if !strings.HasPrefix(m, "POST") || !strings.HasSuffix(m, "/lxc") {
			t.Errorf("%s was sent", m)
		}
	}
}

// TestTaskNeverEnds gives up waiting, names the task, and does not touch the container while it runs.
func TestTaskNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, sim.Options{})
		path := filepath.Join(t.TempDir(), "journal")
		log := openJournal(t, path)
		r := n.reconciler(log)
		r.Executor.TaskTimeout = 10 * time.Minute
		n.reset(func(_ int, c sim.Call) sim.Fault {
			return sim.Fault{TaskHang: strings.HasSuffix(c.Path, "/201/status/start")}
		})
		out := once(t, r, five(nil))
		c := find(t, out, 201)
		if c.State != reconcile.Failed || c.Err == nil || len(out.Running) != 1 {
			t.Fatalf("201 is %s: %v; running: %v", c.State, c.Err, out.Running)
		}
		for _, part := range []string{"time is up", "look at " + out.Running[0].String()} {
			if !strings.Contains(c.Err.Error(), part) {
				t.Errorf("%q does not say %q", c.Err, part)
			}
		}
		if out.Count(reconcile.Created) != 4 {
			t.Errorf("the others: %s", summary(out))
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}

		// A later run finds it in the journal and leaves the container alone, and that one only.
		n.reset(nil)
		r = n.reconciler(openJournal(t, path))
		r.Executor.TaskTimeout = time.Minute
		out = once(t, r, withMemory(setting.GiB))
		c = find(t, out, 201)
		if c.State != reconcile.Failed || c.Err == nil || !strings.Contains(c.Err.Error(), `look up "start" on 201 on pve1, which an earlier run began`) {
			t.Errorf("201 is %s: %v", c.State, c.Err)
		}
		for _, m := range n.mutations() {
			if strings.Contains(m, "/201/") {
				t.Errorf("%s was sent", m)
			}
		}
		if out.Count(reconcile.Changed) != 4 {
			t.Errorf("the others: %s", summary(out))
		}
		n.Close()
	})
}

// TestStop asks for an end while a task runs: it is waited for, and nothing else is begun.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, sim.Options{TaskTime: 20 * time.Second})
		stop := make(chan struct{})
		r := n.reconciler(nil)
		r.Executor.Stop, r.Executor.Parallel = stop, 2
		var once sync1
		r.Executor.Progress = func(e execute.Event) {
			if e.Kind == execute.TaskStarted {
				once.do(func() { time.AfterFunc(5*time.Second, func() { close(stop) }) })
			}
		}
		out, err := r.Once(t.Context(), five(nil))
		if err != nil || !out.Interrupted || out.Converged() || len(out.Running) > 0 {
			t.Errorf("error %v, interrupted %v, running %v", err, out.Interrupted, out.Running)
		}
		if m := n.mutations(); len(m) != 2 {
			t.Errorf("sent: %v", m)
		}
		c := find(t, out, 201)
		if c.State != reconcile.Interrupted || len(c.Done) != 1 || len(c.NotDone) != 1 || c.NotDone[0].Op.Verb() != "start" {
			t.Errorf("201 is %s, done %v, not done %v", c.State, c.Done, c.NotDone)
		}
		if c := find(t, out, 205); c.State != reconcile.Interrupted || len(c.Done) != 0 || len(c.NotDone) != 2 {
			t.Errorf("205 is %s, done %v, not done %v", c.State, c.Done, c.NotDone)
		}
		r.Executor.Stop = nil
		out2, err := r.Once(t.Context(), five(nil))
		if err != nil || !out2.Converged() {
			t.Errorf("%v %s", err, summary(out2))
		}
		n.Close()
	})
}

// sync1 does something once; the executor calls Progress one event at a time.
type sync1 bool

func (s *sync1) do(f func()) {
	if !*s {
		*s = true
		f()
	}
}

// TestStopHard leaves at once: the tasks that run are named, and the next run waits for them.
func TestStopHard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, sim.Options{TaskTime: time.Minute})
		path := filepath.Join(t.TempDir(), "journal")
		log := openJournal(t, path)
		r := n.reconciler(log)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("a second signal"))
		defer cancel()
		begin := time.Now()
		out, err := r.Once(ctx, five(nil))
		if err == nil || err.Error() != "a second signal" || time.Since(begin) > 11*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		if len(out.Running) != 4 || out.Count(reconcile.Interrupted) != 5 {
			t.Errorf("running %v: %s", out.Running, summary(out))
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		n.reset(nil)
		r = n.reconciler(openJournal(t, path))
		converged(t, once(t, r, five(nil)))
		creates := slices.DeleteFunc(n.mutations(), func(m string) bool { return m != "POST /nodes/pve1/lxc" })
		if len(creates) != 1 {
			t.Errorf("%d containers were created by the second run, want the one that was left", len(creates))
		}
		if v := n.volumes(t); len(v) != 10 {
			t.Errorf("volumes: %v", v)
		}
		n.Close()
	})
}

// TestUnreachable loses the node in the middle: the error says so, nothing is lost, and a later run converges.
func TestUnreachable(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	converged(t, once(t, r, five(nil)))
	n.reset(func(count int, _ sim.Call) sim.Fault { return sim.Fault{Cut: count > 10} })
	out, err := r.Once(t.Context(), withMemory(setting.GiB))
	if !errors.Is(err, proxmox.ErrUnreachable) {
		t.Errorf("error is %v", err)
	}
	if out.Converged() || out.Count(reconcile.Interrupted)+out.Count(reconcile.Failed) == 0 {
		t.Errorf("outcome %s", summary(out))
	}
	n.reset(nil)
	converged(t, once(t, r, withMemory(setting.GiB)))
}

// TestBeyond shows that what comes up while a plan is carried out is left for the next one.
func TestBeyond(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	converged(t, once(t, r, five(nil)))
	want := five(func(c *spec.Container) {
		if c.ID == 202 {
			setting.Memory.Set(c.Settings, setting.GiB)
		}
	})
	// A container that is in sync is changed by hand; a restart would be needed to undo it.
	n.reset(hooked(1, isUpdate(202), func() {
		n.byHand(t, 201, proxmox.Update{Set: proxmox.Values{"cores": "1"}})
	}))
	out := once(t, r, want)
	if c := find(t, out, 201); c.State != reconcile.Left || len(c.NotDone) != 1 || c.Lane == nil {
		t.Errorf("201 is %s: %v", c.State, c.Err)
	}
	if c := find(t, out, 202); c.State != reconcile.Changed {
		t.Errorf("202 is %s: %v", c.State, c.Err)
	}
	if out.Converged() {
		t.Error("it says that it converged")
	}
}
