// Package permit says what of a plan may be carried out now: by what an agent does about each container at all, by what
// people suspended, by maintenance windows, and by budgets, beyond which somebody must say yes.
//
// What may not be done stays in the plan, as blocked, with the reason and the ways out: nothing is hidden. The package is
// pure. It knows neither who asks nor what becomes of it, and the time is told to it.
package permit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// A Mode is what is done about a container.
type Mode string

// The modes.
const (
	Reconcile Mode = "reconcile" // it is made what the spec says
	Watch     Mode = "watch"     // what differs is told, and left
	Ensure    Mode = "ensure"    // it is made where it is missing, and then left
	Off       Mode = "off"       // nothing is done, and nothing told
)

// Modes are all of them.
func Modes() []Mode { return []Mode{Reconcile, Watch, Ensure, Off} }

// Words are how people read a mode: "watch only".
func (m Mode) Words() string {
	switch m {
	case Watch:
		return "watch only"
	case Ensure:
		return "ensure exists"
	}
	return string(cmp.Or(m, Reconcile))
}

// A Suspension leaves a container alone for a while.
type Suspension struct {
	Until  time.Time // zero: until somebody ends it
	Reason string
	By     string
}

// Outside says what may happen while no maintenance window is open.
type Outside string

// What may happen outside of windows.
const (
	OutsideAll     Outside = "all"     // everything, but for restarts of containers with restart: window
	OutsideOnline  Outside = "online"  // what no running container notices: neither restarts nor destroys
	OutsideNothing Outside = "nothing" // nothing at all
)

// A Budget bounds what is done without anybody saying yes. A negative number is no bound.
type Budget struct {
	RestartsPerRun, RestartsPerDay int // containers that are interrupted
	DestroysPerRun, DestroysPerDay int // containers and volumes that are destroyed with their data
}

// Unbounded is the budget without bounds.
func Unbounded() Budget { return Budget{-1, -1, -1, -1} }

// Spent is what was done within the last day.
type Spent struct{ Restarts, Destroys int }

// Rules say what may be done. The zero value permits nothing beyond what costs no budget; see [Unbounded].
type Rules struct {
	DryRun bool   // nothing is done at all
	Waits  string // why nothing is done at all, since another agent is there or may be; empty: it may
	// Follows is who does what an API token may, where that is another agent: the node that it is on. What root alone may do
	// is done all the same, as far as it needs nothing of a token before.
	Follows string
	// Leads says that agents of other nodes may be there, which act as root on these: all but RootNodes.
	Leads     bool
	RootNodes []string

	Mode  Mode // of those without one of their own; empty is Reconcile
	Modes map[proxmox.VMID]Mode

	// Suspended are the containers that are left alone; VMID 0 stands for everything.
	Suspended map[proxmox.VMID]Suspension

	Windows    bool      // there are maintenance windows
	WindowOpen bool      // and one is open
	NextWindow time.Time // when the next one opens; zero: never, or not known
	Outside    Outside   // empty is OutsideOnline

	Budget Budget
	Spent  Spent
	// Approved reports whether somebody said yes to the plan with a hash; nil: nobody did to any.
	Approved func(hash string) bool

	Location *time.Location // of times in texts; nil is UTC
}

// ModeOf is the mode of a container.
func (r Rules) ModeOf(id proxmox.VMID) Mode {
	return cmp.Or(r.Modes[id], r.Mode, Reconcile)
}

// SuspensionOf is why a container is left alone; false: it is not.
func (r Rules) SuspensionOf(id proxmox.VMID) (Suspension, bool) {
	if s, ok := r.Suspended[0]; ok {
		return s, true
	}
	s, ok := r.Suspended[id]
	return s, ok && id != 0
}

// Keeps reports whether the snapshots and backups of a container are kept as its policies say.
func (r Rules) Keeps(id proxmox.VMID) bool {
	_, suspended := r.SuspensionOf(id)
	m := r.ModeOf(id)
	return !suspended && !r.DryRun && r.Waits == "" && r.Follows == "" && (m == Reconcile || m == Ensure)
}

// HoldRestarts reports whether restarts wait for a window whatever the spec says (plan.Policy.HoldRestarts).
func (r Rules) HoldRestarts() bool {
	return r.Windows && !r.WindowOpen && r.outside() != OutsideAll
}

func (r Rules) outside() Outside { return cmp.Or(r.Outside, OutsideOnline) }

// A Gate lets through what may be done of the plans of one run. What the first plan was given of the budget is given to
// those that finish it, and nothing beyond.
type Gate struct {
	rules  Rules
	passed bool
	given  map[plan.Subject]bool // what of the budget was given in the first plan
	wait   Waiting
}

// A Waiting is a part of a plan that waits for somebody to say yes. The zero value is none.
type Waiting struct {
	Hash string // by which it is approved; empty: nothing waits
	Why  string // "1 destroy, and the budget is 0 a day"
	What []plan.Subject
}

// NewGate makes the gate of a run.
func NewGate(r Rules) *Gate { return &Gate{rules: r, given: map[plan.Subject]bool{}} }

// Pass returns the plan with what may be done. What may not is in it as blocked, waiting.
func (g *Gate) Pass(p *plan.Plan) *plan.Plan {
	out := *p
	out.Lanes, out.Blocked = nil, slices.Clone(p.Blocked)
	var costly []plan.Lane
	for _, l := range g.ours(&out, p.Lanes) {
		if reason, ways := g.refuse(l); reason != "" {
			out.Blocked = append(out.Blocked, held(l, reason, ways)...)
			continue
		}
		if restarts(l) || destroys(l) {
			costly = append(costly, l)
		}
		out.Lanes = append(out.Lanes, l)
	}
	g.spend(&out, costly)
	order(&out)
	g.passed = true
	return &out
}

