package app

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile/live"
)

// allowDisk is the flag that consents to the use of a failing disk.
const allowDisk = "allow-failing-disk"

func allowDiskFlag(cmd *cobra.Command, into *[]string) {
	cmd.Flags().StringArrayVar(into, allowDisk, nil, "put new volumes and snapshots on a `disk` though it is failing, as in pve1:sda; may be repeated")
}

// disks reads disks of the session's cluster.
func (ses *session) disks() *live.Disks {
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
