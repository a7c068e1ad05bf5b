package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A Rollback is a container that shall be brought back to one of its snapshots, and what is agreed to.
type Rollback struct {
	ID       proxmox.VMID
	Snapshot string
	// BackUpTo is the storage for a backup of the present state where no snapshot can keep it; empty: none.
	BackUpTo string
	// Lose says that it may be lost.
	Lose bool
	Now  time.Time // for the name of the snapshot of the present state
}

// ComputeRollback makes the plan of a rollback: one lane, or all that is known to be in the way of it. What is in the
// way is never removed. It is total and deterministic, as [Compute].
//
// Proxmox stops the container by force, puts the volumes back one by one, and puts the whole configuration of the
// snapshot in place of the present one but for the description and the unused volumes; what is pending is dropped
// (pve-guest-common AbstractConfig.pm, snapshot_rollback). The snapshot may lack the owner's tag, which is put back.
func ComputeRollback(want *spec.State, have *Live, r Rollback) *Plan {
	c := &computation{want: want, have: have, plan: &Plan{Cluster: cmp.Or(want.Cluster.Name, have.Cluster), needs: newNeeds()}, used: map[proxmox.VMID]bool{}}
	b := rollback{computation: c, Rollback: r, name: r.ID.String()}
	if i := slices.IndexFunc(want.Containers, func(w *spec.Container) bool { return w.ID == r.ID }); i >= 0 {
		b.w, b.name = want.Containers[i], want.Containers[i].Name
	}
	b.at = have.Containers[r.ID]
	if b.able() {
		b.inTheWay()
		b.lane()
	}
	return c.plan
}

// RollsBack reports whether the lane brings a container back to a snapshot because somebody asked for it.
func (l Lane) RollsBack() bool {
	has := func(is func(Op) bool) bool {
		return slices.ContainsFunc(l.Steps, func(s Step) bool { return is(s.Op) })
	}
	return has(func(op Op) bool { _, ok := op.(RollBack); return ok }) && !has(func(op Op) bool { _, ok := op.(Unlock); return ok })
}

type rollback struct {
	*computation
	Rollback
	w    *spec.Container
	at   *Observed
	name string
	held proxmox.Values // what the snapshot holds
}

func (b *rollback) refuse(reason string, ways ...string) {
	b.block(Blocked{ID: b.ID, Name: b.name, What: "roll back", Reason: reason, Ways: ways})
}

// able reports whether there is a container of the spec with the snapshot, on which no operation is at work and none has
// died. What keeps it from that is blocked.
func (b *rollback) able() bool {
	switch {
	case b.w == nil:
		b.refuse("the spec does not declare it", "declare it: tend import "+b.ID.String())
	case b.at == nil:
		b.refuse("there is no such container, or the token may not see it")
	case !b.ours(b.at):
		b.refuse(fmt.Sprintf("it does not carry the tag %q of this spec", b.want.Cluster.Owner), "take it over first: write adopt: true, or apply with --adopt")
	case b.at.Broken != nil:
		b.refuse(b.at.Broken.Error())
	case b.at.Lock != "":
		b.locked()
	case setting.Template.Or(b.at.Current.Record, false):
		b.refuse("it is a template, which Proxmox does not roll back")
	default:
		return b.found()
	}
	return false
}

// locked says who holds the lock, or what was left of an operation that died.
func (b *rollback) locked() {
	if l := b.stuck(b.w, b.at); l != nil {
		b.recoverable(l, b.at, b.name)
		return
	}
	who := "whether a task works on it is not known"
	if h := b.at.Holder; h != nil && !h.Task.IsZero() {
		who = "task " + h.Task.Type + " of " + h.Task.User + " works on it"
	}
	b.refuse("it is locked ("+b.at.Lock+"): "+who, "roll back when that has ended")
}

