// Package snapshot carries out the snapshot policies of containers: it takes the snapshots that are due, and drops
// those that retention gives up.
//
// What is its own and what may go is decided by package retention. Here stands how it is done so that nothing is lost
// and no container is left stuck in silence: a snapshot is dropped only after the one before it was taken and is listed
// as complete; of a container one at a time, and before each the snapshots are listed anew; nothing is ever forced.
// Where a call fails in a way that leaves the container locked, or where it was found so, the state is named and no
// further call is sent to that container.
package snapshot

import (
	"context"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/reconcile/retention"
)

// A Report is what was found and done.
type Report struct {
	At         time.Time
	Containers []Container // those that have a policy, by VMID
}

// Worst is the first error of a container, or its state where it is stuck; nil where all is well.
func (r Report) Worst() error {
	for _, c := range r.Containers {
		if c.Err != nil {
			return c.Err
		}
	}
	return nil
}

// A Container is one container with a policy, and what became of its snapshots.
type Container struct {
	Ref    proxmox.Ref
	Name   string
	Policy string
	// Fallback is the storage of the backups that it has in place of snapshots; empty: it has snapshots.
	Fallback string
	// Volumes are those backups, by the names that they have in Decision.
	Volumes map[string]string
	// Next is when the next snapshot is due, as seen before anything was done; zero where none ever is.
	Next   time.Time
	Due    bool // it was due
	Missed int  // how many runs before it were missed and are not made up for
	// Decision is what retention says of the snapshots, after anything was taken; empty where they were not listed.
	Decision retention.Decision
	Newest   time.Time // of the newest good snapshot of the policy; zero where there is none
	Overdue  bool      // it is older than the policy promises
	Limit    time.Time // until when the newest one is young enough; zero where there is none, or no limit
	// Drops is the snapshot that goes next, if all goes well; its name is empty where none does.
	Drops   retention.NextDrop
	Taken   string   // the snapshot that was taken; empty where none was
	Dropped []string // the snapshots that were dropped, in order
	// Refused is why none is taken though one is due; nil where nothing is in the way. Where anything is done, it stands
	// in Err, too.
	Refused *FailingDisk
	// Unfit are the mounts for which Proxmox takes no snapshot, as far as they were looked at: in a dry run, and where none
	// could be taken.
	Unfit []plan.Unfit
	Stuck *Stuck // why nothing is done to it until a person has looked; nil where it is not so
	// Err is why not all was done that was due; nil where all is well. Of a stuck container it is a [*Stuck].
	Err error
}

// A Guest runs commands in containers, for the hooks of policies. Only root on the node can.
type Guest interface {
	// Exec runs a program with its arguments in a running container. An exit status other than 0 is no error.
	Exec(ctx context.Context, r proxmox.Ref, argv []string, timeout time.Duration) (exit int, output []byte, err error)
}

// An Event is something that happens while policies are carried out.
type Event struct {
	Ref      proxmox.Ref
	Name     string
	Verb     string // "take" or "drop"
	Snapshot string
	Kind     EventKind
	Task     proxmox.UPID  // from TaskStarted on
	Reason   string        // for Waiting
	Since    time.Duration // since it began
	Err      error         // for Ended: why it did not do what it should
}

// An EventKind says what happens.
type EventKind int

// The kinds of events.
const (
	Started EventKind = iota
	TaskStarted
	Waiting // the container is locked or busy
	Ended
)
