package execute_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

const template = "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst"

// A node is a simulated node with a transport in front that notes what is sent.
type node struct {
	*sim.Sim
	root  *proxmox.Client
	agent proxmox.Transport

	mu     sync.Mutex // guards what is below
	sent   []proxmox.Request
	before func(proxmox.Request) // called before each mutation
}

func newNode(t *testing.T, o sim.Options) *node {
	t.Helper()
	text, err := os.ReadFile("../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sim.New(st, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &node{Sim: s, root: proxmox.NewClient(s.As("root@pam")), agent: s.As("felhom@pve!agent")}
}

func (n *node) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	if !r.IsRead() {
		n.mu.Lock()
		n.sent = append(n.sent, r)
		before := n.before
		n.mu.Unlock()
		if before != nil {
			before(r)
		}
	}
	return n.agent.Do(ctx, r)
}

func (n *node) mutations() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, r := range n.sent {
		out = append(out, r.String())
	}
	return out
}

func (n *node) executor() *execute.Executor {
	c := proxmox.NewClient(n)
	o := proxmox.WatchOptions{Delay: -1, WaitOptions: proxmox.WaitOptions{First: time.Millisecond, Max: time.Second}}
	return &execute.Executor{Client: c, Watcher: proxmox.NewTaskWatcher(c, o)}
}

func ref(id proxmox.VMID) proxmox.Ref { return proxmox.Ref{Node: "pve1", ID: id} }

func create(id proxmox.VMID, more ...plan.Step) plan.Lane {
	op := plan.CreateContainer{Template: template, Values: proxmox.Values{"rootfs": "local:1", "unprivileged": "1"}}
	return plan.Lane{Ref: ref(id), Name: "ct" + id.String(), Action: plan.Create, Steps: append([]plan.Step{{Op: op}}, more...)}
}

// change is a lane that does the steps on a container that is there.
func (n *node) change(t *testing.T, id proxmox.VMID, ops ...plan.Op) plan.Lane {
	t.Helper()
	cfg, err := n.root.Config(t.Context(), ref(id))
	if err != nil {
		t.Fatal(err)
	}
	l := plan.Lane{Ref: ref(id), Action: plan.Change, Base: cfg}
	for _, op := range ops {
		l.Steps = append(l.Steps, plan.Step{Op: op})
	}
	return l
}

func set(key, value string) plan.SetConfig {
	return plan.SetConfig{Set: proxmox.Values{key: value}}
}

func run(t *testing.T, x *execute.Executor, lanes ...plan.Lane) []execute.LaneResult {
	t.Helper()
	r, err := x.Run(t.Context(), &plan.Plan{Lanes: lanes})
	if err != nil {
		t.Fatal(err)
	}
	return r.Lanes
}

func statuses(list []execute.LaneResult) []string {
	var out []string
	for _, l := range list {
		out = append(out, fmt.Sprintf("%d %s after %d of %d", l.Lane.Ref.ID, l.Status, l.Steps, len(l.Lane.Steps)))
	}
	return out
}

func check(t *testing.T, got []execute.LaneResult, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, statuses(got)); d != "" {
		t.Error(d)
		for _, l := range got {
			t.Logf("%d: %v", l.Lane.Ref.ID, l.Err)
		}
	}
}

