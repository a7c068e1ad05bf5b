package live

import (
	"context"
	"errors"
	"fmt"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// besides reads what lies beside the containers, and only what the spec is about. It changes while a plan is
// carried out, so that it is read for each plan anew.
func (o *Observer) besides(ctx context.Context, want *spec.State, have *plan.Live) error {
	if len(want.Templates) > 0 {
		o.templates, have.Templates = nil, nil
	}
	if err := o.readNodes(ctx, want, have); err != nil {
		return err
	}
	if want.ManagesPools() {
		if err := o.readGuests(ctx, have); err != nil {
			return err
		}
		have.Guests, have.HA, have.PoolOf = o.guests, o.ha, o.poolOf
	}
	if !want.ManagesJobs {
		return nil
	}
	list, err := o.Client.BackupJobs(ctx)
	switch {
	case errors.Is(err, proxmox.ErrForbidden): // this concerns the jobs alone
		have.JobsBroken = fmt.Errorf("list backup jobs: %w", err)
		return nil
	case err != nil:
		return fmt.Errorf("list backup jobs: %w", err)
	}
	have.Jobs = map[string]proxmox.BackupJob{}
	for _, j := range list {
		have.Jobs[j.ID] = j
	}
	return nil
}

func (o *Observer) readPools(ctx context.Context) error {
	list, err := o.Client.Pools(ctx)
	if err != nil {
		return fmt.Errorf("list pools: %w", err)
	}
	o.pools = map[string]bool{}
	for _, p := range list {
		o.pools[p.Name] = true
	}
	return nil
}

func (o *Observer) readAppliances(ctx context.Context, node string) error {
	if o.appliances[node] != nil {
		return nil
	}
	list, err := o.Client.Appliances(ctx, node)
	if err != nil {
		return fmt.Errorf("list templates that node %s may download: %w", node, err)
	}
	if o.appliances == nil {
		o.appliances = map[string][]proxmox.Appliance{}
	}
	o.appliances[node] = append([]proxmox.Appliance{}, list...) // read, if only to find it empty
	return nil
}
