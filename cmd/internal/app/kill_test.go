package app_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/sandbox"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
)

const killDefaults = `
defaults:
  node: pve1
  from: {template: "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"}
  rootfs: {storage: local-zfs, size: 1GiB}
`

// killBefore and killAfter are a change of five containers that takes every kind of operation: two are made, one of
// them started, one gets a volume, one grows and has its link cut, one is restarted.
const killBefore = killDefaults + `
containers:
  volume: {id: 103, cores: 1, network: {eth0: {bridge: vmbr0, mac: "BC:24:11:00:00:03"}}}
  grow: {id: 104, mounts: {/data: {storage: tank, size: 1GiB}}, network: {eth0: {bridge: vmbr0, mac: "BC:24:11:00:00:04"}}}
  again: {id: 105, restart: now}
`

const killAfter = killDefaults + `
containers:
  run: {id: 101, mounts: {/data: {storage: tank, size: 1GiB}}, network: {eth0: {bridge: vmbr0, mac: "BC:24:11:00:00:01"}}}
  stay: {id: 102, state: stopped}
  volume:
    id: 103
    cores: 2
    mounts: {/data: {storage: tank, size: 1GiB}, /more: {storage: tank, size: 1GiB}}
    network: {eth0: {bridge: vmbr0, mac: "BC:24:11:00:00:03"}}
  grow: {id: 104, mounts: {/data: {storage: tank, size: 2GiB}}, network: {eth0: {bridge: vmbr0, vlan: 5, mac: "BC:24:11:00:00:04"}}}
  again: {id: 105, restart: now, features: {nesting: true}}
`

// A victim is the program, run against a simulator in this process over HTTPS, which kills it at a request.
type victim struct {
	t   *testing.T
	sim *sim.Sim
	env []string

	at    func(sim.Call) bool // whether to kill at this call
	after bool                // carry the call out, and lose its answer
	mu    sync.Mutex
	proc  *os.Process
	dead  chan struct{}
	done  atomic.Bool // it was killed
	safe  atomic.Bool // its first run is over, and it is to be left alone
}

func newVictim(t *testing.T, state []byte, o sim.Options) *victim {
	t.Helper()
	st, err := sim.ParseState(state)
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{t: t}
	o.Fault = v.fault
	if v.sim, err = sim.New(st, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.sim.Close)
	sv, err := v.sim.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sv.Close(t.Context()) })
	dir := t.TempDir()
	v.env = append(os.Environ(), "HOME="+dir, "TEND_ENDPOINT="+sv.URL(), "TEND_FINGERPRINT="+sv.Fingerprint,
		"TEND_TOKEN=root@pam!sandbox=5a4db07e-0000-4000-8000-000000000000", "TEND_STATE_DIR="+dir)
	return v
}

func (v *victim) spec(text string) string {
	path := filepath.Join(v.t.TempDir(), "spec.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		v.t.Fatal(err)
	}
	return path
}

// fault kills the process once and waits until it is gone, so that it cannot see what comes of the call.
func (v *victim) fault(c sim.Call) sim.Fault {
	if v.at == nil || v.safe.Load() || v.done.Load() || !v.at(c) || !v.done.CompareAndSwap(false, true) {
		return sim.Fault{}
	}
	v.mu.Lock()
	proc, dead := v.proc, v.dead
	v.mu.Unlock()
	_ = proc.Kill() // it fails where the process has ended by itself
	<-dead
	return sim.Fault{Cut: true, After: v.after}
}

// run runs the program to its end and returns its exit code, -1 where it was killed.
func (v *victim) run(args ...string) (int, string) {
	v.t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("tend", args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = v.env, &out, &out
	dead := make(chan struct{})
	v.mu.Lock()
	if err := cmd.Start(); err != nil {
		v.mu.Unlock()
		v.t.Fatal(err)
	}
	v.proc, v.dead = cmd.Process, dead
	v.mu.Unlock()
	_ = cmd.Wait() // the code says it
	close(dead)
	return cmd.ProcessState.ExitCode(), out.String()
}

// facts are what must be the same, however often the program died on the way.
type facts struct {
	Containers map[proxmox.VMID]string
	Running    []proxmox.VMID
	Volumes    []string
	Tasks      map[string]int // that started, restarted or made a container, by type and VMID
}

func (v *victim) facts() facts {
	v.t.Helper()
	st := v.sim.State()
	f := facts{Containers: map[proxmox.VMID]string{}, Volumes: slices.Sorted(maps.Keys(st.Volumes)), Tasks: map[string]int{}}
	for _, id := range slices.Sorted(maps.Keys(st.Containers)) {
		c := st.Containers[id]
		f.Containers[id] = c.Config
		if c.Running {
			f.Running = append(f.Running, id)
		}
	}
	for _, t := range st.Tasks {
		f.Tasks[t.UPID.Type+" "+t.UPID.ID]++
	}
	return f
}

// prepared is the state before the change, made once.
var prepared = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "tend-kill-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file, state := filepath.Join(dir, "spec.yaml"), filepath.Join(dir, "state.yaml")
	for name, text := range map[string][]byte{file: []byte(killBefore), state: sandbox.Start()} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return nil, err
		}
	}
	out, err := exec.Command("tend", "apply", "--yes", "--sandbox="+state, file).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("prepare: %w\n%s", err, out)
	}
	return os.ReadFile(state)
})

