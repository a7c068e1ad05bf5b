package snapshot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// A DiskChecker reads how the disks of a node are. What it cannot read is unknown, and in nobody's way.
type DiskChecker interface {
	Check(ctx context.Context, node string) *health.Node
}

// A FailingDisk is why no snapshot is taken of a container though one is due: a disk below one of its volumes is failing,
// or, where it has backups in place of snapshots, one below their storage. What may go is dropped all the same.
type FailingDisk struct {
	What  string // what is not taken: snapshot or backup
	ID    proxmox.VMID
	Node  string
	Why   string // a sentence that names storage and disk
	Disks []health.Disk
	Voice plan.Voice // to whom it speaks of the way out
}

// Error is a sentence with the way out.
func (f *FailingDisk) Error() string {
	return fmt.Sprintf("no %s of container %d is taken: %s (to take them all the same: %s)", f.What, f.ID, f.Why, f.Voice.AllowDisks(f.Node, f.Disks))
}

// disksOf reads the disks of a node, once in a run, and only when a snapshot is about to be taken there.
func (r *run) disksOf(ctx context.Context, node string) *health.Node {
	r.diskMu.Lock()
	defer r.diskMu.Unlock()
	if _, read := r.nodeDisks[node]; !read && r.Disks != nil {
		r.nodeDisks[node] = r.Disks.Check(ctx, node)
	}
	return r.nodeDisks[node]
}

// onFailingDisk looks whether a volume of a container lies on a failing disk. The configuration is read only where the
// node has one.
func (r *run) onFailingDisk(ctx context.Context, s subject) (*FailingDisk, error) {
	node := r.disksOf(ctx, s.ref.Node)
	if !node.Fails() {
		return nil, nil
	}
	cfg, err := r.Client.Config(ctx, s.ref)
	if err != nil {
		return nil, fmt.Errorf("read configuration of container %d: %w", s.ref.ID, err)
	}
	return r.refuses(ctx, s, "snapshot", storagesOf(cfg.Current)), nil
}

// refuses is the refusal to put something on storages that lie on a failing disk; nil where none is known to.
func (r *run) refuses(ctx context.Context, s subject, what string, storages []string) *FailingDisk {
	node := r.disksOf(ctx, s.ref.Node)
	for _, storage := range storages {
		if o := node.On(storage, r.AllowDisks); o.Why != "" && !o.Allowed {
			return &FailingDisk{What: what, ID: s.ref.ID, Node: s.ref.Node, Why: o.Why, Disks: o.Disks, Voice: r.Voice}
		}
	}
	return nil
}

// storagesOf are the storages of the volumes that a snapshot would be made of.
func storagesOf(v proxmox.Values) (out []string) {
	for _, key := range v.Keys() {
		_, isMount := setting.Mounts.Index(key)
		volume, _, _ := strings.Cut(strings.TrimPrefix(v[key], "volume="), ",")
		storage, _, ok := strings.Cut(volume, ":")
		if (isMount || key == setting.RootFS.PVE) && ok && !strings.HasPrefix(volume, "/") && !slices.Contains(out, storage) {
			out = append(out, storage)
		}
	}
	return out
}
