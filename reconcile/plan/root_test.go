package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// TestRootChange shows what becomes of settings that only root@pam may change where somebody acts as root for tend.
func TestRootChange(t *testing.T) {
	const raw = `"lxc": [{"lxc.cgroup2.devices.allow": "c 10:200 rwm"}]`
	cases := []struct {
		name, want string
		nodes      []string // of the root lane
		have       proxmox.Config
		stopped    bool
		edit       func(*spec.Container)
		plan       string
	}{{
		name: "token and root have a call each, and share the restart", nodes: []string{"pve1"}, edit: restartNow,
		want: `"cores": 2, "features": {"nesting": true, "keyctl": true}, "timezone": "UTC"`,
		plan: `101 web: change on pve1 · restart
  ~ cores 1 → 2 · online
  + feature nesting · restart
  + feature keyctl · restart
  + timezone UTC · restart
  1. set cores="2" timezone="UTC"
  2. as root: set features="keyctl=1,nesting=1"
  3. restart (features, timezone)
0 in sync
`,
	}, {
		name: "mounts of volumes and of the node are told apart", nodes: []string{"pve1"},
		want: `"mounts": {"/a": {"hostPath": "/srv/a"}, "/b": {"storage": "local", "size": "1GiB"}}`,
		plan: `101 web: change on pve1 · online
  + mount /a bind /srv/a · online
  + mount /b 1 GiB on local · online
  1. as root: set mp0="/srv/a,mp=/a"
  2. set mp1="local:1,mp=/b"
0 in sync
`,
	}, {
		name: "pending values are dropped by whoever may", nodes: []string{"pve1"}, edit: restartNow,
		have: proxmox.Config{
			Current: with(webValues(), "hookscript", "local:snippets/a.sh"), Pending: proxmox.Values{"hookscript": "local:snippets/b.sh"},
		},
		plan: `101 web: change on pve1 · online
  - hook script local:snippets/a.sh · online
  1. as root: revert hookscript (drops a pending value, which a delete would leave)
  2. as root: delete hookscript
0 in sync
`,
	}, {
		name: "what is pending for a mount is dropped by the token", nodes: []string{"pve1"},
		want: `"mounts": {"/a": {"hostPath": "/srv/a"}}`,
		have: proxmox.Config{
			Current: with(webValues(), "mp0", "/srv/a,mp=/a"), Pending: proxmox.Values{"mp0": "/srv/a,mp=/a,ro=1"},
		},
		plan: `101 web: change on pve1 · online
  ~ mount /a read only yes → no · online (drops a change that is pending)
  1. revert mp0
0 in sync
`,
	}, {
		name: "what root has set, a token may not drop a change of", want: `"features": {"nesting": true, "keyctl": true}`,
		have: proxmox.Config{
			Current: with(webValues(), "features", "keyctl=1,nesting=1"), Pending: proxmox.Values{"features": "nesting=1"},
		},
		plan: "101 web: blocked: features: API tokens may only change nesting; tend acts with an API token, to which Proxmox answers: " +
			"Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)\n0 in sync\n",
	}, {
		name: "nor before a stop", want: `"features": {"nesting": false, "keyctl": true}`,
		have: proxmox.Config{
			Current: with(webValues(), "features", "keyctl=1,nesting=1"), Pending: proxmox.Values{"features": "nesting=1"},
		},
		edit: func(c *spec.Container) { c.Power = spec.Stopped },
		plan: `101 web: change on pve1 · restart
  1. shut down (state: stopped)
101 web: blocked: features: the stop would put another value in force, which is pending: API tokens may only change nesting; tend acts with an API token, to which Proxmox answers: Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)
0 in sync
`,
	}, {
		name: "but root may", nodes: []string{"pve1"}, want: `"features": {"nesting": true, "keyctl": true}`,
		have: proxmox.Config{
			Current: with(webValues(), "features", "keyctl=1,nesting=1"), Pending: proxmox.Values{"features": "nesting=1"},
		},
		plan: `101 web: change on pve1 · online
  + feature keyctl · online (drops a change that is pending)
  1. as root: revert features
0 in sync
`,
	}, {
		name: "raw lines are written while it is stopped", nodes: []string{"pve1"}, want: raw, edit: restartNow,
		plan: `101 web: change on pve1 · restart
  + raw LXC line lxc.cgroup2.devices.allow: c 10:200 rwm · restart
  1. shut down (raw LXC line)
  2. as root: write raw LXC lines (lxc.cgroup2.devices.allow: c 10:200 rwm)
  3. start (stopped for raw LXC line)
0 in sync
`,
	}, {
		name: "and wait where it may not be restarted", nodes: []string{"pve1"}, want: raw,
		plan: `101 web: blocked: restart: raw LXC line waits until the container stops, and restart: never leaves that to you
101 web: blocked: raw LXC line: raw lines are written while the container is stopped, since nothing shows whether a running one has them: it waits for the restart
0 in sync
`,
	}, {
		name: "a stopped container is started with them", nodes: []string{"pve1"}, want: raw, stopped: true,
		edit: func(c *spec.Container) { c.Power = spec.Running },
		plan: `101 web: change on pve1 · online
  + raw LXC line lxc.cgroup2.devices.allow: c 10:200 rwm · online
  1. as root: write raw LXC lines (lxc.cgroup2.devices.allow: c 10:200 rwm)
  2. start (state: running)
0 in sync
`,
	}, {
		name: "nobody is root on its node", nodes: []string{"pve2"}, want: `"features": {"keyctl": true}`,
		plan: "101 web: blocked: features: API tokens may only change nesting; tend may act as root on pve2, and the container is on pve1\n0 in sync\n",
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if tc.edit == nil {
				tc.edit = func(*spec.Container) {}
			}
			if tc.have.Current == nil {
				tc.have.Current = webValues()
			}
			have := observe(t, !tc.stopped, tc.have)
			have.Containers[101].Raw = []proxmox.RawLine{}
			got := plan.Compute(declare(t, tc.want, tc.edit), have, plan.Policy{RootNodes: tc.nodes}).String()
			if diff := cmp.Diff(tc.plan, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRootCreate: a create with anything for root is root's as a whole; raw lines alone are written afterwards.
func TestRootCreate(t *testing.T) {
	cases := []struct{ name, want, steps string }{{
		name: "one call", want: `"features": {"nesting": true, "keyctl": true}, "lxc": [{"lxc.tty.max": "4"}]`,
		steps: `  1. as root: create from local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst: cores="1" ` +
			`features="keyctl=1,nesting=1" hostname="web" memory="256" rootfs="local-btrfs:1" swap="0" tags="tend" unprivileged="1"
  2. as root: write raw LXC lines (lxc.tty.max: 4)
  3. start (state: running)
`,
	}, {
		name: "the environment is kept out of the command line", want: `"features": {"fuse": true}, "env": {"A": "b"}`,
		steps: `  1. as root: create from local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst: cores="1" ` +
			`features="fuse=1" hostname="web" memory="256" rootfs="local-btrfs:1" swap="0" tags="tend" unprivileged="1"
  2. set env=A (kept out of the command line)
  3. start (state: running)
`,
	}, {
		name: "raw lines", want: `"lxc": [{"lxc.tty.max": "4"}]`,
		steps: `  1. create from local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst: cores="1" ` +
			`hostname="web" memory="256" rootfs="local-btrfs:1" swap="0" tags="tend" unprivileged="1"
  2. as root: write raw LXC lines (lxc.tty.max: 4)
  3. start (state: running)
`,
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			want := declare(t, tc.want, func(c *spec.Container) { c.Power = spec.Running })
			p := plan.Compute(want, nothing(), plan.Policy{RootNodes: []string{"pve1"}})
			if len(p.Blocked) > 0 || len(p.Lanes) != 1 {
				t.Fatalf("plan:\n%s", p)
			}
			if diff := cmp.Diff(tc.steps, steps(p.String())); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

// steps are the numbered lines of a plan's text.
func steps(text string) (out string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  ") && line[2] >= '1' && line[2] <= '9' {
			out += line
		}
	}
	return out
}
