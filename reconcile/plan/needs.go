package plan

import (
	"maps"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// Needs says what else must be known of the cluster before a plan can be relied on.
type Needs struct {
	Guests    bool            // which VMIDs are taken by other guests, and which containers HA manages
	Storages  map[string]bool // by node: what its storages are
	Templates map[string]bool // by node: which templates it has
	Bridges   map[string]bool // by node: which bridges it has
	Disks     map[string]bool // by node: how its disks are
	// Permissions: what the token may do.
	Permissions bool
	// Appliances is by node: which templates it may download.
	Appliances map[string]bool
	Pools      bool // which pools there are
	// Volumes: which volumes a storage holds for a container that names one that it is not known to have.
	Volumes map[Shelf]bool
	// Snapshots of containers that are stuck.
	Snapshots map[proxmox.VMID]bool
	// Remnants are containers that were not finished: what is left of them, besides the configuration. The value
	// is the container that the tasks name which made them.
	Remnants map[proxmox.VMID]proxmox.VMID
}

func newNeeds() Needs {
	return Needs{
		Storages: map[string]bool{}, Templates: map[string]bool{}, Appliances: map[string]bool{}, Volumes: map[Shelf]bool{},
		Disks: map[string]bool{}, Snapshots: map[proxmox.VMID]bool{}, Remnants: map[proxmox.VMID]proxmox.VMID{},
	}
}

// None reports whether nothing more must be known.
func (n Needs) None() bool {
	return !n.Guests && !n.Permissions && !n.Pools && len(n.Storages)+len(n.Templates)+len(n.Bridges)+len(n.Appliances)+
		len(n.Volumes)+len(n.Disks)+len(n.Snapshots)+len(n.Remnants) == 0
}

// Needs returns what the plan assumes and the observation does not say. A plan that creates nothing and
// allocates nothing needs nothing.
func (p *Plan) Needs(have *Live) Needs {
	n := newNeeds()
	p.preflightNeeds(have, &n)
	p.diskNeeds(have, &n)
	n.Pools, n.Guests = p.needs.Pools, p.needs.Guests
	maps.Copy(n.Storages, p.needs.Storages)
	maps.Copy(n.Templates, p.needs.Templates)
	maps.Copy(n.Appliances, p.needs.Appliances)
	maps.Copy(n.Volumes, p.needs.Volumes)
	n.Permissions = n.Permissions || p.needs.Permissions
	maps.Copy(n.Snapshots, p.needs.Snapshots)
	maps.Copy(n.Remnants, p.needs.Remnants)
	for _, l := range p.Lanes {
		if l.Kind != ContainerKind {
			continue
		}
		for _, s := range l.Steps {
			switch op := s.Op.(type) {
			case Start, Shutdown, Reboot, DestroyContainer, RestoreOver: // whether that is HA's business
				n.Guests = n.Guests || have.HA == nil
			case Migrate:
				n.Guests = n.Guests || have.HA == nil
				for _, node := range []string{l.Ref.Node, op.Target} {
					if have.Storages[node] == nil {
						n.Storages[node] = true
					}
				}
			}
		}
		if l.Action == Create {
			n.Guests = n.Guests || have.Guests == nil
			if have.Templates[l.Ref.Node] == nil {
				n.Templates[l.Ref.Node] = true
			}
		}
		if l.allocates() && have.Storages[l.Ref.Node] == nil {
			n.Storages[l.Ref.Node] = true
		}
	}
	return n
}

func (l Lane) allocates() bool {
	if l.Action == Create {
		return true
	}
	for _, ch := range l.Changes {
		if ch.Row == setting.Mounts && ch.Old == nil {
			return true
		}
	}
	return false
}
