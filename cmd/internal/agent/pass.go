package agent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/history"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged/helper"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/permit"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/reconcile/schedule"
	"github.com/felhom/tend/reconcile/snapshot"
	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/spec"
)

// A pass is one turn of the loop.
type pass struct {
	*Agent
	settings *Settings
	rules    permit.Rules
	began    time.Time
	run      report.Run
	record   history.Record
	again    bool            // it is to be tried again soon
	next     time.Time       // when another is asked for at the latest; zero: by the interval alone
	stop     <-chan struct{} // asks for an end of what this pass does
}

// pass runs one turn, and says when the next is asked for.
func (a *Agent) pass(ctx context.Context, causes []schedule.Cause) schedule.Result {
	if a.stopping() {
		return schedule.Result{}
	}
	p := &pass{Agent: a, settings: a.enter(), began: time.Now()}
	p.run = report.Run{Trigger: a.trigger(causes), Began: p.began}
	a.begin()
	want := p.spec(ctx)
	// Only now: whoever suspended something while the source was asked did so before what came from it was seen.
	p.rules, p.next = a.rules(p.settings, time.Now())
	if want != nil && ctx.Err() == nil {
		p.converge(ctx, want)
	}
	a.lookAtDisks(ctx)
	p.end()
	return schedule.Result{Failed: p.again, Next: p.next}
}

// rest ends a pass, when it is known when the next begins.
func (a *Agent) rest() {
	a.mu.Lock()
	ended, before := a.ended, a.before
	if ended == nil { // it was not begun, since the agent ends
		a.mu.Unlock()
		return
	}
	a.ended, a.pic.doing = nil, "waiting"
	a.mu.Unlock()
	after := a.publish()
	if a.o.Tell != nil {
		a.o.Tell(before, after)
	}
	close(ended)
}

