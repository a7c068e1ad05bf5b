package agent_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/agent"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/permit"
)

// inFolder is a rig whose source is a folder with one file.
func inFolder(t *testing.T, text string) (r *rig, write func(string)) {
	t.Helper()
	dir := folder(t, text)
	write = func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "web.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return newRig(t, config.Source{Dir: dir}), write
}

// A change of the folder is noticed, and a file that cannot be read leaves in force what was.
func TestFolder(t *testing.T) {
	t.Parallel()
	r, write := inFolder(t, web("cores: 1"))
	r.start()
	r.await("made", func(x *report.Report) bool {
		return waiting(x) && x.Container(300) != nil && x.Container(300).Sync == view.Synced
	})
	write(web("cores: 2"))
	rep := r.await("changed", func(x *report.Report) bool {
		return waiting(x) && x.Loop.Last.Result == report.Converged && passes(x) > 1
	})
	if r.config()["cores"] != "2" || rep.Loop.Last.Trigger != "change of the source" && !strings.Contains(rep.Loop.Last.Trigger, "change") {
		t.Errorf("cores %s, trigger %q", r.config()["cores"], rep.Loop.Last.Trigger)
	}
	write(web("cores: 2", "memry: 1GiB"))
	rep = r.await("refused", func(x *report.Report) bool { return waiting(x) && x.Source.Error != "" })
	if !strings.Contains(rep.Source.Error, `web.yaml:10:5`) || !strings.Contains(rep.Source.Error, "memory") {
		t.Errorf("error %q", rep.Source.Error)
	}
	r.byHand("cores", "7")
	if r.again(); r.config()["cores"] != "2" {
		t.Errorf("what is in force is not kept: cores %s", r.config()["cores"])
	}
}

// A disk that begins to fail is told in the next report, first of all that needs somebody.
func TestDisks(t *testing.T) {
	t.Parallel()
	r, _ := inFolder(t, web("cores: 1"))
	var failing atomic.Bool
	r.disks = func(context.Context) []*health.Node {
		d := health.Disk{Device: "/dev/sda", Check: health.Passed}
		if failing.Load() {
			d.Check = health.Failed
		}
		return []*health.Node{{Name: "pve1", Disks: []health.Disk{health.Limits{}.Judge(d)}}}
	}
	r.start()
	rep := r.await("told", func(x *report.Report) bool { return waiting(x) && len(x.Disks) == 1 })
	if rep.Disks[0].Health != report.Healthy {
		t.Errorf("got %+v", rep.Disks)
	}
	failing.Store(true)
	rep = r.again()
	if items := rep.Attention(rep.Time); len(items) == 0 || items[0].What != "Disk /dev/sda on pve1 is failing" {
		t.Errorf("got %+v", items)
	}
}

// What people suspended is left, and told; resumed it is put right.
func TestSuspend(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r, _ := inFolder(t, web("cores: 1"))
	r.start()
	r.await("made", waiting)
	if err := r.agent.Suspend(ctx, report.Suspension{ID: 999, Reason: "x"}); err == nil || !strings.Contains(err.Error(), "no container 999") {
		t.Errorf("suspended what is not there: %v", err)
	}
	r.next(func() {
		r.must(r.agent.Suspend(ctx, report.Suspension{ID: 300, Since: time.Now(), Until: time.Now().Add(time.Hour), Reason: "moving", By: "anna"}))
	})
	r.byHand("cores", "4")
	rep := r.again()
	c := rep.Container(300)
	if r.config()["cores"] != "4" || c.Sync != view.Suspended || c.Suspended == nil || c.Suspended.By != "anna" || len(rep.Suspended) != 1 {
		t.Errorf("cores %s, container %+v", r.config()["cores"], c)
	}
	if rep.Loop.Last.Result != report.Pending || !strings.Contains(rep.Plan.Sheet.Summary, "waiting") {
		t.Errorf("result %q: %s", rep.Loop.Last.Result, rep.Plan.Sheet.Summary)
	}
	r.end()
	r.start() // it holds over a restart
	r.await("suspended still", func(x *report.Report) bool { return waiting(x) && x.Container(300).Sync == view.Suspended })
	r.next(func() { r.must(r.agent.Resume(ctx, 300, "anna")) })
	if r.config()["cores"] != "1" {
		t.Errorf("resumed, cores %s", r.config()["cores"])
	}
	if err := r.agent.Resume(ctx, 300, "anna"); err == nil || !strings.Contains(err.Error(), "container 300 is not suspended") {
		t.Errorf("resumed twice: %v", err)
	}
}

