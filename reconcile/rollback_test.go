package reconcile_test

import (
	"errors"
	"fmt"
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
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// back is the rollback that the tests ask for.
var back = plan.Rollback{ID: 301, Snapshot: "good", Now: time.Date(2026, 11, 21, 1, 30, 0, 0, time.UTC)}

const present = "tend-rollback-20261121T013000Z"

// rolled is a node with container 301, which runs on a storage that goes back to any snapshot; it has 1 GiB since its
// snapshot, which is older than the owner's tag.
func rolled(t *testing.T, store func(op string) error, edit ...func(*sim.State)) *node {
	return newNode(t, sim.Options{StorageFault: store}, append([]func(*sim.State){func(st *sim.State) {
		st.Storages["thin"] = &sim.Storage{Type: "lvmthin", VGName: "vt", Thin: "data", Content: []string{"rootdir"}, Total: 1 << 40}
		st.Volumes["thin:vm-301-disk-0"] = &sim.Volume{Size: 1 << 30, Node: "pve1", Snapshots: []string{"good"}}
		const config = "arch: amd64\nhostname: web\nostype: debian\nrootfs: thin:vm-301-disk-0,size=1G\nswap: 512\nunprivileged: 1\n"
		st.Containers = map[proxmox.VMID]*sim.Container{301: {Node: "pve1", Running: true, Config: config +
			"memory: 1024\nparent: good\ntags: tend\n\n[good]\n" + config + "memory: 512\nsnaptime: 1763950000\n"}}
	}}, edit...)...)
}

// web is its spec.
func web() *spec.State {
	return state(container(301, func(c *spec.Container) {
		root := setting.Record{}
		setting.Storage.Set(root, "thin")
		setting.Size.Set(root, setting.GiB)
		c.Name, c.Settings = "web", setting.Record{}
		setting.RootFS.Set(c.Settings, root)
		setting.Memory.Set(c.Settings, setting.GiB)
	}))
}

func rollbackPlan(t *testing.T, n *node, what plan.Rollback) *reconcile.Rollback {
	t.Helper()
	b, err := n.reconciler(nil).PlanRollback(t.Context(), web(), what)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRollback keeps the present state, rolls back, puts the owner's tag back, starts, and leaves the choice to a person.
func TestRollback(t *testing.T) {
	n := rolled(t, nil)
	out, err := rollbackPlan(t, n, back).Apply(t.Context())
	if err != nil || out.Status != execute.Done {
		t.Fatalf("%s: %v, %v", out.Status, out.Err, err)
	}
	const ct = "/nodes/pve1/lxc/301"
	want := []string{"POST " + ct + "/snapshot", "POST " + ct + "/snapshot/good/rollback", "PUT " + ct + "/config", "POST " + ct + "/status/start"}
	if d := cmp.Diff(want, n.mutations()); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
	if got := n.State().Containers[301]; !got.Running || !strings.Contains(got.Config, "["+present+"]") {
		t.Errorf("running %t:\n%s", got.Running, got.Config)
	}
	const differs = "301 web: change on pve1 · online\n  ~ memory 512 MiB → 1 GiB · online\n  1. set memory=\"1024\"\n0 in sync\n"
	if d := cmp.Diff(differs, out.After.String()); d != "" {
		t.Errorf("after (-want +got):\n%s", d)
	}
}

// TestRollbackInTheWay shows what is in the way of a rollback and does nothing about it.
func TestRollbackInTheWay(t *testing.T) {
	config := func(f func(string) string) func(*sim.State) {
		return func(st *sim.State) { st.Containers[301].Config = f(st.Containers[301].Config) }
	}
	begin := func(line string) func(*sim.State) {
		return config(func(s string) string { return line + "\n" + s })
	}
	zfs := func(st *sim.State) { st.Storages["thin"].Type, st.Storages["thin"].Pool = "zfspool", "tank" }
	newer := func(st *sim.State) {
		c := st.Containers[301]
		c.Config = strings.Replace(c.Config, "parent: good", "parent: young", 1) + "\n[young]\nparent: good\nrootfs: thin:vm-301-disk-0,size=1G\nsnaptime: 1763960000\n"
		st.Volumes["thin:vm-301-disk-0"].Snapshots = []string{"good", "young"}
	}
	lose := back
	lose.Lose = true
	for _, tc := range []struct {
		name string
		what plan.Rollback
		edit []func(*sim.State)
		want string // part of the plan
	}{
		{"protection", back, []func(*sim.State){begin("protection: 1")}, "it is protected"},
		{"a lock that a task may hold", back, []func(*sim.State){begin("lock: mounted")}, "it is locked (mounted)"},
		{"a lock that was left", back, []func(*sim.State){begin("lock: snapshot-delete")}, "it is stuck: a delete of a snapshot that was not finished"},
		{"high availability", back, []func(*sim.State){func(st *sim.State) { st.HA = map[proxmox.VMID]string{301: "started"} }}, "it is managed by HA (state started)"},
		{"a newer snapshot on ZFS", lose, []func(*sim.State){zfs, newer}, "goes back to the newest snapshot of a volume alone, and newer are: young (not tend's)"},
		{"the present state on ZFS", back, []func(*sim.State){zfs}, "no snapshot can keep the present state: a snapshot of it would be newer"},
		{"the present state with a bind mount", back, []func(*sim.State){begin("mp0: /srv,mp=/srv")}, "no snapshot can keep the present state: Proxmox takes no snapshot of a container with /srv"},
		{"no such snapshot", plan.Rollback{ID: 301, Snapshot: "bad"}, nil, "there is no snapshot bad"},
		{"another's container", back, []func(*sim.State){config(func(s string) string { return strings.Replace(s, "tags: tend\n", "", 1) })}, `does not carry the tag "tend"`},
		{"an incomplete snapshot", back, []func(*sim.State){config(func(s string) string { return s + "snapstate: delete\n" })}, "snapshot good is incomplete (delete)"},
		{"a container that is not declared", plan.Rollback{ID: 302, Snapshot: "good"}, nil, "the spec does not declare it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := rolled(t, nil, tc.edit...)
			p := rollbackPlan(t, n, tc.what).Plan
			if !p.Empty() || !strings.Contains(p.String(), tc.want) {
				t.Errorf("plan:\n%s", p)
			}
			if got := n.mutations(); got != nil {
				t.Errorf("sent %v", got)
			}
		})
	}
	t.Run("newer ones are in nobody's way elsewhere", func(t *testing.T) {
		if p := rollbackPlan(t, rolled(t, nil, newer), back).Plan; p.Empty() {
			t.Errorf("plan:\n%s", p)
		}
	})
}

// TestRollbackMeanwhile: Proxmox takes no digest for a rollback, and asks for the lock only after it has destroyed what
// replication needs. So it is looked at right before: a lock is waited for, and what somebody else has changed ends it.
func TestRollbackMeanwhile(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		after      time.Duration
		status     execute.Status
	}{
		{"a lock", "lock: backup", 20 * time.Second, execute.Done},
		{"a change", "cores: 2", 0, execute.Replan},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := rolled(t, nil)
				b := rollbackPlan(t, n, back)
				n.reset(func(_ int, c sim.Call) sim.Fault {
					if c.Method == "GET" && strings.HasSuffix(c.Path, "/snapshot") && c.User == agent {
						_ = n.EditConfig(301, func(raw string) string { return tc.line + "\n" + raw })
						time.AfterFunc(20*time.Second, func() { _ = n.Unlock(301) })
					}
					if cfg, err := n.root.Config(t.Context(), proxmox.Ref{Node: "pve1", ID: 301}); strings.HasSuffix(c.Path, "/rollback") && (err != nil || cfg.Current["lock"] != "") {
						t.Errorf("called while it is locked: %v, %v", cfg.Current, err)
					}
					return sim.Fault{}
				})
				begin := time.Now()
				out, err := b.Apply(t.Context())
				if err != nil || out.Status != tc.status || time.Since(begin) < tc.after {
					t.Fatalf("%s after %s: %v, %v", out.Status, time.Since(begin), out.Err, err)
				}
			})
		})
	}
}

