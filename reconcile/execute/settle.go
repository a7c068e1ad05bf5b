package execute

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/journal"
)

// workers are the types of the tasks that calls start. Of a container that the high availability manager
// rules, power actions only hand in a request (pve-container API2/LXC/Status.pm).
var workers = map[journal.Kind][]string{
	journal.Create:   {"vzcreate"},
	journal.Resize:   {"resize"},
	journal.Move:     {"move_volume"},
	journal.Clone:    {"vzclone"},
	journal.Restore:  {"vzrestore"},
	journal.Backup:   {"vzdump"},
	journal.Template: {"vztemplate"},
	journal.Migrate:  {"vzmigrate", "hamigrate"},
	journal.Start:    {"vzstart", "hastart"},
	journal.Shutdown: {"vzshutdown", "hastop"},
	journal.Reboot:   {"vzreboot"},
	journal.Destroy:  {"vzdestroy"},
	journal.Download: {"download", "ociregistrypull"},

	journal.Snapshot:     {"vzsnapshot"},
	journal.DropSnapshot: {"vzdelsnapshot"},
	journal.RollBack:     {"vzrollback"},
}

// leastWait is how long a task of an earlier run is waited for in any case.
const leastWait = 5 * time.Second

// Settle finds out whether a call whose end is not known is over, and waits for it where it is not: for its
// task, or where that is not known, for the tasks of its kind that run for this container. Whether the call
// did what it should is not asked: the live state shows it. What has no task is over.
//
// It waits until TaskTimeout after the call was made. A task that runs on is a [*proxmox.TaskWaitError]; the
// record stays open then, as it does where the node cannot be asked.
func (x *Executor) Settle(ctx context.Context, rec *journal.Record) error {
	x = x.withDefaults()
	e := rec.Entry()
	wait, cancel := context.WithTimeout(ctx, max(time.Until(e.Time.Add(x.TaskTimeout)), leastWait))
	defer cancel()
	tasks := []proxmox.UPID{e.Task}
	if e.Task.IsZero() {
		var err error
		if tasks, err = x.running(wait, e); err != nil {
			return fmt.Errorf("look up %q on %s, which an earlier run began: %w", e.Verb, what(e), err)
		}
	}
	for _, task := range tasks {
		if err := rec.SetTask(task); err != nil {
			x.Log.WarnContext(ctx, "journal not written", slog.String("subject", e.Subject()), slog.Any("err", err))
		}
		end, err := x.Watcher.Wait(wait, task)
		if err != nil && !isOver(err) {
			return fmt.Errorf("look up %q on %s, which an earlier run began: %w", e.Verb, what(e), err)
		}
		x.Log.InfoContext(ctx, "task of an earlier run ended", slog.String("subject", e.Subject()),
			slog.String("upid", task.String()), slog.String("exit", end.ExitStatus))
	}
	return rec.End(journal.Settled)
}

// running are the tasks that the call may have started. The time of their start is not compared: the clock of
// the node need not agree with the one of this machine, and whoever started a task of this kind, it must have
// ended before a plan can be made.
func (x *Executor) running(ctx context.Context, e journal.Entry) ([]proxmox.UPID, error) {
	types := workers[e.Kind]
	if len(types) == 0 {
		return nil, nil
	}
	list, err := x.Client.Tasks(ctx, e.Guest.Node, proxmox.TaskFilter{Source: proxmox.TasksRunning, Guest: e.Guest.ID})
	if err != nil {
		return nil, err
	}
	var out []proxmox.UPID
	for _, t := range list {
		if t.Running && slices.Contains(types, t.UPID.Type) && (e.About == "" || isDownloadOf(t.UPID, e.Verb)) {
			out = append(out, t.UPID)
		}
	}
	return out, nil
}

// isOver reports whether the error of a wait says that the task has ended: it failed, or the node does not
// know it any more.
func isOver(err error) bool {
	if _, failed := errors.AsType[*proxmox.TaskError](err); failed {
		return true
	}
	return errors.Is(err, proxmox.ErrNotFound)
}
