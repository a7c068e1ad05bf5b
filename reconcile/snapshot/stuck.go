package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/live"
	"github.com/felhom/tend/reconcile/plan"
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

// Runbook is what a person does as root on the node, a command each, with comments that say when: what plans do with
// consent (--unlock).
func (s *Stuck) Runbook() []string {
	byHand := func(op plan.Op) string { return plan.ByHand(op, s.Ref.ID) }
	var out []string
	if s.Lock != "" {
		out = append(out, byHand(plan.Unlock{Lock: s.Lock}))
	}
	switch {
	case s.Snapshot != "":
		out = append(out,
			byHand(plan.DeleteSnapshot{Name: s.Snapshot}),
			"# only if that says that a volume has no such snapshot:",
			byHand(plan.Unlock{Lock: "snapshot-delete"}),
			byHand(plan.DeleteSnapshot{Name: s.Snapshot, Force: true}))
	case s.Lock == "rollback":
		out = append(out, "# repeat the rollback that was interrupted: "+byHand(plan.RollBack{Name: "SNAPSHOT"}))
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
	find := live.Holders{Client: k.Client}
	holder, err := find.Of(ctx, r, cmp.Or(s.Lock, "snapshot"))
	if err != nil || !holder.Task.IsZero() || holder.Blind {
		return nil, err
	}
	return k.confirmed(ctx, s)
}

// confirmed looks once more: what ended by itself since the first look has left nothing stuck.
func (k *Keeper) confirmed(ctx context.Context, s *Stuck) (*Stuck, error) {
	cfg, err := k.Client.Config(ctx, s.Ref)
	if err != nil {
		return nil, fmt.Errorf("read configuration of container %d: %w", s.Ref.ID, err)
	}
	if s.Lock != "" && cfg.Current["lock"] == s.Lock {
		return s, nil
	}
	if cfg.Current["lock"] != "" { // of another operation, which has just begun
		return nil, nil
	}
	have, err := k.Client.Snapshots(ctx, s.Ref)
	if err != nil {
		return nil, fmt.Errorf("list snapshots of container %d: %w", s.Ref.ID, err)
	}
	i := slices.IndexFunc(have.List, func(x proxmox.Snapshot) bool { return s.Snapshot != "" && x.Name == s.Snapshot && x.State != "" })
	if i < 0 {
		return nil, nil
	}
	return &Stuck{Ref: s.Ref, Snapshot: s.Snapshot, State: have.List[i].State}, nil
}
