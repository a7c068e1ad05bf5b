package view

import (
	"io"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/backup"
)

// A Drill is what came of a drill.
type Drill struct {
	backup.Drill
	ID proxmox.VMID
}

// Status is what the exit code says.
func (v Drill) Status() Status {
	if v.Failed != "" {
		return Pending
	}
	return InSync
}

// Text writes it for people.
func (v Drill) Text(w io.Writer, s Style) error {
	out := &printer{w: w}
	if v.Failed != "" {
		layout{Style: s}.hanging(out, s.paint(red, "! ")+"the drill of "+v.ID.String()+" failed with "+Clean(v.Archive)+": "+Clean(v.Failed), 0)
		return out.err
	}
	out.line("%s", s.paint(green, "Drill of "+v.ID.String()+": "+Clean(v.Archive)+" was restored and ran, in "+v.Took.Round(time.Second).String()+"."))
	return out.err
}

// JSON writes it for programs.
func (v Drill) JSON(w io.Writer) error {
	return writeJSON(w, struct {
		Version int          `json:"version"`
		Kind    string       `json:"kind"`
		Status  Status       `json:"status"`
		ID      proxmox.VMID `json:"id"`
		Archive string       `json:"archive"`
		Made    time.Time    `json:"made"`
		At      time.Time    `json:"at"`
		Seconds float64      `json:"seconds"`
		Failed  string       `json:"failed,omitempty"`
	}{JSONVersion, "drill", v.Status(), v.ID, v.Archive, v.Made.UTC(), v.At.UTC(), v.Took.Seconds(), v.Failed})
}