// TestRollbackFaults lets each call of a rollback fail, and each operation of the storage, and kills each worker: what
// was done is told, nothing comes after what failed, the present state is kept before anything is lost, and a container
// that is stuck is named with what a person does, and left alone.
func TestRollbackFaults(t *testing.T) {
	faults := map[string]sim.Fault{
		"refused": {Status: 500, Reason: "no"}, "cut": {Cut: true}, "cut after": {Cut: true, After: true},
		"task fails": {TaskError: "no"}, "worker killed": {TaskKill: true},
	}
	calls, ops := 0, 0
	func() {
		n := rolled(t, func(string) error { ops++; return nil })
		b := rollbackPlan(t, n, back)
		n.reset(nil)
		if _, err := b.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		calls = n.requests()
	}()
	stuck := 0
	for name, fault := range faults {
		for at := 1; at <= calls; at++ {
			t.Run(fmt.Sprintf("%s at %d", name, at), func(t *testing.T) {
				n := rolled(t, nil)
				stuck += checkRollback(t, n, func(i int, _ sim.Call) sim.Fault {
					if i == at {
						return fault
					}
					return sim.Fault{}
				})
			})
		}
	}
	for op := 1; op <= ops; op++ {
		for _, err := range []error{errors.New("pool is suspended"), sim.ErrKill} {
			t.Run(fmt.Sprintf("storage operation %d: %v", op, err), func(t *testing.T) {
				count := 0
				n := rolled(t, func(string) error {
					if count++; count == op {
						return err
					}
					return nil
				})
				stuck += checkRollback(t, n, nil)
			})
		}
	}
	if stuck < 3 {
		t.Errorf("only %d ended stuck: the faults are not where they should be", stuck)
	}
}

