package permit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/reconcile/plan"
)

// A purse is what is left of a budget.
type purse struct {
	rules    Rules
	run      Spent    // given in this run
	refused  Spent    // beyond a bound
	exceeded []string // bounds that were met, in words
}

func newPurse(r Rules) *purse { return &purse{rules: r} }

// pays takes what a lane costs, all of it or nothing.
func (p *purse) pays(l plan.Lane) bool {
	b, s := p.rules.Budget, p.rules.Spent
	cost, ok := Cost(l), true
	if cost.Restarts > 0 {
		ok = p.within(b.RestartsPerRun, p.run.Restarts, "restart", "a run") && ok
		ok = p.within(b.RestartsPerDay, s.Restarts+p.run.Restarts, "restart", "a day") && ok
	}
	if cost.Destroys > 0 {
		ok = p.within(b.DestroysPerRun, p.run.Destroys, "destroy", "a run") && ok
		ok = p.within(b.DestroysPerDay, s.Destroys+p.run.Destroys, "destroy", "a day") && ok
	}
	if !ok {
		p.refused = p.refused.Plus(cost)
		return false
	}
	p.run = p.run.Plus(cost)
	return true
}

func (p *purse) within(bound, used int, what, per string) bool {
	if bound < 0 || used < bound {
		return true
	}
	text := fmt.Sprintf("the budget is %s %s", count(bound, what), per)
	if !slices.Contains(p.exceeded, text) {
		p.exceeded = append(p.exceeded, text)
	}
	return false
}

// why says what is beyond which bound.
func (p *purse) why() string {
	var what []string
	if p.refused.Destroys > 0 {
		what = append(what, count(p.refused.Destroys, "destroy"))
	}
	if p.refused.Restarts > 0 {
		what = append(what, count(p.refused.Restarts, "restart"))
	}
	return strings.Join(what, " and ") + " beyond it: " + strings.Join(p.exceeded, ", ")
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// restarts reports whether a lane interrupts a running container that goes on to exist.
func restarts(l plan.Lane) bool {
	return l.Action == plan.Change && slices.ContainsFunc(l.Steps, plan.Step.Restarts)
}

// destroys reports whether data is lost with a lane.
func destroys(l plan.Lane) bool {
	return l.Action == plan.Destroy || l.Action == plan.Retire || len(l.Frees) > 0
}

// Plus is the sum.
func (s Spent) Plus(t Spent) Spent {
	return Spent{Restarts: s.Restarts + t.Restarts, Destroys: s.Destroys + t.Destroys}
}

// Beyond is what of s is more than of t.
func (s Spent) Beyond(t Spent) Spent {
	return Spent{Restarts: max(0, s.Restarts-t.Restarts), Destroys: max(0, s.Destroys-t.Destroys)}
}

// Cost is what a lane costs of a budget.
func Cost(l plan.Lane) Spent { return Spent{Restarts: one(restarts(l)), Destroys: one(destroys(l))} }

// Hash identifies what some lanes do, and the configurations that they were planned on: it is another one as soon as
// either is, so that a yes holds for nothing else. It tells nothing of secrets.
func Hash(lanes []plan.Lane) string {
	h := sha256.New()
	for _, l := range lanes {
		fmt.Fprintf(h, "%s\n%s\n", l.Subject(), l.Base.Digest)
		for _, text := range l.Text("") {
			fmt.Fprintf(h, "  %s\n", text)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// CostOf is what the step with an index adds to the cost of its lane when it is begun; what the lane costs is the largest
// of each, since a container that is interrupted twice is one that is interrupted.
func CostOf(l plan.Lane, step int) Spent {
	return Spent{Restarts: one(restarts(l) && l.Steps[step].Restarts()), Destroys: one(destroys(l) && step == loses(l))}
}

// loses is the index of the first step with which data is lost, of a lane that is to be destroyed later the first of all.
func loses(l plan.Lane) int {
	i := slices.IndexFunc(l.Steps, func(s plan.Step) bool {
		switch s.Op.(type) {
		case plan.DestroyContainer, plan.DestroyVolume, plan.RemoveRemnant:
			return true
		}
		return false
	})
	return max(i, 0)
}
