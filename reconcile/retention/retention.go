// Package retention decides about the snapshots of a container: when one is due, and which are kept, which are
// dropped, and why.
//
// Which periods have a snapshot is decided by Proxmox's own rules ([proxmox/prune]). What stands above them is there
// so that no mistake costs the last thing that could be restored: what is not certainly this owner's and this
// policy's is never touched and never counted, nor is what is held or incomplete; the newest good snapshot stays; a
// run drops few; and where something is odd (the last snapshot failed or is overdue, a time lies in the future, more
// than half would go) a run drops nothing and says why.
//
// The package is pure: time and listings are arguments, nothing is taken or dropped here. Package view makes what
// people read from a [Decision].
//
// [proxmox/prune]: https://pkg.go.dev/github.com/felhom/tend/proxmox/prune
package retention

import (
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/prune"
	"github.com/felhom/tend/spec"
)

// Skew is how far clocks may differ: a snapshot's time is the node's clock's, and a snapshot that was taken just now
// is not one from the future.
const Skew = 5 * time.Minute

// A Policy is what the snapshots of a container are judged by.
type Policy struct {
	*spec.SnapshotPolicy
	Owner string   // whose snapshots they are: that of the spec
	Holds []string // names of snapshots that are never dropped
	// Unused says that the container does not have the policy any more, and that its snapshots are to be dropped.
	Unused bool
}

// For returns the policy of a container; ok is false where it has none.
func For(s *spec.State, c *spec.Container) (p Policy, ok bool) {
	sp := s.PolicyOf(c)
	return Policy{SnapshotPolicy: sp, Owner: s.Cluster.Owner, Holds: c.Holds}, sp != nil
}

// Leftover returns the policies whose snapshots a container is to lose since it does not have them any more.
func Leftover(s *spec.State, c *spec.Container) []Policy {
	var out []Policy
	has := s.PolicyOf(c)
	for _, sp := range s.Policies {
		if sp.DropUnused && (has == nil || has.Name != sp.Name) {
			out = append(out, Policy{SnapshotPolicy: sp, Owner: s.Cluster.Owner, Holds: c.Holds, Unused: true})
		}
	}
	return out
}

// A Moment is what a decision depends on besides policy and snapshots.
type Moment struct {
	Now          time.Time
	CreateFailed bool // the last attempt to take a snapshot of the policy failed
	Consent      bool // a person agreed that more than half are dropped
	Dropped      int  // how many snapshots of the container this run has dropped already, of any policy
}

// Decide says what becomes of each snapshot of a container, under one of its policies.
func Decide(have []proxmox.Snapshot, p Policy, m Moment) Decision {
	d := decider{policy: p, moment: m}
	d.verdicts = make([]Verdict, len(have))
	for i, s := range have {
		d.verdicts[i] = d.classify(s)
	}
	d.ask()
	d.guard()
	d.refuse()
	d.limit()
	return Decision{Verdicts: d.verdicts, Refusals: d.refusals, Policy: p, Now: m.Now}
}

type decider struct {
	policy   Policy
	moment   Moment
	verdicts []Verdict
	refusals []Refusal
	counted  int // snapshots that the rules were asked about
	wanted   int // those of them that shall go
}

// classify finds whose a snapshot is, and what settles its fate before the rules are asked.
func (d *decider) classify(s proxmox.Snapshot) Verdict {
	v := Verdict{Snapshot: s, Why: Foreign, by: -1}
	marker, ok := ParseMarker(s.Description)
	if !ok || marker.Owner != d.policy.Owner {
		return v
	}
	v.Kind = marker.Kind
	if _, ok := ParseName(s.Name, d.policy.Prefix, d.policy.Name); !ok || marker.Policy != d.policy.Name {
		if named(s.Name, marker.Policy) { // or of this one, under another prefix
			v.Why = OtherPolicy
		}
		return v
	}
	switch {
	case s.State != "":
		v.Why = Incomplete
	case s.Time.Unix() <= 0:
		v.Why = Timeless
	case slices.Contains(d.policy.Holds, s.Name):
		v.Why = Held
	case HeldBy(s.Description):
		v.Why = HeldByDescription
	default:
		v.Why = Undecided
	}
	return v
}

// named reports whether a name is one of a policy, whatever its prefix.
func named(name, policy string) bool {
	end := len(name) - len(spec.SnapshotStamp) - len(policy) - 2
	if end < 1 {
		return false
	}
	_, ok := ParseName(name, name[:end], policy)
	return ok
}