func TestSteps(t *testing.T) {
	n := newNode(t, sim.Options{})
	x := n.executor()
	check(t, run(t, x, create(101, plan.Step{Op: plan.Start{}})), "101 done after 2 of 2")
	lane := n.change(
		t, 101, set("memory", "1024"), set("timezone", "host"), plan.Resize{Disk: "rootfs", Size: 2 * setting.GiB},
		plan.Reboot{}, set("mp0", "local:1,mp=/data"), plan.SetConfig{Delete: []string{"mp0"}}, plan.Shutdown{Timeout: time.Minute},
		plan.SetConfig{Set: proxmox.Values{"cores": "1"}, Delete: []string{"unused0"}},
	)
	check(t, run(t, x, lane), "101 done after 8 of 8")
	cfg, err := n.root.Config(t.Context(), ref(101))
	if err != nil {
		t.Fatal(err)
	}
	c := cfg.Current
	if c["memory"] != "1024" || c["timezone"] != "host" || c["cores"] != "1" || c["mp0"] != "" || !strings.Contains(c["rootfs"], "size=2G") {
		t.Errorf("configuration is %v", c)
	}
	for _, r := range n.sent {
		if takesDigest := strings.HasSuffix(r.Path, "/config") || strings.HasSuffix(r.Path, "/resize"); takesDigest != (r.Params.Get("digest") != "") {
			t.Errorf("%s has the digest %q", r, r.Params.Get("digest"))
		}
	}
	check(t, run(t, x, n.change(t, 101, plan.DestroyContainer{})), "101 done after 1 of 1")
}

// TestAlready meets what is as it should be already.
func TestAlready(t *testing.T) {
	n := newNode(t, sim.Options{})
	x := n.executor()
	check(t, run(t, x, create(101), create(102, plan.Step{Op: plan.Start{}})), "101 done after 1 of 1", "102 done after 2 of 2")
	gone := n.change(t, 101, plan.DestroyContainer{})
	check(
		t, run(t, x, n.change(t, 101, plan.Shutdown{}), n.change(t, 102, plan.Start{}, plan.Resize{Disk: "rootfs", Size: setting.GiB})),
		"101 done after 1 of 1", "102 done after 2 of 2",
	)
	check(t, run(t, x, n.change(t, 101, plan.Reboot{})), "101 modified meanwhile after 0 of 1")
	check(t, run(t, x, gone), "101 done after 1 of 1")
	check(t, run(t, x, gone), "101 done after 1 of 1")
	check(t, run(t, x, create(102)), "102 failed after 0 of 1")
}

// TestDestroyLooks shows that a container which was changed since the plan is not destroyed.
func TestDestroyLooks(t *testing.T) {
	n := newNode(t, sim.Options{})
	x := n.executor()
	check(t, run(t, x, create(101)), "101 done after 1 of 1")
	lane := n.change(t, 101, plan.DestroyContainer{})
	if err := n.root.SetConfig(t.Context(), ref(101), proxmox.Update{Set: proxmox.Values{"mp0": "local:1,mp=/photos"}}); err != nil {
		t.Fatal(err)
	}
	got := run(t, x, lane)
	check(t, got, "101 modified meanwhile after 0 of 1")
	if !errors.Is(got[0].Err, proxmox.ErrModified) || !strings.Contains(got[0].Err.Error(), "somebody else has changed mp0 of 101 on pve1") {
		t.Errorf("error is %v", got[0].Err)
	}
}

// TestOrder runs lanes after others, and not where those have failed or come after themselves.
func TestOrder(t *testing.T) {
	n := newNode(t, sim.Options{})
	bad := create(102)
	bad.Steps[0].Op = plan.CreateContainer{Template: "local:vztmpl/none.tar.zst", Values: proxmox.Values{"rootfs": "local:1"}}
	after := func(l plan.Lane, ids ...proxmox.VMID) plan.Lane {
		l.After = ids
		return l
	}
	got := run(
		t, n.executor(), after(create(101), 104, 999), bad, after(create(103), 102), create(104), after(create(105), 103),
		after(create(106), 107), after(create(107), 106),
	)
	check(
		t, got, "101 done after 1 of 1", "102 failed after 0 of 1", "103 skipped after 0 of 1", "104 done after 1 of 1",
		"105 skipped after 0 of 1", "106 failed after 0 of 1", "107 failed after 0 of 1",
	)
	if e := got[2].Err; e == nil || e.Error() != "comes after 102 ct102, which ended as: failed" {
		t.Errorf("error is %v", e)
	}
	var ids []string
	for _, r := range n.sent {
		ids = append(ids, r.Params.Get("vmid"))
	}
	if slices.Index(ids, "101") < slices.Index(ids, "104") {
		t.Errorf("the order was %v", ids)
	}
}

