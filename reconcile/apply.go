package reconcile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/plan"
)

// An application is a plan that is being carried out, over several passes.
type application struct {
	approved    *plan.Plan // the plan that was shown: what goes beyond it is not done
	passes      int
	interrupted bool
	progress    map[plan.Subject]*progress
}

// progress is what became of one container, template or backup job so far.
type progress struct {
	done     []plan.Step
	last     *execute.LaneResult // of the latest pass that had a lane for it
	did      map[string]bool     // lanes that were carried out whole, by their fingerprint
	warnings []proxmox.TaskStatus
	withheld error // why its lane is not carried out; nil where it is, or there is none
	stuck    bool  // its lane was carried out and made no difference
}

func (a *application) of(s plan.Subject) *progress {
	g := a.progress[s]
	if g == nil {
		g = &progress{did: map[string]bool{}}
		a.progress[s] = g
	}
	return g
}

// todo is the part of a plan that is carried out next.
func (a *application) todo(p *plan.Plan, unsettled map[string]error) *plan.Plan {
	out := &plan.Plan{Cluster: p.Cluster}
	for _, l := range p.Lanes {
		g := a.of(l.Subject())
		g.withheld, g.stuck = unsettled[l.Subject().String()], false
		if g.withheld == nil {
			g.withheld = notToCome(l, p, out)
		}
		switch {
		case g.withheld != nil:
		case g.last != nil && (g.last.Status == execute.Failed || g.last.Status == execute.Skipped):
			g.withheld = g.last.Err // once in a run is enough
		case g.did[fingerprint(l)]:
			g.stuck = true
		default:
			g.withheld = a.beyond(l)
		}
		if g.withheld == nil && !g.stuck {
			out.Lanes = append(out.Lanes, l)
		}
	}
	return out
}

// notToCome says which template of a lane is due and not going to be made present now; nil where there is none.
func notToCome(l plan.Lane, all, todo *plan.Plan) error {
	for _, s := range l.Uses {
		if all.Of(s) != nil && todo.Of(s) == nil {
			return fmt.Errorf("comes after %s, which is not done", s)
		}
	}
	return nil
}

// errBeyond is why a lane is left alone that the plan which was shown did not have.
var errBeyond = errors.New("plan again to see it and apply it")

// beyond says why a lane goes beyond the plan that was shown; nil where it does not.
func (a *application) beyond(l plan.Lane) error {
	shown := a.approved.Of(l.Subject())
	switch {
	case shown == nil:
		return fmt.Errorf("changes came up while the plan was carried out: %w", errBeyond)
	case l.Action == plan.Destroy && shown.Action != plan.Destroy:
		return fmt.Errorf("it would be destroyed, which was not planned: %w", errBeyond)
	case l.Action == plan.Create && shown.Action != plan.Create:
		return fmt.Errorf("it was destroyed by somebody else while the plan was carried out: %w", errBeyond)
	case slices.ContainsFunc(l.Frees, func(v string) bool { return l.Action != plan.Destroy && !slices.Contains(shown.Frees, v) }):
		return fmt.Errorf("a volume would be destroyed with its data, which was not planned: %w", errBeyond)
	case remakes(l.Steps) && !remakes(shown.Steps):
		return fmt.Errorf("it would be made anew, which was not planned: %w", errBeyond)
	case l.Recovers() && !shown.Recovers():
		return fmt.Errorf("it is stuck, and would be recovered, which was not planned: %w", errBeyond)
	case restarts(l.Steps) > max(0, restarts(shown.Steps)-restarts(a.of(l.Subject()).done)):
		return fmt.Errorf("it would be restarted, which was not planned: %w", errBeyond)
	}
	return nil
}

func remakes(steps []plan.Step) bool {
	return slices.ContainsFunc(steps, func(s plan.Step) bool { _, ok := s.Op.(plan.RestoreOver); return ok })
}

func restarts(steps []plan.Step) (n int) {
	for _, s := range steps {
		if s.Restarts() {
			n++
		}
	}
	return n
}

// note takes down what became of a pass.
func (a *application) note(r execute.Result) {
	for _, l := range r.Lanes {
		g := a.of(l.Lane.Subject())
		g.last = &l
		g.done = append(g.done, l.Done()...)
		g.warnings = append(g.warnings, l.Warnings...)
		if l.Status == execute.Done {
			g.did[fingerprint(l.Lane)] = true
		}
	}
}

// fingerprint tells lanes apart that do different things.
func fingerprint(l plan.Lane) string {
	h := sha256.New()
	for _, text := range l.Text("") {
		fmt.Fprintln(h, text)
	}
	return string(h.Sum(nil))
}

// blockedOf are the blocked changes of a container, template or backup job.
func blockedOf(p *plan.Plan, s plan.Subject) []plan.Blocked {
	return slices.DeleteFunc(slices.Clone(p.Blocked), func(b plan.Blocked) bool { return b.Subject() != s })
}
