package view

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
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
		case c.Stuck != nil, c.Overdue, len(c.Unfit) > 0, v.DryRun && !v.All && (c.Due || len(c.Decision.Drops()) > 0):
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
	if c.Drops.Name != "" && v.All {
		l.hanging(out, "  "+Clean(v.goesNext(c)), rowIndent)
	}
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
	if why, ways := plan.NoSnapshot(c.Unfit); why != "" && c.Err == nil {
		l.hanging(out, "! blocked: "+Clean(why), rowIndent)
		for _, w := range ways {
			l.hanging(out, "  "+way(w), rowIndent)
		}
	}
	if c.Err != nil {
		l.hanging(out, "! "+Clean(c.Err.Error()), rowIndent)
	}
	if c.Refused != nil && v.DryRun {
		l.hanging(out, "! "+Clean(c.Refused.Error()), rowIndent)
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
		parts = append(parts, ageOf(c, v.At))
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

// goesNext says which snapshot is dropped next, when and why.
func (v Snapshots) goesNext(c snapshot.Container) string {
	return fmt.Sprintf("goes next: %s, %s: %s", c.Drops.Name, c.Drops.At.In(v.Zone).Format("2006-01-02 15:04"), c.Drops.Reason)
}

// ageOf is how old the newest snapshot is, of how old it may get.
func ageOf(c snapshot.Container, now time.Time) string {
	text := "newest " + about(now.Sub(c.Newest)) + " old"
	if !c.Limit.IsZero() {
		text += " of " + strings.TrimPrefix(about(c.Limit.Sub(c.Newest)), "about ")
	}
	return text
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
	Limit     time.Time             `json:"limit,omitzero"`
	Drops     *nextDropJSON         `json:"dropsNext,omitempty"`
	Missed    int                   `json:"missed"`
	Taken     string                `json:"taken,omitempty"`
	Dropped   []string              `json:"dropped"`
	Refusals  []string              `json:"refusals"`
	Refused   string                `json:"refused,omitempty"`
	Error     string                `json:"error,omitempty"`
	Runbook   []string              `json:"runbook,omitempty"`
	Blocked   string                `json:"blocked,omitempty"`
	Ways      []string              `json:"ways,omitempty"`
	Snapshots []snapshotVerdictJSON `json:"snapshots"`
}

type nextDropJSON struct {
	Name   string    `json:"name"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// dropOf is the snapshot that goes next; nil where none does.
func dropOf(d retention.NextDrop) *nextDropJSON {
	if d.Name == "" {
		return nil
	}
	return &nextDropJSON{d.Name, d.At.UTC(), d.Reason}
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
			Overdue: c.Overdue, Limit: c.Limit.UTC(), Drops: dropOf(c.Drops), Missed: c.Missed, Taken: c.Taken, Dropped: append([]string{}, c.Dropped...), Refusals: []string{},
			Snapshots: []snapshotVerdictJSON{},
		}
		for _, r := range c.Decision.Refusals {
			x.Refusals = append(x.Refusals, c.Decision.Refused(r))
		}
		x.Blocked, x.Ways = plan.NoSnapshot(c.Unfit)
		if c.Err != nil {
			x.Error = c.Err.Error()
		}
		if c.Refused != nil {
			x.Refused = c.Refused.Error()
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

// A SnapshotState is what a status tells of the snapshots of a container.
type SnapshotState struct {
	Policy  string        `json:"policy"`
	Newest  time.Time     `json:"newest,omitzero"` // of the last good one
	Limit   time.Time     `json:"limit,omitzero"`  // until when it is young enough
	Overdue bool          `json:"overdue"`
	Next    time.Time     `json:"next,omitzero"`
	Due     bool          `json:"due"`
	Drops   *nextDropJSON `json:"dropsNext,omitempty"`
	Blocked string        `json:"blocked,omitempty"` // why none can be taken
	Error   string        `json:"error,omitempty"`   // why it is not known, or that the container is stuck
	Text    string        `json:"-"`
}

// SnapshotStates are those of a dry run, by VMID.
func (v Snapshots) SnapshotStates() map[proxmox.VMID]*SnapshotState {
	out := map[proxmox.VMID]*SnapshotState{}
	for _, c := range v.Containers {
		s := &SnapshotState{
			Policy: c.Policy, Newest: c.Newest.UTC(), Limit: c.Limit.UTC(), Overdue: c.Overdue, Next: c.Next.UTC(), Due: c.Due, Drops: dropOf(c.Drops),
		}
		_, s.Text = v.state(c)
		s.Text = "snapshots: " + c.Policy + ", " + s.Text
		if c.Fallback != "" {
			s.Text += "; backups on " + c.Fallback + " in place of snapshots"
		}
		if c.Drops.Name != "" {
			s.Text += "; " + v.goesNext(c)
		}
		if s.Blocked, _ = plan.NoSnapshot(c.Unfit); s.Blocked != "" {
			s.Text += "; blocked: " + s.Blocked
		}
		if c.Err != nil {
			s.Error = c.Err.Error()
			s.Text += "; " + s.Error
		}
		out[c.Ref.ID] = s
	}
	return out
}
