package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// errLeft ends the context of a run at the second signal.
var errLeft = errors.New("interrupted twice")

// interrupts turns signals into ends: the first asks for one, the second leaves.
type interrupts struct {
	ctx  context.Context
	stop chan struct{} // closed at the first signal
	end  func()
	gone atomic.Bool
}

// interrupts begins to listen; what is said goes to say.
func (s *Streams) interrupts(ctx context.Context, say io.Writer) *interrupts {
	in := &interrupts{stop: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(ctx)
	in.ctx = ctx
	signals, release := s.signals()
	over := make(chan struct{})
	in.end = func() { release(); cancel(nil); <-over }
	go func() {
		defer close(over)
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		close(in.stop)
		_, _ = fmt.Fprintln(say, "Interrupted: the steps in flight are finished, nothing else is begun. Once more leaves at once.")
		select {
		case <-signals:
			in.gone.Store(true)
			cancel(errLeft)
		case <-ctx.Done():
		}
	}()
	return in
}

// left reports whether a second signal came.
func (in *interrupts) left() bool { return in.gone.Load() }
