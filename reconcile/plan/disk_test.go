package plan_test

import (
	"strings"
	"testing"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile/plan"
)

// failing is a node whose disk below a storage is failing.
func failing(storage string) *health.Node {
	return &health.Node{
		Name:     "pve1",
		Disks:    []health.Disk{{Device: "/dev/sda", Serial: "S1", Level: health.Failing, Reasons: []string{"its own health check failed (FAILED!)"}}, {Device: "/dev/sdb", Level: health.OK}},
		Storages: []health.Backing{{Storage: storage, Disks: []string{"/dev/sda"}}},
	}
}

// container101 runs with a volume on zfs, as the spec of each case but one says.
func container101(have *plan.Live) {
	o := &plan.Observed{Ref: proxmox.Ref{Node: "pve1", ID: 101}, Name: "web", Tags: []string{"tend"}, Managed: true, Config: proxmox.Config{
		Digest: "d", Current: proxmox.Values{"arch": "amd64", "hostname": "web", "ostype": "debian", "memory": "512", "swap": "512", "tags": "tend", "unprivileged": "1", "rootfs": "zfs:subvol-101-disk-0,size=4G"},
	}}
	if err := o.Understand(); err != nil {
		panic(err)
	}
	have.Containers[101] = o
}

// TestFailingDisk shows what a failing disk stops, and what not.
func TestFailingDisk(t *testing.T) {
	const why = "storage zfs lies on a failing disk: /dev/sda (serial S1) of node pve1 is failing: its own health check failed (FAILED!)"
	for _, tt := range []struct {
		name, spec string
		on         string // storage that the disk is below
		policy     plan.Policy
		there      bool // 101 is there
		blocked    string
	}{
		{name: "create", spec: "{rootfs: {storage: zfs, size: 8GiB}, from: {template: 'local:vztmpl/a.tar.zst'}}", on: "zfs", blocked: "101 web: blocked: create: " + why},
		{name: "create on another", spec: "{rootfs: {storage: zfs, size: 8GiB}, from: {template: 'local:vztmpl/a.tar.zst'}}", on: "tank"},
		{name: "create, and a person agrees", spec: "{rootfs: {storage: zfs, size: 8GiB}, from: {template: 'local:vztmpl/a.tar.zst'}}", on: "zfs", policy: plan.Policy{FailingDisks: []string{"pve1:sda"}}},
		{name: "create, and a person agrees to another", spec: "{rootfs: {storage: zfs, size: 8GiB}, from: {template: 'local:vztmpl/a.tar.zst'}}", on: "zfs", policy: plan.Policy{FailingDisks: []string{"pve2:sda", "sdb"}}, blocked: why},
		{name: "grow", spec: "{rootfs: {storage: zfs, size: 8GiB}, memory: 1GiB}", on: "zfs", there: true, blocked: why},
		{name: "a new volume", spec: "{rootfs: {storage: zfs, size: 4GiB}, mounts: {/srv: {storage: zfs, size: 1GiB}}, memory: 1GiB}", on: "zfs", there: true, blocked: why},
		{name: "move onto it", spec: "{rootfs: {storage: local, size: 4GiB}, memory: 1GiB}", on: "local", there: true, blocked: strings.ReplaceAll(why, "zfs", "local")},
		{name: "move away from it", spec: "{rootfs: {storage: local, size: 4GiB}, memory: 1GiB}", on: "zfs", there: true},
		{name: "nothing on disks", spec: "{rootfs: {storage: zfs, size: 4GiB}, memory: 1GiB}", on: "zfs", there: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			have := besides(func(l *plan.Live) {
				l.Templates["pve1"]["local:vztmpl/a.tar.zst"] = true
				l.Disks["pve1"] = failing(tt.on)
				if tt.there {
					container101(l)
				}
			})
			want := read(t, "cluster: {owner: tend}\ncontainers: {web: "+strings.Replace(tt.spec, "{", "{id: 101, node: pve1, state: stopped, ", 1)+"}")
			p := plan.Compute(want, have, tt.policy)
			text := p.String()
			if tt.blocked == "" && len(p.Blocked) > 0 || !strings.Contains(text, tt.blocked) {
				t.Errorf("want %q:\n%s", tt.blocked, text)
			}
			if tt.there && strings.Contains(tt.spec, "memory") && (p.Lane(101) == nil || !strings.Contains(text, "memory")) {
				t.Errorf("what has nothing to do with disks is not done:\n%s", text)
			}
			if tt.blocked != "" {
				if ways := strings.Join(p.Blocked[0].Ways, "; "); !strings.Contains(ways, "do it all the same: --allow-failing-disk pve1:sda") {
					t.Errorf("no way out: %s", ways)
				}
			}
			if agreed := strings.Contains(strings.Join(p.Warnings, ""), "as you agreed"); agreed != (tt.name == "create, and a person agrees") {
				t.Errorf("agreed %v: %v", agreed, p.Warnings)
			}
			have.Disks = nil
			if need := plan.Compute(want, have, tt.policy).Needs(have).Disks["pve1"]; need != (tt.name != "nothing on disks") {
				t.Errorf("the disks are read: %v", need)
			}
			if blind := plan.Compute(want, have, tt.policy); len(blind.Blocked) > 0 {
				t.Errorf("what is not known is in the way: %v", blind.Blocked)
			}
		})
	}
}
