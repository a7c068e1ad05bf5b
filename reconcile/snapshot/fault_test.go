package snapshot_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/reconcile/snapshot"
	"github.com/felhom/tend/spec"
)

// A trial is a run of snapshots in which one thing goes wrong, on a container of two volumes that has a snapshot of
// somebody else's and two of the policy.
type trial struct {
	*box
	t    *testing.T
	want *spec.State
	mem  *snapshot.Memory
	own  []string // the snapshots of the policy before the run
	ops  int      // operations of the storage in the run
	sent int      // requests in it
}

func newTrial(t *testing.T) *trial {
	x := &trial{t: t, want: want(t, `{"schedule": "daily", "keep": {"last": 1}, "maxDeletions": 2, "lockWait": "1m", "atOnce": true}`), mem: memory(t)}
	x.box = newBox(t, "mp0: local-btrfs:101/vm-101-disk-1.raw,mp=/data,size=1G\n")
	if _, err := x.root.Snapshot(t.Context(), web, "mine", "by hand"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		time.Sleep(time.Second)
		c := run(t, x.keeper(x.mem), x.want, snapshot.Options{Take: snapshot.TakeNow, Keep: true})
		if c.Err != nil {
			t.Fatal(c.Err)
		}
		x.own = append(x.own, c.Taken)
	}
	time.Sleep(time.Second)
	return x
}

// jammed reports whether the container is as an operation that died has left it, and how.
func (x *trial) jammed() (lock, half string) {
	cfg, err := x.root.Config(x.t.Context(), web)
	if err != nil {
		x.t.Fatal(err)
	}
	tasks, err := x.root.Tasks(x.t.Context(), "pve1", proxmox.TaskFilter{Source: proxmox.TasksRunning})
	if err != nil {
		x.t.Fatal(err)
	}
	if slices.ContainsFunc(tasks, func(s proxmox.TaskStatus) bool { return s.Running }) {
		return "", ""
	}
	for _, s := range x.snapshots() {
		if s.State != "" {
			half = s.Name
		}
	}
	return cfg.Current["lock"], half
}

func (x *trial) snapshots() []proxmox.Snapshot {
	have, err := x.root.Snapshots(x.t.Context(), web)
	if err != nil {
		x.t.Fatal(err)
	}
	return have.List
}

// begin makes the next requests subject to a fault, which is given the number of each. Whatever is sent to a container
// that is jammed is an error.
func (x *trial) begin(fault func(n int, c sim.Call) sim.Fault, store func(n int) error) {
	x.ops, x.sent = 0, 0
	x.reset(func(c sim.Call) sim.Fault {
		if c.Method != "GET" {
			if lock, half := x.jammed(); lock+half != "" {
				x.t.Errorf("%s %s is sent to a container that is stuck (%s, %s)", c.Method, c.Path, lock, half)
			}
		}
		x.sent++
		return fault(x.sent, c)
	}, func(string) error { x.ops++; return store(x.ops) })
}

func (x *trial) run() (snapshot.Container, error) {
	r, err := x.keeper(x.mem).Run(x.t.Context(), x.want, snapshot.Options{Take: snapshot.TakeNow, Consent: true})
	if len(r.Containers) == 0 {
		return snapshot.Container{}, err
	}
	return r.Containers[0], errors.Join(err, r.Containers[0].Err)
}

// killAll kills the workers that run, as a reboot does.
func (x *trial) killAll() {
	tasks, err := x.root.Tasks(x.t.Context(), "pve1", proxmox.TaskFilter{Source: proxmox.TasksRunning})
	if err != nil {
		x.t.Fatal(err)
	}
	for _, s := range tasks {
		if s.Running {
			if err := x.KillTask(s.UPID.String()); err != nil {
				x.t.Fatal(err)
			}
		}
	}
	synctest.Wait()
}

// outcome looks at what is left after the run with the fault: what is stuck is named by that run or the next one, which
// sends nothing; the runbook mends it; and then a run does all that is due.
func (x *trial) outcome(first snapshot.Container, err error) (stuck bool) {
	fine := func(int, sim.Call) sim.Fault { return sim.Fault{} }
	x.begin(fine, func(int) error { return nil })
	lock, half := x.jammed()
	if stuck = lock+half != ""; stuck {
		if err == nil {
			x.t.Error("the run ended well and left it stuck")
		}
		again, _ := x.run()
		if got := x.changes(); got != nil {
			x.t.Errorf("sent to a stuck container: %v", got)
		}
		for _, s := range []*snapshot.Stuck{first.Stuck, again.Stuck} {
			if s != nil && (s.Lock != lock || s.Snapshot != half) {
				x.t.Errorf("%v is named, and it is %s, %s", s, lock, half)
			}
		}
		if again.Stuck == nil {
			x.t.Fatalf("it is stuck (%s, %s) and not named: %v", lock, half, again.Err)
		}
		x.follow(again.Stuck.Runbook())
		if lock, half := x.jammed(); lock+half != "" {
			x.t.Fatalf("the runbook leaves it stuck (%s, %s): %q", lock, half, again.Stuck.Runbook())
		}
	}
	time.Sleep(time.Second)
	if c, err := x.run(); err != nil || c.Taken == "" || c.Stuck != nil {
		x.t.Errorf("the run after it took %q: %v", c.Taken, err)
	}
	x.kept()
	return stuck
}

