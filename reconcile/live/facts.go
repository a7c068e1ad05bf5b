package live

import (
	"context"
	"fmt"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// Fill reads what a plan needs to know besides and puts it into the observation; more says whether anything
// was read, so that the plan must be computed again.
func (o *Observer) Fill(ctx context.Context, have *plan.Live, n plan.Needs) (more bool, err error) {
	if n.None() {
		return false, nil
	}
	if n.Guests {
		if err := o.readGuests(ctx, have); err != nil {
			return false, err
		}
	}
	for node := range n.Storages {
		if err := o.readStorages(ctx, node); err != nil {
			return false, err
		}
	}
	for node := range n.Templates {
		if err := o.readTemplates(ctx, node); err != nil {
			return false, err
		}
	}
	for shelf := range n.Volumes {
		if err := o.readVolumes(ctx, shelf); err != nil {
			return false, err
		}
	}
	for node := range n.Bridges {
		if err := o.readBridges(ctx, node); err != nil {
			return false, err
		}
	}
	if n.Permissions {
		if err := o.readPermissions(ctx); err != nil {
			return false, err
		}
	}
	for node := range n.Appliances {
		if err := o.readAppliances(ctx, node); err != nil {
			return false, err
		}
	}
	if n.Pools {
		if err := o.readPools(ctx); err != nil {
			return false, err
		}
	}
	o.checkDisks(ctx, n.Disks)
	for id := range n.Snapshots {
		if err := o.readSnapshots(ctx, have.Containers[id]); err != nil {
			return false, err
		}
	}
	for id, named := range n.Remnants {
		if err := o.readRemnant(ctx, have.Containers[id], named); err != nil {
			return false, err
		}
	}
	o.facts(have)
	return true, nil
}

// facts puts what was read for plans that need it into an observation.
func (o *Observer) facts(have *plan.Live) {
	have.Guests, have.HA, have.Storages, have.Templates = o.guests, o.ha, o.storages, o.templates
	have.Bridges, have.Permissions, have.Disks = o.bridges, o.permissions, o.disks
	have.Appliances, have.Pools, have.Volumes = o.appliances, o.pools, o.volumes
}

func (o *Observer) readPermissions(ctx context.Context) (err error) {
	o.permissions, err = readPermissions(ctx, o.Client)
	return err
}

// readPermissions are what the token may do; never nil where there was no error.
func readPermissions(ctx context.Context, c *proxmox.Client) (proxmox.Permissions, error) {
	p, err := c.Permissions(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("read the privileges of the token: %w", err)
	}
	if p == nil {
		p = proxmox.Permissions{}
	}
	return p, nil
}

func (o *Observer) readBridges(ctx context.Context, node string) error {
	list, err := o.Client.Bridges(ctx, node)
	if err != nil {
		return fmt.Errorf("list bridges of node %s: %w", node, err)
	}
	if o.bridges == nil {
		o.bridges = map[string]map[string]bool{}
	}
	o.bridges[node] = map[string]bool{}
	for _, b := range list {
		o.bridges[node][b.Name] = true
	}
	return nil
}

// readGuests finds what HA manages and the VMIDs that are taken by anything but the containers that were listed: virtual
// machines, and containers of nodes that are offline.
func (o *Observer) readGuests(ctx context.Context, have *plan.Live) error {
	list, err := o.Client.Resources(ctx, proxmox.KindGuests)
	if err != nil {
		return fmt.Errorf("list guests of the cluster: %w", err)
	}
	o.guests, o.ha, o.poolOf = map[proxmox.VMID]string{}, map[proxmox.VMID]string{}, map[proxmox.VMID]string{}
	for _, g := range list {
		if g.Pool != "" {
			o.poolOf[g.Guest] = g.Pool
		}
		if g.HAState != "" {
			o.ha[g.Guest] = g.HAState
		}
		if have.Containers[g.Guest] != nil {
			continue
		}
		kind := "virtual machine"
		if g.Type == "lxc" {
			kind = "container"
		}
		o.guests[g.Guest] = fmt.Sprintf("%s %q on node %s", kind, g.Name, g.Node)
	}
	return nil
}

// readVolumes lists what a storage holds for a container. Volumes come and go within a run: they are read anew for
// each plan.
func (o *Observer) readVolumes(ctx context.Context, s plan.Shelf) error {
	list, err := o.Client.StorageContent(ctx, s.Node, s.Storage, proxmox.ContentFilter{Guest: s.Guest})
	if err != nil {
		return fmt.Errorf("list volumes of %d on storage %s of node %s: %w", s.Guest, s.Storage, s.Node, err)
	}
	if o.volumes == nil {
		o.volumes = map[plan.Shelf]map[string]bool{}
	}
	o.volumes[s] = map[string]bool{}
	for _, v := range list {
		o.volumes[s][v.ID] = true
	}
	return nil
}

func (o *Observer) readStorages(ctx context.Context, node string) error {
	if o.storages[node] != nil {
		return nil
	}
	list, err := o.Client.Storages(ctx, node)
	if err != nil {
		return fmt.Errorf("list storages of node %s: %w", node, err)
	}
	if o.storages == nil {
		o.storages = map[string]map[string]proxmox.Storage{}
	}
	o.storages[node] = map[string]proxmox.Storage{}
	for _, s := range list {
		o.storages[node][s.Name] = s
	}
	return nil
}

// readTemplates lists the templates on all storages of a node that can hold them.
func (o *Observer) readTemplates(ctx context.Context, node string) error {
	if err := o.readStorages(ctx, node); err != nil {
		return err
	}
	found := map[string]bool{}
	for _, s := range o.storages[node] {
		if !slices.Contains(s.Content, proxmox.ContentTemplates) || !s.Active || !s.Enabled {
			continue
		}
		volumes, err := o.Client.StorageContent(ctx, node, s.Name, proxmox.ContentFilter{Content: proxmox.ContentTemplates})
		if err != nil {
			return fmt.Errorf("list templates on storage %s of node %s: %w", s.Name, node, err)
		}
		for _, v := range volumes {
			found[v.ID] = true
		}
	}
	if o.templates == nil {
		o.templates = map[string]map[string]bool{}
	}
	o.templates[node] = found
	return nil
}
