package app

import (
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile/plan"
)

// The user and token that the lines of doctor --role make.
const (
	roleUser  = "tend@pve"
	roleToken = "apply"
)

// showRole shows the smallest privileges for a spec. It needs no cluster.
func showRole(s *Streams, output, path string, backups bool) error {
	write, err := s.output(output, "text", "json")
	if err != nil {
		return err
	}
	want, err := loadSpec(s, path)
	if err != nil {
		return err
	}
	grants := plan.Role(want)
	if backups {
		grants = plan.BackupRole(want)
	}
	return write(view.Role{Grants: grants, User: roleUser, Token: roleToken})
}
