package agent

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/permit"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/reconcile/schedule"
	"github.com/felhom/tend/reconcile/snapshot"
	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/spec"
)

// recentRuns is how many runs a report holds.
const recentRuns = 20

// A picture is what reports are made of. Nothing in it is changed once it stands there: it is replaced.
type picture struct {
	agent      report.Agent
	origin     report.Source // what is followed, without how it stands
	doing      string
	containers []report.Container
	others     []report.Other
	plan       *report.Plan
	approvals  []report.Approval
	due        []report.Due
	runs       []report.Run
	loop       report.Loop
	last       map[proxmox.VMID]report.Change
	copies     map[proxmox.VMID]*report.Copies
	hands      map[proxmox.VMID][]report.Hand
	disks      []report.Disk
	sensors    []report.Sensor
	backups    map[proxmox.VMID]backup.Container
	backedUp   time.Time // when backups were last looked at
	revision   string    // that containers were looked at for
}

func newPicture(o Options) picture {
	return picture{
		agent: o.Agent, doing: "starting", loop: report.Loop{Ended: map[report.Result]uint64{}},
		last: map[proxmox.VMID]report.Change{}, copies: map[proxmox.VMID]*report.Copies{}, hands: map[proxmox.VMID][]report.Hand{},
	}
}

// recall takes the last runs and what was changed last over from the history.
func (a *Agent) recall() {
	runs, err := a.o.History.Runs(0, 200)
	if err != nil {
		a.o.Log.Warn("the history cannot be read", slog.Any("err", err))
	}
	for _, r := range runs {
		for _, s := range r.Changed {
			if _, known := a.pic.last[s.ID]; !known && s.ID != 0 {
				a.pic.last[s.ID] = changeOf(r, r.Summary, string(r.Result))
			}
		}
	}
	a.pic.runs = runs[:min(len(runs), recentRuns)]
}

func changeOf(r report.Run, what, result string) report.Change {
	return report.Change{Time: r.Began, Run: r.ID, Commit: r.Revision.ID, Author: r.Revision.Author, What: what, Result: result}
}

// begin marks the begin of a pass.
func (a *Agent) begin() {
	before, _ := a.o.Board.Report()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended, a.before = make(chan struct{}), before
}

// doing says what the agent is at, for people who look now.
func (a *Agent) doing(what string) {
	a.mu.Lock()
	a.pic.doing = what
	a.mu.Unlock()
	a.publish()
}

// looked takes a plan and what it was made on into the picture.
func (p *pass) looked(ctx context.Context, want *spec.State, shown view.Plan, have *plan.Live, waits permit.Waiting) {
	hands := p.whoTouched(ctx, shown, have)
	sheet := shown.Sheet()
	p.mu.Lock()
	c := &p.pic
	c.agent.Cluster, c.agent.Owner, c.agent.DryRun = want.Cluster.Name, want.Cluster.Owner, p.rules.DryRun
	c.loop.Observed = time.Now()
	c.hands, c.revision = hands, p.run.Revision.ID
	c.plan = &report.Plan{Hash: cmp.Or(waits.Hash, hashOf(shown.Plan)), Made: p.began, Revision: p.run.Revision, Sheet: sheet}
	switch {
	case p.rules.DryRun:
		c.plan.Held = "dry run"
	case waits.Hash != "":
		c.plan.Held = "waits for approval"
	}
	c.approvals = approvalsOf(c.approvals, waits, p.began)
	c.containers, c.others = p.containersOf(want, shown, have, sheet, waits), othersOf(shown)
	c.due = p.dueOf()
	p.mu.Unlock()
	p.publish()
}

func hashOf(p *plan.Plan) string {
	if p.Empty() {
		return ""
	}
	return permit.Hash(p.Lanes)
}

// approvalsOf are what waits for a yes, since when it first did.
func approvalsOf(before []report.Approval, w permit.Waiting, now time.Time) []report.Approval {
	if w.Hash == "" {
		return nil
	}
	since := now
	if i := slices.IndexFunc(before, func(a report.Approval) bool { return a.Hash == w.Hash }); i >= 0 {
		since = before[i].Since
	}
	var names []string
	for _, s := range w.What {
		names = append(names, s.String())
	}
	return []report.Approval{{Hash: w.Hash, Since: since, Why: w.Why, Summary: fmt.Sprintf("%d waiting: %s", len(names), join(names))}}
}

