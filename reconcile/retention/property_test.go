package retention_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/proxmox/prune"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec"
)

// zones are those in which the property is tested: without changes of the clock, with common and with odd ones.
var zones = []string{"UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia"}

// A state is a random container with its snapshots, and what was made of each.
type state struct {
	policy retention.Policy
	moment retention.Moment
	have   []proxmox.Snapshot
	mine   []bool // may be dropped
	good   []bool // the owner could restore from it

	decision retention.Decision // that was checked
}

// A source makes states. It is quick, since a million are made.
type source struct {
	rng      *rand.Rand
	policies []retention.Policy
	state    state
}

func newSource(t testing.TB, seed uint64) *source {
	s := &source{rng: rand.New(rand.NewPCG(seed, 7))}
	schedules := []string{"2:30", "hourly", "mon..fri 22:00", "*:0/15", "monthly"}
	for i := range 200 {
		p := spec.SnapshotPolicy{
			Name: []string{"nightly", "a-b", "x"}[i%3], Prefix: []string{"tend", "a", "auto-x"}[s.rng.IntN(3)],
			Times:        calendar.Options{Location: zone(t, zones[s.rng.IntN(len(zones))])},
			MaxDeletions: 1 + s.rng.IntN(5), ChangeAge: time.Duration(s.rng.IntN(100)) * time.Hour,
			Keep: prune.Keep{Last: s.rng.IntN(3), Hourly: s.rng.IntN(4), Daily: s.rng.IntN(5), Weekly: s.rng.IntN(3), Monthly: s.rng.IntN(3), Yearly: s.rng.IntN(2)},
		}
		if s.rng.IntN(3) == 0 {
			p.MinAge = time.Duration(s.rng.IntN(1000)) * time.Minute
		}
		if s.rng.IntN(8) > 0 {
			p.Schedule = event(t, schedules[s.rng.IntN(len(schedules))])
		}
		if s.rng.IntN(4) > 0 {
			p.MaxAge = time.Duration(1+s.rng.IntN(9999)) * time.Hour
		}
		s.policies = append(s.policies, retention.Policy{SnapshotPolicy: &p, Owner: "tend", Unused: s.rng.IntN(10) == 0})
	}
	return s
}

// next makes a state; it is valid until the next one is made.
func (s *source) next() *state {
	st, rng := &s.state, s.rng
	st.policy = s.policies[rng.IntN(len(s.policies))]
	st.moment = retention.Moment{
		Now: time.Unix(1.75e9+rng.Int64N(1e8), 0), CreateFailed: rng.IntN(20) == 0, Consent: rng.IntN(2) == 0, Dropped: rng.IntN(8) / 6,
	}
	st.policy.Holds = nil
	n := rng.IntN(12)
	if rng.IntN(50) == 0 {
		n = 60
	}
	st.have, st.mine, st.good = st.have[:0], st.mine[:0], st.good[:0]
	span := []int64{7200, 200000, 5e6, 8e7}[rng.IntN(4)]
	for range n {
		at := st.moment.Now.Add(-time.Duration(rng.Int64N(span)) * time.Second)
		if rng.IntN(200) == 0 {
			at = st.moment.Now.Add(time.Duration(rng.Int64N(100000)) * time.Second)
		}
		s.add(at)
	}
	return st
}

// add makes a snapshot of any kind; what it is, it says itself.
func (s *source) add(at time.Time) {
	st, rng, p := &s.state, s.rng, s.state.policy
	name := retention.Name{Prefix: p.Prefix, Policy: p.Name, At: at}.String()
	x := proxmox.Snapshot{Name: name, Description: "[tend/" + p.Name + "]\n", Time: at}
	mine, good := true, true
	switch rng.IntN(24) {
	case 0: // somebody's, with our name
		x.Description, mine, good = "", false, false
	case 1: // another owner's
		x.Description, mine, good = "[tend2/"+p.Name+"]\n", false, false
	case 2: // ours by its description alone
		x.Name, mine, good = "by-hand-20261121T013000Z-", false, false
	case 3: // a backup that runs
		x.Name, x.Description, mine, good = "vzdump", "vzdump backup snapshot\n", false, false
	case 4: // two markers
		x.Description, mine, good = "[tend/"+p.Name+"]\n[other/"+p.Name+"]\n", false, false
	case 5:
		x.State, mine, good = "prepare", false, false
	case 6:
		x.State, mine, good = "delete", false, false
	case 7:
		x.Description, mine = "Hold: before the upgrade\n"+x.Description, false
	case 8:
		st.policy.Holds, mine = append(st.policy.Holds, x.Name), false
	case 9:
		x.Time, mine, good = time.Time{}, false, false
	case 10: // another policy of the same owner
		x.Name, x.Description, mine = retention.Name{Prefix: "tend", Policy: "other", At: at}.String(), "[tend/other]\n", false
	case 11, 12:
		x.Description = "[tend/" + p.Name + " before-change]\n"
	case 13:
		x.Description = "web, before the release\n[tend/" + p.Name + " by-hand]\n"
	case 14: // taken at the same time as another one
		if len(st.have) > 0 {
			x.Time = st.have[rng.IntN(len(st.have))].Time
			good, mine = x.Time.Unix() > 0, x.Time.Unix() > 0
		}
	case 16: // listed twice, the other time as somebody's
		if len(st.have) > 0 {
			x.Name, x.Description, mine, good = st.have[rng.IntN(len(st.have))].Name, "", false, false
		}
	case 15: // replication's
		x.Name, x.Description, mine, good = "__replicate_100-0_1__", "", false, false
	}
	st.have, st.mine, st.good = append(st.have, x), append(st.mine, mine), append(st.good, good)
}

