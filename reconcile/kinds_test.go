package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// mount is a mount of a container of a spec.
func mount(c *spec.Container, at string) setting.Record {
	return c.Settings[setting.Mounts.Path].(setting.Members)[at]
}

func (n *node) live(t *testing.T, id proxmox.VMID) (proxmox.Values, proxmox.PowerState) {
	t.Helper()
	s, err := n.root.Status(t.Context(), ref(id))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := n.root.Config(t.Context(), ref(id))
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Current, s.Status
}

// waits reports whether something is left to do that is not done now.
func waits(c reconcile.Container) bool {
	return (c.State == reconcile.Blocked || c.State == reconcile.PendingRestart || c.State == reconcile.Waiting) && len(c.Blocked) > 0
}

// TestMove moves volumes to another storage: the container is stopped for it and started again, and the old volume
// is kept and listed, until it is named to be destroyed.
func TestMove(t *testing.T) {
	for _, power := range []spec.Power{spec.Running, spec.Stopped, spec.Any} {
		for _, restart := range []spec.RestartPolicy{spec.RestartNow, spec.RestartNever} {
			t.Run(fmt.Sprintf("%s, restart %s", power, restart), func(t *testing.T) {
				n := newNode(t, sim.Options{})
				r := n.reconciler(nil)
				with := func(move bool) *spec.State {
					return state(container(201, func(c *spec.Container) {
						c.Power, c.Restart = power, restart
						if move {
							onBtrfs(c)
							setting.Backup.Set(mount(c, "/data"), true)
						}
					}))
				}
				converged(t, once(t, r, with(false)))
				if power == spec.Any {
					n.doneBy(t)(n.root.Start(t.Context(), ref(201)))
				}
				before := n.volumes(t)
				n.reset(nil)
				out := once(t, r, with(true))
				converged(t, out)
				values, state := n.live(t, 201)
				if runs := power != spec.Stopped; runs != (state == proxmox.Running) {
					t.Errorf("it is %s", state)
				}
				if restart == spec.RestartNever && power != spec.Stopped {
					if c := find(t, out, 201); !waits(c) || !strings.HasPrefix(values["mp0"], "local:") || len(n.tasks(t, "vzshutdown")) > 0 {
						t.Errorf("moved without a restart: %s", summary(out))
					}
					return
				}
				if !strings.HasPrefix(values["mp0"], "local-btrfs:") || !strings.HasPrefix(values["rootfs"], "local-btrfs:") {
					t.Errorf("not moved: %v", values)
				}
				p, _, err := r.Plan(t.Context(), with(true))
				if err != nil || !p.Synced() || len(p.Unused) != 2 {
					t.Fatalf("%v\n%s", err, p)
				}
				for _, v := range before {
					if !slices.Contains(n.volumes(t), v) {
						t.Errorf("volume %s is gone", v)
					}
				}
				r.Policy.DestroyVolumes = map[proxmox.VMID][]string{201: {p.Unused[0].Volume}}
				converged(t, once(t, r, with(true)))
				if now := n.volumes(t); slices.Contains(now, p.Unused[0].Volume) || !slices.Contains(now, p.Unused[1].Volume) || len(now) != 3 {
					t.Errorf("volumes %v, before %v", now, before)
				}
			})
		}
	}
}

// TestMoveFails shows that a container which was stopped for a move that fails runs again.
func TestMoveFails(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	converged(t, once(t, r, state(container(201, nil))))
	n.reset(func(_ int, c sim.Call) sim.Fault {
		if strings.HasSuffix(c.Path, "/move_volume") {
			return sim.Fault{TaskError: "no space left on device"}
		}
		return sim.Fault{}
	})
	out := once(t, r, state(container(201, onBtrfs)))
	if c := find(t, out, 201); c.State != reconcile.Failed || !strings.Contains(c.Err.Error(), "no space left on device") || !strings.Contains(c.Err.Error(), "was started again") {
		t.Errorf("%s", summary(out))
	}
	if _, s := n.live(t, 201); s != proxmox.Running {
		t.Errorf("it is %s", s)
	}
}

