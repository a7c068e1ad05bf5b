package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/retention"
)

// container does what is due for one container.
func (r *run) container(ctx context.Context, s subject, c *Container) error {
	if instead, err := r.fallsBack(ctx, s); err != nil {
		return err
	} else if instead {
		return r.backups(ctx, s, c)
	}
	known := r.known(s)
	if known && r.rests(s, c) {
		return nil
	}
	err := r.work(ctx, s, c, known)
	r.settle(s, c, err)
	return err
}

// work takes what is due and drops what may go. Of a container that is known to be well and has a snapshot due, the list
// that follows the create tells all.
func (r *run) work(ctx context.Context, s subject, c *Container, known bool) (err error) {
	var have []proxmox.Snapshot
	if !known || !c.Due {
		if have, err = r.looked(ctx, s, c); err != nil {
			return err
		}
	}
	mem := r.schedule(s, have, c)
	if c.Due && !r.stopping() {
		if c.Refused, err = r.onFailingDisk(ctx, s); err != nil {
			return err
		}
	}
	if r.DryRun {
		if c.Unfit, err = r.unfit(ctx, s); err != nil {
			return err
		}
		if len(c.Unfit) == 0 { // where none can be taken, none will go
			c.Drops, _ = s.policy.Ahead(have, r.now, c.Next)
		}
	}
	if c.Due && c.Refused == nil && !r.DryRun && !r.stopping() {
		if have, err = r.take(ctx, s, have, c); err != nil {
			r.note(s, mem, true)
			c.tell(s, have, r.now)
			return err
		}
		mem.Failed = false
		r.note(s, mem, false)
		if stuck, err := r.stuck(ctx, s.ref, "", have); known && (stuck != nil || err != nil) {
			c.Stuck = stuck
			c.tell(s, have, r.now)
			return errors.Join(err, asError(stuck))
		}
	} else if !r.DryRun {
		r.Memory.set(s.ref.ID, s.policy.Name, mem)
	}
	c.tell(s, have, r.now)
	err = r.drop(ctx, s, have, mem.Failed, c)
	if c.Refused != nil && !r.DryRun {
		err = errors.Join(c.Refused, err)
	}
	return err
}

// looked lists the snapshots, and returns an error where the container is stuck.
func (r *run) looked(ctx context.Context, s subject, c *Container) ([]proxmox.Snapshot, error) {
	have, err := r.list(ctx, s)
	if err != nil {
		return nil, err
	}
	stuck, err := r.stuck(ctx, s.ref, s.lock, have)
	if stuck != nil || err != nil {
		c.Stuck = stuck
		c.tell(s, have, r.now)
		return nil, errors.Join(err, asError(stuck))
	}
	return have, nil
}

func asError(s *Stuck) error {
	if s == nil {
		return nil
	}
	return s
}

// list reads the snapshots.
func (r *run) list(ctx context.Context, s subject) ([]proxmox.Snapshot, error) {
	have, err := r.Client.Snapshots(ctx, s.ref)
	if err != nil {
		return nil, fmt.Errorf("list snapshots of container %d: %w", s.ref.ID, err)
	}
	return have.List, nil
}

// schedule says whether a snapshot is to be taken now, and returns what is remembered.
func (r *run) schedule(s subject, have []proxmox.Snapshot, c *Container) memory {
	mem := r.Memory.get(s.ref.ID, s.policy.Name)
	last := s.policy.Last(have)
	if mem.Tried.After(last) {
		last = mem.Tried
	}
	if last.IsZero() {
		last = mem.First
	}
	if mem.First.IsZero() {
		mem.First = r.now
	}
	due, ever := s.policy.Due(s.want.ID.String(), last, r.now)
	if ever {
		c.Next, c.Missed = due.At, due.Missed
	}
	c.Due = ever && due.Now(r.now) && r.Take == TakeDue || r.Take == TakeNow
	return mem
}

// note remembers an attempt.
func (r *run) note(s subject, mem memory, failed bool) {
	mem.Tried, mem.Failed = r.now, failed
	r.Memory.set(s.ref.ID, s.policy.Name, mem)
}

// tell says of a container how its snapshots are.
func (c *Container) tell(s subject, have []proxmox.Snapshot, now time.Time) {
	c.aged(s.policy, s.policy.Last(have), now)
}

// aged says of a container how old its newest good snapshot is.
func (c *Container) aged(p retention.Policy, newest, now time.Time) {
	if c.Newest = newest; !newest.IsZero() {
		c.Overdue, c.Limit = p.Overdue(newest, now), p.Limit(newest)
	}
}

