package view

import (
	"fmt"
	"io"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/plan"
)

// A Restore is the plan of a restore, and what came of it.
type Restore struct {
	backup.Restoration
	At   time.Time
	Zone *time.Location
	// Ran says that it was carried out: so many of its steps, and why not all.
	Ran      bool
	Done     int
	Warnings []proxmox.TaskStatus
	Err      error
}

// Status is what the exit code says.
func (v Restore) Status() Status {
	switch {
	case v.Err != nil:
		return Failed
	case v.Blocked != "":
		return Blocked
	case !v.Ran && len(v.Steps) > 0:
		return Pending
	}
	return InSync
}

// Text writes the plan or, where it was carried out, what came of it.
func (v Restore) Text(w io.Writer, s Style) error {
	out, l := &printer{w: w}, layout{Style: s}
	if v.Ran {
		v.outcome(out, l)
		return out.err
	}
	a := v.Wish.Archive
	head := fmt.Sprintf("restore %d from %s, made %s", v.Wish.Of, Clean(a.ID), a.Created.In(v.Zone).Format("2006-01-02 15:04"))
	for _, line := range wrap(head, s.width()) {
		out.line("%s", s.paint(bold, line))
	}
	out.line("")
	if v.Blocked != "" {
		l.hanging(out, s.paint(red, "! ")+"blocked: "+Clean(v.Blocked), 2)
		for _, way := range v.Ways {
			l.hanging(out, Clean(way), 4)
		}
		return out.err
	}
	steps(out, l, v.Steps)
	if len(v.Steps) == 0 {
		out.line("  There is nothing left to do.")
	}
	out.line("")
	l.hanging(out, "the backup "+Clean(v.Wish.Content.Covers().String()), 2)
	for _, note := range v.Notes {
		l.hanging(out, Clean(note), 2)
	}
	if len(v.Steps) == 0 {
		v.after(out, l)
	}
	return out.err
}

// steps prints steps, each with its number and container.
func steps(out *printer, l layout, list []backup.Step) {
	for i, step := range list {
		text := step.Op.Verb()
		if op, ok := step.Op.(plan.SetConfig); ok {
			for _, key := range op.Set.Keys() {
				if key == "tags" || key == "onboot" || key == "protection" {
					text += fmt.Sprintf(", %s %s", key, op.Set[key])
				}
			}
		}
		l.hanging(out, fmt.Sprintf("%d. %d %s: %s (%s)", i+1, step.Ref.ID, Clean(step.Name), Clean(text), Clean(step.Why)), 2)
	}
}

func (v Restore) after(out *printer, l layout) {
	if len(v.After) == 0 {
		return
	}
	out.line("")
	out.line("Then:")
	for _, text := range v.After {
		l.hanging(out, Clean(text), 2)
	}
}

func (v Restore) outcome(out *printer, l layout) {
	out.line("")
	for _, t := range v.Warnings {
		l.hanging(out, fmt.Sprintf("%s of task %s; its log shows them", count(t.Warnings(), "warning"), t.UPID), 2)
	}
	if v.Err == nil {
		out.line("%s", l.paint(green, fmt.Sprintf("Restored %d to %d: %s done.", v.Wish.Of, v.Wish.To.ID, count(v.Done, "step"))))
		v.after(out, l)
		return
	}
	l.hanging(out, l.paint(red, "! ")+Clean(reason(v.Err)), 0)
	for _, text := range v.Resume() {
		l.hanging(out, Clean(text), 2)
	}
}

// JSON writes it for programs.
func (v Restore) JSON(w io.Writer) error {
	type step struct {
		ID   proxmox.VMID `json:"id"`
		Node string       `json:"node"`
		Verb string       `json:"verb"`
		Why  string       `json:"why"`
	}
	doc := struct {
		Version int          `json:"version"`
		Kind    string       `json:"kind"`
		Status  Status       `json:"status"`
		Of      proxmox.VMID `json:"of"`
		Archive string       `json:"archive"`
		To      proxmox.VMID `json:"to"`
		Node    string       `json:"node"`
		Swap    bool         `json:"swap"`
		Steps   []step       `json:"steps"`
		Ran     bool         `json:"ran"`
		Done    int          `json:"done"`
		Notes   []string     `json:"notes"`
		After   []string     `json:"after"`
		Blocked string       `json:"blocked,omitempty"`
		Ways    []string     `json:"ways,omitempty"`
		Error   string       `json:"error,omitempty"`
		Resume  []string     `json:"resume,omitempty"`
	}{
		Version: JSONVersion, Kind: "restore", Status: v.Status(), Of: v.Wish.Of, Archive: v.Wish.Archive.ID, To: v.Wish.To.ID, Node: v.Wish.To.Node,
		Swap: v.Wish.Swap, Steps: []step{}, Ran: v.Ran, Done: v.Done, Notes: append([]string{}, v.Notes...), After: append([]string{}, v.After...),
		Blocked: v.Blocked, Ways: v.Ways,
	}
	for _, x := range v.Steps {
		doc.Steps = append(doc.Steps, step{x.Ref.ID, x.Ref.Node, x.Op.Verb(), x.Why})
	}
	if v.Err != nil {
		doc.Error, doc.Resume = reason(v.Err), v.Resume()
	}
	return writeJSON(w, doc)
}
