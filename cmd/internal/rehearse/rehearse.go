// Package rehearse tries a whole apply on a copy: it reads the live state of a cluster through its API, puts it into
// the simulator, plans and carries the plan out there with the same loop and executor, and tells what would fail
// and how long each container would be down. On the cluster itself it only reads.
package rehearse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile"
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
	// Disks reads those of the cluster itself, which the copy does not have; nil: through its API, with the default limits.
	Disks *live.Disks
}

// A Report is what a rehearsal showed.
type Report struct {
	Plan       *plan.Plan // the plan that apply would show
	Outcome    reconcile.Outcome
	Containers []Forecast // all that differ, failed or may fail, by VMID
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
	// Verdict says how sure it is that something goes wrong. All else is what is most likely.
	Verdict Verdict
	// Doubts are what may go wrong by what is not known.
	Doubts []Doubt
}

// With are the forecasts of one verdict.
func (r *Report) With(v Verdict) []Forecast {
	var out []Forecast
	for _, f := range r.Containers {
		if f.Verdict == v {
			out = append(out, f)
		}
	}
	return out
}

// Failed reports whether something goes wrong as is most likely: a step fails, or it stays down.
func (f Forecast) Failed() bool {
	switch f.State {
	case reconcile.Failed, reconcile.Stuck, reconcile.Interrupted:
		return true
	}
	return f.StaysDown || f.Err != nil
}

// Run copies the cluster and rehearses the apply of a spec on the copy.
func Run(ctx context.Context, client *proxmox.Client, want *spec.State, o Options) (*Report, error) {
	c, err := Take(ctx, client, want)
	if err != nil {
		return nil, err
	}
	return c.Rehearse(ctx, want, o)
}

// sameDisks is how long disks stay as they were read: for all tries of a rehearsal.
const sameDisks = time.Hour

// Rehearse carries a spec out on the copy: as is most likely, and then with what is not known the other way, to tell
// what would fail from what may.
func (c *Copy) Rehearse(ctx context.Context, want *spec.State, o Options) (*Report, error) {
	if o.Disks == nil {
		o.Disks = &live.Disks{Client: c.client}
	}
	o.Disks.MaxAge = cmp.Or(o.Disks.MaxAge, sameDisks)
	base, err := c.try(ctx, want, o, nil)
	if err != nil {
		return nil, err
	}
	before, asked := c.amounts(), len(c.told)
	if err := c.learn(ctx, base); err != nil {
		return nil, err
	}
	coins := c.coins(base)
	if len(c.told) > asked || !maps.Equal(before, c.amounts()) {
		if base, err = c.try(ctx, want, o, nil); err != nil {
			return nil, err
		}
	}
	tries := []*try{base}
	for _, set := range flips(coins) {
		t, err := c.try(ctx, want, o, set)
		if err != nil {
			return nil, err
		}
		tries = append(tries, t)
	}
	return &Report{Plan: base.plan, Outcome: base.outcome, Unsure: c.Unsure, Containers: c.judge(tries)}, nil
}

func (c *Copy) forecast(container reconcile.Container, want *spec.State, have *plan.Live) Forecast {
	f := Forecast{Container: container, Class: ClassOf(container.Err)}
	if container.Kind != plan.ContainerKind {
		return f
	}
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

// hint tells of storages that are nearly full to containers of which a step failed for lack of room or without a reason.
func (c *Copy) hint(ctx context.Context, client *proxmox.Client, t *try, f *Forecast) {
	if f.At == nil || f.Class != Full && f.Class != Other {
		return
	}
	list, err := client.Storages(ctx, f.Ref.Node)
	if err != nil {
		return // a hint is no more than that
	}
	for _, s := range list {
		if s.Active && s.Avail < roomy && slices.Contains(t.written(*f, f.Step()), s.Name) {
			f.Hint = fmt.Sprintf("storage %s has only %s free", s.Name, readable(s.Avail))
		}
	}
}
