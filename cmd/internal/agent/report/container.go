package report

import (
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/backup"
)

// Health is whether something is well.
type Health string

// The values of Health.
const (
	Healthy       Health = "healthy"
	Degraded      Health = "degraded"
	UnknownHealth Health = "unknown"
)

// A Container is a container on its two axes, and what there is to know about each.
type Container struct {
	view.ContainerState
	// Unknown says why it is not known whether the container is well: "pve2 does not answer". It is empty where
	// that is known.
	Unknown string `json:"unknown,omitempty"`
	// Mode is what the agent does about the container: "reconcile", "watch only", "ensure exists", "off".
	Mode string `json:"mode"`
	// Differences are what differs and, of each, what mending it costs.
	Differences []Difference `json:"differences"`
	// Reasons say why it is blocked as a whole, and what a person can do.
	Reasons []string `json:"reasons,omitempty"`
	// RestartWhen says when what waits for a restart will be in force: "in the window sun 03:00".
	RestartWhen string    `json:"restartWhen,omitempty"`
	Restarts    time.Time `json:"restarts,omitzero"` // when that is, where it is known
	Last        *Change   `json:"lastChange,omitempty"`
	Snapshots   *Copies   `json:"snapshots,omitempty"` // nil: no policy and none there
	Backups     *Copies   `json:"backups,omitempty"`   // as snapshots
	// Drill is the last proof that a backup can be restored, or that it cannot; nil: there was none.
	Drill     *backup.Drill `json:"drill,omitempty"`
	Suspended *Suspension   `json:"suspended,omitempty"`
	Approval  string        `json:"approval,omitempty"` // hash of the plan that waits for a yes
	ByHand    []Hand        `json:"byHand,omitempty"`   // who touched it since, newest first, as far as the node tells
}

// Health is the second axis.
func (c Container) Health() Health {
	switch {
	case c.Unknown != "":
		return UnknownHealth
	case c.Healthy:
		return Healthy
	}
	return Degraded
}

// A Difference is something that is not as the spec says.
type Difference struct {
	view.Row
	By *Hand `json:"by,omitempty"` // who made it so, where that is known
}

// A Hand is somebody who did something on the node and was not the agent.
type Hand struct {
	User string    `json:"user"` // "anna@pam"
	Time time.Time `json:"time"`
	What string    `json:"what"` // "vzreboot", "set"
	Task string    `json:"task,omitempty"`
}

// A Change is what was last done to a container by the agent.
type Change struct {
	Time   time.Time `json:"time"`
	Run    uint64    `json:"run,omitempty"` // in the history
	Commit string    `json:"commit"`        // hash, whole
	Author string    `json:"author,omitempty"`
	What   string    `json:"what"`   // "set cores, memory; restart"
	Result string    `json:"result"` // as the state of a container in an outcome: "changed", "failed"
}

// Copies are the snapshots or the backups of a container.
type Copies struct {
	Policy string    `json:"policy,omitempty"` // its name; empty where none is declared
	List   []Copy    `json:"list"`             // oldest first
	Last   time.Time `json:"last,omitzero"`    // when the last good one was made; zero: none is there
	MaxAge Duration  `json:"maxAge,omitempty"` // how old that may be; 0: no limit
	Next   time.Time `json:"next,omitzero"`    // when the next one is due
	Error  string    `json:"error,omitempty"`  // why the last one was not made
}

// Age is how old the last good one is; 0 where there is none.
func (c Copies) Age(now time.Time) time.Duration {
	if c.Last.IsZero() {
		return 0
	}
	return max(0, now.Sub(c.Last))
}

// TooOld reports whether a limit is exceeded, which it is too where there is none at all.
func (c Copies) TooOld(now time.Time) bool {
	return c.MaxAge > 0 && (c.Last.IsZero() || c.Age(now) > time.Duration(c.MaxAge))
}

// A Copy is one snapshot or backup.
type Copy struct {
	Name string    `json:"name"` // of the snapshot, or the volume of the backup
	Time time.Time `json:"time"`
	Kept string    `json:"kept,omitempty"` // why it is kept: "daily 3 of 7"
	Own  bool      `json:"own"`            // the agent made it, and may drop it
}

// Fill puts what a plan shows of the container into its report: whether it is in sync, what differs, and why it is
// blocked. What is suspended stays so.
func (c *Container) Fill(p view.Sheet) {
	i := slices.IndexFunc(p.Blocks, func(b view.Block) bool { return b.Subject.ID == c.ID && c.ID != 0 })
	if i < 0 {
		return
	}
	b := p.Blocks[i]
	for _, r := range b.Rows {
		c.Differences = append(c.Differences, Difference{Row: r})
		c.Differs = append(c.Differs, strings.TrimSpace(r.Label))
	}
	if b.Reason != "" {
		c.Reasons = append([]string{b.Reason}, b.Ways...)
	}
	switch blocked := b.Reason != "" || slices.ContainsFunc(b.Rows, isBlocked); {
	case c.Suspended != nil:
		c.Sync = view.Suspended
	case blocked:
		c.Sync = view.SyncBlocked
	default:
		c.Sync = view.OutOfSync
	}
}

func isBlocked(r view.Row) bool { return r.Mark == "!" && r.Effect == "blocked" }

// Container returns the container with an id, or nil.
func (r *Report) Container(id proxmox.VMID) *Container {
	for i := range r.Containers {
		if r.Containers[i].ID == id {
			return &r.Containers[i]
		}
	}
	return nil
}
