package retention

import (
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
)

// mostAhead bounds how many runs are looked ahead.
const mostAhead = 100

// A NextDrop is the snapshot that will be dropped next, if every run until then succeeds.
type NextDrop struct {
	Name   string
	At     time.Time // of the run that drops it
	Reason string
}

// Ahead says which snapshot of the policy is dropped next: by a run now, or by one of the hundred that follow, the first of
// them at next. ok is false where none is, as where few are there yet, or where runs refuse to drop any.
func (p Policy) Ahead(have []proxmox.Snapshot, now, next time.Time) (drop NextDrop, ok bool) {
	if drop, ok = first(Decide(have, p, Moment{Now: now}), now); ok || next.IsZero() {
		return drop, ok
	}
	have = slices.Clone(have)
	for at, runs := next, 0; runs < mostAhead; runs++ {
		have = append(have, proxmox.Snapshot{
			Name: Name{p.Prefix, p.Name, at.UTC().Truncate(time.Second)}.String(), Time: at, Description: p.Description(Scheduled),
		})
		if drop, ok = first(Decide(have, p, Moment{Now: at}), at); ok {
			return drop, true
		}
		if at, ok = p.Schedule.Next(at, p.Times); !ok {
			break
		}
	}
	return NextDrop{}, false
}

func first(d Decision, at time.Time) (NextDrop, bool) {
	drops := d.Drops()
	if len(drops) == 0 {
		return NextDrop{}, false
	}
	return NextDrop{drops[0].Name, at, d.Reason(drops[0])}, true
}
