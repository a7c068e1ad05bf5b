package retention

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/prune"
)

// An Action is what becomes of a snapshot.
type Action int

// The actions.
const (
	Keep  Action = iota
	Drop         // in this run
	Later        // it shall go, but not in this run: the run refuses, or may drop no more
)

// String is a word: "keep", "drop" or "later".
func (a Action) String() string { return [...]string{"keep", "drop", "later"}[a] }

// A Why is what an action follows from.
type Why int

// The reasons.
const (
	Undecided         Why = iota // no verdict has it
	Foreign                      // kept: not this owner's
	OtherPolicy                  // kept: this owner's, of another policy
	Incomplete                   // kept: Proxmox did not finish taking or deleting it
	Timeless                     // kept: Proxmox tells no time
	Held                         // kept: the spec holds it
	HeldByDescription            // kept: its description holds it
	Kept                         // kept by a rule
	Unexpired                    // kept: taken before a change, and young
	Newest                       // kept: the newest good one
	Young                        // kept: below the least age
	Twice                        // kept: the name is listed twice
	Covered                      // dropped: the period of a rule has another one
	Past                         // dropped: a rule had kept enough younger ones
	Expired                      // dropped: taken before a change, and old
	Unused                       // dropped: the container does not have the policy any more
)

// A Verdict is what becomes of a snapshot, and why.
type Verdict struct {
	proxmox.Snapshot
	Kind   Kind // of the owner's own ones
	Action Action
	Why    Why
	Rule   prune.Rule // for Kept, Covered and Past
	N      int        // for Kept: the how many-th it is that the rule keeps
	By     string     // for Covered: the snapshot that is kept for the period

	by int
}

// Own reports whether the snapshot is one of the policy: anything else is not touched and not counted.
func (v Verdict) Own() bool { return v.Why != Foreign && v.Why != OtherPolicy }

// good reports whether the owner could restore from the snapshot, as far as the listing tells.
func (v *Verdict) good() bool {
	return v.Why != Foreign && v.Why != Incomplete && v.Why != Timeless && v.State == "" && v.Time.Unix() > 0
}

// A Decision is what becomes of the snapshots of a container under one policy.
type Decision struct {
	Verdicts []Verdict // in the order in which the snapshots were given
	Refusals []Refusal // why nothing is dropped in this run; none where it goes on
	Policy   Policy
	Now      time.Time
}

// Drops are the snapshots to drop in this run, the oldest first.
func (d Decision) Drops() []Verdict { return d.those(Drop) }

// Waiting are the snapshots that shall be dropped by a later run, the oldest first.
func (d Decision) Waiting() []Verdict { return d.those(Later) }

func (d Decision) those(a Action) []Verdict {
	var out []Verdict
	for _, v := range d.Verdicts {
		if v.Action == a {
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b Verdict) int { return a.Time.Compare(b.Time) })
	return out
}

// Reason says why, in a clause without a period: "keep-daily 3 of 7: 2026-11-21".
func (d Decision) Reason(v Verdict) string {
	at := v.Time.In(d.Policy.Times.Location)
	switch v.Why {
	case Foreign:
		return "not ours"
	case OtherPolicy:
		return "of another policy"
	case Incomplete:
		return fmt.Sprintf("incomplete (snapstate %s)", v.State)
	case Timeless:
		return "has no time"
	case Held:
		return "held by snapshotHolds"
	case HeldByDescription:
		return "held by its description"
	case Unexpired:
		return "before a change, until " + at.Add(d.Policy.ChangeAge).Format("2006-01-02 15:04")
	case Newest:
		return "the newest good snapshot"
	case Young:
		return "younger than " + duration(d.Policy.MinAge)
	case Twice:
		return "its name is listed twice"
	case Expired:
		return "before a change, older than " + duration(d.Policy.ChangeAge)
	case Unused:
		return "the container does not have the policy any more"
	case Kept, Covered, Past:
		return d.ruled(v, at)
	}
	return "undecided"
}

// ruled is the reason where a rule decided.
func (d Decision) ruled(v Verdict, at time.Time) string {
	n := d.Policy.Keep.Count(v.Rule)
	switch {
	case v.Rule == prune.None:
		return "no rule drops any"
	case v.Why == Kept:
		return fmt.Sprintf("%s %d of %d: %s", v.Rule, v.N, n, v.Rule.Period(at))
	case v.Why == Covered:
		return fmt.Sprintf("%s: %s has %s", v.Rule, v.Rule.Period(at), v.By)
	}
	return fmt.Sprintf("%s: %d younger ones are kept", v.Rule, n)
}

// A RefusalKind says what keeps a run from dropping anything.
type RefusalKind int

// The kinds of refusals.
const (
	Future       RefusalKind = iota // a snapshot's time lies in the future
	CreateFailed                    // the last one could not be taken
	Overdue                         // the newest good one is too old
	TooMany                         // more than half would go
)

// A Refusal is why a run drops nothing.
type Refusal struct {
	Kind     RefusalKind
	Snapshot string    // for Future and Overdue
	At       time.Time // of the snapshot
	N, Of    int       // for TooMany
}

// Refused says why in a sentence without a period, with what helps.
func (d Decision) Refused(r Refusal) string {
	at := r.At.In(d.Policy.Times.Location).Format("2006-01-02 15:04")
	switch r.Kind {
	case Future:
		return fmt.Sprintf("the time of %s, %s, lies in the future: is the clock of the node or of this machine wrong?", r.Snapshot, at)
	case CreateFailed:
		return "the last snapshot could not be taken: nothing is dropped until one is"
	case Overdue:
		return fmt.Sprintf("the newest good snapshot, %s, is of %s and overdue since %s: nothing is dropped until there is a newer one",
			r.Snapshot, at, d.Policy.Limit(r.At).In(d.Policy.Times.Location).Format("2006-01-02 15:04"))
	case TooMany:
		return fmt.Sprintf("%d of %d snapshots would be dropped, which is more than half: it needs consent (was keep made smaller?)", r.N, r.Of)
	}
	return "unknown"
}

// String is the whole decision, a line each, for tests and logs.
func (d Decision) String() string {
	var b strings.Builder
	for _, v := range d.Verdicts {
		fmt.Fprintf(&b, "%s %s: %s\n", v.Action, v.Name, d.Reason(v))
	}
	for _, r := range d.Refusals {
		fmt.Fprintf(&b, "refused: %s\n", d.Refused(r))
	}
	return b.String()
}

// duration is a length of time without parts that are zero: "26h", "1h30m".
func duration(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if rest, ok := strings.CutSuffix(s, zero); ok {
			s = rest + zero[:1]
		}
	}
	return s
}
