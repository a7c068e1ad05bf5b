package report_test

import (
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/backup"
)

// Of several jobs the one that is worst off is told, and what nobody could look at is an error, not an age.
func TestSetBackups(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	kept := backup.Promise{Job: "daily", State: backup.Good, Newest: now.Add(-day), Limit: now.Add(day)}
	tight := backup.Promise{Job: "hourly", State: backup.Good, Newest: now.Add(-time.Hour), Limit: now}
	absent := backup.Promise{Job: "weekly", State: backup.Absent, Why: "there is none on pbs"}
	for _, tc := range []struct {
		name     string
		promises []backup.Promise
		policy   string
		maxAge   time.Duration
		err      string
	}{
		{"the tightest of good ones", []backup.Promise{kept, tight}, "hourly", time.Hour, ""},
		{"whatever their order", []backup.Promise{tight, kept}, "hourly", time.Hour, ""},
		{"the worst", []backup.Promise{tight, absent, kept}, "weekly", 0, "there is none on pbs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var c report.Container
			c.SetBackups(backup.Container{
				Promises: tc.promises, Archives: []backup.Archive{{Volume: proxmox.Volume{ID: "b", Created: now}}, {Volume: proxmox.Volume{ID: "a"}}},
			})
			got := c.Backups
			if got.Policy != tc.policy || time.Duration(got.MaxAge) != tc.maxAge || got.Error != tc.err || len(got.List) != 2 || got.List[0].Name != "a" {
				t.Errorf("%+v", got)
			}
		})
	}
}