// TestConsent removes a mount: its volume is kept, unless the spec says that it goes.
func TestConsent(t *testing.T) {
	for how, left := range map[string]int{"": 2, "detach": 2, "destroy": 1} {
		for _, power := range []spec.Power{spec.Running, spec.Stopped} {
			t.Run(fmt.Sprintf("%q, %s", how, power), func(t *testing.T) {
				n := newNode(t, sim.Options{})
				r := n.reconciler(nil)
				converged(t, once(t, r, state(container(201, func(c *spec.Container) { c.Power = power }))))
				want := state(container(201, func(c *spec.Container) {
					c.Power = power
					delete(c.Settings, setting.Mounts.Path)
					if how != "" {
						c.Settings[setting.Mounts.Path] = setting.Members{"/data": {setting.OnRemove.Path: how}}
					}
				}))
				p, _, err := r.Plan(t.Context(), want)
				if err != nil || (len(p.Lane(201).Frees) > 0) != (how == "destroy") {
					t.Errorf("%v\n%s", err, p)
				}
				converged(t, once(t, r, want))
				inSync(t, r, want)
				if v := n.volumes(t); len(v) != left {
					t.Errorf("volumes: %v", v)
				}
			})
		}
	}
}

// recreated is a container before and after a change that only a new one can have.
func recreated(privileged bool, edit func(*spec.Container)) *spec.State {
	return state(container(201, func(c *spec.Container) {
		setting.Backup.Set(mount(c, "/data"), true)
		setting.Unprivileged.Set(c.Settings, !privileged)
		c.Lifecycle.AllowRecreate, c.Lifecycle.BackupTo = true, "local"
		if edit != nil {
			edit(c)
		}
	}))
}

// TestRecreate makes a container anew for a change that it cannot have otherwise.
func TestRecreate(t *testing.T) {
	for _, power := range []spec.Power{spec.Running, spec.Any, spec.Stopped} {
		t.Run(string(power), func(t *testing.T) {
			n := newNode(t, sim.Options{})
			r := n.reconcilerAs(strong, nil)
			set := func(c *spec.Container) { c.Power = power }
			converged(t, once(t, r, recreated(false, set)))
			if power == spec.Any {
				n.doneBy(t)(n.root.Start(t.Context(), ref(201)))
			}
			before, state := n.live(t, 201)
			want := recreated(true, set)
			p, _, err := r.Plan(t.Context(), want)
			if err != nil || p.Lane(201).Effect != setting.Recreate {
				t.Fatalf("%v\n%s", err, p)
			}
			out := once(t, r, want)
			converged(t, out)
			inSync(t, r, want)
			after, now := n.live(t, 201)
			if now != state || after["unprivileged"] == "1" {
				t.Errorf("it is %s, %v", now, after)
			}
			for _, key := range []string{"net0", "tags", "hostname", "memory"} {
				if before[key] != after[key] {
					t.Errorf("%s was %q and is %q", key, before[key], after[key])
				}
			}
			if v := n.volumes(t); len(v) != 2 {
				t.Errorf("volumes: %v", v)
			}
			if b := n.State().Backups; len(b) != 1 {
				t.Errorf("%d backups are kept", len(b))
			}
		})
	}
	t.Run("one that somebody has stopped is started, and the plan says so", func(t *testing.T) {
		n := newNode(t, sim.Options{})
		r := n.reconcilerAs(strong, nil)
		converged(t, once(t, r, recreated(false, nil)))
		n.doneBy(t)(n.root.Stop(t.Context(), ref(201)))
		p, _, err := r.Plan(t.Context(), recreated(true, nil))
		if err != nil || !slices.ContainsFunc(p.Lane(201).Steps, func(s plan.Step) bool { return s.Op == plan.Op(plan.Start{}) }) {
			t.Errorf("%v\n%s", err, p)
		}
	})
	t.Run("never without leave", func(t *testing.T) {
		n := newNode(t, sim.Options{})
		r := n.reconcilerAs(strong, nil)
		converged(t, once(t, r, recreated(false, nil)))
		forbid := func(c *spec.Container) { c.Lifecycle.AllowRecreate = false }
		never := func(c *spec.Container) { c.Restart = spec.RestartNever }
		noBackup := func(c *spec.Container) { setting.Backup.Set(mount(c, "/data"), false) }
		for name, edit := range map[string]func(*spec.Container){"forbidden": forbid, "running": never} {
			if p, _, err := r.Plan(t.Context(), recreated(true, edit)); err != nil || !p.Empty() || len(p.Blocked) != 1 {
				t.Errorf("%s: %v\n%s", name, err, p)
			}
		}
		converged(t, once(t, r, recreated(false, noBackup)))
		p, _, err := r.Plan(t.Context(), recreated(true, noBackup))
		if err != nil || !p.Empty() || !strings.Contains(p.Blocked[0].Reason, "is in no backup") {
			t.Errorf("%v\n%s", err, p)
		}
	})
}

