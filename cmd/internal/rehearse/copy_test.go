package rehearse_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/rehearse"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// rich is a configuration with everything that a file may hold.
const rich = `#Zwei Zeilen%3A 100%25
#
#zweite %C3%BC
arch: amd64
cores: 2
hostname: ct200
memory: 512
mp0: tank:subvol-200-disk-1,mp=/data,size=2G
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,type=veth
ostype: debian
parent: daily
rootfs: tank:subvol-200-disk-0,size=4G
swap: 512
tags: media;tend
unprivileged: 1
unused0: thick:vm-200-disk-7
lxc.environment.runtime: A=1
lxc.environment.runtime: B=zwei
lxc.apparmor.profile: unconfined

[pve:pending]
delete: mp0
memory: 1024

[daily]
#before
arch: amd64
hostname: ct200
memory: 512
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,type=veth
ostype: debian
rootfs: tank:subvol-200-disk-0,size=4G
snaptime: 1790000000
swap: 512
unprivileged: 1
`

func lived(t *testing.T) *sim.State {
	t.Helper()
	st := cluster()
	st.Containers = map[proxmox.VMID]*sim.Container{
		200: {Node: "pve1", Running: true, Config: rich},
		900: {Node: "pve1", Config: "hostname: somebody\nrootfs: tank:subvol-900-disk-0,size=4G\ntags: other\n"},
	}
	st.Volumes = map[string]*sim.Volume{
		"tank:subvol-200-disk-0": {Size: 4 << 30, Node: "pve1", Snapshots: []string{"daily"}},
		"tank:subvol-200-disk-1": {Size: 2 << 30, Node: "pve1"},
		"tank:subvol-900-disk-0": {Size: 4 << 30, Node: "pve1"},
		"thick:vm-200-disk-7":    {Size: 1 << 30, Node: "pve1"},
	}
	st.VMs = map[proxmox.VMID]*sim.VM{300: {Node: "pve1", Name: "mail"}}
	st.HA = map[proxmox.VMID]string{200: "started"}
	st.Pools = map[string]*sim.Pool{"shop": {VMs: []proxmox.VMID{200}}}
	st.Datacenter = map[string]any{"tag-style": "ordering=config,case-sensitive=1", "registered-tags": "a;b"}
	return st
}

// ct200 is a spec of container 200 with a setting more.
func ct200(edit func(setting.Record)) *spec.State {
	r := setting.Record{}
	root := setting.Record{}
	setting.Storage.Set(root, "tank")
	setting.Size.Set(root, 4*setting.GiB)
	setting.RootFS.Set(r, root)
	if edit != nil {
		edit(r)
	}
	return spec.NewState(spec.Cluster{Name: "home", Owner: "tend"}, []*spec.Container{{
		Name: "ct200", ID: 200, Node: "pve1", Settings: r, Power: spec.Running, Restart: spec.RestartNow,
	}})
}

// TestCopyIsFaithful: a token that may read everything copies configurations to the byte, and all that occupies
// something.
func TestCopyIsFaithful(t *testing.T) {
	t.Parallel()
	st := lived(t)
	real := start(t, st)
	c, err := rehearse.Take(t.Context(), proxmox.NewClient(real.As("root@pam")), ct200(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := real.State()
	if diff := cmp.Diff(want.Containers[200], c.State.Containers[200]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("hostname: somebody\ntags: other\n", c.State.Containers[900].Config); diff != "" {
		t.Errorf("what is not the spec's only takes its place: %s", diff)
	}
	for what, pair := range map[string][2]any{
		"HA":         {want.HA, c.State.HA},
		"pools":      {want.Pools, c.State.Pools},
		"bridges":    {want.Nodes["pve1"].Bridges, c.State.Nodes["pve1"].Bridges},
		"datacenter": {"case-sensitive=1,ordering=config", c.State.Datacenter["tag-style"]},
		"template":   {want.Templates[template].OSType, c.State.Templates[template].OSType},
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	if c.State.VMs[300] == nil {
		t.Error("the virtual machine 300 is not there")
	}
	if len(c.Unsure) > 0 {
		t.Errorf("not sure, though all could be read: %s", strings.Join(c.Unsure, "\n"))
	}
}

// TestUnsure: what the token may not read is named.
func TestUnsure(t *testing.T) {
	t.Parallel()
	st := lived(t)
	st.Roles["Tend"] = []string{"VM.Audit"}
	want := ct200(nil)
	other := *want.Containers[0]
	other.ID, other.Name = 777, "new"
	want.Containers = append(want.Containers, &other)
	st.VMs[777] = &sim.VM{Node: "pve1"}
	st.ACL = append(st.ACL, sim.ACL{Path: "/vms/777", Role: "NoAccess", Token: token})
	real := start(t, st)
	c, err := rehearse.Take(t.Context(), proxmox.NewClient(real.As(token)), want)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"whether the cluster has quorum is not shown", "who may set which tags", "processors and memory of node pve1",
		"storage tank is not shown to the token", "VMID 777 is taken by a guest that the token may not see",
		"bridge vmbr0 of node pve1 is not shown",
	} {
		if !slices.ContainsFunc(c.Unsure, func(s string) bool { return strings.Contains(s, text) }) {
			t.Errorf("it does not say: %s\n%s", text, strings.Join(c.Unsure, "\n"))
		}
	}
}

// TestDown: a container is down from its shutdown to its start, and stays down where something fails in between.
func TestDown(t *testing.T) {
	t.Parallel()
	st := lived(t)
	st.HA, st.Containers[200].Config = nil, strings.Split(rich, "\n[pve:pending]")[0]
	st.Containers[200].Config = strings.Replace(st.Containers[200].Config, "parent: daily\n", "", 1)
	st.Volumes["tank:subvol-200-disk-0"].Snapshots = nil
	move := ct200(func(r setting.Record) {
		root := setting.Record{}
		setting.Storage.Set(root, "local")
		setting.Size.Set(root, 4*setting.GiB)
		setting.RootFS.Set(r, root)
	})
	move.Containers[0].Lifecycle.Ignore = []string{"mounts", "raw"}
	forecast := func(s *sim.Sim) rehearse.Forecast {
		r, err := rehearse.Run(t.Context(), proxmox.NewClient(s.As("root@pam")), move, rehearse.Options{Policy: plan.Policy{}})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Containers) != 1 {
			t.Fatalf("%d forecasts, want one", len(r.Containers))
		}
		return r.Containers[0]
	}
	f := forecast(start(t, st))
	// 10 s to shut down, 10 s and 4 GiB at 100 MiB a second to copy, 5 s to start
	if want := 10*time.Second + 51*time.Second + 5*time.Second; f.Down != want || f.StaysDown {
		t.Errorf("%s, down for %s, stays down: %v; want %s\n%v %v", f.State, f.Down, f.StaysDown, want, f.Err, f.Blocked)
	}
	st.Volumes["tank:subvol-200-disk-0"].Used = 3 << 30
	st.Storages["local"].Content = append(st.Storages["local"].Content, "images")
	full := start(t, st)
	if err := full.FillStorage("local", 1<<20); err != nil {
		t.Fatal(err)
	}
	f = forecast(full)
	if !f.StaysDown || f.Err == nil {
		t.Errorf("%s: %v, stays down: %v; a volume of 4 GiB was moved to a storage with 1 MiB", f.State, f.Err, f.StaysDown)
	}
}
