package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// TestStrayed shows what is done about a mount for which somebody has put another volume in place, which the next
// start would show: what is mounted is what the spec means, unless the spec names the other one.
func TestStrayed(t *testing.T) {
	const a, b = "local:101/vm-101-disk-1.raw", "local:101/vm-101-disk-2.raw"
	cases := []struct {
		name, want    string
		have, pending []string
		plan          string
	}{{
		name: "another volume is reverted", want: `"mounts": {"/a": {"storage": "local", "size": "2GiB"}}`,
		have: []string{"mp0", a + ",mp=/a,size=2G"}, pending: []string{"mp0", b + ",mp=/a,size=5G"},
		plan: `101 web: change on pve1 · online
  ~ mount /a size 5 GiB → 2 GiB, volume local:101/vm-101-disk-2.raw → local:101/vm-101-disk-1.raw · online (drops a change that is pending)
  1. revert mp0
0 in sync
`,
	}, {
		name: "a volume that the next start would make is reverted", want: `"mounts": {"/a": {"storage": "local", "size": "2GiB"}}`,
		have: []string{"mp0", a + ",mp=/a,size=2G"}, pending: []string{"mp0", "local:2,mp=/a"},
		plan: `101 web: change on pve1 · online
  ~ mount /a size none → 2 GiB, volume local:2 → local:101/vm-101-disk-1.raw · online (drops a change that is pending)
  1. revert mp0
0 in sync
`,
	}, {
		name: "a directory of the node too", want: `"mounts": {"/a": {"storage": "local", "size": "2GiB"}}`,
		have: []string{"mp0", a + ",mp=/a,size=2G"}, pending: []string{"mp0", "/srv,mp=/a"},
		plan: `101 web: change on pve1 · online
  ~ mount /a storage none → local, size none → 2 GiB, volume none → local:101/vm-101-disk-1.raw, host path /srv → none · online (drops a change that is pending)
  1. revert mp0
0 in sync
`,
	}, {
		name: "another option takes its place", want: `"mounts": {"/a": {"storage": "local", "size": "2GiB", "readOnly": true}}`,
		have: []string{"mp0", a + ",mp=/a,size=2G"}, pending: []string{"mp0", b + ",mp=/a,size=5G"},
		plan: `101 web: change on pve1 · restart
  ~ mount /a read only no → yes · restart
  1. set mp0="local:101/vm-101-disk-1.raw,mp=/a,ro=1,size=2G"
  2. restart (mount /a)
0 in sync
`,
	}, {
		name: "the volume that the spec names waits", want: `"mounts": {"/a": {"volume": "` + b + `"}}`,
		have: []string{"mp0", a + ",mp=/a,size=2G"}, pending: []string{"mp0", b + ",mp=/a,size=2G"},
		plan: `101 web: change on pve1 · restart
  ~ mount /a volume local:101/vm-101-disk-1.raw → local:101/vm-101-disk-2.raw · restart (pending already)
  1. restart (mount /a)
0 in sync
`,
	}, {
		name: "paths that were swapped by hand are swapped back",
		want: `"mounts": {"/a": {"storage": "local", "size": "2GiB"}, "/b": {"storage": "local", "size": "2GiB"}}`,
		have: []string{"mp0", a + ",mp=/a,size=2G", "mp1", b + ",mp=/b,size=2G"}, pending: []string{"mp0", a + ",mp=/b,size=2G", "mp1", b + ",mp=/a,size=2G"},
		plan: `101 web: change on pve1 · online
  ~ mount /a path in the container /b → /a · online (drops a change that is pending)
  ~ mount /b path in the container /a → /b · online (drops a change that is pending)
  1. revert mp0, mp1
0 in sync
`,
	}, {
		name: "so is the root file system", have: []string{"cores", "1"}, pending: []string{"rootfs", b + ",size=5G"},
		plan: `101 web: change on pve1 · online
  ~ rootfs storage local → local-btrfs, size 5 GiB → 1 GiB, volume local:101/vm-101-disk-2.raw → local-btrfs:101/vm-101-disk-0.raw · online (drops a change that is pending)
  1. revert rootfs
0 in sync
`,
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			have := observe(t, true, proxmox.Config{Current: with(webValues(), tc.have...), Pending: with(proxmox.Values{}, tc.pending...)})
			p := plan.Compute(declare(t, tc.want, restartNow), have, plan.Policy{})
			if diff := cmp.Diff(tc.plan, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRaw compares raw lines only where they were read, and never changes them.
func TestRaw(t *testing.T) {
	const blocked = "101 web: blocked: raw LXC line: raw LXC lines are written into the configuration file on the node, there is no call " +
		"for them; tend acts with an API token, to which Proxmox answers: property is not defined in schema and " +
		"the schema does not allow additional properties\n0 in sync\n"
	line := proxmox.RawLine{Key: "lxc.cap.drop", Value: "sys_admin"}
	cases := []struct {
		name, want string
		raw        []proxmox.RawLine
		plan       string
	}{
		{"not read", `"lxc": [{"lxc.cap.drop": "sys_admin"}]`, nil, "1 in sync\n"},
		{"the same", `"lxc": [{"lxc.cap.drop": "sys_admin"}]`, []proxmox.RawLine{line}, "1 in sync\n"},
		{"missing", `"lxc": [{"lxc.cap.drop": "sys_admin"}]`, []proxmox.RawLine{}, blocked},
		{"twice", `"lxc": [{"lxc.cap.drop": "sys_admin"}]`, []proxmox.RawLine{line, line}, blocked},
		{"shall go", `"lxc": []`, []proxmox.RawLine{line}, blocked},
		{"none wanted, none there", `"lxc": []`, []proxmox.RawLine{}, "1 in sync\n"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			have := observe(t, true, proxmox.Config{Current: webValues()})
			have.Containers[101].Raw = tc.raw
			if err := have.Containers[101].Understand(); err != nil {
				t.Fatal(err)
			}
			p := plan.Compute(declare(t, tc.want, restartNow), have, plan.Policy{})
			if diff := cmp.Diff(tc.plan, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
