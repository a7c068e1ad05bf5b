package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// TestSight shows that what is not seen is not taken for missing, and that nothing is made twice.
func TestSight(t *testing.T) {
	const address = `"network": {"eth0": {"bridge": "vmbr0", "ipv4": "192.0.2.7/24"}}`
	running := func(kv ...string) *plan.Live { return owned(t, true, with(webValues(), kv...)) }
	invisible := nothing()
	invisible.Permissions = proxmox.Permissions{"/vms": {"VM.PowerMgmt": true}}
	noStorage := nothing()
	delete(noStorage.Storages["pve1"], "local")
	noStorage.Templates["pve1"] = map[string]bool{}
	locked := observe(t, false, proxmox.Config{Current: proxmox.Values{"lock": "create"}})
	locked.Containers[101].Lock = "create"
	cases := []struct {
		name, want string
		have       *plan.Live
		plan       string
	}{{
		name: "a token without VM.Audit", have: invisible,
		plan: "101 web: blocked: create: the token may not see it, if it exists: it lacks VM.Audit on /vms/101\n0 in sync\n",
	}, {
		name: "a storage out of sight", have: noStorage,
		plan: "101 web: blocked: create: storage local of template local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst is not on node pve1, " +
			"or the token may not see it\n0 in sync\n",
	}, {
		name: "a container whose id was changed", have: running(),
		plan: "101 web: blocked: create: container 201, which the spec does not declare, runs with the same name web\n" +
			"201 web: unclaimed, running on pve1\n0 in sync\n",
	}, {
		name: "one of another name with the same address", want: address,
		have: running("hostname", "old", "net0", "name=eth0,bridge=vmbr0,ip=192.0.2.7/24"),
		plan: "101 web: blocked: create: container 201, which the spec does not declare, runs with the same address 192.0.2.7\n" +
			"201 old: unclaimed, running on pve1\n0 in sync\n",
	}, {
		name: "one that is being made", have: locked,
		plan: "101 web: blocked: change: VMID 101 is locked (create): an operation is at work, and whose container it becomes is not " +
			"known yet\n0 in sync\n",
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p := plan.Compute(declare(t, tc.want, func(*spec.Container) {}), tc.have, plan.Policy{})
			if diff := cmp.Diff(tc.plan, p.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
