package plan_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// settings decodes settings as an author writes them, as JSON objects; later ones replace keys of earlier ones.
func settings(t *testing.T, layers ...string) setting.Record {
	t.Helper()
	merged := map[string]any{}
	for _, text := range layers {
		d := json.NewDecoder(strings.NewReader("{" + text + "}"))
		d.UseNumber()
		var in map[string]any
		if err := d.Decode(&in); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		maps.Copy(merged, in)
	}
	r, ok := setting.Container.Decode(merged, nil, func(at setting.Path, err error) { t.Errorf("%s: %v", at, err) })
	if !ok {
		t.Fatal("the settings do not decode")
	}
	return r
}

// web is the container that most cases begin with.
const web = `"rootfs": {"storage": "local-btrfs", "size": "1GiB"}, "memory": "256MiB", "swap": "0MiB", "cores": 1`

func webValues() proxmox.Values {
	return proxmox.Values{
		"arch": "amd64", "cores": "1", "hostname": "web", "memory": "256", "ostype": "debian", "swap": "0",
		"rootfs": "local-btrfs:101/vm-101-disk-0.raw,size=1G", "tags": "tend", "unprivileged": "1",
	}
}

// observe makes the observation of one container 101 on pve1.
func observe(t *testing.T, running bool, config proxmox.Config) *plan.Live {
	t.Helper()
	if config.Digest == "" {
		config.Digest = "d0"
	}
	o := &plan.Observed{
		Ref: proxmox.Ref{Node: "pve1", ID: 101}, Name: "web", Tags: strings.Split(config.Current["tags"], ";"),
		Running: running, Managed: true, Config: config,
	}
	if err := o.Understand(); err != nil {
		t.Fatal(err)
	}
	return &plan.Live{
		Cluster: "pve1", Nodes: map[string]bool{"pve1": true, "pve2": false},
		Containers: map[proxmox.VMID]*plan.Observed{101: o},
	}
}

func declare(t *testing.T, text string, edit ...func(*spec.Container)) *spec.State {
	t.Helper()
	c := &spec.Container{
		Name: "web", ID: 101, Node: "pve1", Settings: settings(t, web, text),
		From:  spec.From{Template: "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst"},
		Power: spec.Any, Restart: spec.RestartNever,
	}
	for _, f := range edit {
		f(c)
	}
	return &spec.State{Cluster: spec.Cluster{Name: "home", Owner: "tend"}, Containers: []*spec.Container{c}}
}

func restartNow(c *spec.Container) { c.Restart = spec.RestartNow }

// with returns the values with others put in; an empty one removes.
func with(v proxmox.Values, kv ...string) proxmox.Values {
	for i := 0; i < len(kv); i += 2 {
		if kv[i+1] == "" {
			delete(v, kv[i])
		} else {
			v[kv[i]] = kv[i+1]
		}
	}
	return v
}

const net0 = "name=eth0,bridge=vmbr0,hwaddr=bc:24:11:00:00:01,ip=dhcp,type=veth"

