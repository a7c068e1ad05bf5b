package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
)

// A ContainerState is a container on its two axes: whether it is what the spec says, and whether it is well.
type ContainerState struct {
	ID      proxmox.VMID `json:"id"`
	Name    string       `json:"name"`
	Node    string       `json:"node,omitempty"`
	Sync    Sync         `json:"sync"`
	Healthy bool         `json:"healthy"`
	Power   string       `json:"power"` // "running", "stopped" or "missing"
	// Uptime is in seconds in JSON.
	Uptime  time.Duration `json:"-"`
	Seconds int64         `json:"uptime"`
	Lock    string        `json:"lock,omitempty"`
	// Differs and Restart name what differs, and what waits for a restart.
	Differs []string `json:"differs"`
	Restart []string `json:"pendingRestart"`
	// Problems say why it is not healthy.
	Problems []string `json:"problems"`
	// Snapshots is how it stands with its snapshot policy; nil: it has none, or is not there.
	Snapshots *SnapshotState `json:"snapshots,omitempty"`
	// Backup is whether its backups are as new as the spec's jobs promise, in words; empty: no job is for it.
	Backup string `json:"backup,omitempty"`
	// Drill is what came of the last drill of a backup, in words; empty: there was none.
	Drill string `json:"backupDrill,omitempty"`
}

// Sync is the first axis.
type Sync string

// The values of Sync.
const (
	Synced    Sync = "synced"
	OutOfSync Sync = "out of sync"
	Unclaimed Sync = "unclaimed" // carries the owner's tag and is not in the spec
	// An agent tells two more: SyncBlocked needs a person, Suspended is left alone for now.
	SyncBlocked Sync = "blocked"
	Suspended   Sync = "suspended"
)

// A ClusterState is that of all containers that a spec declares or its owner's tag marks.
type ClusterState struct {
	Version    int              `json:"version"`
	Kind       string           `json:"kind"`
	Cluster    string           `json:"cluster"`
	Spec       Revision         `json:"spec"`
	Status     Status           `json:"status"`
	Containers []ContainerState `json:"containers"`
	// Others are the templates and backup jobs that are not as they shall be: "backup job weekly".
	Others []string `json:"others"`
	// Nodes are the disks and sensors of the nodes that are online, as they were found At.
	Nodes []*health.Node `json:"nodes"`
	At    time.Time      `json:"at"`
}

// JSON writes the state for programs.
func (c ClusterState) JSON(w io.Writer) error {
	c.Version, c.Kind = JSONVersion, "status"
	if c.Containers == nil {
		c.Containers = []ContainerState{}
	}
	if c.Others == nil {
		c.Others = []string{}
	}
	if c.Nodes == nil {
		c.Nodes = []*health.Node{}
	}
	c.At = c.At.UTC().Truncate(time.Second)
	return writeJSON(w, c)
}

// Text writes the state for people.
func (c ClusterState) Text(w io.Writer, s Style) error {
	out := &printer{w: w}
	out.line("%s", s.paint(bold, cut(c.header(), s.width())))
	if len(c.Containers) > 0 {
		out.line("")
		c.table(out, s)
	}
	if len(c.Others) > 0 {
		out.line("")
		for _, o := range c.Others {
			out.line("  %s  %s", cut(Clean(o), s.width()-2-gap-len(OutOfSync)), s.paint(yellow, string(OutOfSync)))
		}
	}
	diskTables(out, s, c.Nodes, c.At)
	return out.err
}

func (c ClusterState) header() string {
	parts := []string{"cluster " + Clean(c.Cluster)}
	if c.Spec.Hash != "" {
		parts = append(parts, "spec "+Clean(c.Spec.String()))
	}
	synced, well := 0, 0
	for _, x := range c.Containers {
		if x.Sync == Synced {
			synced++
		}
		if x.Healthy {
			well++
		}
	}
	return strings.Join(append(parts, count(len(c.Containers), "container"), fmt.Sprintf("%d synced", synced), fmt.Sprintf("%d healthy", well)), " · ")
}

func (c ClusterState) table(out *printer, s Style) {
	rows := make([][]string, len(c.Containers))
	widths := []int{0, 0, 0, 0, 0}
	for i, x := range c.Containers {
		health := "healthy"
		if !x.Healthy {
			health = "degraded"
		}
		rows[i] = []string{fmt.Sprintf("%d %s", x.ID, Clean(x.Name)), Clean(x.Node), string(x.Sync), health, x.power()}
		for n, cell := range rows[i] {
			widths[n] = max(widths[n], cells(cell))
		}
	}
	widths[0] = min(widths[0], s.width()/3)
	for i, x := range c.Containers {
		line := "  "
		for n, cell := range rows[i] {
			cell = pad(cut(cell, widths[n]), widths[n])
			line += s.paint(x.cellColour(n), cell) + "  "
		}
		out.line("%s", strings.TrimRight(line, " "))
		for _, note := range x.notes() {
			for _, l := range wrap(note, s.width()-6) {
				out.line("      %s", s.paint(dim, l))
			}
		}
	}
}

func (x ContainerState) cellColour(column int) Tone {
	switch {
	case column == 2 && x.Sync == Synced, column == 3 && x.Healthy:
		return green
	case column == 2:
		return yellow
	case column == 3:
		return red
	}
	return plain
}

func (x ContainerState) power() string {
	if x.Uptime > 0 {
		return x.Power + " " + uptime(x.Uptime)
	}
	return x.Power
}

func (x ContainerState) notes() []string {
	var out []string
	if x.Lock != "" {
		out = append(out, "locked: "+Clean(x.Lock))
	}
	for _, p := range x.Problems {
		out = append(out, Clean(p))
	}
	if len(x.Differs) > 0 {
		out = append(out, "differs: "+Clean(strings.Join(x.Differs, ", ")))
	}
	if len(x.Restart) > 0 {
		out = append(out, "pending until it restarts: "+Clean(strings.Join(x.Restart, ", ")))
	}
	if x.Snapshots != nil {
		out = append(out, Clean(x.Snapshots.Text))
	}
	if x.Backup != "" {
		out = append(out, Clean(x.Backup))
	}
	if x.Drill != "" {
		out = append(out, Clean(x.Drill))
	}
	return out
}

// uptime is a time in its two largest units.
func uptime(d time.Duration) string {
	switch days := int(d.Hours()) / 24; {
	case days > 0:
		return fmt.Sprintf("%dd %dh", days, int(d.Hours())%24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}
