package execute

import (
	"context"
	"errors"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// The gaps between two looks at a container that is locked: a refusal is cheap, but one for a file lock has
// kept a process of the node for ten seconds (pve-guest-common AbstractConfig.pm, lock_config).
const (
	firstGap = time.Second
	maxGap   = 10 * time.Second
)

// patience is the time that is left for waiting.
type patience struct {
	until time.Time
	gap   time.Duration
}

func newPatience(d time.Duration) *patience {
	return &patience{until: time.Now().Add(d), gap: firstGap}
}

var errPatience = errors.New("time is up")

// wait waits for the next attempt and gives the lane's room to others meanwhile. The error is errPatience, or
// why the run ends.
func (l *lane) wait(ctx context.Context, p *patience) error {
	left := time.Until(p.until)
	if left <= 0 {
		return errPatience
	}
	t := time.NewTimer(min(p.gap, left))
	defer t.Stop()
	p.gap = min(p.gap*3/2, maxGap)
	l.run.slots.free(l.Ref.Node)
	var end error
	select {
	case <-t.C:
	case <-l.run.Stop:
		end = errStop
	case <-ctx.Done():
		end = context.Cause(ctx)
	}
	// The room is taken back in any case, so that it is given back once.
	if err := l.run.slots.take(context.WithoutCancel(ctx), l.Ref.Node, nil); err != nil {
		return err
	}
	return end
}

// mayRepeat reports whether a call was refused only because another operation is at work, and did nothing.
// That a task says so counts where the lock is the first thing that the task asks for.
func mayRepeat(op plan.Op, err error) bool {
	if !errors.Is(err, proxmox.ErrLocked) && !errors.Is(err, proxmox.ErrBusy) {
		return false
	}
	if _, create := op.(plan.CreateContainer); create {
		_, ofTask := errors.AsType[*proxmox.TaskError](err)
		return !ofTask
	}
	return true
}

// lockReason says what a container is busy with.
func lockReason(err error) string {
	lock := ""
	if e, ok := errors.AsType[*proxmox.APIError](err); ok {
		lock = e.Lock
	} else if e, ok := errors.AsType[*proxmox.TaskError](err); ok {
		lock = e.Lock
	}
	if lock != "" {
		return "locked (" + lock + ")"
	}
	return "busy with another operation"
}
