package plan

import (
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
)

// other is what the calls need that are about no container's configuration (pve-manager API2/Nodes.pm, API2/Pool.pm
// and API2/Backup.pm; pve-storage API2/Storage/Status.pm).
func (n *needs) other(op Op, l Lane) {
	switch op := op.(type) {
	case DownloadAppliance:
		n.on("/storage/"+op.Storage, "Datastore.AllocateTemplate")
	case DownloadURL:
		n.on("/storage/"+op.Storage, "Datastore.AllocateTemplate")
		if p := n.live.Permissions; p == nil || !p.Allows("/", "Sys.Modify") || !p.Allows("/", "Sys.Audit") {
			n.on("/nodes/"+l.Ref.Node, "Sys.AccessNetwork") // or both of these, the older way
		}
	case PullImage:
		n.on("/storage/"+op.Storage, "Datastore.AllocateTemplate")
		n.on("/nodes/"+l.Ref.Node, "Sys.AccessNetwork")
	case JoinPool:
		n.member(op.Pool)
		if old := n.live.PoolOf[n.id]; old != "" {
			n.member(old)
		}
	case LeavePool:
		n.member(op.Pool)
	case CreateJob:
		n.job(op.Values)
	case UpdateJob:
		n.job(op.Was)
		n.job(op.Set)
	case DeleteJob:
		n.on("/", "Sys.Modify")
	}
}

// member is what a change of a pool's members takes.
func (n *needs) member(pool string) {
	n.on("/pool/"+pool, "Pool.Allocate")
	n.on(guestPath(n.id), "VM.Allocate", "Permissions.Modify")
}

func (n *needs) job(v proxmox.Values) {
	n.on("/", "Sys.Audit")
	n.on("/", "Sys.Modify")
	if s := v[spec.JobStorage.PVE]; s != "" {
		n.on("/storage/"+s, "Datastore.Allocate")
	}
	if pool := v[spec.JobPool.PVE]; pool != "" {
		n.on("/pool/"+pool, "VM.Backup")
	}
}

// inPool leaves out what a token may do to the members of the pool that a new container goes into: the pool's
// privileges count for its guests (pve-access-control RPCEnvironment.pm, check_vm_perm).
func (n *needs) inPool(pool string) {
	p := n.live.Permissions
	if pool == "" || p == nil {
		return
	}
	n.list = slices.DeleteFunc(n.list, func(x proxmox.Privileges) bool {
		return x.Path == guestPath(n.id) && slices.ContainsFunc(x.AnyOf, func(priv string) bool { return p.Allows("/pool/"+pool, priv) })
	})
}