// TestRecreateFails lets each call of a recreate fail in turn: what it had is there, or in the backup that the
// error names.
func TestRecreateFails(t *testing.T) {
	for name, f := range map[string]sim.Fault{
		"refused":    {Status: 500, Reason: "something is wrong"},
		"task fails": {TaskError: "something broke"},
	} {
		t.Run(name, func(t *testing.T) {
			calls(func(i int) bool {
				n := newNode(t, sim.Options{})
				r := n.reconcilerAs(strong, nil)
				converged(t, once(t, r, recreated(false, nil)))
				before, _ := n.live(t, 201)
				hit := ""
				n.reset(func(count int, c sim.Call) sim.Fault {
					if count != i || !isMutation(c) {
						return sim.Fault{}
					}
					hit = c.Method + " " + c.Path
					return f
				})
				out := once(t, r, recreated(true, nil))
				reached := n.requests() >= i
				n.reset(nil)
				if hit != "" {
					n.keptOrNamed(t, hit, before, find(t, out, 201))
				}
				return reached
			})
		})
	}
}

func (n *node) keptOrNamed(t *testing.T, hit string, before proxmox.Values, c reconcile.Container) {
	t.Helper()
	if c.State != reconcile.Failed || c.Err == nil {
		t.Errorf("%s: %s, %v", hit, c.State, c.Err)
		return
	}
	if n.State().Containers[201] == nil {
		for volid := range n.State().Backups {
			if strings.Contains(c.Err.Error(), volid) {
				return
			}
		}
		t.Errorf("%s: it is gone, and %v names no backup", hit, c.Err)
		return
	}
	after, s := n.live(t, 201)
	if d := cmp.Diff(before, after); d != "" && strings.Contains(hit, "/status/start") == (after["unprivileged"] == "1") {
		t.Errorf("%s: %s", hit, d)
	}
	if s != proxmox.Running && !strings.Contains(hit, "/status/start") {
		t.Errorf("%s: it is %s, %v", hit, s, c.Err)
	}
}

// three is a cluster of three nodes with a storage that all of them have.
func three(st *sim.State) {
	name := "home"
	st.Cluster.Name = &name
	for _, n := range []string{"pve2", "pve3"} {
		own := *st.Nodes["pve1"]
		st.Nodes[n] = &own
	}
	st.Storages["nfs"] = &sim.Storage{Type: "nfs", Path: "/mnt/pve/nfs", Content: []string{"rootdir"}, Shared: true}
}

// TestMigrateLive moves containers between the nodes of a cluster.
func TestMigrateLive(t *testing.T) {
	on := func(node, storage string, edit ...func(*spec.Container)) *spec.State {
		return state(container(201, func(c *spec.Container) {
			c.Node = node
			setting.Storage.Set(setting.RootFS.Or(c.Settings, nil), storage)
			setting.Storage.Set(mount(c, "/data"), storage)
			for _, f := range edit {
				f(c)
			}
		}))
	}
	stopped := func(c *spec.Container) { c.Power = spec.Stopped }
	never := func(c *spec.Container) { c.Restart = spec.RestartNever }
	for name, tc := range map[string]struct {
		storage string
		edit    []func(*spec.Container)
		after   reconcile.State
	}{
		"running":              {"local", nil, reconcile.Restarted},
		"stopped":              {"local", []func(*spec.Container){stopped}, reconcile.Changed},
		"on a shared storage":  {"nfs", nil, reconcile.Restarted},
		"running, not allowed": {"nfs", []func(*spec.Container){never}, reconcile.Blocked},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, sim.Options{}, three)
			r := n.reconciler(nil)
			converged(t, once(t, r, on("pve1", tc.storage, tc.edit...)))
			volumes := n.State().Volumes
			want := on("pve3", tc.storage, append(tc.edit, func(c *spec.Container) { setting.Cores.Set(c.Settings, 1) })...)
			out := once(t, r, want)
			converged(t, out)
			c := find(t, out, 201)
			if c.State != tc.after && !(tc.after == reconcile.Blocked && waits(c)) {
				t.Errorf("%s", summary(out))
			}
			now := n.State()
			if tc.after == reconcile.Blocked {
				if now.Containers[201].Node != "pve1" || !now.Containers[201].Running {
					t.Errorf("it was moved: %+v", now.Containers[201])
				}
				return
			}
			inSync(t, r, want)
			if g := now.Containers[201]; g.Node != "pve3" || g.Running != (want.Containers[0].Power == spec.Running) || !strings.Contains(g.Config, "cores: 1") {
				t.Errorf("it is %+v", g)
			}
			if len(now.Volumes) != len(volumes) {
				t.Errorf("volumes %v, were %v", now.Volumes, volumes)
			}
		})
	}
	t.Run("moved by hand", func(t *testing.T) {
		n := newNode(t, sim.Options{}, three)
		r := n.reconciler(nil)
		want := on("pve1", "nfs")
		converged(t, once(t, r, want))
		n.doneBy(t)(n.root.Migrate(t.Context(), ref(201), proxmox.MigrateParams{Target: "pve2", Restart: true}))
		p, _, err := r.Plan(t.Context(), want)
		if l := p.Lane(201); err != nil || l == nil || l.Action != plan.Change || l.Ref.Node != "pve2" {
			t.Fatalf("it is not found where it is: %v\n%s", err, p)
		}
		converged(t, once(t, r, want))
		inSync(t, r, want)
	})
}

