package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// A Rollback is the plan of one rollback, and what carries it out.
type Rollback struct {
	Plan *plan.Plan
	run  *Run
	what plan.Rollback
}

// A RolledBack is what became of a rollback.
type RolledBack struct {
	execute.LaneResult
	// After is what the spec wants of the container now: what the snapshot has put back and the spec says otherwise.
	// Where the container is stuck, it names the state and what a person does. Nil: it could not be planned.
	After *plan.Plan
}

// PlanRollback makes the plan of a rollback and changes nothing.
func (r *Reconciler) PlanRollback(ctx context.Context, want *spec.State, what plan.Rollback) (*Rollback, error) {
	run := r.NewRun(want)
	run.settle(ctx)
	run.readAt = time.Now()
	have, err := run.observer.Observe(ctx, want)
	if err != nil {
		return nil, err
	}
	if err := run.observer.FillRollback(ctx, have, what); err != nil {
		return nil, err
	}
	b := &Rollback{Plan: plan.ComputeRollback(want, have, what), run: run, what: what}
	if err := run.unsettled[what.ID.String()]; err != nil {
		b.Plan.Lanes = nil
		b.Plan.Blocked = append(b.Plan.Blocked, plan.Blocked{ID: what.ID, What: "roll back", Reason: err.Error()})
	}
	return b, nil
}

// Apply carries the plan out, once: what fails is not tried again, and no step comes after it. Then the spec is planned
// anew for the container. The error is what kept this from being done as a whole.
func (b *Rollback) Apply(ctx context.Context) (RolledBack, error) {
	x := b.run.executor
	x.ReadAt = b.run.readAt
	result, err := x.Run(ctx, b.Plan)
	out := RolledBack{LaneResult: result.Lanes[0]}
	if err != nil {
		return out, err
	}
	again := *b.run.reconciler
	again.Policy.RollBackTo = map[proxmox.VMID]string{b.what.ID: b.what.Snapshot}
	after, _, err := again.NewRun(b.run.want).Plan(ctx)
	if err != nil {
		return out, err
	}
	out.After = only(after, b.what.ID)
	return out, nil
}

// only is what a plan says of one container.
func only(p *plan.Plan, id proxmox.VMID) *plan.Plan {
	out := &plan.Plan{Cluster: p.Cluster}
	if l := p.Lane(id); l != nil {
		out.Lanes = []plan.Lane{*l}
	}
	out.Blocked = slices.DeleteFunc(slices.Clone(p.Blocked), func(b plan.Blocked) bool { return b.Kind != plan.ContainerKind || b.ID != id })
	out.Unused = slices.DeleteFunc(slices.Clone(p.Unused), func(u plan.UnusedVolume) bool { return u.ID != id })
	if out.Synced() {
		out.InSync = 1
	}
	return out
}