func join(names []string) string {
	const most = 6
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", join(names[:most]), len(names)-most)
	}
	out := ""
	for i, n := range names {
		if i > 0 {
			out += ", "
		}
		out += n
	}
	return out
}

func othersOf(shown view.Plan) []report.Other {
	var out []report.Other
	for _, l := range shown.Lanes {
		if l.Kind != plan.ContainerKind {
			out = append(out, report.Other{Subject: l.Subject(), Sync: view.OutOfSync})
		}
	}
	for _, b := range shown.Blocked {
		if b.Kind != plan.ContainerKind {
			out = append(out, report.Other{Subject: b.Subject(), Sync: view.SyncBlocked, Why: b.Reason})
		}
	}
	return out
}

// containersOf are the declared containers and those that carry the owner's tag, with those that the plan takes away.
func (p *pass) containersOf(want *spec.State, shown view.Plan, have *plan.Live, sheet view.Sheet, waits permit.Waiting) []report.Container {
	var out []report.Container
	for _, w := range want.Containers {
		c := report.Container{ContainerState: view.StateOf(w, shown.Plan, have.Containers[w.ID])}
		if online, known := have.Nodes[w.Node]; known && !online {
			c.Unknown = w.Node + " does not answer"
		}
		out = append(out, c)
	}
	for _, u := range shown.Unclaimed {
		out = append(out, report.Container{ContainerState: view.UnclaimedState(u, have.Containers[u.Ref.ID])})
	}
	out = append(out, leaving(out, shown, have)...)
	slices.SortFunc(out, func(a, b report.Container) int { return cmp.Compare(a.ID, b.ID) })
	for i := range out {
		p.describe(&out[i], shown, sheet, waits)
	}
	return out
}

// leaving are the containers that only the plan still speaks of: those that are destroyed, or would be if they might.
func leaving(known []report.Container, shown view.Plan, have *plan.Live) []report.Container {
	var out []report.Container
	add := func(s plan.Subject, name string) {
		seen := have.Containers[s.ID]
		is := func(c report.Container) bool { return c.ID == s.ID }
		if s.Kind != plan.ContainerKind || seen == nil || slices.ContainsFunc(known, is) || slices.ContainsFunc(out, is) {
			return
		}
		u := plan.Unclaimed{Ref: seen.Ref, Name: name}
		out = append(out, report.Container{ContainerState: view.UnclaimedState(u, seen)})
	}
	for _, l := range shown.Lanes {
		add(l.Subject(), l.Name)
	}
	for _, b := range shown.Blocked {
		add(b.Subject(), b.Name)
	}
	return out
}

// describe adds to a container what the plan, people and the agent itself say of it.
func (p *pass) describe(c *report.Container, shown view.Plan, sheet view.Sheet, waits permit.Waiting) {
	c.Mode = p.rules.ModeOf(c.ID).Words()
	if s, ok := p.rules.SuspensionOf(c.ID); ok {
		c.Suspended = &report.Suspension{ID: c.ID, Until: s.Until, Reason: s.Reason, By: s.By}
		for _, full := range p.o.Memory.Suspensions(p.began) {
			if full.ID == c.ID || full.ID == 0 {
				c.Suspended = &full
			}
		}
	}
	c.Differs = []string{}
	c.Fill(sheet)
	if slices.ContainsFunc(waits.What, func(s plan.Subject) bool { return s.Kind == plan.ContainerKind && s.ID == c.ID }) {
		c.Approval = waits.Hash
	}
	for _, b := range shown.Blocked {
		if b.ID == c.ID && b.What == "restart" && b.Waiting && !p.rules.NextWindow.IsZero() {
			c.Restarts = p.rules.NextWindow
			c.RestartWhen = "in the window " + p.rules.NextWindow.In(p.rules.Location).Format("Mon 2006-01-02 15:04")
		}
	}
}