// found reports whether the snapshot is there and whole.
func (b *rollback) found() bool {
	i := slices.IndexFunc(b.at.Snapshots, func(s proxmox.Snapshot) bool { return s.Name == b.Snapshot })
	held, read := b.at.Held[b.Snapshot]
	switch {
	case i < 0:
		var names []string
		for _, s := range newestFirst(b.at.Snapshots) {
			names = append(names, s.Name)
		}
		ways := []string{"it has: " + join(names)}
		if len(names) == 0 {
			ways = []string{"it has no snapshot"}
		}
		b.refuse("there is no snapshot "+b.Snapshot, ways...)
	case b.at.Snapshots[i].State != "":
		l := b.halfSnapshots(&leftover{}, b.at)
		b.refuse(fmt.Sprintf("snapshot %s is incomplete (%s)", b.Snapshot, b.at.Snapshots[i].State), l.runbook(b.ID, b.at.Ref.Node)...)
	case !read:
		b.refuse("what snapshot " + b.Snapshot + " holds could not be read")
	default:
		b.held = held
		return true
	}
	return false
}

func newestFirst(list []proxmox.Snapshot) []proxmox.Snapshot {
	return slices.SortedFunc(slices.Values(list), func(a, b proxmox.Snapshot) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Name, b.Name))
	})
}

// inTheWay blocks for all that Proxmox would refuse, and for what it would not and should.
func (b *rollback) inTheWay() {
	b.newer()
	if setting.Protection.Or(b.at.Current.Record, false) {
		b.refuse("it is protected; Proxmox would roll it back all the same", "write protection: false and apply, then roll back")
	}
	if state := b.have.HA[b.ID]; state != "" && state != "ignored" {
		b.refuse("it is managed by HA (state "+state+"), which would start it while its volumes go back",
			fmt.Sprintf("take it out of HA's hands meanwhile: ha-manager set ct:%d --state ignored, and after it --state %s", b.ID, state))
	}
}

// newer finds the snapshots that are newer on a volume that goes back to its newest snapshot alone.
func (b *rollback) newer() {
	volumes := b.have.newestVolumes(b.at.Ref.Node, b.held)
	if len(volumes) == 0 {
		return
	}
	var names, ways []string
	for _, s := range b.since() {
		held, read := b.at.Held[s.Name]
		if read && !slices.ContainsFunc(volumes, func(v string) bool { return holds(held, v) }) {
			continue
		}
		text := s.Name
		if m, ours := retention.ParseMarker(s.Description); !ours || m.Owner != b.want.Cluster.Owner {
			text += " (not tend's)"
		}
		names = append(names, text)
		ways = append(ways, fmt.Sprintf("%s, if it is not wanted: %s", s.Name, ByHand(DeleteSnapshot{Name: s.Name}, b.ID)))
	}
	if len(names) > 0 {
		ways = append([]string{"roll back to the newest: " + newestFirst(b.at.Snapshots)[0].Name}, ways...)
		b.refuse(fmt.Sprintf("storage %s goes back to the newest snapshot of a volume alone, and newer are: %s", storageOf(volumes[0]), join(names)), ways...)
		return
	}
	b.warn("%d: other tools may have newer snapshots on %s, which no call shows: Proxmox then refuses before it changes anything. "+
		"Newer ones of replication (__replicate_*) it destroys; the next replication begins from %s", b.ID, join(volumes), b.Snapshot)
}

// since are the snapshots that were taken after the one in question, the newest first.
func (b *rollback) since() (out []proxmox.Snapshot) {
	parent := map[string]string{}
	var at time.Time
	for _, s := range b.at.Snapshots {
		parent[s.Name] = s.Parent
		if s.Name == b.Snapshot {
			at = s.Time
		}
	}
	after := func(name string) bool {
		for range b.at.Snapshots { // parents may go round in a circle
			if name = parent[name]; name == b.Snapshot {
				return true
			}
		}
		return false
	}
	for _, s := range newestFirst(b.at.Snapshots) {
		if s.Name != b.Snapshot && (s.Time.After(at) || after(s.Name)) {
			out = append(out, s)
		}
	}
	return out
}

// holds reports whether a configuration mounts a volume.
func holds(config proxmox.Values, volume string) bool {
	for key, text := range config {
		if volumeOf(key, text) == volume {
			return true
		}
	}
	return false
}

