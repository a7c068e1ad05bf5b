package report_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile/plan"
)

// TestKinds holds every item against its kind: each has a known one, no two of a report have the same key, and a
// later look with other words finds the same keys.
func TestKinds(t *testing.T) {
	at := func(later time.Duration) (out map[string]report.Item) {
		r := troubled(later)
		out = map[string]report.Item{}
		for _, i := range r.Attention(now.Add(later)) {
			if !slices.Contains(report.Kinds(), i.Kind) {
				t.Errorf("%q has the kind %q, which is none", i.What, i.Kind)
			}
			if other, twice := out[i.Key()]; twice {
				t.Errorf("%q and %q have one key, %q", i.What, other.What, i.Key())
			}
			out[i.Key()] = i
		}
		return out
	}
	first, second := at(0), at(time.Hour)
	for k, i := range first {
		if _, ok := second[k]; !ok {
			t.Errorf("an hour later, nothing has the key %q of %q", k, i.What)
		}
	}
	if len(first) < 14 || len(first) != len(second) {
		t.Errorf("%d items, and %d an hour later: some are missing from this test", len(first), len(second))
	}
}

// troubled is a report with an item of nearly every kind, in words that change with time.
func troubled(later time.Duration) report.Report {
	r := container(func(c *report.Container) {
		c.Healthy, c.Sync = false, view.SyncBlocked
		c.Restart = []string{"cores"}
		c.Snapshots = &report.Copies{MaxAge: report.Duration(time.Hour), Last: now.Add(-2 * time.Hour)}
		c.Backups = &report.Copies{Error: "no space"}
	})
	r.Containers = append(r.Containers,
		report.Container{ContainerState: view.ContainerState{ID: 102, Sync: view.Unclaimed}, Unknown: "pve2 is off"},
		report.Container{ContainerState: view.ContainerState{ID: 103, Sync: view.Suspended, Healthy: true}, Suspended: &report.Suspension{By: "anna"}})
	r.Source = report.Source{Error: "no key signs it", Class: "unsigned"}
	r.Loop = report.Loop{Interval: report.Duration(time.Minute), Observed: now.Add(-time.Hour)}
	r.Approvals = []report.Approval{{Hash: "a1"}, {Hash: "b2"}}
	r.Suspended = []report.Suspension{{By: "anna"}}
	r.Others = []report.Other{{Subject: plan.Subject{ID: 9, Name: "a"}, Sync: view.SyncBlocked}}
	r.Disks = []report.Disk{{Node: "pve1", Device: "/dev/sda", Health: report.Degraded}, {Node: "pve1", Device: "/dev/sdb", Health: report.Degraded}}
	r.Sensors = []report.Sensor{{Node: "pve1", Name: "CPU", Limit: 80, Value: 90 + later.Hours()}}
	r.Journal = []report.JournalEntry{{Subject: "101", Verb: "set cores", Time: now.Add(-2 * time.Hour)}}
	r.Channels = []report.Channel{{Name: "notifications to phone", Since: now}}
	return r
}

// TestLevelText: what a level is written as is read as the same level.
func TestLevelText(t *testing.T) {
	for l := report.Well; l <= report.Danger; l++ {
		text, err := json.Marshal(l)
		var back report.Level
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		if err != nil || back != l {
			t.Errorf("%s is read as %v: %v", text, back, err)
		}
	}
	var l report.Level
	if err := l.UnmarshalText([]byte("loud")); err == nil {
		t.Error(`"loud" is a level`)
	}
}
