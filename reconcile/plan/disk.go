package plan

import (
	"cmp"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
)

// allocatesOn are the storages on which an operation makes or grows volumes, or takes snapshots of them, and the node
// where they are.
func (p *Live) allocatesOn(op Op, l Lane) (node string, storages []string) {
	node = l.Ref.Node
	found := map[string]bool{}
	made := func(v proxmox.Values) {
		for key, text := range v {
			if isVolumeKey(key) && allocation.MatchString(text) {
				found[storageOf(text)] = true
			}
		}
	}
	copied := func(v proxmox.Values, to string) {
		for key, text := range v {
			if isVolumeKey(key) && storageOf(text) != "" {
				found[cmp.Or(to, storageOf(text))] = true
			}
		}
	}
	switch op := op.(type) {
	case CreateContainer:
		made(op.Values)
	case SetConfig:
		made(op.Set)
	case RestoreOver:
		made(op.Values)
	case RestoreContainer:
		made(op.Values)
		found[op.Storage] = true
	case Resize:
		found[storageOf(l.Base.Current[op.Disk])] = true
	case MoveVolume:
		found[op.Storage] = true
	case Backup:
		found[op.Storage] = true
	case CloneContainer:
		node = cmp.Or(op.Target, node)
		if source := p.Containers[op.Source.ID]; source != nil {
			copied(source.Config.Current, op.Storage)
		}
	case Migrate:
		node = op.Target
		copied(l.Base.Current, "")
	case TakeSnapshot:
		copied(l.Base.Current, "")
	}
	delete(found, "")
	return node, slices.Sorted(maps.Keys(found))
}

// onFailingDisk says which failing disk an operation would put new volumes on; "" where none is known, or where a
// person agreed to it.
func (c *computation) onFailingDisk(op Op, l Lane) (why string, ways []string) {
	node, storages := c.have.allocatesOn(op, l)
	for _, s := range storages {
		o := c.have.Disks[node].On(s, c.policy.FailingDisks)
		switch {
		case o.Why == "":
		case o.Allowed:
			if text := o.Why + "; it is used all the same, as you agreed"; !slices.Contains(c.plan.Warnings, text) {
				c.plan.Warnings = append(c.plan.Warnings, text)
			}
		default:
			return o.Why, c.policy.Voice.failingWays(op, node, o.Disks)
		}
	}
	return "", nil
}

func (v Voice) failingWays(op Op, node string, disks []health.Disk) []string {
	elsewhere := "write another storage"
	if _, snapshot := op.(TakeSnapshot); snapshot {
		elsewhere = "move the container's volumes to another storage first"
	}
	return []string{"replace the disk, and look first whether there are backups of what is on it", elsewhere, "do it all the same: " + v.AllowDisks(node, disks)}
}

// diskNeeds adds the nodes whose disks must be known, since a lane makes or grows volumes there.
func (p *Plan) diskNeeds(have *Live, n *Needs) {
	for _, l := range p.Lanes {
		if l.Kind != ContainerKind {
			continue
		}
		for _, s := range l.Steps {
			node, storages := have.allocatesOn(s.Op, l)
			if _, read := have.Disks[node]; len(storages) > 0 && !read {
				n.Disks[node] = true
			}
		}
	}
}
