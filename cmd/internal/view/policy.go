package view

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox/prune"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec/setting"
)

// A SnapshotPolicy is a policy in words, and what it makes of the time to come.
type SnapshotPolicy struct {
	Policy retention.Policy
	From   time.Time
	UsedBy []string          // containers: "120 media"
	Course *retention.Course // over the coming year; nil: not shown
}

// manySnapshots of a container make its configuration large: Proxmox keeps a copy with each, all in one file, which
// it writes anew and copies to all nodes with each change.
const manySnapshots = 60

// Text writes the policy for people.
func (v SnapshotPolicy) Text(w io.Writer, s Style) error {
	out := &printer{w: w}
	out.line("%s", s.paint(bold, "snapshot policy "+v.Policy.Name))
	for _, fact := range v.facts() {
		for i, line := range wrap(fact[1], s.width()-gap-10) {
			head := fact[0]
			if i > 0 {
				head = ""
			}
			out.line("  %-10s%s", head, line)
		}
	}
	schedule := Schedule{Event: v.Policy.Schedule, Times: v.Policy.Times, From: v.From, Count: 10}
	for _, warning := range v.warnings(schedule) {
		schedule.warn(out, s, warning)
	}
	switch {
	case !v.Policy.Scheduled():
	case v.Course == nil:
		schedule.list(out, s)
	default:
		v.year(out, s)
	}
	return out.err
}

// facts are the properties that are not what they are by themselves, with their names.
func (v SnapshotPolicy) facts() [][2]string {
	p := v.Policy
	out := [][2]string{}
	add := func(name, text string) { out = append(out, [2]string{name, text}) }
	if p.Scheduled() {
		add("taken", fmt.Sprintf("%s, in %s", p.Schedule.Describe(), p.Times.Location))
		if p.Spread > 0 {
			add("", "each container within "+setting.Duration().Text(p.Spread)+" after it, at a moment of its own")
		}
		add("kept", fmt.Sprintf("%s: at most %s of a container", keepText(p.Keep), count(p.Keep.Most(), "snapshot")))
		overdue := "an hour after the next one was due"
		if p.MaxAge > 0 {
			overdue = setting.Duration().Text(p.MaxAge) + " after the newest one was taken"
		}
		add("overdue", overdue)
	}
	if p.BeforeChange {
		add("changes", fmt.Sprintf("one before each change that restarts the container or is larger, for %s", setting.Duration().Text(p.ChangeAge)))
	}
	if p.Fallback != "" {
		add("fallback", "a backup on "+p.Fallback+" where a container cannot have snapshots")
	}
	limit := fmt.Sprintf("at most %d in a run", p.MaxDeletions)
	if p.MinAge > 0 {
		limit += ", none younger than " + setting.Duration().Text(p.MinAge)
	}
	add("dropped", limit)
	users := "no container"
	if len(v.UsedBy) > 0 {
		users = strings.Join(v.UsedBy, ", ")
	}
	add("used by", users)
	add("names", retention.Name{Prefix: p.Prefix, Policy: p.Name, At: v.From}.String())
	return out
}

func keepText(k prune.Keep) string {
	var parts []string
	for _, r := range prune.Rules() {
		if n := k.Count(r); n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", strings.TrimPrefix(r.String(), "keep-"), n))
		}
	}
	return strings.Join(parts, ", ")
}

func (v SnapshotPolicy) warnings(schedule Schedule) []string {
	var out []string
	if v.Policy.Scheduled() {
		out = schedule.warnings()
	}
	if n := v.Policy.Keep.Most(); n > manySnapshots {
		out = append(out, fmt.Sprintf("%d snapshots are many: each holds a copy of the configuration, all in one file that every change writes anew; about %d are enough for most", n, manySnapshots))
	}
	if c := v.Course; c != nil && c.Refused > 0 {
		out = append(out, fmt.Sprintf("%s would drop nothing, as more than half would go: it needs consent", count(c.Refused, "run")))
	}
	return out
}

const (
	rowLabel = 11 // "  2026-11  "
	rowTotal = 6  // the number at the end of a row
)