// ask asks the rules about what is left.
func (d *decider) ask() {
	entries := make([]prune.Entry, 0, len(d.verdicts))
	index := make([]int, 0, len(d.verdicts))
	for i := range d.verdicts {
		v := &d.verdicts[i]
		switch {
		case v.Why != Undecided:
		case d.policy.Unused:
			v.Action, v.Why = Drop, Unused
		case v.Kind == BeforeChange:
			v.Why = Unexpired
			if d.moment.Now.Sub(v.Time) > d.policy.ChangeAge {
				v.Action, v.Why = Drop, Expired
			}
		default:
			entries, index = append(entries, prune.Entry{Time: v.Time}), append(index, i)
		}
	}
	d.counted = len(entries)
	for j, mark := range prune.Select(entries, d.policy.Keep, d.policy.Times.Location) {
		v := &d.verdicts[index[j]]
		v.Rule, v.N, v.Why = mark.Rule, mark.N, Kept
		switch {
		case mark.Fate != prune.Removed:
		case mark.By >= 0:
			v.Action, v.Why, v.by = Drop, Covered, index[mark.By]
			v.By = d.verdicts[v.by].Name
		default:
			v.Action, v.Why = Drop, Past
		}
	}
}

// guard takes back what must not be dropped, whatever the rules say.
func (d *decider) guard() {
	newest, own := d.newest()
	for i := range d.verdicts {
		v := &d.verdicts[i]
		if v.Action != Drop {
			continue
		}
		switch {
		case i == newest, i == own && !d.policy.Unused:
			v.Action, v.Why = Keep, Newest
		case d.moment.Now.Sub(v.Time) < d.policy.MinAge:
			v.Action, v.Why = Keep, Young
		case d.twice(i):
			v.Action, v.Why = Keep, Twice
		case v.Why == Covered || v.Why == Past:
			d.wanted++
		}
	}
}

// newest finds the newest good snapshot of the owner, and the newest good one of the policy; -1 where there is none.
func (d *decider) newest() (all, own int) {
	all, own = -1, -1
	for i := range d.verdicts {
		v := &d.verdicts[i]
		if !v.good() {
			continue
		}
		if all < 0 || v.Time.After(d.verdicts[all].Time) {
			all = i
		}
		if v.Why != OtherPolicy && (own < 0 || v.Time.After(d.verdicts[own].Time)) {
			own = i
		}
	}
	return all, own
}

// twice reports whether a name is listed more than once: deleting one would be deleting any of them.
func (d *decider) twice(i int) bool {
	for j := range d.verdicts {
		if j != i && d.verdicts[j].Name == d.verdicts[i].Name {
			return true
		}
	}
	return false
}

// refuse finds reasons to drop nothing at all.
func (d *decider) refuse() {
	if v := d.future(); v != nil {
		d.refusals = append(d.refusals, Refusal{Kind: Future, Snapshot: v.Name, At: v.Time})
	}
	if d.policy.Unused {
		return
	}
	if d.moment.CreateFailed {
		d.refusals = append(d.refusals, Refusal{Kind: CreateFailed})
	}
	if last, ok := d.last(); ok && d.policy.Overdue(last.Time, d.moment.Now) {
		d.refusals = append(d.refusals, Refusal{Kind: Overdue, Snapshot: last.Name, At: last.Time})
	}
	if !d.moment.Consent && 2*d.wanted > d.counted {
		d.refusals = append(d.refusals, Refusal{Kind: TooMany, N: d.wanted, Of: d.counted})
	}
}

// future finds the snapshot of the owner that lies furthest in the future.
func (d *decider) future() *Verdict {
	var out *Verdict
	for i := range d.verdicts {
		v := &d.verdicts[i]
		if v.Why != Foreign && v.Time.After(d.moment.Now.Add(Skew)) && (out == nil || v.Time.After(out.Time)) {
			out = v
		}
	}
	return out
}

// last finds the newest good snapshot of the policy that was not taken before a change.
func (d *decider) last() (out Verdict, ok bool) {
	for _, v := range d.verdicts {
		if v.good() && v.Why != OtherPolicy && v.Kind != BeforeChange && (!ok || v.Time.After(out.Time)) {
			out, ok = v, true
		}
	}
	return out, ok
}

// limit leaves for later what this run may not drop: everything where it refuses, else all but the oldest few.
func (d *decider) limit() {
	room := max(0, d.policy.MaxDeletions-d.moment.Dropped)
	if len(d.refusals) > 0 {
		room = 0
	}
	oldest := make([]int, 0, len(d.verdicts))
	for i := range d.verdicts {
		if d.verdicts[i].Action == Drop {
			oldest = append(oldest, i)
		}
	}
	if len(oldest) <= room {
		return
	}
	slices.SortStableFunc(oldest, func(a, b int) int { return d.verdicts[a].Time.Compare(d.verdicts[b].Time) })
	for _, i := range oldest[room:] {
		d.verdicts[i].Action = Later
	}
}