// TestCap never runs more lanes at once than it may, on a node and in all.
func TestCap(t *testing.T) {
	for _, tt := range []struct{ node, all, want int }{{0, 0, 4}, {3, 0, 3}, {4, 2, 2}} {
		t.Run(fmt.Sprintf("%d of %d", tt.node, tt.all), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, sim.Options{TaskTime: time.Minute})
				x := n.executor()
				x.Parallel, x.ParallelAll = tt.node, tt.all
				var now, most int
				x.Progress = func(e execute.Event) {
					switch e.Kind {
					case execute.LaneStarted:
						now++
						most = max(most, now)
					case execute.LaneEnded:
						now--
					}
				}
				var lanes []plan.Lane
				for id := range proxmox.VMID(10) {
					lanes = append(lanes, create(101+id))
				}
				for _, l := range run(t, x, lanes...) {
					if l.Status != execute.Done {
						t.Errorf("%d: %v", l.Lane.Ref.ID, l.Err)
					}
				}
				if most != tt.want {
					t.Errorf("%d at once, want %d", most, tt.want)
				}
				n.Close()
			})
		})
	}
}

func TestSecrets(t *testing.T) {
	n := newNode(t, sim.Options{})
	lane := create(101)
	op := lane.Steps[0].Op.(plan.CreateContainer)
	op.Password = spec.SecretRef{File: "/run/credentials/media"}
	lane.Steps[0].Op = op
	x := n.executor()
	check(t, run(t, x, lane), "101 failed after 0 of 1")
	x.Secrets = func(context.Context, spec.SecretRef) (proxmox.Secret, error) {
		return proxmox.Secret{}, errors.New("no such file")
	}
	got := run(t, x, lane)
	check(t, got, "101 failed after 0 of 1")
	if e := got[0].Err; e == nil || e.Error() != "read the password: no such file" {
		t.Errorf("error is %v", e)
	}
	if m := n.mutations(); len(m) > 0 {
		t.Errorf("sent: %v", m)
	}
	x.Secrets = func(_ context.Context, r spec.SecretRef) (proxmox.Secret, error) {
		return proxmox.NewSecret("of " + r.File), nil
	}
	check(t, run(t, x, lane), "101 done after 1 of 1")
	if p := n.sent[0].Params.Get("password"); p != "of /run/credentials/media" {
		t.Errorf("password is %q", p)
	}
}

// TestJournal looks into the journal's file before each call: the intent stands in it, without secrets; after
// the run, nothing is open.
func TestJournal(t *testing.T) {
	n := newNode(t, sim.Options{})
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	n.before = func(r proxmox.Request) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if last := lines[len(lines)-1]; !strings.Contains(last, `"do":"begin","run":"r1"`) || !strings.Contains(last, `"vmid":101`) {
			t.Errorf("before %s the last line is %s", r, last)
		}
	}
	x := n.executor()
	x.Journal, x.RunID = j, "r1"
	check(t, run(t, x, create(101, plan.Step{Op: plan.Start{}}, plan.Step{Op: set("env", "PASSWORD=hunter2")})), "101 done after 3 of 3")
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), "hunter2") || strings.Count(string(text), `"upid":"UPID:`) != 2 {
		t.Errorf("%v, journal is\n%s", err, text)
	}
	if p := j.Pending(); len(p) > 0 {
		t.Errorf("%d are pending", len(p))
	}

	// What cannot be recorded is not sent.
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	sent := len(n.mutations())
	got := run(t, x, n.change(t, 101, set("memory", "1024")))
	check(t, got, "101 failed after 0 of 1")
	if m := n.mutations(); len(m) != sent {
		t.Errorf("sent: %v", m[sent:])
	}
}

