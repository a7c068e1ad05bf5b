package proxmox

import (
	"slices"
	"strings"
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

// unnamed are the workers whose task does not name all containers that it works on: a backup of several, or a clone,
// which locks its target too.
var unnamed = []string{"vzdump", "vzclone", "move_volume", "vzmtunnel", "migrateall", "bulk-migrate"}

// MayHold reports whether a task that runs could be the one that holds a lock of a container: one that works on this
// container, or one of a kind that sets such locks and does not name all containers that it works on. A lock that
// this version does not know may be anybody's.
func MayHold(lock string, id VMID, task UPID) bool {
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	if slices.Contains(strings.FieldsFunc(task.ID, notDigit), id.String()) { // "101", or "101-mp0>102-mp0"
		return true
	}
	workers, known := holders[lock]
	return !known || slices.Contains(workers, task.Type) && slices.Contains(unnamed, task.Type)
}
