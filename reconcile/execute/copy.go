package execute

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// copied makes a container as a copy of another or of a backup.
func (l *lane) copied(op plan.Op) call {
	return func(ctx context.Context) (proxmox.UPID, error) {
		var task proxmox.UPID
		var err error
		switch op := op.(type) {
		case plan.CloneContainer:
			task, err = l.run.Client.Clone(ctx, op.Source, proxmox.CloneParams{
				ID: l.Ref.ID, Mode: cloneMode(op.Kind), Snapshot: op.Snapshot, Hostname: op.Hostname, Description: op.Description,
				Storage: op.Storage, Node: op.Target, Pool: op.Pool,
			})
		case plan.RestoreContainer:
			task, err = l.run.Client.Restore(ctx, l.Ref.Node, proxmox.RestoreParams{
				ID: l.Ref.ID, Archive: op.Archive, Storage: op.Storage, Pool: op.Pool, Values: op.Values, Unique: op.Unique,
			})
		}
		return task, l.taken(err)
	}
}

func cloneMode(k spec.CloneKind) proxmox.CloneMode {
	switch k {
	case spec.FullClone:
		return proxmox.CloneFull
	case spec.LinkedClone:
		return proxmox.CloneLinked
	}
	return proxmox.CloneDefault
}

// taken says of a VMID that is in use that it is somebody else's, whatever has it: identity is never guessed.
func (l *lane) taken(err error) error {
	if errors.Is(err, proxmox.ErrExists) {
		return fmt.Errorf("VMID %d was taken meanwhile; the container that has it was not touched: %w", l.Ref.ID, err)
	}
	return err
}

// notes mark the backup of this run, by which it is found again.
func (l *lane) notes() string {
	what := "made anew"
	if l.RollsBack() {
		what = "rolled back"
	}
	return fmt.Sprintf("tend: %d before it was %s, run %s", l.Ref.ID, what, cmp.Or(l.run.RunID, "?"))
}

// backup makes a backup.
func (l *lane) backup(op plan.Backup) call {
	return func(ctx context.Context) (proxmox.UPID, error) {
		l.backupTo = op.Storage
		return l.run.Client.Backup(ctx, l.Ref.Node, proxmox.BackupParams{
			Guests: []proxmox.VMID{l.Ref.ID}, Storage: op.Storage, Mode: cmp.Or(op.Mode, proxmox.BackupStop), Compress: proxmox.CompressZstd, Notes: l.notes(),
		})
	}
}

// restoreOver restores the backup of this lane over the container. It is looked for first: without it, nothing
// is touched.
func (l *lane) restoreOver(ctx context.Context, op plan.RestoreOver) (call, error) {
	f := proxmox.ContentFilter{Content: proxmox.ContentBackups, Guest: l.Ref.ID}
	list, err := l.run.Client.StorageContent(ctx, l.Ref.Node, l.backupTo, f)
	if err != nil {
		return nil, fmt.Errorf("look for the backup on %s: %w", l.backupTo, err)
	}
	archive := ""
	for _, v := range list {
		if v.Notes == l.notes() {
			archive = v.ID
		}
	}
	if archive == "" {
		return nil, fmt.Errorf("the backup is not on storage %s: the container was left as it is", l.backupTo)
	}
	p := proxmox.RestoreParams{ID: l.Ref.ID, Archive: archive, Values: op.Values, Force: true}
	l.safe = archive
	return func(ctx context.Context) (proxmox.UPID, error) { return l.run.Client.Restore(ctx, l.Ref.Node, p) }, nil
}
