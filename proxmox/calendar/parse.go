package calendar

import (
	"strconv"
	"strings"
)

// Parse reads an event as Proxmox does: blanks around it are ignored, keywords and "UTC" are case-sensitive,
// weekdays are not. The error is a [*SyntaxError].
//
// The grammar is ordered choice, with consequences that [Event.Warnings] names: what cannot be an hour before
// the first colon makes the time minute:second, so "24:00" is minute 24 of every hour
// (calendar_event.rs, parse_calendar_event_incomplete).
func Parse(s string) (Event, error) {
	text := strings.TrimSpace(s)
	body, utc := strings.CutSuffix(text, "UTC")
	if utc {
		body = strings.TrimRight(body, " ")
	}
	e, ok := keyword(body)
	if !ok {
		e, ok = parseBody(body)
	}
	if !ok {
		return Event{}, diagnose(s, strings.Index(s, text), body)
	}
	e.utc = utc
	return e, nil
}

// keyword is the event of a word that stands for a whole event.
func keyword(s string) (Event, bool) {
	zero, first := newField(seconds, item{}), newField(days, item{from: 1})
	e := Event{
		year: anything(), month: anything(), day: anything(),
		hour: zero, minute: zero, second: zero,
	}
	switch s {
	case "minutely":
		e.hour, e.minute = anything(), anything()
	case "hourly":
		e.hour = anything()
	case "daily":
	case "weekly":
		e.weekdays = between(0, 0)
	case "monthly":
		e.day = first
	case "quarterly":
		e.day, e.month = first, newField(months, item{from: 1, to: 10, step: 3})
	case "semiannually", "semi-annually":
		e.day, e.month = first, newField(months, item{from: 1, to: 7, step: 6})
	case "yearly", "annually":
		e.day, e.month = first, newField(months, item{from: 1})
	default:
		return Event{}, false
	}
	return e, true
}

// parseBody reads weekdays, a date and a time, all of which must be s.
func parseBody(s string) (Event, bool) {
	zero := newField(seconds, item{})
	e := Event{
		year: anything(), month: anything(), day: anything(),
		hour: zero, minute: zero, second: zero,
	}
	rest := s
	if s != "" && isLetter(s[0]) {
		var ok bool
		if e.weekdays, rest, ok = parseWeekdays(s); !ok {
			return Event{}, false
		}
		rest = skipBlanks(rest)
	}
	if after, ok := e.parseDate(rest); ok {
		rest = skipBlanks(after)
	}
	if after, ok := e.parseTime(rest); ok {
		rest = after
	}
	return e, s != "" && rest == ""
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func skipBlanks(s string) string { return strings.TrimLeft(s, " \t") }

// parseWeekdays reads a list of weekdays and ranges of them.
func parseWeekdays(s string) (days weekdays, rest string, ok bool) {
	rest = s
	for {
		from, after, good := parseWeekday(rest)
		if !good {
			return days, s, ok
		}
		to := from
		if end, found := strings.CutPrefix(after, ".."); found {
			if d, more, good := parseWeekday(end); good {
				to, after = d, more
			}
		}
		days, s, ok = days|between(from, to), after, true
		if rest, good = strings.CutPrefix(after, ","); !good {
			return days, s, ok
		}
	}
}

// parseWeekday reads a word that is a weekday's name or its first three letters.
func parseWeekday(s string) (day int, rest string, ok bool) {
	n := 0
	for n < len(s) && isLetter(s[n]) {
		n++
	}
	word := strings.ToLower(s[:n])
	for i, name := range weekdayNames {
		if word == name || word == name[:3] {
			return i, s[n:], true
		}
	}
	return 0, s, false
}

// parseDate reads year-month-day or, where that is not there, month-day.
func (e *Event) parseDate(s string) (rest string, ok bool) {
	if f, rest, ok := parseFields(s, "-", years, months, days); ok {
		e.year, e.month, e.day = f[0], f[1], f[2]
		return rest, true
	}
	if f, rest, ok := parseFields(s, "-", months, days); ok {
		e.month, e.day = f[0], f[1]
		return rest, true
	}
	return s, false
}

// parseTime reads [hour:]minute[:second].
func (e *Event) parseTime(s string) (rest string, ok bool) {
	hour, rest, hourly := anything(), s, false
	if f, after, ok := parseFields(s, ":", hours); ok {
		if after, ok = strings.CutPrefix(after, ":"); ok {
			hour, rest, hourly = f[0], after, true
		}
	}
	minute, rest, ok := parseList(rest, minutes)
	if !ok {
		return s, false
	}
	e.hour, e.minute = hour, minute
	if after, ok := strings.CutPrefix(rest, ":"); ok {
		if second, after, ok := parseList(after, seconds); ok {
			e.second, e.hourless = second, !hourly
			return after, true
		}
	}
	return rest, true
}

// parseFields reads one list for each unit, with a separator between them.
func parseFields(s, separator string, units ...unit) (fields []field, rest string, ok bool) {
	rest = s
	for i, u := range units {
		if i > 0 {
			if rest, ok = strings.CutPrefix(rest, separator); !ok {
				return nil, s, false
			}
		}
		var f field
		if f, rest, ok = parseList(rest, u); !ok {
			return nil, s, false
		}
		fields = append(fields, f)
	}
	return fields, rest, true
}

// parseList reads "*", "*/step" or a list of items. It ends before what is no item; a step of 0 after "*" is
// left unread.
func parseList(s string, u unit) (f field, rest string, ok bool) {
	if after, ok := strings.CutPrefix(s, "*"); ok {
		step, found := strings.CutPrefix(after, "/")
		if !found {
			return anything(), after, true
		}
		n, rest, ok := parseNumber(step, u)
		switch {
		case !ok:
			return f, s, false
		case n == 0:
			return anything(), after, true
		}
		return newField(u, item{from: u.min, step: n, open: true}), rest, true
	}
	var items []item
	rest = s
	for {
		it, after, good := parseItem(rest, u)
		if !good {
			break
		}
		items, s = append(items, it), after
		if rest, good = strings.CutPrefix(after, ","); !good {
			break
		}
	}
	if len(items) == 0 {
		return f, s, false
	}
	return newField(u, items...), s, true
}

// parseItem reads n, n..m, n/step or n..m/step.
func parseItem(s string, u unit) (it item, rest string, ok bool) {
	from, rest, ok := parseNumber(s, u)
	if !ok {
		return it, s, false
	}
	it = item{from: from, to: from}
	ranged := false
	if end, found := strings.CutPrefix(rest, ".."); found {
		if to, after, good := parseNumber(end, u); good {
			if to < from {
				return it, s, false
			}
			it.to, it.step, rest, ranged = to, 1, after, true
		}
	}
	if step, found := strings.CutPrefix(rest, "/"); found {
		if it.step, rest, ok = parseNumber(step, u); !ok {
			return it, s, false
		}
		it.open = !ranged
	}
	return it, rest, true
}

// parseNumber reads digits that make a number below the unit's limit.
func parseNumber(s string, u unit) (n int, rest string, ok bool) {
	digits := 0
	for digits < len(s) && isDigit(s[digits]) {
		digits++
	}
	n64, err := strconv.ParseUint(s[:digits], 10, 32)
	if err != nil || int(n64) >= u.limit {
		return 0, s, false
	}
	return int(n64), s[digits:], true
}
