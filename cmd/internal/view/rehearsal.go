package view

import (
	"errors"
	"fmt"
	"io"
	"slices"
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

// Status is that of the plan, and failed where an apply would fail in part. What may fail does not count.
func (r Rehearsal) Status() Status {
	if len(r.With(rehearse.WouldFail)) > 0 {
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
			f.text(out, s, name, r.Plan.Blocked)
		}
	}
	if rest := r.Outcome.Remaining; rest != nil && !rest.Synced() && slices.ContainsFunc(r.Containers, rehearse.Forecast.Failed) {
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
	count := func(what string, is func(rehearse.Forecast) bool) {
		n := 0
		for _, f := range r.Containers {
			if is(f) {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	for s := reconcile.Created; s < reconcile.Failed; s++ {
		count(s.String(), func(f rehearse.Forecast) bool { return f.Verdict == rehearse.Fine && f.State == s })
	}
	for _, v := range []rehearse.Verdict{rehearse.MayFail, rehearse.WouldFail} {
		count(string(v), func(f rehearse.Forecast) bool { return f.Verdict == v })
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
	if len(r.With(rehearse.MayFail))+len(r.With(rehearse.WouldFail)) == 0 {
		text += " · nothing would fail"
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

func (f forecast) text(out *printer, s Style, name int, shown []plan.Blocked) {
	state, paint := f.headline()
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
	for _, note := range f.notes(shown) {
		l.hanging(out, note, rowIndent)
	}
}

// headline is the verdict, with the kinds of what goes wrong, or what would become of it.
func (f forecast) headline() (string, Tone) {
	paint := green
	switch f.State {
	case reconcile.Blocked, reconcile.Waiting, reconcile.PendingRestart, reconcile.Left:
		paint = yellow
	case reconcile.Destroyed:
		paint = red
	}
	switch f.Verdict {
	case rehearse.WouldFail:
		return kinds(string(f.Verdict), f.Class), red
	case rehearse.MayFail:
		var classes []rehearse.Class
		for _, d := range f.Doubts {
			classes = append(classes, d.Class)
		}
		text := kinds(string(f.Verdict), classes...)
		if !f.Failed() && f.State != reconcile.Unchanged {
			text += "; else " + f.State.String()
		}
		return text, yellow
	}
	return f.State.String(), paint
}

// kinds adds the kinds of errors to a verdict, each once.
func kinds(verdict string, classes ...rehearse.Class) string {
	var seen []string
	for _, c := range classes {
		if c != "" && !slices.Contains(seen, string(c)) {
			seen = append(seen, string(c))
		}
	}
	if len(seen) == 0 {
		return verdict
	}
	return verdict + ": " + strings.Join(seen, " or ")
}

// doubts say what may go wrong, at which step, and what it depends on.
func (f forecast) doubts() (notes []string) {
	for _, d := range f.Doubts {
		var parts []string
		if d.Step != "" {
			parts = append(parts, Clean(d.Step))
		}
		switch {
		case d.Err != nil:
			parts = append(parts, Clean(reason(d.Err)))
		case d.Class != "" && d.Step != "":
			parts = append(parts, string(d.Class))
		}
		if len(parts) > 0 {
			notes = append(notes, "may fail: "+strings.Join(parts, ": "))
		}
		for _, b := range d.Because {
			notes = append(notes, way(b))
		}
	}
	return notes
}

// notes say why something would fail or is not done, and up to where it would come. What the plan has shown as blocked
// is not said again.
func (f forecast) notes(shown []plan.Blocked) []string {
	var notes []string
	if f.Err != nil && f.Verdict != rehearse.MayFail {
		notes = append(notes, Clean(reason(f.Err)))
	}
	notes = append(notes, f.doubts()...)
	if f.Err != nil {
		if h := Hint(f.Err); h != "" {
			notes = append(notes, way(h))
		}
		if f.Class == rehearse.Locked {
			notes = append(notes, way("apply waits for the lock (--lock-timeout) and goes on once it is gone"))
		}
	}
	if f.Hint != "" && f.Verdict != rehearse.MayFail {
		notes = append(notes, Clean(f.Hint))
	}
	for _, line := range f.Log {
		notes = append(notes, "log: "+Clean(line))
	}
	if f.Err != nil || f.StaysDown {
		for _, step := range f.Done {
			notes = append(notes, "would be done: "+Clean(step.Op.Verb()))
		}
		// what is left begins anew, with steps that were done before the one that failed
		at := slices.IndexFunc(f.NotDone, func(s plan.Step) bool { return s.Op.Verb() == f.Step() })
		for _, step := range f.NotDone[max(0, at):] {
			notes = append(notes, "would not be done: "+Clean(step.Op.Verb()))
		}
	}
	for _, b := range f.Blocked {
		same := func(o plan.Blocked) bool { return o.ID == b.ID && o.What == b.What && o.Reason == b.Reason }
		if slices.ContainsFunc(shown, same) {
			continue
		}
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
	Verdict     rehearse.Verdict `json:"verdict"`
	Doubts      []doubtJSON      `json:"doubts,omitempty"`
	Class       rehearse.Class   `json:"class,omitempty"`
	Hint        string           `json:"hint,omitempty"`
	Seconds     float64          `json:"seconds"`
	DownSeconds float64          `json:"downSeconds"`
	StaysDown   bool             `json:"staysDown"`
}

type doubtJSON struct {
	Class   rehearse.Class `json:"class,omitempty"`
	Step    string         `json:"step,omitempty"`
	Error   string         `json:"error,omitempty"`
	Because []string       `json:"because"`
}

func doubtsOf(list []rehearse.Doubt) (out []doubtJSON) {
	for _, d := range list {
		doc := doubtJSON{Class: d.Class, Step: d.Step, Because: append([]string{}, d.Because...)}
		if d.Err != nil {
			doc.Error = reason(d.Err)
		}
		out = append(out, doc)
	}
	return out
}

// JSON writes the same for programs.
func (r Rehearsal) JSON(w io.Writer) error {
	doc := rehearsalJSON{
		Version: JSONVersion, Kind: "rehearsal", Status: r.Status(), Plan: r.plan().document(), Containers: []forecastJSON{},
		Remaining: r.remaining().document(), Unsure: append([]string{}, r.Unsure...),
	}
	for _, f := range r.Containers {
		doc.Containers = append(doc.Containers, forecastJSON{
			outcomeJSON: outcomeOf(f.Container), Verdict: f.Verdict, Doubts: doubtsOf(f.Doubts), Class: f.Class, Hint: f.Hint,
			Seconds: f.Took.Seconds(), DownSeconds: f.Down.Seconds(), StaysDown: f.StaysDown,
		})
	}
	return writeJSON(w, doc)
}