// check holds the decision about a state to what is promised, and the one after it.
func (st *state) check() error {
	d := retention.Decide(st.have, st.policy, st.moment)
	st.decision = d
	drops, newest, survives := 0, time.Time{}, false
	for i, v := range d.Verdicts {
		if v.Action != retention.Keep && (!st.mine[i] || slices.Contains(st.policy.Holds, v.Name)) {
			return fmt.Errorf("%s is to be dropped", v.Name)
		}
		if v.Action == retention.Drop {
			drops++
			if st.named(v.Name) > 1 {
				return fmt.Errorf("%s is dropped, and there are two of it", v.Name)
			}
			if st.moment.Now.Sub(v.Time) < st.policy.MinAge {
				return fmt.Errorf("%s is too young", v.Name)
			}
		}
		if st.good[i] && !v.Time.Before(newest) {
			survives = survives && v.Time.Equal(newest) || v.Action == retention.Keep
			newest = v.Time
		}
		if st.good[i] && v.Time.After(st.moment.Now.Add(retention.Skew)) && (len(d.Refusals) == 0 || d.Refusals[0].Kind != retention.Future) {
			return fmt.Errorf("%s of the future is not refused", v.Name)
		}
	}
	switch {
	case !newest.IsZero() && !survives:
		return fmt.Errorf("the newest good snapshot, of %s, is dropped", newest)
	case drops > 0 && len(d.Refusals) > 0:
		return fmt.Errorf("%d are dropped by a run that refuses", drops)
	case drops > max(0, st.policy.MaxDeletions-st.moment.Dropped):
		return fmt.Errorf("%d are dropped", drops)
	case drops > 0 && st.moment.CreateFailed && !st.policy.Unused:
		return fmt.Errorf("%d are dropped after a failure", drops)
	}
	return st.again(d)
}

// named counts the snapshots of a name.
func (st *state) named(name string) (n int) {
	for _, s := range st.have {
		if s.Name == name {
			n++
		}
	}
	return n
}

// again decides once more, after what was decided is done: no other snapshots go than those that were put off.
func (st *state) again(d retention.Decision) error {
	var left []proxmox.Snapshot
	later := 0
	for _, v := range d.Verdicts {
		if v.Action != retention.Drop {
			left = append(left, v.Snapshot)
		}
		if v.Action == retention.Later {
			later++
		}
	}
	if len(left) == len(st.have) {
		return nil // and the same argument has the same answer
	}
	second := retention.Decide(left, st.policy, st.moment)
	i := 0
	for _, v := range d.Verdicts {
		if v.Action == retention.Drop {
			continue
		}
		w := second.Verdicts[i]
		i++
		if (v.Action == retention.Keep) != (w.Action == retention.Keep) {
			return fmt.Errorf("%s: first %s, then %s", v.Name, v.Action, w.Action)
		}
	}
	if len(second.Refusals) > 0 {
		return fmt.Errorf("the second run refuses: %v", second.Refusals)
	}
	return nil
}

// TestSafe is the promise of a prune, held against random states: no snapshot that is not ours, is held or incomplete
// is ever dropped, nor the newest good one, nor more than the limit; and a second run drops nothing else. The same holds
// where somebody changes the snapshots between the decision and what follows from it.
func TestSafe(t *testing.T) {
	t.Parallel()
	total := uint64(1_000_000)
	if underRace {
		total = 30_000
	}
	workers := uint64(runtime.GOMAXPROCS(0))
	var done, dropped, acted, spared atomic.Uint64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			s := newSource(t, w)
			for i := w; i < total; i += workers {
				st := s.next()
				if err := st.check(); err != nil {
					d := retention.Decide(st.have, st.policy, st.moment)
					t.Errorf("state %d of seed %d: %v\n%s in %s, %+v\n%s", i, w, err, st.policy.Keep, st.policy.Times.Location, st.moment, d)
					return
				}
				done.Add(1)
				if i%97 == 0 {
					dropped.Add(uint64(len(retention.Decide(st.have, st.policy, st.moment).Drops())))
				}
				did, not, err := s.act()
				if err != nil {
					t.Errorf("state %d of seed %d, changed meanwhile: %v\n%s", i, w, err, retention.Decide(st.have, st.policy, st.moment))
					return
				}
				if did {
					acted.Add(1)
				}
				if not {
					spared.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d states, in every 97th of which %d snapshots are dropped; with changes between decision and act %d are dropped and %d spared",
		done.Load(), dropped.Load(), acted.Load(), spared.Load())
	if dropped.Load() < total/97/4 || acted.Load() < total/100 || spared.Load() < total/20 {
		t.Error("too few are dropped for the test to say anything")
	}
}

func BenchmarkDecide(b *testing.B) {
	s := newSource(b, 1)
	for b.Loop() {
		st := s.next()
		retention.Decide(st.have, st.policy, st.moment)
	}
}