// A restart beyond the budget waits for a yes, which holds for that plan and no other.
func TestApprove(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r, write := inFolder(t, web("cores: 1"))
	r.settings.Rules.Budget = permit.Budget{RestartsPerRun: 0, RestartsPerDay: 5, DestroysPerRun: -1, DestroysPerDay: -1}
	r.start()
	r.await("made", waiting)
	write(web("cores: 1", "features: {nesting: true}"))
	rep := r.await("waits", func(x *report.Report) bool { return waiting(x) && len(x.Approvals) == 1 })
	hash := rep.Approvals[0].Hash
	if strings.Contains(r.config()["features"], "nesting=1") && r.pending() == "" {
		t.Fatal("it was restarted without a yes")
	}
	if !strings.Contains(rep.Approvals[0].Why, "1 restart beyond it: the budget is 0 restarts a run") || rep.Container(300).Approval != hash {
		t.Errorf("approval %+v, container %q", rep.Approvals[0], rep.Container(300).Approval)
	}
	if err := r.agent.Approve(ctx, "0123456789abcdef", "anna"); err == nil || !strings.Contains(err.Error(), "it is "+hash+" now") {
		t.Errorf("a wrong hash: %v", err)
	}
	r.byHand("description", "by hand")
	rep = r.again() // the live state moved, and the plan with it
	if err := r.agent.Approve(ctx, hash, "anna"); err == nil {
		t.Error("a plan that was made on another state was approved")
	}
	hash = rep.Approvals[0].Hash
	rep = r.next(func() { r.must(r.agent.Approve(ctx, hash, "anna")) })
	if rep.Loop.Last.Result != report.Converged || len(rep.Approvals) != 0 || !strings.Contains(r.config()["features"], "nesting=1") || r.pending() != "" {
		t.Errorf("approved: %q %s, config %v", rep.Loop.Last.Result, rep.Loop.Last.Error, r.config())
	}
}

// A container that was taken out of the spec is shown until it is gone, with what waits for a yes.
func TestLeaving(t *testing.T) {
	t.Parallel()
	r, write := inFolder(t, web("cores: 1"))
	r.settings.Policy.Prune, r.settings.Policy.PruneMax, r.settings.Policy.PrunePercent = true, 1, 100
	r.settings.Rules.Budget = permit.Budget{RestartsPerRun: -1, RestartsPerDay: -1, DestroysPerRun: 0, DestroysPerDay: -1}
	r.start()
	r.await("made", waiting)
	write(strings.NewReplacer("id: 300", "id: 301", "web:", "other:").Replace(web("cores: 1")))
	rep := r.await("waits", func(x *report.Report) bool { return waiting(x) && len(x.Approvals) == 1 })
	c := rep.Container(300)
	if c == nil {
		t.Fatal("the container that would be destroyed is not shown")
	}
	if c.Name != "web" || c.Node != "pve1" || c.Approval != rep.Approvals[0].Hash || c.Sync != view.OutOfSync || !slices.Contains(c.Differs, "destroy") {
		t.Errorf("shown as %+v", c)
	}
	rep = r.next(func() { r.must(r.agent.Approve(context.Background(), rep.Approvals[0].Hash, "anna")) })
	if c := rep.Container(300); c != nil {
		t.Errorf("it is gone, and shown as %+v", c)
	}
}

