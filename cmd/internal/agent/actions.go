package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/schedule"
)

// Reconcile begins a pass soon.
func (a *Agent) Reconcile(_ context.Context, by string) error {
	if a.stopping() {
		return errors.New("the agent is about to end")
	}
	a.asked.Store(&by)
	a.Call(schedule.Manual)
	return nil
}

// Suspend leaves a container alone, or with the VMID 0 all of them, from the next pass on. One that is under way goes on.
func (a *Agent) Suspend(ctx context.Context, s report.Suspension) error {
	if s.ID != 0 && !a.knows(s.ID) {
		return fmt.Errorf("there is no container %d in the spec, and none that carries the owner's tag", s.ID)
	}
	if err := a.o.Memory.Suspend(s); err != nil {
		return err
	}
	a.o.Log.Info("suspended", slog.Uint64("guest", uint64(s.ID)), slog.String("by", s.By), slog.String("reason", s.Reason))
	return a.Reconcile(ctx, s.By)
}

// Resume ends a suspension.
func (a *Agent) Resume(ctx context.Context, id proxmox.VMID, by string) error {
	if err := a.o.Memory.Resume(id); err != nil {
		return err
	}
	a.o.Log.Info("resumed", slog.Uint64("guest", uint64(id)), slog.String("by", by))
	return a.Reconcile(ctx, by)
}

// Approve says yes to the plan that waits for it, and to nothing else.
func (a *Agent) Approve(ctx context.Context, hash, by string) error {
	a.mu.Lock()
	waiting := slices.Clone(a.pic.approvals)
	a.mu.Unlock()
	i := slices.IndexFunc(waiting, func(w report.Approval) bool { return w.Hash == hash })
	switch {
	case len(waiting) == 0:
		return errors.New("nothing waits for a yes")
	case i < 0:
		return fmt.Errorf("no plan %s waits for a yes: it is %s now. Look at it first, for something has changed since", hash, waiting[0].Hash)
	}
	if err := a.o.Memory.Approve(hash, by, time.Now()); err != nil {
		return err
	}
	a.o.Log.Info("approved", slog.String("plan", hash), slog.String("by", by))
	return a.Reconcile(ctx, by)
}

// knows reports whether a container is one of those that the report tells of.
func (a *Agent) knows(id proxmox.VMID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.pic.containers, func(c report.Container) bool { return c.ID == id })
}
