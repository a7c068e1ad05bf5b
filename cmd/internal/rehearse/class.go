package rehearse

import (
	"errors"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// A Class is the kind of an error.
type Class string

// The classes.
const (
	Privilege Class = "missing privilege"
	Locked    Class = "locked"
	Full      Class = "storage is full"
	Taken     Class = "VMID is taken"
	Missing   Class = "something is missing"
	Protected Class = "protected"
	Invalid   Class = "not accepted"
	NoQuorum  Class = "no quorum"
	Other     Class = "error"
)

// ClassOf is the class of an error, empty for none.
func ClassOf(err error) Class {
	if err == nil {
		return ""
	}
	for _, row := range []struct {
		of    error
		class Class
	}{
		{proxmox.ErrForbidden, Privilege},
		{proxmox.ErrLocked, Locked},
		{proxmox.ErrBusy, Locked},
		{proxmox.ErrNoSpace, Full},
		{proxmox.ErrExists, Taken},
		{proxmox.ErrNotFound, Missing},
		{proxmox.ErrProtected, Protected},
		{proxmox.ErrInvalid, Invalid},
		{proxmox.ErrNoQuorum, NoQuorum},
	} {
		if errors.Is(err, row.of) {
			return row.class
		}
	}
	return Other
}

// uses reports whether a lane has to do with a storage.
func uses(l plan.Lane, storage string) bool {
	named := func(v proxmox.Values) bool {
		for _, text := range v {
			if strings.HasPrefix(text, storage+":") {
				return true
			}
		}
		return false
	}
	for _, s := range l.Steps {
		switch op := s.Op.(type) {
		case plan.CreateContainer:
			if named(op.Values) {
				return true
			}
		case plan.SetConfig:
			if named(op.Set) {
				return true
			}
		case plan.RestoreContainer:
			if op.Storage == storage {
				return true
			}
		case plan.MoveVolume:
			if op.Storage == storage {
				return true
			}
		case plan.Backup:
			if op.Storage == storage {
				return true
			}
		}
	}
	return named(l.Base.Current)
}
