package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
)

// read is a spec as an author writes it.
func read(t *testing.T, text string) *spec.State {
	t.Helper()
	s, err := load.Load(fstest.MapFS{"a.yaml": &fstest.MapFile{Data: []byte(text)}}, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// besides is a cluster of two nodes, of which all is known that lies beside the containers.
func besides(edit func(*plan.Live)) *plan.Live {
	storages := map[string]proxmox.Storage{
		"local": {Name: "local", Content: []proxmox.Content{"vztmpl", "backup", "rootdir"}, Active: true, Enabled: true},
		"nas":   {Name: "nas", Content: []proxmox.Content{"vztmpl", "backup"}, Active: true, Enabled: true, Shared: true},
		"zfs":   {Name: "zfs", Content: []proxmox.Content{"rootdir"}, Active: true, Enabled: true},
	}
	list := []proxmox.Appliance{
		{File: "debian-13-standard_13.1-2_amd64.tar.zst", Package: "debian-13-standard"},
		{File: "debian-13-standard_13.1-10_amd64.tar.zst", Package: "debian-13-standard"},
		{File: "debian-12-turnkey-wordpress_18.1-1_amd64.tar.gz", Package: "turnkey-wordpress"},
	}
	have := &plan.Live{
		Cluster: "pve1", Nodes: map[string]bool{"pve1": true, "pve2": true, "pve3": false},
		Containers: map[proxmox.VMID]*plan.Observed{}, Guests: map[proxmox.VMID]string{}, HA: map[proxmox.VMID]string{},
		Storages:   map[string]map[string]proxmox.Storage{"pve1": storages, "pve2": storages},
		Templates:  map[string]map[string]bool{"pve1": {}, "pve2": {}},
		Appliances: map[string][]proxmox.Appliance{"pve1": list, "pve2": list},
		Pools:      map[string]bool{"customers": true, "lab": true}, PoolOf: map[proxmox.VMID]string{},
		Jobs: map[string]proxmox.BackupJob{"x1": {ID: "x1", Values: proxmox.Values{"all": "1", "schedule": "daily"}}},

		Permissions: everything(), Disks: map[string]*health.Node{"pve1": {}, "pve2": {}},
	}
	have.Permissions = proxmox.Permissions{"/": {}}
	for _, p := range strings.Fields("VM.Audit Datastore.Audit Pool.Audit SDN.Use VM.Allocate VM.Config.Disk VM.Config.Options VM.Config.Memory VM.Config.Network VM.Config.CPU VM.PowerMgmt VM.Backup " +
		"Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Allocate Pool.Allocate Sys.AccessNetwork Sys.Audit Sys.Modify") {
		have.Permissions["/"][p] = true
	}
	if edit != nil {
		edit(have)
	}
	return have
}

// everything is what a token may do that may do all that containers need.
func everything() proxmox.Permissions {
	all := map[string]bool{}
	for _, priv := range strings.Fields(`Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit
		Pool.Allocate Pool.Audit SDN.Use Sys.AccessNetwork Sys.Audit Sys.Modify VM.Allocate VM.Audit VM.Backup VM.Clone
		VM.Config.CPU VM.Config.Disk VM.Config.Memory VM.Config.Network VM.Config.Options VM.Migrate VM.PowerMgmt`) {
		all[priv] = true
	}
	return proxmox.Permissions{"/": all}
}

const sha = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestTemplates(t *testing.T) {
	tests := []struct {
		name, spec string
		have       func(*plan.Live)
		plan       string
	}{{
		name: "the newest of the list, on the nodes of the containers that are made from it",
		spec: `templates: {d: {storage: local, appliance: debian-13-standard}}
containers: {web: {id: 101, node: pve2, state: stopped, rootfs: {storage: zfs}, from: {template: d}}}`,
		plan: `template d on pve2: create
  1. download debian-13-standard_13.1-10_amd64.tar.zst to local
101 web: create on pve2 · online · after template d on pve2
  + hostname web · online
  + tags tend · online
  + rootfs volume on zfs · online
  1. create from local:vztmpl/debian-13-standard_13.1-10_amd64.tar.zst: hostname="web" rootfs="zfs:4" swap="512" tags="tend" unprivileged="1"
0 in sync
`,
	}, {
		name: "an older one that is there is good",
		spec: `templates: {d: {storage: local, appliance: debian-13-standard, nodes: [pve1]}}
containers: {web: {id: 101, node: pve1, state: stopped, rootfs: {storage: zfs}, from: {template: d}}}`,
		have: func(l *plan.Live) {
			l.Templates["pve1"]["local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"] = true
			l.Templates["pve1"]["local:vztmpl/debian-13-standard_13.0-9_amd64.tar.zst"] = true
			l.Templates["pve1"]["nas:vztmpl/debian-13-standard_14.0-1_amd64.tar.zst"] = true
			l.Templates["pve1"]["local:vztmpl/debian-13-standardplus_14.0-1_amd64.tar.zst"] = true
		},
		plan: `101 web: create on pve1 · online
  + hostname web · online
  + tags tend · online
  + rootfs volume on zfs · online
  1. create from local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst: hostname="web" rootfs="zfs:4" swap="512" tags="tend" unprivileged="1"
0 in sync
`,
	}, {
		name: "one that no container names, on all nodes that are online",
		spec: `templates: {c: {storage: local, image: "docker.io/library/caddy:2"}}
containers: {}`,
		plan: `template c on pve1: create
  1. pull docker.io/library/caddy:2 as caddy_2.tar to local
template c on pve2: create
  1. pull docker.io/library/caddy:2 as caddy_2.tar to local
0 in sync
`,
	}, {
		name: "once on a shared storage",
		spec: `templates: {b: {storage: nas, url: "https://example.com/x/base%201.tar.xz?a=b", checksum: "` + sha + `"}}
containers:
  web: {id: 101, node: pve1, state: stopped, rootfs: {storage: zfs}, from: {template: b}}
  db: {id: 102, node: pve2, state: stopped, rootfs: {storage: zfs}, from: {template: b}}`,
		plan: `template b on pve1: create
  1. download base_1.tar.xz to nas from https://example.com/x/base%201.tar.xz?a=b, ` + sha + `
101 web: create on pve1 · online · after template b on pve1
  + hostname web · online
  + tags tend · online
  + rootfs volume on zfs · online
  1. create from nas:vztmpl/base_1.tar.xz: hostname="web" rootfs="zfs:4" swap="512" tags="tend" unprivileged="1"
102 db: create on pve2 · online · after template b on pve1
  + hostname db · online
  + tags tend · online
  + rootfs volume on zfs · online
  1. create from nas:vztmpl/base_1.tar.xz: hostname="db" rootfs="zfs:4" swap="512" tags="tend" unprivileged="1"
0 in sync
`,
	}, {
		name: "one of TurnKey, whose file is called otherwise, is there",
		spec: `templates: {w: {storage: local, appliance: turnkey-wordpress, nodes: [pve1]}}
containers: {}`,
		have: func(l *plan.Live) {
			l.Templates["pve1"]["local:vztmpl/debian-12-turnkey-wordpress_18.1-1_amd64.tar.gz"] = true
		},
		plan: "0 in sync\n",
	}, {
		name: "what cannot be had, and what is made from it",
		spec: `templates:
  a: {storage: local, appliance: debian-13-standart, nodes: [pve1, pve3]}
  b: {storage: zfs, appliance: debian-13-standard, nodes: [pve1]}
  c: {storage: nowhere, appliance: debian-13-standard, nodes: [pve1]}
  d: {storage: local, appliance: arch-base, nodes: [pve1]}
containers: {web: {id: 101, node: pve1, rootfs: {storage: zfs}, from: {template: a}}}`,
		plan: `template a on pve1: blocked: download: appliance debian-13-standart is not in the list of the node
template b on pve1: blocked: download: storage zfs does not take templates (content vztmpl)
template c on pve1: blocked: download: storage nowhere does not exist on node pve1
template d on pve1: blocked: download: appliance arch-base is not in the list of the node
101 web: blocked: create: template a cannot be had: appliance debian-13-standart is not in the list of the node
0 in sync
`,
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := plan.Compute(read(t, tt.spec), besides(tt.have), plan.Policy{})
			if d := cmp.Diff(tt.plan, p.String()); d != "" {
				t.Error(d)
			}
			if n := p.Needs(besides(tt.have)); !n.None() {
				t.Errorf("it needs to know more: %+v", n)
			}
		})
	}
}

// TestNeedsOfTemplates shows that nothing is said of what is not known yet.
func TestNeedsOfTemplates(t *testing.T) {
	want := read(t, `templates: {d: {storage: local, appliance: debian-13-standard}}
containers: {web: {id: 101, node: pve1, pool: lab, rootfs: {storage: zfs}, from: {template: d}}}
backupJobs: {w: {schedule: daily, storage: local, select: {pool: lab}}}`)
	full, have := besides(nil), besides(func(l *plan.Live) {
		l.Storages, l.Templates, l.Appliances, l.Pools, l.Guests, l.HA = nil, nil, nil, nil, nil, nil
		l.Permissions = nil
	})
	var last string
	for range 5 {
		p := plan.Compute(want, have, plan.Policy{})
		last = p.String()
		n := p.Needs(have)
		if strings.Contains(last, "blocked") {
			t.Errorf("blocked before all is known:\n%s", last)
		}
		if n.None() {
			break
		}
		if len(n.Storages) > 0 {
			have.Storages = full.Storages
		}
		if len(n.Templates) > 0 {
			have.Templates = full.Templates
		}
		if len(n.Appliances) > 0 {
			have.Appliances = full.Appliances
		}
		if n.Pools {
			have.Pools = full.Pools
		}
		if n.Permissions {
			have.Permissions = full.Permissions
		}
		if n.Guests {
			have.Guests, have.HA = full.Guests, full.HA
		}
	}
	if d := cmp.Diff(plan.Compute(want, full, plan.Policy{}).String(), last); d != "" {
		t.Error(d)
	}
	if strings.Count(last, "1. ") != 3 {
		t.Errorf("the plan is\n%s", last)
	}
}

const weekly = `backupJobs: {weekly: {schedule: "sun 03:00", storage: nas, select: {tags: [media]}, keep: {weekly: 4}, comment: mine}}
containers:
  web: {id: 101, node: pve1, tags: [media], memory: 256MiB, swap: 0MiB, cores: 1, rootfs: {storage: local-btrfs, size: 1GiB}, state: any}
  new: {id: 102, node: pve1, tags: [MEDIA], rootfs: {storage: zfs}, from: {template: "local:vztmpl/a.tar.xz"}}
  none: {id: 103, node: pve1, tags: [media]}
  other: {id: 104, node: pve1, tags: [b], rootfs: {storage: zfs}, from: {template: "local:vztmpl/a.tar.xz"}}`

func TestJobs(t *testing.T) {
	inSync := func(kv ...string) func(*testing.T, *plan.Live) {
		return func(_ *testing.T, l *plan.Live) {
			l.Jobs["tend-weekly"] = proxmox.BackupJob{ID: "tend-weekly", Values: with(proxmox.Values{
				"schedule": "sun 03:00", "storage": "nas", "vmid": "102,101", "prune-backups": "keep-weekly=4", "comment": "mine [tend]", "enabled": "1",
			}, kv...)}
		}
	}
	tests := []struct {
		name string
		have func(*testing.T, *plan.Live)
		spec func(string) string
		plan string
	}{{
		name: "a new job, for those that have the tag and are there or made now",
		plan: `backup job weekly: create
  + schedule sun 03:00 · online
  + storage nas · online
  + guests 101, 102 · online
  + comment mine [tend] · online
  + keep weekly 4 · online
  1. create backup job tend-weekly: comment="mine [tend]" prune-backups="keep-weekly=4" schedule="sun 03:00" storage="nas" vmid="101,102"
`,
	}, {
		name: "in sync", have: inSync(),
	}, {
		name: "what was set by hand is undone, and what was taken away put back",
		have: inSync("mode", "stop", "enabled", "0", "prune-backups", "keep-all=1", "zstd", "4", "notes-template", "x", "vmid", "", "all", "1", "exclude", "9"),
		plan: `backup job weekly: change
  + guests 101, 102 · online
  ~ all guests yes → no · online
  - exclude 9 · online
  ~ enabled no → yes · online
  ~ mode stop → snapshot · online
  ~ keep all yes → no, weekly 0 → 4 · online
  - notes x · online
  ~ zstd threads 4 → 1 · online
  1. backup job tend-weekly: set enabled="1" prune-backups="keep-weekly=4" vmid="101,102"; delete all, exclude, mode, notes-template, zstd
`,
	}, {
		name: "defaults that are written down are no drift",
		have: inSync("mode", "snapshot", "compress", "0", "ionice", "7", "stdexcludes", "1", "remove", "1", "performance", "max-workers=4",
			"fleecing", "enabled=0", "script", "/x", "quiet", "1"),
	}, {
		name: "a comment whose mark is gone is somebody else's",
		have: inSync("comment", "mine"),
		plan: `backup job weekly: blocked: change: a backup job tend-weekly exists, and its comment does not end with [tend]
`,
	}, {
		name: "and is taken over when that is written",
		have: inSync("comment", "mine"),
		spec: func(s string) string { return strings.Replace(s, "comment: mine", "comment: mine, adopt: true", 1) },
		plan: `backup job weekly: change
  ~ comment mine → mine [tend] · online
  1. backup job tend-weekly: set comment="mine [tend]"
`,
	}, {
		name: "jobs that are not declared go, foreign ones stay",
		have: func(t *testing.T, l *plan.Live) {
			inSync()(t, l)
			l.Jobs["old"] = proxmox.BackupJob{ID: "old", Values: proxmox.Values{"comment": "[tend]", "all": "1"}}
			l.Jobs["other"] = proxmox.BackupJob{ID: "other", Values: proxmox.Values{"comment": "[tend2]", "all": "1"}}
			l.Jobs["tend-fake"] = proxmox.BackupJob{ID: "tend-fake", Values: proxmox.Values{"all": "1"}}
		},
		plan: `backup job old: destroy
  1. delete backup job old (not in the spec; its backups are kept)
`,
	}, {
		name: "a container that is not in the spec, but carries the owner's tag",
		have: func(t *testing.T, l *plan.Live) {
			inSync("vmid", "101,102,110")(t, l)
			l.Containers[110] = &plan.Observed{Ref: proxmox.Ref{Node: "pve1", ID: 110}, Name: "gone", Tags: []string{"tend", "media"}}
			l.Containers[111] = &plan.Observed{Ref: proxmox.Ref{Node: "pve1", ID: 111}, Name: "foreign", Tags: []string{"media"}}
		},
		plan: "110 gone: unclaimed, stopped on pve1\n",
	}, {
		name: "a value that nobody understands",
		have: inSync("vmid", "x"),
		plan: `backup job weekly: blocked: change: vmid: "x" is no VMID
`,
	}, {
		name: "jobs that cannot be read",
		have: func(_ *testing.T, l *plan.Live) {
			l.Jobs, l.JobsBroken = nil, errors.New("list backup jobs: not permitted")
		},
		plan: `backup job weekly: blocked: change: list backup jobs: not permitted
`,
	}, {
		name: "a storage of no use",
		spec: func(s string) string { return strings.Replace(s, "storage: nas", "storage: zfs", 1) },
		plan: `backup job weekly: blocked: create: storage zfs does not take backups (content backup)
`,
	}, {
		name: "a pool that is not there",
		spec: func(s string) string { return strings.Replace(s, "{tags: [media]}", "{pool: labb}", 1) },
		plan: `backup job weekly: blocked: change: pool labb does not exist, or the token may not see it
`,
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := weekly
			if tt.spec != nil {
				text = tt.spec(text)
			}
			web := observe(t, false, proxmox.Config{Current: with(webValues(), "tags", "media;tend")})
			have := besides(func(l *plan.Live) {
				l.Containers = web.Containers
				l.Templates["pve1"]["local:vztmpl/a.tar.xz"] = true
				l.Storages["pve1"]["local-btrfs"] = proxmox.Storage{Content: []proxmox.Content{"rootdir"}, Active: true, Enabled: true}
				if tt.have != nil {
					tt.have(t, l)
				}
			})
			p := plan.Compute(read(t, text), have, plan.Policy{})
			p.Lanes = slices.DeleteFunc(p.Lanes, func(l plan.Lane) bool { return l.Kind != plan.JobKind })
			p.Blocked = slices.DeleteFunc(p.Blocked, func(b plan.Blocked) bool { return b.Kind != plan.JobKind })
			if d := cmp.Diff(tt.plan+"1 in sync\n", p.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestJobsAreLeftAlone(t *testing.T) {
	have := besides(func(l *plan.Live) {
		l.Jobs["old"] = proxmox.BackupJob{ID: "old", Values: proxmox.Values{"comment": "[tend]", "all": "1"}}
	})
	for text, want := range map[string]string{
		"containers: {}":                 "0 in sync\n",
		"containers: {}\nbackupJobs: {}": "backup job old: destroy\n  1. delete backup job old (not in the spec; its backups are kept)\n0 in sync\n",
	} {
		if d := cmp.Diff(want, plan.Compute(read(t, text), have, plan.Policy{}).String()); d != "" {
			t.Error(d)
		}
	}
}

func TestPools(t *testing.T) {
	tests := []struct {
		name, pool, in, plan string
		edit                 func(*spec.Container)
	}{
		{name: "in it", pool: "lab", in: "lab", plan: "1 in sync\n"},
		{name: "in none", pool: "", in: "", plan: "1 in sync\n"},
		{name: "moved", pool: "lab", in: "customers", plan: `101 web: change on pve1 · online
  ~ pool customers → lab · online
  1. add to pool lab
0 in sync
`},
		{name: "added", pool: "lab", plan: `101 web: change on pve1 · online
  + pool lab · online
  1. add to pool lab
0 in sync
`},
		{name: "removed", pool: "", in: "lab", plan: `101 web: change on pve1 · online
  - pool lab · online
  1. remove from pool lab
0 in sync
`},
		{name: "no such pool", pool: "labb", in: "lab", plan: `101 web: blocked: pool: pool labb does not exist, or the token may not see it
0 in sync
`},
		{name: "not said", in: "customers", plan: "1 in sync\n", edit: func(c *spec.Container) { c.Pool = nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			have := observe(t, true, proxmox.Config{Current: webValues()})
			have.Pools, have.PoolOf = map[string]bool{"lab": true, "customers": true}, map[proxmox.VMID]string{101: tt.in}
			want := declare(t, "", func(c *spec.Container) { c.Pool = &tt.pool })
			if tt.edit != nil {
				tt.edit(want.Containers[0])
			}
			if d := cmp.Diff(tt.plan, plan.Compute(want, have, plan.Policy{}).String()); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestLackingPrivileges shows that what the token may not do is said beforehand, and of what.
func TestLackingPrivileges(t *testing.T) {
	text := `templates: {d: {storage: local, appliance: debian-13-standard, nodes: [pve1]}, c: {storage: local, image: "docker.io/library/caddy:2", nodes: [pve1]}}
containers:
  web: {id: 101, node: pve1, memory: 256MiB, swap: 0MiB, cores: 1, rootfs: {storage: local-btrfs, size: 1GiB}, state: any, pool: lab}
  new: {id: 102, node: pve1, pool: lab, rootfs: {storage: zfs}, from: {template: d}}
backupJobs: {w: {schedule: daily, storage: local, select: {all: true}}}`
	for privilege, want := range map[string]string{
		"": `template c on pve1: create
  1. pull docker.io/library/caddy:2 as caddy_2.tar to local
template d on pve1: create
`,
		"Datastore.AllocateTemplate": `template c on pve1: blocked: download: the token lacks Datastore.AllocateTemplate on /storage/local
template d on pve1: blocked: download: the token lacks Datastore.AllocateTemplate on /storage/local
102 new: blocked: create: template d cannot be had: the token lacks Datastore.AllocateTemplate on /storage/local
`,
		"Sys.AccessNetwork":  "template c on pve1: blocked: download: the token lacks Sys.AccessNetwork on /nodes/pve1\n",
		"Pool.Allocate":      "101 web: blocked: pool: the token lacks Pool.Allocate on /pool/lab\n",
		"Sys.Modify":         "backup job w: blocked: create: the token lacks Sys.Modify on /\n",
		"Datastore.Allocate": "backup job w: blocked: create: the token lacks Datastore.Allocate on /storage/local\n",
	} {
		t.Run(privilege, func(t *testing.T) {
			web := observe(t, false, proxmox.Config{Current: webValues()})
			have := besides(func(l *plan.Live) {
				l.Containers = web.Containers
				l.Storages["pve1"]["local-btrfs"] = proxmox.Storage{Content: []proxmox.Content{"rootdir"}, Active: true, Enabled: true}
				delete(l.Permissions["/"], privilege)
			})
			if got := plan.Compute(read(t, text), have, plan.Policy{}).String(); !strings.Contains(got, want) {
				t.Errorf("the plan is\n%s", got)
			}
		})
	}
}
