// Package reconcile brings the live state to what a spec says: it observes, plans, carries the plan out, and
// looks again until nothing is left to do.
//
// The loop is level-based: each pass starts from what the nodes say, never from what was meant to happen
// before. What an earlier process left in flight is looked up and waited for first. Only the plan that was
// shown is carried out: later passes finish it, and leave alone what would go beyond it.
package reconcile

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/live"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// maxPasses is how often plans are made and carried out in one run. A container needs one pass, and another
// where somebody else changes it meanwhile.
const maxPasses = 5

// maxFacts is how often a plan is computed anew with more facts. What a template needs is known after its storage is,
// and what a container needs after its template is.
const maxFacts = 5

// A Reconciler brings clusters to what specs say. It holds no state between runs.
type Reconciler struct {
	Client *proxmox.Client
	// Target names the cluster behind Client, as its endpoint does. Saved plans hold for it alone.
	Target string
	// Observer makes the observer of a run; nil: one that reads through Client.
	Observer func() *live.Observer
	// Executor carries plans out, with the journal that it records in. Its Client is Client where nil.
	Executor execute.Executor
	Policy   plan.Policy
	// Permit returns what may be done of a plan, with the rest as blocked; nil: all may. It is asked for every plan of a
	// run, with those that finish what an earlier one began.
	Permit func(*plan.Plan) *plan.Plan
	// Passes bounds the passes of a run; 5 where 0.
	Passes int
	// Log gets what a person should look at; nil: nothing is logged.
	Log *slog.Logger
}

// Plan makes the plan for a spec and changes nothing.
func (r *Reconciler) Plan(ctx context.Context, want *spec.State) (*plan.Plan, *plan.Live, error) {
	return r.NewRun(want).Plan(ctx)
}

// Once makes the plan for a spec and carries it out until nothing is left to do. The outcome is worth showing
// in any case; the error is what kept the loop as a whole from going on.
func (r *Reconciler) Once(ctx context.Context, want *spec.State) (Outcome, error) {
	run := r.NewRun(want)
	if _, _, err := run.Plan(ctx); err != nil {
		return Outcome{}, err
	}
	return run.Apply(ctx)
}

// A Run is one plan and what comes of it. What does not change while it lasts, such as the nodes and their
// storages, is read once.
type Run struct {
	reconciler *Reconciler
	executor   execute.Executor
	observer   *live.Observer
	want       *spec.State
	log        *slog.Logger

	open      []*journal.Record     // calls whose end is not known
	unsettled map[string]error      // why, after they were looked up, by what they are about
	freed     map[string]bool       // volumes that this run has destroyed
	recovered map[proxmox.VMID]bool // containers that this run has recovered
	plan      *plan.Plan            // the latest; nil before the first
	have      *plan.Live
	readAt    time.Time
}

// NewRun begins a run. Calls that an earlier process left in flight, as the executor's journal shows them, are
// looked up before the first plan.
func (r *Reconciler) NewRun(want *spec.State) *Run {
	run := &Run{reconciler: r, executor: r.Executor, want: want, log: r.Log}
	run.executor.Client = cmp.Or(run.executor.Client, r.Client)
	if run.executor.Watcher == nil {
		run.executor.Watcher = proxmox.NewTaskWatcher(run.executor.Client, proxmox.WatchOptions{})
	}
	if run.log == nil {
		run.log = slog.New(slog.DiscardHandler)
	}
	run.executor.Log = cmp.Or(run.executor.Log, run.log)
	if r.Observer != nil {
		run.observer = r.Observer()
	} else {
		run.observer = &live.Observer{Client: r.Client}
	}
	for _, f := range r.Executor.Journal.Faults() {
		run.log.Warn("journal damaged", slog.Any("err", f))
	}
	run.open = r.Executor.Journal.Pending()
	return run
}

