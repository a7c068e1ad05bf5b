package retention

import (
	"hash/fnv"
	"time"

	"github.com/felhom/tend/proxmox"
)

const (
	grace      = time.Hour        // how long after it was due a snapshot counts as overdue, where the policy says no age
	onTime     = 15 * time.Minute // how long after it was due a snapshot is no catch-up
	mostMissed = 1000
)

// A Due is the next run of a policy for a container.
type Due struct {
	At     time.Time // since when, or from when on, a snapshot is due
	Missed int       // how many runs passed after At and are not made up for; 1000 are as many or more
}

// Now reports whether it is due.
func (d Due) Now(now time.Time) bool { return !d.At.After(now) }

// Due says when the next snapshot is due; ok is false where none ever is. The container is told from others by any text
// that stays the same, such as its VMID. last is when the last snapshot was taken or tried (see [Policy.Last]); where
// there was none, when the container was first seen with the policy; the zero time says that it is seen for the first
// time now.
//
// However many runs were missed, one is made up for, or none where the policy says so. A last time in the future, from
// when a clock was wrong, counts as now.
func (p Policy) Due(container string, last, now time.Time) (due Due, ok bool) {
	if !p.Scheduled() || p.Unused {
		return Due{}, false
	}
	switch {
	case last.IsZero() && p.AtOnce:
		return Due{At: now}, true
	case last.IsZero(), last.After(now.Add(Skew)):
		last = now
	}
	offset := p.offset(container)
	next := func(after time.Time) (time.Time, bool) {
		at, ok := p.Schedule.Next(after.Add(-offset), p.Times)
		return at.Add(offset), ok
	}
	if due.At, ok = next(last); !ok {
		return Due{}, false
	}
	if late := now.Add(-onTime); !p.CatchUp && due.At.Before(late) {
		missed := p.runs(due.At, late, next) + 1
		due.At, ok = next(late)
		return Due{At: due.At, Missed: missed + p.runs(due.At, now, next)}, ok
	}
	due.Missed = p.runs(due.At, now, next)
	return due, true
}

// runs counts the runs after a time, until another one.
func (p Policy) runs(after, until time.Time, next func(time.Time) (time.Time, bool)) (n int) {
	for at, ok := next(after); ok && !at.After(until) && n < mostMissed; at, ok = next(at) {
		n++
	}
	return n
}

// offset is the moment of a container within the spread.
func (p Policy) offset(container string) time.Duration {
	seconds := uint64(p.Spread / time.Second)
	if seconds == 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(p.Name + "\x00" + container))
	x := h.Sum64()
	x ^= x >> 32 // the low bits of FNV of short texts are much alike
	return time.Duration(x%seconds) * time.Second
}

// Last is when the policy last had a good snapshot of the container, by the clock of who took it; the zero time where
// it has none. Those that were taken before changes do not count.
func (p Policy) Last(have []proxmox.Snapshot) (last time.Time) {
	d := decider{policy: p}
	for _, s := range have {
		v := d.classify(s)
		if !v.Own() || !v.good() || v.Kind == BeforeChange {
			continue
		}
		if n, _ := ParseName(s.Name, p.Prefix, p.Name); n.At.After(last) {
			last = n.At
		}
	}
	return last
}

// Limit is until when a snapshot of a time is new enough to be the newest; the zero time where there is no limit.
func (p Policy) Limit(at time.Time) time.Time {
	if p.MaxAge > 0 {
		return at.Add(p.MaxAge)
	}
	if next, ok := p.Schedule.Next(at, p.Times); ok {
		return next.Add(p.Spread + grace)
	}
	return time.Time{}
}

// Overdue reports whether a snapshot of a time is too old to be the newest.
func (p Policy) Overdue(newest, now time.Time) bool {
	limit := p.Limit(newest)
	return !limit.IsZero() && now.After(limit)
}
