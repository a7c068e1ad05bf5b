package view

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/reconcile/snapshot"
)

// Snapshots are the snapshots of containers with a policy, and what was or would be done about them.
type Snapshots struct {
	snapshot.Report
	Cluster string
	Spec    Revision
	All     bool // show each snapshot, and not only those that something happens to
	DryRun  bool // nothing was done
	Zone    *time.Location
}

// Status is what the exit code says: pending where something is due, overdue or stuck, failed where not all was done.
func (v Snapshots) Status() Status {
	status := InSync
	for _, c := range v.Containers {
		switch {
		case c.Err != nil && c.Stuck == nil:
			return Failed
		case c.Stuck != nil, c.Overdue, v.DryRun && !v.All && (c.Due || len(c.Decision.Drops()) > 0):
			status = Pending
		}
	}
	return status
}

// Text writes it for people.
func (v Snapshots) Text(w io.Writer, s Style) error {
	out := &printer{w: w}
	head := "cluster " + Clean(v.Cluster)
	if v.Spec.Hash != "" {
		head += " · spec " + Clean(v.Spec.String())
	}
	out.line("%s", s.paint(bold, cut(head+" · "+count(len(v.Containers), "container")+" with a snapshot policy", s.width())))
	for _, c := range v.Containers {
		out.line("")
		v.container(out, s, c)
	}
	if len(v.Containers) == 0 {
		out.line("")
		out.line("No such container is there and carries the owner's tag.")
	}
	return out.err
}

func (v Snapshots) container(out *printer, s Style, c snapshot.Container) {
	l := layout{Style: s}
	tone, state := v.state(c)
	out.line("  %s  %s", s.paint(bold, fmt.Sprintf("%d %s", c.Ref.ID, Clean(c.Name))), s.paint(tone, Clean(c.Policy)+", "+state))
	if c.Fallback != "" {
		l.hanging(out, "backups on "+Clean(c.Fallback)+" in place of snapshots, which Proxmox cannot take of it", rowIndent)
	}
	for _, d := range c.Decision.Verdicts {
		v.verdict(out, l, c, d)
	}
	if c.Taken != "" {
		out.line("      %s %s", s.paint(green, "+"), "took "+c.Taken)
	}
	for _, name := range c.Dropped {
		out.line("      %s %s", s.paint(red, "-"), "dropped "+name)
	}
	for _, r := range c.Decision.Refusals {
		l.hanging(out, "! nothing is dropped: "+Clean(c.Decision.Refused(r)), rowIndent)
	}
	if c.Err != nil {
		l.hanging(out, "! "+Clean(c.Err.Error()), rowIndent)
	}
	if c.Stuck != nil {
		out.line("      as root on %s:", Clean(c.Ref.Node))
		for _, line := range c.Stuck.Runbook() {
			out.line("        %s", Clean(line))
		}
	}
}

// verdict is the line of a snapshot.
func (v Snapshots) verdict(out *printer, l layout, c snapshot.Container, d retention.Verdict) {
	mark, tone := " ", dim
	switch {
	case d.Action == retention.Drop && v.DryRun:
		mark, tone = "-", red
	case d.Action == retention.Later:
		mark, tone = "·", yellow
	case !v.All || d.Action == retention.Drop:
		return
	}
	when := "no time    "
	if !d.Time.IsZero() {
		when = d.Time.In(v.Zone).Format("2006-01-02 15:04")
	}
	text := fmt.Sprintf("%s  %s  %s: %s", when, Clean(cmp.Or(c.Volumes[d.Name], d.Name)), d.Action, Clean(c.Decision.Reason(d)))
	l.hanging(out, l.paint(tone, mark)+" "+text, rowIndent)
}

// state says how a container is, in words.
func (v Snapshots) state(c snapshot.Container) (Tone, string) {
	var parts []string
	tone := plain
	switch {
	case c.Stuck != nil:
		return red, "stuck"
	case c.Overdue:
		tone = red
		parts = append(parts, "overdue")
	}
	if !c.Newest.IsZero() {
		parts = append(parts, "newest "+about(v.At.Sub(c.Newest))+" old")
	} else {
		parts = append(parts, "none yet")
	}
	switch {
	case c.Due && v.DryRun:
		parts, tone = append(parts, "one is due now"), yellow
	case !c.Next.IsZero() && c.Next.After(v.At):
		parts = append(parts, "next "+c.Next.In(v.Zone).Format("2006-01-02 15:04 MST"))
	}
	if c.Missed > 0 {
		parts = append(parts, count(c.Missed, "run")+" missed")
	}
	return tone, strings.Join(parts, ", ")
}

type snapshotsJSON struct {
	Version    int                      `json:"version"`
	Kind       string                   `json:"kind"`
	Cluster    string                   `json:"cluster"`
	Spec       Revision                 `json:"spec"`
	Status     Status                   `json:"status"`
	At         time.Time                `json:"at"`
	Containers []snapshotsContainerJSON `json:"containers"`
}

type snapshotsContainerJSON struct {
	ID        proxmox.VMID          `json:"id"`
	Name      string                `json:"name"`
	Node      string                `json:"node"`
	Policy    string                `json:"policy"`
	Fallback  string                `json:"fallback,omitempty"`
	Newest    time.Time             `json:"newest,omitzero"`
	Next      time.Time             `json:"next,omitzero"`
	Due       bool                  `json:"due"`
	Overdue   bool                  `json:"overdue"`
	Missed    int                   `json:"missed"`
	Taken     string                `json:"taken,omitempty"`
	Dropped   []string              `json:"dropped"`
	Refusals  []string              `json:"refusals"`
	Error     string                `json:"error,omitempty"`
	Runbook   []string              `json:"runbook,omitempty"`
	Snapshots []snapshotVerdictJSON `json:"snapshots"`
}

type snapshotVerdictJSON struct {
	Name   string    `json:"name"`
	Time   time.Time `json:"time,omitzero"`
	Own    bool      `json:"own"`
	Action string    `json:"action"`
	Reason string    `json:"reason"`
}

// JSON writes it for programs.
func (v Snapshots) JSON(w io.Writer) error {
	doc := snapshotsJSON{
		Version: JSONVersion, Kind: "snapshots", Cluster: v.Cluster, Spec: v.Spec, Status: v.Status(), At: v.At.UTC(),
		Containers: []snapshotsContainerJSON{},
	}
	for _, c := range v.Containers {
		x := snapshotsContainerJSON{
			ID: c.Ref.ID, Name: c.Name, Node: c.Ref.Node, Policy: c.Policy, Fallback: c.Fallback, Newest: c.Newest.UTC(), Next: c.Next.UTC(), Due: c.Due,
			Overdue: c.Overdue, Missed: c.Missed, Taken: c.Taken, Dropped: append([]string{}, c.Dropped...), Refusals: []string{},
			Snapshots: []snapshotVerdictJSON{},
		}
		for _, r := range c.Decision.Refusals {
			x.Refusals = append(x.Refusals, c.Decision.Refused(r))
		}
		if c.Err != nil {
			x.Error = c.Err.Error()
		}
		if c.Stuck != nil {
			x.Runbook = c.Stuck.Runbook()
		}
		for _, d := range c.Decision.Verdicts {
			x.Snapshots = append(x.Snapshots, snapshotVerdictJSON{cmp.Or(c.Volumes[d.Name], d.Name), d.Time.UTC(), d.Own(), d.Action.String(), c.Decision.Reason(d)})
		}
		doc.Containers = append(doc.Containers, x)
	}
	return writeJSON(w, doc)
}
