// Package schedule says when to run: what calls for a run, how calls that come close together become one, when the next
// is due by interval or calendar, and how long to wait after a failure. It knows nothing of what a run does.
//
// A [Schedule] follows from the times that it is given; a [Runner] is one with a clock.
package schedule

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/felhom/tend/proxmox/calendar"
)

// A Trigger is what calls for a run.
type Trigger int

// The triggers.
const (
	Start    Trigger = iota // the program has begun
	Changed                 // a source has noticed a change
	Webhook                 // a forge tells of one
	Interval                // it is time to look again
	Due                     // an event of the calendar
	Asked                   // the last run asked for one at this time
	Retry                   // the last run failed
	Signal                  // SIGHUP
	Manual                  // a person
	Led                     // which of several agents acts has changed
)

// String is the trigger in a word: "webhook".
func (t Trigger) String() string {
	names := []string{"start", "changed", "webhook", "interval", "due", "asked", "retry", "signal", "manual", "lead"}
	if t < 0 || int(t) >= len(names) {
		return "unknown"
	}
	return names[t]
}

// patient reports whether a trigger waits: for the burst that it may belong to, and for the least time between runs.
func (t Trigger) patient() bool { return t == Changed || t == Webhook }

// An Event is an entry of the calendar.
type Event struct {
	Name string
	When calendar.Event
	// Last is when it last led to a run, as far as is known: what was missed since is made up for, once. Zero: it is
	// new, and begins now.
	Last time.Time
}

// Options say how to run. The zero value runs at the start and when called.
type Options struct {
	Interval time.Duration // from the end of a run to the next, give or take a tenth; 0: none
	Events   []Event
	Location *time.Location // of the events; nil is UTC

	Quiet    time.Duration // without a further call, after which a burst is over; 200 ms where 0
	MaxQuiet time.Duration // for which a burst is waited out at most; 2 s where 0
	// Gap is the least time from the end of a run to the next, but for what a person calls for; a second where 0. It
	// doubles with each failure, up to a minute.
	Gap time.Duration
	// After a failure the next run is at a random time after the gap and up to Backoff, which doubles with each failure up
	// to MaxBackoff; 5 s and 10 minutes where 0.
	Backoff, MaxBackoff time.Duration

	// Random gives numbers from 0 to below 1; nil: those of math/rand.
	Random func() float64
}

const maxGap = time.Minute

func (o Options) filled() Options {
	o.Quiet = cmp.Or(o.Quiet, 200*time.Millisecond)
	o.MaxQuiet = cmp.Or(o.MaxQuiet, 2*time.Second)
	o.Gap = cmp.Or(o.Gap, time.Second)
	o.Backoff = cmp.Or(o.Backoff, 5*time.Second)
	o.MaxBackoff = cmp.Or(o.MaxBackoff, 10*time.Minute)
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return o
}

// A Cause is one reason for a run.
type Cause struct {
	Trigger Trigger
	Event   string    // its name, where the trigger is Due
	At      time.Time // when it came up: a call, or the time that was set
}

// A Result is what a run says at its end.
type Result struct {
	Failed bool
	Next   time.Time // a run is asked for at this time, whatever else happens; zero: none
}

// A Schedule knows what was called for and what has run. It has no clock: every method is told the time. It is not for
// several goroutines at once.
type Schedule struct {
	o        Options
	events   []entry
	calls    []Cause // since the last run began, one for each trigger
	last     time.Time
	owed     []Cause // events of runs that failed
	current  []Cause
	running  bool
	ended    time.Time // the last run; zero: none has
	failures int       // since the last success
	again    time.Time // when interval or retry is over
	asked    time.Time
}

// An entry is an event with when it is due.
type entry struct {
	Event
	at  time.Time
	has bool // it fires again
}

// ran says when an event last led to a run.
func (s *Schedule) ran(e *entry, last time.Time) {
	e.Last = last
	e.at, e.has = e.When.Next(last, calendar.Options{Location: s.o.Location})
}

// New makes a schedule, whose first run is due at once.
func New(o Options, now time.Time) *Schedule {
	s := &Schedule{o: o.filled()}
	for _, e := range o.Events {
		if e.Last.IsZero() {
			e.Last = now
		}
		s.events = append(s.events, entry{Event: e})
		s.ran(&s.events[len(s.events)-1], e.Last)
	}
	s.Call(Start, now)
	return s
}

// Call asks for a run.
func (s *Schedule) Call(t Trigger, now time.Time) {
	if t.patient() {
		s.last = now
	}
	if !slices.ContainsFunc(s.calls, func(c Cause) bool { return c.Trigger == t }) {
		s.calls = append(s.calls, Cause{Trigger: t, At: now})
	}
}

