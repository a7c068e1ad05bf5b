package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
)

// A Result is what became of a plan.
type Result struct {
	Plan    Plan
	Outcome *reconcile.Outcome // nil where the plan was empty, so that nothing was done
}

// Status is that of the cluster after the run.
func (r Result) Status() Status {
	if r.Outcome == nil {
		return r.Plan.Status()
	}
	status := InSync
	for _, c := range r.Outcome.All() {
		switch c.State {
		case reconcile.Failed, reconcile.Stuck, reconcile.Interrupted:
			return Failed
		case reconcile.Blocked:
			status = Blocked
		case reconcile.Waiting, reconcile.PendingRestart, reconcile.Left:
			if status == InSync {
				status = Pending
			}
		}
	}
	if r.Outcome.Interrupted {
		return Failed
	}
	return status
}

// Text writes what became of each container, below the plan that was shown before.
func (r Result) Text(w io.Writer, s Style) error { return r.Account().Text(w, s) }

// colour is the one of a last line.
func (s Status) colour() Tone {
	switch s {
	case InSync:
		return green
	case Failed:
		return red
	}
	return yellow
}

// Summary is the last line of a run.
func (r Result) Summary() string {
	var parts []string
	for s := reconcile.Created; s <= reconcile.Failed; s++ {
		if n := r.Outcome.Count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if n := r.Outcome.Count(reconcile.Unchanged); n > 0 {
		parts = append(parts, fmt.Sprintf("%d %s", n, reconcile.Unchanged))
	}
	head := map[Status]string{
		InSync: "Applied, everything is in sync: ", Pending: "Applied, changes are pending: ",
		Blocked: "Applied as far as possible: ", Failed: "Not all was applied: ",
	}[r.Status()]
	if r.Outcome.Interrupted {
		head = "Interrupted: "
	}
	return head + strings.Join(parts, ", ")
}

// resultNotes say why a container is not as it shall be, and what was not done.
func resultNotes(c reconcile.Container) []string {
	var notes []string
	if c.Err != nil {
		notes = append(notes, Clean(c.Err.Error()))
		if h := Hint(c.Err); h != "" {
			notes = append(notes, way(h))
		}
	}
	for _, line := range c.Log {
		notes = append(notes, "log: "+Clean(line))
	}
	switch c.State {
	case reconcile.Left, reconcile.Interrupted, reconcile.Failed:
		for i, step := range append(c.Done, c.NotDone...) {
			word := "done: "
			if i >= len(c.Done) {
				word = "not done: "
			}
			notes = append(notes, word+Clean(step.Op.Verb()))
		}
	}
	if c.State == reconcile.Stuck && c.Lane != nil {
		for _, row := range changeRows(*c.Lane) {
			notes = append(notes, strings.TrimSpace("still differs: "+row.Label+" "+row.Text))
		}
	}
	for _, b := range c.Blocked {
		notes = append(notes, Clean(b.What)+": "+Clean(b.Reason))
	}
	for _, t := range c.Warnings {
		notes = append(notes, fmt.Sprintf("%s of task %s; its log shows them", count(t.Warnings(), "warning"), t.UPID))
	}
	return notes
}

type resultJSON struct {
	Version    int            `json:"version"`
	Kind       string         `json:"kind"`
	Status     Status         `json:"status"`
	Plan       planJSON       `json:"plan"`
	Containers []outcomeJSON  `json:"containers"`
	Templates  []outcomeJSON  `json:"templates"`
	BackupJobs []outcomeJSON  `json:"backupJobs"`
	HostMounts []outcomeJSON  `json:"hostMounts"`
	Snippets   []outcomeJSON  `json:"snippets"`
	Passes     int            `json:"passes"`
	Interrupt  bool           `json:"interrupted"`
	Running    []proxmox.UPID `json:"runningTasks"`
}

type outcomeJSON struct {
	ID       proxmox.VMID    `json:"id,omitempty"` // of a container
	Name     string          `json:"name"`
	Node     string          `json:"node,omitempty"`
	State    reconcile.State `json:"state"`
	Done     []string        `json:"done"`
	NotDone  []string        `json:"notDone"`
	Error    string          `json:"error,omitempty"`
	Log      []string        `json:"log,omitempty"`
	Warnings []proxmox.UPID  `json:"warnings,omitempty"`
	Blocked  []blockedJSON   `json:"blocked"`
}

// JSON writes the plan and what became of it, for programs.
func (r Result) JSON(w io.Writer) error {
	doc := resultJSON{
		Version: JSONVersion, Kind: "result", Status: r.Status(), Plan: r.Plan.document(),
		Containers: []outcomeJSON{}, Templates: []outcomeJSON{}, BackupJobs: []outcomeJSON{},
		HostMounts: []outcomeJSON{}, Snippets: []outcomeJSON{}, Running: []proxmox.UPID{},
	}
	if o := r.Outcome; o != nil {
		doc.Passes, doc.Interrupt = o.Passes, o.Interrupted
		doc.Running = append(doc.Running, o.Running...)
		for _, c := range o.All() {
			to := &doc.Containers
			switch c.Kind {
			case plan.TemplateKind:
				to = &doc.Templates
			case plan.JobKind:
				to = &doc.BackupJobs
			case plan.HostMountKind:
				to = &doc.HostMounts
			case plan.SnippetKind:
				to = &doc.Snippets
			}
			*to = append(*to, outcomeOf(c))
		}
	}
	return writeJSON(w, doc)
}

func outcomeOf(c reconcile.Container) outcomeJSON {
	out := outcomeJSON{
		ID: c.Ref.ID, Name: c.Name, Node: c.Ref.Node, State: c.State, Done: verbs(c.Done), NotDone: verbs(c.NotDone),
		Log: c.Log, Blocked: []blockedJSON{},
	}
	if c.Err != nil {
		out.Error = c.Err.Error()
	}
	for _, t := range c.Warnings {
		out.Warnings = append(out.Warnings, t.UPID)
	}
	for _, b := range c.Blocked {
		out.Blocked = append(out.Blocked, blockedOf(b))
	}
	return out
}

func verbs(steps []plan.Step) []string {
	out := []string{}
	for _, s := range steps {
		out = append(out, s.Op.Verb())
	}
	return out
}
