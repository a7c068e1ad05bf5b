package app

import (
	"context"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/felhom/tend/cmd/internal/agent"
	"github.com/felhom/tend/cmd/internal/agent/forge"
	tell "github.com/felhom/tend/cmd/internal/agent/notify"
	"github.com/felhom/tend/cmd/internal/agent/report"
)

// toldFile is what people were told.
const toldFile = "told.json"

// tellers are what tells others of the agent.
type tellers struct {
	board    *report.Board
	notifier *tell.Notifier
	poster   *forge.Poster // nil: there is none
}

// openTellers makes what tells others, and has the agent hand its reports over.
func (w *watcher) openTellers(o *agent.Options) (err error) {
	c, t := w.config, &w.tellers
	t.board = o.Board
	if t.notifier, err = tell.New(c.Agent.Notify, c.Secret, filepath.Join(c.StateDir, toldFile), w.log); err != nil {
		return err
	}
	if c.Agent.CommitStatus.Given() {
		if t.poster, err = forge.New(c.Agent.CommitStatus, c.Agent.Source.Git, c.Secret, w.log); err != nil {
			return err
		}
	}
	o.Tell = func(_, after *report.Report) { t.notifier.Tell(after) }
	o.Channels = t.failing
	return nil
}

// failing are the channels that fail.
func (t *tellers) failing() []report.Channel {
	out := t.notifier.Failing()
	if t.poster != nil {
		out = slices.Concat(out, t.poster.Failing())
	}
	return out
}

// run tells others until the context ends.
func (t *tellers) run(ctx context.Context) {
	var g errgroup.Group
	g.Go(func() error { return t.notifier.Run(ctx) })
	if t.poster != nil {
		g.Go(func() error { return t.poster.Run(ctx) })
		g.Go(func() error { t.follow(ctx); return nil })
	}
	_ = g.Wait() // that of the context
}

// follow hands each report to the forge, those of a pass that is under way, too: a commit that came into force is
// pending while it is carried out.
func (t *tellers) follow(ctx context.Context) {
	for {
		r, changed := t.board.Report()
		if r != nil && !r.Follows() {
			t.poster.Tell(r)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}