// lane makes the steps, unless something is in the way.
func (b *rollback) lane() {
	l := Lane{Ref: b.at.Ref, Name: b.name, Action: Change, Base: b.at.Config}
	keep, ok := b.present()
	if !ok {
		return
	}
	l.Steps = append(keep, Step{Op: RollBack{Name: b.Snapshot}, Cause: b.cause()})
	if b.at.Running {
		l.Steps[len(l.Steps)-1].Effect, l.Effect = setting.Restart, setting.Restart
	}
	if !b.tagged() {
		l.Steps = append(l.Steps, Step{Op: b.ownTags(b.w), Cause: "the owner's tag, which the snapshot does not have"})
	}
	if b.at.Running {
		l.Steps = append(l.Steps, Step{Op: Start{}, Cause: "it ran before"})
	}
	if why, ways := b.obstacles(l, l.Steps); why != "" {
		b.refuse(why, ways...)
	}
	if len(b.plan.Blocked) > 0 {
		return
	}
	if n := len(b.at.Config.Pending) + len(b.at.Config.Deleted); n > 0 {
		b.warn("%d: what is pending is dropped", b.ID)
	}
	b.plan.Lanes = []Lane{l}
}

// cause says what goes back.
func (b *rollback) cause() string {
	text := "what was written since is lost"
	if b.at.Running {
		text = "it is stopped by force, and " + text
	}
	var keys []string
	for _, key := range unionKeys(b.held, b.at.Config.Current) {
		if b.held[key] != b.at.Config.Current[key] && goesBack(key) {
			keys = append(keys, key)
		}
	}
	if len(keys) > 0 {
		text += "; its configuration goes back, too: " + join(keys)
	}
	return text
}

// goesBack reports whether a key of the configuration is a setting that a rollback puts back.
func goesBack(key string) bool {
	_, unused := setting.Unused.Index(key)
	return !unused && !slices.Contains([]string{"description", "lock", "parent", "snaptime", "snapstate", "digest"}, key)
}

func unionKeys(a, b proxmox.Values) []string {
	keys := append(a.Keys(), b.Keys()...)
	slices.Sort(keys)
	return slices.Compact(keys)
}

// tagged reports whether the snapshot holds the owner's tag.
func (b *rollback) tagged() bool {
	tags, err := setting.Tags.ParseWire(b.held[setting.Tags.PVE])
	list, _ := tags.([]string)
	return err == nil && (&Observed{Tags: list}).Owned(b.want.Cluster.Owner)
}

// present keeps the present state, by a snapshot where that leaves the rollback possible, and else by a backup.
func (b *rollback) present() (keep []Step, ok bool) {
	why, ways := b.have.noSnapshot(b.at.Ref.Node, b.at.Current.Record)
	for _, v := range b.have.newestVolumes(b.at.Ref.Node, b.held) {
		if why == "" && holds(b.at.Config.Current, v) {
			why, ways = "a snapshot of it would be newer, and storage "+storageOf(v)+" goes back to the newest alone", nil
		}
	}
	switch {
	case b.BackUpTo != "":
		return []Step{{Op: Backup{Storage: b.BackUpTo, Mode: proxmox.BackupSnapshot}, Cause: "the present state"}}, true
	case why == "":
		return []Step{b.snapshot()}, true
	case b.Lose:
		b.warn("%d: the present state is lost: %s", b.ID, why)
		return nil, true
	}
	ways = append([]string{"back it up: --back-up-to STORAGE", "go on and lose it: --lose-present"}, ways...)
	b.refuse("no snapshot can keep the present state: "+why, ways...)
	return nil, false
}

// snapshot takes one of the present state, as before any change. A container without a policy has none that would drop it.
func (b *rollback) snapshot() Step {
	p, has := retention.For(b.want, b.w)
	cause := "the present state, kept until " + b.Now.Add(cmp.Or(p.SnapshotPolicy, &spec.SnapshotPolicy{}).ChangeAge).UTC().Format("2006-01-02 15:04 UTC")
	if !has {
		p = retention.Policy{SnapshotPolicy: &spec.SnapshotPolicy{Name: "rollback", Prefix: *spec.PolicyPrefix.Default}, Owner: b.want.Cluster.Owner}
		cause = "the present state, kept until somebody deletes it"
	}
	return Step{Op: TakeSnapshot{Name: p.SnapshotName(b.Now), Description: p.Description(retention.BeforeChange)}, Cause: cause}
}
