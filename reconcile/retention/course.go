package retention

import (
	"time"

	"github.com/felhom/tend/proxmox"
)

// mostRuns bounds a simulation: a year of a run every quarter of an hour.
const mostRuns = 36000

// A Life is a snapshot in a simulated course.
type Life struct {
	Taken   time.Time
	Dropped time.Time // the zero time where it is there at the end
	Reason  string    // why it was dropped, or is kept at the end
}

// Alive reports whether it is there at a time.
func (l Life) Alive(at time.Time) bool {
	return !l.Taken.After(at) && (l.Dropped.IsZero() || l.Dropped.After(at))
}

// A Course is what becomes of the snapshots of one container over time, if every run succeeds.
type Course struct {
	From, Until time.Time
	Lives       []Life // in the order in which they are taken
	Most        int    // how many there are at once at most
	Refused     int    // runs that dropped nothing though something had to go
}

// Simulate takes the snapshots of a policy from one time until another, each when it is due and without spread, and
// drops after each what [Decide] says. Until is earlier than asked for where there are more than 36,000 runs.
func Simulate(p Policy, from, until time.Time) Course {
	c := Course{From: from, Until: until}
	var have []proxmox.Snapshot
	lives := map[string]int{}
	var last Decision
	for at := range p.Schedule.Times(from, p.Times) {
		if at.After(until) {
			break
		}
		if len(c.Lives) == mostRuns {
			c.Until = c.Lives[mostRuns-1].Taken
			break
		}
		s := proxmox.Snapshot{
			Name: Name{p.Prefix, p.Name, at}.String(), Time: at, Description: p.Description(Scheduled),
		}
		lives[s.Name] = len(c.Lives)
		c.Lives = append(c.Lives, Life{Taken: at})
		have = append(have, s)
		c.Most = max(c.Most, len(have))
		last = Decide(have, p, Moment{Now: at})
		if len(last.Refusals) > 0 && len(last.Waiting()) > 0 {
			c.Refused++
		}
		have = have[:0]
		for _, v := range last.Verdicts {
			if v.Action != Drop {
				have = append(have, v.Snapshot)
				continue
			}
			life := &c.Lives[lives[v.Name]]
			life.Dropped, life.Reason = at, last.Reason(v)
			delete(lives, v.Name)
		}
	}
	for _, v := range last.Verdicts {
		if i, ok := lives[v.Name]; ok {
			c.Lives[i].Reason = last.Reason(v)
		}
	}
	return c
}
