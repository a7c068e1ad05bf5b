package calendar_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/felhom/tend/proxmox/calendar"
)

func TestStringAndDescribe(t *testing.T) {
	for _, tt := range []struct{ text, canonical, words string }{
		{"daily", "00:00", "every day at 00:00"},
		{" daily UTC\n", "00:00 UTC", "every day at 00:00 in UTC"},
		{"minutely", "*:*", "every minute"},
		{"*:*:*", "*:*:*", "every second of every minute"},
		{"*:*:0/30", "*:*:00/30", "at seconds 0 and 30 of every minute"},
		{"hourly", "*:00", "every hour"},
		{"weekly", "mon 00:00", "Monday at 00:00"},
		{"quarterly", "01..10/3-01 00:00", "day 1 of January, April, July and October at 00:00"},
		{"semi-annually", "01,07-01 00:00", "day 1 of January and July at 00:00"},
		{"annually", "01-01 00:00", "day 1 of January at 00:00"},
		{"5", "*:05", "at minute 5 of every hour"},
		{"*/5", "*:00/5", "at minutes 0, 5 … 55 of every hour"},
		{"0..23:10", "*:10", "at minute 10 of every hour"},
		{"MONDAY..Friday 22:00", "mon..fri 22:00", "Monday to Friday at 22:00"},
		{"fri..mon 4:00", "mon,fri..sun 04:00", "Monday and Friday to Sunday at 04:00"},
		{"sun..mon", "mon,sun 00:00", "Monday and Sunday at 00:00"},
		{"mon..sun 1:0", "01:00", "every day at 01:00"},
		{"Sat *-1..7 15:00", "sat *-01..07 15:00", "Saturday if it is day 1 to 7 of every month at 15:00"},
		{
			"2026..2028-6..8/2-1,15 6,18:30", "2026..2028-06,08-01,15 06,18:30",
			"day 1 and 15 of June and August in 2026 to 2028 at 06:30 and 18:30",
		},
		{
			"mon..fri 8..17,22:0/15", "mon..fri 08..17,22:00/15",
			"Monday to Friday at minutes 0, 15, 30 and 45 of hours 8 to 17 and 22",
		},
		{"8..17:*", "08..17:*", "every day, every minute of hours 8 to 17"},
		{"2026/1-*-* 3:00", "2026/1-*-* 03:00", "every day in 2026 and later at 03:00"},
		{"*-12-* 3:00", "12-* 03:00", "every day of December at 03:00"},
		{"*-0", "*-00 00:00", "day 0 of every month at 00:00"},
		{"10,5:8,4:30", "05,10:04,08:30", "every day at 05:04:30, 05:08:30, 10:04:30 and 10:08:30"},
		{"6,4..10:23,5/5", "04..10:05/5,23", "every day at minutes 5, 10 … 55 and 23 of hours 4 to 10"},
		{"1/20,1/10,5/10", "*:01/10,05/10", "at minutes 1, 11, 21, 31, 41, 51, 5, 15, 25, 35, 45 and 55 of every hour"},
	} {
		e := parse(t, tt.text)
		if got := e.String(); got != tt.canonical {
			t.Errorf("Parse(%q).String() = %q, want %q", tt.text, got, tt.canonical)
		}
		if got := e.Describe(); got != tt.words {
			t.Errorf("Parse(%q).Describe() = %q, want %q", tt.text, got, tt.words)
		}
		if again := parse(t, tt.canonical); again.String() != tt.canonical {
			t.Errorf("canonical text of %q is %q", tt.canonical, again)
		}
	}
	var zero calendar.Event
	if zero.String() != "" || zero.Describe() != "never" {
		t.Errorf("zero event is %q, %q", zero, zero.Describe())
	}
}

