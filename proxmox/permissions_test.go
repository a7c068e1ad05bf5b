package proxmox_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
)

func TestPermissionsAllow(t *testing.T) {
	t.Parallel()
	p := proxmox.Permissions{
		"/":                         {"VM.Audit": true, "Sys.Audit": false},
		"/vms":                      {"VM.Allocate": false},
		"/vms/101":                  {"VM.Audit": false},
		"/storage":                  {"Datastore.Audit": true},
		"/sdn/zones/office":         {"SDN.Use": true},
		"/sdn/zones/office/private": {"SDN.Audit": true},
	}
	for _, tt := range []struct {
		path, privilege string
		want            bool
		why             string
	}{
		{"/", "Sys.Audit", true, "there"},
		{"/nodes/pve1", "Sys.Audit", false, "does not reach down"},
		{"/nodes/pve1", "VM.Audit", true, "reaches down"},
		{"/vms", "VM.Allocate", true, "there"},
		{"/vms", "VM.Audit", false, "an entry nearer to the path takes the place of those above"},
		{"/vms/101", "VM.Audit", true, "there"},
		{"/vms/101", "VM.Allocate", false, "does not reach down"},
		{"/vms/102", "VM.Audit", true, "an entry that does not reach down leaves the one above in force"},
		{"/storage/local", "VM.Audit", false, "the nearest entry that reaches down decides"},
		{"/storage/local", "Datastore.Audit", true, "reaches down"},
	} {
		if got := p.Allows(tt.path, tt.privilege); got != tt.want {
			t.Errorf("%s on %s: %v, since it %s", tt.privilege, tt.path, got, tt.why)
		}
	}
	needs := []proxmox.Privileges{
		{Path: "/vms/101", AnyOf: []string{"VM.Backup", "VM.Audit"}},
		{Path: "/vms/101", AnyOf: []string{"VM.Backup"}},
		{Path: "/sdn/zones/localnetwork/shop", AnyOf: []string{"SDN.Use"}}, // may be of the zone office
		{Path: "/sdn/zones/localnetwork/private", AnyOf: []string{"SDN.Use"}},
	}
	want := []proxmox.Privileges{needs[1], needs[3]}
	if diff := cmp.Diff(want, p.Lacks(needs)); diff != "" {
		t.Error(diff)
	}
}
