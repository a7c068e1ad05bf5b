// Package calendar reads Proxmox calendar events ("mon..fri 22:00", "*:0/15", "daily"), the language of
// backup jobs and of tend's own schedules, and says when they fire next.
//
//	e, err := calendar.Parse("mon..fri 2:30")
//	next, ok := e.Next(last, calendar.Options{Location: vienna})
//
// An event is [weekdays] [[year-]month-day] [[hour:]minute[:second]], or one of minutely, hourly, daily,
// weekly, monthly, quarterly, semiannually (semi-annually), yearly (annually); "UTC" may stand at its end.
// At least one part must be given. Weekdays are "mon..fri,sun"; the other parts are "*", "*/step" or lists
// of "n", "n..m", "n/step" and "n..m/step". Without a time it is midnight; a lone number is the minute.
//
// The answers are those of Proxmox (proxmox-time 2.1.1, calendar_event.rs, compute_next_event), to its limit
// of 1001 steps after which an event counts as never, and to its habit of counting steps on past the end of
// their field, of which [Event.Warnings] tells. Only where clocks change are the rules this package's own,
// for Proxmox's depend on the C library's guesses and may lie before the time asked about:
//
//   - The answer is always later than the time asked about.
//   - Where a local time comes twice, an event for every hour ("*:30") fires in both, and one that names
//     hours ("2:30") in the first only.
//   - Where a local time is left out, an event that names it fires at the first instant after the gap
//     ([Shift]) or not at all ([Upstream], as in Proxmox). An event for every hour is never moved.
//
// Every hour is what "*", "*/1", "0..23" or no hour at all say; any other hours are named ones.
//
// The package is pure: it reads no clock, and time zones come as [time.Location] values.
package calendar

import (
	"iter"
	"time"
)

// MaxLength is the longest event, in characters, that Proxmox takes as a parameter. Parse has no limit.
const MaxLength = 128

// lastYear is the last that times can be written for (RFC 3339).
const lastYear = 9999

// An Event is a parsed calendar event. It is immutable and safe for use by many goroutines; the zero Event
// never fires.
type Event struct {
	utc      bool
	weekdays weekdays
	year     field
	month    field
	day      field
	hour     field
	minute   field
	second   field

	hourless bool // the time was written "a:b" where a cannot be an hour, see Warnings
}

// A DST says what becomes of a named hour that a change of the clocks leaves out.
type DST int

const (
	// Shift fires once at the first instant after the gap.
	Shift DST = iota
	// Upstream does not fire, as in Proxmox.
	Upstream
)

// String is "shift" or "upstream".
func (d DST) String() string {
	if d == Upstream {
		return "upstream"
	}
	return "shift"
}

// Options say where an event is evaluated. The zero value is UTC.
type Options struct {
	Location *time.Location // nil is UTC; an event that ends in "UTC" is evaluated in UTC whatever this is
	DST      DST
}

func (o Options) location() *time.Location {
	if o.Location == nil {
		return time.UTC
	}
	return o.Location
}

// Next returns the first time after the given one at which the event fires, as a whole second in the zone
// of o, and false where it never does. Before the year 1 and after 9999 no event fires or is sought.
func (e Event) Next(after time.Time, o Options) (time.Time, bool) {
	if y := after.Year(); y < 1 || y > lastYear {
		return time.Time{}, false
	}
	loc := o.location()
	if e.utc {
		loc = time.UTC
	}
	w := walk{event: &e, named: !e.hour.any, shift: o.DST == Shift}
	w.seek(loc, after.Unix()+1)
	at, ok := w.next()
	next := time.Unix(at, 0).In(o.location())
	if !ok || next.Year() > lastYear {
		return time.Time{}, false
	}
	return next, true
}

// Times yields the times at which the event fires after the given one, in order, without end unless the
// event has one.
func (e Event) Times(after time.Time, o Options) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for t, ok := e.Next(after, o); ok && yield(t); t, ok = e.Next(t, o) {
		}
	}
}

// NextShift returns the next time after the given one, within ten years, at which the event fires in loc
// under [Shift] and not under [Upstream]: a run that Proxmox itself would leave out.
func (e Event) NextShift(after time.Time, loc *time.Location) (time.Time, bool) {
	shift, upstream := Options{loc, Shift}, Options{loc, Upstream}
	limit := after.AddDate(10, 0, 0).Unix()
	var w walk
	for w.seek(shift.location(), after.Unix()); w.end <= limit; w.seek(w.loc, w.end) {
		before := time.Unix(w.end-1, 0)
		moved, ok := e.Next(before, shift)
		if !ok || moved.Unix() != w.end {
			continue
		}
		if plain, ok := e.Next(before, upstream); !ok || !plain.Equal(moved) {
			return moved, true
		}
	}
	return time.Time{}, false
}
