package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// TestKeepSnapshots turns mounts into raw lines and back.
func TestKeepSnapshots(t *testing.T) {
	const (
		wantRaw   = `"mounts": {"/a": {"hostPath": "/srv/a", "keepSnapshots": true}}`
		wantPoint = `"mounts": {"/a": {"hostPath": "/srv/a"}}`
		line      = "/srv/a a none bind,create=dir 0 0"
	)
	entry := func(value string) []proxmox.RawLine { return []proxmox.RawLine{{Key: "lxc.mount.entry", Value: value}} }
	point := with(webValues(), "mp0", "/srv/a,mp=/a")
	for _, tc := range []struct {
		name, want string
		have       proxmox.Values
		raw        []proxmox.RawLine
		edit       func(*spec.Container)
		off        bool // nobody acts as root
		plan       string
	}{{
		name: "in sync", want: wantRaw, raw: entry(line), plan: "1 in sync\n",
	}, {
		name: "a mount point becomes a raw line", want: wantRaw, have: point, raw: entry("/srv/b b none bind,ro,create=dir 0 0"), edit: restartNow,
		plan: `101 web: change on pve1 · restart
  - mount /a bind /srv/a · restart
  - mount /b bind /srv/b (read only, keeps snapshots) · restart
  + mount /a bind /srv/a (keeps snapshots) · restart
  1. delete mp0
  2. shut down (mount /a and /b)
  3. as root: write raw LXC lines (lxc.mount.entry: /srv/a a none bind,create=dir 0 0)
  4. start (stopped for mount /a and /b)
0 in sync
`,
	}, {
		name: "and both wait together where it may not be restarted", want: wantRaw, have: point, raw: []proxmox.RawLine{},
		plan: `101 web: blocked: restart: mount /a, mount /a waits until the container stops, and restart: never leaves that to you
101 web: blocked: mount /a: raw lines are written while the container is stopped, since nothing shows whether a running one has them: it waits for the restart
101 web: blocked: mount /a: it goes together with the raw line that mounts the same, and that one is not written now
0 in sync
`,
	}, {
		name: "and both are left where nobody is root", want: wantRaw, have: point, raw: []proxmox.RawLine{}, edit: restartNow, off: true,
		plan: `101 web: blocked: mount /a: raw LXC lines are written into the configuration file on the node, there is no call for them; tend acts with an API token, to which Proxmox answers: property is not defined in schema and the schema does not allow additional properties
101 web: blocked: mount /a: it goes together with the raw line that mounts the same, and that one is not written now
0 in sync
`,
	}, {
		name: "a raw line becomes a mount point", want: wantPoint, raw: entry(line), edit: restartNow,
		plan: `101 web: change on pve1 · restart
  + mount /a bind /srv/a · online
  - mount /a bind /srv/a (keeps snapshots) · restart
  1. as root: set mp0="/srv/a,mp=/a"
  2. shut down (mount /a)
  3. as root: remove raw LXC lines (none)
  4. start (stopped for mount /a)
0 in sync
`,
	}, {
		name: "and both wait together, too", want: wantPoint, raw: entry(line),
		plan: `101 web: blocked: restart: mount /a waits until the container stops, and restart: never leaves that to you
101 web: blocked: mount /a: raw lines are written while the container is stopped, since nothing shows whether a running one has them: it waits for the restart
101 web: blocked: mount /a: it goes together with the raw line that mounts the same, and that one is not written now
0 in sync
`,
	}, {
		name: "read only", want: `"mounts": {"/a": {"hostPath": "/srv/a", "keepSnapshots": true, "readOnly": true}}`, raw: entry(line), edit: restartNow,
		plan: `101 web: change on pve1 · restart
  ~ mount /a read only no → yes · restart
  1. shut down (mount /a)
  2. as root: write raw LXC lines (lxc.mount.entry: /srv/a a none bind,ro,create=dir 0 0)
  3. start (stopped for mount /a)
0 in sync
`,
	}, {
		name: "removed", raw: entry(line), edit: restartNow,
		plan: `101 web: change on pve1 · restart
  - mount /a bind /srv/a (keeps snapshots) · restart
  1. shut down (mount /a)
  2. as root: remove raw LXC lines (none)
  3. start (stopped for mount /a)
0 in sync
`,
	}, {
		name: "what an image brought stays", want: wantRaw, raw: []proxmox.RawLine{{Key: "lxc.init.cwd", Value: "/app"}}, edit: func(c *spec.Container) {
			c.From = spec.From{Image: "local:vztmpl/caddy_2.tar"}
			c.Restart = spec.RestartNow
		},
		plan: `101 web: change on pve1 · restart
  + mount /a bind /srv/a (keeps snapshots) · restart
  1. shut down (mount /a)
  2. as root: write raw LXC lines (lxc.init.cwd: /app; lxc.mount.entry: /srv/a a none bind,create=dir 0 0)
  3. start (stopped for mount /a)
0 in sync
`,
	}} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.edit == nil {
				tc.edit = func(*spec.Container) {}
			}
			if tc.have == nil {
				tc.have = webValues()
			}
			have := observe(t, true, proxmox.Config{Current: tc.have})
			have.Containers[101].Raw = tc.raw
			if err := have.Containers[101].Understand(); err != nil {
				t.Fatal(err)
			}
			pol := plan.Policy{RootNodes: []string{"pve1"}}
			if tc.off {
				pol = plan.Policy{}
			}
			got := plan.Compute(declare(t, tc.want, tc.edit), have, pol).String()
			if diff := cmp.Diff(tc.plan, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", got)
			}
		})
	}
}

