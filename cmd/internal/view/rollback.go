package view

import (
	"io"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/plan"
)

// A Rollback is the plan of a rollback and, once it was carried out, what became of it.
type Rollback struct {
	ID       proxmox.VMID
	Snapshot string
	Plan     Plan
	Outcome  *reconcile.RolledBack // nil: nothing was done
}

// Status is what the exit code says.
func (r Rollback) Status() Status {
	switch {
	case r.Outcome == nil:
		return r.Plan.Status()
	case r.Outcome.Status != execute.Done, r.Outcome.After == nil:
		return Failed
	}
	return Plan{Plan: r.Outcome.After}.Status()
}

// Text writes the plan before the rollback, and what became of it after.
func (r Rollback) Text(w io.Writer, s Style) error {
	if r.Outcome == nil {
		sheet := r.Plan.Sheet()
		sheet.Header = "cluster " + Clean(r.Plan.Cluster) + " · roll back container " + r.ID.String() + " to snapshot " + Clean(r.Snapshot)
		if len(r.Plan.Blocked) > 0 {
			sheet.Summary = "Nothing is rolled back: what is in the way is for a person to remove"
		} else {
			sheet.Summary = "Plan: 1 rollback"
		}
		return sheet.Text(w, s)
	}
	return r.became(w, s)
}

func (r Rollback) became(w io.Writer, s Style) error {
	out, l := &printer{w: w}, layout{Style: s}
	out.line("")
	for _, step := range r.Outcome.Done() {
		out.line("  done: %s", Clean(step.Op.Verb()))
	}
	if r.Outcome.Status != execute.Done {
		for _, step := range r.Outcome.NotDone() {
			out.line("  not done: %s", Clean(step.Op.Verb()))
		}
		text := r.Outcome.Status.String()
		if r.Outcome.Err != nil {
			text += ": " + Clean(r.Outcome.Err.Error())
		}
		l.hanging(out, "! "+text, 2)
	}
	if out.err != nil {
		return out.err
	}
	after := r.Outcome.After
	switch {
	case after == nil:
		out.line("How the container is now could not be read.")
		return out.err
	case after.Synced():
		out.line("")
		out.line("%s", s.paint(green, "The container is what the spec says."))
		return out.err
	}
	out.line("")
	sheet := Plan{Plan: after}.Sheet()
	sheet.Header = "What the spec says of it, and how it is now:"
	sheet.Summary = r.choice(after)
	return sheet.Text(w, s)
}

// choice says how a person decides between spec and snapshot.
func (r Rollback) choice(after *plan.Plan) string {
	for _, b := range after.Blocked {
		if b.What == "recover" {
			return "The container is stuck: nothing is done to it until that is put right"
		}
	}
	id := r.ID.String()
	return strings.Join([]string{
		"The spec and the snapshot differ, and it is yours to say which is right:",
		"tend apply makes the container what the spec says;", "tend import --merge SPEC " + id + " writes into the spec what the snapshot says",
	}, " ")
}

type rollbackJSON struct {
	Version  int       `json:"version"`
	Kind     string    `json:"kind"`
	ID       int       `json:"id"`
	Snapshot string    `json:"snapshot"`
	Status   Status    `json:"status"`
	Plan     planJSON  `json:"plan"`
	State    string    `json:"state,omitempty"`
	Done     []string  `json:"done"`
	NotDone  []string  `json:"notDone"`
	Error    string    `json:"error,omitempty"`
	After    *planJSON `json:"after,omitempty"`
}

// JSON writes it for programs.
func (r Rollback) JSON(w io.Writer) error {
	doc := rollbackJSON{
		Version: JSONVersion, Kind: "rollback", ID: int(r.ID), Snapshot: r.Snapshot, Status: r.Status(), Plan: r.Plan.document(),
		Done: []string{}, NotDone: []string{},
	}
	if o := r.Outcome; o != nil {
		doc.State = o.Status.String()
		doc.Done, doc.NotDone = verbs(o.Done()), verbs(o.NotDone())
		if o.Err != nil {
			doc.Error = o.Err.Error()
		}
		if o.After != nil {
			after := Plan{Plan: o.After}.document()
			doc.After = &after
		}
	}
	return writeJSON(w, doc)
}
