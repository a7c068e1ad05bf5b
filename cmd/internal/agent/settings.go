package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/reconcile/schedule"
)

// Set gives the agent other settings. The interval holds at once, all else from the next pass on: one that is under way
// ends with what it began with.
func (a *Agent) Set(s Settings) {
	before := a.settings.Load()
	if s.Follow == nil {
		s.Follow = before.Follow
	}
	a.settings.Store(&s)
	a.runner.Every(s.Interval)
	if s.Follow == before.Follow {
		return
	}
	select {
	case a.turned <- struct{}{}:
	default: // it turns already, and to the newest
	}
}

// Note puts up how the configuration was read, and tells of it: an operator who made a mistake waits for no pass.
func (a *Agent) Note(c report.Configuration) {
	before, _ := a.o.Board.Report()
	a.mu.Lock()
	a.pic.agent.Configuration = c
	a.mu.Unlock()
	if after := a.publish(); a.o.Tell != nil {
		a.o.Tell(before, after)
	}
}

// enter takes up the settings of a pass that begins.
func (a *Agent) enter() *Settings {
	s, before := a.settings.Load(), a.used
	if s == before {
		return s
	}
	a.used = s
	if s.Follow != before.Follow {
		a.o.Source.Change(s.Follow.Source)
		a.rev = "" // the same commit may say something else: in another folder of the repository
		a.mu.Lock()
		a.pic.origin, a.pic.revision = s.Follow.Origin, ""
		a.mu.Unlock()
	}
	if s.Enter != nil {
		s.Enter()
	}
	return s
}

// watch has changes of the source that is followed call for a pass, until the context ends.
func (a *Agent) watch(ctx context.Context) {
	for ctx.Err() == nil {
		inner, leave := context.WithCancel(ctx)
		left := make(chan struct{})
		go func() { defer close(left); a.watchOne(inner, a.settings.Load().Follow) }()
		select {
		case <-ctx.Done():
		case <-a.turned:
		}
		leave()
		<-left
	}
}

// watchAgain is how long after a failure changes are watched for again.
const watchAgain = time.Minute

// watchOne watches one source. Where its changes cannot be noticed, the interval is left.
func (a *Agent) watchOne(ctx context.Context, f *Following) {
	for f.Watch != nil {
		err := f.Watch.Watch(ctx, func() { a.Call(schedule.Changed) })
		if ctx.Err() != nil {
			return
		}
		a.o.Log.Warn("changes of the source are not noticed for now", slog.Any("err", err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchAgain):
		}
	}
}
