package permit_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/permit"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func lane(id proxmox.VMID, action plan.Action, ops ...plan.Op) plan.Lane {
	l := plan.Lane{Ref: proxmox.Ref{Node: "pve1", ID: id}, Name: fmt.Sprintf("c%d", id), Action: action}
	l.Base.Digest = fmt.Sprintf("digest of %d", id)
	for _, op := range ops {
		l.Steps = append(l.Steps, plan.Step{Op: op})
	}
	return l
}

func online(id proxmox.VMID) plan.Lane {
	l := lane(id, plan.Change, plan.SetConfig{Set: proxmox.Values{"cores": "2"}})
	l.Changes = []setting.Change{{Row: setting.Cores, Old: int64(1), New: int64(2)}}
	return l
}

func restarting(id proxmox.VMID) plan.Lane { return lane(id, plan.Change, plan.Reboot{}) }
func destroying(id proxmox.VMID) plan.Lane { return lane(id, plan.Destroy, plan.DestroyContainer{}) }
func creating(id proxmox.VMID) plan.Lane   { return lane(id, plan.Create, plan.CreateContainer{}) }

func TestRules(t *testing.T) {
	all := &plan.Plan{Lanes: []plan.Lane{destroying(101), online(102), restarting(103), creating(104)}}
	for _, tc := range []struct {
		name  string
		rules permit.Rules
		done  string // VMIDs that may be done
		why   string // that somewhere must stand
	}{
		{"nothing said", permit.Rules{Budget: permit.Unbounded()}, "101 102 103 104", ""},
		{"dry", permit.Rules{Budget: permit.Unbounded(), DryRun: true}, "", "the agent runs dry"},
		{"watch", permit.Rules{Budget: permit.Unbounded(), Mode: permit.Watch}, "", "its mode is watch only"},
		{"off but one", permit.Rules{Budget: permit.Unbounded(), Mode: permit.Off, Modes: map[proxmox.VMID]permit.Mode{103: permit.Reconcile}}, "103", "its mode is off"},
		{"ensure", permit.Rules{Budget: permit.Unbounded(), Mode: permit.Ensure}, "104", "its mode is ensure exists"},
		{
			"suspended",
			permit.Rules{Budget: permit.Unbounded(), Suspended: map[proxmox.VMID]permit.Suspension{102: {Until: noon, By: "anna", Reason: "moving"}}},
			"101 103 104", "suspended by anna until Tue 2026-11-24 12:00 UTC: moving",
		},
		{"all suspended", permit.Rules{Budget: permit.Unbounded(), Suspended: map[proxmox.VMID]permit.Suspension{0: {Reason: "holiday"}}}, "", "suspended: holiday"},
		{"window open", permit.Rules{Budget: permit.Unbounded(), Windows: true, WindowOpen: true}, "101 102 103 104", ""},
		{"window closed", permit.Rules{Budget: permit.Unbounded(), Windows: true, NextWindow: noon}, "102 104", "waits for a maintenance window, which opens Tue 2026-11-24 12:00 UTC"},
		{"all outside", permit.Rules{Budget: permit.Unbounded(), Windows: true, Outside: permit.OutsideAll}, "101 102 103 104", ""},
		{"nothing outside", permit.Rules{Budget: permit.Unbounded(), Windows: true, Outside: permit.OutsideNothing}, "", "waits for a maintenance window"},
		{"no budget", permit.Rules{}, "102 104", "1 destroy and 1 restart beyond it: the budget is 0 destroys a run, the budget is 0 destroys a day, the budget is 0 restarts a run, the budget is 0 restarts a day"},
		{"one a day, and spent", permit.Rules{Budget: permit.Budget{RestartsPerRun: -1, RestartsPerDay: 1, DestroysPerRun: -1, DestroysPerDay: 1}, Spent: permit.Spent{Restarts: 1}}, "101 102 104", "1 restart beyond it: the budget is 1 restart a day"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := permit.NewGate(tc.rules).Pass(all)
			if done := ids(got); done != tc.done {
				t.Errorf("may be done: %q, want %q", done, tc.done)
			}
			var why []string
			for _, b := range got.Blocked {
				why = append(why, b.Reason)
				if !b.Waiting || len(b.Ways) == 0 && !strings.Contains(b.Reason, "window") {
					t.Errorf("%d is not told as waiting, or has no way out: %+v", b.ID, b)
				}
			}
			if text := strings.Join(why, "\n"); !strings.Contains(text, tc.why) {
				t.Errorf("reasons:\n%s\nwithout %q", text, tc.why)
			}
			if len(all.Lanes) != 4 || len(all.Blocked) != 0 {
				t.Error("the plan itself was changed")
			}
		})
	}
}

