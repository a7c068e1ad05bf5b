package schedule

import (
	"context"
	"sync"
	"time"
)

// longest is how long a runner sleeps at a time. Timers stand still while a machine is suspended, and clocks are set.
const longest = time.Minute

// A Runner runs when its schedule says so, one run at a time. Its methods are for any goroutine.
type Runner struct {
	mu       sync.Mutex
	schedule *Schedule
	ended    func() // nil: nobody is told
	wake     chan struct{}
}

// NewRunner makes a runner.
func NewRunner(o Options) *Runner {
	return &Runner{schedule: New(o, time.Now()), wake: make(chan struct{}, 1)}
}

// Call asks for a run. It never waits.
func (r *Runner) Call(t Trigger) {
	r.mu.Lock()
	r.schedule.Call(t, time.Now())
	r.mu.Unlock()
	r.rouse()
}

// Every gives another interval: see [Schedule.Every].
func (r *Runner) Every(d time.Duration) {
	r.mu.Lock()
	r.schedule.Every(d)
	r.mu.Unlock()
	r.rouse()
}

func (r *Runner) rouse() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Next is when the next run is due, as far as is known now; false: not until it is called for, or while one is under
// way.
func (r *Runner) Next() (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.schedule.Next(time.Now())
}

// Waiting are the triggers that have called for a run which has not begun.
func (r *Runner) Waiting() []Trigger {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.schedule.Waiting()
}

// Failures is how many runs have failed since the last success.
func (r *Runner) Failures() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.schedule.Failures()
}

// Ended has a function called after each run, when the next is known.
func (r *Runner) Ended(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = f
}

// Run calls run whenever a run is due, until the context ends, and returns its error. It is called once.
func (r *Runner) Run(ctx context.Context, run func(context.Context, []Cause) Result) error {
	for ctx.Err() == nil {
		causes, wait := r.begin()
		if causes == nil {
			r.sleep(ctx, wait)
			continue
		}
		result := run(ctx, causes)
		r.mu.Lock()
		r.schedule.End(time.Now(), result)
		ended := r.ended
		r.mu.Unlock()
		if ended != nil {
			ended()
		}
	}
	return ctx.Err()
}

// begin begins a run, if one is due, and says why; else how long to wait.
func (r *Runner) begin() ([]Cause, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	at, ok := r.schedule.Next(now)
	switch {
	case !ok:
		return nil, longest
	case at.After(now):
		return nil, min(at.Sub(now), longest)
	}
	return r.schedule.Begin(now), 0
}

func (r *Runner) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-r.wake:
	case <-timer.C:
	}
}