// TestChange shows the plan for one edit of each kind to a container that exists.
func TestChange(t *testing.T) {
	cases := []struct {
		name    string
		want    string // settings besides web's
		have    []string
		pending []string
		stopped bool
		edit    func(*spec.Container)
		plan    string
	}{{
		name: "in sync", plan: "1 in sync\n",
	}, {
		name: "an online setting is sent and nothing else",
		want: `"cores": 2`,
		plan: `101 web: change on pve1 · online
  ~ cores 1 → 2 · online
  1. set cores="2"
0 in sync
`,
	}, {
		name: "a setting that was set by hand is removed",
		have: []string{"onboot", "1", "cpulimit", "2"},
		plan: `101 web: change on pve1 · online
  ~ CPU limit 2 → 0 · online
  ~ start on boot yes → no · online
  1. delete cpulimit, onboot
0 in sync
`,
	}, {
		name: "memory cannot be deleted, so its default is sent",
		want: `"memory": "512MiB"`,
		plan: `101 web: change on pve1 · online
  ~ memory 256 MiB → 512 MiB · online
  1. set memory="512"
0 in sync
`,
	}, {
		name: "what needs a restart is sent, and the restart is blocked by the default policy",
		want: `"timezone": "UTC"`,
		plan: `101 web: change on pve1 · restart
  + timezone UTC · restart
  1. set timezone="UTC"
101 web: blocked: restart: timezone waits until the container stops, and restart: never leaves that to you
0 in sync
`,
	}, {
		name: "restart: now restarts once for everything",
		want: `"timezone": "UTC", "console": {"ttys": 1}, "features": {"nesting": true}`,
		edit: restartNow,
		plan: `101 web: change on pve1 · restart
  + feature nesting · restart
  + timezone UTC · restart
  ~ console ttys 2 → 1 · restart
  1. set features="nesting=1" timezone="UTC" tty="1"
  2. restart (features, timezone, console ttys)
0 in sync
`,
	}, {
		name: "a stopped container needs no restart", stopped: true,
		want: `"timezone": "UTC"`,
		plan: `101 web: change on pve1 · online
  + timezone UTC · online
  1. set timezone="UTC"
0 in sync
`,
	}, {
		name: "what is pending as wanted is not sent again",
		want: `"timezone": "UTC"`, pending: []string{"timezone", "UTC"}, edit: restartNow,
		plan: `101 web: change on pve1 · restart
  + timezone UTC · restart (pending already)
  1. restart (timezone)
0 in sync
`,
	}, {
		name: "what is pending and not wanted is reverted", pending: []string{"timezone", "UTC"},
		plan: `101 web: change on pve1 · online
  - timezone UTC · online (drops a change that is pending)
  1. revert timezone
0 in sync
`,
	}, {
		name: "a new mount is a call of its own, at the lowest free index",
		want: `"cores": 2, "mounts": {"/a": {"storage": "local", "size": "1536MiB"}, "/b": {"storage": "local", "size": "2GiB", "readOnly": true}}`,
		have: []string{"mp1", "local:101/vm-101-disk-1.raw,mp=/b,ro=1,size=2G"},
		plan: `101 web: change on pve1 · online
  ~ cores 1 → 2 · online
  + mount /a 1536 MiB on local · online
  1. set cores="2"
  2. set mp0="local:1.5,mp=/a"
0 in sync
`,
	}, {
		name: "a mount is changed with the volume that it has",
		want: `"mounts": {"/b": {"storage": "local", "size": "2GiB", "readOnly": true, "backup": true}}`,
		have: []string{"mp1", "local:101/vm-101-disk-1.raw,mp=/b,size=2G"}, edit: restartNow,
		plan: `101 web: change on pve1 · restart
  ~ mount /b read only no → yes, backup no → yes · restart
  1. set mp1="local:101/vm-101-disk-1.raw,mp=/b,backup=1,ro=1,size=2G"
  2. restart (mount /b)
0 in sync
`,
	}, {
		name: "a volume grows online, before its options are set with the new size",
		want: `"mounts": {"/b": {"storage": "local", "size": "3GiB", "backup": true}}`,
		have: []string{"mp1", "local:101/vm-101-disk-1.raw,mp=/b,size=2G"}, stopped: true,
		plan: `101 web: change on pve1 · online
  ~ mount /b backup no → yes · online
  ~ mount /b size 2 GiB → 3 GiB · online
  1. grow mp1 to 3 GiB
  2. set mp1="local:101/vm-101-disk-1.raw,mp=/b,backup=1,size=3G"
0 in sync
`,
	}, {
		name: "growing does not depend on a stale size in what is pending",
		want: `"mounts": {"/b": {"storage": "local", "size": "3GiB", "backup": true}}`,
		have: []string{"mp1", "local:101/vm-101-disk-1.raw,mp=/b,size=3G"}, edit: restartNow,
		pending: []string{"mp1", "local:101/vm-101-disk-1.raw,mp=/b,size=2G,backup=1"},
		plan: `101 web: change on pve1 · restart
  ~ mount /b backup no → yes · restart (pending already)
  1. restart (mount /b)
0 in sync
`,
	}, {
		name: "a shrink is blocked",
		want: `"rootfs": {"storage": "local-btrfs", "size": "512MiB"}`,
		plan: `101 web: blocked: rootfs: a volume cannot shrink: it has 1 GiB, the spec says 512 MiB
0 in sync
`,
	}, {
		name: "a move to another storage waits where a restart may not be",
		want: `"rootfs": {"storage": "local", "size": "1GiB"}, "cores": 2`,
		plan: `101 web: change on pve1 · online
  ~ cores 1 → 2 · online
  1. set cores="2"
101 web: blocked: restart: rootfs waits until the container stops, and restart: never leaves that to you
101 web: blocked: rootfs: a volume is moved while the container is stopped: it waits for the restart
0 in sync
`,
	}, {
		name: "a mount that is not declared is detached, its volume kept",
		have: []string{"mp0", "local:101/vm-101-disk-1.raw,mp=/b,size=2G"}, edit: restartNow,
		plan: `101 web: change on pve1 · restart
  - mount /b 2 GiB on local · restart (volume local:101/vm-101-disk-1.raw is kept as unused)
  1. delete mp0
  2. restart (mount /b)
0 in sync
`,
	}, {
		name: "protection is lifted for a change of volumes and put back",
		want: `"protection": true, "cores": 2, "mounts": {"/a": {"storage": "local", "size": "1GiB"}}`,
		have: []string{"protection", "1"},
		plan: `101 web: change on pve1 · online
  ~ cores 1 → 2 · online
  + mount /a 1 GiB on local · online
  1. set protection="0" (lifted for a change of volumes)
  2. set cores="2"
  3. set mp0="local:1,mp=/a"
  4. set protection="1" (put back after the change of volumes)
0 in sync
`,
	}, {
		name: "protection that shall go goes first",
		want: `"mounts": {"/a": {"storage": "local", "size": "1GiB"}}`, have: []string{"protection", "1"},
		plan: `101 web: change on pve1 · online
  + mount /a 1 GiB on local · online
  ~ protection yes → no · online
  1. delete protection
  2. set mp0="local:1,mp=/a"
0 in sync
`,
	}, {
		name: "protection that shall come comes last",
		want: `"protection": true, "mounts": {"/a": {"storage": "local", "size": "1GiB"}}`,
		plan: `101 web: change on pve1 · online
  + mount /a 1 GiB on local · online
  ~ protection no → yes · online
  1. set mp0="local:1,mp=/a"
  2. set protection="1"
0 in sync
`,
	}, {
		name: "growing a protected volume does not lift the protection",
		want: `"protection": true, "rootfs": {"storage": "local-btrfs", "size": "2GiB"}`, have: []string{"protection", "1"},
		plan: `101 web: change on pve1 · online
  ~ rootfs size 1 GiB → 2 GiB · online
  1. grow rootfs to 2 GiB
0 in sync
`,
	}, {
		name: "the generated MAC address is kept, in its own letters",
		want: `"network": {"eth0": {"bridge": "vmbr0", "ipv4": "dhcp", "rate": 5}}`, have: []string{"net0", net0},
		plan: `101 web: change on pve1 · online
  ~ interface eth0 rate none → 5 MB/s · online
  1. set net0="name=eth0,bridge=vmbr0,hwaddr=bc:24:11:00:00:01,ip=dhcp,rate=5,type=veth"
0 in sync
`,
	}, {
		name: "a VLAN cuts the link; each network change is a call",
		want: `"network": {"eth0": {"bridge": "vmbr0", "ipv4": "dhcp", "vlan": 30}, "eth1": {"bridge": "vmbr0"}}`,
		have: []string{"net0", net0, "net3", "name=old,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,type=veth"},
		plan: `101 web: change on pve1 · link flap
  ~ interface eth0 VLAN none → 30 · link flap
  + interface eth1 on vmbr0 · online
  - interface old on vmbr0 · link flap
  1. set net0="name=eth0,bridge=vmbr0,hwaddr=bc:24:11:00:00:01,ip=dhcp,tag=30,type=veth"
  2. set net1="name=eth1,bridge=vmbr0"
  3. delete net3
0 in sync
`,
	}, {
		name: "unprivileged is blocked",
		want: `"unprivileged": false`,
		plan: `101 web: blocked: unprivileged: an existing container cannot change it
0 in sync
`,
	}, {
		name: "root-only settings are blocked, the rest goes on",
		want: `"features": {"nesting": true, "keyctl": true}, "cores": 2`, stopped: true,
		plan: `101 web: change on pve1 · online
  ~ cores 1 → 2 · online
  1. set cores="2"
101 web: blocked: features: API tokens may only change nesting; tend acts with an API token, to which Proxmox answers: Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)
0 in sync
`,
	}, {
		name: "explicit off and absent are the same", have: []string{"features", "nesting=1,keyctl=0", "debug", "0"},
		want: `"features": {"nesting": true}`, plan: "1 in sync\n",
	}, {
		name: "what is ignored is left alone", have: []string{"description", "by hand\n"},
		edit: func(c *spec.Container) { c.Lifecycle.Ignore = []string{"description"} }, plan: "1 in sync\n",
	}, {
		name: "a line end that Proxmox adds is no difference", have: []string{"description", "note\n"},
		want: `"description": "note"`, plan: "1 in sync\n",
	}, {
		name: "tags are compared as Proxmox writes them", have: []string{"tags", "a;b;tend"},
		want: `"tags": ["B", "a", "b"]`, plan: "1 in sync\n",
	}, {
		name: "a container that shall stop is stopped first, so that nothing stays pending",
		want: `"timezone": "UTC"`, edit: func(c *spec.Container) { c.Power = spec.Stopped },
		plan: `101 web: change on pve1 · restart
  + timezone UTC · online
  1. shut down (state: stopped)
  2. set timezone="UTC"
0 in sync
`,
	}, {
		name: "a container that shall run is started last", stopped: true, want: `"timezone": "UTC"`,
		edit: func(c *spec.Container) { c.Power = spec.Running },
		plan: `101 web: change on pve1 · online
  + timezone UTC · online
  1. set timezone="UTC"
  2. start (state: running)
0 in sync
`,
	}, {
		name: "a container without the owner's tag is not touched", have: []string{"tags", "mine"}, want: `"cores": 2`,
		plan: `101 web: blocked: change: a container of this name exists and does not carry the tag "tend" of this spec
0 in sync
`,
	}, {
		name: "adoption adds the tag", have: []string{"tags", "mine"}, want: `"tags": ["mine"]`,
		edit: func(c *spec.Container) { c.Adopt = true },
		plan: `101 web: adopt and change on pve1 · online
  ~ tags mine → mine, tend · online
  1. set tags="mine;tend"
0 in sync
`,
	}, {
		name: "a node that is offline is no place to migrate to", edit: func(c *spec.Container) { c.Node = "pve2" },
		plan: `101 web: blocked: migrate: node pve2 is offline
0 in sync
`,
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			config := proxmox.Config{Current: with(webValues(), tc.have...), Pending: with(proxmox.Values{}, tc.pending...)}
			edit := tc.edit
			if edit == nil {
				edit = func(*spec.Container) {}
			}
			p := plan.Compute(declare(t, tc.want, edit), observe(t, !tc.stopped, config), plan.Policy{})
			if diff := cmp.Diff(tc.plan, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