func ids(p *plan.Plan) string {
	var out []string
	for _, l := range p.Lanes {
		out = append(out, l.Ref.ID.String())
	}
	return strings.Join(out, " ")
}

func TestApproval(t *testing.T) {
	p := &plan.Plan{Lanes: []plan.Lane{destroying(101), restarting(102), online(103)}}
	p.Lanes[0].Frees = []string{"tank:subvol-101-disk-0"}
	rules := permit.Rules{Budget: permit.Budget{RestartsPerRun: 1, RestartsPerDay: -1, DestroysPerRun: 0, DestroysPerDay: -1}}
	first := permit.NewGate(rules)
	held := first.Pass(p)
	if got := ids(held); got != "102 103" {
		t.Fatalf("without a yes: %q", got)
	}
	if !strings.HasSuffix(held.Blocked[0].Reason, "; the data of tank:subvol-101-disk-0 would be lost") {
		t.Errorf("whoever says yes is not told what is lost: %q", held.Blocked[0].Reason)
	}
	w := first.Waits()
	if w.Hash == "" || len(w.What) != 1 || w.What[0].ID != 101 {
		t.Fatalf("waits: %+v", w)
	}
	approve := func(hash string) permit.Rules {
		r := rules
		r.Approved = func(h string) bool { return h == hash }
		return r
	}
	yes := permit.NewGate(approve(w.Hash))
	if got := ids(yes.Pass(p)); got != "101 102 103" || yes.Waits().Hash != "" {
		t.Errorf("with a yes: %q, %+v", got, yes.Waits())
	}
	moved := &plan.Plan{Lanes: slices.Clone(p.Lanes)}
	moved.Lanes[0].Base.Digest = "another"
	stale := permit.NewGate(approve(w.Hash))
	if got := ids(stale.Pass(moved)); got != "102 103" || stale.Waits().Hash == w.Hash {
		t.Errorf("the live state moved, and the yes still holds: %q", got)
	}
}

// What comes up in the middle of a run costs a budget that was not given.
func TestLaterPlans(t *testing.T) {
	g := permit.NewGate(permit.Rules{Budget: permit.Unbounded()})
	g.Pass(&plan.Plan{Lanes: []plan.Lane{restarting(101)}})
	if got := ids(g.Pass(&plan.Plan{Lanes: []plan.Lane{restarting(101), restarting(102), online(103)}})); got != "101 103" {
		t.Errorf("done: %q", got)
	}
}

