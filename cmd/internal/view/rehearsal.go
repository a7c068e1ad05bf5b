package view

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/rehearse"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
)

// A Rehearsal is what a rehearsal showed.
type Rehearsal struct {
	*rehearse.Report
	Spec Revision
}

func (r Rehearsal) plan() Plan { return Plan{Plan: r.Plan, Spec: r.Spec} }

// remaining is the plan that would be left after the apply.
func (r Rehearsal) remaining() Plan {
	if r.Outcome.Remaining == nil {
		return r.plan()
	}
	return Plan{Plan: r.Outcome.Remaining, Spec: r.Spec}
}

// Status is that of the plan, and failed where an apply would fail in part.
func (r Rehearsal) Status() Status {
	if len(r.Failed()) > 0 {
		return Failed
	}
	return r.plan().Status()
}

// Text writes the plan, what would become of each container, the plan that would remain, and what is not sure.
func (r Rehearsal) Text(w io.Writer, s Style) error {
	if err := r.plan().Text(w, s); err != nil {
		return err
	}
	out := &printer{w: w}
	if len(r.Containers) > 0 {
		out.line("")
		out.line("%s", s.paint(bold, "Rehearsed on a copy; nothing was changed:"))
		name := 0
		for _, f := range r.Containers {
			name = max(name, cells(forecast{f}.title()))
		}
		name = min(name, s.width()/2)
		for _, f := range r.forecasts() {
			f.text(out, s, name)
		}
	}
	if rest := r.Outcome.Remaining; rest != nil && !rest.Synced() && len(r.Failed()) > 0 {
		out.line("")
		out.line("%s", s.paint(bold, "What would remain:"))
		if blocks := r.remaining().blocks(); len(blocks) > 0 {
			layoutOf(blocks, s).print(out, blocks)
		}
	}
	l := layout{Style: s}
	if len(r.Unsure) > 0 {
		out.line("")
		out.line("%s", s.paint(yellow, "Not sure:"))
		for _, text := range r.Unsure {
			l.hanging(out, Clean(text), 2)
		}
	}
	out.line("")
	for _, line := range wrap(r.Summary(), s.width()) {
		out.line("%s", s.paint(r.Status().colour(), line))
	}
	return out.err
}

// Summary is the last line.
func (r Rehearsal) Summary() string {
	if len(r.Containers) == 0 {
		return "Rehearsal: there is nothing to do"
	}
	var parts []string
	for s := reconcile.Created; s <= reconcile.Failed; s++ {
		n := 0
		for _, f := range r.Containers {
			if f.State == s {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	var down time.Duration
	stays := 0
	for _, f := range r.Containers {
		down = max(down, f.Down)
		if f.StaysDown {
			stays++
		}
	}
	text := "Rehearsal: " + strings.Join(parts, ", ")
	if down > 0 {
		text += " · down for " + about(down) + " at most"
	}
	if stays > 0 {
		text += fmt.Sprintf(" · %d would stay down", stays)
	}
	return text
}

// A forecast is shown as one line, with notes below.
type forecast struct{ rehearse.Forecast }

func (r Rehearsal) forecasts() []forecast {
	out := make([]forecast, len(r.Containers))
	for i, f := range r.Containers {
		out[i] = forecast{f}
	}
	return out
}

// title is "120 media", "template debian-13 on pve1" or "backup job weekly".
func (f forecast) title() string {
	if f.Kind != plan.ContainerKind {
		return Clean(f.Subject().String())
	}
	return fmt.Sprintf("%d %s", f.Ref.ID, Clean(f.Name))
}

func (f forecast) text(out *printer, s Style, name int) {
	state, paint := f.State.String(), green
	switch f.State {
	case reconcile.Failed, reconcile.Stuck, reconcile.Interrupted:
		state, paint = "would fail", red
		if f.Class != "" {
			state += ": " + string(f.Class)
		}
	case reconcile.Blocked, reconcile.PendingRestart, reconcile.Left:
		paint = yellow
	case reconcile.Destroyed:
		paint = red
	}
	head := cut(f.title(), name)
	line := fmt.Sprintf("  %s  %s", pad(head, name), s.paint(paint, state))
	if f.Took > 0 {
		line += ", " + about(f.Took)
	}
	switch {
	case f.StaysDown:
		line += s.paint(red, ", stays down")
	case f.Down > 0:
		line += ", down for " + about(f.Down)
	}
	out.line("%s", line)
	l := layout{Style: s}
	for _, note := range f.notes() {
		l.hanging(out, note, rowIndent)
	}
}

// notes say why something would fail or is not done, and up to where it would come.
func (f forecast) notes() []string {
	var notes []string
	if f.Err != nil {
		notes = append(notes, Clean(reason(f.Err)))
		if h := Hint(f.Err); h != "" {
			notes = append(notes, way(h))
		}
		if f.Class == rehearse.Locked {
			notes = append(notes, way("apply waits for the lock (--lock-timeout) and goes on once it is gone"))
		}
	}
	if f.Hint != "" {
		notes = append(notes, Clean(f.Hint))
	}
	for _, line := range f.Log {
		notes = append(notes, "log: "+Clean(line))
	}
	if f.Err != nil || f.StaysDown {
		for _, step := range f.Done {
			notes = append(notes, "would be done: "+Clean(step.Op.Verb()))
		}
		for _, step := range f.NotDone {
			notes = append(notes, "would not be done: "+Clean(step.Op.Verb()))
		}
	}
	for _, b := range f.Blocked {
		notes = append(notes, Clean(b.What)+": "+Clean(b.Reason))
	}
	return notes
}

// reason is an error in Proxmox's words, without what is only true of the rehearsal, as how long it waited.
func reason(err error) string {
	if api, ok := errors.AsType[*proxmox.APIError](err); ok {
		return api.Error()
	}
	if task, ok := errors.AsType[*proxmox.TaskError](err); ok {
		return task.Error()
	}
	return err.Error()
}

// about is a duration as a person would say it: "20 s", "3 min".
func about(d time.Duration) string {
	switch {
	case d < time.Second:
		return "under 1 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("about %.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("about %.0f min", d.Minutes())
	}
	return fmt.Sprintf("about %.0f h", d.Hours())
}

type rehearsalJSON struct {
	Version    int            `json:"version"`
	Kind       string         `json:"kind"`
	Status     Status         `json:"status"`
	Plan       planJSON       `json:"plan"`
	Containers []forecastJSON `json:"containers"`
	Remaining  planJSON       `json:"remaining"`
	Unsure     []string       `json:"unsure"`
}

type forecastJSON struct {
	outcomeJSON
	Class       rehearse.Class `json:"class,omitempty"`
	Hint        string         `json:"hint,omitempty"`
	Seconds     float64        `json:"seconds"`
	DownSeconds float64        `json:"downSeconds"`
	StaysDown   bool           `json:"staysDown"`
}

// JSON writes the same for programs.
func (r Rehearsal) JSON(w io.Writer) error {
	doc := rehearsalJSON{
		Version: JSONVersion, Kind: "rehearsal", Status: r.Status(), Plan: r.plan().document(), Containers: []forecastJSON{},
		Remaining: r.remaining().document(), Unsure: append([]string{}, r.Unsure...),
	}
	for _, f := range r.Containers {
		doc.Containers = append(doc.Containers, forecastJSON{
			outcomeJSON: outcomeOf(f.Container), Class: f.Class, Hint: f.Hint,
			Seconds: f.Took.Seconds(), DownSeconds: f.Down.Seconds(), StaysDown: f.StaysDown,
		})
	}
	return writeJSON(w, doc)
}