func TestSyntaxError(t *testing.T) {
	for _, tt := range []struct {
		text   string
		offset int
		reason string // a part of it
	}{
		{"", 0, "an event is expected"},
		{"UTC", 0, "an event is expected"},
		{"23:60", 3, "a minute is a number from 0 to 59"},
		{"  23:60 ", 5, "a minute is a number from 0 to 59"},
		{"23:59:60", 6, "a second is a number from 0 to 59"},
		{"mon 25:00:00", 4, "an hour is a number from 0 to 23"},
		{"2200-1-1", 0, "a year is a number from 0 to 2199"},
		{"2026-13-1", 5, "a month is a number from 1 to 12"},
		{"*-02~1", 4, "a day is a number from 1 to 31"},
		{"2026-1", 6, "month-day or year-month-day"},
		{"1-2-3-4", 5, "month-day or year-month-day"},
		{"0:0:0:0", 5, "hour:minute:second"},
		{"*/60", 2, "the step of a minute"},
		{"*/0", 2, "at least 1"},
		{"5/", 2, "the step of a minute"},
		{"*,5", 1, `"*" stands alone`},
		{"20..5:00", 0, "a range runs upwards"},
		{"0..60", 3, "a minute is a number"},
		{"*:*:0.5", 5, "a second is a number"},
		{"8am", 1, "lists are like"},
		{"1,", 2, "a minute is a number"},
		{"mo", 0, "a weekday is"},
		{"fortnightly", 0, "a keyword is"},
		{"mon..", 5, "a weekday is"},
		{"mon,5", 4, "a weekday is"},
		{"mon tue", 4, "joined by a comma"},
		{"mon-fri 4:30", 3, "two dots"},
		{"mon 8:00-9:00", 8, "two dots"},
		{"Daily", 0, "small letters"},
		{"@daily", 0, "small letters"},
		{"daily 5:00", 6, "stands alone"},
		{"mon daily", 4, "a keyword stands alone"},
		{"daily utc", 6, "capitals"},
		{"5:00 utc", 5, "capitals"},
		{"daily\tUTC", 5, "only blanks"},
		{"5:00\tUTC", 4, "only blanks"},
		{"10:00 mon", 6, "weekdays stand first"},
		{"10:00 2026-1-1", 6, "the date stands before the time"},
		{"2026-1-1 10:00 Europe/Vienna", 15, "no time zone"},
		{"0 5 * * *", 0, "cron"},
		{"* *", 2, "an event ends with its time"},
		{"mon\u00a010:00", 3, "an hour is a number"},
		{"\uff15", 0, "a minute is a number"},
	} {
		_, err := calendar.Parse(tt.text)
		var bad *calendar.SyntaxError
		if !errors.As(err, &bad) {
			t.Errorf("Parse(%q): %v is no SyntaxError", tt.text, err)
			continue
		}
		if bad.Text != tt.text || bad.Offset != tt.offset || !strings.Contains(bad.Reason, tt.reason) {
			t.Errorf("Parse(%q): got %q at %d: %s; want %q at %d", tt.text, bad.Text, bad.Offset, bad.Reason, tt.reason, tt.offset)
		}
	}
}

func TestSyntaxErrorText(t *testing.T) {
	for text, want := range map[string]string{
		"23:60": `parse schedule "23:60": at character 4, "60": a minute is a number from 0 to 59`,
		"5:":    `parse schedule "5:": at its end: a minute is a number from 0 to 59`,
	} {
		if _, err := calendar.Parse(text); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"daily", nil},
		{"*:0/15", nil},
		{"0/59", nil},
		{"fri 12,13:5/20", nil},
		{"*-*/2", nil},
		{"*-31", nil},
		{"24:00", []string{"the time has no hour: what stands before the colon cannot be one, so it is read as minute:second of every hour"}},
		{"0/45", []string{"after minute 45 Proxmox counts on to 90, which leaves out 0 of the next hour"}},
		{"0/5:0", []string{"after hour 20 Proxmox counts on to 25, which leaves out 0 of the next day"}},
		{"1/5-1", []string{"after month 11 Proxmox counts on to 16, which leaves out 1 of the next year"}},
		{"*-1,2,31", []string{"where a month has 28 days, after day 2 Proxmox counts on to 31, which leaves out 1 and 2 of the next month"}},
		{"0-0", []string{"month 0 never comes", "day 0 never comes"}},
	} {
		if got := parse(t, tt.text).Warnings(); !slices.Equal(got, tt.want) {
			t.Errorf("warnings of %q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

func parse(t testing.TB, text string) calendar.Event {
	t.Helper()
	e, err := calendar.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
