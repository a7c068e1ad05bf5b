// Package execute carries out plans: it sends what the steps say, waits for the tasks that this starts, and
// records each call in the journal before it is sent and after it has ended.
//
// It decides nothing. A step is one call; the steps of a lane follow one another, lanes run side by side. Each
// call that takes a digest gets one, so that nothing is changed that somebody else has changed since it was
// looked at: such a lane ends and wants a new plan. What it meets locked or busy it waits for, up to a
// deadline. A call whose outcome is not known is never sent again; its lane ends, and the loop looks first.
package execute

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// An Executor carries out plans. Its zero values are sensible, but for Client.
type Executor struct {
	Client *proxmox.Client
	// Watcher waits for tasks; nil: one of its own.
	Watcher *proxmox.TaskWatcher
	// Journal records what is in flight; nil: nothing is recorded.
	Journal *journal.Journal
	// Log gets what was changed and what a person should look at; nil: nothing is logged.
	Log *slog.Logger

	// Parallel is how many lanes run at once on a node, 4 where 0 (a node works off changes with three
	// processes); ParallelAll is how many run at once in all, 16 where 0.
	Parallel, ParallelAll int
	// LockTimeout is how long a step waits for a container that is locked or busy: 5 minutes where 0.
	LockTimeout time.Duration
	// TaskTimeout is how long a task is waited for: 30 minutes where 0. The task itself goes on.
	TaskTimeout time.Duration

	// Root carries out the steps that only root@pam may; nil: such a step fails.
	Root RootLane
	// Secrets finds the passwords that new containers get; nil: a plan that needs one fails.
	Secrets func(context.Context, spec.SecretRef) (proxmox.Secret, error)
	// Before is asked before a call is sent, with the index of its step, for several lanes at once. Where it returns an
	// error, nothing is sent, and the lane fails with it. It is asked again for a call that is sent again, since the
	// container was locked or busy. nil: nobody is asked.
	Before func(l plan.Lane, step int) error
	// Progress is told what happens, one event at a time; nil: nobody is.
	Progress func(Event)

	// Stop asks for an end: when it is closed, the calls that were sent are waited for, tasks included, and
	// nothing else is begun. The end of Run's context is the hard way: it leaves at once, and tasks run on.
	Stop <-chan struct{}
	// Run names this run of the program in the journal.
	RunID string
	// ReadAt is when the live state of the plan was read; zero: not known. Before a destroy, which takes no
	// digest, the configuration is read again unless that was just now.
	ReadAt time.Time
}

// fresh is how long ago the live state may have been read for a destroy to rely on it. It spares each destroy
// of a plan that nobody had to confirm a request.
const fresh = 15 * time.Second

func (x Executor) withDefaults() *Executor {
	x.Parallel = cmp.Or(x.Parallel, 4)
	x.ParallelAll = cmp.Or(x.ParallelAll, 16)
	x.LockTimeout = cmp.Or(x.LockTimeout, 5*time.Minute)
	x.TaskTimeout = cmp.Or(x.TaskTimeout, 30*time.Minute)
	if x.Watcher == nil {
		x.Watcher = proxmox.NewTaskWatcher(x.Client, proxmox.WatchOptions{})
	}
	if x.Log == nil {
		x.Log = slog.New(slog.DiscardHandler)
	}
	if x.Before == nil {
		x.Before = func(plan.Lane, int) error { return nil }
	}
	if x.Progress == nil {
		x.Progress = func(Event) {}
	}
	return &x
}

// A Status is how a lane ended.
type Status int

// The ways in which a lane ends.
const (
	Done        Status = iota // all its steps were carried out
	Replan                    // somebody else changed the container meanwhile: it needs a new plan
	Unknown                   // whether its last call was carried out is not known: look, then plan anew
	Failed                    // a step failed
	Skipped                   // a lane that it comes after did not end well
	Interrupted               // it was asked to stop
)

// String is the word for a status.
func (s Status) String() string {
	return [...]string{"done", "modified meanwhile", "outcome unknown", "failed", "skipped", "interrupted"}[s]
}

// A LaneResult is what became of a lane.
type LaneResult struct {
	Lane   plan.Lane
	Status Status
	Steps  int   // how many of its steps were carried out
	Err    error // why it did not end as Done; of a failed task a [*proxmox.TaskError] with the tail of its log
	// Warnings are the tasks that ended well with warnings.
	Warnings []proxmox.TaskStatus
	// Open is the call whose end is not known, or nil. Its task, if there is one, may still run.
	Open *journal.Record
}

// Done are the steps that were carried out, in order.
func (r LaneResult) Done() []plan.Step { return r.Lane.Steps[:r.Steps] }

// NotDone are the steps that were not, or of which that is not known.
func (r LaneResult) NotDone() []plan.Step { return r.Lane.Steps[r.Steps:] }

// A Result is what became of a plan.
type Result struct {
	Lanes []LaneResult // in the order of the plan
}

// Open are the calls whose end is not known.
func (r Result) Open() []*journal.Record {
	var out []*journal.Record
	for _, l := range r.Lanes {
		if l.Open != nil {
			out = append(out, l.Open)
		}
	}
	return out
}

// Run carries out a plan. What becomes of single lanes stands in the result; the error is that of ctx, where
// its end cut the run short.
func (x *Executor) Run(ctx context.Context, p *plan.Plan) (Result, error) {
	r := newRun(x.withDefaults(), p)
	r.lanes(ctx)
	out := Result{Lanes: make([]LaneResult, len(r.all))}
	for i, l := range r.all {
		out.Lanes[i] = l.result
	}
	return out, context.Cause(ctx)
}

// LastLine is the last line of a task's log so far, for showing progress; empty where there is none.
func (x *Executor) LastLine(ctx context.Context, task proxmox.UPID) (string, error) {
	lines, err := x.Client.TaskLogTail(ctx, task, 1)
	if err != nil || len(lines) == 0 {
		return "", err
	}
	return lines[0], nil
}

// An Event is something that happens while a plan is carried out.
type Event struct {
	Kind  EventKind
	Lane  plan.Lane
	Step  int           // index of the step, for the events of a step
	Task  proxmox.UPID  // from TaskStarted on
	Since time.Duration // since the step, or for LaneEnded the lane, began
	// Reason is what is waited for, in words; for Waiting.
	Reason string
	// Status and Err are how it ended; for StepEnded (Err alone) and LaneEnded.
	Status Status
	Err    error
}

// An EventKind says what happens.
type EventKind int

// The kinds of events.
const (
	LaneStarted EventKind = iota
	StepStarted
	TaskStarted // the step's task is known and runs
	Waiting     // the container is locked or busy
	StepEnded
	LaneEnded
)

// String is the word for a kind.
func (k EventKind) String() string {
	return [...]string{"lane started", "step started", "task started", "waiting", "step ended", "lane ended"}[k]
}

// stopping reports whether an end was asked for.
func (x *Executor) stopping() bool {
	select {
	case <-x.Stop:
		return true
	default:
		return false
	}
}

// A run is one call of Run.
type run struct {
	*Executor
	all   []*lane
	by    map[plan.Subject]*lane
	slots slots

	progress sync.Mutex // held while Progress is called
}

func (r *run) tell(e Event) {
	r.progress.Lock()
	defer r.progress.Unlock()
	r.Progress(e)
}
