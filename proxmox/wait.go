package proxmox

import (
	"context"
	"errors"
	"time"
)

// WaitOptions say how a task is waited for. The zero value is sensible.
type WaitOptions struct {
	// First and Max bound the gap between two looks at the task. It grows with the age of the wait, by half
	// each time: short tasks are noticed soon, long ones cost little. 100 ms and 2 s where 0.
	First, Max time.Duration
	// LogLines is how many lines of the log a [*TaskError] carries at most: 20 where 0, none where negative.
	LogLines int
}

func (o WaitOptions) withDefaults() WaitOptions {
	if o.First <= 0 {
		o.First = 100 * time.Millisecond
	}
	if o.Max <= 0 {
		o.Max = 2 * time.Second
	}
	if o.LogLines == 0 {
		o.LogLines = 20
	}
	return o
}

// gap is the time to the next look at a task that is waited for since age.
func (o WaitOptions) gap(age time.Duration) time.Duration {
	return min(max(age/2, o.First), max(o.First, o.Max))
}

var errNoTask = errors.New("wait for task: there is none (the UPID is empty)")

// WaitTask looks at a task until it has ended and reports how. Success is "OK" or "WARNINGS: n"; anything else
// is a [*TaskError] with the tail of the log. The first look comes at once.
//
// A broken connection does not end the wait. When ctx does, or when the node will not tell the state of the
// task, the error is a [*TaskWaitError] that names the task. To wait for many tasks at once, use a
// [TaskWatcher].
func (c *Client) WaitTask(ctx context.Context, u UPID, o WaitOptions) (TaskStatus, error) {
	if u.IsZero() {
		return TaskStatus{}, errNoTask
	}
	o = o.withDefaults()
	for begin := time.Now(); ; {
		s, err := c.TaskStatus(ctx, u)
		switch {
		case err == nil && !s.Running:
			return s, c.taskError(ctx, s, o.LogLines)
		case err != nil && !errors.Is(err, ErrUnreachable):
			return TaskStatus{UPID: u}, waitError(ctx, u, err)
		}
		if pause(ctx, o.gap(time.Since(begin))) != nil {
			return TaskStatus{UPID: u}, waitError(ctx, u, err)
		}
	}
}

// taskError is nil for a task that ended well. The log is worth a request but no failure of its own.
func (c *Client) taskError(ctx context.Context, s TaskStatus, logLines int) error {
	if s.OK() {
		return nil
	}
	var log []string
	if logLines > 0 {
		log, _ = c.TaskLogTail(ctx, s.UPID, logLines)
	}
	return NewTaskError(s, log)
}

// waitError prefers the end of ctx, which explains the failure of the request that it cut off.
func waitError(ctx context.Context, u UPID, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &TaskWaitError{UPID: u, Err: err}
}

// pause sleeps, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