// Whatever the rules: a lane is either done or told as waiting, and never both; budgets hold.
func TestPartition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	make := []func(proxmox.VMID) plan.Lane{online, restarting, destroying, creating}
	for range 5000 {
		p := &plan.Plan{}
		for id := range r.IntN(8) {
			p.Lanes = append(p.Lanes, make[r.IntN(4)](proxmox.VMID(100+id)))
		}
		rules := permit.Rules{
			DryRun: r.IntN(8) == 0, Mode: permit.Modes()[r.IntN(4)], Windows: r.IntN(2) == 0, WindowOpen: r.IntN(2) == 0,
			Outside: []permit.Outside{"", permit.OutsideAll, permit.OutsideNothing}[r.IntN(3)],
			Modes:   map[proxmox.VMID]permit.Mode{}, Suspended: map[proxmox.VMID]permit.Suspension{},
			Budget: permit.Budget{r.IntN(3) - 1, r.IntN(4) - 1, r.IntN(3) - 1, r.IntN(4) - 1}, Spent: permit.Spent{Restarts: r.IntN(2), Destroys: r.IntN(2)},
		}
		for range r.IntN(3) {
			rules.Modes[proxmox.VMID(100+r.IntN(8))] = permit.Modes()[r.IntN(4)]
			rules.Suspended[proxmox.VMID(100+r.IntN(8))] = permit.Suspension{}
		}
		got := permit.NewGate(rules).Pass(p)
		var spent permit.Spent
		for _, l := range p.Lanes {
			id := l.Ref.ID
			held := slices.ContainsFunc(got.Blocked, func(b plan.Blocked) bool { return b.ID == id })
			if done := got.Lane(id) != nil; done == held {
				t.Fatalf("%d: done %v, told as waiting %v (%+v)", id, done, held, rules)
			} else if done {
				spent = spent.Plus(permit.Cost(l))
				if _, s := rules.Suspended[id]; s || rules.DryRun || rules.ModeOf(id) == permit.Off || rules.ModeOf(id) == permit.Watch {
					t.Fatalf("%d is done against the rules (%+v)", id, rules)
				}
			}
		}
		b := rules.Budget
		for _, x := range [][2]int{{spent.Restarts, b.RestartsPerRun}, {spent.Destroys, b.DestroysPerRun}} {
			if x[1] >= 0 && x[0] > x[1] {
				t.Fatalf("spent %+v of %+v", spent, b)
			}
		}
		for _, x := range [][3]int{{spent.Restarts, rules.Spent.Restarts, b.RestartsPerDay}, {spent.Destroys, rules.Spent.Destroys, b.DestroysPerDay}} {
			if x[2] >= 0 && x[0] > 0 && x[0]+x[1] > x[2] {
				t.Fatalf("spent %+v within a day of %+v: %+v", spent, rules.Spent, b)
			}
		}
	}
}

// What a lane costs is paid by its steps, each container once however often it is interrupted: no step that restarts or
// loses data comes before it is paid for, and nothing is paid that the lane does not cost.
func TestCostOf(t *testing.T) {
	op := func(r *rand.Rand) plan.Op {
		return []plan.Op{
			plan.SetConfig{},
			plan.Start{},
			plan.Shutdown{},
			plan.Reboot{},
			plan.DestroyVolume{},
			plan.RemoveRemnant{},
			plan.CreateContainer{},
			plan.Migrate{Restart: true},
			plan.Migrate{},
			plan.DestroyContainer{},
		}[r.IntN(10)]
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		l := lane(101, []plan.Action{plan.Destroy, plan.Retire, plan.Create, plan.Change}[r.IntN(4)])
		for range 1 + r.IntN(5) {
			l.Steps = append(l.Steps, plan.Step{Op: op(r)})
		}
		if r.IntN(3) == 0 {
			l.Frees = []string{"tank:subvol-101-disk-1"}
		}
		var paid permit.Spent
		cost := permit.Cost(l)
		for i, s := range l.Steps {
			paid = paid.Plus(permit.CostOf(l, i).Beyond(paid))
			if s.Restarts() && paid.Restarts < cost.Restarts || loses(s.Op) && paid.Destroys < cost.Destroys {
				t.Fatalf("step %d of %v is not paid for: %+v of %+v", i, l, paid, cost)
			}
		}
		if paid != cost {
			t.Fatalf("%+v is paid for %v, which costs %+v", paid, l, cost)
		}
	}
	retire := lane(101, plan.Retire, plan.SetConfig{}, plan.Shutdown{})
	if got := permit.CostOf(retire, 0); got != (permit.Spent{Destroys: 1}) {
		t.Errorf("to be destroyed later costs %+v", got)
	}
}

func loses(op plan.Op) bool {
	switch op.(type) {
	case plan.DestroyContainer, plan.DestroyVolume, plan.RemoveRemnant:
		return true
	}
	return false
}