// trigger is why a pass begins, in words.
func (a *Agent) trigger(causes []schedule.Cause) string {
	var out []string
	for _, c := range causes {
		text := c.Trigger.String()
		if c.Trigger == schedule.Manual {
			if by := a.asked.Swap(nil); by != nil {
				text = "asked for by " + *by
			}
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
}

// spec asks the source, and returns what is in force, which is the new revision where that is good; nil: nothing is.
func (p *pass) spec(ctx context.Context) *spec.State {
	p.doing("asking the source")
	found, err := p.o.Source.Fetch(ctx)
	switch {
	case ctx.Err() != nil:
		return p.want
	case err != nil:
		class, _ := source.ClassOf(err)
		p.again = class == source.Unreachable || class == source.Unsettled
		p.o.Log.Warn("the source is not followed", slog.Any("err", err))
	case p.want != nil && found.Revision.ID == p.rev:
		p.noteUnwritten(p.o.Source.Accept(found))
	default:
		p.take(found)
	}
	if p.want == nil {
		p.resume()
	}
	state := p.o.Source.State()
	p.run.Revision = report.Revision(state.InForce)
	if state.Err != nil {
		p.run.Result, p.run.Error = report.Refused, state.Err.Error()
		p.run.Summary = "The spec was refused"
	}
	if p.want == nil && p.run.Summary == "" {
		p.run.Result, p.run.Summary = report.Refused, "There is no spec yet"
	}
	return p.want
}

// take reads what was fetched, and brings it into force where it is a good spec.
func (p *pass) take(found source.Found) {
	want, err := p.o.Load(found.Files)
	if err != nil {
		p.o.Source.Refuse(found, err)
		p.o.Log.Warn("the spec is refused", slog.String("revision", found.Revision.String()), slog.Any("err", err))
		return
	}
	p.noteUnwritten(p.o.Source.Accept(found))
	p.o.Log.Info("spec in force", slog.String("revision", found.Revision.String()), slog.String("subject", found.Revision.Subject()))
	p.want, p.rev = want, found.Revision.ID
}

func (p *pass) noteUnwritten(err error) {
	if err != nil {
		p.o.Log.Warn("the revision in force is not written down", slog.Any("err", err))
	}
}

// resume reads what was in force when an earlier process ended.
func (p *pass) resume() {
	found, ok := p.o.Source.InForce()
	if !ok {
		return
	}
	want, err := p.o.Load(found.Files)
	if err != nil {
		p.o.Log.Warn("the revision that was in force cannot be read any more", slog.Any("err", err))
		return
	}
	p.want, p.rev = want, found.Revision.ID
}

// converge makes the plan, does what may be done, and keeps snapshots.
func (p *pass) converge(ctx context.Context, want *spec.State) {
	p.doing("looking at the cluster")
	defer p.stand(ctx, want.Cluster.Owner)()
	policy := p.settings.Policy
	policy.Now, policy.WindowOpen, policy.HoldRestarts = p.began, p.rules.WindowOpen, p.rules.HoldRestarts()
	policy.Voice = plan.ToAgent
	if next := p.rules.NextWindow; !next.IsZero() {
		policy.WindowOpens = next.In(p.rules.Location)
	}
	p.rules.Approved = p.approved
	rec := p.o.Reconciler(policy)
	p.rules.RootNodes = rec.Policy.RootNodes
	gate := permit.NewGate(p.rules)
	rec.Permit = gate.Pass
	rec.Executor.Stop = p.stop
	newLedger(p.o.Memory, p.o.Log).keep(&rec.Executor)
	run := rec.NewRun(want)
	made, have, err := run.Plan(ctx)
	if err != nil {
		p.unreachable(err)
		return
	}
	shown := view.Plan{Plan: made, Spec: p.revision()}
	p.looked(ctx, want, shown, have, gate.Waits())
	outcome := p.apply(ctx, run, shown)
	if outcome != nil {
		p.applied(ctx, want, run, outcome, gate.Waits())
	}
	p.snapshots(ctx, want)
	p.backups(ctx, want, have)
}

// stand asks what this agent may do beside others, for the rest of the pass; what it returns ends that.
func (p *pass) stand(ctx context.Context, owner string) (end func()) {
	p.stop = p.o.Stop
	if p.o.Leader == nil || p.rules.DryRun {
		p.noLead(ctx)
		return func() {}
	}
	s := p.o.Leader.Stand(ctx, owner)
	p.mu.Lock()
	p.pic.agent.Lead = &s.Lead
	p.mu.Unlock()
	switch s.Role {
	case report.Waits:
		p.rules.Waits = s.Why
	case report.Follows:
		p.rules.Follows = cmp.Or(s.Node, "another node")
	case report.Leads:
		p.rules.Leads = true
	case report.Sole:
	}
	over := make(chan struct{})
	either := make(chan struct{})
	go func() {
		select {
		case <-p.o.Stop:
			close(either)
		case <-s.Lost:
			close(either)
		case <-over:
		}
	}()
	p.stop = either
	return func() { close(over) }
}

// noLead gives back what an agent that changes nothing has no use for: another may act.
func (p *pass) noLead(ctx context.Context) {
	p.mu.Lock()
	had := p.pic.agent.Lead
	p.pic.agent.Lead = nil
	p.mu.Unlock()
	if had != nil {
		p.o.Leader.Close(ctx)
	}
}

// revision is the revision in force, as plans show it.
func (p *pass) revision() view.Revision {
	return view.Revision{Hash: p.run.Revision.ID[:min(shortID, len(p.run.Revision.ID))], Branch: p.run.Revision.Ref}
}

// shortID is how much of a hash people are shown.
const shortID = 7

// approved reports whether somebody said yes to a plan: by hand, or in the message of the signed commit that is in force.
func (p *pass) approved(hash string) bool {
	if p.o.Memory.Approved(hash, p.began) {
		return true
	}
	r := p.run.Revision
	if r.Signer == "" {
		return false
	}
	for line := range strings.Lines(r.Message) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(key), "Tend-Approve") && strings.TrimSpace(value) == hash {
			return true
		}
	}
	return false
}

// unreachable notes that the cluster could not be looked at.
func (p *pass) unreachable(err error) {
	p.run.Result, p.run.Summary, p.run.Error = report.Failed, "The cluster could not be looked at", err.Error()
	if errors.Is(err, proxmox.ErrUnreachable) {
		p.run.Result = report.Unreachable
	}
	p.again = true
	p.o.Log.Warn("cannot look at the cluster", slog.Any("err", err))
}

// apply carries the plan out; nil where there is nothing to do.
func (p *pass) apply(ctx context.Context, run *reconcile.Run, shown view.Plan) *reconcile.Outcome {
	sheet := shown.Sheet()
	p.record.Sheet = &sheet
	if shown.Empty() {
		p.verdict(quiet(shown.Plan), shown.Summary())
		return nil
	}
	p.run.Plan = permit.Hash(shown.Lanes)
	p.doing("applying: " + shown.Summary())
	outcome, err := run.Apply(helper.WithClaim(ctx, helper.Claim{Plan: p.run.Plan, Commit: p.run.Revision.ID}))
	result := view.Result{Plan: shown, Outcome: &outcome}
	account := result.Account()
	p.record.Account = &account
	var document bytes.Buffer
	if jerr := result.JSON(&document); jerr == nil {
		p.record.Document = document.Bytes()
	}
	p.noteChanged(outcome)
	p.verdict(became(outcome), result.Summary())
	if err != nil && p.run.Error == "" {
		p.run.Error = err.Error()
		p.run.Result, p.again = worse(p.run.Result, report.Failed), true
	}
	return &outcome
}

