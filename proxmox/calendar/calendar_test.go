package calendar_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/felhom/tend/proxmox/calendar"
)

// A vector is an answer of Proxmox's own code; see testdata/vectors/README.md.
type vector struct {
	Spec  string
	From  *int64
	Next  *int64
	Error bool
	TZ    string
	Kind  string
}

func vectors(t testing.TB) []vector {
	t.Helper()
	data, err := os.ReadFile("../../testdata/vectors/calendar-events.json")
	if err != nil {
		t.Fatal(err)
	}
	var out []vector
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestVectors(t *testing.T) {
	count := map[string]int{}
	shifted := 0
	for _, v := range vectors(t) {
		e, err := calendar.Parse(v.Spec)
		if (err != nil) != v.Error {
			t.Errorf("Parse(%q): error %v, want one: %t", v.Spec, err, v.Error)
			continue
		}
		count[v.Kind]++
		if v.Kind != "next" {
			continue
		}
		loc, from := zone(t, v.TZ), time.Unix(*v.From, 0)
		got, ok := e.Next(from, calendar.Options{Location: loc, DST: calendar.Upstream})
		if ok != (v.Next != nil) || ok && got.Unix() != *v.Next {
			t.Errorf("%q after %s: got %s %t, want %v", v.Spec, from.In(loc), got, ok, v.Next)
		}
		again := parse(t, e.String())
		if canonical, _ := again.Next(from, calendar.Options{Location: loc, DST: calendar.Upstream}); !canonical.Equal(got) {
			t.Errorf("%q after %s: got %s, as %q %s", v.Spec, from.In(loc), got, e, canonical)
		}
		// Shift may only add runs: the first instant after a gap, earlier than upstream's answer.
		moved, _ := e.Next(from, calendar.Options{Location: loc})
		if moved.Equal(got) {
			continue
		}
		shifted++
		if start, _ := moved.ZoneBounds(); !start.Equal(moved) || ok && moved.After(got) {
			t.Errorf("%q after %s: shift gives %s, upstream %s", v.Spec, from.In(loc), moved, got)
		}
	}
	if count["parse"] == 0 || count["next"] == 0 || shifted == 0 {
		t.Errorf("counted %v and %d shifted, want some of each", count, shifted)
	}
	t.Logf("%d parse and %d next vectors agree; shift differs in %d", count["parse"], count["next"], shifted)
}

// TestClockChanges lists runs around changes of the clocks, written by hand.
func TestClockChanges(t *testing.T) {
	const form = "01-02 15:04:05 -0700"
	for _, tt := range []struct {
		zone, event, after string
		shift, upstream    []string // local times; upstream empty: as shift
	}{
		// Vienna: 02:00 becomes 03:00 on 29 March 2026.
		{
			"Europe/Vienna", "2:30", "2026-03-27T12:00:00Z",
			[]string{"03-28 02:30:00 +0100", "03-29 03:00:00 +0200", "03-30 02:30:00 +0200"},
			[]string{"03-28 02:30:00 +0100", "03-30 02:30:00 +0200"},
		},
		{
			"Europe/Vienna", "1..3:15", "2026-03-28T23:00:00Z",
			[]string{"03-29 01:15:00 +0100", "03-29 03:00:00 +0200", "03-29 03:15:00 +0200", "03-30 01:15:00 +0200"},
			[]string{"03-29 01:15:00 +0100", "03-29 03:15:00 +0200", "03-30 01:15:00 +0200"},
		},
		{"Europe/Vienna", "2,3:00", "2026-03-28T12:00:00Z", []string{"03-29 03:00:00 +0200", "03-30 02:00:00 +0200"}, nil},
		{
			"Europe/Vienna", "2:0/15", "2026-03-28T02:00:00Z",
			[]string{"03-29 03:00:00 +0200", "03-30 02:00:00 +0200", "03-30 02:15:00 +0200"},
			[]string{"03-30 02:00:00 +0200", "03-30 02:15:00 +0200"},
		},
		{
			"Europe/Vienna", "sun 2:30", "2026-03-23T00:00:00Z",
			[]string{"03-29 03:00:00 +0200", "04-05 02:30:00 +0200"},
			[]string{"04-05 02:30:00 +0200"},
		},
		{"Europe/Vienna", "mon 2:30", "2026-03-24T00:00:00Z", []string{"03-30 02:30:00 +0200"}, nil},
		{"Europe/Vienna", "2:30 UTC", "2026-03-28T12:00:00Z", []string{"03-29 04:30:00 +0200", "03-30 04:30:00 +0200"}, nil},
		{"Europe/Vienna", "*:30", "2026-03-29T00:00:00Z", []string{"03-29 01:30:00 +0100", "03-29 03:30:00 +0200"}, nil},
		{"Europe/Vienna", "hourly", "2026-03-29T00:00:00Z", []string{"03-29 03:00:00 +0200", "03-29 04:00:00 +0200"}, nil},
		// asked in the second before the gap, and at its end
		{
			"Europe/Vienna", "2:30", "2026-03-29T00:59:59Z",
			[]string{"03-29 03:00:00 +0200"},
			[]string{"03-30 02:30:00 +0200"},
		},
		{"Europe/Vienna", "2:30", "2026-03-29T01:00:00Z", []string{"03-30 02:30:00 +0200"}, nil},
		// Vienna: 03:00 becomes 02:00 on 25 October 2026.
		{"Europe/Vienna", "2:30", "2026-10-24T12:00:00Z", []string{"10-25 02:30:00 +0200", "10-26 02:30:00 +0100"}, nil},
		{"Europe/Vienna", "2:30", "2026-10-25T01:00:00Z", []string{"10-26 02:30:00 +0100"}, nil},
		{
			"Europe/Vienna", "1..3:15", "2026-10-24T22:30:00Z",
			[]string{"10-25 01:15:00 +0200", "10-25 02:15:00 +0200", "10-25 03:15:00 +0100"},
			nil,
		},
		{
			"Europe/Vienna", "*:30", "2026-10-24T23:00:00Z",
			[]string{"10-25 01:30:00 +0200", "10-25 02:30:00 +0200", "10-25 02:30:00 +0100", "10-25 03:30:00 +0100"},
			nil,
		},
		{
			"Europe/Vienna", "hourly", "2026-10-24T23:00:00Z",
			[]string{"10-25 02:00:00 +0200", "10-25 02:00:00 +0100", "10-25 03:00:00 +0100"},
			nil,
		},
		{
			"Europe/Vienna", "minutely", "2026-10-25T00:58:30Z",
			[]string{"10-25 02:59:00 +0200", "10-25 02:00:00 +0100", "10-25 02:01:00 +0100"},
			nil,
		},
		// New York: 02:00 becomes 03:00 on 8 March, and 02:00 becomes 01:00 on 1 November 2026.
		{
			"America/New_York", "2:30", "2026-03-07T12:00:00Z",
			[]string{"03-08 03:00:00 -0400", "03-09 02:30:00 -0400"},
			[]string{"03-09 02:30:00 -0400"},
		},
		{"America/New_York", "*:0/20", "2026-03-08T06:30:00Z", []string{"03-08 01:40:00 -0500", "03-08 03:00:00 -0400"}, nil},
		{"America/New_York", "1:30", "2026-10-31T12:00:00Z", []string{"11-01 01:30:00 -0400", "11-02 01:30:00 -0500"}, nil},
		{
			"America/New_York", "*:0/30", "2026-11-01T05:00:00Z",
			[]string{"11-01 01:30:00 -0400", "11-01 01:00:00 -0500", "11-01 01:30:00 -0500", "11-01 02:00:00 -0500"},
			nil,
		},
		{"America/New_York", "2:00", "2026-11-01T04:00:00Z", []string{"11-01 02:00:00 -0500", "11-02 02:00:00 -0500"}, nil},
		// Lord Howe changes by half an hour: 02:00 becomes 02:30, and 02:00 becomes 01:30.
		{
			"Australia/Lord_Howe", "2:15", "2026-10-03T00:00:00Z",
			[]string{"10-04 02:30:00 +1100", "10-05 02:15:00 +1100"},
			[]string{"10-05 02:15:00 +1100"},
		},
		{"Australia/Lord_Howe", "2:45", "2026-10-03T00:00:00Z", []string{"10-04 02:45:00 +1100"}, nil},
		{"Australia/Lord_Howe", "1:45", "2026-04-04T00:00:00Z", []string{"04-05 01:45:00 +1100", "04-06 01:45:00 +1030"}, nil},
		{"Australia/Lord_Howe", "*:45", "2026-04-04T14:00:00Z", []string{"04-05 01:45:00 +1100", "04-05 01:45:00 +1030"}, nil},
		// São Paulo changed at midnight: 00:00 became 01:00, and 00:00 became 23:00 of the day before.
		{
			"America/Sao_Paulo", "daily", "2017-10-14T12:00:00Z",
			[]string{"10-15 01:00:00 -0200", "10-16 00:00:00 -0200"},
			[]string{"10-16 00:00:00 -0200"},
		},
		{"America/Sao_Paulo", "sat 23:30", "2018-02-17T12:00:00Z", []string{"02-17 23:30:00 -0200", "02-24 23:30:00 -0300"}, nil},
		{"America/Sao_Paulo", "sat *:30", "2018-02-18T01:00:00Z", []string{"02-17 23:30:00 -0200", "02-17 23:30:00 -0300", "02-24 00:30:00 -0300"}, nil},
		// Troll changes by two hours: 01:00 becomes 03:00.
		{
			"Antarctica/Troll", "1,2:30", "2026-03-28T12:00:00Z",
			[]string{"03-29 03:00:00 +0200", "03-30 01:30:00 +0200"},
			[]string{"03-30 01:30:00 +0200"},
		},
		// Pyongyang left 23:30 to midnight out: upstream goes on at 00:15, half an hour after the 23:45 it wanted.
		{
			"Asia/Pyongyang", "*:5,45", "2018-05-04T14:20:00Z",
			[]string{"05-04 23:05:00 +0830", "05-05 00:05:00 +0900", "05-05 00:45:00 +0900"},
			[]string{"05-04 23:05:00 +0830", "05-05 00:45:00 +0900"},
		},
		// Days 1/16 go on to 33, the 2nd, whether or not the clocks change on the 1st.
		{"America/New_York", "*-1/16 *:30", "2026-10-22T12:00:00Z", []string{"11-17 00:30:00 -0500"}, nil},
		// Samoa left 30 December 2011 out.
		{
			"Pacific/Apia", "10:00", "2011-12-29T12:00:00Z",
			[]string{"12-29 10:00:00 -1000", "12-31 00:00:00 +1400", "12-31 10:00:00 +1400"},
			[]string{"12-29 10:00:00 -1000", "12-31 10:00:00 +1400"},
		},
		{"Pacific/Apia", "2011-12-30", "2011-12-29T12:00:00Z", []string{"12-31 00:00:00 +1400"}, []string{"never"}},
		{"Pacific/Apia", "2011-12-30 *:00", "2011-12-29T12:00:00Z", []string{"never"}, nil},
		// The last day of a leap year, for which time.Time.ZoneBounds is wrong (golang/go#81583).
		{"Europe/Vienna", "12:00", "2040-12-30T12:00:00Z", []string{"12-31 12:00:00 +0100", "01-01 12:00:00 +0100"}, nil},
		{"Europe/Vienna", "04-01", "2040-12-31T12:00:00Z", []string{"04-01 00:00:00 +0200"}, nil},
	} {
		after, err := time.Parse(time.RFC3339, tt.after)
		if err != nil {
			t.Fatal(err)
		}
		if tt.upstream == nil {
			tt.upstream = tt.shift
		}
		for dst, want := range map[calendar.DST][]string{calendar.Shift: tt.shift, calendar.Upstream: tt.upstream} {
			var got []string
			for at := range parse(t, tt.event).Times(after, calendar.Options{Location: zone(t, tt.zone), DST: dst}) {
				if got = append(got, at.Format(form)); len(got) == len(want) {
					break
				}
			}
			if got == nil {
				got = []string{"never"}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q in %s after %s, %s:\n got %q\nwant %q", tt.event, tt.zone, tt.after, dst, got, want)
			}
		}
	}
}

func TestNextShift(t *testing.T) {
	after := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ event, zone, want string }{
		{"2:30", "Europe/Vienna", "2026-03-29T03:00:00+02:00"},
		{"mon 2:30", "Europe/Vienna", ""},
		{"mon..fri 22:00", "Europe/Vienna", ""},
		{"*:30", "Europe/Vienna", ""},
		{"2,3:00", "Europe/Vienna", ""},
		{"2:30 UTC", "Europe/Vienna", ""},
		{"03-28 2:30", "Europe/Vienna", "2027-03-28T03:00:00+02:00"},
		{"2:30", "Asia/Kolkata", ""},
		{"2:15", "Australia/Lord_Howe", "2026-10-04T02:30:00+11:00"},
	} {
		got, ok := parse(t, tt.event).NextShift(after, zone(t, tt.zone))
		if s := got.Format(time.RFC3339); ok != (tt.want != "") || ok && s != tt.want {
			t.Errorf("%q in %s: got %s %t, want %q", tt.event, tt.zone, s, ok, tt.want)
		}
	}
	// Over the years for which ZoneBounds is wrong.
	if got, ok := parse(t, "mon 2:30").NextShift(time.Date(2039, 12, 1, 0, 0, 0, 0, time.UTC), zone(t, "Europe/Vienna")); ok {
		t.Errorf("got %s", got)
	}
	if got, ok := parse(t, "2:30").NextShift(after, nil); ok {
		t.Errorf("without a zone: got %s", got)
	}
}

