package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// holders looks for the tasks that may hold the locks of the containers that the spec is about. It is called after the
// listing that shows the locks and before the configurations are read, which must show them still: so a task that
// ended in between is not taken for one that died.
func (o *Observer) holders(ctx context.Context, want *spec.State, have *plan.Live) error {
	concerned := map[proxmox.VMID]bool{}
	for _, w := range want.Containers {
		concerned[w.ID], concerned[w.From.Clone.ID] = true, true
	}
	find := Holders{Client: o.Client, permissions: o.permissions}
	for id, c := range have.Containers {
		if c.Lock == "" || !concerned[id] && !c.Owned(want.Cluster.Owner) {
			continue
		}
		h, err := find.Of(ctx, c.Ref, c.Lock)
		if err != nil {
			return err
		}
		c.Holder = &h
	}
	o.permissions = find.permissions
	return nil
}

// Holders finds the tasks that may hold locks. It lists the running tasks of a node once; make a new one for each look.
type Holders struct {
	Client *proxmox.Client

	tasks       map[string][]proxmox.TaskStatus
	permissions proxmox.Permissions // nil: not read
}

// Of returns the task that may hold a lock of a container. The lock must have been seen before, and be there still
// when the answer is used: a task that ended in between is none that died. A token without Sys.Audit on the node is
// shown its own tasks only (pve-manager API2/Tasks.pm, node_tasks): the holder is Blind then.
func (f *Holders) Of(ctx context.Context, r proxmox.Ref, lock string) (h plan.Holder, err error) {
	list, read := f.tasks[r.Node]
	if !read {
		if list, err = f.Client.Tasks(ctx, r.Node, proxmox.TaskFilter{Source: proxmox.TasksRunning, Limit: maxTasks}); err != nil {
			return h, fmt.Errorf("list running tasks of node %s: %w", r.Node, err)
		}
		if f.tasks == nil {
			f.tasks = map[string][]proxmox.TaskStatus{}
		}
		f.tasks[r.Node] = list
	}
	if i := slices.IndexFunc(list, func(t proxmox.TaskStatus) bool { return t.Running && proxmox.MayHold(lock, r.ID, t.UPID) }); i >= 0 {
		h.Task = list[i].UPID
		return h, nil
	}
	if f.permissions == nil {
		if f.permissions, err = readPermissions(ctx, f.Client); err != nil {
			return h, err
		}
	}
	h.Blind = !f.permissions.Allows("/nodes/"+r.Node, "Sys.Audit")
	return h, nil
}

// maxTasks is more than a node runs at once.
const maxTasks = 1000

// stillLocked takes over the lock that a configuration shows. Another one than before is of an operation that has
// just begun.
func stillLocked(c *plan.Observed) {
	if lock := c.Config.Current["lock"]; lock != c.Lock {
		c.Lock, c.Holder = lock, nil
	}
}

// readSnapshots reads what a container that is stuck has of snapshots.
func (o *Observer) readSnapshots(ctx context.Context, c *plan.Observed) error {
	s, err := o.Client.Snapshots(ctx, c.Ref)
	if err != nil && !errors.Is(err, proxmox.ErrNoGuest) {
		return fmt.Errorf("list snapshots of %s: %w", c.Ref, err)
	}
	c.Snapshots = append([]proxmox.Snapshot{}, s.List...) // read, if only to find none
	if !slices.ContainsFunc(s.List, func(s proxmox.Snapshot) bool { return s.State != "" }) {
		return nil
	}
	last, err := o.Client.Tasks(ctx, c.Ref.Node, proxmox.TaskFilter{
		Source: proxmox.TasksAll, Guest: c.Ref.ID, Type: "vzdelsnapshot", Limit: 1,
	})
	if err != nil {
		return fmt.Errorf("list tasks of %s: %w", c.Ref, err)
	}
	if len(last) > 0 {
		c.LastDelete = last[0]
	}
	return nil
}

// readRemnant finds the volumes of a container that was not finished, and when the task began that was to make it.
// named is the container that this task names.
func (o *Observer) readRemnant(ctx context.Context, c *plan.Observed, named proxmox.VMID) error {
	r := &plan.Remnant{}
	list, err := o.Client.Tasks(ctx, c.Ref.Node, proxmox.TaskFilter{Source: proxmox.TasksAll, Guest: named})
	if err != nil {
		return fmt.Errorf("list tasks of %d: %w", named, err)
	}
	makes := func(t proxmox.TaskStatus) bool {
		return slices.Contains([]string{"vzcreate", "vzrestore", "vzclone"}, t.UPID.Type)
	}
	// the latest alone: an earlier one has nothing to do with what is there now
	if i := slices.IndexFunc(list, makes); i >= 0 && list[i].ExitStatus == killed {
		r.Began = list[i].UPID.Start
	}
	if err := o.readStorages(ctx, c.Ref.Node); err != nil {
		return err
	}
	if o.permissions == nil {
		if err := o.readPermissions(ctx); err != nil {
			return err
		}
	}
	r.Whole = o.seesVolumes(c.Ref.ID)
	for name, s := range o.storages[c.Ref.Node] {
		if !slices.Contains(s.Content, proxmox.ContentRootDir) || !s.Enabled {
			continue
		}
		volumes, err := o.Client.StorageContent(ctx, c.Ref.Node, name, proxmox.ContentFilter{Content: proxmox.ContentRootDir, Guest: c.Ref.ID})
		if err != nil {
			if errors.Is(err, proxmox.ErrUnreachable) {
				return fmt.Errorf("list volumes of %s on %s: %w", c.Ref, name, err)
			}
			r.Whole = false // a storage that cannot be read may hold some
			continue
		}
		r.Volumes = append(r.Volumes, volumes...)
	}
	slices.SortFunc(r.Volumes, func(a, b proxmox.Volume) int { return strings.Compare(a.ID, b.ID) })
	c.Remnant = r
	return nil
}

// killed is the exit status of a task that did not come to its end (pve-common UPID.pm).
const killed = "unexpected status"

// seesVolumes reports whether the token sees all storages, and the volumes of a container on each
// (pve-storage Storage.pm, check_volume_access).
func (o *Observer) seesVolumes(id proxmox.VMID) bool {
	for path := range o.permissions {
		if strings.HasPrefix(path, "/storage/") && !o.permissions.Allows(path, "Datastore.Audit") {
			return false
		}
	}
	return o.permissions.Allows("/storage", "Datastore.Audit") && o.permissions.Allows("/vms/"+id.String(), "VM.Config.Disk")
}
