// Package agent is the loop of tend watch: it keeps a cluster as a source of specs says, carries out snapshot policies, and
// tells what it does.
//
// A pass asks the source, and keeps the last good revision where that fails; looks at the cluster and makes the plan; does
// what of it may be done now (package permit); keeps snapshots; and puts up a report. Each pass starts from what is there:
// what the agent itself remembers (suspensions, approvals, what was spent of the budgets) are wishes of people and bounds,
// and never a second truth about the cluster.
//
// It reaches the cluster and the source through what it is given, and knows neither flags nor sockets.
package agent

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/felhom/tend/cmd/internal/agent/leader"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/history"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/permit"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/reconcile/schedule"
	"github.com/felhom/tend/reconcile/snapshot"
	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/spec"
)

// Settings are what may change while the agent runs.
type Settings struct {
	Follow   *Following    // nil: what was followed before
	Interval time.Duration // between two passes when nothing happens
	Policy   plan.Policy   // without Now and what concerns windows
	Rules    permit.Rules  // without what changes from pass to pass
	Windows  []Window
	Location *time.Location // of windows
	// Enter is called when the first pass with these settings begins, between passes: whatever passes use may be
	// exchanged by it. nil: nothing is.
	Enter func()
}

// A Following is a source, and how it is shown.
type Following struct {
	Source source.Source
	Watch  source.Watcher // notices its changes; nil: it is only asked
	Origin report.Source  // of which kind and where it is, and whether it must be signed
}

// A Window is when what interrupts may happen.
type Window struct {
	Opens calendar.Event
	For   time.Duration
}

// Options are what an agent works with. All without a note must be there.
type Options struct {
	Source *source.Keeper
	Watch  source.Watcher // notices changes of the source; nil: it is only asked
	Origin report.Source  // of which kind and where the source is, and whether it must be signed
	Load   func(fs.FS) (*spec.State, error)

	Client *proxmox.Client
	// Reconciler makes the reconciler of a pass, with its executor.
	Reconciler func(plan.Policy) *reconcile.Reconciler
	// Snapshots carries out snapshot policies; nil: nobody does.
	Snapshots *snapshot.Keeper
	// Disks reads how the disks and sensors of the nodes are, once in a pass; nil: nobody does. Between readings it may
	// tell the same again.
	Disks func(context.Context) []*health.Node
	// Drills reads the drills of backups that are remembered; nil: none are.
	Drills func() *backup.Drills
	// Journal tells the calls that were begun and whose end is not known; nil: none is.
	Journal *journal.Journal
	// Requests are how many requests to Proxmox got which answer; nil: not known.
	Requests func() []report.Requests
	// User is who the agent is on the cluster: "tend@pve!agent". What others do is told as theirs.
	User string

	Agent   report.Agent
	Memory  *Memory
	Board   *report.Board
	History *history.History
	Log     *slog.Logger

	// Leader says what this agent may do where several are at work for one owner; nil: everything.
	Leader Leader
	// Tell is told of each new report that ends a pass, with the one before; nil: nobody is. It must not wait.
	Tell func(before, after *report.Report)
	// Channels are the ways by which others are told, and which fail; nil: there are none.
	Channels func() []report.Channel
	// Beat is called whenever the loop shows that it is alive; nil: nothing is.
	Beat func()
	// Stop is closed to ask for an end: the steps in flight are finished, and nothing else is begun.
	Stop <-chan struct{}
}

// A Leader says what an agent may do for an owner, as [leader.Leader] does.
type Leader interface {
	// Stand asks for as much as can be had.
	Stand(ctx context.Context, owner string) leader.Standing
	// Close gives back what is held, until the next Stand.
	Close(ctx context.Context)
}

// An Agent is a running loop. Its methods are for any goroutine.
type Agent struct {
	o        Options
	settings atomic.Pointer[Settings] // of the next pass
	turned   chan struct{}            // holds one: another source is to be watched
	runner   *schedule.Runner
	asked    atomic.Pointer[string] // who asked for the next pass

	mu     sync.Mutex // guards what follows
	pic    picture
	ended  chan struct{}  // closed when the pass under way has ended; nil: none is
	before *report.Report // that stood when it began

	// Only passes use what follows.

	want *spec.State // of the revision in force; nil: none was read
	rev  string      // that want was read from
	used *Settings   // of the last pass that began
}

// New makes an agent. Nothing is asked of anyone yet.
func New(o Options, s Settings) *Agent {
	a := &Agent{o: o, pic: newPicture(o), turned: make(chan struct{}, 1)}
	if s.Follow == nil {
		s.Follow = &Following{Watch: o.Watch, Origin: o.Origin}
	}
	a.settings.Store(&s)
	a.used, a.pic.origin = &s, s.Follow.Origin
	a.runner = schedule.NewRunner(schedule.Options{Interval: s.Interval})
	a.runner.Ended(a.rest)
	a.recall()
	return a
}

// Call asks for a pass. What is asked for is told at once, since the pass that is under way may take its time.
func (a *Agent) Call(t schedule.Trigger) {
	known := slices.Contains(a.runner.Waiting(), t)
	a.runner.Call(t)
	if !known {
		a.publish()
	}
}

// Run runs the loop until the context ends or Stop is closed. The error is nil then.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error {
		select {
		case <-a.o.Stop: // the pass in flight ends by itself, and then nothing is waited for
			a.wait(ctx)
		case <-ctx.Done():
		}
		cancel()
		return nil
	})
	g.Go(func() error { a.watch(ctx); return nil })
	g.Go(func() error { a.beat(ctx); return nil })
	a.publish()
	err := a.runner.Run(ctx, a.pass)
	cancel()
	_ = g.Wait() // they return nil
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// wait waits for the end of a pass that is under way.
func (a *Agent) wait(ctx context.Context) {
	for {
		a.mu.Lock()
		ended := a.ended
		a.mu.Unlock()
		if ended == nil {
			return
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return
		}
	}
}

// beatEvery is how often a loop that waits shows that it is alive.
const beatEvery = 20 * time.Second

// beat shows that the program is alive. A pass may wait for a task for a long time, and is alive, too.
func (a *Agent) beat(ctx context.Context) {
	if a.o.Beat == nil {
		return
	}
	t := time.NewTicker(beatEvery)
	defer t.Stop()
	for {
		a.o.Beat()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (a *Agent) stopping() bool {
	select {
	case <-a.o.Stop:
		return true
	default:
		return false
	}
}

// rules are those of a pass that begins now, and when they change by themselves.
func (a *Agent) rules(s *Settings, now time.Time) (r permit.Rules, changes time.Time) {
	r = s.Rules
	r.Location = cmp.Or(s.Location, time.Local)
	r.Windows = len(s.Windows) > 0
	for _, w := range s.Windows {
		o := calendar.Options{Location: r.Location}
		if opened, ok := w.Opens.Next(now.Add(-w.For), o); ok && !opened.After(now) {
			r.WindowOpen = true
			changes = sooner(changes, opened.Add(w.For))
		}
		if opens, ok := w.Opens.Next(now, o); ok {
			r.NextWindow = sooner(r.NextWindow, opens)
			changes = sooner(changes, opens)
		}
	}
	r.Suspended = map[proxmox.VMID]permit.Suspension{}
	for _, s := range a.o.Memory.Suspensions(now) {
		r.Suspended[s.ID] = permit.Suspension{Until: s.Until, Reason: s.Reason, By: s.By}
		changes = sooner(changes, s.Until)
	}
	r.Spent = a.o.Memory.Spent(now)
	return r, changes
}

// sooner is the earlier of two times that are known.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