// Plan looks at the live state and makes the plan, which [Run.Apply] carries out.
func (run *Run) Plan(ctx context.Context) (*plan.Plan, *plan.Live, error) {
	run.settle(ctx)
	run.readAt = time.Now()
	have, err := run.observer.Observe(ctx, run.want)
	if err != nil {
		return nil, nil, err
	}
	policy := run.policy()
	p := plan.Compute(run.want, have, policy)
	for range maxFacts {
		more, err := run.observer.Fill(ctx, have, p.Needs(have))
		if err != nil {
			return nil, nil, err
		}
		if !more {
			break
		}
		p = plan.Compute(run.want, have, policy)
	}
	if permit := run.reconciler.Permit; permit != nil {
		p = permit(p)
	}
	run.plan, run.have = p, have
	return p, have, nil
}

// policy is the policy of what is left: consent to destroy a volume is used up once it is destroyed, and consent to
// recover a container once that has ended well.
func (run *Run) policy() plan.Policy {
	p := run.reconciler.Policy
	if p.Now.IsZero() {
		p.Now = run.readAt
	}
	p.Unlock = maps.Clone(p.Unlock)
	maps.DeleteFunc(p.Unlock, func(id proxmox.VMID, _ string) bool { return run.recovered[id] })
	if len(run.freed) == 0 {
		return p
	}
	left := map[proxmox.VMID][]string{}
	for id, volumes := range p.DestroyVolumes {
		for _, v := range volumes {
			if !run.freed[v] {
				left[id] = append(left[id], v)
			}
		}
	}
	p.DestroyVolumes = left
	return p
}

// noteDone remembers the volumes that were destroyed and the containers that were recovered.
func (run *Run) noteDone(r execute.Result) {
	for _, l := range r.Lanes {
		if l.Status == execute.Done && l.Lane.Recovers() {
			if run.recovered == nil {
				run.recovered = map[proxmox.VMID]bool{}
			}
			run.recovered[l.Lane.Ref.ID] = true
		}
		for _, s := range l.Done() {
			if op, ok := s.Op.(plan.DestroyVolume); ok {
				if run.freed == nil {
					run.freed = map[string]bool{}
				}
				run.freed[op.Volume] = true
			}
		}
	}
}

// settle looks up the calls whose end is not known and waits for those that are not over. Those that cannot be
// waited for any longer keep their containers from being touched, and nothing else.
func (run *Run) settle(ctx context.Context) {
	errs := make([]error, len(run.open))
	var g errgroup.Group
	g.SetLimit(8)
	for i, rec := range run.open {
		g.Go(func() error {
			errs[i] = run.executor.Settle(ctx, rec)
			return nil
		})
	}
	_ = g.Wait() // the errors stand in errs
	var left []*journal.Record
	run.unsettled = map[string]error{}
	for i, rec := range run.open {
		if errs[i] == nil {
			continue
		}
		e := rec.Entry()
		run.log.Warn("call not over", slog.String("subject", e.Subject()), slog.String("step", e.Verb), slog.Any("err", errs[i]))
		left = append(left, rec)
		run.unsettled[e.Subject()] = errs[i]
	}
	run.open = left
}

// Apply carries the plan out, looks again and goes on until nothing is left to do, or nothing that is left can
// be done. See [Reconciler.Once] for what it returns.
func (run *Run) Apply(ctx context.Context) (Outcome, error) {
	if run.plan == nil {
		if _, _, err := run.Plan(ctx); err != nil {
			return Outcome{}, err
		}
	}
	a := &application{approved: run.plan, progress: map[plan.Subject]*progress{}}
	for todo := a.todo(run.plan, run.unsettled); !todo.Empty(); todo = a.todo(run.plan, run.unsettled) {
		if run.stopping() {
			a.interrupted = true
			break
		}
		if a.passes == cmp.Or(run.reconciler.Passes, maxPasses) {
			break
		}
		a.passes++
		x := run.executor
		x.ReadAt = run.readAt
		result, err := x.Run(ctx, todo)
		a.note(result)
		run.noteDone(result)
		run.open = append(run.open, result.Open()...)
		if err != nil || run.stopping() {
			a.interrupted = true
			return a.outcome(run, nil), err
		}
		if _, _, err := run.Plan(ctx); err != nil {
			return a.outcome(run, nil), err
		}
	}
	return a.outcome(run, run.plan), nil
}

// Live is what was seen at the last plan; nil before the first.
func (run *Run) Live() *plan.Live { return run.have }

func (run *Run) stopping() bool {
	select {
	case <-run.executor.Stop:
		return true
	default:
		return false
	}
}
