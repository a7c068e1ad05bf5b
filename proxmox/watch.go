package proxmox

import (
	"context"
	"errors"
	"sync"
	"time"
)

// WatchOptions say how a [TaskWatcher] looks at tasks. The zero value is sensible.
type WatchOptions struct {
	WaitOptions
	// Delay is the time from the begin of a wait to the first look, so that tasks which are started together
	// are looked at together: 20 ms where 0, none where negative.
	Delay time.Duration
}

// A TaskWatcher waits for many tasks at once. It looks at all tasks in flight on a node with one request, the
// list of its tasks, which Proxmox answers on a kept connection; the status of a single task costs a TLS
// handshake each time. It asks for the status where only one task is in flight, and of tasks which the list
// does not show.
//
// It is safe for use by many goroutines. It runs a goroutine for each node with tasks in flight, which ends
// when nobody waits any more; there is nothing to close.
type TaskWatcher struct {
	client *Client
	opts   WatchOptions

	mu    sync.Mutex
	nodes map[string]*nodeWatch // those that somebody waits for
}

// NewTaskWatcher makes a watcher that asks through c.
func NewTaskWatcher(c *Client, o WatchOptions) *TaskWatcher {
	o.WaitOptions = o.withDefaults()
	if o.Delay == 0 {
		o.Delay = 20 * time.Millisecond
	}
	return &TaskWatcher{client: c, opts: o, nodes: map[string]*nodeWatch{}}
}

// Wait waits for the end of a task and reports it as [Client.WaitTask] does, but for the first look, which
// comes after the watcher's delay.
func (w *TaskWatcher) Wait(ctx context.Context, u UPID) (TaskStatus, error) {
	if u.IsZero() {
		return TaskStatus{}, errNoTask
	}
	wt := &waiter{upid: u, begin: time.Now(), looked: time.Now(), done: make(chan outcome, 1)}
	w.join(ctx, wt)
	defer w.leave(wt)
	select {
	case out := <-wt.done:
		if out.err != nil {
			return TaskStatus{UPID: u}, waitError(ctx, u, out.err)
		}
		return out.status, w.client.taskError(ctx, out.status, w.opts.LogLines)
	case <-ctx.Done():
		return TaskStatus{UPID: u}, waitError(ctx, u, nil)
	}
}

// A waiter is one call of Wait. What is below done belongs to the goroutine of its node.
type waiter struct {
	upid  UPID
	begin time.Time
	done  chan outcome

	over     bool      // done has its outcome
	unlisted bool      // the list does not show the task
	looked   time.Time // when its status was last asked for by itself
}

type outcome struct {
	status TaskStatus
	err    error
}

// A nodeWatch is the goroutine that looks at the tasks of a node.
type nodeWatch struct {
	*TaskWatcher
	node    string
	cancel  context.CancelFunc
	joined  chan struct{}    // holds an element when somebody has joined
	waiters map[*waiter]bool // guarded by TaskWatcher.mu

	noList bool // the token may not see the list
}

func (w *TaskWatcher) join(ctx context.Context, wt *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.nodes[wt.upid.Node]
	if n == nil {
		// the goroutine serves all who wait and so outlives the context of the first
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		n = &nodeWatch{
			TaskWatcher: w, node: wt.upid.Node, cancel: cancel,
			joined: make(chan struct{}, 1), waiters: map[*waiter]bool{},
		}
		w.nodes[n.node] = n
		go n.run(ctx)
	}
	n.waiters[wt] = true
	select {
	case n.joined <- struct{}{}:
	default: // it is told already
	}
}

func (w *TaskWatcher) leave(wt *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.nodes[wt.upid.Node]
	delete(n.waiters, wt)
	if len(n.waiters) == 0 {
		delete(w.nodes, n.node)
		n.cancel()
	}
}

// run looks at the tasks until the last waiter has left.
func (n *nodeWatch) run(ctx context.Context) {
	next := time.NewTimer(0)
	defer next.Stop()
	var due time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.joined:
			if soon := time.Now().Add(n.opts.Delay); due.IsZero() || soon.Before(due) {
				due = soon
			}
		case <-next.C:
			if !due.IsZero() && !time.Now().Before(due) {
				due = n.round(ctx)
			}
		}
		if !due.IsZero() {
			next.Reset(time.Until(due))
		}
	}
}

// round looks at all tasks once and returns when to look again, or the zero time if nobody waits.
func (n *nodeWatch) round(ctx context.Context) time.Time {
	open := n.open()
	if len(open) > 1 && !n.noList {
		n.lookAtList(ctx, open)
	}
	for _, wt := range open {
		if !wt.over && (len(open) == 1 || n.noList || wt.unlisted || time.Since(wt.looked) >= recheck) {
			n.lookAtStatus(ctx, wt)
		}
	}
	now, due := time.Now(), time.Time{}
	for _, wt := range n.open() {
		if at := now.Add(n.opts.gap(now.Sub(wt.begin))); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due
}

// open are the waiters that have no outcome yet.
func (n *nodeWatch) open() []*waiter {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []*waiter
	for wt := range n.waiters {
		if !wt.over {
			out = append(out, wt)
		}
	}
	return out
}

const (
	// listLimit is how many tasks a list shows; one that is not among them is asked for by itself.
	listLimit = 500
	// recheck is how long a list is believed that shows a task as running. Proxmox writes the list when
	// workers start and end, and so not when the daemon that would notice the end was restarted meanwhile.
	recheck = time.Minute
)

func (n *nodeWatch) lookAtList(ctx context.Context, open []*waiter) {
	f := TaskFilter{Source: TasksAll, Since: open[0].upid.Start, Limit: listLimit}
	for _, wt := range open {
		if wt.upid.Start.Before(f.Since) {
			f.Since = wt.upid.Start
		}
	}
	list, err := n.client.Tasks(ctx, n.node, f)
	if err != nil {
		n.noList = !errors.Is(err, ErrUnreachable) && ctx.Err() == nil
		return
	}
	byUPID := make(map[UPID]TaskStatus, len(list))
	for _, s := range list {
		if old, ok := byUPID[s.UPID]; !ok || old.Running { // it may stand among the running and the ended
			byUPID[s.UPID] = s
		}
	}
	for _, wt := range open {
		s, ok := byUPID[wt.upid]
		wt.unlisted = !ok
		if ok && !s.Running {
			wt.end(outcome{status: s})
		}
	}
}

func (n *nodeWatch) lookAtStatus(ctx context.Context, wt *waiter) {
	s, err := n.client.TaskStatus(ctx, wt.upid)
	wt.looked = time.Now()
	switch {
	case errors.Is(err, ErrUnreachable) || ctx.Err() != nil:
	case err != nil:
		wt.end(outcome{err: err})
	case !s.Running:
		wt.end(outcome{status: s})
	}
}

func (wt *waiter) end(out outcome) {
	wt.over = true
	wt.done <- out
}
