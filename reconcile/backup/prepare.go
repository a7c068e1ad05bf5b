package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/spec"
)

// Asked is what a person asks of a restore.
type Asked struct {
	To      proxmox.VMID // 0: chosen
	Swap    bool
	Storage string
	Disks   Disks
}

// Disks tell on which storages nothing new is put, since a disk below them is failing.
type Disks struct {
	Check func(ctx context.Context, node string) *health.Node // reads the disks of a node; nil: nobody does
	Allow []string                                            // those that a person agreed to, as health.Disk.Is takes them
}

// obstacle reads the disks of a node, and returns what says of a storage of it what stands in the way.
func (d Disks) obstacle(ctx context.Context, node string) func(storage string) health.Obstacle {
	if d.Check == nil {
		return nil
	}
	n := d.Check(ctx, node)
	return func(storage string) health.Obstacle { return n.On(storage, d.Allow) }
}

// Prepare finds out all that a restore of an archive depends on, after what an earlier process left in flight has ended.
// It changes nothing.
func Prepare(ctx context.Context, x *execute.Executor, want *spec.State, nodes map[string]bool, a Archive, o Asked) (Wish, error) {
	w := Wish{Owner: want.Cluster.Owner, Of: a.Guest, Archive: a, Swap: o.Swap, Storage: o.Storage}
	if i := slices.IndexFunc(want.Containers, func(c *spec.Container) bool { return c.ID == a.Guest }); i >= 0 {
		w.Declared = want.Containers[i]
	}
	var err error
	if w.Content, err = Open(ctx, x.Client, a); err != nil {
		return w, err
	}
	if err := settle(ctx, x, a.ID, w.Of, o.To); err != nil {
		return w, err
	}
	found, err := Look(ctx, x.Client, w.Owner, nodes, w.Of, o.To)
	if err != nil {
		return w, err
	}
	w.Old = found[w.Of]
	if w.To, err = w.place(ctx, x.Client, found, o.To); err != nil {
		return w, err
	}
	if found, err = Look(ctx, x.Client, w.Owner, nodes, w.Of, w.To.ID); err != nil {
		return w, err
	}
	w.Old, w.New = found[w.Of], found[w.To.ID]
	if w.New != nil {
		w.To.Node = w.New.Ref.Node
	}
	if w.New == nil {
		w.Failing = o.Disks.obstacle(ctx, w.To.Node)
	}
	w.Storages, err = storagesOf(ctx, x.Client, w.To.Node)
	return w, err
}

// place is where the restore goes: to the VMID that is named, to an earlier copy that was not finished, to the
// container's own VMID where that is free, or to any free one.
func (w Wish) place(ctx context.Context, c *proxmox.Client, found map[proxmox.VMID]*Guest, to proxmox.VMID) (proxmox.Ref, error) {
	node := w.Archive.Nodes[0]
	switch {
	case w.Old != nil:
		node = w.Old.Ref.Node
	case w.Declared != nil && slices.Contains(w.Archive.Nodes, w.Declared.Node):
		node = w.Declared.Node
	}
	if to != 0 {
		return proxmox.Ref{Node: node, ID: to}, nil
	}
	if w.Old != nil {
		if m, ok := w.Old.mark(w.Owner); ok && m.Role == Replaced {
			return proxmox.Ref{Node: node, ID: m.Other}, nil
		}
	}
	if g := w.unfinished(found); g != nil {
		return g.Ref, nil
	}
	if w.Old == nil {
		return proxmox.Ref{Node: node, ID: w.Of}, nil
	}
	id, err := c.NextID(ctx)
	return proxmox.Ref{Node: node, ID: id}, err
}

// unfinished is the copy of an earlier restore of the same container that is not in its place yet, or nil: the latest
// from the same backup, or of any.
func (w Wish) unfinished(found map[proxmox.VMID]*Guest) *Guest {
	var out *Guest
	for _, id := range sortedKeys(found) {
		m, ok := found[id].mark(w.Owner)
		if ok && m.Role == Restored && m.Other == w.Of && m.Archive == w.Archive.ID {
			out = found[id]
		}
	}
	return out
}

func storagesOf(ctx context.Context, c *proxmox.Client, node string) (map[string]proxmox.Storage, error) {
	list, err := c.Storages(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("list storages of node %s: %w", node, err)
	}
	out := map[string]proxmox.Storage{}
	for _, s := range list {
		if s.Enabled && s.Active {
			out[s.Name] = s
		}
	}
	return out, nil
}

// Confirm looks whether a restore did what it should: planned anew, nothing is left to do.
func Confirm(ctx context.Context, c *proxmox.Client, nodes map[string]bool, w Wish) error {
	found, err := Look(ctx, c, w.Owner, nodes, w.Of, w.To.ID)
	if err != nil {
		return err
	}
	w.Old, w.New = found[w.Of], found[w.To.ID]
	switch {
	case w.New == nil:
		return fmt.Errorf("container %d is not there, though every step ended well", w.To.ID)
	case w.Of == w.To.ID:
		return nil
	}
	if r := PlanRestore(w); r.Blocked != "" {
		return errors.New(r.Blocked)
	} else if len(r.Steps) > 0 {
		return fmt.Errorf("%s of container %d did not take, though it ended well", r.Steps[0].Op.Verb(), r.Steps[0].Ref.ID)
	}
	return nil
}