// year is the picture: a row for the end of each month, a column for some days, and in it how many of the snapshots
// of these days are there at that time.
func (v SnapshotPolicy) year(out *printer, s Style) {
	c := v.Course
	if len(c.Lives) == 0 {
		out.line("")
		out.line("  It takes none from %s to %s.", c.From.Format(minuteForm), c.Until.Format(minuteForm))
		return
	}
	g := newGrid(c, v.Policy.Times.Location, s.width()-rowLabel-rowTotal)
	out.line("")
	out.line("  %s", s.paint(bold, fmt.Sprintf("From %s to %s", c.From.Format(minuteForm), c.Until.Format(minuteForm))))
	for _, line := range wrap(fmt.Sprintf("%d are taken, %d are dropped again, and at most %d are there at once. A row is the end of a "+
		"month. A column is %s: how many of its snapshots are there at that time (+ is ten or more), or · where all of them were dropped.",
		len(c.Lives), len(c.Lives)-len(alive(c, c.Until)), c.Most, g.step()), s.width()-gap) {
		out.line("  %s", line)
	}
	out.line("")
	out.line("%s%s", strings.Repeat(" ", rowLabel), s.paint(dim, g.months()))
	for _, at := range g.rows() {
		cells, total := g.row(at)
		out.line("  %s  %s %*d", at.Add(-time.Second).Format("2006-01"), pad(cells, g.columns), rowTotal-2, total)
	}
	out.line("")
	out.line("  There on %s:", c.Until.Format(minuteForm))
	for _, l := range alive(c, c.Until) {
		out.line("    %s  %s", l.Taken.Format("2006-01-02 15:04"), l.Reason)
	}
}

// alive are the snapshots that are there at a time, the newest first.
func alive(c *retention.Course, at time.Time) []retention.Life {
	var out []retention.Life
	for i := len(c.Lives) - 1; i >= 0; i-- {
		if c.Lives[i].Alive(at) {
			out = append(out, c.Lives[i])
		}
	}
	return out
}

// A grid cuts a course into columns of some days.
type grid struct {
	course  *retention.Course
	first   time.Time // midnight before the course
	days    int       // of a column
	columns int
}

func newGrid(c *retention.Course, zone *time.Location, room int) grid {
	from := c.From.In(zone)
	g := grid{course: c, first: time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, zone)}
	all := g.day(c.Until) + 1
	for _, g.days = range []int{1, 2, 3, 4, 7, 14, 28} {
		if g.columns = (all + g.days - 1) / g.days; g.columns <= room {
			break
		}
	}
	return g
}

// day is how many days of the calendar a time is after the first one.
func (g grid) day(t time.Time) int {
	utc := func(t time.Time) time.Time {
		y, m, d := t.In(g.first.Location()).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	}
	return int(utc(t).Sub(utc(g.first)) / (24 * time.Hour))
}

func (g grid) step() string {
	switch g.days {
	case 1:
		return "a day"
	case 7:
		return "a week"
	}
	return count(g.days, "day")
}

// months is the line above the columns: where each month begins.
func (g grid) months() string {
	line := []byte(strings.Repeat(" ", g.columns+4))
	end := 0
	for m := time.Date(g.first.Year(), g.first.Month()+1, 1, 0, 0, 0, 0, g.first.Location()); g.day(m)/g.days < g.columns; m = m.AddDate(0, 1, 0) {
		if at := g.day(m) / g.days; at >= end && at+3 <= g.columns {
			copy(line[at:], m.Format("Jan"))
			end = at + 4
		}
	}
	return strings.TrimRight(string(line), " ")
}

// rows are the ends of the months, and of the course.
func (g grid) rows() []time.Time {
	var out []time.Time
	for m := time.Date(g.first.Year(), g.first.Month()+1, 1, 0, 0, 0, 0, g.first.Location()); m.Before(g.course.Until); m = m.AddDate(0, 1, 0) {
		out = append(out, m)
	}
	return append(out, g.course.Until)
}

// row is what is there at a time, and how many in all.
func (g grid) row(at time.Time) (cells string, total int) {
	taken, there := make([]int, g.columns), make([]int, g.columns)
	for _, l := range g.course.Lives {
		if l.Taken.After(at) {
			break
		}
		column := g.day(l.Taken) / g.days
		taken[column]++
		if l.Alive(at) {
			there[column]++
			total++
		}
	}
	var b strings.Builder
	for i := range taken {
		switch {
		case there[i] > 9:
			b.WriteByte('+')
		case there[i] > 0:
			b.WriteString(strconv.Itoa(there[i]))
		case taken[i] > 0:
			b.WriteString("·")
		default:
			b.WriteByte(' ')
		}
	}
	return strings.TrimRight(b.String(), " "), total
}
