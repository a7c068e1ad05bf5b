package reconcile_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

const image = "local:vztmpl/caddy_2.tar"

// withImage adds an OCI image to the node.
func withImage(st *sim.State) {
	os := "alpine"
	st.Templates[image] = &sim.Template{Size: 1 << 20, OSType: &os, OCI: &sim.OCI{
		Entrypoint: []string{"/usr/bin/caddy"}, Cmd: []string{"run"}, Env: []string{"XDG=/data"}, WorkingDir: "/srv",
	}}
}

// source is a container with settings of its own, of which others are made.
func source(id proxmox.VMID, edit func(*spec.Container)) *spec.Container {
	return container(id, func(c *spec.Container) {
		c.Power = spec.Stopped
		setting.Cores.Set(c.Settings, 2)
		setting.Description.Set(c.Settings, "the source")
		setting.StartOnBoot.Set(c.Settings, true)
		setting.Env.Set(c.Settings, map[string]string{"A": "1"})
		setting.Backup.Set(c.Settings[setting.Mounts.Path].(setting.Members)["/data"], true)
		if edit != nil {
			edit(c)
		}
	})
}

// made is a container that is made of something else than a template: with other settings, volumes and interfaces
// than those of the source.
func made(id proxmox.VMID, from spec.From, edit func(*spec.Container)) *spec.Container {
	return container(id, func(c *spec.Container) {
		c.From = from
		setting.Memory.Set(c.Settings, setting.GiB)
		setting.Description.Set(c.Settings, "the copy")
		m := c.Settings[setting.Mounts.Path].(setting.Members)
		setting.ReadOnly.Set(m["/data"], true)
		m["/more"] = setting.Record{}
		setting.Storage.Set(m["/more"], "local")
		setting.Size.Set(m["/more"], setting.GiB)
		c.Settings[setting.Network.Path].(setting.Members)["lan"] = setting.Record{setting.Bridge.Path: "vmbr0", setting.VLAN.Path: int64(30)}
		if edit != nil {
			edit(c)
		}
	})
}

// onBtrfs puts all volumes of a container on a storage of which containers can be linked and snapshots taken.
func onBtrfs(c *spec.Container) {
	setting.Storage.Set(setting.RootFS.Or(c.Settings, nil), "local-btrfs")
	for _, r := range mountsIn(c) {
		setting.Storage.Set(r, "local-btrfs")
	}
}

