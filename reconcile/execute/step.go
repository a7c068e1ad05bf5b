package execute

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/plan"
)

// step carries out one step: it sends its call and waits for its task, and where the container is locked or
// busy, it waits and sends it again.
func (l *lane) step(ctx context.Context, index int, s plan.Step, begin time.Time) (Status, error) {
	patience := newPatience(l.run.LockTimeout)
	for {
		rec, err := l.attempt(ctx, index, s, begin)
		status := l.judge(ctx, s.Op, err)
		switch {
		case rec == nil: // it was not sent
		case status == Done:
			l.known.ours(s.Op)
			l.recorded(ctx, rec.End(journal.Done))
			if op, ok := s.Op.(plan.Resize); ok && err != nil {
				return l.tellSize(ctx, index, op, begin)
			}
			return Done, nil
		case status == Unknown || isWait(err):
			l.known.ours(s.Op)
			l.result.Open = rec
			return status, err
		default:
			l.recorded(ctx, rec.End(journal.Failed))
		}
		if !mayRepeat(s.Op, err) {
			return status, err
		}
		l.tell(Event{Kind: Waiting, Step: index, Reason: lockReason(err), Since: time.Since(begin)})
		if end := l.wait(ctx, patience); end != nil {
			if errors.Is(end, errPatience) {
				return Failed, fmt.Errorf("gave up after %s: %w", l.run.LockTimeout, err)
			}
			return Interrupted, fmt.Errorf("%w, while the container was %s", end, lockReason(err))
		}
		l.known.stale = true // whoever held the lock may have written
	}
}

