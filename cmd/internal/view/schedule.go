package view

import (
	"fmt"
	"io"
	"time"

	"github.com/felhom/tend/proxmox/calendar"
)

// A Schedule is a calendar event and when it comes.
type Schedule struct {
	Event calendar.Event
	Times calendar.Options
	Zone  string // what the zone is called
	From  time.Time
	Count int // how many of its times are shown
}

const (
	minuteForm = "Mon 2006-01-02 15:04 MST"
	secondForm = "Mon 2006-01-02 15:04:05 MST"
)

// next are the times that are shown.
func (v Schedule) next() []time.Time {
	var out []time.Time
	for at := range v.Event.Times(v.From, v.Times) {
		if len(out) == v.Count {
			break
		}
		out = append(out, at)
	}
	return out
}

// warnings say where the event may do something else than its author thinks.
func (v Schedule) warnings() []string {
	out := v.Event.Warnings()
	if at, ok := v.Event.NextShift(v.From, v.Times.Location); ok {
		what := "runs at the first moment after, " + at.Format("15:04")
		if v.Times.DST == calendar.Upstream {
			what = "does not run (dst: shift would run it at " + at.Format("15:04") + ")"
		}
		out = append(out, fmt.Sprintf("the clocks leave its time out on %s: it %s", at.Format("Mon 2006-01-02"), what))
	}
	return out
}

// Text writes the schedule for people.
func (v Schedule) Text(w io.Writer, s Style) error {
	out := &printer{w: w}
	out.line("%s", s.paint(bold, v.Event.String()))
	for _, line := range wrap(fmt.Sprintf("%s, in %s, dst %s", v.Event.Describe(), v.Zone, v.Times.DST), s.width()-gap) {
		out.line("  %s", line)
	}
	for _, warning := range v.warnings() {
		v.warn(out, s, warning)
	}
	v.list(out, s)
	return out.err
}

func (v Schedule) warn(out *printer, s Style, text string) {
	for i, line := range wrap(text, s.width()-gap-markWidth) {
		mark := " "
		if i == 0 {
			mark = s.paint(yellow, "!")
		}
		out.line("  %s %s", mark, line)
	}
}

// list are the times, one a line.
func (v Schedule) list(out *printer, s Style) {
	next := v.next()
	out.line("")
	if len(next) == 0 {
		out.line("  It does not come any more after %s.", v.From.Format(minuteForm))
		return
	}
	form, width := minuteForm, 0
	for _, at := range next {
		if at.Second() != 0 {
			form = secondForm
		}
	}
	for _, at := range next {
		width = max(width, cells(at.Format(form)))
	}
	out.line("  After %s:", v.From.Format(minuteForm))
	for i, at := range next {
		since := v.From
		if i > 0 {
			since = next[i-1]
		}
		out.line("    %s  %s", pad(at.Format(form), width), s.paint(dim, "+"+span(at.Sub(since))))
	}
}

// span is a length of time in its two largest units: "3d2h", "1h30m", "45s".
func span(d time.Duration) string {
	d = d.Truncate(time.Second)
	const day = 24 * time.Hour
	parts := []struct {
		n    time.Duration
		unit string
	}{{d / day, "d"}, {d % day / time.Hour, "h"}, {d % time.Hour / time.Minute, "m"}, {d % time.Minute / time.Second, "s"}}
	for i, p := range parts {
		switch {
		case p.n == 0:
		case i+1 < len(parts) && parts[i+1].n > 0:
			return fmt.Sprintf("%d%s%d%s", p.n, p.unit, parts[i+1].n, parts[i+1].unit)
		default:
			return fmt.Sprintf("%d%s", p.n, p.unit)
		}
	}
	return "0s"
}

// JSON writes the schedule for programs.
func (v Schedule) JSON(w io.Writer) error {
	doc := struct {
		Version     int      `json:"version"`
		Kind        string   `json:"kind"`
		Schedule    string   `json:"schedule"`
		Description string   `json:"description"`
		Zone        string   `json:"timeZone"`
		DST         string   `json:"dst"`
		Warnings    []string `json:"warnings"`
		Next        []string `json:"next"`
	}{
		JSONVersion, "schedule", v.Event.String(), v.Event.Describe(), v.Zone, v.Times.DST.String(),
		append([]string{}, v.warnings()...),
		[]string{},
	}
	for _, at := range v.next() {
		doc.Next = append(doc.Next, at.Format(time.RFC3339))
	}
	return writeJSON(w, doc)
}
