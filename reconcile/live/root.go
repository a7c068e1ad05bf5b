package live

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// A RootReader reads on nodes what only root can, and changes nothing.
type RootReader interface {
	// Nodes are those on which somebody acts as root.
	Nodes() []string
	// HostMounts reads the host mounts of a node, and looks for devices besides.
	HostMounts(ctx context.Context, node string, devices []string) (proxmox.NodeMounts, error)
	// Snippets reads what is in place of snippets, by their volumes.
	Snippets(ctx context.Context, node string, volumes []string) (map[string]proxmox.SnippetStatus, error)
}

// actsOn reports whether somebody acts as root on a node.
func (o *Observer) actsOn(node string) bool {
	return o.Root != nil && slices.Contains(o.Root.Nodes(), node)
}

// readNodes reads host mounts and snippets, where the spec is about them and root can. What goes wrong concerns those of
// that node alone.
func (o *Observer) readNodes(ctx context.Context, want *spec.State, have *plan.Live) error {
	have.HostMounts, have.Snippets, have.HostMountsBroken = nil, nil, nil
	if o.Root == nil || len(want.Snippets) == 0 && !want.ManagesHostMounts {
		return nil
	}
	have.HostMounts, have.HostMountsBroken = map[string]*proxmox.NodeMounts{}, map[string]error{}
	have.Snippets = map[string]map[string]proxmox.SnippetStatus{}
	for _, node := range o.Root.Nodes() {
		if !o.nodes[node] {
			continue
		}
		if err := o.readNode(ctx, node, want, have); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			have.HostMountsBroken[node] = err
		}
	}
	return nil
}

func (o *Observer) readNode(ctx context.Context, node string, want *spec.State, have *plan.Live) error {
	if want.ManagesHostMounts {
		var devices []string
		for _, m := range want.HostMounts {
			if m.Node == node {
				devices = append(devices, m.Device)
			}
		}
		mounts, err := o.Root.HostMounts(ctx, node, devices)
		if err != nil {
			return fmt.Errorf("read host mounts of node %s: %w", node, err)
		}
		have.HostMounts[node] = &mounts
	}
	volumes := map[string]bool{}
	for _, s := range want.Snippets {
		if slices.Contains(plan.SnippetNodes(want, s), node) {
			volumes[s.Volume()] = true
		}
	}
	if len(volumes) == 0 {
		return nil
	}
	found, err := o.Root.Snippets(ctx, node, slices.Sorted(maps.Keys(volumes)))
	if err != nil {
		return fmt.Errorf("read snippets of node %s: %w", node, err)
	}
	have.Snippets[node] = found
	return nil
}
