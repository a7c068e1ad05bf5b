package app

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/felhom/tend/cmd/internal/agent"
	"github.com/felhom/tend/cmd/internal/agent/forge"
	tell "github.com/felhom/tend/cmd/internal/agent/notify"
	"github.com/felhom/tend/cmd/internal/agent/report"
)

// toldFile is what people were told.
const toldFile = "told.json"

// voices tell others of the agent, as one configuration has it.
type voices struct {
	notifier *tell.Notifier
	poster   *forge.Poster // nil: there is none
}

// tellers are the voices of the agent, one after the other.
type tellers struct {
	board *report.Board
	next  chan *voices // holds one: those that shall follow

	mu      sync.Mutex
	current *voices
}

// begin has the agent hand its reports over to voices.
func (t *tellers) begin(o *agent.Options, first *voices) {
	t.board, t.next, t.current = o.Board, make(chan *voices, 1), first
	o.Tell = func(_, after *report.Report) { t.tell(after) }
	o.Channels = t.failing
}

func (t *tellers) tell(r *report.Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current.notifier.Tell(r)
}

// failing are the channels that fail.
func (t *tellers) failing() []report.Channel {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.current.notifier.Failing()
	if t.current.poster != nil {
		out = slices.Concat(out, t.current.poster.Failing())
	}
	return out
}

// change has other voices follow those that speak, soon. One goroutine at a time calls it.
func (t *tellers) change(v *voices) {
	select {
	case <-t.next: // never spoke
	default:
	}
	t.next <- v
}

// run tells others until the context ends.
func (t *tellers) run(ctx context.Context) {
	for ctx.Err() == nil {
		v := t.current // nobody else changes it
		posting, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); v.run(ctx, posting, t.board) }()
		select {
		case <-ctx.Done():
			stop()
			<-ended
		case next := <-t.next:
			v.notifier.Leave() // what is being sent comes to its end
			stop()             // and a status may be told twice
			<-ended
			t.mu.Lock()
			next.take(v)
			t.current = next
			t.mu.Unlock()
		}
	}
}

// run tells others until both contexts end.
func (v *voices) run(telling, posting context.Context, board *report.Board) {
	var g errgroup.Group
	g.Go(func() error { return v.notifier.Run(telling) })
	if v.poster != nil {
		g.Go(func() error { return v.poster.Run(posting) })
		g.Go(func() error { v.follow(posting, board); return nil })
	}
	_ = g.Wait() // that of the contexts
}

// take takes over from others that have ended.
func (v *voices) take(old *voices) {
	v.notifier.Take(old.notifier)
	if v.poster != nil && old.poster != nil {
		v.poster.Take(old.poster)
	}
}

// follow hands each report to the forge, those of a pass that is under way, too: a commit that came into force is
// pending while it is carried out.
func (v *voices) follow(ctx context.Context, board *report.Board) {
	for {
		r, changed := board.Report()
		if r != nil && !r.Follows() {
			v.poster.Tell(r)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}
