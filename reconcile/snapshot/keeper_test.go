package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/snapshot"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
)

// agent is the token of lab.yaml that tend acts with.
const agent = "felhom@pve!agent"

// A box is a simulated node with container 101, which carries the owner's tag and lies on a storage that can snapshot.
type box struct {
	*sim.Sim
	client *proxmox.Client // tend
	root   *proxmox.Client // somebody who works by hand

	mu    sync.Mutex // guards what is below
	calls []string
	fault func(sim.Call) sim.Fault
	store func(op string) error
}

func newBox(t *testing.T, extra string, edits ...func(*sim.State)) *box {
	t.Helper()
	text, err := os.ReadFile("../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	st.Storages["tank"] = &sim.Storage{Type: "zfspool", Content: []string{"rootdir"}, Total: 1 << 40}
	st.Volumes["tank:subvol-101-disk-0"] = &sim.Volume{Size: 1 << 30, Node: "pve1"}
	st.Volumes["local-btrfs:101/vm-101-disk-1.raw"] = &sim.Volume{Size: 1 << 30, Node: "pve1"} // for those who mount it
	st.Containers = map[proxmox.VMID]*sim.Container{101: {Node: "pve1", Config: "arch: amd64\nhostname: web\nmemory: 512\nostype: debian\n" +
		"rootfs: tank:subvol-101-disk-0,size=1G\nswap: 512\ntags: tend\nunprivileged: 1\n" + extra}}
	for _, edit := range edits {
		edit(st)
	}
	b := &box{}
	o := sim.Options{Seed: 1, Fault: b.observe, StorageFault: func(op string) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.store == nil {
			return nil
		}
		return b.store(op)
	}}
	if b.Sim, err = sim.New(st, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	b.client, b.root = proxmox.NewClient(b.As(agent)), proxmox.NewClient(b.As("root@pam"))
	return b
}

func (b *box) observe(c sim.Call) sim.Fault {
	if c.User != agent {
		return sim.Fault{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, c.Method+" "+c.Path)
	if b.fault == nil {
		return sim.Fault{}
	}
	return b.fault(c)
}

// changes are the calls since the last reset that changed something.
func (b *box) changes() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.calls {
		if !strings.HasPrefix(c, "GET ") {
			out = append(out, strings.Replace(c, "/nodes/pve1/lxc/101", "", 1))
		}
	}
	return out
}

func (b *box) reset(fault func(sim.Call) sim.Fault, store func(string) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls, b.fault, b.store = nil, fault, store
}

// names are the snapshots, oldest first.
func (b *box) names(t *testing.T) (out []string) {
	t.Helper()
	list, err := b.root.Snapshots(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list.List, func(a, b proxmox.Snapshot) int { return a.Time.Compare(b.Time) })
	for _, s := range list.List {
		out = append(out, s.Name)
	}
	return out
}

var web = proxmox.Ref{Node: "pve1", ID: 101}

// want is the spec with a policy.
func want(t *testing.T, policy string) *spec.State {
	t.Helper()
	text := `{"cluster": {"name": "lab", "owner": "tend"}, "snapshotPolicies": {"p": ` + policy + `},
	"containers": {"web": {"id": 101, "node": "pve1", "rootfs": {"storage": "tank", "size": "1GiB"}, "snapshots": "p"}}}`
	s, err := load.Load(fstest.MapFS{"web.yaml": {Data: []byte(text)}}, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *box) keeper(m *snapshot.Memory) *snapshot.Keeper {
	o := proxmox.WatchOptions{Delay: -1, WaitOptions: proxmox.WaitOptions{First: time.Millisecond, Max: time.Second}}
	return &snapshot.Keeper{Client: b.client, Memory: m, Watcher: proxmox.NewTaskWatcher(b.client, o)}
}

// run runs once and returns what became of container 101.
func run(t *testing.T, k *snapshot.Keeper, w *spec.State, o snapshot.Options) snapshot.Container {
	t.Helper()
	r, err := k.Run(t.Context(), w, o)
	if err != nil || len(r.Containers) != 1 {
		t.Fatalf("%d containers, %v", len(r.Containers), err)
	}
	return r.Containers[0]
}

func memory(t *testing.T) *snapshot.Memory {
	t.Helper()
	m, err := snapshot.OpenMemory(filepath.Join(t.TempDir(), "snapshots.json"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestYears runs a policy for five years, with changes of the clocks, days of downtime and failures of the storage: the
// newest snapshot is as young as promised or it was said why not, the older ones are there, and what is somebody else's
// is not touched.
func TestYears(t *testing.T) {
	years := 5
	if testing.Short() {
		years = 1
	}
	synctest.Test(t, func(t *testing.T) {
		b, rng := newBox(t, ""), rand.New(rand.NewPCG(1, 2))
		w := want(t, `{"schedule": "02:30", "keep": {"last": 2, "daily": 7, "weekly": 4, "monthly": 6}, "timeZone": "Europe/Vienna"}`)
		k := b.keeper(memory(t))
		if _, err := b.root.Snapshot(t.Context(), web, "mine", "by hand"); err != nil {
			t.Fatal(err)
		}
		begin, excused := time.Now(), time.Now().Add(24*time.Hour)
		taken, failed, down := 0, 0, 0
		next := run(t, k, w, snapshot.Options{}).Next
		for time.Since(begin) < time.Duration(years)*365*24*time.Hour {
			time.Sleep(max(time.Until(next), time.Minute))
			if rng.IntN(100) == 0 { // the machine is off
				pause := time.Duration(rng.IntN(96)) * time.Hour
				time.Sleep(pause)
				down, excused = down+1, time.Now().Add(26*time.Hour)
			}
			b.reset(nil, nil)
			if rng.IntN(50) == 0 {
				b.reset(nil, func(op string) error { return errors.New("pool is suspended") })
			}
			c := run(t, k, w, snapshot.Options{})
			if c.Err != nil {
				failed, excused = failed+1, time.Now().Add(26*time.Hour)
				repair(t, b, c.Stuck)
			}
			if c.Taken != "" {
				taken++
			}
			if age := time.Since(c.Newest); age > 26*time.Hour && time.Now().After(excused) {
				t.Fatalf("%s: the newest is %s old, and nothing was said", time.Now(), age)
			}
			if len(c.Dropped) > 3 {
				t.Fatalf("%s: dropped %v", time.Now(), c.Dropped)
			}
			next = time.Now().Add(time.Hour)
			if c.Next.After(time.Now()) {
				next = c.Next
			}
		}
		names := b.names(t)
		if !slices.Contains(names, "mine") {
			t.Error("the snapshot of somebody else is gone")
		}
		if own := len(names) - 1; own < 2+6+4+5 || own > 2+7+4+6+3 {
			t.Errorf("%d snapshots are kept: %v", own, names)
		}
		t.Logf("%d were taken, %d runs failed, the machine was off %d times, %d are kept", taken, failed, down, len(names)-1)
	})
}

// repair is a person who does what the runbook says.
func repair(t *testing.T, b *box, s *snapshot.Stuck) {
	t.Helper()
	if s == nil {
		return
	}
	b.reset(nil, nil)
	if err := b.Unlock(101); err != nil {
		t.Fatal(err)
	}
	if s.Snapshot == "" {
		return
	}
	if _, err := b.root.DeleteSnapshot(t.Context(), web, s.Snapshot, true); err != nil {
		t.Fatal(err)
	}
}

// TestFirstSight takes nothing of a container that is seen for the first time, unless the policy says so.
func TestFirstSight(t *testing.T) {
	b := newBox(t, "")
	k := b.keeper(memory(t))
	if c := run(t, k, want(t, `{"schedule": "daily", "keep": {"last": 1}}`), snapshot.Options{}); c.Taken != "" || c.Next.IsZero() {
		t.Errorf("took %q, next %s", c.Taken, c.Next)
	}
	k = b.keeper(memory(t))
	if c := run(t, k, want(t, `{"schedule": "daily", "keep": {"last": 1}, "atOnce": true}`), snapshot.Options{DryRun: true}); !c.Due || c.Taken != "" {
		t.Errorf("due %t, took %q", c.Due, c.Taken)
	}
	if got := b.changes(); got != nil {
		t.Errorf("sent %v", got)
	}
}

const atOnce = `{"schedule": "daily", "keep": {"last": 1}, "maxDeletions": 1, "lockWait": "1m", "atOnce": true}`

// TestSteps: a snapshot is taken, listed, and only then one is dropped.
func TestSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, "")
		k, w := b.keeper(memory(t)), want(t, atOnce)
		for range 2 {
			if c := run(t, k, w, snapshot.Options{Take: snapshot.TakeNow}); c.Err != nil {
				t.Fatal(c.Err)
			}
			time.Sleep(time.Second)
		}
		names := b.names(t)
		b.reset(nil, nil)
		c := run(t, k, w, snapshot.Options{Take: snapshot.TakeNow, Consent: true})
		if c.Err != nil || c.Taken == "" || len(c.Dropped) != 1 || !slices.Contains(names, c.Dropped[0]) {
			t.Errorf("took %q, dropped %v, %v", c.Taken, c.Dropped, c.Err)
		}
		var steps []string
		for _, call := range b.calls {
			if strings.Contains(call, "/lxc/101/snapshot") {
				steps = append(steps, strings.Replace(call, "/nodes/pve1/lxc/101", "", 1))
			}
		}
		wantSteps := []string{"GET /snapshot", "POST /snapshot", "GET /snapshot", "DELETE /snapshot/" + c.Dropped[0]}
		if d := cmp.Diff(wantSteps, steps); d != "" {
			t.Errorf("calls (-want +got):\n%s", d)
		}
	})
}

// TestTrouble: whatever fails, nothing is dropped after a snapshot that is not there, a stuck container is named with
// what a person does, and the next run sends no further call to it.
func TestTrouble(t *testing.T) {
	failAt := func(prefix string, err error) func(string) error {
		return func(op string) error {
			if strings.HasPrefix(op, prefix) {
				return err
			}
			return nil
		}
	}
	cases := []struct {
		name  string
		store func(string) error
		stuck string // part of the runbook; empty: it is not stuck
		took  bool
	}{
		{"the storage takes none", failAt("snapshot ", errors.New("out of space")), "", false},
		{"the worker is killed while it takes one", failAt("snapshot ", sim.ErrKill), "pct delsnapshot 101 tend-p-", false},
		{"the storage drops none", failAt("destroy ", errors.New("dataset is busy")), "pct delsnapshot 101 tend-p-", true},
		{"the worker is killed while it drops one", failAt("destroy ", sim.ErrKill), "pct delsnapshot 101 tend-p-", true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, "")
				k, w := b.keeper(memory(t)), want(t, atOnce)
				for range 2 {
					run(t, k, w, snapshot.Options{Take: snapshot.TakeNow, Keep: true})
					time.Sleep(time.Second)
				}
				b.reset(nil, tc.store)
				c := run(t, k, w, snapshot.Options{Take: snapshot.TakeNow, Consent: true})
				if c.Err == nil || (c.Taken != "") != tc.took || len(c.Dropped) > 0 {
					t.Fatalf("took %q, dropped %v, %v", c.Taken, c.Dropped, c.Err)
				}
				if (c.Stuck != nil) != (tc.stuck != "") {
					t.Fatalf("stuck: %v; %v", c.Stuck, c.Err)
				}
				b.reset(nil, nil)
				time.Sleep(48 * time.Hour)
				again := run(t, k, w, snapshot.Options{})
				if tc.stuck == "" {
					if again.Err != nil || again.Taken == "" {
						t.Errorf("the next run took %q: %v", again.Taken, again.Err)
					}
					return
				}
				book := strings.Join(again.Stuck.Runbook(), "\n")
				if !strings.Contains(book, "pct unlock 101\n") || !strings.Contains(book, tc.stuck) {
					t.Errorf("runbook:\n%s", book)
				}
				if got := b.changes(); got != nil {
					t.Errorf("sent to a stuck container: %v", got)
				}
			})
		})
	}
}

