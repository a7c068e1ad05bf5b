// Package rehearse tries a whole apply on a copy: it reads the live state of a cluster through its API, puts it into
// the simulator, plans and carries the plan out there with the same loop and executor, and tells what would fail
// and how long each container would be down. On the cluster itself it only reads.
package rehearse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/live"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// Options say what a rehearsal may do and has at hand.
type Options struct {
	Policy plan.Policy
	// Secrets finds the passwords of new containers, so that one which is missing is noticed; see
	// [execute.Executor.Secrets].
	Secrets func(context.Context, spec.SecretRef) (proxmox.Secret, error)
	// Shown has plans looked over as far as reading can, as the verbs plan and apply do.
	Shown bool
}

// A Report is what a rehearsal showed.
type Report struct {
	Plan       *plan.Plan // the plan that apply would show
	Outcome    reconcile.Outcome
	Containers []Forecast // all that differ or failed, by VMID
	// Unsure says in sentences what could not be read, and what was assumed in its place.
	Unsure []string
}

// A Forecast is what would become of one container.
type Forecast struct {
	reconcile.Container
	// Class is the kind of the error; empty where there is none.
	Class Class
	// Took is about how long its steps would take, and Down how long it would not run meanwhile.
	Took, Down time.Duration
	// StaysDown says that it runs now, and would not in the end, against the spec.
	StaysDown bool
	// Hint is what may be behind an error that Proxmox does not explain.
	Hint string
}

// Failed are the forecasts of containers with which something would go wrong.
func (r *Report) Failed() []Forecast {
	var out []Forecast
	for _, f := range r.Containers {
		if f.wrong() {
			out = append(out, f)
		}
	}
	return out
}

func (f Forecast) wrong() bool {
	switch f.State {
	case reconcile.Failed, reconcile.Stuck, reconcile.Interrupted:
		return true
	}
	return f.StaysDown
}

// Run copies the cluster and rehearses the apply of a spec on the copy.
func Run(ctx context.Context, client *proxmox.Client, want *spec.State, o Options) (*Report, error) {
	c, err := Take(ctx, client, want)
	if err != nil {
		return nil, err
	}
	return c.Rehearse(ctx, want, o)
}

// Rehearse carries a spec out on the copy. The copy itself stays as it is.
func (c *Copy) Rehearse(ctx context.Context, want *spec.State, o Options) (*Report, error) {
	s, err := sim.New(c.State, sim.Options{})
	if err != nil {
		return nil, fmt.Errorf("rehearse on the copy: %w", err)
	}
	defer s.Close()
	for name, free := range c.free {
		if err := s.FillStorage(name, free); err != nil {
			return nil, fmt.Errorf("rehearse on the copy: %w", err)
		}
	}
	client := proxmox.NewClient(s.As(user))
	r := &reconcile.Reconciler{
		Client: client, Policy: o.Policy,
		Observer: func() *live.Observer { return &live.Observer{Client: client, Shown: o.Shown} },
		Executor: execute.Executor{
			// One after the other, so that the same happens each time. What is locked now stays so in the copy.
			Parallel: 1, ParallelAll: 1, LockTimeout: time.Millisecond, Secrets: o.Secrets,
			Watcher: proxmox.NewTaskWatcher(client, proxmox.WatchOptions{Delay: -1, WaitOptions: proxmox.WaitOptions{First: time.Millisecond}}),
		},
	}
	run := r.NewRun(want)
	p, have, err := run.Plan(ctx)
	if err != nil {
		return nil, fmt.Errorf("rehearse on the copy: %w", err)
	}
	outcome, err := run.Apply(ctx)
	if err != nil {
		return nil, fmt.Errorf("rehearse on the copy: %w", err)
	}
	report := &Report{Plan: p, Outcome: outcome, Unsure: slices.Concat(c.Unsure, c.doubts(outcome, have))}
	for _, container := range outcome.Containers {
		f := c.forecast(container, want, have)
		if f.State != reconcile.Unchanged || f.Err != nil {
			report.Containers = append(report.Containers, f)
		}
	}
	c.hint(ctx, client, report)
	return report, nil
}

func (c *Copy) forecast(container reconcile.Container, want *spec.State, have *plan.Live) Forecast {
	f := Forecast{Container: container, Class: ClassOf(container.Err)}
	running := false
	if o := have.Containers[container.Ref.ID]; o != nil {
		running = o.Running
	}
	clock := stopwatch{up: running, was: running, copy: c, id: container.Ref.ID, have: have}
	for _, s := range container.Done {
		clock.step(s.Op)
	}
	f.Took, f.Down = clock.took, clock.down
	for _, w := range want.Containers {
		if w.ID == container.Ref.ID && w.Power != spec.Stopped {
			f.StaysDown = running && !clock.up
		}
	}
	return f
}

// roomy is how much room a storage has left at least where nobody thinks of it when something fails.
const roomy = 1 << 30

// hint tells of storages that are nearly full to whom a task failed without a reason.
func (c *Copy) hint(ctx context.Context, client *proxmox.Client, r *Report) {
	for i, f := range r.Containers {
		if _, ofTask := errors.AsType[*proxmox.TaskError](f.Err); f.Class != Other || !ofTask {
			continue
		}
		list, err := client.Storages(ctx, f.Ref.Node)
		if err != nil {
			continue // a hint is no more than that
		}
		for _, s := range list {
			if l := r.Plan.Lane(f.Ref.ID); s.Active && s.Avail < roomy && l != nil && uses(*l, s.Name) {
				r.Containers[i].Hint = fmt.Sprintf("storage %s has only %s free", s.Name, readable(s.Avail))
			}
		}
	}
}