// TestUnknown never repeats a call whose outcome is not known.
func TestUnknown(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after %v", after), func(t *testing.T) {
			n := newNode(t, sim.Options{Fault: func(c sim.Call) sim.Fault {
				return sim.Fault{Cut: c.Method == "POST" && strings.HasSuffix(c.Path, "/lxc"), After: after}
			}})
			got := run(t, n.executor(), create(101, plan.Step{Op: plan.Start{}}))
			check(t, got, "101 outcome unknown after 0 of 2")
			if got[0].Open == nil || got[0].Open.Entry().Kind != journal.Create || !errors.Is(got[0].Err, proxmox.ErrOutcomeUnknown) {
				t.Errorf("open is %v, error %v", got[0].Open, got[0].Err)
			}
			if m := n.mutations(); len(m) != 1 {
				t.Errorf("sent: %v", m)
			}
		})
	}
}

// TestSettle finds the task of a call whose answer was lost, and waits for it.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := true
		n := newNode(t, sim.Options{TaskTime: 2 * time.Minute, Fault: func(c sim.Call) sim.Fault {
			return sim.Fault{Cut: lost && c.Method == "POST", After: true}
		}})
		x := n.executor()
		got := run(t, x, create(101))
		check(t, got, "101 outcome unknown after 0 of 1")
		lost = false
		begin := time.Now()
		if err := x.Settle(t.Context(), got[0].Open); err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d < time.Minute || d > 3*time.Minute {
			t.Errorf("waited %s", d)
		}
		if task := got[0].Open.Entry().Task; task.Type != "vzcreate" || task.ID != "101" {
			t.Errorf("task is %s", task)
		}
		// It is over: to look again takes no time.
		begin = time.Now()
		if err := x.Settle(t.Context(), got[0].Open); err != nil || time.Since(begin) > time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		n.Close()
	})
}

// TestTaskFails carries the log of the failed task, and leaves the other lanes alone.
func TestTaskFails(t *testing.T) {
	n := newNode(t, sim.Options{Fault: func(c sim.Call) sim.Fault {
		if c.Params.Get("vmid") == "102" {
			return sim.Fault{TaskError: "no space left on device"}
		}
		return sim.Fault{}
	}})
	got := run(t, n.executor(), create(101), create(102, plan.Step{Op: plan.Start{}}), create(103))
	check(t, got, "101 done after 1 of 1", "102 failed after 0 of 2", "103 done after 1 of 1")
	var failed *proxmox.TaskError
	if !errors.As(got[1].Err, &failed) || len(failed.Log) == 0 || !strings.Contains(failed.Error(), "no space left on device") {
		t.Errorf("error is %v", got[1].Err)
	}
}

// TestBefore asks before each call, and sends nothing where it is refused.
func TestBefore(t *testing.T) {
	n := newNode(t, sim.Options{})
	x := n.executor()
	check(t, run(t, x, create(101, plan.Step{Op: plan.Start{}})), "101 done after 2 of 2")
	var asked []string
	no := errors.New("not today")
	x.Before = func(l plan.Lane, step int) error {
		asked = append(asked, fmt.Sprintf("%d %T", l.Ref.ID, l.Steps[step].Op))
		if _, ok := l.Steps[step].Op.(plan.Reboot); ok {
			return no
		}
		return nil
	}
	sent := len(n.mutations())
	got := run(t, x, n.change(t, 101, set("cores", "1"), plan.Reboot{}, set("cores", "2")))
	check(t, got, "101 failed after 1 of 3")
	if d := cmp.Diff([]string{"101 plan.SetConfig", "101 plan.Reboot"}, asked); d != "" || !errors.Is(got[0].Err, no) {
		t.Errorf("%s, error %v", d, got[0].Err)
	}
	if all := n.mutations()[sent:]; len(all) != 1 {
		t.Errorf("sent %q", all)
	}
}
