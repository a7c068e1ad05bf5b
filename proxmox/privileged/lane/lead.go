package lane

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

// errClock is why a lock that this node made cannot be renewed by it though there is a quorum: pmxcfs takes no time before
// the last one.
var errClock = errors.New("the lock of this node cannot be renewed: the clock was set back, and it expires")

// tooLate is how long after the look at a lock it is not removed any more: it may be another's by then.
const tooLate = time.Minute

// lead takes the lock of an owner, or gives it back.
func (l Lane) lead(r privileged.Lead) (privileged.Result, error) {
	lock := privileged.LeadLock(r.Owner)
	if r.Resign {
		return l.resign(r)
	}
	made, err := l.Backend.MakeDir(lock, 0o700)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return privileged.Result{}, proxmox.ErrNoQuorum
	case err != nil:
		return privileged.Result{}, err
	case !made:
		return l.keepLead(privileged.KeepLead{Node: r.Node, Owner: r.Owner})
	}
	out, err := leadership(proxmox.LeadOurs, r.Node)
	out.Changed = true
	file := privileged.LeadFile(r.Owner)
	_, werr := l.Backend.MakeDir(path.Dir(file), 0o700)
	if werr == nil {
		werr = l.Backend.ReplaceFile(file, nil, []byte(r.Node+"\n"), 0o600)
	}
	if werr != nil {
		out.Notes = append(out.Notes, "who leads is not written down: "+werr.Error()) // it is for people: the lock is held
	}
	return out, err
}

// resign removes the lock where this node has it, which pmxcfs itself does not look at.
func (l Lane) resign(r privileged.Lead) (privileged.Result, error) {
	began := time.Now()
	had, err := l.standing(r.Node, r.Owner)
	if err != nil {
		return privileged.Result{}, err
	}
	if had.State != proxmox.LeadOurs {
		return leadership(had.State, had.Node)
	}
	if time.Since(began) > tooLate {
		return privileged.Result{}, errors.New("looking at the lock took too long: it expires by itself")
	}
	if err := l.Backend.RemoveDir(privileged.LeadLock(r.Owner)); err != nil {
		return privileged.Result{}, err
	}
	out, err := leadership(proxmox.LeadFree, "")
	out.Changed = true
	return out, err
}

// keepLead renews the lock of an owner where this node has it.
func (l Lane) keepLead(r privileged.KeepLead) (privileged.Result, error) {
	is, err := l.standing(r.Node, r.Owner)
	if err != nil {
		return privileged.Result{}, err
	}
	return leadership(is.State, is.Node)
}

// standing says who has the lock, and renews one of this node. Renewing is how it is known whose it is: pmxcfs lets the
// node alone that made it (pve-cluster pmxcfs memdb.c, memdb_mtime).
func (l Lane) standing(node, owner string) (proxmox.Leadership, error) {
	lock := privileged.LeadLock(owner)
	err := l.Backend.SetTime(lock, time.Now())
	switch {
	case err == nil:
		return proxmox.Leadership{State: proxmox.LeadOurs, Node: node}, nil
	case errors.Is(err, fs.ErrNotExist):
		return proxmox.Leadership{State: proxmox.LeadFree}, nil
	case errors.Is(err, proxmox.ErrNoQuorum) || !errors.Is(err, fs.ErrPermission):
		return proxmox.Leadership{}, err
	}
	err = l.Backend.SetTime(lock, time.Unix(0, 0)) // "cfs unlock request" (pve-cluster Cluster.pm, cfs_lock)
	if errors.Is(err, fs.ErrNotExist) {
		return proxmox.Leadership{State: proxmox.LeadFree}, nil
	}
	text, _, rerr := l.Backend.ReadFile(privileged.LeadFile(owner))
	by := strings.TrimSpace(string(text))
	if rerr == nil && by == node {
		return proxmox.Leadership{}, errClock
	}
	return proxmox.Leadership{State: proxmox.LeadTheirs, Node: by}, nil
}

func leadership(s proxmox.LeadState, node string) (privileged.Result, error) {
	text, err := json.Marshal(proxmox.Leadership{State: s, Node: node})
	return privileged.Result{Output: text}, err
}