// TestLocked waits for a lock that goes away, and gives up on one that does not; then nothing is dropped.
func TestLocked(t *testing.T) {
	for _, goes := range []bool{true, false} {
		t.Run(fmt.Sprintf("goes %t", goes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, "lock: backup\n")
				if goes {
					time.AfterFunc(30*time.Second, func() { _ = b.Unlock(101) })
				}
				begin := time.Now()
				c := run(t, b.keeper(memory(t)), want(t, atOnce), snapshot.Options{})
				switch took := time.Since(begin); {
				case goes && (c.Err != nil || c.Taken == ""):
					t.Errorf("took %q: %v", c.Taken, c.Err)
				case !goes && (!errors.Is(c.Err, proxmox.ErrLocked) || took < time.Minute || took > 2*time.Minute):
					t.Errorf("after %s: %v", took, c.Err)
				}
			})
		})
	}
}

// A guest is the commands that hooks ran.
type guest struct {
	ran  []string
	exit map[string]int
}

func (g *guest) Exec(_ context.Context, _ proxmox.Ref, argv []string, _ time.Duration) (int, []byte, error) {
	g.ran = append(g.ran, argv[0])
	return g.exit[argv[0]], []byte("no such\nfile\n"), nil
}

func TestHooks(t *testing.T) {
	policy := func(failure string) string {
		return `{"schedule": "daily", "keep": {"last": 1}, "hooks": {"before": {"command": ["freeze"], "onFailure": "` + failure + `"}, "after": {"command": ["thaw"]}}}`
	}
	cases := []struct {
		name, policy string
		exit         map[string]int
		none         bool // nobody is root
		took         bool
		err          string
	}{
		{"both", policy("abort"), nil, false, true, ""},
		{"before fails", policy("abort"), map[string]int{"freeze": 1}, false, false, "command before the snapshot of container 101: freeze ended with exit status 1: file"},
		{"before fails, and it goes on", policy("continue"), map[string]int{"freeze": 1}, false, true, ""},
		{"after fails", policy("abort"), map[string]int{"thaw": 3}, false, true, "command after the snapshot of container 101: thaw ended with exit status 3: file"},
		{"nobody is root", policy("abort"), nil, true, false, "only root on the node can run it"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b, g := newBox(t, ""), &guest{exit: tc.exit}
			k := b.keeper(nil)
			if !tc.none {
				k.Guest = g
			}
			c := run(t, k, want(t, tc.policy), snapshot.Options{Take: snapshot.TakeNow})
			if (c.Taken != "") != tc.took || (c.Err != nil) != (tc.err != "") || tc.err != "" && !strings.Contains(c.Err.Error(), tc.err) {
				t.Errorf("took %q: %v", c.Taken, c.Err)
			}
			if !tc.none && cmp.Diff([]string{"freeze", "thaw"}, g.ran) != "" {
				t.Errorf("ran %v", g.ran)
			}
		})
	}
}

