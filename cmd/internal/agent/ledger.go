package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/permit"
	"github.com/felhom/tend/reconcile/plan"
)

// A ledger notes what the steps of one run cost of the day's budget before they are begun, so that no end of the process,
// at whatever moment, has the next one spend it again. What cannot be noted is not begun.
//
// So more may be noted than was done: of a step that was about to be sent when the process ended, of one whose outcome is
// not known, and of one whose task failed, since that may have interrupted or destroyed before it did. Only where the node
// refused to begin it is a step given back.
type ledger struct {
	memory *Memory
	log    *slog.Logger

	mu   sync.Mutex
	paid map[plan.Subject]permit.Spent // in this run: a container that is interrupted twice in it costs once
	open map[plan.Subject]payment      // for steps that are about to be begun
}

// A payment is what was noted for a step, and when.
type payment struct {
	permit.Spent
	at time.Time
}

func newLedger(m *Memory, log *slog.Logger) *ledger {
	return &ledger{memory: m, log: log, paid: map[plan.Subject]permit.Spent{}, open: map[plan.Subject]payment{}}
}

// keep has an executor ask and tell the ledger.
func (b *ledger) keep(x *execute.Executor) {
	told := x.Progress
	x.Before = b.pay
	x.Progress = func(e execute.Event) {
		b.follow(e)
		if told != nil {
			told(e)
		}
	}
}

// pay notes what a step costs that is about to be begun.
func (b *ledger) pay(l plan.Lane, step int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := l.Subject()
	p := payment{permit.CostOf(l, step).Beyond(b.paid[s]), time.Now()}
	if p.Spent == (permit.Spent{}) {
		return nil
	}
	if err := b.memory.Spend(p.Spent, p.at); err != nil {
		_ = b.memory.Refund(p.Spent, p.at) // it fails alike, and what the process knows is put right
		return fmt.Errorf("nothing is interrupted or destroyed without a note of what it costs of the budget: %w", err)
	}
	b.paid[s], b.open[s] = b.paid[s].Plus(p.Spent), p
	return nil
}

// follow gives back what was noted for a step that the node refused to begin.
func (b *ledger) follow(e execute.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := e.Lane.Subject()
	p, ok := b.open[s]
	if !ok || e.Kind != execute.TaskStarted && e.Kind != execute.StepEnded {
		return
	}
	delete(b.open, s)
	if e.Kind == execute.TaskStarted || !refused(e) {
		return
	}
	b.paid[s] = b.paid[s].Beyond(p.Spent)
	if err := b.memory.Refund(p.Spent, p.at); err != nil {
		b.log.Warn("a step that was not begun is noted as one that was", slog.Any("err", err))
	}
}

// refused reports whether a step ended without having been begun: the node answered, and not with a task. That of a volume
// works without a task, so that it may have done something before it failed.
func refused(e execute.Event) bool {
	_, answered := errors.AsType[*proxmox.APIError](e.Err)
	_, volume := e.Lane.Steps[e.Step].Op.(plan.DestroyVolume)
	return answered && !volume && !errors.Is(e.Err, proxmox.ErrOutcomeUnknown)
}
