package calendar

import (
	"fmt"
	"slices"
	"strconv"
)

// Warnings says, a sentence each, where the event does not do what its text seems to say:
//
//   - A time such as "24:00", whose first number is no hour, is minute:second of every hour.
//   - After the last value of a field Proxmox counts steps on past the field's end, and a day that the month
//     does not have into the next month, so that the first values that follow are left out: after minute 45
//     "0/45" goes to minute 90, and the full hour never fires.
//   - A month or day 0 never comes.
func (e Event) Warnings() []string {
	if e.zero() {
		return nil
	}
	var out []string
	if e.hourless {
		out = append(out, "the time has no hour: what stands before the colon cannot be one, so it is read as minute:second of every hour")
	}
	for _, f := range []struct {
		unit  unit
		field field
	}{{months, e.month}, {days, e.day}} {
		if !f.field.any && len(f.field.values()) == 0 {
			out = append(out, fmt.Sprintf("%s 0 never comes", f.unit.name))
		}
	}
	out = append(out,
		overrun(months, e.month, months.limit, "year"),
		overrun(hours, e.hour, hours.limit, "day"),
		overrun(minutes, e.minute, minutes.limit, "hour"),
		overrun(seconds, e.second, seconds.limit, "minute"))
	for limit := 29; limit <= days.limit; limit++ {
		if w := overrun(days, e.day, limit, "month"); w != "" {
			out = append(out, fmt.Sprintf("where a month has %d days, %s", limit-1, w))
			break
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

// overrun tells which values a field loses in the next round, if that begins after limit-1.
func overrun(u unit, f field, limit int, round string) string {
	last := -1
	for _, v := range f.values() {
		if v < limit {
			last = v
		}
	}
	if last < 0 || last == limit-1 {
		return ""
	}
	next, ok := f.after(last + 1)
	if !ok || next < limit {
		return ""
	}
	var lost []string
	for _, v := range f.values() {
		if v < next-limit+u.min {
			lost = append(lost, strconv.Itoa(v))
		}
	}
	if len(lost) == 0 {
		return ""
	}
	return fmt.Sprintf("after %s %d Proxmox counts on to %d, which leaves out %s of the next %s",
		u.name, last, next, enumerate(lost), round)
}