// TestFollows leaves to the agent that leads what a token may do, and does what is root's.
func TestFollows(t *testing.T) {
	root := setting.Access{Root: true}
	device := setting.Change{Row: setting.Features, Access: root}
	cores := setting.Change{Row: setting.Cores, Old: int64(1), New: int64(2)}
	as := func(l plan.Lane, n int, changes ...setting.Change) plan.Lane { // its first n steps are root's
		for i := range n {
			l.Steps[i].Access = root
		}
		l.Changes = changes
		return l
	}
	usb := plan.Lane{Kind: plan.HostMountKind, Ref: proxmox.Ref{Node: "pve1"}, Name: "usb", Steps: []plan.Step{{Op: plan.MountHost{}, Access: root}}}
	template := plan.Lane{Kind: plan.TemplateKind, Ref: proxmox.Ref{Node: "pve1"}, Name: "debian", Steps: []plan.Step{{Op: plan.Start{}}}}
	needing := as(lane(109, plan.Create, plan.CreateContainer{}), 1, device)
	needing.Uses = []plan.Subject{template.Subject()}
	snapped := lane(106, plan.Change, plan.TakeSnapshot{}, plan.SetConfig{}, plan.Reboot{})
	snapped.Steps[1].Access, snapped.Changes = root, []setting.Change{device}
	recovering := lane(107, plan.Change, plan.Unlock{}, plan.DeleteSnapshot{})
	recovering.Steps[0].Access = root
	all := &plan.Plan{Lanes: []plan.Lane{
		usb, template, destroying(101), online(102), as(lane(103, plan.Create, plan.CreateContainer{}, plan.Start{}), 1, device, cores), creating(104),
		as(lane(105, plan.Change, plan.SetConfig{}, plan.SetConfig{}), 1, device, cores), snapped, recovering, restarting(108), needing,
	}}
	depending := as(lane(110, plan.Create, plan.CreateContainer{}, plan.Start{}), 1, device)
	depending.After = []proxmox.VMID{104}
	unmount := plan.Lane{Kind: plan.HostMountKind, Ref: proxmox.Ref{Node: "pve1"}, Name: "old", Action: plan.Destroy, After: []proxmox.VMID{108}, Steps: []plan.Step{{Op: plan.UnmountHost{}, Access: root}}}
	mounted := lane(111, plan.Change, plan.Start{})
	mounted.OnMounts = true
	all.Lanes = append(all.Lanes, depending, unmount, mounted)
	rules := permit.Rules{Budget: permit.Unbounded(), Follows: "pve2"}
	got := permit.NewGate(rules).Pass(all)
	if done := ids(got); done != "0 103 106 107 111" || got.Lanes[0].Kind != plan.HostMountKind {
		t.Errorf("may be done: %q", done)
	}
	if len(got.Blocked) != 10 {
		t.Errorf("%d are left: %+v", len(got.Blocked), got.Blocked)
	}
	for _, b := range got.Blocked {
		if !b.Waiting || b.Reason != "left to the agent on pve2, which leads" && !strings.HasSuffix(b.Reason, ", which is left to another agent") {
			t.Errorf("%d %s: %s", b.ID, b.Name, b.Reason)
		}
	}
	if rules.Keeps(102) {
		t.Error("snapshots are kept by two")
	}
	rules.Suspended = map[proxmox.VMID]permit.Suspension{103: {}}
	if done := ids(permit.NewGate(rules).Pass(all)); done != "0 106 107 111" {
		t.Errorf("with 103 suspended: %q", done)
	}
	leads := permit.Rules{Budget: permit.Unbounded(), Leads: true, RootNodes: []string{"pve7"}}
	if got := permit.NewGate(leads).Pass(all); len(got.Lanes) != len(all.Lanes)-1 || !strings.Contains(got.Blocked[0].Reason, "left to the agent on pve1, where alone it is seen") {
		t.Errorf("one that leads does %q and leaves %+v", ids(got), got.Blocked)
	}
	leads.RootNodes = []string{"pve1"}
	if got := permit.NewGate(leads).Pass(all); len(got.Blocked) > 0 {
		t.Errorf("one that leads leaves on its own node %+v", got.Blocked)
	}
	waits := permit.Rules{Budget: permit.Unbounded(), Waits: "another agent is there"}
	if got := permit.NewGate(waits).Pass(all); len(got.Lanes) > 0 || waits.Keeps(102) {
		t.Error("something is done by an agent that waits")
	}
}
