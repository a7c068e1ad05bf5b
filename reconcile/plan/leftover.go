package plan

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
)

// The locks, as configurations name them (pve-container LXC/Config.pm, lock).
const (
	lockBackup    = "backup"
	lockCreate    = "create"
	lockDestroyed = "destroyed"
	lockDisk      = "disk"
	lockFstrim    = "fstrim"
	lockMigrate   = "migrate"
	lockMounted   = "mounted"
	lockRollback  = "rollback"
	lockSnapshot  = "snapshot"
	lockDelete    = "snapshot-delete"
)

// halfTaken is the state of a snapshot that was begun (pve-guest-common AbstractConfig.pm, __snapshot_prepare); one
// whose delete was begun is in the state "delete".
const halfTaken = "prepare"

// operation is what was left of an operation on a container that is whole.
func (c *computation) operation(w *spec.Container, have *Observed) *leftover {
	l := &leftover{}
	if have.Lock != "" {
		l.steps = []Step{unlock(have.Lock)}
	}
	switch have.Lock {
	case "", lockSnapshot, lockDelete:
		return c.halfSnapshots(l, have)
	case lockRollback:
		return c.halfRolledBack(l, w, have)
	case lockBackup:
		l.name = "a backup that was not finished"
	case lockMigrate:
		l.name = "a migration that was not finished" // the configuration moves last, so that the container is still here
	case lockDisk:
		l.name = "a copy of its volumes that was not finished" // as a source: it lost nothing
	case lockFstrim:
		l.name, l.careful = "a trim of its volumes that was not finished", true
	case lockMounted:
		l.name, l.steps = "it is mounted on the node", nil
		l.why, l.manual = "pct unmount takes the mount and the lock away together", []string{fmt.Sprintf("pct unmount %d", have.Ref.ID)}
	case lockCreate, lockDestroyed:
		l.name, l.steps = "a create, restore or clone that was not finished", nil
		if have.Lock == lockDestroyed {
			l.name = "a destroy that was not finished"
		}
		l.why = "nothing proves that it holds nothing that is wanted: look at its configuration and volumes first"
		l.manual = []string{fmt.Sprintf("pct config %d", have.Ref.ID), fmt.Sprintf("pct unlock %d", have.Ref.ID)}
	default:
		l.name, l.steps = "an operation that this version of tend does not know was not finished", nil
		l.why, l.manual = "what must follow is not known", []string{fmt.Sprintf("pct unlock %d", have.Ref.ID)}
	}
	return l
}

// halfSnapshots deletes the snapshots that are not whole. A delete drops volumes one by one, so that one that was cut
// off goes on where it stopped; a volume whose snapshot is gone already, or was never taken, fails it on most storages,
// and then force alone takes the snapshot out of the configuration.
func (c *computation) halfSnapshots(l *leftover, have *Observed) *leftover {
	if have.Snapshots == nil {
		c.plan.needs.Snapshots[have.Ref.ID] = true
	}
	for _, s := range slices.SortedFunc(slices.Values(have.Snapshots), func(a, b proxmox.Snapshot) int { return cmp.Compare(a.Name, b.Name) }) {
		if s.State == "" {
			continue
		}
		what := "the delete of snapshot " + s.Name + " was not finished"
		if s.State == halfTaken {
			what = "snapshot " + s.Name + " was not finished"
		}
		if l.name != "" {
			what = l.name + ", and " + what
		}
		l.name = what
		l.steps = append(l.steps, deleteHalf(s, have.LastDelete))
		if op, _ := l.steps[len(l.steps)-1].Op.(DeleteSnapshot); !op.Force {
			l.then = append(l.then, unlock(lockDelete), Step{Op: DeleteSnapshot{Name: s.Name, Force: true}})
		}
	}
	switch {
	case l.name != "":
	case have.Lock == lockSnapshot:
		l.name = "a snapshot that was not finished"
	case have.Lock == lockDelete:
		l.name = "a delete of a snapshot that was not finished"
	default:
		return nil
	}
	return l
}

// deleteHalf deletes a snapshot that is not whole: with force where the latest delete failed for a volume that has
// no such snapshot, and plainly else.
func deleteHalf(s proxmox.Snapshot, last proxmox.TaskStatus) Step {
	failed := !last.UPID.IsZero() && !last.Running && !last.OK()
	if failed && s.State != halfTaken && errors.Is(proxmox.NewTaskError(last, nil), proxmox.ErrNoVolumeSnapshot) {
		return Step{Op: DeleteSnapshot{Name: s.Name, Force: true}, Cause: "a volume has no such snapshot"}
	}
	return Step{Op: DeleteSnapshot{Name: s.Name}, Cause: "should a volume have no such snapshot, it is unlocked once more and deleted with force"}
}

