package execute

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/plan"
)

// who is the lane in a log.
func (l *lane) who() slog.Attr {
	if l.Kind == plan.ContainerKind {
		return slog.Int("guest", int(l.Ref.ID))
	}
	return slog.String("subject", l.Subject().String())
}

// about is the lane in the journal, where it is about no container.
func (l *lane) about() string {
	if l.Kind == plan.ContainerKind {
		return ""
	}
	return l.Subject().String()
}

// what is that which a call of an earlier run changed.
func what(e journal.Entry) string {
	if e.About != "" {
		return e.About
	}
	return e.Guest.String()
}

// isDownloadOf reports whether a task downloads the file that a step names: the id of such a task is the file's
// name, percent-encoded (pve-storage API2/Storage/Status.pm, download_url).
func isDownloadOf(task proxmox.UPID, verb string) bool {
	file, err := url.PathUnescape(task.ID)
	return err == nil && file != "" && strings.Contains(verb, " "+file+" ")
}

// prepareOther makes the calls that are about no container's configuration; nil where the operation is none.
func (l *lane) prepareOther(ctx context.Context, op plan.Op) (call, error) {
	c, node := l.run.Client, l.Ref.Node
	switch op := op.(type) {
	case plan.DownloadAppliance:
		return func(ctx context.Context) (proxmox.UPID, error) {
			return c.DownloadAppliance(ctx, node, op.Storage, op.File)
		}, nil
	case plan.DownloadURL:
		p := proxmox.DownloadParams{
			URL: op.URL, Content: "vztmpl", File: op.File, Algorithm: op.Checksum.Algorithm, Checksum: op.Checksum.Hex,
		}
		return func(ctx context.Context) (proxmox.UPID, error) { return c.DownloadURL(ctx, node, op.Storage, p) }, nil
	case plan.PullImage:
		name := strings.TrimSuffix(op.File, ".tar") // Proxmox adds it
		return func(ctx context.Context) (proxmox.UPID, error) {
			return c.PullImage(ctx, node, op.Storage, op.Reference, name)
		}, nil
	case plan.JoinPool:
		return direct(func(ctx context.Context) error { return c.AddToPool(ctx, op.Pool, l.Ref.ID) }), nil
	case plan.LeavePool:
		return direct(func(ctx context.Context) error { return c.RemoveFromPool(ctx, op.Pool, l.Ref.ID) }), nil
	case plan.CreateJob:
		return direct(func(ctx context.Context) error { return c.CreateBackupJob(ctx, op.ID, op.Values) }), nil
	case plan.UpdateJob:
		err := l.sameJob(ctx, op.ID, op.Was)
		return direct(func(ctx context.Context) error { return c.UpdateBackupJob(ctx, op.ID, op.Set, op.Delete) }), err
	case plan.DeleteJob:
		err := l.sameJob(ctx, op.ID, op.Was)
		if errors.Is(err, proxmox.ErrNotFound) {
			return direct(func(context.Context) error { return nil }), nil // it is gone already
		}
		return direct(func(ctx context.Context) error { return c.DeleteBackupJob(ctx, op.ID) }), err
	}
	return nil, nil
}

// direct is a call that is done when it returns.
func direct(f func(context.Context) error) call {
	return func(ctx context.Context) (proxmox.UPID, error) { return proxmox.UPID{}, f(ctx) }
}

// sameJob makes sure that a backup job is what the plan was made on: Proxmox takes no digest here.
func (l *lane) sameJob(ctx context.Context, id string, was proxmox.Values) error {
	now, err := l.run.Client.BackupJob(ctx, id)
	if err != nil {
		return fmt.Errorf("read backup job %s: %w", id, err)
	}
	if !maps.Equal(now.Values, was) {
		return fmt.Errorf("somebody else has changed backup job %s meanwhile: %w", id, proxmox.ErrModified)
	}
	return nil
}

// achievedOther is [achieved] for what is about no container's configuration.
func achievedOther(op plan.Op, err error) bool {
	switch op.(type) {
	case plan.JoinPool:
		return errors.Is(err, proxmox.ErrAlready)
	case plan.LeavePool:
		return errors.Is(err, proxmox.ErrAlready) || errors.Is(err, proxmox.ErrNotFound)
	case plan.PullImage:
		return errors.Is(err, proxmox.ErrExists)
	case plan.DeleteJob:
		return errors.Is(err, proxmox.ErrNotFound)
	}
	return false
}

// changedJob reports whether a backup job has come or gone meanwhile.
func changedJob(op plan.Op, err error) bool {
	switch op.(type) {
	case plan.CreateJob:
		return errors.Is(err, proxmox.ErrExists)
	case plan.UpdateJob:
		return errors.Is(err, proxmox.ErrNotFound)
	}
	return false
}
