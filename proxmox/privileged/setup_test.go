package privileged_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/felhom/tend/proxmox/privileged"
)

func TestSetup(t *testing.T) {
	made := func(s privileged.Setup, err error) string {
		if err != nil {
			return "error: " + err.Error()
		}
		return s.String()
	}
	tests := []struct{ name, got, want string }{
		{"role", made(privileged.AddRole("TendGuests", []string{"VM.Audit", "VM.Config.CPU"})), "pveum role add TendGuests --privs 'VM.Audit VM.Config.CPU'"},
		{"role changed", made(privileged.ChangeRole("Tend", []string{"VM.Audit"})), "pveum role modify Tend --privs VM.Audit"},
		{"user", made(privileged.AddUser("tend@pve")), "pveum user add tend@pve --comment tend"},
		{"token", made(privileged.AddToken("tend@pve", "apply")), "pveum user token add tend@pve apply --privsep 1 --output-format json"},
		{"token removed", made(privileged.RemoveToken("tend@pve", "apply")), "pveum user token remove tend@pve apply"},
		{"entry", made(privileged.Allow("/storage/tank", "TendVolumes", "tend@pve", "apply")), "pveum acl modify /storage/tank --roles TendVolumes --users tend@pve --tokens 'tend@pve!apply'"},
		{"everywhere", made(privileged.Allow("/", "Tend", "tend@pve", "apply")), "pveum acl modify / --roles Tend --users tend@pve --tokens 'tend@pve!apply'"},
		{"unit", made(privileged.Enable("tend.service")), "systemctl enable --now tend.service"},

		{"an option as a role", made(privileged.AddRole("--append", []string{"VM.Audit"})), `error: "--append" is no name of a role`},
		{"no privileges", made(privileged.AddRole("Tend", nil)), "error: a role has no privileges"},
		{"no privilege", made(privileged.AddRole("Tend", []string{"VM.Audit --append 1"})), `error: "VM.Audit --append 1" is no privilege`},
		{"root", made(privileged.AddToken("root@pam", "apply")), `error: "root@pam" is no user of the realm pve, as in tend@pve`},
		{"bad token", made(privileged.RemoveToken("tend@pve", "-x")), `error: "-x" is no name of a token: a letter, and then letters, digits, ., _ and -`},
		{"bad path", made(privileged.Allow("/vms/../", "Tend", "tend@pve", "apply")), `error: "/vms/../" is no path of the access list`},
		{"others' unit", made(privileged.Enable("ssh.service")), `error: "ssh.service" is no unit of tend`},
		{"others' unit, looked at", made(privileged.IsEnabled("../x")), `error: "../x" is no unit of tend`},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, tt.got, tt.want)
		}
	}
}

// TestSetupStandsApart holds that what setup runs is on no row, so that no request can lead to it.
func TestSetupStandsApart(t *testing.T) {
	enable, err := privileged.Enable("tend.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{privileged.ListRoles().Argv()[0], privileged.ListUsers().Argv()[0], privileged.ListAccess().Argv()[0]} {
		for _, e := range privileged.Exceptions() {
			if slices.Contains(e.Runs, program) {
				t.Errorf("row %s runs %s", e.Name, program)
			}
		}
	}
	if !strings.HasPrefix(enable.Argv()[0], "/") {
		t.Errorf("%q is no absolute path", enable.Argv()[0])
	}
	enable.Argv()[0] = "/bin/sh"
	if enable.Argv()[0] == "/bin/sh" {
		t.Error("the vector can be changed from outside")
	}
}
