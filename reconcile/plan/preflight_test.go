package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

func TestPrivileges(t *testing.T) {
	t.Parallel()
	live := &plan.Live{Containers: map[proxmox.VMID]*plan.Observed{
		300: {Config: proxmox.Config{Current: proxmox.Values{"rootfs": "tank:subvol-300-disk-0,size=4G", "net0": "name=eth0,bridge=vmbr2"}}},
	}}
	l := plan.Lane{Ref: proxmox.Ref{Node: "pve1", ID: 101}, Base: proxmox.Config{Current: proxmox.Values{
		"rootfs": "tank:subvol-101-disk-0,size=4G", "mp0": "/mnt/x,mp=/x", "net0": "name=eth0,bridge=vmbr0,tag=10", "unprivileged": "1",
	}}}
	for _, tt := range []struct {
		name string
		op   plan.Op
		want string
	}{
		{"create", plan.CreateContainer{Template: "local:vztmpl/x.tar.zst", Values: proxmox.Values{
			"rootfs": "tank:8", "cores": "2", "net0": "name=eth0,bridge=vmbr1,trunks=5;7", "unprivileged": "0",
		}}, "VM.Allocate on /vms/101 · VM.Config.CPU on /vms/101 · VM.Config.Network on /vms/101 · SDN.Use on /sdn/zones/localnetwork/vmbr1/5 · " +
			"SDN.Use on /sdn/zones/localnetwork/vmbr1/7 · VM.Config.Disk on /vms/101 · Datastore.AllocateSpace on /storage/tank · " +
			"VM.Config.Options on /vms/101 · Sys.Modify on / · Datastore.Audit or Datastore.AllocateSpace or Datastore.Allocate on /storage/local"},
		{
			"set",
			plan.SetConfig{Set: proxmox.Values{"memory": "512"}, Delete: []string{"cpulimit"}, Revert: []string{"nameserver"}},
			"VM.Config.CPU on /vms/101 · VM.Config.Network on /vms/101 · VM.Config.Memory on /vms/101",
		},
		{
			"features alone need the gate of the call, too",
			plan.SetConfig{Set: proxmox.Values{"features": "nesting=1"}},
			"VM.Allocate on /vms/101 · VM.Config.Disk or VM.Config.CPU or VM.Config.Memory or VM.Config.Network or VM.Config.Options on /vms/101",
		},
		{
			"another bridge needs the old one, too",
			plan.SetConfig{Set: proxmox.Values{"net0": "name=eth0,bridge=vmbr1"}},
			"VM.Config.Network on /vms/101 · SDN.Use on /sdn/zones/localnetwork/vmbr0/10 · SDN.Use on /sdn/zones/localnetwork/vmbr1",
		},
		{"options of a mount", plan.SetConfig{Set: proxmox.Values{"mp1": "tank:subvol-101-disk-1,mp=/y,ro=1"}}, "VM.Config.Disk on /vms/101"},
		{"new volume", plan.SetConfig{Set: proxmox.Values{"mp1": "fast:2.5,mp=/y"}}, "VM.Config.Disk on /vms/101 · Datastore.AllocateSpace on /storage/fast"},
		{"grow", plan.Resize{Disk: "rootfs"}, "VM.Config.Disk on /vms/101 · VM.Config.Options on /vms/101 · Datastore.AllocateSpace on /storage/tank"},
		{"free", plan.DestroyVolume{Volume: "tank:subvol-101-disk-3"}, "VM.Config.Options on /vms/101"},
		{
			"clone",
			plan.CloneContainer{Source: proxmox.Ref{ID: 300}},
			"VM.Clone on /vms/300 · VM.Allocate on /vms/101 · SDN.Use on /sdn/zones/localnetwork/vmbr2 · Datastore.AllocateSpace on /storage/tank",
		},
		{
			"restore of another's backup",
			plan.RestoreContainer{Archive: "pbs:backup/vzdump-lxc-300-2026_11_01-02_30_00.tar.zst", Storage: "tank"},
			"VM.Allocate on /vms/101 · Datastore.AllocateSpace on /storage/tank · Datastore.AllocateSpace or Datastore.Allocate on /storage/pbs · VM.Backup on /vms/300",
		},
		{
			"restore over",
			plan.RestoreOver{Values: proxmox.Values{"rootfs": "tank:4", "unprivileged": "0"}},
			"VM.Allocate on /vms/101 · VM.Backup on /vms/101 · VM.Config.Disk on /vms/101 · Datastore.AllocateSpace on /storage/tank · " +
				"VM.Config.Options on /vms/101 · SDN.Use on /sdn/zones/localnetwork/vmbr0/10 · Sys.Modify on /",
		},
		{"migrate", plan.Migrate{Target: "pve2"}, "VM.Migrate on /vms/101"},
		{"power", plan.Reboot{}, "VM.PowerMgmt on /vms/101"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			l := l
			if _, create := tt.op.(plan.CreateContainer); create {
				l.Base = proxmox.Config{}
			}
			for _, p := range live.Privileges(tt.op, l) {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(strings.Split(tt.want, " · "), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// all are the permissions of a token that may do everything but what is taken from it.
func all(without ...string) proxmox.Permissions {
	p := map[string]bool{}
	for _, priv := range []string{
		"Datastore.AllocateSpace", "Datastore.Audit", "SDN.Use", "VM.Allocate", "VM.Audit", "VM.Config.CPU", "VM.Config.Disk",
		"VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.PowerMgmt",
	} {
		p[priv] = true
	}
	for _, priv := range without {
		delete(p, priv)
	}
	return proxmox.Permissions{"/": p}
}

// TestPreflight: what would be refused is blocked with the privilege by name, and the rest is done.
func TestPreflight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spec  string
		have  func(*plan.Live)
		wants []string // lines that the plan's text holds
		not   []string
	}{
		{
			name: "one key of several", spec: `"cores": 4, "memory": "1GiB"`,
			have:  func(l *plan.Live) { l.Permissions = all("VM.Config.CPU") },
			wants: []string{"blocked: cores: the token lacks VM.Config.CPU on /vms/101", "set memory"},
			not:   []string{"set cores"},
		},
		{
			name: "restart", spec: `"timezone": "host"`,
			have:  func(l *plan.Live) { l.Permissions = all("VM.PowerMgmt"); l.Containers[101].Running = true },
			wants: []string{"blocked: restart: the token lacks VM.PowerMgmt on /vms/101", "set timezone"},
			not:   []string{"2. "},
		},
		{
			name: "bridge", spec: `"network": {"eth0": {"bridge": "vmbr9"}}, "cores": 2`,
			have: func(l *plan.Live) {
				l.Permissions, l.Bridges = all(), map[string]map[string]bool{"pve1": {"vmbr0": true}}
			},
			wants: []string{"bridge vmbr9 does not exist on node pve1, or is denied to the token", "set cores"},
			not:   []string{"set net0"},
		},
		{
			name: "bridge that the token does not see", spec: `"network": {"eth0": {"bridge": "vmbr9"}}`,
			have: func(l *plan.Live) {
				l.Permissions, l.Bridges = all("SDN.Use"), map[string]map[string]bool{"pve1": {}}
			},
			wants: []string{"the token lacks SDN.Use on /sdn/zones/localnetwork/vmbr9"},
		},
		{
			name: "room on a storage that allocates at once", spec: `"mounts": {"/data": {"storage": "thick", "size": "8GiB"}}`,
			have: func(l *plan.Live) { l.Storages = storagesWith("thick", "lvm", 4<<30) },
			wants: []string{
				"blocked: mount /data: storage thick (lvm) has 4 GiB free, and 8 GiB is needed at once",
			},
		},
		{
			name: "room on a storage that does not", spec: `"mounts": {"/data": {"storage": "thin", "size": "8GiB"}}`,
			have:  func(l *plan.Live) { l.Storages = storagesWith("thin", "lvmthin", 4<<30) },
			wants: []string{"set mp0", "warning node pve1: storage thin has 4 GiB free, and new and grown volumes of this plan promise 8 GiB"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := preflightText(t, tt.spec, tt.have)
			for _, want := range tt.wants {
				if !strings.Contains(got, want) {
					t.Errorf("the plan does not say %q:\n%s", want, got)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(got, not) {
					t.Errorf("the plan says %q:\n%s", not, got)
				}
			}
		})
	}
}

func storagesWith(name, kind string, avail int64) map[string]map[string]proxmox.Storage {
	return map[string]map[string]proxmox.Storage{"pve1": {name: {
		Name: name, Type: kind, Content: []proxmox.Content{"rootdir"}, Active: true, Enabled: true, Total: 1 << 40, Avail: avail,
	}}}
}

// preflightText is the plan for container 101 with some settings more, and its warnings.
func preflightText(t *testing.T, spec string, edit func(*plan.Live)) string {
	t.Helper()
	have := observe(t, false, proxmox.Config{Current: webValues()})
	edit(have)
	p := plan.Compute(declare(t, spec, restartNow), have, plan.Policy{})
	text := p.String()
	for _, w := range p.Warnings {
		text += "warning " + w + "\n"
	}
	return text
}