// TestPolicyFaults: a policy that Proxmox would not carry out is told for each mount, with what helps; its container is no
// less in sync for that.
func TestPolicyFaults(t *testing.T) {
	storages := map[string]map[string]proxmox.Storage{"pve1": {
		"local-btrfs": {Type: "btrfs"}, "nas": {Type: "nfs"}, "thick": {Type: "lvm"}, "plugin": {Type: "blockbridge"},
	}}
	for _, tc := range []struct {
		name, mounts string
		faults, ways []string
	}{
		{name: "none", mounts: `"/d": {"storage": "local-btrfs", "size": "1GiB"}, "/p": {"storage": "plugin", "size": "1GiB"}, "/r": {"hostPath": "/srv", "keepSnapshots": true}`},
		{
			name: "of each kind", mounts: `"/a": {"hostPath": "/srv/a"}, "/b": {"storage": "nas", "size": "1GiB"}, "/c": {"storage": "thick", "size": "1GiB"}, "/d": {"hostMount": "usb"}`,
			faults: []string{"/a, a directory or device of the node", "/b on storage nas (nfs)", "/c on storage thick (lvm)", "/d, a directory or device of the node"},
			ways:   []string{"write keepSnapshots: true for mount /a: ", "put /b on a storage that takes snapshots"},
		},
		{name: "a volume that lies on it", mounts: `"/e": {"volume": "nas:101/vm-101-disk-1.raw"}`, faults: []string{"/e on storage nas (nfs)"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := withPolicy(declare(t, `"mounts": {`+tc.mounts+`}`), setting.Record{"schedule": "daily"})
			have := observe(t, true, proxmox.Config{Current: webValues()})
			have.Storages = storages
			p := plan.Compute(s, have, plan.Policy{})
			if len(tc.faults) == 0 && len(p.Policies) == 0 {
				return
			}
			if len(p.Policies) != 1 {
				t.Fatalf("faults %+v", p.Policies)
			}
			var got []string
			for _, u := range p.Policies[0].Mounts {
				got = append(got, u.String())
			}
			if d := cmp.Diff(tc.faults, got); d != "" {
				t.Errorf("mounts (-want +got):\n%s", d)
			}
			for _, w := range tc.ways {
				if !slices.ContainsFunc(p.Policies[0].Ways, func(s string) bool { return strings.HasPrefix(s, w) }) {
					t.Errorf("ways %q, want %q", p.Policies[0].Ways, w)
				}
			}
		})
	}
	t.Run("what is needed", func(t *testing.T) {
		s := withPolicy(declare(t, ""), setting.Record{"schedule": "daily"})
		have := observe(t, true, proxmox.Config{Current: webValues()})
		if n := plan.Compute(s, have, plan.Policy{}).Needs(have); len(n.Storages) > 0 {
			t.Error("storages are read though nobody is shown the plan")
		}
		have.Shown, have.Permissions = true, proxmox.Permissions{}
		if n := plan.Compute(s, have, plan.Policy{}).Needs(have); !n.Storages["pve1"] {
			t.Error("storages are not read")
		}
	})
	t.Run("HA", func(t *testing.T) {
		s := withPolicy(declare(t, ""), setting.Record{"schedule": "daily"})
		have := observe(t, true, proxmox.Config{Current: webValues()})
		have.Storages, have.HA = storages, map[proxmox.VMID]string{101: "started"}
		if p := plan.Compute(s, have, plan.Policy{}); !slices.ContainsFunc(p.Warnings, func(w string) bool {
			return strings.Contains(w, "its snapshots stay on pve1, with storage local-btrfs")
		}) {
			t.Errorf("warnings %q", p.Warnings)
		}
	})
	t.Run("FUSE", func(t *testing.T) {
		s := withPolicy(declare(t, `"features": {"fuse": true}`), setting.Record{"schedule": "daily"})
		p := plan.Compute(s, observe(t, true, proxmox.Config{Current: with(webValues(), "features", "fuse=1")}), plan.Policy{})
		if !slices.ContainsFunc(p.Warnings, func(w string) bool { return strings.Contains(w, "its snapshots may hang") }) {
			t.Errorf("warnings %q", p.Warnings)
		}
	})
}