// TestUnderHA leaves the power state of containers under HA, and where they are, to HA.
func TestUnderHA(t *testing.T) {
	n := newNode(t, sim.Options{}, three)
	want := state(container(201, nil), container(202, func(c *spec.Container) { c.Power = spec.Stopped }))
	converged(t, once(t, n.reconciler(nil), want))
	st := n.State()
	st.HA = map[proxmox.VMID]string{201: "stopped", 202: "started"}
	st.Containers[201].Running, st.Containers[202].Running = false, true
	st.Containers[202].Node = "pve2" // HA has moved it
	for id, v := range st.Volumes {
		if strings.Contains(id, "202") {
			v.Node = "pve2"
		}
	}
	st.Tasks = nil
	j := &job{start: st}
	n = j.on(t, sim.Options{})
	r := n.reconciler(nil)
	for _, c := range want.Containers {
		setting.Cores.Set(c.Settings, 2)
		setting.TimeZone.Set(c.Settings, "host")
	}
	out := once(t, r, want)
	converged(t, out)
	for _, id := range []proxmox.VMID{201, 202} {
		if c := find(t, out, id); !waits(c) || !strings.Contains(c.Blocked[0].Reason, "is managed by HA") {
			t.Errorf("%d: %s", id, summary(out))
		}
	}
	if m := n.mutations(); slices.ContainsFunc(m, isPower) || len(m) != 2 {
		t.Errorf("HA was meddled with: %v", m)
	}
	r.Policy = prune(5)
	out = once(t, r, state(container(300, func(c *spec.Container) { c.From = spec.From{} })))
	if len(n.State().Containers) != 2 {
		t.Errorf("a container under HA was destroyed: %s", summary(out))
	}
}

// TestRetire takes a container out of the spec: it is stopped, and destroyed when the grace time is over; declared
// again meanwhile, it comes back.
func TestRetire(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	n := newNode(t, sim.Options{Now: func() time.Time { return now }})
	r := n.reconciler(nil)
	run := func(want *spec.State) reconcile.Outcome {
		t.Helper()
		r.Policy = plan.Policy{Prune: true, PruneMax: 5, PruneGrace: 7 * 24 * time.Hour, Now: now}
		out := once(t, r, want)
		converged(t, out)
		return out
	}
	one := container(201, nil)
	both, alone := state(one, container(202, nil)), state(one)
	run(both)
	run(alone)
	if values, s := n.live(t, 202); s != proxmox.Stopped || !strings.Contains(values["tags"], "tend-expires-20261130t120000z") {
		t.Fatalf("it is %s, %v", s, values)
	}
	now = now.Add(6 * 24 * time.Hour)
	n.reset(nil)
	if out := run(alone); !waits(find(t, out, 202)) || len(n.mutations()) > 0 {
		t.Errorf("%v, %s", n.mutations(), summary(out))
	}
	run(both)
	if values, s := n.live(t, 202); s != proxmox.Running || values["tags"] != "tend" {
		t.Errorf("declared again, it is %s, %v", s, values)
	}
	run(alone)
	now = now.Add(8 * 24 * time.Hour)
	if out := run(alone); find(t, out, 202).State != reconcile.Destroyed || len(n.volumes(t)) != 2 {
		t.Errorf("volumes %v, %s", n.volumes(t), summary(out))
	}
}

