// Package prune is Proxmox's retention: which backups, or snapshots, keep-last to keep-yearly keep and which
// they remove, and why.
//
// The answers are those of Proxmox (pve-storage Storage.pm, prune_mark_backup_group; pbs-datastore prune.rs,
// compute_prune_info). The rules are asked one after the other, from keep-last to keep-yearly, each from the newest
// entry to the oldest. A rule keeps the newest entry of each of its periods, until it has kept as many as its count
// says; periods in which an earlier rule kept something cost it nothing, and it keeps nothing there. Periods are those
// of the clock on the wall in a zone, weeks run from Monday to Sunday, and periods without an entry do not count: after
// a year's pause keep-daily=7 keeps entries that are a year old.
//
// The package is pure: it reads no clock, removes nothing, and knows neither backups nor snapshots.
package prune

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Rule is one option of a retention.
type Rule int

// The rules, in the order in which they are asked. Anything else is no rule.
const (
	None   Rule = iota
	Last        // of each second
	Hourly      // of each hour; where clocks are put back, the two hours of one name are one
	Daily
	Weekly
	Monthly
	Yearly
)

var ruleNames = [...]string{"", "keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly"}

// Rules are all rules in the order in which they are asked.
func Rules() []Rule { return []Rule{Last, Hourly, Daily, Weekly, Monthly, Yearly} }

// String is Proxmox's name of the option, "keep-daily"; that of None is empty.
func (r Rule) String() string {
	if r < None || r > Yearly {
		return fmt.Sprintf("Rule(%d)", int(r))
	}
	return ruleNames[r]
}

// Period names the period of the rule in which a time lies, in the zone of that time: "2026-11-21", of a week
// "2026-W47", of keep-last the time itself.
func (r Rule) Period(t time.Time) string {
	switch r {
	case Last:
		return t.Format("2006-01-02 15:04:05")
	case Hourly:
		return t.Format("2006-01-02 15h")
	case Daily:
		return t.Format("2006-01-02")
	case Weekly:
		year, week := t.ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	case Monthly:
		return t.Format("2006-01")
	case Yearly:
		return t.Format("2006")
	}
	return ""
}

// period is a number that all times of one period share. The time is what a clock on the wall shows, in UTC.
func (r Rule) period(wall time.Time) int64 {
	const hour, day = 3600, 24 * 3600
	switch r {
	case Hourly:
		return floor(wall.Unix(), hour)
	case Daily:
		return floor(wall.Unix(), day)
	case Weekly:
		return floor(wall.Unix()+3*day, 7*day) // 1 January 1970 was a Thursday
	case Monthly:
		year, month, _ := wall.Date()
		return int64(year)*12 + int64(month)
	case Yearly:
		return int64(wall.Year())
	}
	return wall.Unix()
}

// floor divides and rounds down.
func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Keep is how many periods each rule keeps one entry of. A count of 0 or less is no rule.
type Keep struct {
	Last, Hourly, Daily, Weekly, Monthly, Yearly int
	All                                          bool // keep-all: whatever the counts
}

// Count is the count of a rule.
func (k Keep) Count(r Rule) int {
	if p := k.field(r); p != nil {
		return *p
	}
	return 0
}

// Set sets the count of a rule; of None it does nothing.
func (k *Keep) Set(r Rule, n int) {
	if p := k.field(r); p != nil {
		*p = n
	}
}

func (k *Keep) field(r Rule) *int {
	switch r {
	case Last:
		return &k.Last
	case Hourly:
		return &k.Hourly
	case Daily:
		return &k.Daily
	case Weekly:
		return &k.Weekly
	case Monthly:
		return &k.Monthly
	case Yearly:
		return &k.Yearly
	case None:
	}
	return nil
}

// Limited reports whether anything is ever removed: at least one count is above 0, and not all is kept.
func (k Keep) Limited() bool { return !k.All && k.Most() > 0 }

// Most is how many entries there are at most after a removal, protected ones left out; 0 where there is no limit.
func (k Keep) Most() int {
	n := 0
	if k.All {
		return n
	}
	for _, r := range Rules() {
		n += max(0, k.Count(r))
	}
	return n
}

// String is the retention as Proxmox writes it, "keep-last=2,keep-daily=7"; "keep-all=1" where nothing is removed.
func (k Keep) String() string {
	if !k.Limited() {
		return "keep-all=1"
	}
	var parts []string
	for _, r := range Rules() {
		if n := k.Count(r); n > 0 {
			parts = append(parts, fmt.Sprintf("%s=%d", r, n))
		}
	}
	return strings.Join(parts, ",")
}