// TestKill kills the program (SIGKILL) before and after every request of a change of five containers, runs it
// again, and wants what an undisturbed run leaves: no second volume, no second start or restart, no lock and no
// rest of anything.
func TestKill(t *testing.T) {
	t.Parallel()
	state, err := prepared()
	if err != nil {
		t.Fatal(err)
	}
	calm := newVictim(t, state, sim.Options{Seed: 1})
	spec := calm.spec(killAfter)
	before := calm.sim.Requests()
	if code, out := calm.run("apply", "--yes", spec); code != 0 {
		t.Fatalf("undisturbed: exit code %d\n%s", code, out)
	}
	requests, want := calm.sim.Requests()-before, calm.facts()
	if len(want.Containers) != 5 || want.Tasks["vzreboot 105"] != 1 || want.Tasks["vzstart 101"] != 1 {
		t.Fatalf("the undisturbed run is not what this test is about: %v", want.Tasks)
	}
	var killed atomic.Int64
	points, step := 0, 1
	if testing.Short() {
		step = 4
	}
	t.Run("request", func(t *testing.T) {
		for n := 0; n < requests; n += step {
			points++
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d-%v", n+1, map[bool]string{false: "before", true: "after"}[after]), func(t *testing.T) {
					t.Parallel()
					v := newVictim(t, state, sim.Options{Seed: 1})
					var count atomic.Int64
					v.at, v.after = func(sim.Call) bool { return count.Add(1) == int64(n+1) }, after
					v.killedAndRunAgain(killAfter, want)
					if v.done.Load() {
						killed.Add(1)
					}
				})
			}
		}
	})
	t.Logf("%d requests, killed %d times at %d of them", requests, killed.Load(), points)
	if int(killed.Load()) < 2*(points-3) {
		t.Errorf("killed %d times at %d requests, which is too seldom to prove anything", killed.Load(), points)
	}
}

// TestKillDuringTasks kills the program at each change, while tasks of this and of others take their time: they go
// on at the node, and the next run must wait for them.
func TestKillDuringTasks(t *testing.T) {
	t.Parallel()
	state, err := prepared()
	if err != nil {
		t.Fatal(err)
	}
	calm := newVictim(t, state, sim.Options{Seed: 1})
	mutations := 0
	calm.at = func(c sim.Call) bool {
		if c.Method != "GET" {
			mutations++
		}
		return false
	}
	if code, out := calm.run("apply", "--yes", "--parallel=1", calm.spec(killAfter)); code != 0 {
		t.Fatalf("undisturbed: exit code %d\n%s", code, out)
	}
	want := calm.facts()
	for n := 1; n <= mutations; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			v := newVictim(t, state, sim.Options{Seed: 1, TaskTime: 150 * time.Millisecond})
			var count atomic.Int64
			v.at, v.after = func(c sim.Call) bool { return c.Method != "GET" && count.Add(1) == int64(n) }, true
			v.killedAndRunAgain(killAfter, want)
		})
	}
}

func (v *victim) killedAndRunAgain(text string, want facts) {
	t := v.t
	t.Helper()
	spec := v.spec(text)
	code, out := v.run("apply", "--yes", spec)
	v.safe.Store(true)
	if !v.done.Load() { // lanes run side by side, so that the last requests of a run may be fewer by one
		if code != 0 {
			t.Fatalf("not killed: exit code %d\n%s", code, out)
		}
	} else if code != -1 {
		t.Fatalf("killed too late: exit code %d\n%s", code, out)
	}
	if code, again := v.run("apply", "--yes", spec); code != 0 {
		t.Fatalf("second run: exit code %d\n%s\nfirst run:\n%s", code, again, out)
	}
	if diff := cmp.Diff(want, v.facts()); diff != "" {
		t.Errorf("the state differs from that of an undisturbed run (-want +got):\n%s", diff)
	}
	if code, plan := v.run("plan", spec); code != 0 || !strings.Contains(plan, "in sync") {
		t.Errorf("the plan afterwards is not empty: exit code %d\n%s", code, plan)
	}
}
