package sim

import (
	"fmt"
	"io/fs"
	"regexp"
	"time"

	"github.com/felhom/tend/proxmox"
)

// A cfsLock is a cluster lock: a directory below /etc/pve/priv/lock (pve-cluster README, File Locking). It is gone with the
// simulator, where a real one is in the database and expires.
type cfsLock struct {
	node    string    // that made it, the only one that can renew it
	mtime   time.Time // as the one who renews it says
	touched time.Time // when this was seen, from which its life counts
}

// cfsLockLife is how long a lock lives that nobody renews (pve-cluster pmxcfs memdb.c, CFS_LOCK_TIMEOUT).
const cfsLockLife = 120 * time.Second

var cfsLockPath = regexp.MustCompile(`^/etc/pve/priv/lock/[^/]+$`)

// makeLock makes a cluster lock: one that is there stays, expired or not, until somebody asks for its end.
func (r *Root) makeLock(name string) (made bool, err error) {
	s := r.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.st.Nodes[r.node] == nil:
		return false, fmt.Errorf("there is no node %s", r.node)
	case !s.st.Cluster.Quorate: // pmxcfs dcdb.c, dcdb_send_fuse_message
		return false, fmt.Errorf("%s: %w", name, fs.ErrPermission)
	case s.cfsLocks[name] != nil:
		return false, nil
	}
	now := s.opts.Now()
	s.cfsLocks[name] = &cfsLock{node: r.node, mtime: now, touched: now}
	return true, nil
}

// SetTime renews a cluster lock, or asks for the end of one (pve-cluster pmxcfs memdb.c, memdb_mtime; cfs-plug-memdb.c,
// cfs_plug_memdb_utimens).
func (r *Root) SetTime(name string, t time.Time) error {
	s := r.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	l, now := s.cfsLocks[name], s.opts.Now()
	switch {
	case l == nil:
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case !s.st.Cluster.Quorate:
		return fmt.Errorf("%s: %w", name, proxmox.ErrNoQuorum)
	case t.Unix() == 0 && now.Sub(l.touched) > cfsLockLife:
		delete(s.cfsLocks, name)
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case t.Unix() < l.mtime.Unix() || l.node != r.node: // it knows whole seconds
		return fmt.Errorf("%s: %w", name, fs.ErrPermission)
	}
	l.mtime, l.touched = t, now
	return nil
}

// RemoveDir removes a cluster lock, whoever has it.
func (r *Root) RemoveDir(name string) error {
	s := r.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfsLocks[name] != nil && !s.st.Cluster.Quorate {
		return fmt.Errorf("%s: %w", name, fs.ErrPermission)
	}
	delete(s.cfsLocks, name)
	return nil
}
