package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/plan"
)

// settle looks up what an earlier process left in flight on containers, and every restore of an archive, wherever it
// goes; and waits for it. The error says what is not over: these containers must not be touched.
func settle(ctx context.Context, x *execute.Executor, archive string, ids ...proxmox.VMID) error {
	restore := plan.RestoreContainer{Archive: archive}.Verb()
	var errs []error
	for _, rec := range x.Journal.Pending() {
		e := rec.Entry()
		if e.About == "" && (slices.Contains(ids, e.Guest.ID) || e.Kind == journal.Restore && e.Verb == restore) {
			errs = append(errs, x.Settle(ctx, rec))
		}
	}
	return errors.Join(errs...)
}

// Run carries out steps one after the other, through an executor that records each in its journal. It ends at the first
// that fails; done is how many were carried out, and warnings are the tasks that ended well with some.
func Run(ctx context.Context, x *execute.Executor, steps []Step) (done int, warnings []proxmox.TaskStatus, err error) {
	for _, lane := range lanes(steps) {
		result, err := x.Run(ctx, &plan.Plan{Lanes: []plan.Lane{lane}})
		for _, l := range result.Lanes {
			done += l.Steps
			warnings = append(warnings, l.Warnings...)
			if l.Status != execute.Done {
				return done, warnings, fmt.Errorf("container %d: %s: %w", lane.Ref.ID, verb(l), errors.Join(l.Err, err))
			}
		}
		if err != nil {
			return done, warnings, err
		}
	}
	return done, warnings, nil
}

// verb names the step at which a lane ended, and how.
func verb(l execute.LaneResult) string {
	if left := l.NotDone(); len(left) > 0 {
		return left[0].Op.Verb() + ": " + l.Status.String()
	}
	return l.Status.String()
}

// lanes puts steps that follow one another on the same container into one lane.
func lanes(steps []Step) []plan.Lane {
	var out []plan.Lane
	for _, s := range steps {
		if n := len(out); n == 0 || out[n-1].Ref != s.Ref {
			action := plan.Change
			switch s.Op.(type) {
			case plan.RestoreContainer:
				action = plan.Create
			case plan.DestroyContainer:
				action = plan.Destroy
			}
			out = append(out, plan.Lane{Ref: s.Ref, Name: s.Name, Action: action, Base: s.base})
		}
		l := &out[len(out)-1]
		l.Steps = append(l.Steps, plan.Step{Op: s.Op, Cause: s.Why})
	}
	return out
}
