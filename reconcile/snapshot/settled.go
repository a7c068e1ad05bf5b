package snapshot

import (
	"time"

	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec"
)

// A settled container is one that a run of this process left well: nothing incomplete, nothing that is to be dropped.
// Until the spec says otherwise or a while has passed, its snapshots need not be listed to know that nothing is due.
type settled struct {
	want   *spec.Container
	policy *spec.SnapshotPolicy
	looked time.Time // when they were listed
	newest time.Time // of the good ones
}

// lookAgain is after how long a settled container is looked at all the same: others may have taken or dropped something.
const lookAgain = time.Hour

// known reports whether the run may go by what an earlier one left. People who ask, and whatever holds a lock, have it
// looked at.
func (r *run) known(s subject) bool {
	if r.Memory == nil || r.Take != TakeDue || r.DryRun || s.lock != "" {
		return false
	}
	r.Memory.mu.Lock()
	defer r.Memory.mu.Unlock()
	k, ok := r.Memory.settled[memoryKey(s.ref.ID, s.policy.Name)]
	return ok && k.want == s.want && k.policy == s.policy.SnapshotPolicy
}

// rests reports whether nothing is due for a settled container, and tells how it is.
func (r *run) rests(s subject, c *Container) bool {
	r.Memory.mu.Lock()
	k := r.Memory.settled[memoryKey(s.ref.ID, s.policy.Name)]
	r.Memory.mu.Unlock()
	mem := r.schedule(s, nil, c)
	age := r.now.Sub(k.looked)
	if c.Due || age < 0 || age >= lookAgain {
		return false
	}
	c.aged(s.policy, k.newest, r.now)
	r.Memory.set(s.ref.ID, s.policy.Name, mem)
	return true
}

// settle remembers a container that is left well, and forgets one that is not.
func (r *run) settle(s subject, c *Container, err error) {
	if r.Memory == nil || r.DryRun {
		return
	}
	key := memoryKey(s.ref.ID, s.policy.Name)
	r.Memory.mu.Lock()
	defer r.Memory.mu.Unlock()
	well := err == nil && c.Stuck == nil && !r.Keep && len(c.Dropped) == len(c.Decision.Drops()) && len(c.Decision.Waiting()) == 0
	for _, v := range c.Decision.Verdicts {
		well = well && v.State == ""
	}
	if !well || len(retention.Leftover(r.want, s.want)) > 0 {
		delete(r.Memory.settled, key)
		return
	}
	if r.Memory.settled == nil {
		r.Memory.settled = map[string]settled{}
	}
	r.Memory.settled[key] = settled{want: s.want, policy: s.policy.SnapshotPolicy, looked: r.now, newest: c.Newest}
}
