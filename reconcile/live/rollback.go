package live

import (
	"context"
	"errors"
	"fmt"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// FillRollback reads what a rollback needs to know besides: the snapshots of the container and what they hold, the
// storages of its node, what HA manages, and what the token may do. Of a container that is not there it reads nothing.
func (o *Observer) FillRollback(ctx context.Context, have *plan.Live, r plan.Rollback) error {
	c := have.Containers[r.ID]
	if c == nil {
		return nil
	}
	n := plan.Needs{
		Guests: true, Permissions: true, Storages: map[string]bool{c.Ref.Node: true}, Snapshots: map[proxmox.VMID]bool{r.ID: true},
	}
	if _, err := o.Fill(ctx, have, n); err != nil {
		return err
	}
	c.Held = map[string]proxmox.Values{}
	for _, s := range c.Snapshots {
		held, err := o.Client.SnapshotConfig(ctx, c.Ref, s.Name)
		if errors.Is(err, proxmox.ErrNotFound) { // deleted since the listing
			continue
		}
		if err != nil {
			return fmt.Errorf("read snapshot %s of %s: %w", s.Name, c.Ref, err)
		}
		c.Held[s.Name] = held.Values
	}
	return nil
}
