package rehearse

import (
	"context"
	"fmt"
	"maps"
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

// A try is one apply on the copy, with one assumption on each thing that is not known.
type try struct {
	turned    []coin // those that do not lie as is most likely
	plan      *plan.Plan
	have      *plan.Live // before the apply
	outcome   reconcile.Outcome
	forecasts map[plan.Subject]Forecast
}

// because are the sentences on what a try assumes against what is most likely.
func (t *try) because() (list []string) {
	for _, c := range t.turned {
		list = append(list, c.text)
	}
	return list
}

// steps are those that were planned or carried out for a container.
func (t *try) steps(f Forecast) []plan.Step {
	list := slices.Concat(f.Done, f.NotDone)
	if l := t.plan.Of(f.Subject()); l != nil {
		list = slices.Concat(l.Steps, list)
	}
	return list
}

// written are the storages that a step of a container writes to, by the step's verb.
func (t *try) written(f Forecast, verb string) []string {
	for _, s := range t.steps(f) {
		if s.Op.Verb() == verb {
			return writes(s.Op, t.have)
		}
	}
	return nil
}

// try carries the spec out on a copy on which some of the coins are turned.
func (c *Copy) try(ctx context.Context, want *spec.State, o Options, turned []coin) (*try, error) {
	w := c.world()
	for _, coin := range turned {
		coin.turn(w)
	}
	s, err := w.start(c.free)
	if err != nil {
		return nil, fmt.Errorf("rehearse on the copy: %w", err)
	}
	defer s.Close()
	client := proxmox.NewClient(s.As(user))
	r := &reconcile.Reconciler{
		Client: client, Policy: o.Policy,
		Observer: func() *live.Observer { return &live.Observer{Client: client, Shown: o.Shown, Disks: o.Disks} },
		Executor: execute.Executor{
			// One after the other, so that the same happens each time. What is locked now stays so in the copy.
			Parallel: 1, ParallelAll: 1, LockTimeout: time.Millisecond, Secrets: o.Secrets,
			Watcher: proxmox.NewTaskWatcher(client, proxmox.WatchOptions{Delay: -1, WaitOptions: proxmox.WaitOptions{First: time.Millisecond}}),
		},
	}
	t, run := &try{turned: turned, forecasts: map[plan.Subject]Forecast{}}, r.NewRun(want)
	if t.plan, t.have, err = run.Plan(ctx); err != nil {
		return nil, err // the plan of the cluster would fail with the same words
	}
	if t.outcome, err = run.Apply(ctx); err != nil {
		return nil, fmt.Errorf("rehearse on the copy: %w", err)
	}
	for _, container := range t.outcome.All() {
		f := c.forecast(container, want, t.have)
		c.hint(ctx, client, t, &f)
		t.forecasts[f.Subject()] = f
	}
	return t, nil
}

// A world is a copy with one assumption on each thing that is not known.
type world struct {
	*sim.State
	options sim.Options
}

// How much bytes of templates and backups unpack to, and bytes of containers pack to in a backup, at least and at most.
const (
	unpackLeast, unpackMost = 2, 5
	packLeast, packMost     = 1, 8
)

// world is the copy with the most likely, in parts that may be changed.
func (c *Copy) world() *world {
	st := *c.State
	st.Nodes, st.Storages, st.Volumes = deep(st.Nodes), deep(st.Storages), deep(st.Volumes)
	for _, n := range st.Nodes {
		n.Bridges = maps.Clone(n.Bridges)
	}
	return &world{State: &st, options: sim.Options{Unpacked: unpackLeast, Packed: packMost}}
}

func deep[K comparable, V any](m map[K]*V) map[K]*V {
	out := make(map[K]*V, len(m))
	for k, v := range m {
		own := *v
		out[k] = &own
	}
	return out
}

// start starts the simulator. Each storage has the room that it really has, whatever its volumes are assumed to hold.
func (w *world) start(free map[string]int64) (*sim.Sim, error) {
	for name, room := range free {
		taken := int64(0)
		for volume, v := range w.Volumes {
			if storageOf(volume) == name {
				taken += int64(max(v.Size, v.Used))
			}
		}
		s := w.Storages[name]
		s.Total = max(s.Total, sim.Bytes(room+taken))
	}
	s, err := sim.New(w.State, w.options)
	if err != nil {
		return nil, err
	}
	for name, room := range free {
		if err := s.FillStorage(name, room); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}
