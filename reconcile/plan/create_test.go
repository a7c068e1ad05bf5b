package plan_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// nothing is a cluster without containers, with the storages and templates of the recorded node.
func nothing() *plan.Live {
	local := proxmox.Storage{Name: "local", Content: []proxmox.Content{"vztmpl", "rootdir"}, Active: true, Enabled: true}
	btrfs := proxmox.Storage{Name: "local-btrfs", Content: []proxmox.Content{"rootdir"}, Active: true, Enabled: true}
	isos := proxmox.Storage{Name: "isos", Content: []proxmox.Content{"iso"}, Active: true, Enabled: true}
	return &plan.Live{
		Cluster: "pve1", Nodes: map[string]bool{"pve1": true, "pve2": false},
		Containers: map[proxmox.VMID]*plan.Observed{},
		Guests:     map[proxmox.VMID]string{104: `virtual machine "mail" on node pve1`},
		Storages:   map[string]map[string]proxmox.Storage{"pve1": {"local": local, "local-btrfs": btrfs, "isos": isos}},
		Templates:  map[string]map[string]bool{"pve1": {"local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst": true}},
	}
}

func TestCreate(t *testing.T) {
	cases := []struct {
		name, want, plan string
		edit             func(*spec.Container)
	}{{
		name: "everything goes into one call",
		want: `"mounts": {"/b": {"storage": "local", "size": "2GiB", "backup": true}, "/a": {"storage": "local", "size": "1GiB"}},
			"network": {"eth0": {"bridge": "vmbr0", "ipv4": "192.0.2.1/24", "gateway4": "192.0.2.254"}}, "features": {"nesting": true}`,
		edit: func(c *spec.Container) { c.Power = spec.Running },
		plan: `101 web: create on pve1 · online
  + hostname web · online
  + tags tend · online
  + cores 1 · online
  ~ memory 512 MiB → 256 MiB · online
  + swap 0 MiB · online
  + rootfs 1 GiB on local-btrfs · online
  + mount /a 1 GiB on local · online
  + mount /b 2 GiB on local (backup) · online
  + interface eth0 on vmbr0, IPv4 192.0.2.1/24 via 192.0.2.254 · online
  + feature nesting · online
  1. create from local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst: cores="1" ` +
			`features="nesting=1" hostname="web" memory="256" mp0="local:1,mp=/a" ` +
			`mp1="local:2,mp=/b,backup=1" net0="name=eth0,bridge=vmbr0,gw=192.0.2.254,ip=192.0.2.1/24" ` +
			`rootfs="local-btrfs:1" swap="0" tags="tend" unprivileged="1"
  2. start (state: running)
0 in sync
`,
	}, {
		name: "a mount that only says that it shall go is not made", want: `"mounts": {"/a": {"onRemove": "destroy"}}`,
		plan: `101 web: create on pve1 · online
  + hostname web · online
  + tags tend · online
  + cores 1 · online
  ~ memory 512 MiB → 256 MiB · online
  + swap 0 MiB · online
  + rootfs 1 GiB on local-btrfs · online
  1. create from local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst: cores="1" hostname="web" memory="256" ` +
			`rootfs="local-btrfs:1" swap="0" tags="tend" unprivileged="1"
0 in sync
`,
	}, {
		name: "a mount that shows nothing", want: `"mounts": {"/a": {"readOnly": true}}`,
		plan: "101 web: blocked: create: the spec does not say what mount /a shows\n0 in sync\n",
	}, {
		name: "a node that does not exist", edit: func(c *spec.Container) { c.Node = "pve9" },
		plan: "101 web: blocked: create: node pve9 does not exist\n0 in sync\n",
	}, {
		name: "a node that is offline", edit: func(c *spec.Container) { c.Node = "pve2" },
		plan: "101 web: blocked: create: node pve2 is offline\n0 in sync\n",
	}, {
		name: "a VMID of a virtual machine", edit: func(c *spec.Container) { c.ID = 104 },
		plan: "104 web: blocked: create: VMID 104 is taken by virtual machine \"mail\" on node pve1\n0 in sync\n",
	}, {
		name: "a template that is not there",
		edit: func(c *spec.Container) { c.From.Template = "local:vztmpl/debian-12.tar.zst" },
		plan: "101 web: blocked: create: template local:vztmpl/debian-12.tar.zst is not on node pve1\n0 in sync\n",
	}, {
		name: "nothing to make it from", edit: func(c *spec.Container) { c.From = spec.From{} },
		plan: "101 web: blocked: create: it does not exist, and the spec does not say what to make it from\n0 in sync\n",
	}, {
		name: "a storage that does not exist", want: `"mounts": {"/a": {"storage": "tank", "size": "1GiB"}}`,
		plan: "101 web: blocked: create: storage tank does not exist on node pve1\n0 in sync\n",
	}, {
		name: "a storage for other content", want: `"rootfs": {"storage": "isos", "size": "1GiB"}`,
		plan: "101 web: blocked: create: storage isos does not take volumes of containers (content rootdir)\n0 in sync\n",
	}, {
		name: "all that stands in the way is told at once",
		want: `"mounts": {"/a": {"storage": "tank", "size": "1GiB"}, "/b": {"storage": "isos", "size": "1GiB"}}`,
		edit: func(c *spec.Container) { c.From.Template = "local:vztmpl/debian-12.tar.zst" },
		plan: "101 web: blocked: create: template local:vztmpl/debian-12.tar.zst is not on node pve1\n" +
			"101 web: blocked: create: storage isos does not take volumes of containers (content rootdir)\n" +
			"101 web: blocked: create: storage tank does not exist on node pve1\n0 in sync\n",
	}, {
		name: "a root-only setting blocks the create: a container never starts half made",
		want: `"features": {"fuse": true}`,
		plan: "101 web: blocked: features: API tokens may only change nesting; tend acts with an API token, to which Proxmox answers: " +
			"Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)\n" +
			"101 web: blocked: create: some of it only root@pam may set, and a container is never made in part\n0 in sync\n",
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			edit := tc.edit
			if edit == nil {
				edit = func(*spec.Container) {}
			}
			p := plan.Compute(declare(t, tc.want, edit), nothing(), plan.Policy{})
			if diff := cmp.Diff(tc.plan, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// owned is a live state with containers 201, 202, … that carry the owner's tag and nothing declares.
func owned(t *testing.T, running bool, configs ...proxmox.Values) *plan.Live {
	t.Helper()
	have := nothing()
	for i, v := range configs {
		id := proxmox.VMID(201 + i)
		o := &plan.Observed{
			Ref: proxmox.Ref{Node: "pve1", ID: id}, Name: v["hostname"], Tags: []string{"Tend"}, Running: running, Managed: true,
			Config: proxmox.Config{Current: v},
		}
		if err := o.Understand(); err != nil {
			t.Fatal(err)
		}
		have.Containers[id] = o
	}
	return have
}

func TestPrune(t *testing.T) {
	plain := with(webValues(), "mp0", "local:201/vm-201-disk-1.raw,mp=/a", "unused0", "local:201/vm-201-disk-2.raw")
	guarded := with(webValues(), "protection", "1")
	cases := []struct {
		name    string
		policy  plan.Policy
		have    []proxmox.Values
		running bool
		empty   bool // the spec declares nothing
		plan    string
	}{{
		name: "off: shown and left", have: []proxmox.Values{plain},
		plan: "201 web: unclaimed, stopped on pve1\n",
	}, {
		name: "a running one is stopped first, and its volumes are named", policy: plan.Policy{Prune: true},
		have: []proxmox.Values{plain}, running: true,
		plan: `201 web: destroy on pve1 · recreate
  1. shut down (to be destroyed)
  2. destroy with local-btrfs:101/vm-101-disk-0.raw, local:201/vm-201-disk-1.raw, local:201/vm-201-disk-2.raw (not in the spec)
`,
	}, {
		name: "protection holds", policy: plan.Policy{Prune: true}, have: []proxmox.Values{guarded},
		plan: "201 web: blocked: destroy: it is protected\n",
	}, {
		name: "the budget is one unless said otherwise", policy: plan.Policy{Prune: true},
		have: []proxmox.Values{webValues(), webValues()},
		plan: `201 web: destroy on pve1 · recreate
  1. destroy with local-btrfs:101/vm-101-disk-0.raw (not in the spec)
202 web: blocked: destroy: the budget of 1 for one run is used up
`,
	}, {
		name: "an empty spec prunes nothing", policy: plan.Policy{Prune: true, PruneMax: 9}, empty: true,
		have: []proxmox.Values{webValues()},
		plan: "201 web: blocked: destroy: the spec declares no container at all: nothing is pruned\n",
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			want := declare(t, "", func(c *spec.Container) { c.From = spec.From{} })
			declared := "101 web: blocked: create: it does not exist, and the spec does not say what to make it from\n"
			if tc.empty {
				want.Containers, declared = nil, ""
			}
			p := plan.Compute(want, owned(t, tc.running, tc.have...), tc.policy)
			p.Blocked = slices.DeleteFunc(p.Blocked, func(b plan.Blocked) bool { return b.ID == 101 })
			if diff := cmp.Diff(tc.plan+"0 in sync\n", p.String()); diff != "" {
				t.Errorf("plan besides %q (-want +got):\n%s", declared, diff)
			}
		})
	}
}

// TestPendingMounts shows that members of a family are found through what is pending.
func TestPendingMounts(t *testing.T) {
	const volume = "local:101/vm-101-disk-1.raw"
	declared := `"mounts": {"/new": {"storage": "local", "size": "2GiB"}}`
	cases := []struct {
		name, want string
		config     proxmox.Config
		plan       string
	}{{
		name: "a path that will change is matched by what it will be", want: declared,
		config: proxmox.Config{
			Current: with(webValues(), "mp0", volume+",mp=/old,size=2G"),
			Pending: proxmox.Values{"mp0": volume + ",mp=/new,size=2G"},
		},
		plan: `101 web: change on pve1 · restart
  ~ mount /new path in the container /old → /new · restart (pending already)
  1. restart (mount /new)
0 in sync
`,
	}, {
		name: "a volume that is named is moved to its new path", want: `"mounts": {"/new": {"volume": "` + volume + `"}}`,
		config: proxmox.Config{Current: with(webValues(), "mp0", volume+",mp=/old,size=2G")},
		plan: `101 web: change on pve1 · restart
  ~ mount /new path in the container /old → /new · restart
  1. set mp0="local:101/vm-101-disk-1.raw,mp=/new,size=2G"
  2. restart (mount /new)
0 in sync
`,
	}, {
		name: "a detach that is pending and unwanted is reverted", want: `"mounts": {"/old": {"storage": "local", "size": "2GiB"}}`,
		config: proxmox.Config{
			Current: with(webValues(), "mp0", volume+",mp=/old,size=2G"), Deleted: map[string]bool{"mp0": true},
		},
		plan: `101 web: change on pve1 · online
  + mount /old 2 GiB on local (volume local:101/vm-101-disk-1.raw) · online (drops a change that is pending)
  1. revert mp0
0 in sync
`,
	}, {
		name: "paths alone keep what is mounted there, whatever is pending",
		want: `"mounts": {"/a": {"storage": "local", "size": "1GiB"}, "/b": {"storage": "local", "size": "2GiB"}}`,
		config: proxmox.Config{
			Current: with(webValues(), "mp0", "local:101/vm-101-disk-0.raw,mp=/a,size=1G", "mp1", volume+",mp=/b,size=2G"),
			Pending: proxmox.Values{"mp1": volume + ",mp=/a,size=2G"}, Deleted: map[string]bool{"mp0": true},
		},
		plan: `101 web: change on pve1 · online
  + mount /a 1 GiB on local (volume local:101/vm-101-disk-0.raw) · online (drops a change that is pending)
  ~ mount /b path in the container /a → /b · online (drops a change that is pending)
  1. revert mp0, mp1
0 in sync
`,
	}, {
		name: "a named volume that somebody puts in the place of another is mounted beside it",
		want: `"mounts": {"/a": {"storage": "local", "size": "1GiB"}, "/b": {"volume": "` + volume + `"}}`,
		config: proxmox.Config{
			Current: with(webValues(), "mp0", "local:101/vm-101-disk-0.raw,mp=/a,size=1G", "unused0", volume),
			Pending: proxmox.Values{"mp0": volume + ",mp=/b"},
		},
		plan: `101 web: change on pve1 · online
  ~ mount /a path in the container /b → /a, size none → 1 GiB, volume local:101/vm-101-disk-1.raw → local:101/vm-101-disk-0.raw · online (drops a change that is pending)
  + mount /b volume local:101/vm-101-disk-1.raw · online
  1. revert mp0
  2. set mp1="local:101/vm-101-disk-1.raw,mp=/b"
0 in sync
`,
	}, {
		name: "a mount that stays, since it may only be renamed, stays where it is",
		want: `"mounts": {"/new": {"storage": "local", "size": "2GiB"}}`,
		config: proxmox.Config{
			Current: with(webValues(), "mp0", volume+",mp=/old,size=2G"), Pending: proxmox.Values{"mp0": volume + ",mp=/other,size=2G"},
		},
		plan: `101 web: change on pve1 · online
  ~ mount /old path in the container /other → /old · online (drops a change that is pending)
  1. revert mp0
101 web: blocked: mount /new: it looks like mount /old under another path, and would be a new, empty volume
0 in sync
`,
	}, {
		name: "what is pending for a volume that has grown since names its size", want: `"rootfs": {"storage": "local-btrfs", "size": "2GiB", "readOnly": true}`,
		config: proxmox.Config{
			Current: with(webValues(), "rootfs", "local-btrfs:101/vm-101-disk-0.raw,size=2G"),
			Pending: proxmox.Values{"rootfs": "local-btrfs:101/vm-101-disk-0.raw,ro=1,size=1G"},
		},
		plan: `101 web: change on pve1 · restart
  ~ rootfs read only no → yes · restart (pending already)
  1. set rootfs="local-btrfs:101/vm-101-disk-0.raw,ro=1,size=2G"
  2. restart (rootfs)
0 in sync
`,
	}, {
		name: "a size that is pending is left so: the configuration lags behind", want: `"rootfs": {"storage": "local-btrfs", "size": "2GiB"}`,
		config: proxmox.Config{
			Current: webValues(), Pending: proxmox.Values{"rootfs": "local-btrfs:101/vm-101-disk-0.raw,size=2G"},
		},
		plan: "1 in sync\n",
	}, {
		name: "a size that is pending for a mount is left so", want: `"mounts": {"/old": {"storage": "local", "size": "3GiB"}}`,
		config: proxmox.Config{
			Current: with(webValues(), "mp0", volume+",mp=/old,size=2G"), Pending: proxmox.Values{"mp0": volume + ",mp=/old,size=3G"},
		},
		plan: "1 in sync\n",
	}, {
		name: "a detach that is pending and wanted only waits",
		config: proxmox.Config{
			Current: with(webValues(), "mp0", volume+",mp=/old,size=2G"), Deleted: map[string]bool{"mp0": true},
		},
		plan: `101 web: change on pve1 · restart
  - mount /old 2 GiB on local · restart (pending already)
  1. restart (mount /old)
0 in sync
`,
	}, {
		name: "an unused volume is attached by name", want: `"mounts": {"/data": {"volume": "` + volume + `"}}`,
		config: proxmox.Config{Current: with(webValues(), "unused0", volume)},
		plan: `101 web: change on pve1 · online
  + mount /data volume local:101/vm-101-disk-1.raw · online
  1. set mp0="local:101/vm-101-disk-1.raw,mp=/data"
0 in sync
`,
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p := plan.Compute(declare(t, tc.want, restartNow), observe(t, true, tc.config), plan.Policy{})
			if diff := cmp.Diff(tc.plan, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOrder shows that the order of what is declared does not matter.
func TestOrder(t *testing.T) {
	want := declare(t, "")
	for id := proxmox.VMID(300); id < 310; id++ {
		c := *want.Containers[0]
		c.ID, c.Name, c.Settings = id, "c"+id.String(), setting.Record{}
		want.Containers = append(want.Containers, &c)
	}
	first := plan.Compute(want, nothing(), plan.Policy{}).String()
	slices.Reverse(want.Containers)
	if diff := cmp.Diff(first, plan.Compute(want, nothing(), plan.Policy{}).String()); diff != "" {
		t.Errorf("plan of the reversed spec (-first +reversed):\n%s", diff)
	}
}

// TestRecreateBlocked shows that a container which cannot be made anew gets all other changes nevertheless, those
// among them that stand in the way.
func TestRecreateBlocked(t *testing.T) {
	want := declare(t, `"unprivileged": false, "cores": 2, "mounts": {"/a": {"storage": "local", "size": "1GiB", "backup": true}, "/b": {"storage": "local", "size": "1GiB", "quota": true}}`, func(c *spec.Container) {
		c.Lifecycle.AllowRecreate, c.Lifecycle.BackupTo, c.Power = true, "local", spec.Running
	})
	have := observe(t, false, proxmox.Config{Current: with(webValues(), "mp0", "local:101/vm-101-disk-1.raw,mp=/a,size=1G")})
	const text = `101 web: change on pve1 · online
  ~ cores 1 → 2 · online
  ~ mount /a backup no → yes · online
  1. set cores="2"
  2. set mp0="local:101/vm-101-disk-1.raw,mp=/a,backup=1,size=1G"
  3. start (state: running)
101 web: blocked: unprivileged: mount /a is in no backup, and its data would be lost
101 web: blocked: mount /b: unprivileged containers do not start with quotas, and it is still one
0 in sync
`
	if diff := cmp.Diff(text, plan.Compute(want, have, plan.Policy{}).String()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}