func TestNextLimits(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for _, tt := range []struct {
		event string
		after time.Time
		want  string
	}{
		{"*:*:*", at, "2026-05-04T03:02:02Z"},
		{"*:*:*", at.Add(time.Nanosecond), "2026-05-04T03:02:02Z"},
		{"*:*:*", at.Add(-time.Nanosecond), "2026-05-04T03:02:01Z"},
		{"mon 02-29", time.Date(2016, 3, 1, 0, 0, 0, 0, time.UTC), "2044-02-29T00:00:00Z"},
		// Each odd year takes 4 steps: 1001 are taken from 1699, 1002 would be from 1697.
		{"1601/2,2196-02-29 5:30:30", time.Date(1698, 12, 31, 23, 59, 59, 0, time.UTC), "2196-02-29T05:30:30Z"},
		{"1601/2,2196-02-29", time.Date(1696, 12, 31, 23, 59, 59, 0, time.UTC), ""},
		{"02-30", at, ""},
		{"*-0", at, ""},
		{"2025-1-1", at, ""},
		{"2000/2199-1-1", at, "4199-01-01T00:00:00Z"},
		{"sun 02-29", at, "2032-02-29T00:00:00Z"},
		{"0/45", at, "2026-05-04T03:45:00Z"},
		{"0/45", at.Add(45 * time.Minute), "2026-05-04T04:45:00Z"}, // not 04:00, as upstream
		{"*:*", time.Time{}.AddDate(-5, 0, 0), ""},
		{"*:*", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), ""},
		{"*:*", time.Unix(1<<62, 0), ""},
	} {
		got, ok := parse(t, tt.event).Next(tt.after, calendar.Options{})
		if s := got.Format(time.RFC3339); ok != (tt.want != "") || ok && s != tt.want {
			t.Errorf("%q after %s: got %s %t, want %q", tt.event, tt.after, s, ok, tt.want)
		}
	}
	if got, ok := (calendar.Event{}).Next(at, calendar.Options{}); ok {
		t.Errorf("zero event fires at %s", got)
	}
}
