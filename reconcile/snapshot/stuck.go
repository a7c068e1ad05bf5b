package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// A Stuck is a container that an operation left locked or half done, and that no operation works on: every further
// call would be refused or make it worse (pve-guest-common AbstractConfig.pm, snapshot_create, snapshot_delete and
// snapshot_rollback, which leave lock and snapstate where they die in the middle).
type Stuck struct {
	Ref      proxmox.Ref
	Lock     string // in the configuration: "snapshot-delete"; empty where only the snapshot is incomplete
	Snapshot string // that is incomplete; empty where none is
	State    string // of it: "prepare" or "delete"
}

// Error names the state.
func (s *Stuck) Error() string {
	var parts []string
	if s.Lock != "" {
		parts = append(parts, "its configuration is locked ("+s.Lock+") and no task runs that could hold the lock")
	}
	if s.Snapshot != "" {
		parts = append(parts, fmt.Sprintf("snapshot %s is incomplete (%s)", s.Snapshot, s.State))
	}
	return fmt.Sprintf("container %d is stuck: %s", s.Ref.ID, strings.Join(parts, ", "))
}

// Runbook is what a person does as root on the node, a command each, with comments that say when.
func (s *Stuck) Runbook() []string {
	var out []string
	if s.Lock != "" {
		out = append(out, fmt.Sprintf("pct unlock %d", s.Ref.ID))
	}
	switch {
	case s.Snapshot != "":
		out = append(out,
			fmt.Sprintf("pct delsnapshot %d %s", s.Ref.ID, s.Snapshot),
			"# only if that fails because a volume's snapshot is gone already:",
			fmt.Sprintf("pct unlock %d; pct delsnapshot %d %s --force 1", s.Ref.ID, s.Ref.ID, s.Snapshot))
	case s.Lock == "rollback":
		out = append(out, fmt.Sprintf("# repeat the rollback that was interrupted: pct rollback %d SNAPSHOT", s.Ref.ID))
	}
	return out
}

// snapshotLocks are the locks of operations on snapshots.
var snapshotLocks = []string{"snapshot", "snapshot-delete", "rollback"}

// stuck reports how a container is stuck; nil where it is not, or where an operation is at work that will end.
func (k *Keeper) stuck(ctx context.Context, r proxmox.Ref, lock string, have []proxmox.Snapshot) (*Stuck, error) {
	s := &Stuck{Ref: r}
	if slices.Contains(snapshotLocks, lock) {
		s.Lock = lock
	}
	for _, x := range have {
		if x.State != "" && x.Name != "vzdump" { // vzdump has one of its own while it works
			s.Snapshot, s.State = x.Name, x.State
		}
	}
	if s.Lock == "" && (s.Snapshot == "" || lock != "") {
		return nil, nil
	}
	// A token without Sys.Audit is shown its own tasks only, and another's may be at work (pve-manager API2/Tasks.pm).
	allowed, err := k.Client.Permissions(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("read the privileges of the token: %w", err)
	}
	if !allowed.Allows("/nodes/"+r.Node, "Sys.Audit") {
		return nil, nil
	}
	running, err := k.Client.Tasks(ctx, r.Node, proxmox.TaskFilter{Source: proxmox.TasksRunning})
	if err != nil {
		return nil, fmt.Errorf("list tasks of node %s: %w", r.Node, err)
	}
	holds := func(t proxmox.TaskStatus) bool { return proxmox.MayHold(cmp.Or(s.Lock, "snapshot"), r.ID, t.UPID) }
	if slices.ContainsFunc(running, holds) {
		return nil, nil
	}
	return s, nil
}