// doneBy waits for a task of somebody who works by hand.
func (n *node) doneBy(t *testing.T) func(proxmox.UPID, error) {
	t.Helper()
	return func(task proxmox.UPID, err error) {
		t.Helper()
		if err == nil {
			_, err = n.root.WaitTask(t.Context(), task, proxmox.WaitOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// backupOf makes a backup by hand and returns its volume.
func (n *node) backupOf(t *testing.T, id proxmox.VMID) string {
	t.Helper()
	n.doneBy(t)(n.root.Backup(t.Context(), "pve1", proxmox.BackupParams{Guests: []proxmox.VMID{id}, Storage: "local", Mode: "stop", Compress: "zstd"}))
	list, err := n.root.StorageContent(t.Context(), "pve1", "local", proxmox.ContentFilter{Content: "backup", Guest: id})
	if err != nil || len(list) == 0 {
		t.Fatalf("no backup: %v", err)
	}
	return list[len(list)-1].ID
}

// readyWhenStarted checks that nothing was changed of a container after it was first started.
func (n *node) readyWhenStarted(t *testing.T, id proxmox.VMID) {
	t.Helper()
	started := false
	for _, m := range n.mutations() {
		switch at := "/nodes/pve1/lxc/" + id.String(); {
		case m == "POST "+at+"/status/start":
			started = true
		case started && strings.Contains(m, at):
			t.Errorf("%s after the first start: %v", m, n.mutations())
		}
	}
	if !started {
		t.Errorf("%d was never started: %v", id, n.mutations())
	}
}

// TestClone makes containers of others, in each way.
func TestClone(t *testing.T) {
	snapshot := func(t *testing.T, n *node) { n.doneBy(t)(n.root.Snapshot(t.Context(), ref(300), "golden", "")) }
	run := func(t *testing.T, n *node) { n.doneBy(t)(n.root.Start(t.Context(), ref(300))) }
	template := func(t *testing.T, n *node) { n.doneBy(t)(n.root.ConvertToTemplate(t.Context(), ref(300))) }
	cases := []struct {
		name    string
		from    spec.Clone
		source  func(*spec.Container)
		prepare func(*testing.T, *node)
		edit    func(*spec.Container)
		linked  bool
	}{
		{name: "of a stopped container", from: spec.Clone{ID: 300}},
		{name: "in full", from: spec.Clone{ID: 300, Kind: spec.FullClone}},
		{name: "in full, to another storage", from: spec.Clone{ID: 300, Kind: spec.FullClone}, edit: onBtrfs},
		{name: "and then moved to another storage", from: spec.Clone{ID: 300}, edit: onBtrfs},
		{name: "of a snapshot", from: spec.Clone{ID: 300, Snapshot: "golden"}, source: onBtrfs, edit: onBtrfs, prepare: snapshot},
		{name: "of a snapshot of a running container", from: spec.Clone{ID: 300, Snapshot: "golden"}, source: onBtrfs, edit: onBtrfs, prepare: func(t *testing.T, n *node) {
			run(t, n)
			snapshot(t, n)
		}},
		{name: "linked, of a template", from: spec.Clone{ID: 300, Kind: spec.LinkedClone}, source: onBtrfs, edit: onBtrfs, prepare: template, linked: true},
		{name: "of a template, which is linked by itself", from: spec.Clone{ID: 300}, source: onBtrfs, edit: onBtrfs, prepare: template, linked: true},
		{name: "of a template, in full", from: spec.Clone{ID: 300, Kind: spec.FullClone}, prepare: template},
		{name: "and left stopped", from: spec.Clone{ID: 300}, edit: func(c *spec.Container) { c.Power = spec.Stopped }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			n := newNode(t, sim.Options{})
			other := n.reconciler(nil) // somebody else's container, which this spec does not know
			src := state(source(300, tc.source))
			src.Cluster.Owner = "golden"
			converged(t, once(t, other, src))
			if tc.prepare != nil {
				tc.prepare(t, n)
			}
			before := n.State().Containers[300].Config
			n.reset(nil)
			want := state(made(201, spec.From{Clone: tc.from}, tc.edit))
			r := n.reconciler(nil)
			out := once(t, r, want)
			converged(t, out)
			if d := cmp.Diff([]string{"201 created"}, states(out)); d != "" {
				t.Errorf("%s%s", d, summary(out))
			}
			inSync(t, r, want)
			if want.Containers[0].Power == spec.Running {
				n.readyWhenStarted(t, 201)
			}
			if n.State().Containers[300].Config != before {
				t.Errorf("the source is changed:\n%s\nwas\n%s", n.State().Containers[300].Config, before)
			}
			n.checkCopy(t, tc.linked)
		})
	}
}

// checkCopy checks what no plan compares: that addresses are new and volumes linked or not.
func (n *node) checkCopy(t *testing.T, linked bool) {
	t.Helper()
	a, errA := n.root.Config(t.Context(), ref(300))
	b, errB := n.root.Config(t.Context(), ref(201))
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if a.Current["net0"] == b.Current["net0"] {
		t.Errorf("both have the address %s", a.Current["net0"])
	}
	if b.Current["env"] != "" || strings.Contains(b.Current["tags"], "golden") {
		t.Errorf("settings of the source are left: %v", b.Current)
	}
	volume, _, _ := strings.Cut(b.Current["rootfs"], ",")
	if got := n.State().Volumes[volume].Parent != ""; got != linked {
		t.Errorf("volume %s is linked: %t", volume, got)
	}
}

func inSync(t *testing.T, r *reconcile.Reconciler, want *spec.State) {
	t.Helper()
	p, _, err := r.Plan(t.Context(), want)
	if err != nil || !p.Synced() {
		t.Errorf("not in sync: %v\n%s", err, p)
	}
}

// TestRestore makes a container of a backup: mounts return to their storages, settings become the spec's.
func TestRestore(t *testing.T) {
	n := newNode(t, sim.Options{})
	src := state(source(300, func(c *spec.Container) {
		m := c.Settings[setting.Mounts.Path].(setting.Members)
		setting.Storage.Set(m["/data"], "local-btrfs")
	}))
	src.Cluster.Owner = "golden"
	converged(t, once(t, n.reconciler(nil), src))
	archive := n.backupOf(t, 300)
	n.reset(nil)
	want := state(made(201, spec.From{Backup: archive}, func(c *spec.Container) {
		setting.Storage.Set(c.Settings[setting.Mounts.Path].(setting.Members)["/data"], "local-btrfs")
		setting.Size.Set(setting.RootFS.Or(c.Settings, nil), 5*setting.GiB)
	}))
	r := n.reconciler(nil)
	out := once(t, r, want)
	converged(t, out)
	if d := cmp.Diff([]string{"201 created"}, states(out)); d != "" {
		t.Errorf("%s%s", d, summary(out))
	}
	n.readyWhenStarted(t, 201)
	p, have, err := r.Plan(t.Context(), want)
	if err != nil || !p.Synced() {
		t.Fatalf("not in sync: %v\n%s", err, p)
	}
	data := have.Containers[201].Current.Record[setting.Mounts.Path].(setting.Members)["/data"]
	if s := setting.Storage.Or(data, ""); s != "local-btrfs" {
		t.Errorf("/data is on %s", s)
	}
	if len(p.Unused) != 1 { // where the restore put it
		t.Errorf("unused: %v", p.Unused)
	}
}

// TestOCI makes a container of an image: what the spec says of what runs is put right before the first start, and
// what it does not say stays the image's.
func TestOCI(t *testing.T) {
	cases := []struct {
		name string
		edit func(*spec.Container)
		want map[string]string
	}{{
		name: "as the image says", want: map[string]string{"entrypoint": "/usr/bin/caddy run", "env": "XDG=/data", "cmode": "console"},
	}, {
		name: "as the spec says",
		edit: func(c *spec.Container) {
			setting.EntryPoint.Set(c.Settings, "/bin/mine")
			setting.Env.Set(c.Settings, map[string]string{"B": "2"})
			setting.ConsoleMode.Set(c.Settings, "tty")
		},
		want: map[string]string{"entrypoint": "/bin/mine", "env": "B=2", "cmode": ""},
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			n := newNode(t, sim.Options{}, withImage)
			want := state(made(201, spec.From{Image: image}, tc.edit))
			r := n.reconciler(nil)
			converged(t, once(t, r, want))
			inSync(t, r, want)
			n.readyWhenStarted(t, 201)
			cfg, err := n.root.LiveConfig(t.Context(), ref(201))
			if err != nil {
				t.Fatal(err)
			}
			for key, text := range tc.want {
				if cfg.Values[key] != text {
					t.Errorf("%s is %q, want %q", key, cfg.Values[key], text)
				}
			}
			if !strings.Contains(cfg.Values["net0"], "host-managed=1") || len(cfg.Raw) != 2 {
				t.Errorf("net0 %s, lines %v", cfg.Values["net0"], cfg.Raw)
			}
		})
	}
}

// TestHeld shows that a container which lacks what only root may give it is made, and not started.
func TestHeld(t *testing.T) {
	n := newNode(t, sim.Options{}, withImage)
	want := state(made(201, spec.From{Image: image}, func(c *spec.Container) {
		setting.Features.Set(c.Settings, setting.Record{setting.Nesting.Path: true})
	}))
	converged(t, once(t, n.reconciler(nil), state(source(300, nil), want.Containers[0])))
	keyctl := made(202, spec.From{Clone: spec.Clone{ID: 300}}, func(c *spec.Container) {
		setting.Features.Set(c.Settings, setting.Record{setting.KeyCtl.Path: true})
	})
	want = state(source(300, nil), want.Containers[0], keyctl)
	r := n.reconciler(nil)
	out := once(t, r, want)
	if c := find(t, out, 202); c.State != reconcile.Blocked {
		t.Errorf("%s", summary(out))
	}
	if s, err := n.root.Status(t.Context(), ref(202)); err != nil || s.Status != proxmox.Stopped {
		t.Fatalf("it is %s: %v", s.Status, err)
	}
	if err := n.root.SetConfig(t.Context(), ref(202), proxmox.Update{Set: proxmox.Values{"features": "keyctl=1"}}); err != nil {
		t.Fatal(err)
	}
	converged(t, once(t, r, want))
	inSync(t, r, want)
	if s, err := n.root.Status(t.Context(), ref(202)); err != nil || s.Status != proxmox.Running {
		t.Errorf("it is %s: %v", s.Status, err)
	}
}

// TestTaken lets somebody else take the VMID right before it is used: that container is never touched.
func TestTaken(t *testing.T) {
	for name, from := range map[string]spec.From{
		"create": {Template: template}, "image": {Image: image}, "clone": {Clone: spec.Clone{ID: 300}}, "restore": {},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, sim.Options{}, withImage)
			converged(t, once(t, n.reconciler(nil), state(source(300, nil))))
			if from.IsZero() {
				from.Backup = n.backupOf(t, 300)
			}
			making := func(c sim.Call) bool {
				return c.Method == "POST" && (strings.HasSuffix(c.Path, "/clone") || strings.HasSuffix(c.Path, "/lxc"))
			}
			n.reset(hooked(1, making, func() {
				n.doneBy(t)(n.root.Create(context.Background(), "pve1", proxmox.CreateParams{
					ID: 201, Template: template, Values: proxmox.Values{"rootfs": "local:1", "hostname": "theirs"},
				}))
			}))
			want := state(source(300, nil), made(201, from, nil))
			out := once(t, n.reconciler(nil), want)
			c := find(t, out, 201)
			if c.State != reconcile.Blocked || c.Err == nil || !strings.Contains(c.Err.Error(), "was taken meanwhile") {
				t.Errorf("%s", summary(out))
			}
			conf := n.State().Containers[201].Config
			n.reset(nil)
			out = once(t, n.reconciler(nil), want)
			if c := find(t, out, 201); c.State != reconcile.Blocked || !strings.Contains(c.Blocked[0].Reason, "does not carry the tag") {
				t.Errorf("%s", summary(out))
			}
			if m := n.mutations(); len(m) > 0 || n.State().Containers[201].Config != conf || !strings.Contains(conf, "theirs") {
				t.Errorf("somebody else's container was touched: %v\n%s", m, n.State().Containers[201].Config)
			}
		})
	}
}