// Outside of windows nothing restarts, whatever the spec says; what is online is done.
func TestWindow(t *testing.T) {
	t.Parallel()
	r, write := inFolder(t, web("cores: 1"))
	event, err := calendar.Parse(time.Now().UTC().Add(48 * time.Hour).Format("2006-1-2 15:04"))
	r.must(err)
	r.settings.Windows = []agent.Window{{Opens: event, For: time.Hour}}
	r.start()
	r.await("made", waiting)
	write(web("cores: 3", "features: {nesting: true}"))
	rep := r.await("waits", func(x *report.Report) bool { return waiting(x) && x.Loop.Last.Result == report.Pending })
	if r.config()["cores"] != "3" || r.pending() == "" && strings.Contains(r.config()["features"], "nesting") {
		t.Errorf("config %v, pending %q", r.config(), r.pending())
	}
	if c := rep.Container(300); c.Restarts.IsZero() || !strings.HasPrefix(c.RestartWhen, "in the window") || len(rep.Due) == 0 {
		t.Errorf("container %+v, due %v", c, rep.Due)
	}
	s := r.settings
	s.Windows = []agent.Window{{Opens: must(calendar.Parse("*:*")), For: time.Hour}} // one that is open
	r.agent.Set(s)
	if rep = r.again(); r.pending() != "" || !strings.Contains(r.config()["features"], "nesting=1") {
		t.Errorf("in the window: %q, config %v, pending %q", rep.Loop.Last.Summary, r.config(), r.pending())
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Drift is told with who caused it, where Proxmox knows.
func TestDrift(t *testing.T) {
	t.Parallel()
	r, _ := inFolder(t, web("cores: 1"))
	r.settings.Rules.Mode = permit.Watch
	r.start()
	r.await("told", waiting)
	if r.config() != nil {
		t.Fatal("an agent that only watches has made a container")
	}
	s := r.settings
	s.Rules.Mode = permit.Reconcile
	r.agent.Set(s)
	r.again()
	s.Rules.Mode = permit.Watch
	r.agent.Set(s)
	r.again()
	_, err := r.sim.As("root@pam").Do(context.Background(), proxmox.Request{Method: "POST", Path: "/nodes/pve1/lxc/300/status/shutdown"})
	r.must(err)
	rep := r.again()
	c := rep.Container(300)
	if c.Sync != view.OutOfSync || c.Mode != "watch only" || len(c.ByHand) == 0 || c.ByHand[0].User != "root@pam" || c.ByHand[0].What != "shutdown" {
		t.Errorf("container %+v", c)
	}
	if rep = r.again(); len(rep.Container(300).ByHand) == 0 {
		t.Error("it is forgotten with the next look")
	}
}

// A node that does not answer is tried less and less often, and never changed by what is not known of it.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	r, _ := inFolder(t, web("cores: 1"))
	r.start()
	r.await("made", waiting)
	r.fault = func(sim.Call) sim.Fault { return sim.Fault{Cut: true} }
	for n := 1; n <= 2; n++ {
		rep := r.again()
		if rep.Loop.Last.Result != report.Unreachable || rep.Loop.Failures != n || rep.Queue.Backoff.IsZero() || rep.Loop.Failing.IsZero() {
			t.Errorf("loop %+v, queue %+v", rep.Loop, rep.Queue)
		}
		if rep.Container(300) == nil {
			t.Error("the container is forgotten")
		}
	}
	r.fault = nil
	if rep := r.again(); rep.Loop.Last.Result != report.Quiet || rep.Loop.Failures != 0 || rep.Loop.Error != "" {
		t.Errorf("loop %+v", rep.Loop)
	}
}

// Snapshots are taken when they are due, and told.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	r, _ := inFolder(t, web("cores: 1", "snapshots: often")+"snapshotPolicies:\n  often: {schedule: \"*:*\", keep: {last: 2}, atOnce: true}\n")
	r.start()
	rep := r.await("made", waiting)
	for range 3 {
		if c := rep.Container(300); c != nil && c.Snapshots != nil && len(c.Snapshots.List) > 0 {
			break
		}
		rep = r.again()
	}
	c := rep.Container(300)
	if c == nil || c.Snapshots == nil || c.Snapshots.Policy != "often" || c.Snapshots.Next.IsZero() || rep.Loop.Next.After(time.Now().Add(2*time.Minute)) {
		t.Fatalf("container %+v, next pass %v", c, rep.Loop.Next)
	}
}

// An agent that is asked to end finishes, and an agent that was never asked for anything ends at once.
func TestEnd(t *testing.T) {
	t.Parallel()
	r, _ := inFolder(t, web("cores: 1"))
	r.settings.Rules.DryRun = true
	r.start()
	rep := r.await("looked", waiting)
	if rep.Plan.Held != "dry run" || r.config() != nil || !rep.Agent.DryRun {
		t.Errorf("dry run: %+v", rep.Plan)
	}
	r.end()
	if err := r.agent.Reconcile(context.Background(), "x"); err == nil {
		t.Error("an agent that has ended takes requests")
	}
}

// folder is one with a single file.
func folder(t testing.TB, text string) string {
	t.Helper()
	return filepath.Dir(file(t, "web.yaml", text))
}
