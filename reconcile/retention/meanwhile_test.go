package retention_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/retention"
)

// meanwhile is what somebody does to the snapshots between a decision and what follows from it; planned is the index of
// the one that is to be dropped.
func (s *source) meanwhile(planned int) {
	st, rng := &s.state, s.rng
	x := &st.have[planned]
	other := rng.IntN(len(st.have))
	switch rng.IntN(12) {
	case 0: // deleted
		st.remove(planned)
	case 1: // deleted, and another made under its name
		x.Description, x.Time = "", st.moment.Now
		st.mine[planned], st.good[planned] = false, false
	case 2: // deleted, and another of ours made under its name
		x.Time = st.moment.Now
	case 3: // renamed
		x.Name += "x"
		st.mine[planned], st.good[planned] = false, false
	case 4: // held
		x.Description = "hold this one\n" + x.Description
		st.mine[planned] = false
	case 5: // deleted by another tool, or by another run, that has locked it
		x.State = "delete"
		st.mine[planned], st.good[planned] = false, false
	case 6: // taken over by another owner
		x.Description = "[other/" + st.policy.Name + "]\n"
		st.mine[planned], st.good[planned] = false, false
	case 7: // another one of its name is made, which Proxmox would refuse
		s.add(st.moment.Now)
		last := len(st.have) - 1
		st.have[last].Name = x.Name
		st.mine[last], st.good[last] = false, false
	case 8: // another is taken
		s.add(st.moment.Now.Add(-time.Minute))
	case 9: // another is deleted
		st.remove(other)
	case 10: // all others are deleted, so that it is the newest
		for i := len(st.have) - 1; i >= 0; i-- {
			if i != planned {
				st.remove(i)
			}
		}
	case 11: // all newer ones are damaged
		for i := range st.have {
			if i != planned && st.have[i].Time.After(st.have[planned].Time) {
				st.have[i].State, st.mine[i], st.good[i] = "prepare", false, false
			}
		}
	}
}

func (st *state) remove(i int) {
	st.have, st.mine, st.good = slices.Delete(st.have, i, i+1), slices.Delete(st.mine, i, i+1), slices.Delete(st.good, i, i+1)
}

// act carries out the first drop of the decision that was checked after something has happened meanwhile. acted says that it was dropped,
// spared that it was not.
func (s *source) act() (acted, spared bool, err error) {
	st := &s.state
	drops := st.decision.Drops()
	if len(drops) == 0 {
		return false, false, nil
	}
	v := drops[0]
	s.meanwhile(slices.IndexFunc(st.have, func(x proxmox.Snapshot) bool { return x.Name == v.Name }))
	if !retention.Still(v, st.have, st.policy, st.moment) {
		return false, true, nil
	}
	i := slices.IndexFunc(st.have, func(x proxmox.Snapshot) bool { return x.Name == v.Name })
	switch {
	case i < 0 || st.named(v.Name) > 1:
		return true, false, fmt.Errorf("%s is dropped, and there are %d of it", v.Name, st.named(v.Name))
	case !st.mine[i] || slices.Contains(st.policy.Holds, v.Name) || !st.have[i].Time.Equal(v.Time):
		return true, false, fmt.Errorf("%s is dropped: %+v", v.Name, st.have[i])
	}
	for j, x := range st.have {
		if j != i && st.good[j] && !x.Time.Before(v.Time) {
			return true, false, nil
		}
	}
	return true, false, fmt.Errorf("%s, the newest good one, is dropped", v.Name)
}
