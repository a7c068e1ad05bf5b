package rehearse

import (
	"errors"

	"github.com/felhom/tend/proxmox"
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
