package calendar_test

import (
	"testing"
	"time"

	"github.com/felhom/tend/proxmox/calendar"
)

func TestGaps(t *testing.T) {
	after := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		event, zone       string
		shortest, longest time.Duration
		from              string // where the longest begins
	}{
		{"daily", "UTC", 24 * time.Hour, 24 * time.Hour, "2026-01-02 00:00"},
		{"2:00", "Europe/Vienna", 23 * time.Hour, 25 * time.Hour, "2026-10-25 02:00"}, // the repeated hour
		{"mon..fri 22:00", "Europe/Vienna", 24 * time.Hour, 73 * time.Hour, "2026-10-23 22:00"},
		{"mon..fri *:*", "UTC", time.Minute, 48*time.Hour + time.Minute, "2026-01-02 23:59"},
		{"02-29", "UTC", 1461 * 24 * time.Hour, 1461 * 24 * time.Hour, "2028-02-29 00:00"},
		{"2026-5-5", "UTC", 0, 0, ""},
		{"02-30", "UTC", 0, 0, ""},
	} {
		shortest, longest := parse(t, tt.event).Gaps(after, calendar.Options{Location: zone(t, tt.zone)})
		from := ""
		if !longest.From.IsZero() {
			from = longest.From.Format("2006-01-02 15:04")
		}
		if shortest.Length() != tt.shortest || longest.Length() != tt.longest || from != tt.from {
			t.Errorf("%q: %s, %s from %s", tt.event, shortest.Length(), longest.Length(), from)
		}
	}
}
