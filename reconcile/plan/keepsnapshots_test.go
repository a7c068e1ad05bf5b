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

func TestOfferKeepSnapshots(t *testing.T) {
	s := declare(t, `"mounts": {"/a": {"hostPath": "/srv/a"}, "/b": {"storage": "local", "size": "1GiB"}, "/c": {"hostPath": "/srv/c", "keepSnapshots": true}, "/d": {"hostMount": "usb"}}`)
	why, ways := plan.OfferKeepSnapshots(s.Containers[0].Settings)
	if why != "Proxmox takes no snapshot of a container with a directory or device of the node as a mount point: /a, /d" || len(ways) != 2 {
		t.Errorf("got %q, %q", why, ways)
	}
	s.Containers[0].Snapshots = setting.Record{"schedule": "daily"}
	p := plan.Compute(s, observe(t, true, proxmox.Config{Current: webValues()}), plan.Policy{})
	if !slices.ContainsFunc(p.Warnings, func(text string) bool {
		return strings.HasPrefix(text, "101 web has a snapshot policy, and Proxmox takes no snapshot") && strings.Contains(text, "write keepSnapshots: true for mount /a")
	}) {
		t.Errorf("nobody is told: %q", p.Warnings)
	}
	if why, ways := plan.OfferKeepSnapshots(nil); why != "" || ways != nil {
		t.Errorf("of nothing: %q, %q", why, ways)
	}
}