func checkRollback(t *testing.T, n *node, fault func(int, sim.Call) sim.Fault) (stuck int) {
	t.Helper()
	b := rollbackPlan(t, n, back)
	kept := true
	n.reset(func(i int, c sim.Call) sim.Fault {
		if strings.HasSuffix(c.Path, "/rollback") {
			have, err := n.root.Snapshots(t.Context(), proxmox.Ref{Node: "pve1", ID: 301})
			kept = err == nil && slices.ContainsFunc(have.List, func(s proxmox.Snapshot) bool { return s.Name == present && s.State == "" })
		}
		if fault == nil {
			return sim.Fault{}
		}
		return fault(i, c)
	})
	out, err := b.Apply(t.Context())
	sent := n.mutations()
	if !kept {
		t.Error("it was rolled back before the present state was kept")
	}
	if out.Status != execute.Done && len(sent) > out.Steps+1 {
		t.Errorf("%s after %d steps, and sent %v", out.Status, out.Steps, sent)
	}
	if err != nil && out.Status != execute.Done && out.Err == nil {
		t.Errorf("%s without a word: %v", out.Status, err)
	}
	lock := ""
	if cfg, err := n.root.Config(t.Context(), proxmox.Ref{Node: "pve1", ID: 301}); err == nil {
		lock = cfg.Current["lock"]
	}
	if lock == "" {
		return 0
	}
	n.reset(nil)
	again := rollbackPlan(t, n, back).Plan
	if !again.Empty() || !strings.Contains(again.String(), "it is stuck") || n.mutations() != nil {
		t.Errorf("locked (%s), and the next rollback is:\n%s\nsent %v", lock, again, n.mutations())
	}
	if out.After == nil {
		return 1 // the look after it is what failed
	}
	i := slices.IndexFunc(out.After.Blocked, func(b plan.Blocked) bool { return b.What == "recover" })
	if i < 0 {
		t.Fatalf("locked (%s), and not named:\n%s", lock, out.After)
	}
	book := strings.Join(out.After.Blocked[i].Ways, "\n")
	if !strings.Contains(book, "pct unlock 301") || lock == "rollback" && !strings.Contains(book, "pct rollback 301 good\n") {
		t.Errorf("runbook:\n%s", book)
	}
	return 1
}
