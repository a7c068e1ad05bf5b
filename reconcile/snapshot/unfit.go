package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// unfit finds the mounts for which Proxmox takes no snapshot, as the spec has them. The storages of a node are read once.
func (r *run) unfit(ctx context.Context, s subject) ([]plan.Unfit, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	known, read := r.storages[s.ref.Node]
	if !read {
		list, err := r.Client.Storages(ctx, s.ref.Node)
		if err != nil {
			return nil, fmt.Errorf("list storages of node %s: %w", s.ref.Node, err)
		}
		known = map[string]proxmox.Storage{}
		for _, x := range list {
			known[x.Name] = x
		}
		r.storages[s.ref.Node] = known
	}
	return plan.UnfitMounts(known, r.want.Settings(s.want)), nil
}

// refused says why no snapshot can be taken of a container, by the test that Proxmox makes itself before it takes one. It is
// nil where one can be, and where that could not be asked.
func (r *run) refused(ctx context.Context, s subject, c *Container) error {
	ok, err := r.Client.HasFeature(ctx, s.ref, proxmox.FeatureSnapshot)
	if ok || err != nil {
		return nil
	}
	why := "Proxmox takes no snapshot of it as it is now"
	var ways []string
	if c.Unfit, err = r.unfit(ctx, s); err == nil && len(c.Unfit) > 0 {
		why, ways = plan.NoSnapshot(c.Unfit)
	}
	if len(ways) > 0 {
		why += " (" + strings.Join(ways, "; ") + ")"
	}
	return errors.Join(fmt.Errorf("policy %s cannot be carried out for container %d: %s", s.policy.Name, s.ref.ID, why), err)
}

// doubtful reports whether the spec alone says that no snapshot can be taken, so that Proxmox is asked before.
func (r *run) doubtful(s subject) bool {
	return len(plan.UnfitMounts(nil, r.want.Settings(s.want))) > 0
}