// applied looks at what became of a plan.
func (p *pass) applied(ctx context.Context, want *spec.State, run *reconcile.Run, o *reconcile.Outcome, waits permit.Waiting) {
	for _, c := range o.Containers {
		if len(c.Done) == 0 {
			continue
		}
		p.mu.Lock()
		p.pic.last = maps.Clone(p.pic.last)
		p.pic.last[c.Ref.ID] = changeOf(p.run, verbsOf(c.Done), c.State.String())
		p.mu.Unlock()
	}
	if o.Remaining == nil {
		return
	}
	shown := view.Plan{Plan: o.Remaining, Spec: p.revision()}
	p.looked(ctx, want, shown, run.Live(), waits)
}

func verbsOf(done []plan.Step) string {
	var out []string
	for _, s := range done {
		if v := cmp.Or(s.Cause, s.Op.Verb()); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return join(out)
}

// dueOf is what happens next by itself.
func (p *pass) dueOf() []report.Due {
	var out []report.Due
	if p.rules.Windows && !p.rules.NextWindow.IsZero() {
		out = append(out, report.Due{Time: p.rules.NextWindow, What: "maintenance window"})
	}
	perPolicy := map[string]report.Due{}
	for _, c := range p.pic.copies {
		if c.Next.IsZero() {
			continue
		}
		d := perPolicy[c.Policy]
		perPolicy[c.Policy] = report.Due{Time: sooner(d.Time, c.Next), What: "snapshots of " + c.Policy}
	}
	out = slices.AppendSeq(out, maps.Values(perPolicy))
	slices.SortFunc(out, func(a, b report.Due) int { return a.Time.Compare(b.Time) })
	return out
}

// noteCopies takes what the keeper of snapshots says into the picture. Of containers that it did not list anew, what was
// known stays.
func (p *pass) noteCopies(r snapshot.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[proxmox.VMID]*report.Copies{}
	for _, c := range r.Containers {
		x := &report.Copies{Policy: c.Policy, Last: c.Newest, Next: c.Next}
		before := p.pic.copies[c.Ref.ID]
		if len(c.Decision.Verdicts) > 0 || c.Taken != "" || before == nil {
			x.List = copiesOf(c.Decision)
			if lim := c.Decision.Policy.SnapshotPolicy; lim != nil && !c.Newest.IsZero() {
				if until := c.Decision.Policy.Limit(c.Newest); !until.IsZero() {
					x.MaxAge = report.Duration(until.Sub(c.Newest))
				}
			}
		} else {
			x.List, x.MaxAge, x.Last = before.List, before.MaxAge, before.Last
		}
		if c.Err != nil {
			x.Error = c.Err.Error()
		}
		out[c.Ref.ID] = x
	}
	p.pic.copies = out
	p.pic.due = p.dueOf()
}

func copiesOf(d retention.Decision) []report.Copy {
	out := []report.Copy{}
	for _, v := range d.Verdicts {
		if v.Action == retention.Drop {
			continue
		}
		out = append(out, report.Copy{Name: v.Name, Time: v.Time, Kept: d.Reason(v), Own: v.Own()})
	}
	slices.SortStableFunc(out, func(a, b report.Copy) int { return a.Time.Compare(b.Time) })
	return out
}

// end writes the pass into the history and counts it.
func (p *pass) end() {
	p.run.Ended = time.Now()
	if p.run.Result == "" {
		p.run.Result, p.run.Summary = report.Interrupted, "Interrupted"
	}
	p.record.Run = p.run
	id, err := p.o.History.Append(p.record)
	if err != nil {
		p.o.Log.Warn("the run is not kept in the history", slog.Any("err", err))
	}
	p.run.ID = id
	level := slog.LevelInfo
	if p.run.Result == report.Quiet {
		level = slog.LevelDebug // every few minutes, for years
	}
	p.o.Log.Log(context.Background(), level, "pass ended", slog.String("result", string(p.run.Result)), slog.String("trigger", p.run.Trigger), slog.String("summary", p.run.Summary), slog.Duration("took", p.run.Took().Round(time.Millisecond)))
	p.mu.Lock()
	c := &p.pic
	runs, err := p.o.History.Runs(0, recentRuns)
	if err != nil || len(runs) == 0 {
		runs = append([]report.Run{p.run}, c.runs[:min(len(c.runs), recentRuns-1)]...)
	}
	c.runs = runs
	for id, last := range c.last {
		if last.Run == 0 && last.Time.Equal(p.run.Began) {
			last.Run = p.run.ID
			c.last[id] = last
		}
	}
	p.noteLoop(&c.loop)
	p.mu.Unlock()
}

// noteLoop counts the pass.
func (p *pass) noteLoop(l *report.Loop) {
	l.Last = &p.run
	l.Ended = maps.Clone(l.Ended)
	l.Ended[p.run.Result]++
	l.Seconds += p.run.Took().Seconds()
	if p.run.Result == report.Quiet || p.run.Result == report.Converged {
		l.Good = p.run.Ended
	}
	switch failing := p.run.Result == report.Failed || p.run.Result == report.Unreachable; {
	case !failing:
		l.Failures, l.Error, l.Failing = 0, "", time.Time{}
	case l.Failures == 0:
		l.Failing = p.run.Began
		fallthrough
	default:
		l.Failures, l.Error = l.Failures+1, p.run.Error
	}
}

// lookAtDisks puts the disks and sensors of the nodes into the picture.
func (a *Agent) lookAtDisks(ctx context.Context) {
	if a.o.Disks == nil || a.stopping() || ctx.Err() != nil {
		return
	}
	disks, sensors := report.DisksOf(a.o.Disks(ctx))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pic.disks, a.pic.sensors = disks, sensors
}

// publish puts the picture up as a report.
func (a *Agent) publish() *report.Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	c := a.pic
	r := &report.Report{
		Version: report.Version, Kind: "report", Time: now, Agent: c.agent, Source: a.sourceOf(), Loop: c.loop,
		Containers: slices.Clone(c.containers), Others: c.others, Plan: c.plan, Runs: c.runs,
		Suspended: a.o.Memory.Suspensions(now), Approvals: c.approvals, Due: c.due, Disks: c.disks, Sensors: c.sensors, Queue: queueOf(a.runner.Waiting()),
	}
	r.Loop.Doing, r.Loop.Interval = c.doing, report.Duration(a.settings.Load().Interval)
	if next, ok := a.runner.Next(); ok {
		r.Loop.Next, r.Source.Next = next, next
		if a.runner.Failures() > 0 {
			r.Queue.Backoff = next
		}
	}
	for i := range r.Containers {
		x := &r.Containers[i]
		if last, ok := c.last[x.ID]; ok {
			x.Last = &last
		}
		x.Snapshots, x.ByHand = c.copies[x.ID], c.hands[x.ID]
		if b, ok := c.backups[x.ID]; ok {
			x.SetBackups(b)
		}
	}
	if a.ended == nil { // else they are on their way
		r.Journal = open(a.o.Journal)
	}
	if a.o.Requests != nil {
		r.Requests = a.o.Requests()
	}
	if a.o.Channels != nil {
		r.Channels = a.o.Channels()
	}
	a.o.Board.Publish(r)
	return r
}

func queueOf(waiting []schedule.Trigger) report.Queue {
	q := report.Queue{Depth: len(waiting)}
	for _, t := range waiting {
		q.Triggers = append(q.Triggers, t.String())
	}
	return q
}

// open are the calls whose end is not known.
func open(j *journal.Journal) []report.JournalEntry {
	var out []report.JournalEntry
	for _, rec := range j.Pending() {
		e := rec.Entry()
		x := report.JournalEntry{Subject: e.Subject(), Verb: e.Verb, Time: e.Time}
		if !e.Task.IsZero() {
			x.Task = e.Task.String()
		}
		out = append(out, x)
	}
	return out
}

// sourceOf is how the source stands.
func (a *Agent) sourceOf() report.Source {
	s, out := a.o.Source.State(), a.pic.origin
	out.From = s.From
	out.InForce, out.Since, out.Looked, out.Refused = report.Revision(s.InForce), s.Since, s.Looked, report.Revision(s.Refused)
	if s.Err == nil {
		return out
	}
	out.Error, out.Failing = s.Err.Error(), s.Failing
	if class, ok := source.ClassOf(s.Err); ok {
		out.Class = class.String()
	}
	out.Hint = view.Hint(s.Err)
	return out
}
