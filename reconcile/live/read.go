package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/felhom/tend/proxmox"
)

// A Container is one container with all of its configuration, for whoever wants to write it down.
type Container struct {
	Ref     proxmox.Ref
	Running bool
	Config  proxmox.Config
	Raw     []proxmox.RawLine // lines for LXC itself
}

// Read reads containers whole, whoever they belong to: those with the given VMIDs, or all that the token may see
// where none are given. It costs two requests for each. A VMID that is not there is an error, as is a
// configuration that may not be read.
func Read(ctx context.Context, c *proxmox.Client, ids []proxmox.VMID) ([]Container, error) {
	found, err := list(ctx, c, ids)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	var mu sync.Mutex // guards errs
	var errs []error
	for i := range found {
		g.Go(func() error {
			err := found[i].read(ctx, c)
			if errors.Is(err, proxmox.ErrUnreachable) {
				return err
			}
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return found, errors.Join(errs...)
}

// list finds the containers on all nodes that are online, by VMID.
func list(ctx context.Context, c *proxmox.Client, ids []proxmox.VMID) ([]Container, error) {
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var out []Container
	for _, n := range nodes {
		if !n.Online() {
			continue
		}
		containers, err := c.Containers(ctx, n.Name)
		if err != nil {
			return nil, fmt.Errorf("list containers of node %s: %w", n.Name, err)
		}
		for _, s := range containers {
			if len(ids) == 0 || slices.Contains(ids, s.ID) {
				out = append(out, Container{Ref: proxmox.Ref{Node: n.Name, ID: s.ID}, Running: s.Status == proxmox.Running})
			}
		}
	}
	slices.SortFunc(out, func(a, b Container) int { return int(a.Ref.ID) - int(b.Ref.ID) })
	for _, id := range ids {
		if !slices.ContainsFunc(out, func(c Container) bool { return c.Ref.ID == id }) {
			return nil, fmt.Errorf("there is no container %d, or the token may not see it (VM.Audit on /vms/%d)", id, id)
		}
	}
	return out, nil
}

// read reads both views and the raw lines. They are two requests: Proxmox shows pending changes only in the one
// and raw lines only in the other.
func (f *Container) read(ctx context.Context, c *proxmox.Client) error {
	var err error
	if f.Config, err = c.Config(ctx, f.Ref); err != nil {
		return fmt.Errorf("read configuration of %s: %w", f.Ref, err)
	}
	current, err := c.LiveConfig(ctx, f.Ref)
	if err != nil {
		return fmt.Errorf("read configuration of %s: %w", f.Ref, err)
	}
	f.Raw = current.Raw
	return nil
}
