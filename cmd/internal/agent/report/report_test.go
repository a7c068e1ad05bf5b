package report_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile/plan"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func container(change func(*report.Container)) report.Report {
	c := report.Container{ContainerState: view.ContainerState{ID: 101, Name: "web", Sync: view.Synced, Healthy: true}}
	change(&c)
	return report.Report{Containers: []report.Container{c}}
}

// TestVerdict shows what is said of a report in a sentence, and what is said to need a person.
func TestVerdict(t *testing.T) {
	source := func(class string, since time.Duration) report.Report {
		return report.Report{Source: report.Source{Error: "no route", Class: class, Failing: now.Add(-since)}}
	}
	for _, tt := range []struct {
		name  string
		in    report.Report
		level report.Level
		text  string
		what  string // of the first item; empty: there is none
	}{
		{"nothing yet", report.Report{}, report.Note, "Starting: nothing has been looked at yet", ""},
		{"well", container(func(*report.Container) {}), report.Well, "All is well", ""},
		{"on its way", container(func(c *report.Container) { c.Sync = view.OutOfSync }), report.Note, "1 container is not yet as the spec says", ""},
		{"degraded", container(func(c *report.Container) { c.Healthy = false }), report.Danger, "1 thing needs you", "101 web is degraded"},
		{"out of sight", container(func(c *report.Container) { c.Unknown = "pve2 does not answer" }), report.Warn, "1 thing needs you", "101 web cannot be seen"},
		{"blocked", container(func(c *report.Container) { c.Sync = view.SyncBlocked }), report.Warn, "1 thing needs you", "101 web is blocked"},
		{
			"two at once",
			container(func(c *report.Container) { c.Sync, c.Healthy = view.SyncBlocked, false }),
			report.Danger, "2 things need you", "101 web is degraded",
		},
		{
			"suspended needs nobody",
			container(func(c *report.Container) {
				c.Sync, c.Suspended = view.Suspended, &report.Suspension{Until: now, By: "anna"}
			}),
			report.Note, "All is well", "101 web is suspended until 2026-03-01 12:00",
		},
		{
			"old snapshot",
			container(func(c *report.Container) {
				c.Snapshots = &report.Copies{Last: now.Add(-27 * time.Hour), MaxAge: report.Duration(26 * time.Hour)}
			}),
			report.Warn, "1 thing needs you", "101 web has no snapshot of the last 26h",
		},
		{
			"no backup at all",
			container(func(c *report.Container) { c.Backups = &report.Copies{MaxAge: report.Duration(time.Hour)} }),
			report.Warn, "1 thing needs you", "101 web has no backup",
		},
		{"source away for a moment", source("unreachable", time.Minute), report.Warn, "1 thing needs you", "The source is not followed: unreachable"},
		{"source away for long", source("unreachable", time.Hour), report.Danger, "1 thing needs you", "The source is not followed: unreachable"},
		{"source refused", source("not signed", 0), report.Danger, "1 thing needs you", "The source is not followed: not signed"},
		{
			"asleep",
			report.Report{Loop: report.Loop{Interval: report.Duration(time.Minute), Observed: now.Add(-2 * time.Hour)}},
			report.Danger, "1 thing needs you", "Nothing was looked at for 2h",
		},
		{"approval", report.Report{Approvals: []report.Approval{{Hash: "4f2c"}}}, report.Warn, "1 thing needs you", "A plan waits for your yes"},
		{"disk", report.Report{Disks: []report.Disk{{Device: "/dev/sda", Node: "pve1", Health: report.Degraded}}}, report.Danger, "1 thing needs you", "Disk /dev/sda on pve1 is failing"},
		{"journal of today", report.Report{Journal: []report.JournalEntry{{Time: now}}}, report.Note, "Starting: nothing has been looked at yet", ""},
		{"hot", report.Report{Sensors: []report.Sensor{{Name: "CPU", Node: "pve1", Value: 99, Unit: "°C", Limit: 90}}}, report.Warn, "1 thing needs you", "CPU on pve1: 99 °C"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := tt.in.Verdict(now)
			what := ""
			if len(v.Items) > 0 {
				what = v.Items[0].What
			}
			if v.Level != tt.level || v.Text != tt.text || what != tt.what {
				t.Errorf("got %s, %q, %q; want %s, %q, %q", v.Level, v.Text, what, tt.level, tt.text, tt.what)
			}
		})
	}
}

// TestFill shows how what a plan shows becomes the state of a container.
func TestFill(t *testing.T) {
	sheet := func(b view.Block) view.Sheet {
		b.Subject = plan.Subject{ID: 101}
		return view.Sheet{Blocks: []view.Block{{Subject: plan.Subject{ID: 7}, Reason: "of another"}, b}}
	}
	online := view.Row{Mark: "~", Label: "cores", Text: "2 → 4", Effect: "online"}
	root := view.Row{Mark: "!", Label: "mount /srv", Effect: "blocked", More: []string{"only root may"}}
	waits := view.Row{Mark: "!", Label: "restart", Effect: "waits"}
	for _, tt := range []struct {
		name string
		in   view.Sheet
		sync view.Sync
		n    int
	}{
		{"not in the plan", view.Sheet{}, view.Synced, 0},
		{"changes", sheet(view.Block{Rows: []view.Row{online}}), view.OutOfSync, 1},
		{"one row blocked", sheet(view.Block{Rows: []view.Row{online, root}}), view.SyncBlocked, 2},
		{"waiting is not blocked", sheet(view.Block{Rows: []view.Row{waits}}), view.OutOfSync, 1},
		{"blocked as a whole", sheet(view.Block{Reason: "blocked: destroy is forbidden"}), view.SyncBlocked, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := container(func(c *report.Container) { c.Fill(tt.in) })
			c := r.Container(101)
			if c.Sync != tt.sync || len(c.Differences) != tt.n {
				t.Errorf("got %s with %d differences, want %s with %d", c.Sync, len(c.Differences), tt.sync, tt.n)
			}
		})
	}
}

// TestBoard shows that readers see the last report and learn of the next.
func TestBoard(t *testing.T) {
	var b report.Board
	none, changed := b.Report()
	if none != nil {
		t.Fatal("an empty board has a report")
	}
	r := &report.Report{Time: now}
	b.Publish(r)
	select {
	case <-changed:
	default:
		t.Error("nobody was told of the report")
	}
	got, next := b.Report()
	if got != r {
		t.Error("another report than the one that was published")
	}
	select {
	case <-next:
		t.Error("told of a report that there is not")
	default:
	}
}

// TestJSON shows that what a report says survives its JSON form, which the local socket speaks.
func TestJSON(t *testing.T) {
	in := container(func(c *report.Container) {
		c.Snapshots = &report.Copies{MaxAge: report.Duration(26 * time.Hour), Last: now}
		c.Differences = []report.Difference{{Row: view.Row{Label: "cores"}, By: &report.Hand{User: "anna@pam"}}}
	})
	in.Loop.Ended = map[report.Result]uint64{report.Converged: 3}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out report.Report
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Error(diff)
	}
}
