package calendar_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox/calendar"
)

// Zones with every kind of change: of an hour, of half an hour and of two, at midnight, of a whole day, of the
// standard time.
var zones = []string{
	"UTC", "Europe/Vienna", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Havana",
	"America/Sao_Paulo", "America/Nuuk", "America/Caracas", "Africa/Cairo", "Africa/Casablanca", "Asia/Kolkata",
	"Asia/Beirut", "Asia/Pyongyang", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Auckland",
	"Pacific/Apia", "Pacific/Kwajalein", "Antarctica/Troll",
}

// changes lists the changes of the offset in a zone in 1973 to 2045, at most one of each four so that
// tests stay short.
func changes(loc *time.Location, rng *rand.Rand) []time.Time {
	var out []time.Time
	start := time.Unix(1e8, 0).Truncate(time.Hour).In(loc)
	_, last := start.Zone()
	const step, most = 15 * time.Minute, 6 * time.Hour
	for at := start; at.Year() < 2045; at = at.Add(step) {
		if _, offset := at.Add(most - step).Zone(); offset == last {
			at = at.Add(most - step) // no change on the way there: none is undone within hours
		} else if _, offset := at.Zone(); offset != last {
			last = offset
			if rng.IntN(4) == 0 {
				out = append(out, at)
			}
		}
	}
	return out
}

// A model is an event as sets of values; nil is every value.
type model struct {
	weekdays, hours, minutes []int
}

// Minutes and hours are listed one by one, so that no step overruns its field.
func randomModel(rng *rand.Rand) model {
	var m model
	subset := func(n, most int) []int {
		all := rng.Perm(n)[:1+rng.IntN(most)]
		slices.Sort(all)
		return all
	}
	if rng.IntN(3) == 0 {
		m.weekdays = subset(7, 4)
	}
	switch rng.IntN(4) {
	case 0:
	case 1:
		m.hours = []int{rng.IntN(5)}
	default:
		m.hours = subset(24, 12)
	}
	if rng.IntN(8) != 0 {
		m.minutes = subset(60, 5)
	}
	return m
}

func (m model) String() string {
	text := ""
	if m.weekdays != nil {
		var names []string
		for _, d := range m.weekdays {
			names = append(names, strings.ToLower(time.Weekday(d).String()))
		}
		text = strings.Join(names, ",") + " "
	}
	return text + list(m.hours) + ":" + list(m.minutes)
}

func list(values []int) string {
	if values == nil {
		return "*"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(values), " ", ","), "[]")
}

func (m model) matches(local time.Time) bool {
	in := func(values []int, v int) bool { return values == nil || slices.Contains(values, v) }
	return in(m.weekdays, int(local.Weekday())) && in(m.hours, local.Hour()) && in(m.minutes, local.Minute())
}

// runs finds the runs of a model by looking at every minute of a time that passes, as a clock on the wall does.
func (m model) runs(from, until time.Time, dst calendar.DST) []time.Time {
	named := m.hours != nil && len(m.hours) < 24
	seen := map[int64]bool{} // what the clock on the wall has shown, in seconds
	var out []time.Time
	var last time.Time
	// Two days earlier, to have seen what is about to be repeated.
	for at := from.Add(-48 * time.Hour); at.Before(until); at = at.Add(time.Minute) {
		local := wall(at)
		due := m.matches(local) && !(named && seen[local.Unix()])
		for gap := last.Add(time.Minute); !last.IsZero() && gap.Before(local); gap = gap.Add(time.Minute) {
			due = due || named && dst == calendar.Shift && m.matches(gap)
		}
		if due && at.After(from) {
			out = append(out, at)
		}
		seen[local.Unix()], last = true, local
	}
	return out
}

// wall is what the clock on the wall shows, as if it were UTC.
func wall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

func TestRunsAroundChanges(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	cases, compared, least, few := 0, 0, 500, 1
	if testing.Short() {
		least, few = 50, 8
	}
	for _, name := range zones {
		for i, change := range changes(zone(t, name), rng) {
			if i%few != 0 {
				continue
			}
			m := randomModel(rng)
			e := parse(t, m.String())
			from, until := change.Add(-30*time.Hour), change.Add(30*time.Hour)
			for _, dst := range []calendar.DST{calendar.Shift, calendar.Upstream} {
				// Upstream misses runs after a gap that does not begin with an hour.
				if dst == calendar.Upstream && change.Add(-time.Minute).Minute() != 59 {
					continue
				}
				want := m.runs(from, until, dst)
				var got []time.Time
				for at := range e.Times(from, calendar.Options{Location: change.Location(), DST: dst}) {
					if !at.Before(until) {
						break
					}
					got = append(got, at)
				}
				if !slices.EqualFunc(got, want, time.Time.Equal) {
					t.Fatalf("%q around %s, %s:\n got %s\nwant %s", m, change, dst, got, want)
				}
				cases++
				compared += len(want)
			}
		}
	}
	if cases < least {
		t.Errorf("only %d cases", cases)
	}
	t.Logf("%d runs agree in %d cases", compared, cases)
}

