// Package live observes a cluster: it reads what a plan needs and decodes it with the table of settings.
//
// It reads little: the nodes, the datacenter's options, one listing of containers a node, and the
// configuration of each container that is declared or carries the owner's tag; templates, pools and backup jobs
// only where the spec is about them. Other containers are never looked at in detail. It changes nothing.
package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// An Observer reads the live state. What does not change within a run, such as the nodes and their storages,
// it reads once and remembers; make a new one for each run.
type Observer struct {
	Client *proxmox.Client
	// Parallel is how many configurations are read at once; 0 is 4, what a node answers fastest
	// (three workers of pveproxy).
	Parallel int
	// Shown says that plans are for a person: they are looked over as far as reading can, whatever they do. Else
	// privileges are read only for plans that a refusal would leave half done, which spares a request.
	Shown bool
	// Root reads what only root on nodes can; nil: nobody acts as root.
	Root RootReader
	// Disks reads how disks are, where a plan puts something on them; nil: through Client alone, with the default limits.
	Disks *Disks

	nodes     map[string]bool
	tagStyle  setting.TagStyle
	guests    map[proxmox.VMID]string
	ha        map[proxmox.VMID]string
	storages  map[string]map[string]proxmox.Storage
	templates map[string]map[string]bool
	bridges   map[string]map[string]bool
	volumes   map[plan.Shelf]map[string]bool // of the plan at hand
	disks     map[string]*health.Node

	permissions proxmox.Permissions
	appliances  map[string][]proxmox.Appliance
	pools       map[string]bool
	poolOf      map[proxmox.VMID]string
}

// Observe reads the live state as far as a spec is concerned.
func (o *Observer) Observe(ctx context.Context, want *spec.State) (*plan.Live, error) {
	if err := o.cluster(ctx); err != nil {
		return nil, err
	}
	if err := o.checkNodes(want.Cluster.Nodes); err != nil {
		return nil, err
	}
	have := &plan.Live{
		Nodes: o.nodes, TagStyle: o.tagStyle, Containers: map[proxmox.VMID]*plan.Observed{}, Shown: o.Shown,
	}
	o.volumes = nil
	o.facts(have)
	for node, online := range o.nodes {
		if !online {
			continue
		}
		have.Cluster = max(have.Cluster, node)
		list, err := o.Client.Containers(ctx, node)
		if err != nil {
			return nil, fmt.Errorf("list containers of node %s: %w", node, err)
		}
		for _, c := range list {
			have.Containers[c.ID] = observed(node, c)
		}
	}
	if err := o.holders(ctx, want, have); err != nil {
		return nil, err
	}
	if err := o.besides(ctx, want, have); err != nil {
		return nil, err
	}
	return have, o.configs(ctx, want, have)
}

func observed(node string, c proxmox.ContainerStatus) *plan.Observed {
	return &plan.Observed{
		Ref: proxmox.Ref{Node: node, ID: c.ID}, Name: c.Name, Tags: c.Tags, Lock: c.Lock,
		Running: c.Status == proxmox.Running, Uptime: c.Uptime,
	}
}

// cluster reads what is the same for the whole run.
func (o *Observer) cluster(ctx context.Context) error {
	if o.nodes != nil {
		return nil
	}
	nodes, err := o.Client.Nodes(ctx)
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	options, err := o.Client.ClusterOptions(ctx)
	if err != nil {
		return fmt.Errorf("read datacenter options: %w", err)
	}
	o.nodes = map[string]bool{}
	for _, n := range nodes {
		o.nodes[n.Name] = n.Online()
	}
	o.tagStyle = setting.TagStyle{
		CaseSensitive: options.TagStyle.CaseSensitive, KeepOrder: options.TagStyle.Ordering == "config",
	}
	return nil
}

// checkNodes refuses a cluster that is not the one of the spec.
func (o *Observer) checkNodes(want []string) error {
	var missing, found []string
	for _, n := range want {
		if _, ok := o.nodes[n]; !ok {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	for n := range o.nodes {
		found = append(found, n)
	}
	slices.Sort(found)
	return fmt.Errorf("this is not the cluster of the spec: cluster.nodes lists %s, the endpoint knows %s",
		strings.Join(missing, ", "), strings.Join(found, ", "))
}

// configs reads the configurations of the containers that are declared or owned.
func (o *Observer) configs(ctx context.Context, want *spec.State, have *plan.Live) error {
	declared := map[proxmox.VMID]*spec.Container{}
	for _, c := range want.Containers {
		declared[c.ID] = c
	}
	parallel := o.Parallel
	if parallel == 0 {
		parallel = 4
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	var mu sync.Mutex // guards have.Containers
	var gone []proxmox.VMID
	for id, c := range have.Containers {
		w := declared[id]
		if w == nil && !c.Owned(want.Cluster.Owner) {
			continue
		}
		raw := o.actsOn(c.Ref.Node)
		if w != nil && !raw {
			_, raw = setting.Raw.Get(want.Settings(w))
		}
		g.Go(func() error {
			err := o.config(ctx, c, raw)
			if errors.Is(err, proxmox.ErrNoGuest) { // destroyed since the listing
				mu.Lock()
				gone = append(gone, id)
				mu.Unlock()
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, id := range gone {
		delete(have.Containers, id)
	}
	return nil
}

// config reads and decodes one configuration, with its raw lines where they are asked for. What concerns this
// container only is kept with it, so that the others are still planned.
func (o *Observer) config(ctx context.Context, c *plan.Observed, raw bool) error {
	config, err := o.Client.Config(ctx, c.Ref)
	if err == nil && raw {
		c.Raw, err = o.rawLines(ctx, c.Ref)
	}
	switch {
	case errors.Is(err, proxmox.ErrForbidden):
		c.Managed, c.Broken = true, fmt.Errorf("read configuration of %s: %w", c.Ref, err)
		return nil
	case err != nil:
		return fmt.Errorf("read configuration of %s: %w", c.Ref, err)
	}
	c.Managed, c.Config = true, config
	stillLocked(c)
	if err := c.Understand(); err != nil {
		c.Broken = fmt.Errorf("understand configuration of %s: %w", c.Ref, err)
	}
	return nil
}

// rawLines reads the lines for LXC itself, which only another view of the configuration shows. They are never nil
// where there was no error.
func (o *Observer) rawLines(ctx context.Context, ref proxmox.Ref) ([]proxmox.RawLine, error) {
	c, err := o.Client.LiveConfig(ctx, ref)
	if err != nil {
		return nil, err
	}
	return append([]proxmox.RawLine{}, c.Raw...), nil
}