// kept checks that what is somebody else's is there, and a good one of the policy.
func (x *trial) kept() {
	mine, good := false, false
	for _, s := range x.snapshots() {
		m, _ := retention.ParseMarker(s.Description)
		mine = mine || s.Name == "mine"
		good = good || m.Owner == "tend" && s.State == ""
	}
	if !mine || !good {
		x.t.Errorf("left: %+v", x.snapshots())
	}
}

// follow is a person who does what the runbook says, and its last part only where the comment says so.
func (x *trial) follow(book []string) {
	failed, only := false, false
	for _, line := range book {
		if strings.HasPrefix(line, "#") {
			only = true
		}
		if strings.HasPrefix(line, "#") || only && !failed {
			continue
		}
		f := strings.Fields(line)
		switch {
		case slices.Equal(f, []string{"pct", "unlock", "101"}):
			if err := x.Unlock(101); err != nil {
				x.t.Fatal(err)
			}
		case len(f) >= 4 && f[1] == "delsnapshot" && f[2] == "101":
			task, err := x.root.DeleteSnapshot(x.t.Context(), web, f[3], len(f) > 4)
			if err == nil {
				_, err = x.keeper(nil).Watcher.Wait(x.t.Context(), task)
			}
			if failed = err != nil; failed && only {
				x.t.Fatalf("%s: %v", line, err)
			}
		default:
			x.t.Fatalf("%q is no command of a runbook", line)
		}
	}
}

// TestNeverStuck lets each request of a run fail in turn, in every way, and each operation of the storage, and kills the
// worker at each: within one pass the state is named with what a person does, and nothing more is sent to the container.
func TestNeverStuck(t *testing.T) {
	faults := []struct {
		name string
		sim.Fault
	}{
		{"nothing", sim.Fault{}},
		{"refused", sim.Fault{Status: 500, Reason: "something is wrong"}},
		{"unreachable", sim.Fault{Status: 595, Reason: "Connection refused"}},
		{"cut before", sim.Fault{Cut: true}},
		{"cut after", sim.Fault{Cut: true, After: true}},
		{"time-out after", sim.Fault{Status: 596, Reason: "Connection timed out", After: true}},
		{"not JSON", sim.Fault{Status: 200, Body: "<html>"}},
		{"task fails", sim.Fault{TaskError: "something broke"}},
		{"worker killed", sim.Fault{TaskKill: true}},
		{"worker hangs, and is killed later", sim.Fault{TaskHang: true}},
	}
	requests, ops, stuck := 0, 0, 0
	attempt := func(name string, fault func(int, sim.Call) sim.Fault, store func(int) error) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newTrial(t)
				x.begin(fault, store)
				c, err := x.run()
				if requests == 0 { // nothing goes wrong in the first
					requests, ops = x.sent, x.ops
				}
				x.killAll()
				if x.outcome(c, err) {
					stuck++
				}
			})
		})
	}
	none := func(int, sim.Call) sim.Fault { return sim.Fault{} }
	sound := func(int) error { return nil }
	attempt("sound", none, sound)
	step := 1
	if underRace || testing.Short() {
		step = 3
	}
	for _, f := range faults {
		for i := 1; i <= requests; i += step {
			attempt(fmt.Sprintf("%s at request %d", f.name, i), func(n int, _ sim.Call) sim.Fault {
				if n == i {
					return f.Fault
				}
				return sim.Fault{}
			}, sound)
		}
	}
	for _, err := range []error{errors.New("dataset is busy"), sim.ErrKill} {
		for i := 1; i <= ops; i++ {
			attempt(fmt.Sprintf("%v at operation %d of the storage", err, i), none, func(n int) error {
				if n == i {
					return err
				}
				return nil
			})
		}
	}
	if stuck < 8 {
		t.Errorf("only %d ended stuck: the faults are not where they should be", stuck)
	}
	t.Logf("%d requests and %d operations of the storage, each in every way; %d ended stuck", requests, ops, stuck)
}
