package execute

import (
	"context"
	"fmt"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// listed makes sure of a snapshot whose task has ended well: what comes next relies on it.
func (l *lane) listed(ctx context.Context, op plan.TakeSnapshot) error {
	have, err := l.run.Client.Snapshots(ctx, l.Ref)
	if err != nil {
		return fmt.Errorf("list snapshots of %s: %w", l.Ref, err)
	}
	i := slices.IndexFunc(have.List, func(s proxmox.Snapshot) bool { return s.Name == op.Name })
	switch {
	case i < 0:
		return fmt.Errorf("snapshot %s of %s is not there though its task ended well", op.Name, l.Ref)
	case have.List[i].State != "":
		return fmt.Errorf("snapshot %s of %s is incomplete (%s) though its task ended well", op.Name, l.Ref, have.List[i].State)
	}
	return nil
}

// rollBack looks before it calls. Proxmox takes no digest here, and asks for the lock only after it has destroyed what
// replication keeps on the volumes (pve-guest-common AbstractConfig.pm, snapshot_rollback).
func (l *lane) rollBack(ctx context.Context, op plan.RollBack) (call, error) {
	if _, err := l.look(ctx); err != nil {
		return nil, err
	}
	if lock := l.known.config.Current["lock"]; lock != "" {
		return nil, fmt.Errorf("%s is locked (%s): %w", l.Ref, lock, proxmox.ErrLocked)
	}
	return func(ctx context.Context) (proxmox.UPID, error) { return l.run.Client.Rollback(ctx, l.Ref, op.Name) }, nil
}
