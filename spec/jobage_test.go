package spec_test

import (
	"testing"
	"time"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A backup is new enough until the next run was due and has had time to get to the container.
func TestJobLimit(t *testing.T) {
	t.Parallel()
	vienna, err := time.LoadLocation("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	made := time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC) // a sunday
	for _, tc := range []struct {
		name, schedule string
		maxAge         time.Duration
		off            bool
		zone           *time.Location
		want           time.Time
	}{
		{"weekly gets half a day", "sun 03:00", 0, false, time.UTC, time.Date(2026, 11, 29, 15, 0, 0, 0, time.UTC)},
		{"hourly gets half an hour", "*:00", 0, false, time.UTC, time.Date(2026, 11, 22, 6, 30, 0, 0, time.UTC)},
		{"in a zone", "sun 03:00", 0, false, vienna, time.Date(2026, 11, 29, 14, 0, 0, 0, time.UTC)},
		{"maxAge wins", "sun 03:00", 48 * time.Hour, false, time.UTC, made.Add(48 * time.Hour)},
		{"one that is off promises nothing", "sun 03:00", 0, true, time.UTC, time.Time{}},
		{"one that never comes", "2020-01-01", 0, false, time.UTC, time.Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := setting.Record{spec.JobSchedule.Path: tc.schedule, spec.JobEnabled.Path: !tc.off}
			if tc.maxAge > 0 {
				spec.JobMaxAge.Set(r, tc.maxAge)
			}
			j := spec.NewBackupJob("weekly", r, spec.Place{})
			if got := j.Limit(made, tc.zone); !got.Equal(tc.want) {
				t.Errorf("Limit = %s, want %s", got, tc.want)
			}
		})
	}
}
