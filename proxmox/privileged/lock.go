package privileged

import (
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// holders are the workers that set a lock, by its name (pve-container API2/LXC.pm, LXC/Create.pm, API2/LXC/Snapshot.pm,
// LXC/Migrate.pm; pve-manager VZDump.pm).
var holders = map[string][]string{
	"backup":          {"vzdump"},
	"create":          {"vzcreate", "vzrestore", "vzclone", "vzmtunnel"},
	"destroyed":       {"vzdestroy"},
	"disk":            {"vzclone", "move_volume", "resize"},
	"fstrim":          {},
	"migrate":         {"vzmigrate", "hamigrate", "migrateall", "bulk-migrate"},
	"mounted":         {},
	"rollback":        {"vzrollback"},
	"snapshot":        {"vzsnapshot"},
	"snapshot-delete": {"vzdelsnapshot"},
}

// MayHold reports whether a task that runs could be the one that holds the lock of an unlock: one that works on this
// container, or one of a kind that sets such locks and does not name all containers that it works on, as a backup of
// several or a clone, which locks its target too.
func MayHold(r Unlock, task proxmox.UPID) bool {
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	if slices.Contains(strings.FieldsFunc(task.ID, notDigit), r.Ref.ID.String()) { // "101", or "101-mp0>102-mp0"
		return true
	}
	workers, known := holders[r.Lock]
	if !known {
		return true // a lock of a later Proxmox: anything could hold it
	}
	many := []string{"vzdump", "vzclone", "move_volume", "vzmtunnel", "migrateall", "bulk-migrate"}
	return slices.Contains(workers, task.Type) && slices.Contains(many, task.Type)
}
