package calendar

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A unit describes a field of an event: its name, its name with an article, its smallest value and the first number that is too large
// to be written (calendar_event.rs, parse_time_spec and parse_date_spec). Months and days may be written as
// 0, which never matches.
type unit struct {
	name, one  string
	min, limit int
	open       bool // values from limit on exist and can be reached by steps
}

var (
	years   = unit{name: "year", one: "a year", min: 0, limit: 2200, open: true}
	months  = unit{name: "month", one: "a month", min: 1, limit: 13}
	days    = unit{name: "day", one: "a day", min: 1, limit: 32}
	hours   = unit{name: "hour", one: "an hour", min: 0, limit: 24}
	minutes = unit{name: "minute", one: "a minute", min: 0, limit: 60}
	seconds = unit{name: "second", one: "a second", min: 0, limit: 60}
)

// A field holds the values of one unit at which an event fires.
type field struct {
	any    bool     // every value; set and series are empty then
	set    []uint64 // bit v: the value v, below the unit's limit
	series []series // those that were written without an end
}

// A series is the values start, start+step and so on, without end.
type series struct{ start, step int }

// An item is one element of a list: from, up to to in steps. A step of 0 leaves from alone, and to is no
// limit where the item is open.
type item struct {
	from, to, step int
	open           bool
}

// among picks the values that belong to the item.
func (it item) among(values []int) []int {
	var out []int
	for _, v := range values {
		within := v >= it.from && (it.open || v <= it.to)
		if v == it.from || within && it.step > 0 && (v-it.from)%it.step == 0 {
			out = append(out, v)
		}
	}
	return out
}

func anything() field { return field{any: true} }

// newField collects items. It knows a field of all values under every name.
func newField(u unit, items ...item) field {
	f := field{set: make([]uint64, (u.limit+63)/64)}
	for _, it := range items {
		if it.step == 0 {
			it.to, it.step, it.open = it.from, 1, false
		}
		if it.open {
			it.to = u.limit - 1
			f.series = append(f.series, series{it.from, it.step})
		}
		for v := it.from; v <= it.to; v += it.step {
			if v >= u.min {
				f.set[v/64] |= 1 << (v % 64)
			}
		}
	}
	f.series = essential(f.series, u)
	if len(f.values()) == u.limit-u.min && (!u.open || len(f.series) > 0 && f.series[0].step == 1) {
		return anything()
	}
	return f
}

// essential sorts series and drops those that others contain, and, in a unit that ends, those in steps of
// one: they hold every value to the end, so nothing is ever sought past it.
func essential(all []series, u unit) []series {
	slices.SortFunc(all, func(a, b series) int {
		if a.step != b.step {
			return a.step - b.step
		}
		return a.start - b.start
	})
	var out []series
	for _, s := range all {
		contained := slices.ContainsFunc(out, func(o series) bool {
			return s.step%o.step == 0 && s.start >= o.start && (s.start-o.start)%o.step == 0
		})
		if !contained && (u.open || s.step > 1) {
			out = append(out, s)
		}
	}
	return out
}

// has reports whether v is a value of the field.
func (f field) has(v int) bool {
	switch {
	case f.any:
		return true
	case v < 0:
		return false
	case v < len(f.set)*64 && f.set[v/64]&(1<<(v%64)) != 0:
		return true
	}
	return slices.ContainsFunc(f.series, func(s series) bool {
		return v >= s.start && (v-s.start)%s.step == 0
	})
}

// after returns the smallest value above v, if there is one. Series are not bounded by the unit, so that
// minutes 0/45 go 0, 45, 90: upstream carries the 90 as half an hour and so misses the full hour
// (date_time_value.rs, find_next).
func (f field) after(v int) (int, bool) {
	v = max(v, -1)
	for i, first := (v+1)/64, uint((v+1)%64); i < len(f.set); i, first = i+1, 0 {
		if word := f.set[i] >> first << first; word != 0 {
			return i*64 + bits.TrailingZeros64(word), true
		}
	}
	n, found := 0, false
	for _, s := range f.series {
		if c := s.start + ((v-s.start)/s.step+1)*s.step; !found || c < n {
			n, found = c, true
		}
	}
	return n, found
}

// values lists the values below the unit's limit.
func (f field) values() []int {
	var out []int
	for i, word := range f.set {
		for ; word != 0; word &= word - 1 {
			out = append(out, i*64+bits.TrailingZeros64(word))
		}
	}
	return out
}

// only reports whether v is the field's one value.
func (f field) only(v int) bool {
	all := f.values()
	return len(all) == 1 && all[0] == v && !f.any
}

// items is the shortest list of items that makes the field: its series, then what these leave, in ranges
// of three values or more, steps of four or more, and single values.
func (f field) items() []item {
	var out []item
	var rest []int
	for _, s := range f.series {
		out = append(out, item{from: s.start, step: s.step, open: true})
	}
	for _, v := range f.values() {
		if !slices.ContainsFunc(f.series, func(s series) bool { return v >= s.start && (v-s.start)%s.step == 0 }) {
			rest = append(rest, v)
		}
	}
	for len(rest) > 0 {
		n := run(rest)
		it := item{from: rest[0], to: rest[n-1]}
		if n > 1 {
			it.step = rest[1] - rest[0]
		}
		out = append(out, it)
		rest = rest[n:]
	}
	slices.SortStableFunc(out, func(a, b item) int { return a.from - b.from })
	return out
}

// run is how many of the values at the front of vs make one item.
func run(vs []int) int {
	if len(vs) < 3 {
		return 1
	}
	step, n := vs[1]-vs[0], 2
	for n < len(vs) && vs[n]-vs[n-1] == step {
		n++
	}
	if n < 3 || step > 1 && n < 4 {
		return 1
	}
	return n
}

// text writes the field as in an event, each value with at least the given number of digits.
func (f field) text(digits int) string {
	if f.any {
		return "*"
	}
	items := f.items()
	if len(items) == 0 {
		items = []item{{}} // 0, which is no month and no day
	}
	parts := make([]string, len(items))
	for i, it := range items {
		s := fmt.Sprintf("%0*d", digits, it.from)
		if it.to > it.from {
			s += fmt.Sprintf("..%0*d", digits, it.to)
		}
		if it.open || it.step > 1 {
			s += "/" + strconv.Itoa(it.step)
		}
		parts[i] = s
	}
	return strings.Join(parts, ",")
}

// weekdays is a set of weekdays, Monday being bit 0; empty means all of them.
type weekdays uint8

const everyDay weekdays = 1<<7 - 1

var weekdayNames = [7]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

// between is the set from one day to another, over the end of the week if need be.
func between(from, to int) weekdays {
	var out weekdays
	for d := from; ; d = (d + 1) % 7 {
		out |= 1 << d
		if d == to {
			return out
		}
	}
}

// all reports whether the set says nothing.
func (w weekdays) all() bool { return w == 0 || w == everyDay }

// until is the number of days from a weekday that is not in the set to the next to test: a later one of the
// same week that is in it, or the next Monday. It is 0 for one that is in the set.
func (w weekdays) until(d time.Weekday) int {
	day := (int(d) + 6) % 7
	if w.all() || w&(1<<day) != 0 {
		return 0
	}
	for n := day + 1; n < 7; n++ {
		if w&(1<<n) != 0 {
			return n - day
		}
	}
	return 7 - day
}

// values lists the days, Monday being 0.
func (w weekdays) values() []int {
	return field{set: []uint64{uint64(w)}}.values()
}
