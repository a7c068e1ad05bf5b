package app

import (
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// The user and token that the lines of doctor --role make.
const (
	roleUser  = "tend@pve"
	roleToken = "apply"
)

// showRole shows the smallest privileges for a spec. It needs no cluster.
func showRole(s *Streams, output, path string, disks, backups bool) error {
	write, err := s.output(output, "text", "json")
	if err != nil {
		return err
	}
	want, err := loadSpec(s, path)
	if err != nil {
		return err
	}
	var besides []proxmox.Privileges
	if disks {
		besides = []proxmox.Privileges{{Path: "/", AnyOf: []string{"Sys.Audit"}}}
	}
	if backups {
		besides = append(besides, plan.BackupPrivileges(want)...)
	}
	return write(view.Role{Grants: plan.Role(want, besides...), User: roleUser, Token: roleToken})
}