// attempt sends the call of a step once and waits for its task. The record is nil where nothing was sent.
func (l *lane) attempt(ctx context.Context, index int, s plan.Step, begin time.Time) (*journal.Record, error) {
	send, err := l.prepare(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := l.run.Before(l.Lane, index); err != nil {
		return nil, err
	}
	rec, err := l.run.Journal.Begin(journal.Entry{
		Run: l.run.RunID, Time: time.Now(), Guest: l.Ref, About: l.about(), Verb: s.Op.Verb(), Kind: kindOf(s.Op),
	})
	if err != nil {
		return nil, fmt.Errorf("nothing is changed without a record: %w", err)
	}
	task, err := send(ctx)
	if err != nil || task.IsZero() {
		return rec, err
	}
	l.recorded(ctx, rec.SetTask(task))
	l.tell(Event{Kind: TaskStarted, Step: index, Task: task, Since: time.Since(begin)})
	ctx, cancel := context.WithTimeout(ctx, l.run.TaskTimeout)
	defer cancel()
	end, err := l.run.Watcher.Wait(ctx, task)
	if op, takes := s.Op.(plan.TakeSnapshot); takes && err == nil {
		err = l.listed(ctx, op)
	}
	if err == nil && end.Warnings() > 0 {
		l.result.Warnings = append(l.result.Warnings, end)
	}
	return rec, err
}

// recorded takes note of a journal that could not be written. What it holds then is older than the truth, so
// that the next run looks up more than it must.
func (l *lane) recorded(ctx context.Context, err error) {
	if err != nil {
		l.run.Log.WarnContext(ctx, "journal not written", l.who(), slog.Any("err", err))
	}
}

// A call sends what a step says; the task is zero where there is none.
type call func(context.Context) (proxmox.UPID, error)

// prepare makes the call of a step, and reads what it needs for it.
func (l *lane) prepare(ctx context.Context, s plan.Step) (call, error) {
	if s.Access.Root {
		return l.asRoot(ctx, s.Op)
	}
	c := l.run.Client
	switch op := s.Op.(type) {
	case plan.CreateContainer:
		return l.create(ctx, op)
	case plan.SetConfig:
		digest, err := l.digest(ctx)
		u := proxmox.Update{Set: op.Set, Delete: op.Delete, Revert: op.Revert, Digest: digest}
		return func(ctx context.Context) (proxmox.UPID, error) {
			return proxmox.UPID{}, c.SetConfig(ctx, l.Ref, u)
		}, err
	case plan.Resize:
		digest, err := l.digest(ctx)
		p := proxmox.ResizeParams{Disk: op.Disk, Size: int64(op.Size), Digest: digest}
		return func(ctx context.Context) (proxmox.UPID, error) { return c.Resize(ctx, l.Ref, p) }, err
	case plan.CloneContainer, plan.RestoreContainer:
		return l.copied(op), nil
	case plan.Backup:
		return l.backup(op), nil
	case plan.RestoreOver:
		return l.restoreOver(ctx, op)
	case plan.Migrate:
		p := proxmox.MigrateParams{Target: op.Target, Restart: op.Restart, Timeout: op.Timeout}
		return func(ctx context.Context) (proxmox.UPID, error) { return c.Migrate(ctx, l.Ref, p) }, nil
	case plan.MoveVolume:
		digest, err := l.digest(ctx)
		p := proxmox.MoveParams{Volume: op.Disk, Storage: op.Storage, Digest: digest}
		return func(ctx context.Context) (proxmox.UPID, error) { return c.MoveVolume(ctx, l.Ref, p) }, err
	case plan.DestroyVolume:
		return l.destroyVolume(ctx, op)
	case plan.MakeTemplate:
		return func(ctx context.Context) (proxmox.UPID, error) { return c.ConvertToTemplate(ctx, l.Ref) }, nil
	case plan.Start:
		return func(ctx context.Context) (proxmox.UPID, error) { return c.Start(ctx, l.Ref) }, nil
	case plan.Shutdown:
		p := proxmox.ShutdownParams{Timeout: op.Timeout, ForceStop: true}
		return func(ctx context.Context) (proxmox.UPID, error) { return c.Shutdown(ctx, l.Ref, p) }, nil
	case plan.Reboot:
		return func(ctx context.Context) (proxmox.UPID, error) { return c.Reboot(ctx, l.Ref, op.Timeout) }, nil
	case plan.DestroyContainer:
		return l.destroy(ctx, proxmox.DestroyParams{Purge: true})
	case plan.RemoveRemnant: // what names the container elsewhere, as backup jobs do, is for the one that is made anew
		return l.destroy(ctx, proxmox.DestroyParams{DestroyUnreferenced: op.Unreferenced})
	case plan.DeleteSnapshot:
		return func(ctx context.Context) (proxmox.UPID, error) {
			return c.DeleteSnapshot(ctx, l.Ref, op.Name, op.Force)
		}, nil
	case plan.TakeSnapshot:
		return func(ctx context.Context) (proxmox.UPID, error) {
			return c.Snapshot(ctx, l.Ref, op.Name, op.Description)
		}, nil
	case plan.RollBack:
		return l.rollBack(ctx, op)
	}
	if call, err := l.prepareOther(ctx, s.Op); call != nil || err != nil {
		return call, err
	}
	return nil, fmt.Errorf("%T is an operation that the executor does not know", s.Op)
}

func (l *lane) create(ctx context.Context, op plan.CreateContainer) (call, error) {
	p, err := l.createParams(ctx, op)
	return func(ctx context.Context) (proxmox.UPID, error) {
		task, err := l.run.Client.Create(ctx, l.Ref.Node, p)
		return task, l.taken(err)
	}, err
}

func (l *lane) createParams(ctx context.Context, op plan.CreateContainer) (proxmox.CreateParams, error) {
	p := proxmox.CreateParams{ID: l.Ref.ID, Template: op.Template, Pool: op.Pool, Values: op.Values, SSHKeys: op.SSHKeys}
	if op.Password.IsZero() {
		return p, nil
	}
	if l.run.Secrets == nil {
		return p, errors.New("secrets cannot be read here")
	}
	var err error
	if p.Password, err = l.run.Secrets(ctx, op.Password); err != nil {
		return p, fmt.Errorf("read the password: %w", err)
	}
	return p, nil
}

// destroy makes sure that what goes is what the plan showed: Proxmox takes no digest here.
func (l *lane) destroy(ctx context.Context, p proxmox.DestroyParams) (call, error) {
	if l.known.stale || time.Since(l.run.ReadAt) > fresh {
		if _, err := l.look(ctx); err != nil && !errors.Is(err, proxmox.ErrNoGuest) {
			return nil, err
		}
	}
	return func(ctx context.Context) (proxmox.UPID, error) {
		return l.run.Client.Destroy(ctx, l.Ref, p)
	}, nil
}

func kindOf(op plan.Op) journal.Kind {
	switch op.(type) {
	case plan.CreateContainer:
		return journal.Create
	case plan.Resize:
		return journal.Resize
	case plan.CloneContainer:
		return journal.Clone
	case plan.RestoreContainer, plan.RestoreOver:
		return journal.Restore
	case plan.Backup:
		return journal.Backup
	case plan.Migrate:
		return journal.Migrate
	case plan.MoveVolume:
		return journal.Move
	case plan.MakeTemplate:
		return journal.Template
	case plan.Start:
		return journal.Start
	case plan.Shutdown:
		return journal.Shutdown
	case plan.Reboot:
		return journal.Reboot
	case plan.DestroyContainer, plan.RemoveRemnant:
		return journal.Destroy
	case plan.Unlock:
		return journal.Unlock
	case plan.TakeSnapshot:
		return journal.Snapshot
	case plan.DeleteSnapshot:
		return journal.DropSnapshot
	case plan.RollBack:
		return journal.RollBack
	case plan.JoinPool, plan.LeavePool:
		return journal.Pool
	case plan.CreateJob, plan.UpdateJob, plan.DeleteJob:
		return journal.Job
	case plan.DownloadAppliance, plan.DownloadURL, plan.PullImage:
		return journal.Download
	}
	return journal.SetConfig
}

// judge tells what the end of an attempt means for the lane.
func (l *lane) judge(ctx context.Context, op plan.Op, err error) Status {
	switch {
	case err == nil || achieved(op, err):
		return Done
	case errors.Is(err, proxmox.ErrOutcomeUnknown):
		return Unknown
	case ctx.Err() != nil:
		return Interrupted
	case errors.Is(err, proxmox.ErrModified), changedPower(op, err), vanished(op, err), changedJob(op, err), halfDeleted(op, err):
		return Replan
	}
	return Failed
}

// achieved reports whether an error says that what the operation is for is so already.
func achieved(op plan.Op, err error) bool {
	switch op.(type) {
	case plan.Start, plan.Shutdown, plan.Resize:
		return errors.Is(err, proxmox.ErrAlready)
	case plan.DestroyContainer, plan.RemoveRemnant:
		return errors.Is(err, proxmox.ErrNoGuest)
	case plan.DeleteSnapshot:
		return errors.Is(err, proxmox.ErrNotFound) && !errors.Is(err, proxmox.ErrNoVolumeSnapshot) && !errors.Is(err, proxmox.ErrNoGuest)
	}
	return achievedOther(op, err)
}

// changedPower reports whether a container that was to be restarted does not run any more.
func changedPower(op plan.Op, err error) bool {
	_, ok := op.(plan.Reboot)
	return ok && errors.Is(err, proxmox.ErrAlready)
}

// halfDeleted reports whether a delete of a snapshot failed for a volume that does not have it: what comes next is for
// a new plan.
func halfDeleted(op plan.Op, err error) bool {
	d, ok := op.(plan.DeleteSnapshot)
	return ok && !d.Force && errors.Is(err, proxmox.ErrNoVolumeSnapshot)
}

// vanished reports whether the container is gone.
func vanished(op plan.Op, err error) bool {
	switch op.(type) {
	case plan.CreateContainer, plan.CloneContainer, plan.RestoreContainer:
		return false
	}
	return errors.Is(err, proxmox.ErrNoGuest)
}

func isWait(err error) bool {
	_, ok := errors.AsType[*proxmox.TaskWaitError](err)
	return ok
}