// verdict says how the pass went, unless something worse was said before.
func (p *pass) verdict(r report.Result, summary string) {
	p.again = p.again || r == report.Failed
	if p.run.Result == report.Refused { // and the summary of what is in force is worth more than nothing
		p.run.Summary += "; of what is in force: " + summary
		return
	}
	p.run.Result, p.run.Summary = worse(p.run.Result, r), summary
}

// worse is the worse of two results.
func worse(a, b report.Result) report.Result {
	all := report.Results()
	if slices.Index(all, a) > slices.Index(all, b) {
		return a
	}
	return b
}

// quiet is the result of a plan without anything that may be done.
func quiet(p *plan.Plan) report.Result {
	switch {
	case slices.ContainsFunc(p.Blocked, func(b plan.Blocked) bool { return !b.Waiting }):
		return report.Blocked
	case len(p.Blocked) > 0:
		return report.Pending
	}
	return report.Quiet
}

// became is the result of a plan that was carried out.
func became(o reconcile.Outcome) report.Result {
	switch w := o.Worst(); {
	case w == reconcile.Failed || w == reconcile.Stuck:
		return report.Failed
	case o.Interrupted || w == reconcile.Interrupted:
		return report.Interrupted
	case w == reconcile.Left:
		return report.Pending
	case w == reconcile.Blocked:
		return report.Blocked
	case w == reconcile.PendingRestart || w == reconcile.Waiting:
		return report.Pending
	case w == reconcile.Unchanged:
		return report.Quiet
	}
	return report.Converged
}

// noteChanged takes down what was done.
func (p *pass) noteChanged(o reconcile.Outcome) {
	for _, c := range o.All() {
		if len(c.Done) == 0 {
			continue
		}
		p.run.Changed = append(p.run.Changed, c.Subject())
		if c.Err != nil && p.run.Error == "" {
			p.run.Error = fmt.Sprintf("%s: %v", c.Subject(), c.Err)
		}
	}
}

// snapshots carries out the snapshot policies.
func (p *pass) snapshots(ctx context.Context, want *spec.State) {
	if p.o.Snapshots == nil || p.stopping() {
		return
	}
	only := []proxmox.VMID{}
	for _, c := range want.Containers {
		if want.PolicyOf(c) != nil {
			only = append(only, c.ID)
		}
	}
	if len(only) == 0 {
		return
	}
	may := slices.DeleteFunc(slices.Clone(only), func(id proxmox.VMID) bool { return !p.rules.Keeps(id) })
	p.doing("keeping snapshots")
	k := *p.o.Snapshots
	k.Stop = p.stop
	r, err := k.Run(ctx, want, snapshot.Options{Only: may})
	if err != nil {
		p.run.Error = "keep snapshots: " + err.Error()
		p.run.Result, p.again = worse(p.run.Result, report.Failed), true
		p.o.Log.Warn("snapshots are not kept", slog.Any("err", err))
	}
	for i := range r.Containers {
		c := &r.Containers[i]
		c.Next = p.afterwards(want, *c)
		if c.Taken != "" || len(c.Dropped) > 0 {
			p.changed(plan.Subject{ID: c.Ref.ID})
		}
		if c.Err != nil {
			p.run.Result = worse(p.run.Result, report.Failed)
			p.run.Error = fmt.Sprintf("snapshots of %d %s: %v", c.Ref.ID, c.Name, c.Err)
		}
		p.next = sooner(p.next, c.Next)
	}
	p.noteCopies(r)
}

// afterwards is when the next snapshot of a container is due, after what was done; zero: never.
func (p *pass) afterwards(want *spec.State, c snapshot.Container) time.Time {
	if !c.Due {
		return c.Next
	}
	i := slices.IndexFunc(want.Containers, func(w *spec.Container) bool { return w.ID == c.Ref.ID })
	policy, ok := retention.For(want, want.Containers[i])
	if !ok {
		return time.Time{}
	}
	now := time.Now()
	due, ok := policy.Due(c.Ref.ID.String(), now, now)
	if !ok {
		return time.Time{}
	}
	return due.At
}

func (p *pass) changed(s plan.Subject) {
	if !slices.Contains(p.run.Changed, s) {
		p.run.Changed = append(p.run.Changed, s)
	}
	if p.run.Result == report.Quiet {
		p.run.Result, p.run.Summary = report.Converged, "Snapshots were kept; everything is in sync"
	}
}
