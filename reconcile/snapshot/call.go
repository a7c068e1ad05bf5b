package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/spec"
)

// A call takes or drops a snapshot, or a backup in place of one.
type call struct {
	verb, snapshot string
	backup         bool
	send           func(context.Context) (proxmox.UPID, error)
}

func (c call) noun() string {
	if c.backup {
		return "backup"
	}
	return "snapshot"
}

func (c call) kind() journal.Kind {
	switch {
	case c.backup && c.verb == "drop":
		return journal.DropBackup
	case c.backup:
		return journal.Backup
	case c.verb == "drop":
		return journal.DropSnapshot
	}
	return journal.Snapshot
}

// The gaps between two attempts at a container that is locked.
const (
	firstGap = 2 * time.Second
	maxGap   = 30 * time.Second
)

var errStop = errors.New("stopped on request")

// do carries out a call and waits for its task. Where the container is locked or busy, nothing was done: it waits, as
// long as the policy says, and tries again. A snapshot that is gone already is dropped.
func (r *run) do(ctx context.Context, s subject, c call) error {
	begin := time.Now()
	tell := func(e Event) {
		e.Ref, e.Name, e.Verb, e.Snapshot, e.Since = s.ref, s.want.Name, c.verb, c.snapshot, time.Since(begin)
		r.Progress(e)
	}
	tell(Event{Kind: Started})
	gap := firstGap
	for {
		err := r.attempt(ctx, s, c, tell)
		if c.verb == "drop" && errors.Is(err, proxmox.ErrNotFound) && !errors.Is(err, proxmox.ErrNoGuest) {
			err = nil
		}
		if !errors.Is(err, proxmox.ErrLocked) && !errors.Is(err, proxmox.ErrBusy) {
			tell(Event{Kind: Ended, Err: err})
			r.log(ctx, s, c, err, time.Since(begin))
			return wrap(s, c, err)
		}
		left := s.policy.LockWait - time.Since(begin)
		if left <= 0 {
			err = fmt.Errorf("waited %s for the lock: %w", s.policy.LockWait, err)
		} else {
			tell(Event{Kind: Waiting, Reason: err.Error()})
			if end := r.waited(ctx, s, min(gap, left)); end != nil {
				left, err = 0, errors.Join(end, err)
			}
		}
		if left <= 0 {
			tell(Event{Kind: Ended, Err: err})
			return wrap(s, c, err)
		}
		gap = min(gap*2, maxGap)
	}
}

// waited waits for the next attempt. The error is why there is none: the run ends, or whoever held the lock died.
func (r *run) waited(ctx context.Context, s subject, d time.Duration) error {
	if err := r.pause(ctx, d); err != nil {
		return err
	}
	have, err := r.list(ctx, s)
	if err != nil {
		return err
	}
	stuck, err := r.look(ctx, s, have)
	return errors.Join(asError(stuck), err)
}

func wrap(s subject, c call, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s %s of container %d: %w", c.verb, c.noun(), c.snapshot, s.ref.ID, err)
}

// pause waits; the error is why the run ends.
func (r *run) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-r.Stop:
		return errStop
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// attempt sends the call once and waits for its task.
func (r *run) attempt(ctx context.Context, s subject, c call, tell func(Event)) error {
	rec, err := r.Journal.Begin(journal.Entry{
		Run: r.RunID, Time: time.Now(), Guest: s.ref, Verb: c.verb + " " + c.noun() + " " + c.snapshot, Kind: c.kind(),
	})
	if err != nil {
		return fmt.Errorf("nothing is changed without a record: %w", err)
	}
	task, err := c.send(ctx)
	if err == nil {
		r.recorded(ctx, s, rec.SetTask(task))
		tell(Event{Kind: TaskStarted, Task: task})
		limit := r.TaskTimeout
		if c.backup {
			limit = r.BackupTimeout
		}
		wait, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		_, err = r.Watcher.Wait(wait, task)
	}
	if _, runsOn := errors.AsType[*proxmox.TaskWaitError](err); runsOn || errors.Is(err, proxmox.ErrOutcomeUnknown) {
		return err // its end is not known: the record stays open, and the next run looks first
	}
	outcome := journal.Done
	if err != nil {
		outcome = journal.Failed
	}
	r.recorded(ctx, s, rec.End(outcome))
	return err
}

func (r *run) recorded(ctx context.Context, s subject, err error) {
	if err != nil {
		r.Log.WarnContext(ctx, "journal not written", slog.Int("guest", int(s.ref.ID)), slog.Any("err", err))
	}
}

func (r *run) log(ctx context.Context, s subject, c call, err error, d time.Duration) {
	attrs := []any{
		slog.Int("guest", int(s.ref.ID)), slog.String("node", s.ref.Node), slog.String("step", c.verb), slog.String("snapshot", c.snapshot),
		slog.Duration("dur", d),
	}
	if err == nil {
		r.Log.InfoContext(ctx, c.noun()+" done", attrs...)
		return
	}
	r.Log.WarnContext(ctx, c.noun()+" not done", append(attrs, slog.Any("err", err))...)
}

// before runs the command of the policy that comes before the snapshot. The error is why none is taken.
func (r *run) before(ctx context.Context, s subject) error {
	return r.hook(ctx, s, "before", s.policy.Before)
}

// after runs the command of the policy that comes after the snapshot. The error is why the run counts as failed.
func (r *run) after(ctx context.Context, s subject) error {
	return r.hook(context.WithoutCancel(ctx), s, "after", s.policy.After)
}

func (r *run) hook(ctx context.Context, s subject, when string, h spec.Hook) error {
	if len(h.Command) == 0 {
		return nil
	}
	err := r.runHook(ctx, s, h)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("command %s the snapshot of container %d: %w", when, s.ref.ID, err)
	if h.OnFailure == spec.HookContinue {
		r.Log.WarnContext(ctx, "hook failed, going on", slog.Int("guest", int(s.ref.ID)), slog.Any("err", err))
		return nil
	}
	return err
}

func (r *run) runHook(ctx context.Context, s subject, h spec.Hook) error {
	if r.Guest == nil {
		return errors.New("only root on the node can run it, and nobody acts as root here (lane)")
	}
	exit, output, err := r.Guest.Exec(ctx, s.ref, h.Command, h.Timeout)
	switch {
	case err != nil:
		return err
	case exit != 0:
		return fmt.Errorf("%s ended with exit status %d: %s", h.Command[0], exit, lastLine(output))
	}
	return nil
}

// lastLine is the last line that a command printed, shortened.
func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	line := strings.TrimSpace(lines[len(lines)-1])
	if len(line) > 200 {
		line = line[:200] + "…"
	}
	return line
}
