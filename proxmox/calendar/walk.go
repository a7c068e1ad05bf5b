package calendar

import (
	"math"
	"time"
)

// maxSteps is the number of steps after which Proxmox gives an event up as never (compute_next_event).
const maxSteps = 1001

// A leap is what step found about a local time.
type leap int

const (
	match leap = iota // the time matches
	never             // no later time can match
	short             // go on at a time within this hour or the next
	long              // go on at a later hour or day
)

// step tests a local time, written as a time in UTC, against the fields of e from the largest to the
// smallest. Where one does not match it returns the next time to test: the field set to its next value,
// the smaller ones to their minimum. The value may lie past the end of the field, as upstream's does;
// time.Date then carries it, which in UTC is plain arithmetic.
func (e *Event) step(t time.Time) (time.Time, leap) {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if !e.year.has(year) {
		n, ok := e.year.after(year)
		if !ok {
			return t, never
		}
		return local(n, 1, 1, 0, 0, 0), long
	}
	if !e.month.has(int(month)) {
		if n, ok := e.month.after(int(month)); ok {
			return local(year, n, 1, 0, 0, 0), long
		}
		return local(year+1, 1, 1, 0, 0, 0), long
	}
	if !e.day.has(day) {
		if n, ok := e.day.after(day); ok {
			return local(year, int(month), n, 0, 0, 0), long
		}
		return local(year, int(month)+1, 1, 0, 0, 0), long
	}
	if n := e.weekdays.until(t.Weekday()); n > 0 {
		return local(year, int(month), day+n, 0, 0, 0), long
	}
	if !e.hour.has(hour) {
		if n, ok := e.hour.after(hour); ok {
			return local(year, int(month), day, n, 0, 0), long
		}
		return local(year, int(month), day+1, 0, 0, 0), long
	}
	if !e.minute.has(minute) {
		if n, ok := e.minute.after(minute); ok {
			return local(year, int(month), day, hour, n, 0), short
		}
		return local(year, int(month), day, hour+1, 0, 0), short
	}
	if !e.second.has(second) {
		if n, ok := e.second.after(second); ok {
			return local(year, int(month), day, hour, minute, n), short
		}
		return local(year, int(month), day, hour, minute+1, 0), short
	}
	return t, match
}

func local(year, month, day, hour, minute, second int) time.Time {
	return time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
}

// A walk is a search for the next event. It stands at an instant and knows the stretch around it in which
// the zone keeps one offset. It only ever moves forward in real time, which is what makes answers strictly
// monotonic. time.Date is not asked what a local time means: it resolves gaps and repetitions differently
// from zone to zone.
type walk struct {
	event *Event
	named bool // the event names hours
	shift bool

	loc        *time.Location
	at         int64 // Unix seconds
	offset     int64 // local time minus UTC, in seconds, from start until end
	start, end int64
	before     int64 // the offset before start; offset where start is the beginning of time
}

// seek puts the walk at an instant.
func (w *walk) seek(loc *time.Location, at int64) {
	w.loc = loc
	w.at = at
	t := time.Unix(at, 0).In(loc)
	_, offset := t.Zone()
	w.offset = int64(offset)
	w.before = w.offset
	w.start, w.end = math.MinInt64, math.MaxInt64
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		w.start = start.Unix()
		_, before := start.Add(-time.Second).Zone()
		w.before = int64(before)
	}
	if !end.IsZero() {
		w.end = end.Unix()
	}
	if w.end <= at {
		// golang/go#81583: on the last day, in UTC, of a leap year the end is the day's beginning. There is
		// no change on that day, for this is the stretch after the year's last one.
		w.end = t.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1).Unix()
	}
}

// next returns the first instant, from where the walk stands, at which the event fires.
func (w *walk) next() (int64, bool) {
	if w.at == w.start && w.fires(w.start+w.before, w.start+w.offset) {
		return w.at, true
	}
	for range maxSteps {
		w.leaveRepetition()
		to, leap := w.event.step(time.Unix(w.at+w.offset, 0).UTC())
		switch leap {
		case match:
			return w.at, true
		case never:
			return 0, false
		case short, long:
			if gap, ok := w.move(to.Unix(), leap); ok {
				return gap, true
			}
		}
	}
	return 0, false
}

// leaveRepetition moves on, if local time here has come once already, to where it has not. Events for every
// hour fire in repetitions too.
func (w *walk) leaveRepetition() {
	for w.named && w.at < w.start+w.before-w.offset {
		w.seek(w.loc, w.start+w.before-w.offset)
	}
}

// move goes to the next instant that is the local time to. If the clocks leave that out and the event fires
// in the gap, it returns the first instant after it. Otherwise, to shift, it goes on from that instant;
// upstream goes on from the one that the offset before the gap gives, and may miss what is between the two.
func (w *walk) move(to int64, leap leap) (int64, bool) {
	w.skip(to)
	for {
		at := to - w.offset
		if at < w.end {
			w.at = at
			return 0, false
		}
		was := w.offset
		w.seek(w.loc, w.end)
		if w.offset < was && leap == short && !w.named {
			return 0, false // the clocks went back: this is the next moment in real time
		}
		if to-w.offset >= w.start {
			continue
		}
		if w.fires(to, w.start+w.offset) {
			return w.start, true
		}
		if w.shift {
			at = w.start
		}
		w.seek(w.loc, at)
		return 0, false
	}
}

// skip goes close to the local time to without looking at each change of the clocks in between.
func (w *walk) skip(to int64) {
	const near = 48 * 3600 // more than any offset, and than two of them differ
	if to-near <= w.end {
		return
	}
	far := *w
	far.seek(w.loc, to-near)
	if far.at+far.offset <= to {
		*w = far
	}
}

// fires reports whether the event, if its hours are named and to be shifted, matches a local time from one
// until another, which a change of the clocks leaves out.
func (w *walk) fires(from, until int64) bool {
	if !w.named || !w.shift {
		return false
	}
	for range maxSteps {
		if from >= until {
			return false
		}
		to, leap := w.event.step(time.Unix(from, 0).UTC())
		switch leap {
		case match:
			return true
		case never:
			return false
		case short, long:
			from = to.Unix()
		}
	}
	return false
}
