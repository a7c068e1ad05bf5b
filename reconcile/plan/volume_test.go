package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// TestVolumes shows that volumes are moved, attached and freed as said, and never lost by the way.
func TestVolumes(t *testing.T) {
	const a, b = "local:101/vm-101-disk-1.raw", "local:101/vm-101-disk-2.raw"
	cases := []struct {
		name, want string
		have       []string
		stopped    bool
		policy     plan.Policy
		plan       string
	}{{
		name: "a volume is moved while the container is stopped, after its options are set",
		want: `"mounts": {"/a": {"storage": "local-btrfs", "size": "2GiB", "backup": true}}`, have: []string{"mp0", a + ",mp=/a,size=2G"},
		plan: `101 web: change on pve1 · restart
  ~ mount /a storage local → local-btrfs · restart (copied; volume local:101/vm-101-disk-1.raw is kept as unused)
  ~ mount /a backup no → yes · restart
  1. set mp0="local:101/vm-101-disk-1.raw,mp=/a,backup=1,size=2G"
  2. shut down (mount /a)
  3. move mp0 to local-btrfs
  4. start (stopped for mount /a)
0 in sync
`,
	}, {
		name: "the root file system of a stopped container is moved at once", stopped: true,
		want: `"rootfs": {"storage": "local", "size": "3GiB"}`,
		plan: `101 web: change on pve1 · online
  ~ rootfs storage local-btrfs → local · online (copied; volume local-btrfs:101/vm-101-disk-0.raw is kept as unused)
  ~ rootfs size 1 GiB → 3 GiB · online
  1. grow rootfs to 3 GiB
  2. move rootfs to local
0 in sync
`,
	}, {
		name: "a mount that only says onRemove: destroy goes with its volume",
		want: `"mounts": {"/a": {"onRemove": "destroy"}}`, have: []string{"mp0", a + ",mp=/a,size=2G"},
		plan: `101 web: change on pve1 · restart
  - mount /a 2 GiB on local · restart (volume local:101/vm-101-disk-1.raw is destroyed with its data)
  1. delete mp0
  2. restart (mount /a)
  3. destroy volume local:101/vm-101-disk-1.raw (as the spec or the command line says)
0 in sync
`,
	}, {
		name: "onRemove beside a source changes nothing", have: []string{"mp0", a + ",mp=/a,size=2G"},
		want: `"mounts": {"/a": {"storage": "local", "size": "2GiB", "onRemove": "destroy"}}`, plan: "1 in sync\n",
	}, {
		name: "a protected volume is freed between lifting the protection and putting it back", stopped: true,
		want: `"protection": true`, have: []string{"unused0", a, "protection", "1"},
		policy: plan.Policy{DestroyVolumes: map[proxmox.VMID][]string{101: {a}}},
		plan: `101 web: change on pve1 · online
  - unused volume local:101/vm-101-disk-1.raw destroyed with its data · online
  1. set protection="0" (lifted for a change of volumes)
  2. destroy volume local:101/vm-101-disk-1.raw (as the spec or the command line says)
  3. set protection="1" (put back after the change of volumes)
0 in sync
`,
	}, {
		name: "only the named volume is freed, the other stays listed", have: []string{"unused0", a, "unused1", b},
		policy: plan.Policy{DestroyVolumes: map[proxmox.VMID][]string{101: {a}}},
		plan: `101 web: change on pve1 · online
  - unused volume local:101/vm-101-disk-1.raw destroyed with its data · online
  1. destroy volume local:101/vm-101-disk-1.raw (as the spec or the command line says)
101 web: unused volume local:101/vm-101-disk-2.raw
0 in sync
`,
	}, {
		name: "a mounted volume is not freed by naming it", have: []string{"mp0", a + ",mp=/a,size=2G"},
		want:   `"mounts": {"/a": {"storage": "local", "size": "2GiB"}}`,
		policy: plan.Policy{DestroyVolumes: map[proxmox.VMID][]string{101: {a}}},
		plan: `101 web: blocked: destroy volume: volume local:101/vm-101-disk-1.raw is mounted
0 in sync
`,
	}, {
		name: "a path that looks renamed is blocked, since the new volume would be empty",
		want: `"mounts": {"/new": {"storage": "local", "size": "2GiB"}}`, have: []string{"mp0", a + ",mp=/a,size=2G"},
		plan: `101 web: blocked: mount /new: it looks like mount /a under another path, and would be a new, empty volume
0 in sync
`,
	}, {
		name: "said in so many words, it is done",
		want: `"mounts": {"/new": {"storage": "local", "size": "2GiB"}, "/a": {"onRemove": "detach"}}`, stopped: true,
		have: []string{"mp0", a + ",mp=/a,size=2G"},
		plan: `101 web: change on pve1 · online
  + mount /new 2 GiB on local · online
  - mount /a 2 GiB on local · online (volume local:101/vm-101-disk-1.raw is kept as unused)
  1. delete mp0
  2. set mp1="local:2,mp=/new"
0 in sync
`,
	}, {
		name: "two mounts swap their paths by their volumes", stopped: true,
		want: `"mounts": {"/a": {"volume": "` + b + `"}, "/b": {"volume": "` + a + `"}}`,
		have: []string{"mp0", a + ",mp=/a,size=2G", "mp1", b + ",mp=/b,size=2G"},
		plan: `101 web: change on pve1 · online
  ~ mount /a path in the container /b → /a · online
  ~ mount /b path in the container /a → /b · online
  1. set mp0="local:101/vm-101-disk-1.raw,mp=/b,size=2G" mp1="local:101/vm-101-disk-2.raw,mp=/a,size=2G"
0 in sync
`,
	}, {
		name: "a volume of another container is not mounted", stopped: true,
		want: `"mounts": {"/a": {"volume": "local-zfs:subvol-200-disk-0"}}`,
		plan: `101 web: blocked: mount /a: volume local-zfs:subvol-200-disk-0 belongs to container 200
0 in sync
`,
	}, {
		name: "a mount below another comes after it", stopped: true,
		want: `"mounts": {"/a": {"storage": "local", "size": "2GiB"}, "/a/b": {"storage": "local", "size": "1GiB"}}`,
		have: []string{"mp3", a + ",mp=/a,size=2G"},
		plan: `101 web: change on pve1 · online
  + mount /a/b 1 GiB on local · online
  1. set mp4="local:1,mp=/a/b"
0 in sync
`,
	}, {
		name: "a mount that would hide another is blocked", stopped: true,
		want: `"mounts": {"/a": {"storage": "local", "size": "1GiB"}, "/a/b": {"storage": "local", "size": "2GiB"}}`,
		have: []string{"mp0", a + ",mp=/a/b,size=2G"},
		plan: `101 web: blocked: mount /a: it would hide the mount /a/b, which has the lower index: take that one out of the spec, apply, ` +
			`and add both, the lower one with the volume that it has
0 in sync
`,
	}, {
		name: "a new path that would hide another mount is refused", stopped: true,
		want: `"mounts": {"/a": {"volume": "` + b + `"}, "/a/b": {"storage": "local", "size": "2GiB"}}`,
		have: []string{"mp0", a + ",mp=/a/b,size=2G", "mp1", b + ",mp=/b,size=2G"},
		plan: `101 web: blocked: mount /a: it would hide the mount /a/b, which has the lower index
0 in sync
`,
	}, {
		name: "a new path that another mount would hide is refused", stopped: true,
		want: `"mounts": {"/b": {"storage": "local", "size": "2GiB"}, "/b/c": {"volume": "` + a + `"}}`,
		have: []string{"mp0", a + ",mp=/a,size=2G", "mp1", b + ",mp=/b,size=2G"},
		plan: `101 web: blocked: mount /b/c: the mount /b hides it, which has the higher index
0 in sync
`,
	}, {
		name: "a mount that somebody has hidden is told of", stopped: true,
		want: `"mounts": {"/b": {"storage": "local", "size": "2GiB"}, "/b/c": {"storage": "local", "size": "2GiB"}}`,
		have: []string{"mp0", a + ",mp=/b/c,size=2G", "mp1", b + ",mp=/b,size=2G"},
		plan: `101 web: blocked: mount /b/c: the mount /b hides it, which has the higher index
0 in sync
`,
	}, {
		name: "a volume that is named for another path goes there, and is not mounted twice", stopped: true,
		want: `"mounts": {"/a": {"storage": "local", "size": "1GiB"}, "/b": {"volume": "` + a + `"}}`,
		have: []string{"mp0", a + ",mp=/a,size=2G"},
		plan: `101 web: change on pve1 · online
  + mount /a 1 GiB on local · online
  ~ mount /b path in the container /a → /b · online
  1. set mp0="local:101/vm-101-disk-1.raw,mp=/b,size=2G"
  2. set mp1="local:1,mp=/a"
0 in sync
`,
	}, {
		name: "a template whose flag somebody has taken away gets the flag back", stopped: true, want: `"template": true`,
		have: []string{"rootfs", "local-btrfs:101/base-101-disk-0.raw,size=1G"},
		plan: `101 web: change on pve1 · online
  ~ template no → yes · online (for good)
  1. set template="1"
0 in sync
`,
	}, {
		name: "a container with a bind mount becomes no template", stopped: true,
		want: `"template": true, "mounts": {"/a": {"hostPath": "/srv"}}`, have: []string{"mp0", "/srv,mp=/a"},
		plan: `101 web: blocked: template: mount /a shows a path of the node, which no template can
0 in sync
`,
	}, {
		name: "with another volume since, it can become none", stopped: true,
		want: `"template": true, "mounts": {"/a": {"storage": "local", "size": "2GiB"}}`,
		have: []string{"rootfs", "local-btrfs:101/base-101-disk-0.raw,size=1G", "mp0", a + ",mp=/a,size=2G"},
		plan: `101 web: blocked: template: it was a template before: volume local-btrfs:101/base-101-disk-0.raw is one of a template, of which Proxmox makes no second
0 in sync
`,
	}, {
		name: "a volume whose name is a size is never written back", stopped: true,
		want: `"mounts": {"/a": {"volume": "local:vm-101-disk-9", "backup": true}}`, have: []string{"mp0", "local:8,mp=/a"},
		plan: `101 web: blocked: mount /a: another volume or directory is mounted there
0 in sync
`,
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			config := proxmox.Config{Current: with(webValues(), tc.have...)}
			restart := func(c *spec.Container) { c.Restart = spec.RestartNow }
			p := plan.Compute(declare(t, tc.want, restart), observe(t, !tc.stopped, config), tc.policy)
			if diff := cmp.Diff(tc.plan, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAttach shows which volumes that a spec names are mounted: Proxmox would find out only when the container starts.
func TestAttach(t *testing.T) {
	const volume, theirs = "local:101/vm-101-disk-7.raw", "local:102/vm-102-disk-0.raw"
	shelf := plan.Shelf{Node: "pve1", Storage: "local", Guest: 101}
	holding := func(more ...string) proxmox.Permissions {
		all := map[string]bool{}
		for _, p := range append(more, "VM.Audit", "VM.Allocate", "VM.Config.Disk", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "Datastore.AllocateSpace") {
			all[p] = true
		}
		return proxmox.Permissions{"/": all}
	}
	sees := holding("Datastore.Audit")
	cases := []struct {
		name, volume string
		held         map[string]bool
		permissions  proxmox.Permissions
		blocked      string
	}{
		{"it is there", volume, map[string]bool{volume: true}, sees, ""},
		{"it is not there", volume, map[string]bool{}, sees, "volume local:101/vm-101-disk-7.raw does not exist"},
		{"the token is not shown what is there", volume, map[string]bool{}, holding(), ""},
		{"there is no such storage", "usb:101/vm-101-disk-7.raw", nil, sees, "storage usb does not exist on node pve1"},
		{"it is another container's", theirs, nil, sees, "volume local:102/vm-102-disk-0.raw belongs to container 102"},
	}
	for _, tc := range cases {
		for _, fresh := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, new container %t", tc.name, fresh), func(t *testing.T) {
				have := nothing()
				if !fresh {
					have.Containers = observe(t, true, proxmox.Config{Current: webValues()}).Containers
				}
				want := declare(t, `"mounts": {"/a": {"volume": "`+tc.volume+`"}}`)
				if p := plan.Compute(want, have, plan.Policy{}); tc.held != nil && !p.Needs(have).Volumes[shelf] {
					t.Errorf("it is not asked for what storage local holds: %+v", p.Needs(have))
				}
				have.Volumes, have.Permissions = map[plan.Shelf]map[string]bool{shelf: tc.held}, tc.permissions
				var got []string
				for _, b := range plan.Compute(want, have, plan.Policy{}).Blocked {
					if strings.Contains(b.Reason, "volume") || strings.Contains(b.Reason, "storage") {
						got = append(got, strings.TrimPrefix(b.Reason, "mount /a: "))
					}
				}
				if text := strings.Join(got, "; "); text != tc.blocked {
					t.Errorf("blocked: %q, want %q", text, tc.blocked)
				}
			})
		}
	}
}