// Waiting are the triggers that have called for a run which has not begun, in the order in which they came.
func (s *Schedule) Waiting() []Trigger {
	var out []Trigger
	for _, c := range s.calls {
		out = append(out, c.Trigger)
	}
	return out
}

// Failures is how many runs have failed since the last success.
func (s *Schedule) Failures() int { return s.failures }

// Next is when the next run is due, which may be in the past; false: not until it is called for, or while one is under
// way.
func (s *Schedule) Next(now time.Time) (time.Time, bool) {
	if s.running {
		return time.Time{}, false
	}
	var at time.Time
	for _, c := range s.causes(now) {
		if due := s.due(c); at.IsZero() || due.Before(at) {
			at = due
		}
	}
	return at, !at.IsZero()
}

// causes are all reasons for a run that are known, due or not.
func (s *Schedule) causes(now time.Time) []Cause {
	out := slices.Concat(s.calls, s.owed)
	for i := range s.events {
		e := &s.events[i]
		if e.Last.After(now) { // a clock that was ahead once must not silence an event until then
			s.ran(e, now)
		}
		if e.has {
			out = append(out, Cause{Due, e.Name, e.at})
		}
	}
	if !s.asked.IsZero() {
		out = append(out, Cause{Trigger: Asked, At: s.asked})
	}
	if !s.again.IsZero() {
		c := Cause{Trigger: Interval, At: s.again}
		if s.failures > 0 {
			c.Trigger = Retry
		}
		out = append(out, c)
	}
	return out
}

// due is when a reason leads to a run.
func (s *Schedule) due(c Cause) time.Time {
	at, least := c.At, time.Time{}
	switch {
	case c.Trigger == Start || c.Trigger == Signal || c.Trigger == Manual:
		return at
	case c.Trigger.patient():
		if at = s.last.Add(s.o.Quiet); at.Sub(c.At) > s.o.MaxQuiet {
			at = c.At.Add(s.o.MaxQuiet)
		}
		if !s.ended.IsZero() {
			least = s.ended.Add(s.gap())
		}
	case s.failures > 0:
		least = s.again
	case !s.ended.IsZero():
		least = s.ended.Add(s.o.Gap)
	}
	if at.Before(least) {
		return least
	}
	return at
}

// gap is the least time after the last run.
func (s *Schedule) gap() time.Duration {
	return doubled(s.o.Gap, s.failures, max(maxGap, s.o.Gap))
}

// doubled is a time doubled n times, up to a limit.
func doubled(d time.Duration, n int, limit time.Duration) time.Duration {
	for range n {
		if d >= limit/2 {
			return limit
		}
		d *= 2
	}
	return min(d, limit)
}

// Begin says that a run begins, and returns the reasons that are due. What is called for from now on is for the next.
func (s *Schedule) Begin(now time.Time) []Cause {
	s.running, s.current = true, nil
	for _, c := range s.causes(now) {
		known := slices.ContainsFunc(s.current, func(k Cause) bool { return k.Trigger == c.Trigger && k.Event == c.Event })
		isCall := slices.Contains(s.calls, c) // a run that begins for one reason answers all that was called for
		if !known && (isCall || !s.due(c).After(now)) {
			s.current = append(s.current, c)
		}
	}
	for _, c := range s.current {
		if i := slices.IndexFunc(s.events, func(e entry) bool { return c.Trigger == Due && e.Name == c.Event }); i >= 0 {
			s.ran(&s.events[i], now)
		}
		if c.Trigger == Asked {
			s.asked = time.Time{}
		}
	}
	s.calls, s.owed, s.again = nil, nil, time.Time{}
	return s.current
}

// End says that the run is over. The events of one that failed are due again with the next.
func (s *Schedule) End(now time.Time, r Result) {
	s.running, s.ended = false, now
	if !r.Next.IsZero() {
		s.asked = r.Next
	}
	if r.Failed {
		for _, c := range s.current {
			if c.Trigger == Due {
				s.owed = append(s.owed, c)
			}
		}
		limit := doubled(s.o.Backoff, s.failures, s.o.MaxBackoff)
		s.failures++
		s.again = now.Add(max(s.gap(), time.Duration(s.o.Random()*float64(limit))))
		return
	}
	s.failures = 0
	s.again = s.interval()
}

// interval is when the interval after the last run is over; zero: there is none.
func (s *Schedule) interval() time.Time {
	if s.o.Interval <= 0 {
		return time.Time{}
	}
	return s.ended.Add(time.Duration((0.9 + 0.2*s.o.Random()) * float64(s.o.Interval)))
}

// Every gives another interval, which holds from the end of the last run on. After a failure, when the next try is due
// stays.
func (s *Schedule) Every(d time.Duration) {
	same := s.o.Interval == d
	s.o.Interval = d
	if !same && !s.running && s.failures == 0 && !s.ended.IsZero() {
		s.again = s.interval()
	}
}
