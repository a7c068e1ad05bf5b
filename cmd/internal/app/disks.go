package app

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/live"
)

// allowDisk is the flag that consents to the use of a failing disk.
const allowDisk = "allow-failing-disk"

func allowDiskFlag(cmd *cobra.Command, into *[]string) {
	cmd.Flags().StringArrayVar(into, allowDisk, nil, "put new volumes and snapshots on a `disk` though it is failing, as in pve1:sda; may be repeated")
}

// diskAge is how old what an agent knows of disks may be: asking a disk wakes it.
const diskAge = time.Hour

// shareDisks has all that reads disks in this session share their readings, which are used again for a while, and
// returns what reads them all.
func (ses *session) shareDisks() func(context.Context) []*health.Node {
	ses.shared = ses.disks()
	ses.shared.MaxAge = diskAge
	var last []*health.Node
	var read time.Time
	return func(ctx context.Context) []*health.Node {
		if last != nil && time.Since(read) < diskAge {
			return last
		}
		nodes, err := ses.client.Nodes(ctx)
		if err != nil { // the pass has said so
			return last
		}
		online := map[string]bool{}
		for _, n := range nodes {
			online[n.Name] = n.Online()
		}
		last, read = ses.lookAtDisks(ctx, online)(), time.Now()
		return last
	}
}

// disks reads disks of the session's cluster.
func (ses *session) disks() *live.Disks {
	if ses.shared != nil {
		return ses.shared
	}
	d := &live.Disks{Client: ses.client, Limits: ses.config.Disks}
	if ses.root != nil {
		d.Root = ses.root // and not an interface that holds a nil
	}
	return d
}

// lookAtDisks reads all that can be known of the disks and sensors of nodes, side by side, in the order of their names.
// It ends in time, whatever the disks do.
func (ses *session) lookAtDisks(ctx context.Context, online map[string]bool) func() []*health.Node {
	d := ses.disks()
	var names []string
	for _, node := range slices.Sorted(maps.Keys(online)) {
		if online[node] {
			names = append(names, node)
		}
	}
	out := make([]*health.Node, len(names))
	var wg sync.WaitGroup
	for i, node := range names {
		wg.Go(func() { out[i] = d.Look(ctx, node) })
	}
	return func() []*health.Node { wg.Wait(); return out }
}

// backupDisks are what restores and drills look at: the disks of this session, and those that are agreed to.
func (ses *session) backupDisks(allow []string) backup.Disks {
	return backup.Disks{Check: ses.disks().Check, Allow: slices.Concat(allow, ses.config.AllowFailingDisks)}
}
