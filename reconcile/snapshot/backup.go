package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/retention"
)

// fallsBack reports whether a container has backups in place of snapshots: its policy says where to, and Proxmox says
// that it cannot have a snapshot, by the very test that taking one makes (pve-container API2/LXC.pm, vm_feature).
func (r *run) fallsBack(ctx context.Context, s subject) (bool, error) {
	if s.policy.Fallback == "" {
		return false, nil
	}
	can, err := r.Client.HasFeature(ctx, s.ref, proxmox.FeatureSnapshot)
	if err != nil {
		return false, fmt.Errorf("ask whether container %d can have snapshots: %w", s.ref.ID, err)
	}
	return !can, nil
}

// backups does for a container what is done about snapshots elsewhere, with backups: one is made when it is due, and what
// retention gives up is removed one at a time, only once the new one is listed. What does not carry the policy's marker,
// or is protected, is neither removed nor counted.
func (r *run) backups(ctx context.Context, s subject, c *Container) error {
	c.Fallback = s.policy.Fallback
	have, err := r.shelf(ctx, s)
	if err != nil {
		return err
	}
	mem := r.schedule(s, have.List, c)
	if c.Due && !r.stopping() {
		c.Refused = r.refuses(ctx, s, "backup", []string{c.Fallback})
	}
	if c.Due && c.Refused == nil && !r.DryRun && !r.stopping() {
		have, err = r.backUp(ctx, s, have, c)
		r.note(s, mem, err != nil)
		c.tell(s, have.List, r.now)
		if err != nil {
			return err
		}
		mem.Failed = false
	} else if !r.DryRun {
		r.Memory.set(s.ref.ID, s.policy.Name, mem)
	}
	c.tell(s, have.List, r.now)
	err = r.remove(ctx, s, have, mem.Failed, c)
	if c.Refused != nil && !r.DryRun {
		err = errors.Join(c.Refused, err)
	}
	return err
}

// shelf lists the backups of a container on the storage of its policy.
func (r *run) shelf(ctx context.Context, s subject) (retention.Shelf, error) {
	list, err := r.Client.StorageContent(ctx, s.ref.Node, s.policy.Fallback, proxmox.ContentFilter{Content: proxmox.ContentBackups, Guest: s.ref.ID})
	if err != nil {
		return retention.Shelf{}, fmt.Errorf("list backups of container %d on %s: %w", s.ref.ID, s.policy.Fallback, err)
	}
	return s.policy.Shelve(list), nil
}

// backUp makes a backup, and returns the list in which it stands. Older ones are left to retention: those of others
// must not be removed by the storage's own.
func (r *run) backUp(ctx context.Context, s subject, have retention.Shelf, c *Container) (retention.Shelf, error) {
	if s.lock != "" {
		return have, fmt.Errorf("container %d is locked (%s): no backup is made", s.ref.ID, s.lock)
	}
	kind := retention.Scheduled
	if r.Take == TakeNow {
		kind = retention.ByHand
	}
	notes := s.policy.Description(kind)
	err := r.before(ctx, s)
	if err == nil {
		name := retention.Name{Prefix: s.policy.Prefix, Policy: s.policy.Name, At: r.now.UTC().Truncate(time.Second)}.String()
		err = r.do(ctx, s, call{verb: "take", snapshot: name, backup: true, send: func(ctx context.Context) (proxmox.UPID, error) {
			return r.Client.Backup(ctx, s.ref.Node, proxmox.BackupParams{
				Guests: []proxmox.VMID{s.ref.ID}, Storage: s.policy.Fallback, Mode: proxmox.BackupSnapshot, Compress: proxmox.CompressZstd,
				Notes: notes, KeepOld: true,
			})
		}})
	}
	if after := r.after(ctx, s); after != nil && err == nil {
		err = after
	}
	if err != nil {
		return have, err
	}
	now, err := r.shelf(ctx, s)
	if err != nil {
		return have, err
	}
	for _, x := range now.List {
		if _, before := have.Volumes[x.Name]; !before && x.State == "" && x.Description == notes {
			c.Taken = now.Volumes[x.Name]
		}
	}
	if c.Taken == "" {
		return now, fmt.Errorf("the backup of container %d is not on %s, or the token is not shown it, though its task ended well", s.ref.ID, s.policy.Fallback)
	}
	return now, nil
}

// remove removes what retention gives up.
func (r *run) remove(ctx context.Context, s subject, have retention.Shelf, failed bool, c *Container) error {
	m := retention.Moment{Now: time.Now(), CreateFailed: failed, Consent: r.Consent}
	c.Decision, c.Volumes = retention.Decide(have.List, s.policy, m), have.Volumes
	held := map[string]bool{} // by notes that lists do not show
	for !r.Keep && !r.DryRun && !r.stopping() && ctx.Err() == nil {
		for i := range have.List {
			if held[have.List[i].Name] {
				have.List[i].Description += "\nhold"
			}
		}
		m.Dropped = len(c.Dropped)
		drops := retention.Decide(have.List, s.policy, m).Drops()
		if len(drops) == 0 {
			return nil
		}
		removed, err := r.removeOne(ctx, s, drops[0], have.Volumes[drops[0].Name], c)
		if err != nil {
			return err
		}
		held[drops[0].Name] = !removed
		if removed && len(drops) == 1 {
			return nil
		}
		if have, err = r.shelf(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// removeOne removes one backup, after a look at all of its notes: lists tell their first line alone, and what somebody
// has written below it may be a hold. Whatever it is, the backup is left to that person.
func (r *run) removeOne(ctx context.Context, s subject, v retention.Verdict, volume string, c *Container) (removed bool, err error) {
	notes, err := r.Client.BackupNotes(ctx, s.ref.Node, volume)
	if err != nil {
		return false, fmt.Errorf("read the notes of %s: %w", volume, err)
	}
	if strings.TrimSpace(notes) != strings.TrimSpace(v.Description) {
		return false, nil
	}
	err = r.do(ctx, s, call{verb: "drop", snapshot: volume, backup: true, send: func(ctx context.Context) (proxmox.UPID, error) {
		return r.Client.DeleteBackup(ctx, s.ref.Node, volume)
	}})
	if err != nil {
		return false, err
	}
	c.Dropped = append(c.Dropped, volume)
	return true, nil
}