// sourceJob makes a container of each kind of source in one run.
func sourceJob(t *testing.T) *job {
	t.Helper()
	j := &job{name: "sources", starts: map[proxmox.VMID]int{201: 1, 202: 1, 203: 1}, volumes: 13}
	n := newNode(t, sim.Options{}, withImage)
	golden := source(300, func(c *spec.Container) {
		onBtrfs(c)
		setting.Template.Set(c.Settings, true)
	})
	j.before = state(golden, source(205, nil))
	converged(t, once(t, n.reconciler(nil), j.before))
	backup := n.backupOf(t, 205)
	j.want = state(golden, source(205, nil),
		made(201, spec.From{Clone: spec.Clone{ID: 300}}, onBtrfs),
		made(202, spec.From{Backup: backup}, nil),
		made(203, spec.From{Image: image}, nil))
	j.start = n.State()
	j.start.Tasks = nil
	return j
}

// TestSourcesKilled kills the process before and after each call that makes containers of all kinds of sources, and
// lets a new one finish.
func TestSourcesKilled(t *testing.T) {
	j := sourceJob(t)
	for _, after := range []bool{false, true} {
		t.Run(map[bool]string{false: "before", true: "after"}[after], func(t *testing.T) {
			t.Parallel()
			calls(func(i int) bool { return j.killed(t, i, after) })
		})
	}
}

