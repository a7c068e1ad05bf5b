package sim

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox/calendar"
)

// The next run is told in the node's zone, and a time that a change of the clocks leaves out is no run.
func TestNextRun(t *testing.T) {
	vienna, err := time.LoadLocation("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2027, 3, 27, 12, 0, 0, 0, vienna) // the day before the clocks go forward
	s := start(t, lab(t), Options{Now: func() time.Time { return noon }})
	tests := []struct {
		id, schedule string
		want         time.Time // zero: never
	}{
		{"everyday", "22:00", time.Date(2027, 3, 27, 22, 0, 0, 0, vienna)},
		{"gap", "2:30", time.Date(2027, 3, 29, 2, 30, 0, 0, vienna)},
		{"utc", "2:30 UTC", time.Date(2027, 3, 28, 2, 30, 0, 0, time.UTC)},
		{"steps", "0/45", time.Date(2027, 3, 27, 12, 45, 0, 0, vienna)},
		{"past", "2020-1-1", time.Time{}},
	}
	for _, tt := range tests {
		must(t, s, "POST", "/cluster/backup", map[string]string{"id": tt.id, "schedule": tt.schedule, "all": "1"})
	}
	var jobs []struct {
		ID      string
		NextRun *int64 `json:"next-run"`
	}
	if err := json.Unmarshal(must(t, s, "GET", "/cluster/backup", nil), &jobs); err != nil {
		t.Fatal(err)
	}
	got := map[string]*int64{}
	for _, j := range jobs {
		got[j.ID] = j.NextRun
	}
	for _, tt := range tests {
		next := got[tt.id]
		switch {
		case next == nil && tt.want.IsZero():
		case next == nil || tt.want.IsZero() || *next != tt.want.Unix():
			t.Errorf("%q: next run %v, want %v", tt.schedule, next, tt.want)
		}
	}
}

// What is no schedule is refused with Proxmox's text, and what is too long before it is read.
func TestScheduleErrors(t *testing.T) {
	s := start(t, lab(t), Options{})
	long := "mon" + strings.Repeat(",mon", calendar.MaxLength/4)
	for schedule, want := range map[string]string{
		"no such": "invalid format - invalid calendar event 'no such' - unable to parse calendar event at 'no such'",
		"23:60":   "invalid format - invalid calendar event '23:60' - unable to parse calendar event at '23:60'",
		long:      "value may only be 128 characters long",
	} {
		got := refused(t, s, rootUser, "POST", "/cluster/backup", map[string]string{"schedule": schedule, "all": "1"})
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", schedule, got, want)
		}
	}
}
