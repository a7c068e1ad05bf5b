package privileged

import (
	"fmt"
	"regexp"

	"github.com/felhom/tend/proxmox"
)

// Lead takes the lock by which the agent of one node acts for an owner on all of a cluster, or gives it back. It is a
// directory below /etc/pve/priv/lock, as Proxmox's own cluster locks are: making it is atomic across the cluster, and one
// that is not renewed for two minutes is removed when somebody asks for it (pve-cluster README, File Locking). Its output is
// a [proxmox.Leadership], as JSON.
type Lead struct {
	Node   string
	Owner  string // tag of the specs that are acted for
	Resign bool   // give it back, where this node has it
}

// KeepLead looks at that lock: it renews one that this node has, and asks for the end of one that another has and does not
// renew. It takes none, so that it changes nothing about who acts. Its output is a [proxmox.Leadership], as JSON.
type KeepLead struct {
	Node  string
	Owner string
}

// Quiet reports whether a request is one that comes every half a minute for ever and changes nothing: it waits for no
// other, and only its failures are worth a record.
func Quiet(r Request) bool {
	_, ok := r.(KeepLead)
	return ok
}

// The places of the lock: the directory itself, and the file in which the node stands that took it last, which is for people
// alone. Nothing lies in the directory, or pmxcfs could not remove it (pve-cluster pmxcfs memdb.c, memdb_delete).
const (
	lockDir = "/etc/pve/priv/lock"
	leadDir = "/etc/pve/priv/tend"
)

// LeadLock is the directory that is the lock of an owner.
func LeadLock(owner string) string { return lockDir + "/tend-" + owner }

// LeadFile is the file in which the node stands that took the lock of an owner last.
func LeadFile(owner string) string { return leadDir + "/" + owner + ".leader" }

var leadLock = regexp.MustCompile(`^` + lockDir + `/tend-[\w+.-]+$`)

// MayLock reports whether a row takes, renews and removes a directory of this path.
func MayLock(path string) bool { return leadLock.MatchString(path) }

// Row is [RowLeader].
func (Lead) Row() Row { return RowLeader }

// Row is [RowLeader].
func (KeepLead) Row() Row { return RowLeader }

// Target is the node.
func (r Lead) Target() proxmox.Ref { return proxmox.Ref{Node: r.Node} }

// Target is the node.
func (r KeepLead) Target() proxmox.Ref { return proxmox.Ref{Node: r.Node} }

func (Lead) kind() string     { return "lead" }
func (KeepLead) kind() string { return "keep-lead" }

// String is "lead for tend from pve1".
func (r Lead) String() string {
	if r.Resign {
		return fmt.Sprintf("resign for %s on %s", r.Owner, r.Node)
	}
	return fmt.Sprintf("lead for %s from %s", r.Owner, r.Node)
}

// String is "keep the lead for tend on pve1".
func (r KeepLead) String() string { return fmt.Sprintf("keep the lead for %s on %s", r.Owner, r.Node) }

// Validate says what is wrong with the request.
func (r Lead) Validate() error { return checkLead(r.Node, r.Owner) }

// Validate says what is wrong with the request.
func (r KeepLead) Validate() error { return checkLead(r.Node, r.Owner) }

func checkLead(node, owner string) error {
	var f faults
	f.add(nodeName.MatchString(node), "%.80q is not the name of a node", node)
	f.add(ownerName.MatchString(owner), "%.80q is not the tag of an owner", owner)
	return f.join()
}
