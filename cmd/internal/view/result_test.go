package view_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/plan"
)

func upid(t *testing.T) proxmox.UPID {
	t.Helper()
	u, err := proxmox.ParseUPID("UPID:pve1:000004D2:0001E240:65E5A000:vzcreate:120:root@pam!tend:")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func exampleResult(t *testing.T) view.Result {
	t.Helper()
	p := examplePlan(t, plan.Policy{})
	media, db := p.Lane(120), p.Lane(104)
	failed := proxmox.NewTaskError(proxmox.TaskStatus{
		UPID: upid(t), ExitStatus: "unable to create CT 120 - zfs error: out of space",
	}, []string{"creating volume", "TASK ERROR: unable to create CT 120 - zfs error: out of space"})
	return view.Result{Plan: p, Outcome: &reconcile.Outcome{
		Passes: 2,
		Containers: []reconcile.Container{
			{
				Ref: proxmox.Ref{Node: "pve1", ID: 101}, Name: "web", State: reconcile.Changed, Done: p.Lane(101).Steps,
				Warnings: []proxmox.TaskStatus{{UPID: upid(t), ExitStatus: "WARNINGS: 2"}},
			},
			{
				Ref: db.Ref, Name: "db", State: reconcile.Stuck, Done: db.Steps, NotDone: db.Steps, Lane: db,
				Err: errors.New("its steps were carried out, and it is not as it shall be"), Blocked: p.Blocked[1:2],
			},
			{Ref: media.Ref, Name: "media", State: reconcile.Failed, NotDone: media.Steps, Err: failed, Log: failed.Log},
		},
		Running: []proxmox.UPID{upid(t)},
	}}
}

func TestResult(t *testing.T) {
	var b bytes.Buffer
	if err := exampleResult(t).Text(&b, view.Style{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "result.txt", b.Bytes())
	b.Reset()
	if err := exampleResult(t).JSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "result.json", b.Bytes())
}

func TestResultStatus(t *testing.T) {
	states := func(s ...reconcile.State) *reconcile.Outcome {
		o := &reconcile.Outcome{}
		for _, x := range s {
			o.Containers = append(o.Containers, reconcile.Container{State: x})
		}
		return o
	}
	tests := []struct {
		name string
		o    *reconcile.Outcome
		want view.Status
	}{
		{"all done", states(reconcile.Created, reconcile.Changed, reconcile.Restarted, reconcile.Destroyed, reconcile.Unchanged), view.InSync},
		{"waits", states(reconcile.Created, reconcile.PendingRestart), view.Pending},
		{"waits for a yes", states(reconcile.Changed, reconcile.Waiting), view.Pending},
		{"more came up", states(reconcile.Left), view.Pending},
		{"blocked counts more than waiting", states(reconcile.Blocked, reconcile.PendingRestart), view.Blocked},
		{"failed counts most", states(reconcile.Failed, reconcile.Blocked), view.Failed},
		{"stuck", states(reconcile.Blocked, reconcile.Stuck), view.Failed},
		{"interrupted", &reconcile.Outcome{Interrupted: true}, view.Failed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (view.Result{Outcome: tt.o}).Status(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

var diskTime = time.Date(2026, 11, 24, 14, 0, 0, 0, time.UTC)

// exampleDisks are those of a node of which much is known, and of one of which nothing may be read.
func exampleDisks() []*health.Node {
	n := func(v int64) *int64 { return &v }
	f := func(v float64) *float64 { return &v }
	return []*health.Node{
		{
			Name: "pve1",
			Disks: []health.Disk{
				{Device: "/dev/nvme0n1", Model: "Samsung SSD 980 PRO 1TB with a long name", Kind: "nvme", Size: 1000204886016, Check: health.Passed, Wear: n(3), Celsius: n(38), Read: diskTime, Level: health.OK, Reasons: []string{}, From: "the API"},
				{Device: "/dev/sda", Model: "WDC WD40", Serial: "WD-1", Kind: "hdd", Size: 4000787030016, Check: health.Failed, Said: "FAILED!", Pending: n(8), Read: diskTime.Add(time.Minute), Level: health.Failing, Reasons: []string{"its own health check failed (FAILED!)", "it could not read 8 sectors and waits to replace them"}, From: "smartctl"},
				{Device: "/dev/sdb", Kind: "usb", Check: health.Unknown, Said: "SMART Disabled", Read: diskTime.Add(time.Minute), Level: health.NotKnown, Reasons: []string{}, From: "the API"},
			},
			Sensors: []health.Sensor{
				{Chip: "coretemp", Name: "Package id 0", Kind: "temperature", Value: 83.5, Unit: "°C", High: f(80), Level: health.Warning, Reasons: []string{"83.5 °C is too hot, from 80 °C on"}},
				{Chip: "nct", Name: "fan1", Kind: "fan", Value: 980, Unit: "rpm", Level: health.OK, Reasons: []string{}},
			},
			Storages: []health.Backing{{Storage: "local-zfs", What: "pool rpool", Disks: []string{"/dev/nvme0n1"}}, {Storage: "tank", What: "pool tank", Disks: []string{"/dev/sda"}}, {Storage: "local", What: "/var/lib/vz", Disks: []string{}, Unknown: "the API does not say"}},
			Gaps:     []health.Gap{},
		},
		{
			Name: "pve2", Disks: []health.Disk{}, Sensors: []health.Sensor{},
			Gaps: []health.Gap{
				{What: "disks", Why: "the token may not read them", Ways: []string{"give the token Sys.Audit on /nodes/pve2", "or let tend act as root on the node: lane: helper"}},
				{What: "sensors", Why: "Proxmox has no call for them", Ways: []string{}, Minor: true},
			},
		},
	}
}

func TestClusterState(t *testing.T) {
	c := view.ClusterState{
		Cluster: "home", Spec: view.Revision{Hash: "4f2c91e", Branch: "main"}, Status: view.Blocked,
		Containers: []view.ContainerState{
			{ID: 101, Name: "web", Node: "pve1", Sync: view.Synced, Healthy: true, Power: "running", Uptime: 50 * time.Hour, Seconds: 180000},
			{
				ID: 104, Name: "db", Node: "pve1", Sync: view.OutOfSync, Healthy: false, Power: "stopped", Lock: "backup",
				Differs: []string{"cores", "mount /data"}, Restart: []string{"features", "mp0"}, Problems: []string{"shall run and is stopped"},
			},
			{ID: 120, Name: "media", Node: "pve1", Sync: view.OutOfSync, Power: "missing", Problems: []string{"does not exist"}},
			{ID: 130, Name: "gone", Node: "pve1", Sync: view.Unclaimed, Healthy: true, Power: "running", Uptime: 59 * time.Second, Seconds: 59},
		},
		Nodes: exampleDisks(), At: diskTime.Add(90 * time.Second),
	}
	var b bytes.Buffer
	for _, width := range []int{0, 60, 120} {
		if err := c.Text(&b, view.Style{Width: width}); err != nil {
			t.Fatal(err)
		}
		b.WriteString(strings.Repeat("=", max(width, 80)) + "\n")
	}
	golden(t, "status.txt", b.Bytes())
	b.Reset()
	if err := c.JSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.json", b.Bytes())
}

// TestProgress shows the display off a terminal and on one.
func TestProgress(t *testing.T) {
	p := examplePlan(t, plan.Policy{})
	lane := *p.Lane(101)
	events := func(d *view.Progress) {
		d.Event(execute.Event{Kind: execute.StepStarted, Lane: lane})
		d.Event(execute.Event{Kind: execute.Waiting, Lane: lane, Reason: "locked (backup)"})
		d.Event(execute.Event{Kind: execute.TaskStarted, Lane: lane, Task: upid(t)})
		d.Event(execute.Event{Kind: execute.StepEnded, Lane: lane, Since: 1500 * time.Millisecond})
		d.Event(execute.Event{Kind: execute.StepStarted, Lane: lane, Step: 1})
		d.Event(execute.Event{Kind: execute.StepEnded, Lane: lane, Step: 1, Err: errors.New("no\x1b[2J"), Since: time.Minute})
		d.Close()
		d.Close() // a second time does nothing
	}
	var plain, live bytes.Buffer
	events(view.NewProgress(t.Context(), &plain, view.Style{}, nil))
	want := `  101 web  set cores, description: waits, locked (backup)
  ✓ 101 web   1.5 s  set cores, description
  ✗ 101 web    60 s  set net0: no�[2J
`
	if plain.String() != want {
		t.Errorf("got:\n%swant:\n%s", plain.String(), want)
	}
	events(view.NewProgress(t.Context(), &live, view.Style{}, nil).Live())
	for _, part := range []string{"… 101 web   0.0 s  set cores, description", "waits: locked (backup)", "\x1b[1A\x1b[J", "✓ 101 web"} {
		if !strings.Contains(live.String(), part) {
			t.Errorf("the live display lacks %q:\n%q", part, live.String())
		}
	}
	if up, lines := strings.Count(live.String(), "\x1b[1A"), strings.Count(live.String(), "\n"); lines-up != 2 {
		t.Errorf("%d lines, %d of them erased: only the two steps that ended may stay", lines, up)
	}
}

func TestError(t *testing.T) {
	missing := proxmox.NewAPIError(proxmox.Request{Method: "POST", Path: "/nodes/pve1/lxc"}, 403, "Permission check failed (/vms/101, VM.Allocate)", nil)
	tests := []struct {
		name string
		err  error
		want []string
	}{
		{"several", errors.Join(errors.New("one"), errors.New("two")), []string{"tend: one\n", "tend: two\n"}},
		{"privilege", missing, []string{"→ give the token the privilege: VM.Allocate on /vms/101"}},
		{"token", proxmox.NewAPIError(proxmox.Request{Method: "GET", Path: "/version"}, 401, "authentication failure", nil), []string{"→ Proxmox does not know the token"}},
		{"task", proxmox.NewTaskError(proxmox.TaskStatus{UPID: upid(t), ExitStatus: "boom"}, []string{"last words"}), []string{"failed: boom", "last words"}},
		{"control characters", errors.New("a\x1bb"), []string{"a�b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			view.Error(&b, view.Style{}, tt.err)
			for _, want := range tt.want {
				if !strings.Contains(b.String(), want) {
					t.Errorf("got %q, which lacks %q", b.String(), want)
				}
			}
		})
	}
}