// TestBudget never destroys more than the budget says, in percent too.
func TestBudget(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	var list []*spec.Container
	for id := proxmox.VMID(201); id <= 210; id++ {
		list = append(list, container(id, func(c *spec.Container) { c.Power = spec.Stopped }))
	}
	converged(t, once(t, r, state(list...)))
	r.Policy = plan.Policy{Prune: true, PruneMax: 5, PrunePercent: 25}
	left := 10
	for _, gone := range []int{2, 2, 1, 1} { // 25 % of 10, of 8, of 6, of 5
		out := once(t, r, state(list[0]))
		left -= gone
		if out.Count(reconcile.Destroyed) != gone || len(n.State().Containers) != left {
			t.Errorf("%d are left, want %d: %s", len(n.State().Containers), left, summary(out))
		}
	}
}

// TestOrder starts containers after those that they depend on: by their tasks, not by chance.
func TestOrder(t *testing.T) {
	n := newNode(t, sim.Options{WorkerTime: func(worker string) time.Duration {
		return map[string]time.Duration{"vzstart": 20 * time.Millisecond}[worker]
	}})
	depends := func(on ...string) func(*spec.Container) { return func(c *spec.Container) { c.DependsOn = on } }
	want := state(container(201, depends("ct203", "ct204")), container(202, nil), container(203, depends("ct205")),
		container(204, depends("ct205")), container(205, nil))
	var running []proxmox.VMID // when a start is asked for
	n.reset(func(_ int, c sim.Call) sim.Fault {
		if strings.HasSuffix(c.Path, "/status/start") {
			for id, g := range n.State().Containers {
				if g.Running && !slices.Contains(running, id) {
					running = append(running, id)
				}
			}
			var id proxmox.VMID
			_, _ = fmt.Sscanf(c.Path, "/nodes/pve1/lxc/%d/", &id)
			for _, name := range want.Containers[id-201].DependsOn {
				var dep proxmox.VMID
				_, _ = fmt.Sscanf(name, "ct%d", &dep)
				if !slices.Contains(running, dep) {
					t.Errorf("%d is started before %d runs", id, dep)
				}
			}
		}
		return sim.Fault{}
	})
	r := n.reconciler(nil)
	converged(t, once(t, r, want))
	inSync(t, r, want)
	if starts := n.tasks(t, "vzstart"); len(starts) != 5 {
		t.Errorf("starts: %v", starts)
	}
}

// TestLeftDown: a container that was stopped for a move and cannot be started again is a failure, also where its spec
// is content with any state.
func TestLeftDown(t *testing.T) {
	n := newNode(t, sim.Options{})
	with := func(storage string) *spec.State {
		return five(func(c *spec.Container) {
			root := setting.RootFS.Or(c.Settings, nil)
			setting.Storage.Set(root, storage)
			c.Power = spec.Any
		})
	}
	r := n.reconciler(nil)
	converged(t, once(t, r, with("local")))
	for _, c := range with("local").Containers {
		if _, err := n.root.Start(t.Context(), ref(c.ID)); err != nil {
			t.Fatal(err)
		}
	}
	n.reset(func(_ int, c sim.Call) sim.Fault {
		if c.Method == "POST" && c.Path == "/nodes/pve1/lxc/201/status/start" {
			return sim.Fault{TaskError: "startup for container '201' failed"}
		}
		return sim.Fault{}
	})
	r.Policy.RestartAll = true
	out, err := r.Once(t.Context(), with("local-btrfs"))
	if err != nil {
		t.Fatal(err)
	}
	if c := find(t, out, 201); c.State != reconcile.Failed || c.Err == nil || !strings.Contains(c.Err.Error(), "startup for container") {
		t.Errorf("it is %s: %v", c.State, c.Err)
	}
	if c := find(t, out, 202); c.State != reconcile.Restarted {
		t.Errorf("another one is %s: %v", c.State, c.Err)
	}
}
