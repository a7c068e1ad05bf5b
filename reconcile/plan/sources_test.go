package plan_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// TestSources shows that a container from a source with settings of its own is not started before it is right.
func TestSources(t *testing.T) {
	const archive = "local:backup/vzdump-lxc-120-2026_11_01-02_30_00.tar.zst"
	cases := []struct {
		name    string
		from    spec.From
		want    string
		running bool // the source of a clone
		plan    string
	}{{
		name: "an image", from: spec.From{Image: "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst"}, want: `"env": {"A": "1"}`,
		plan: `101 web: create on pve1 · online
  + hostname web · online
  + tags tend · online
  + cores 1 · online
  ~ memory 512 MiB → 256 MiB · online
  + swap 0 MiB · online
  + rootfs 1 GiB on local-btrfs · online
  + env A · online
  1. create from local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst: cores="1" description="Not finished yet: tend starts it once it is as the spec says. Owner: tend" env=A hostname="web" memory="256" ` +
			`rootfs="local-btrfs:1" swap="0" tags="tend" unprivileged="1" (then put right as the spec says, and started)
0 in sync
`,
	}, {
		name: "a backup, without what only root may say", from: spec.From{Backup: archive},
		want: `"features": {"keyctl": true}, "mounts": {"/a": {"storage": "local", "size": "1GiB"}}, "network": {"eth0": {"bridge": "vmbr0"}}`,
		plan: `101 web: create on pve1 · online
  + hostname web · online
  + tags tend · online
  + cores 1 · online
  ~ memory 512 MiB → 256 MiB · online
  + swap 0 MiB · online
  1. restore from local:backup/vzdump-lxc-120-2026_11_01-02_30_00.tar.zst to local-btrfs: cores="1" description="Not finished yet: tend starts it once it is as the spec says. Owner: tend" hostname="web" memory="256" ` +
			`swap="0" tags="tend" unprivileged="1" (then put right as the spec says, and started)
0 in sync
`,
	}, {
		name: "a full clone to the storage of the spec", from: spec.From{Clone: spec.Clone{ID: 201, Kind: spec.FullClone}},
		plan: `101 web: create on pve1 · online
  1. full clone of 201 (then put right as the spec says, and started)
  2. set tags="tend" (the owner's tag)
0 in sync
`,
	}, {
		name: "a running source needs a snapshot", from: spec.From{Clone: spec.Clone{ID: 201}}, running: true,
		plan: `101 web: blocked: create: container 201 runs, and a running container is copied from a snapshot only
0 in sync
`,
	}, {
		name: "a snapshot of a running source", from: spec.From{Clone: spec.Clone{ID: 201, Snapshot: "golden"}}, running: true,
		plan: `101 web: create on pve1 · online
  1. clone 201, snapshot golden (then put right as the spec says, and started)
  2. set tags="tend" (the owner's tag)
0 in sync
`,
	}, {
		name: "a source that does not exist", from: spec.From{Clone: spec.Clone{ID: 999}},
		plan: `101 web: blocked: create: container 999, which it shall be a clone of, does not exist
0 in sync
`,
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			want := declare(t, tc.want, func(c *spec.Container) { c.From, c.Power = tc.from, spec.Running })
			have := owned(t, tc.running, webValues())
			have.Containers[201].Tags = nil // the source is nobody's
			if diff := cmp.Diff(tc.plan, plan.Compute(want, have, plan.Policy{}).String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDependsOn shows in which order containers are started.
func TestDependsOn(t *testing.T) {
	declared := func(app, db func(*spec.Container)) *spec.State {
		want := declare(t, "", func(c *spec.Container) { c.Name, c.Power, c.DependsOn = "app", spec.Running, []string{"db"}; app(c) })
		other := declare(t, "", func(c *spec.Container) { c.Name, c.ID, c.Power = "db", 102, spec.Running; db(c) })
		want.Containers = append(want.Containers, other.Containers...)
		return want
	}
	same := func(*spec.Container) {}
	t.Run("both are new: one lane after the other", func(t *testing.T) {
		p := plan.Compute(declared(same, same), nothing(), plan.Policy{})
		if got := p.Lane(101).After; !cmp.Equal(got, []proxmox.VMID{102}) {
			t.Errorf("app comes after %v", got)
		}
	})
	t.Run("the other is started in a later pass: so is this one", func(t *testing.T) {
		have := nothing()
		have.Containers[300] = &plan.Observed{Ref: proxmox.Ref{Node: "pve1", ID: 300}}
		p := plan.Compute(declared(same, func(c *spec.Container) { c.From = spec.From{Clone: spec.Clone{ID: 300}} }), have, plan.Policy{})
		if steps := p.Lane(101).Steps; len(steps) != 1 || len(p.Blocked) != 0 {
			t.Errorf("steps %v, blocked %v", steps, p.Blocked)
		}
	})
	t.Run("the other cannot run: the start is blocked", func(t *testing.T) {
		p := plan.Compute(declared(same, func(c *spec.Container) { c.From = spec.From{} }), nothing(), plan.Policy{})
		if len(p.Lane(101).Steps) != 1 || len(p.Blocked) != 2 || p.Blocked[0].What != "start" {
			t.Errorf("plan:\n%s", p)
		}
	})
	for why, edit := range map[string]func(*spec.Container){
		"for a setting": func(c *spec.Container) { setting.TimeZone.Set(c.Settings, "host") },
		"for a move":    func(c *spec.Container) { setting.Storage.Set(setting.RootFS.Or(c.Settings, nil), "local") },
	} {
		t.Run("it runs and is restarted, the other cannot run: it runs again "+why, func(t *testing.T) {
			want := declared(func(c *spec.Container) { restartNow(c); edit(c) }, func(c *spec.Container) { c.From = spec.From{} })
			p := plan.Compute(want, observe(t, true, proxmox.Config{Current: webValues()}), plan.Policy{})
			l := p.Lane(101)
			if len(p.Blocked) != 1 || l == nil || len(l.After) != 0 {
				t.Fatalf("plan:\n%s", p)
			}
			switch last := l.Steps[len(l.Steps)-1].Op.(type) {
			case plan.Start, plan.Reboot:
			default:
				t.Errorf("the last step is %s:\n%s", last.Verb(), p)
			}
		})
	}
	t.Run("the other shall not run: nothing to wait for", func(t *testing.T) {
		p := plan.Compute(declared(same, func(c *spec.Container) { c.Power = spec.Stopped }), nothing(), plan.Policy{})
		if l := p.Lane(101); len(l.Steps) != 2 || len(l.After) != 0 {
			t.Errorf("plan:\n%s", p)
		}
	})
}

// TestHA shows that the power state of containers under HA is left to HA.
func TestHA(t *testing.T) {
	have := observe(t, false, proxmox.Config{Current: webValues()})
	have.HA = map[proxmox.VMID]string{101: "started"}
	p := plan.Compute(declare(t, "", func(c *spec.Container) { c.Power = spec.Running }), have, plan.Policy{})
	want := "101 web: blocked: start: it is managed by HA (state started), which alone starts and stops it\n0 in sync\n"
	if diff := cmp.Diff(want, p.String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	have.Containers[101].Ref.Node = "pve2" // HA has moved it
	if p := plan.Compute(declare(t, ""), have, plan.Policy{}); !p.Synced() {
		t.Errorf("a container that HA moved is not in sync:\n%s", p)
	}
}

func TestMigrate(t *testing.T) {
	cases := []struct {
		name, want, plan string
		have             []string
		running          bool
		storage          proxmox.Storage
	}{{
		name: "stopped", plan: "101 web: change on pve1 · online\n  1. migrate to pve3 (node pve1 → pve3)\n0 in sync\n",
	}, {
		name: "running, where a restart may be", running: true,
		plan: "101 web: change on pve1 · restart\n  1. migrate to pve3 (node pve1 → pve3)\n0 in sync\n",
	}, {
		name: "a directory of the node", have: []string{"mp0", "/srv,mp=/srv"},
		plan: "101 web: blocked: migrate: mount /srv shows /srv of node pve1\n0 in sync\n",
	}, {
		name: "a directory that is there too", have: []string{"mp0", "/srv,mp=/srv,shared=1"},
		plan: "101 web: change on pve1 · online\n  1. migrate to pve3 (node pve1 → pve3)\n0 in sync\n",
	}, {
		name: "local snapshots", have: []string{"parent", "before"}, storage: proxmox.Storage{Name: "local-btrfs", Type: "lvmthin"},
		plan: "101 web: blocked: migrate: it has snapshots, and those on storage local-btrfs (lvmthin) cannot move\n0 in sync\n",
	}, {
		name: "shared storage", have: []string{"parent", "before"}, storage: proxmox.Storage{Name: "local-btrfs", Type: "rbd", Shared: true},
		plan: "101 web: change on pve1 · online\n  1. migrate to pve3 (node pve1 → pve3)\n0 in sync\n",
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			have := observe(t, tc.running, proxmox.Config{Current: with(webValues(), tc.have...)})
			have.Nodes["pve3"] = true
			if tc.storage.Name != "" {
				s := map[string]proxmox.Storage{tc.storage.Name: tc.storage}
				have.Storages = map[string]map[string]proxmox.Storage{"pve1": s, "pve3": s}
			}
			p := plan.Compute(declare(t, tc.want, func(c *spec.Container) { c.Node, c.Restart = "pve3", spec.RestartNow }), have, plan.Policy{})
			if diff := cmp.Diff(tc.plan, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGrace follows a container out of the spec: stopped, marked, kept, destroyed; or declared again.
func TestGrace(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	policy := plan.Policy{Prune: true, PruneMax: 5, PruneGrace: 7 * 24 * time.Hour, Now: now}
	other := func() *spec.State { return declare(t, "", func(c *spec.Container) { c.ID, c.From = 999, spec.From{} }) }
	rest := "999 web: blocked: create: it does not exist, and the spec does not say what to make it from\n0 in sync\n"
	marked := with(webValues(), "tags", "tend;tend-expires-20261130t120000z")
	cases := []struct {
		name    string
		values  proxmox.Values
		running bool
		now     time.Time
		plan    string
	}{{
		name: "first it is marked and stopped", values: webValues(), running: true, now: now,
		plan: `101 web: retire on pve1 · restart
  1. set tags="tend;tend-expires-20261130t120000z" (to be destroyed after 2026-11-30T12:00:00Z)
  2. shut down (not in the spec)
`,
	}, {
		name: "then it is kept", values: marked, now: now.Add(6 * 24 * time.Hour),
		plan: "101 web: blocked: destroy: its grace time lasts until 2026-11-30T12:00:00Z\n",
	}, {
		name: "somebody needs it", values: marked, running: true, now: now.Add(8 * 24 * time.Hour),
		plan: "101 web: blocked: destroy: somebody has started it again after it was stopped to be destroyed\n",
	}, {
		name: "at last it is destroyed", values: marked, now: now.Add(8 * 24 * time.Hour),
		plan: "101 web: destroy on pve1 · recreate\n  1. destroy with local-btrfs:101/vm-101-disk-0.raw (not in the spec)\n",
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			pol := policy
			pol.Now = tc.now
			p := plan.Compute(other(), observe(t, tc.running, proxmox.Config{Current: tc.values}), pol)
			if diff := cmp.Diff(tc.plan+rest, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
	p := plan.Compute(declare(t, ""), observe(t, false, proxmox.Config{Current: marked}), policy)
	want := "101 web: change on pve1 · online\n  ~ tags tend, tend-expires-20261130t120000z → tend · online\n  1. set tags=\"tend\"\n0 in sync\n"
	if diff := cmp.Diff(want, p.String()); diff != "" {
		t.Errorf("declared again (-want +got):\n%s", diff)
	}
	few := plan.Policy{Prune: true, PruneMax: 5, PrunePercent: 10}
	if p := plan.Compute(other(), owned(t, false, webValues(), webValues()), few); p.Count(plan.Destroy) != 0 {
		t.Errorf("10 %% of 2 containers allows no destroy:\n%s", p)
	}
}

// TestUnfinished shows that a container of an image, a clone or a backup is ours by its mark, that the mark goes
// last, and that it is not started while something is left that only a person can do.
func TestUnfinished(t *testing.T) {
	const mark = "Not finished yet: tend starts it once it is as the spec says. Owner: tend"
	running := func(c *spec.Container) { c.Power, c.From = spec.Running, spec.From{Clone: spec.Clone{ID: 300}} }
	image := func(c *spec.Container) {
		c.Power, c.From = spec.Running, spec.From{Image: "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst"}
	}
	blocked := "101 web: blocked: features: API tokens may only change nesting; tend acts with an API token, " +
		"to which Proxmox answers: Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)\n"
	start := "101 web: blocked: start: it was made just now and is not as the spec says: it is started for the first time once it is\n"
	cases := []struct {
		name, want string
		edit       func(*spec.Container)
		have       []string
		running    bool
		plan       string
	}{{
		name: "without a tag: a crash came between clone and tag", edit: running, have: []string{"tags", "", "description", mark + "\n", "cores", "2"},
		want: `"mounts": {"/a": {"storage": "local", "size": "1GiB"}}`,
		plan: `101 web: change on pve1 · online
  + tags tend · online
  ~ cores 2 → 1 · online
  + mount /a 1 GiB on local · online
  - description ` + mark[:59] + `… · online
  1. set cores="1" tags="tend"
  2. set mp0="local:1,mp=/a"
  3. delete description
  4. start (state: running)
0 in sync
`,
	}, {
		name: "the spec has a description", edit: running, have: []string{"description", mark}, want: `"description": "x"`,
		plan: `101 web: change on pve1 · online
  ~ description ` + mark[:59] + `… → x · online
  1. set description="x"
  2. start (state: running)
0 in sync
`,
	}, {
		name: "the description is ignored", edit: func(c *spec.Container) { running(c); c.Lifecycle.Ignore = []string{"description"} },
		have: []string{"description", mark},
		plan: `101 web: change on pve1 · online
  - description ` + mark[:59] + `… · online
  1. delete description
  2. start (state: running)
0 in sync
`,
	}, {
		name: "what root alone may do is left", edit: running, have: []string{"description", mark, "cores", "2"}, want: `"features": {"keyctl": true}`,
		plan: `101 web: change on pve1 · online
  ~ cores 2 → 1 · online
  1. set cores="1"
` + blocked + start + "0 in sync\n",
	}, {
		name: "it runs: somebody has started it", edit: running, have: []string{"description", mark}, want: `"features": {"keyctl": true}`, running: true,
		plan: `101 web: change on pve1 · online
  - description ` + mark[:59] + `… · online
  1. delete description
` + blocked + "0 in sync\n",
	}, {
		name: "finished, it is started whatever is left", edit: running, want: `"features": {"keyctl": true}`,
		plan: "101 web: change on pve1 · online\n  1. start (state: running)\n" + blocked + "0 in sync\n",
	}, {
		name: "what an image brings is kept where the spec says nothing", edit: image, want: `"console": {"mode": "shell"}, "network": {"eth0": {"bridge": "vmbr0", "ipv4": "dhcp"}}`,
		have: []string{"description", mark, "entrypoint", "/app", "env", "A=1", "cmode", "console", "net0", net0 + ",host-managed=1"},
		plan: `101 web: change on pve1 · online
  ~ console mode console → shell · online
  - description ` + mark[:59] + `… · online
  1. set cmode="shell"
  2. delete description
  3. start (state: running)
0 in sync
`,
	}, {
		name: "what the spec says of it is put right", edit: image, want: `"entrypoint": "/b", "env": {}, "network": {"eth0": {"bridge": "vmbr0", "ipv4": "dhcp", "hostManaged": false}}`,
		have: []string{"description", mark, "entrypoint", "/app", "env", "A=1", "cmode", "console", "net0", net0 + ",host-managed=1"},
		plan: `101 web: change on pve1 · online
  ~ interface eth0 host managed yes → no · online
  ~ entrypoint /app → /b · online
  - env A · online
  - description ` + mark[:59] + `… · online
  1. set entrypoint="/b"; delete env
  2. set net0="name=eth0,bridge=vmbr0,hwaddr=bc:24:11:00:00:01,ip=dhcp,type=veth"
  3. delete description
  4. start (state: running)
0 in sync
`,
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			have := observe(t, tc.running, proxmox.Config{Current: with(webValues(), tc.have...)})
			p := plan.Compute(declare(t, tc.want, tc.edit), have, plan.Policy{})
			if diff := cmp.Diff(tc.plan, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