// TestSourcesFault lets each of these calls fail in turn.
func TestSourcesFault(t *testing.T) {
	j := sourceJob(t)
	isWork := func(c sim.Call) bool { return startsTask(c) && strings.Contains(c.Path, "/status/") }
	for name, f := range map[string]struct {
		fault sim.Fault
		only  func(sim.Call) bool
	}{
		"refused":    {sim.Fault{Status: 500, Reason: "something is wrong"}, nil},
		"cut after":  {sim.Fault{Cut: true, After: true}, isMutation},
		"task fails": {sim.Fault{TaskError: "something broke"}, startsTask},
		"killed":     {sim.Fault{TaskKill: true}, isWork},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls(func(i int) bool { return j.faulty(t, i, f.fault, f.only) })
		})
	}
}

// TestWithoutJournal loses the journal between clone and tag: the copy is known by its mark.
func TestWithoutJournal(t *testing.T) {
	n := newNode(t, sim.Options{})
	src := state(source(300, nil))
	src.Cluster.Owner = "golden"
	converged(t, once(t, n.reconciler(nil), src))
	n.reset(func(_ int, c sim.Call) sim.Fault {
		return sim.Fault{Cut: strings.HasSuffix(c.Path, "/201/config")}
	})
	want := state(made(201, spec.From{Clone: spec.Clone{ID: 300}}, nil))
	r := n.reconciler(openJournal(t, filepath.Join(t.TempDir(), "journal")))
	r.Passes = 1
	out := once(t, r, want)
	if c := n.State().Containers[201]; c == nil || strings.Contains(c.Config, "tend;") || strings.Contains(c.Config, "tags: tend") {
		t.Fatalf("the clone is there with a tag, or not at all: %s", summary(out))
	}
	n.reset(nil)
	other := state(want.Containers...)
	other.Cluster.Owner = "other" // to another spec it is somebody else's
	if p, _, err := n.reconciler(nil).Plan(t.Context(), other); err != nil || !p.Empty() || len(p.Blocked) != 1 {
		t.Errorf("%v\n%s", err, p)
	}
	converged(t, once(t, n.reconciler(nil), want))
	inSync(t, n.reconciler(nil), want)
	n.readyWhenStarted(t, 201)
}
