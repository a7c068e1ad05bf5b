package calendar

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// String is the event in its canonical form, which [Parse] reads as the same event: lower case, numbers
// sorted, merged and of two digits, no keyword, always with a time: "weekly" is "mon 00:00". That of the
// zero Event is empty.
func (e Event) String() string {
	if e.zero() {
		return ""
	}
	var parts []string
	if !e.weekdays.all() {
		parts = append(parts, e.weekdays.text())
	}
	if date := e.date(); date != "" {
		parts = append(parts, date)
	}
	clock := e.hour.text(2) + ":" + e.minute.text(2)
	if !e.second.only(0) {
		clock += ":" + e.second.text(2)
	}
	parts = append(parts, clock)
	if e.utc {
		parts = append(parts, "UTC")
	}
	return strings.Join(parts, " ")
}

func (e Event) zero() bool { return !e.minute.any && e.minute.set == nil }

// date is the date part, or nothing where it is every day.
func (e Event) date() string {
	if !e.year.any {
		return e.year.text(4) + "-" + e.month.text(2) + "-" + e.day.text(2)
	}
	if e.month.any && e.day.any {
		return ""
	}
	return e.month.text(2) + "-" + e.day.text(2)
}

// text writes the set as in an event.
func (w weekdays) text() string {
	days := w.values()
	var parts []string
	for len(days) > 0 {
		n := 1
		for n < len(days) && days[n] == days[0]+n {
			n++
		}
		if n < 3 {
			n = 1
		}
		name := weekdayNames[days[0]][:3]
		if n > 1 {
			name += ".." + weekdayNames[days[n-1]][:3]
		}
		parts = append(parts, name)
		days = days[n:]
	}
	return strings.Join(parts, ",")
}

// Describe is the event in English words: "Monday to Friday at 22:00", "every minute of hours 8 to 17".
func (e Event) Describe() string {
	if e.zero() {
		return "never"
	}
	day, clock := e.describeDay(), e.describeClock()
	if day == "" && !e.hour.any {
		day = "every day"
	}
	text := clock
	if day != "" {
		text = day + " " + clock
	}
	if day != "" && strings.HasPrefix(clock, "every") {
		text = day + ", " + clock
	}
	if e.utc {
		text += " in UTC"
	}
	return text
}

// describeDay is nothing where it is every day.
func (e Event) describeDay() string {
	var parts []string
	if !e.weekdays.all() {
		parts = append(parts, describeItems(field{set: []uint64{uint64(e.weekdays)}}, weekdayName))
	}
	switch {
	case !e.day.any && e.month.any:
		parts = append(parts, "day "+describeItems(e.day, strconv.Itoa)+" of every month")
	case !e.day.any:
		parts = append(parts, "day "+describeItems(e.day, strconv.Itoa)+" of "+describeItems(e.month, monthName))
	case !e.month.any:
		parts = append(parts, "every day of "+describeItems(e.month, monthName))
	}
	text := strings.Join(parts, " if it is ")
	if !e.year.any {
		if text == "" {
			text = "every day"
		}
		text += " in " + describeItems(e.year, strconv.Itoa)
	}
	return text
}

func weekdayName(d int) string {
	return strings.ToUpper(weekdayNames[d][:1]) + weekdayNames[d][1:]
}

func monthName(m int) string { return time.Month(m).String() }

// describeClock names times of day where they are few, and fields otherwise.
func (e Event) describeClock() string {
	const few = 6
	hours, minutes, seconds := e.hour.values(), e.minute.values(), e.second.values()
	if n := len(hours) * len(minutes) * len(seconds); n > 0 && n <= few {
		var at []string
		for _, h := range hours {
			for _, m := range minutes {
				for _, s := range seconds {
					at = append(at, clockTime(h, m, s))
				}
			}
		}
		return "at " + enumerate(at)
	}
	text := ""
	if !e.second.only(0) {
		text = describeField("second", e.second) + " of "
	}
	switch {
	case e.minute.only(0) && e.second.only(0):
		text = ""
	case e.minute.any && e.hour.any:
		text += "every minute"
	default:
		text += describeField("minute", e.minute) + " of "
	}
	if !e.minute.any || !e.hour.any {
		text += describeField("hour", e.hour)
	}
	if strings.HasPrefix(text, "every") {
		return text
	}
	return "at " + text
}

func clockTime(h, m, s int) string {
	if s == 0 {
		return fmt.Sprintf("%02d:%02d", h, m)
	}
	return fmt.Sprintf("%02d:%02d:%02d", h, m, s)
}

func describeField(name string, f field) string {
	if f.any {
		return "every " + name
	}
	return counted(name, f)
}

// describeItems names the values: ranges by their ends, and those in steps one by one where they are few,
// else by the first two and the last.
func describeItems(f field, text func(int) string) string {
	const few = 6
	var parts []string
	for _, it := range f.items() {
		values := it.among(f.values())
		switch n := len(values); {
		case n == 0:
		case n == 1:
			parts = append(parts, text(values[0]))
		case it.step == 1 && it.open:
			parts = append(parts, text(it.from)+" and later")
		case it.step == 1:
			parts = append(parts, text(it.from)+" to "+text(it.to))
		case n > few:
			parts = append(parts, text(values[0])+", "+text(values[1])+" … "+text(values[n-1]))
		default:
			for _, v := range values {
				parts = append(parts, text(v))
			}
		}
	}
	if len(parts) == 0 {
		return "0"
	}
	return enumerate(parts)
}

// counted is the field with its name in singular or plural.
func counted(name string, f field) string {
	if len(f.values()) > 1 {
		name += "s"
	}
	return name + " " + describeItems(f, strconv.Itoa)
}

func enumerate(parts []string) string {
	last := len(parts) - 1
	if last < 1 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:last], ", ") + " and " + parts[last]
}
