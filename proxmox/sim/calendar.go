package sim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An event is a calendar event, as backup jobs have it: what each part of a time may be. An empty set is anything
// (proxmox-time, calendar_event.rs).
type event struct {
	utc                                             bool
	weekday, year, month, day, hour, minute, second map[int]bool
}

var eventWords = map[string]string{
	"minutely": "*:*:00", "hourly": "*:00:00", "daily": "00:00:00", "weekly": "mon 00:00:00", "monthly": "*-*-01 00:00:00",
	"yearly": "*-01-01 00:00:00", "annually": "*-01-01 00:00:00", "quarterly": "*-01,04,07,10-01 00:00:00",
	"semiannually": "*-01,07-01 00:00:00", "semi-annually": "*-01,07-01 00:00:00",
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parseEvent reads "mon..fri 4:30".
func parseEvent(text string) (*event, error) {
	bad := fmt.Errorf("unable to parse calendar event at '%s'", text)
	body, utc := strings.CutSuffix(strings.TrimSpace(text), "UTC")
	body = strings.TrimSpace(body)
	if w, ok := eventWords[body]; ok {
		body = w
	}
	ev := &event{utc: utc}
	days := 0 // weekdays may stand right before the time
	for days < len(body) && strings.IndexByte("0123456789* \t", body[days]) < 0 {
		days++
	}
	if days > 0 {
		set, ok := parseWeekdays(body[:days])
		if !ok {
			return nil, bad
		}
		ev.weekday = set
	}
	fields := strings.FieldsFunc(body[days:], func(r rune) bool { return r == ' ' || r == '\t' })
	if days == 0 && len(fields) == 0 {
		return nil, bad
	}
	if len(fields) > 0 && strings.Contains(fields[0], "-") {
		if !ev.parseDate(fields[0]) {
			return nil, bad
		}
		fields = fields[1:]
	}
	switch len(fields) {
	case 0:
		ev.hour, ev.minute, ev.second = one(0), one(0), one(0)
	case 1:
		if !ev.parseTime(fields[0]) {
			return nil, bad
		}
	default:
		return nil, bad
	}
	return ev, nil
}

func one(n int) map[int]bool { return map[int]bool{n: true} }

func dayNumber(s string) int {
	s = strings.ToLower(s)
	for i, d := range weekdays {
		long := strings.ToLower(time.Weekday(i).String())
		if s == d || s == long {
			return i
		}
	}
	return -1
}

func parseWeekdays(s string) (map[int]bool, bool) {
	set := map[int]bool{}
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "..")
		a := dayNumber(from)
		b := a
		if isRange {
			b = dayNumber(to)
		}
		if a < 0 || b < 0 {
			return nil, false
		}
		for ; a != b; a = (a + 1) % 7 {
			set[a] = true
		}
		set[b] = true
	}
	return set, true
}

func (ev *event) parseDate(s string) bool {
	f := strings.Split(s, "-")
	if len(f) < 2 || len(f) > 3 {
		return false
	}
	var ok [3]bool
	ok[0] = true
	if len(f) == 3 {
		ev.year, ok[0] = parseSet(f[0], 0, 2199)
	}
	ev.month, ok[1] = parseSet(f[len(f)-2], 1, 12)
	ev.day, ok[2] = parseSet(f[len(f)-1], 1, 31)
	return ok[0] && ok[1] && ok[2]
}

func (ev *event) parseTime(s string) bool {
	f := strings.Split(s, ":")
	var ok [3]bool
	switch len(f) {
	case 1:
		ok[0] = true
		ev.minute, ok[1] = parseSet(f[0], 0, 59)
		ev.second, ok[2] = one(0), true
	case 2:
		ev.minute, ok[1] = parseSet(f[1], 0, 59)
		ev.second, ok[2] = one(0), true
		if ev.hour, ok[0] = parseSet(f[0], 0, 23); !ok[0] { // what cannot be an hour is a minute, with a second
			ev.hour, ok[0] = nil, true
			ev.minute, ok[1] = parseSet(f[0], 0, 59)
			ev.second, ok[2] = parseSet(f[1], 0, 59)
		}
	case 3:
		ev.hour, ok[0] = parseSet(f[0], 0, 23)
		ev.minute, ok[1] = parseSet(f[1], 0, 59)
		ev.second, ok[2] = parseSet(f[2], 0, 59)
	}
	return ok[0] && ok[1] && ok[2]
}

// parseSet reads a list of numbers, ranges and steps below a limit; "*" is anything.
func parseSet(s string, low, high int) (map[int]bool, bool) {
	if s == "*" {
		return nil, true
	}
	set := map[int]bool{}
	for part := range strings.SplitSeq(s, ",") {
		if err := addItem(set, part, low, high, s == part); err != nil {
			return nil, false
		}
	}
	return set, true
}

var errItem = errors.New("not a number, range or step")

func addItem(set map[int]bool, part string, low, high int, alone bool) error {
	body, stepText, stepped := strings.Cut(part, "/")
	from, to, isRange := strings.Cut(body, "..")
	if strings.ContainsAny(part, "+-") {
		return errItem
	}
	a, err := strconv.Atoi(from)
	if body == "*" && alone && stepped {
		a, err = low, nil
	}
	b := a
	if isRange && err == nil {
		b, err = strconv.Atoi(to)
	} else if stepped {
		b = high
	}
	step := 1
	if stepped && err == nil {
		step, err = strconv.Atoi(stepText)
	}
	if err != nil || a < 0 || a > high || b > high || b < a || step < 0 || step == 0 && body == "*" || step > high {
		return errItem
	}
	if step == 0 {
		b, step = a, 1
	}
	for ; a <= b; a += step {
		set[a] = true
	}
	return nil
}

func in(set map[int]bool, n int) bool { return set == nil || set[n] }

// next is the first time after t that fits.
func (ev *event) next(t time.Time) (time.Time, bool) {
	if ev.utc {
		t = t.UTC()
	}
	end := t.Add(horizon)
	for t = t.Truncate(time.Second).Add(time.Second); t.Before(end); {
		y, mo, d := t.Date()
		switch {
		case !in(ev.year, y):
			t = time.Date(y+1, 1, 1, 0, 0, 0, 0, t.Location())
		case !in(ev.month, int(mo)):
			t = time.Date(y, mo+1, 1, 0, 0, 0, 0, t.Location())
		case !in(ev.day, d) || !in(ev.weekday, int(t.Weekday())):
			t = time.Date(y, mo, d+1, 0, 0, 0, 0, t.Location())
		case !in(ev.hour, t.Hour()):
			t = t.Truncate(time.Minute).Add(time.Duration(60-t.Minute()) * time.Minute)
		case !in(ev.minute, t.Minute()):
			t = t.Truncate(time.Minute).Add(time.Minute)
		case !in(ev.second, t.Second()):
			t = t.Add(time.Second)
		default:
			return t, true
		}
	}
	return time.Time{}, false
}
