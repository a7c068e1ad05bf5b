package sim

import (
	"maps"
	"strings"
	"sync"
)

// privilegeGroups are Proxmox's privileges by area, and within it by who gets them in the built-in roles
// (pve-access-control AccessControl.pm, $privgroups).
var privilegeGroups = []struct{ area, root, admin, user, audit string }{
	{
		"VM", "", "VM.Config.Disk VM.Config.CPU VM.Config.Memory VM.Config.Network VM.Config.HWType VM.Config.Options " +
			"VM.Allocate VM.Clone VM.GuestAgent.Unrestricted VM.Migrate VM.Replicate VM.Snapshot VM.Snapshot.Rollback",
		"VM.Config.CDROM VM.Config.Cloudinit VM.Console VM.Backup VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt " +
			"VM.GuestAgent.FileWrite VM.PowerMgmt",
		"VM.Audit VM.GuestAgent.Audit",
	},
	{"Sys", "Sys.PowerMgmt Sys.Modify Sys.Incoming Sys.AccessNetwork", "Sys.Console Sys.Syslog", "", "Sys.Audit"},
	{"Datastore", "", "Datastore.Allocate Datastore.AllocateTemplate", "Datastore.AllocateSpace", "Datastore.Audit"},
	{"SDN", "", "SDN.Allocate SDN.Audit", "SDN.Use", "SDN.Audit"},
	{"User", "Realm.Allocate", "User.Modify Group.Allocate Realm.AllocateUser", "", ""},
	{"Pool", "", "Pool.Allocate", "Pool.Audit", "Pool.Audit"},
	{"Mapping", "", "Mapping.Modify", "Mapping.Use", "Mapping.Audit"},
}

// builtinRoles are the roles every Proxmox has (AccessControl.pm, create_roles).
var builtinRoles = sync.OnceValue(func() map[string]map[string]bool {
	roles := map[string]map[string]bool{
		"NoAccess":        {},
		"Administrator":   {"Permissions.Modify": true},
		"PVETemplateUser": {"VM.Clone": true, "VM.Audit": true},
	}
	give := func(role string, lists ...string) {
		if roles[role] == nil {
			roles[role] = map[string]bool{}
		}
		for _, l := range lists {
			for p := range strings.FieldsSeq(l) {
				roles[role][p] = true
			}
		}
	}
	for _, g := range privilegeGroups {
		give("Administrator", g.root, g.admin, g.user, g.audit)
		give("PVE"+g.area+"Admin", g.admin, g.user, g.audit)
		give("PVEAdmin", g.admin, g.user, g.audit)
		if g.user != "" {
			give("PVE"+g.area+"User", g.user, g.audit)
		}
		give("PVEAuditor", g.audit)
	}
	delete(roles["PVEAdmin"], "Mapping.Modify")
	return roles
})

// validPrivileges are all privileges.
func validPrivileges() map[string]bool { return builtinRoles()["Administrator"] }

// Privileges are the names of all privileges that the simulator knows.
func Privileges() map[string]bool { return maps.Clone(validPrivileges()) }