// take takes a snapshot, and returns the list in which it stands as complete.
func (r *run) take(ctx context.Context, s subject, have []proxmox.Snapshot, c *Container) ([]proxmox.Snapshot, error) {
	kind := retention.Scheduled
	if r.Take == TakeNow {
		kind = retention.ByHand
	}
	if r.doubtful(s) {
		if err := r.refused(ctx, s, c); err != nil {
			return have, err
		}
	}
	name := retention.Name{Prefix: s.policy.Prefix, Policy: s.policy.Name, At: r.now.UTC().Truncate(time.Second)}.String()
	err := r.before(ctx, s)
	if err == nil {
		err = r.do(ctx, s, call{verb: "take", snapshot: name, send: func(ctx context.Context) (proxmox.UPID, error) {
			return r.Client.Snapshot(ctx, s.ref, name, s.policy.Description(kind))
		}})
	}
	err = errors.Join(err, r.after(ctx, s)) // whatever came before it: a command before may have stopped something
	now, listErr := r.list(ctx, s)
	if listErr != nil {
		return have, errors.Join(err, listErr)
	}
	i := slices.IndexFunc(now, func(x proxmox.Snapshot) bool { return x.Name == name })
	switch {
	case i >= 0 && now[i].State == "":
		c.Taken = name
	case err == nil:
		err = fmt.Errorf("snapshot %s of container %d is not there though its task ended well", name, s.ref.ID)
	}
	if err != nil {
		if c.Stuck, _ = r.look(ctx, s, now); c.Stuck == nil && c.Taken == "" {
			err = errors.Join(err, r.refused(ctx, s, c))
		}
	}
	return now, err
}

// look reports whether a container is stuck after something failed, with its lock as it is now.
func (r *run) look(ctx context.Context, s subject, have []proxmox.Snapshot) (*Stuck, error) {
	cfg, err := r.Client.Config(ctx, s.ref)
	if err != nil {
		return nil, err
	}
	return r.stuck(ctx, s.ref, cfg.Current["lock"], have)
}

// drop drops what retention gives up, and what policies leave that the container does not have any more.
func (r *run) drop(ctx context.Context, s subject, have []proxmox.Snapshot, failed bool, c *Container) error {
	// The run may have begun long ago: a snapshot that was taken since is none from the future.
	m := retention.Moment{Now: time.Now(), CreateFailed: failed, Consent: r.Consent}
	c.Decision = retention.Decide(have, s.policy, m)
	if r.Keep || r.DryRun {
		return nil
	}
	left, stale := retention.Leftover(r.want, s.want), false
	for _, p := range append([]retention.Policy{s.policy}, left...) {
		for !r.stopping() && ctx.Err() == nil {
			if stale {
				var err error
				if have, err = r.list(ctx, s); err != nil {
					return err
				}
			}
			m.Dropped, stale = len(c.Dropped), false
			drops := retention.Decide(have, p, m).Drops()
			if len(drops) == 0 {
				break
			}
			if err := r.dropOne(ctx, s, have, planned{drops[0], p, m}, c); err != nil {
				return err
			}
			if stale = true; len(drops) == 1 && len(left) == 0 {
				return nil // there is nothing more to look for
			}
		}
	}
	return nil
}

// planned is a snapshot that is to be dropped, and why.
type planned struct {
	retention.Verdict
	policy retention.Policy
	moment retention.Moment
}

// errSpared is why a snapshot is not dropped that was to be: somebody has changed it, or others, meanwhile.
var errSpared = errors.New("the snapshots have changed meanwhile")

// dropOne drops one snapshot, of a list that was read just now. Where the container was locked, time has passed, and the
// list is read again before the next attempt. Where that fails, it looks whether the container is stuck now.
func (r *run) dropOne(ctx context.Context, s subject, have []proxmox.Snapshot, d planned, c *Container) error {
	name, attempts := d.Name, 0
	err := r.do(ctx, s, call{verb: "drop", snapshot: name, send: func(ctx context.Context) (proxmox.UPID, error) {
		if attempts++; attempts > 1 {
			now, err := r.list(ctx, s)
			if err != nil {
				return proxmox.UPID{}, err
			}
			if !retention.Still(d.Verdict, now, d.policy, d.moment) {
				return proxmox.UPID{}, errSpared
			}
		}
		return r.Client.DeleteSnapshot(ctx, s.ref, name, false)
	}})
	if errors.Is(err, errSpared) {
		return nil // the next look decides anew
	}
	if err == nil {
		c.Dropped = append(c.Dropped, name)
		return nil
	}
	if now, listErr := r.list(ctx, s); listErr == nil {
		have = now
	}
	stuck, lookErr := r.look(ctx, s, have)
	if stuck != nil {
		c.Stuck = stuck
		r.Log.WarnContext(ctx, "container stuck", slog.Int("guest", int(s.ref.ID)), slog.String("lock", stuck.Lock), slog.String("snapshot", name))
		return fmt.Errorf("%w; %w", err, stuck)
	}
	return errors.Join(err, lookErr)
}