// Waits is what waits for a yes, as of the first plan.
func (g *Gate) Waits() Waiting { return g.wait }

// refuse says why a lane is not carried out; "" where the budget decides.
func (g *Gate) refuse(l plan.Lane) (reason string, ways []string) {
	r := g.rules
	id := proxmox.VMID(0)
	if l.Kind == plan.ContainerKind {
		id = l.Ref.ID
	}
	if s, ok := r.SuspensionOf(id); ok {
		return r.suspended(s), []string{resume(r, id)}
	}
	mode := r.ModeOf(id)
	switch {
	case r.DryRun:
		return "the agent runs dry, and changes nothing", []string{"take dryRun: true out of its configuration"}
	case r.Waits != "":
		return "this agent changes nothing: " + r.Waits, nil
	case mode == Off || mode == Watch || mode == Ensure && l.Action != plan.Create:
		return fmt.Sprintf("it is left as it is: its mode is %s", mode.Words()), []string{"write mode: reconcile into the agent's configuration, or apply by hand (tend apply)"}
	case r.WindowOpen || !r.Windows || r.outside() == OutsideAll:
		return "", nil
	case r.outside() == OutsideNothing:
		return "waits for a maintenance window" + r.opens(), nil
	case restarts(l) || destroys(l):
		return "interrupts or destroys, and waits for a maintenance window" + r.opens(), nil
	}
	return "", nil
}

func resume(r Rules, id proxmox.VMID) string {
	if _, all := r.Suspended[0]; all || id == 0 {
		return "tend resume"
	}
	return fmt.Sprintf("tend resume %d", id)
}

func (r Rules) suspended(s Suspension) string {
	text := "suspended"
	if s.By != "" {
		text += " by " + s.By
	}
	if !s.Until.IsZero() {
		text += " until " + r.moment(s.Until)
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return text
}

func (r Rules) opens() string {
	if r.NextWindow.IsZero() {
		return ""
	}
	return ", which opens " + r.moment(r.NextWindow)
}

func (r Rules) moment(t time.Time) string {
	if r.Location != nil {
		return t.In(r.Location).Format("Mon 2006-01-02 15:04")
	}
	return t.UTC().Format("Mon 2006-01-02 15:04 MST")
}

// spend gives the budget to what costs some of it, in the order of the plan, and holds the rest.
func (g *Gate) spend(p *plan.Plan, costly []plan.Lane) {
	if g.passed {
		for _, l := range costly {
			if !g.given[l.Subject()] {
				g.hold(p, l, "it came up while the plan was carried out, and costs of the budget", nil)
			}
		}
		return
	}
	var beyond []plan.Lane
	left := newPurse(g.rules)
	for _, l := range costly {
		if left.pays(l) {
			g.given[l.Subject()] = true
			continue
		}
		beyond = append(beyond, l)
	}
	if len(beyond) == 0 {
		return
	}
	g.wait = Waiting{Hash: Hash(beyond), Why: left.why()}
	for _, l := range beyond {
		g.wait.What = append(g.wait.What, l.Subject())
	}
	if g.rules.Approved != nil && g.rules.Approved(g.wait.Hash) {
		for _, l := range beyond {
			g.given[l.Subject()] = true
		}
		g.wait = Waiting{}
		return
	}
	for _, l := range beyond {
		g.hold(p, l, "waits for a yes: "+g.wait.Why+lost(l), []string{"tend approve " + g.wait.Hash, "Tend-Approve: " + g.wait.Hash + " at the end of a signed commit"})
	}
}

// lost says what is destroyed with its data, for whoever says yes to it.
func lost(l plan.Lane) string {
	if len(l.Frees) == 0 || l.Action == plan.Retire {
		return ""
	}
	return "; the data of " + strings.Join(l.Frees, ", ") + " would be lost"
}

func (g *Gate) hold(p *plan.Plan, l plan.Lane, reason string, ways []string) {
	p.Lanes = slices.DeleteFunc(p.Lanes, func(x plan.Lane) bool { return x.Subject() == l.Subject() })
	p.Blocked = append(p.Blocked, held(l, reason, ways)...)
}

// held is a lane that is not carried out, as plans tell it.
func held(l plan.Lane, reason string, ways []string) []plan.Blocked {
	b := plan.Blocked{Kind: l.Kind, ID: l.Ref.ID, Name: l.Name, What: l.Action.String(), Reason: reason, Ways: ways, Waiting: true}
	if l.Kind == plan.TemplateKind {
		b.Node = l.Ref.Node
	}
	if l.Kind != plan.ContainerKind {
		b.ID = 0
	}
	if l.Action != plan.Change || len(l.Changes) == 0 {
		if l.Action == plan.Change {
			b.What = strings.Join(verbs(l), ", ")
		}
		return []plan.Blocked{b}
	}
	var out []plan.Blocked
	for _, ch := range l.Changes {
		b.What, b.Change = ch.Label(), &ch
		out = append(out, b)
	}
	return out
}

func verbs(l plan.Lane) []string {
	var out []string
	for _, s := range l.Steps {
		out = append(out, cmp.Or(s.Cause, s.Op.Verb()))
	}
	return out
}

// order puts what is blocked where it belongs: beside the others of its container.
func order(p *plan.Plan) {
	slices.SortStableFunc(p.Blocked, func(a, b plan.Blocked) int { return a.Subject().Compare(b.Subject()) })
}