// halfRolledBack repeats a rollback. Some volumes are rolled back and some may not be: what these were given since is
// lost, and which snapshot it was stands nowhere, so that consent must name it.
func (c *computation) halfRolledBack(l *leftover, w *spec.Container, have *Observed) *leftover {
	l.name, l.alone = "a rollback that was not finished, so that some volumes may be rolled back and others not", true
	if have.Snapshots == nil {
		c.plan.needs.Snapshots[have.Ref.ID] = true
		l.why, l.steps = "its snapshots are not known", nil
		return l
	}
	newest := slices.SortedFunc(slices.Values(have.Snapshots), func(a, b proxmox.Snapshot) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, s := range newest {
		if s.State == "" {
			l.choices = append(l.choices, s.Name)
		}
	}
	if len(l.choices) == 0 {
		l.why, l.steps, l.manual = "it has no whole snapshot", nil, []string{fmt.Sprintf("pct unlock %d", have.Ref.ID)}
		return l
	}
	l.wants = l.choices[0]
	if s := c.policy.RollBackTo[have.Ref.ID]; slices.Contains(l.choices, s) {
		l.wants, l.choices = s, []string{s}
	}
	if s := c.policy.Unlock[have.Ref.ID]; slices.Contains(l.choices, s) {
		l.wants = s
	}
	l.steps = append(l.steps, Step{
		Op: RollBack{Name: l.wants}, Cause: "the same rollback once more; what was written since the snapshot is lost; then put right as the spec says",
	})
	if w != nil {
		l.steps = append(l.steps, Step{Op: c.ownTags(w), Cause: "the owner's tag, which the snapshot may not have"})
	}
	return l
}

// isRemnant reports whether a declared container is nothing but what a create, a clone or a destroy left: a
// configuration with nothing in it but the lock, or a copy that carries the mark of one that is not finished. Such
// a container has never run (pve-container API2/LXC.pm, create_vm, clone_vm and destroy_vm).
func (c *computation) isRemnant(w *spec.Container, have *Observed) bool {
	if have.Running || !have.Managed || len(have.Config.Pending)+len(have.Config.Deleted) > 0 {
		return false
	}
	values := maps.Clone(have.Config.Current)
	delete(values, "lock")
	switch have.Lock {
	case "", lockCreate:
		return len(values) == 0 || w.From.Clone.ID != 0 && c.unfinished(have)
	case lockDestroyed:
		return len(values) == 0
	}
	return false
}

// remnant takes a container away that was never finished, so that it can be made anew. Volumes that its configuration
// names are its own, and so are those that were made since the task that died began; of others nobody knows, and
// they stay unless consent names them.
func (c *computation) remnant(w *spec.Container, have *Observed) *leftover {
	l := &leftover{remnant: true, name: "a create that was not finished"}
	switch {
	case have.Lock == lockDestroyed:
		l.name = "a destroy that was not finished"
	case w.From.Clone.ID != 0:
		l.name = "a clone that was not finished"
	case w.From.Backup != "":
		l.name = "a restore that was not finished"
	}
	if have.Lock != "" {
		l.steps = []Step{unlock(have.Lock)}
	}
	if have.Ref.Node != w.Node {
		l.why = fmt.Sprintf("it is on node %s and shall be on %s", have.Ref.Node, w.Node)
	}
	r := have.Remnant
	if r == nil {
		c.plan.needs.Remnants[have.Ref.ID] = cmp.Or(w.From.Clone.ID, w.ID)
		r = &Remnant{}
	}
	l.frees = have.volumes()
	var own []string
	for _, v := range r.Volumes {
		switch {
		case slices.Contains(l.frees, v.ID):
		case slices.Contains(c.policy.DestroyVolumes[have.Ref.ID], v.ID), !r.Began.IsZero() && !v.Created.Before(r.Began):
			own = append(own, v.ID)
		default:
			l.keeps = append(l.keeps, v.ID)
		}
	}
	op := RemoveRemnant{Volumes: l.frees, Unreferenced: r.Whole && len(l.keeps) == 0 && len(own) > 0}
	if op.Unreferenced {
		op.Volumes = append(slices.Clone(l.frees), own...)
	} else {
		l.keeps = append(l.keeps, own...)
	}
	slices.Sort(op.Volumes)
	slices.Sort(l.keeps)
	l.frees = op.Volumes
	l.steps = append(l.steps, Step{Op: op, Cause: "what is left of it, to be made anew"})
	return l
}