// An Entry is a backup or a snapshot.
type Entry struct {
	Time      time.Time // in whole seconds; what is below is not looked at
	Protected bool      // never removed, never counted, and stands for no period
}

// A Fate is what becomes of an entry.
type Fate int

// The fates.
const (
	Removed Fate = iota
	Kept
	Protected
)

// String is Proxmox's word for it: "remove", "keep" or "protected".
func (f Fate) String() string { return [...]string{"remove", "keep", "protected"}[f] }

// A Mark is what becomes of an entry and why.
type Mark struct {
	Fate Fate
	// Rule is the one that decided it; None for what is protected, and where nothing is ever removed.
	Rule Rule
	// N says of a kept entry the how many-th it is that the rule keeps, from 1 for the newest.
	N int
	// By says of a removed entry which other one, by its index, is kept for its period of the rule; it is -1 where
	// the rule had kept as many as it may in younger periods.
	By int
}

// Select says what becomes of each entry, in the order in which they are given. They form one group: with Proxmox, the
// backups of one guest on one storage. A zone of nil is UTC. What is kept stays kept when the rest is removed and
// Select is asked again, but for hours that a clock put back by more than one hour shows twice.
func Select(entries []Entry, k Keep, zone *time.Location) []Mark {
	marks := make([]Mark, len(entries))
	if !k.Limited() {
		for i, e := range entries {
			marks[i] = Mark{Fate: Kept, By: -1}
			if e.Protected {
				marks[i].Fate = Protected
			}
		}
		return marks
	}
	s := newSelection(entries, marks, zone)
	for _, r := range Rules() {
		if n := k.Count(r); n > 0 {
			s.apply(r, n)
		}
	}
	return marks
}

// A selection is a run of Select.
type selection struct {
	items   []item // newest first, without the protected ones
	marks   []Mark
	periods []covered // of the rule that is asked: first what earlier rules kept, then what it opens itself
}

type item struct {
	index   int
	at      int64
	wall    time.Time
	decided bool
}

// covered is a period with the entry that is kept for it.
type covered struct {
	period int64
	by     int
}

func newSelection(entries []Entry, marks []Mark, zone *time.Location) *selection {
	if zone == nil {
		zone = time.UTC
	}
	s := &selection{items: make([]item, 0, len(entries)), marks: marks, periods: make([]covered, 0, len(entries))}
	for i, e := range entries {
		marks[i].By = -1
		if e.Protected {
			marks[i].Fate = Protected
			continue
		}
		at := e.Time.Unix()
		_, offset := e.Time.In(zone).Zone()
		s.items = append(s.items, item{index: i, at: at, wall: time.Unix(at+int64(offset), 0).UTC()})
	}
	slices.SortStableFunc(s.items, func(a, b item) int { return int(max(-1, min(1, b.at-a.at))) })
	return s
}

// apply lets one rule keep one entry of each of n periods.
func (s *selection) apply(r Rule, n int) {
	s.periods = s.periods[:0]
	for i := range s.items {
		if it := &s.items[i]; s.marks[it.index].Fate == Kept {
			s.periods = append(s.periods, covered{r.period(it.wall), it.index})
		}
	}
	earlier := len(s.periods)
	for i := range s.items {
		it := &s.items[i]
		if it.decided {
			continue
		}
		p := r.period(it.wall)
		mark := &s.marks[it.index]
		switch at := s.find(p); {
		case at >= earlier:
			it.decided = true
			*mark = Mark{Fate: Removed, Rule: r, By: s.periods[at].by}
		case at >= 0:
			if mark.By < 0 { // the shortest period says most
				mark.Rule, mark.By = r, s.periods[at].by
			}
		case len(s.periods)-earlier == n:
			s.leave(s.items[i:], r)
			return
		default:
			it.decided = true
			s.periods = append(s.periods, covered{p, it.index})
			*mark = Mark{Fate: Kept, Rule: r, N: len(s.periods) - earlier, By: -1}
		}
	}
}

// find returns the place of a period, or -1. The latest are the likeliest.
func (s *selection) find(period int64) int {
	for i := len(s.periods) - 1; i >= 0; i-- {
		if s.periods[i].period == period {
			return i
		}
	}
	return -1
}

// leave notes which rule had kept enough before it came to some entries.
func (s *selection) leave(rest []item, r Rule) {
	for _, it := range rest {
		if mark := &s.marks[it.index]; !it.decided && mark.By < 0 {
			mark.Rule = r
		}
	}
}