// TestMemory survives the process, and a file that is none.
func TestMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "snapshots.json")
	b, w := newBox(t, ""), want(t, atOnce)
	m, err := snapshot.OpenMemory(path)
	if err != nil {
		t.Fatal(err)
	}
	if c := run(t, b.keeper(m), w, snapshot.Options{}); c.Taken == "" {
		t.Fatalf("took none: %v", c.Err)
	}
	if m, err = snapshot.OpenMemory(path); err != nil {
		t.Fatal(err)
	}
	if c := run(t, b.keeper(m), w, snapshot.Options{}); c.Due {
		t.Error("it is due again")
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err = snapshot.OpenMemory(path); err == nil || m == nil {
		t.Errorf("a broken file: %v", err)
	}
	if c := run(t, b.keeper(m), w, snapshot.Options{}); c.Due || c.Err != nil {
		t.Errorf("with a broken file: due %t, %v", c.Due, c.Err)
	}
}

// TestEndedMeanwhile: a container whose operation ends between two looks is not stuck; one whose lock stays is.
func TestEndedMeanwhile(t *testing.T) {
	for _, ends := range []bool{true, false} {
		t.Run(fmt.Sprintf("ends %t", ends), func(t *testing.T) {
			b := newBox(t, "lock: rollback\n")
			b.reset(func(c sim.Call) sim.Fault {
				if ends && c.Path == "/nodes/pve1/tasks" {
					_ = b.Unlock(101)
				}
				return sim.Fault{}
			}, nil)
			c := run(t, b.keeper(memory(t)), want(t, atOnce), snapshot.Options{})
			if (c.Stuck == nil) != ends || (c.Taken != "") != ends {
				t.Errorf("stuck: %v; took %q: %v", c.Stuck, c.Taken, c.Err)
			}
		})
	}
}