// randomText writes an event with steps, ranges and dates, of which most are valid.
func randomText(rng *rand.Rand) string {
	number := func(limit int) string { return fmt.Sprint(rng.IntN(limit)) }
	item := func(limit int) string {
		s := number(limit)
		if rng.IntN(3) == 0 {
			s += ".." + number(limit)
		}
		if rng.IntN(3) == 0 {
			s += "/" + number(limit)
		}
		return s
	}
	values := func(limit int) string {
		switch rng.IntN(5) {
		case 0:
			return "*"
		case 1:
			return "*/" + number(limit)
		case 2:
			return item(limit) + "," + item(limit)
		}
		return item(limit)
	}
	var parts []string
	if rng.IntN(3) == 0 {
		parts = append(parts, []string{"mon", "tue..thu", "sat,sun", "fri..mon", "wed"}[rng.IntN(5)])
	}
	switch rng.IntN(4) {
	case 0:
		parts = append(parts, values(13)+"-"+values(32))
	case 1:
		parts = append(parts, values(2200)+"-"+values(13)+"-"+values(32))
	}
	switch rng.IntN(4) {
	case 0:
		parts = append(parts, values(60))
	case 1:
		parts = append(parts, values(24)+":"+values(60)+":"+values(60))
	default:
		parts = append(parts, values(24)+":"+values(60))
	}
	if rng.IntN(9) == 0 {
		parts = append(parts, "UTC")
	}
	return strings.Join(parts, " ")
}

// check tests what holds for every event at any time, and reports whether it fires.
func check(t *testing.T, e calendar.Event, after time.Time, o calendar.Options) bool {
	t.Helper()
	next, ok := e.Next(after, o)
	if !ok {
		return false
	}
	about := func() string { return fmt.Sprintf("%q after %s in %v, %s", e, after, o.Location, o.DST) }
	if !next.After(after) {
		t.Fatalf("%s: %s is not later", about(), next)
	}
	if next.Nanosecond() != 0 {
		t.Fatalf("%s: %s is no whole second", about(), next)
	}
	if again, _ := e.Next(next.Add(-time.Nanosecond), o); !again.Equal(next) {
		t.Fatalf("%s: %s, but just before that %s", about(), next, again)
	}
	if later, ok := e.Next(next, o); ok && !later.After(next) {
		t.Fatalf("%s: %s and then %s", about(), next, later)
	}
	return true
}

func TestProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	parsed, fired, texts := 0, 0, 30_000
	if testing.Short() {
		texts = 3_000
	}
	for range texts {
		e, err := calendar.Parse(randomText(rng))
		if err != nil {
			continue
		}
		parsed++
		again := parse(t, e.String())
		if again.String() != e.String() {
			t.Fatalf("%q is written %q when read again", e, again)
		}
		after := time.Unix(rng.Int64N(5e9)-5e8, rng.Int64N(1e9))
		loc := zone(t, zones[rng.IntN(len(zones))])
		shift, upstream := calendar.Options{Location: loc}, calendar.Options{Location: loc, DST: calendar.Upstream}
		if check(t, e, after, shift) {
			fired++
		}
		check(t, e, after, upstream)
		a, _ := e.Next(after, shift)
		if b, _ := again.Next(after, shift); !a.Equal(b) {
			t.Fatalf("%q after %s: %s, read again %s", e, after, a, b)
		}
		if b, ok := e.Next(after, upstream); ok && (a.IsZero() || a.After(b)) {
			t.Fatalf("%q after %s in %s: shift %s, upstream %s", e, after, loc, a, b)
		}
	}
	t.Logf("%d of %d texts are events, %d of them fire", parsed, texts, fired)
	if fired < texts/3 {
		t.Errorf("only %d events fire", fired)
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Spec)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := calendar.Parse(text)
		if err != nil {
			bad, ok := err.(*calendar.SyntaxError)
			if !ok || bad.Offset < 0 || bad.Offset > len(text) || bad.Reason == "" || bad.Text != text || bad.Error() == "" {
				t.Fatalf("%q: bad error %#v", text, err)
			}
			return
		}
		again, err := calendar.Parse(e.String())
		if err != nil {
			t.Fatalf("%q is written %q: %v", text, e, err)
		}
		if again.String() != e.String() || again.Describe() != e.Describe() {
			t.Fatalf("%q: %q %q, then %q %q", text, e, e.Describe(), again, again.Describe())
		}
		e.Warnings()
	})
}

func FuzzNext(f *testing.F) {
	for i, v := range vectors(f) {
		if v.From != nil {
			f.Add(v.Spec, *v.From, uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, text string, after int64, where uint8) {
		e, err := calendar.Parse(text)
		if err != nil {
			return
		}
		o := calendar.Options{Location: zone(t, zones[int(where)%len(zones)]), DST: calendar.DST(where & 1)}
		at := time.Unix(after, 0)
		var took time.Duration
		for range 3 { // a machine that does other things may be slow once, an event that is slow is so each time
			start := time.Now()
			check(t, e, at, o)
			parse(t, e.String()).NextShift(at, o.Location)
			if took = time.Since(start); took <= time.Second || len(text) > calendar.MaxLength {
				return
			}
		}
		t.Fatalf("%q after %d: took %s", text, after, took)
	})
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		parse(b, "mon..fri 8..17,22:0/15")
	}
}

func BenchmarkNext(b *testing.B) {
	after := time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC)
	for _, text := range []string{"*:0/15", "mon..fri 2:30", "02-29", "2199-1-1", "04-31"} {
		e, o := parse(b, text), calendar.Options{Location: zone(b, "Europe/Vienna")}
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				e.Next(after, o)
			}
		})
	}
}
