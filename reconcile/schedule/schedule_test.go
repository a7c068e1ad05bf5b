package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/reconcile/schedule"
)

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// sure are options whose chance is always the same.
func sure(o schedule.Options, chance float64) schedule.Options {
	o.Random = func() float64 { return chance }
	return o
}

func event(t *testing.T, name, when string, last time.Time) schedule.Event {
	t.Helper()
	e, err := calendar.Parse(when)
	if err != nil {
		t.Fatal(err)
	}
	return schedule.Event{Name: name, When: e, Last: last}
}

// A call is one thing that happens to a schedule.
type call struct {
	at      time.Duration
	trigger schedule.Trigger
}

// play lets runs take a second, and writes down when each begins and why. Those that fails names do.
func play(o schedule.Options, until time.Duration, calls []call, fails func(n int) schedule.Result) []string {
	s := schedule.New(o, epoch)
	var out []string
	now, end := epoch, time.Time{}
	for {
		next, ok := s.Next(now)
		if !end.IsZero() {
			next, ok = end, true
		}
		if len(calls) > 0 && (!ok || !epoch.Add(calls[0].at).After(next)) {
			next, ok = epoch.Add(calls[0].at), true
			if next.Before(now) {
				next = now
			}
			if now = next; now.After(epoch.Add(until)) {
				return out
			}
			s.Call(calls[0].trigger, now)
			calls = calls[1:]
			continue
		}
		if !ok || next.After(epoch.Add(until)) {
			return out
		}
		if next.After(now) {
			now = next
		}
		if !end.IsZero() {
			s.End(now, fails(len(out)))
			end = time.Time{}
			continue
		}
		var why []string
		for _, c := range s.Begin(now) {
			why = append(why, strings.TrimSpace(c.Trigger.String()+" "+c.Event))
		}
		out = append(out, fmt.Sprintf("%s %s", now.Sub(epoch), strings.Join(why, ", ")))
		end = now.Add(time.Second)
	}
}

func good(int) schedule.Result { return schedule.Result{} }
func bad(int) schedule.Result  { return schedule.Result{Failed: true} }

func TestSchedule(t *testing.T) {
	const ms = time.Millisecond
	asks := func(n int) schedule.Result {
		if n == 1 {
			return schedule.Result{Next: epoch.Add(time.Hour)}
		}
		return schedule.Result{}
	}
	twice := func(n int) schedule.Result { return schedule.Result{Failed: n <= 2} }
	tests := []struct {
		name  string
		o     schedule.Options
		until time.Duration
		calls []call
		ends  func(int) schedule.Result
		want  []string
	}{
		{"nothing", schedule.Options{}, 24 * time.Hour, nil, good, []string{"0s start"}},
		{"interval", schedule.Options{Interval: time.Minute}, 3 * time.Minute, nil, good, []string{"0s start", "1m1s interval", "2m2s interval"}},
		{"a change", schedule.Options{}, time.Hour, []call{{10 * time.Second, schedule.Changed}}, good, []string{"0s start", "10.2s changed"}},
		{
			"a burst is one run",
			schedule.Options{},
			time.Hour,
			[]call{{10000 * ms, schedule.Changed}, {10100 * ms, schedule.Webhook}, {10250 * ms, schedule.Changed}},
			good,
			[]string{"0s start", "10.45s changed, webhook"},
		},
		{
			"a burst without end is not waited out",
			schedule.Options{Quiet: time.Second},
			time.Hour,
			[]call{{10 * time.Second, schedule.Changed}, {10900 * ms, schedule.Changed}, {11800 * ms, schedule.Changed}, {12900 * ms, schedule.Changed}},
			good,
			[]string{"0s start", "12s changed", "14s changed"},
		},
		{
			"what comes during a run is for the next, with a gap",
			schedule.Options{},
			time.Hour,
			[]call{{100 * ms, schedule.Changed}, {500 * ms, schedule.Webhook}},
			good,
			[]string{"0s start", "2s changed, webhook"},
		},
		{"a person does not wait", schedule.Options{}, time.Hour, []call{{100 * ms, schedule.Manual}}, good, []string{"0s start", "1s manual"}},
		{"nor a signal", schedule.Options{}, time.Hour, []call{{1100 * ms, schedule.Signal}}, good, []string{"0s start", "1.1s signal"}},
		{
			"and takes along what waits",
			schedule.Options{},
			time.Hour,
			[]call{{10000 * ms, schedule.Changed}, {10050 * ms, schedule.Manual}},
			good,
			[]string{"0s start", "10.05s changed, manual"},
		},
		{"events", schedule.Options{Events: []schedule.Event{event(t, "snap", "*:0/30", time.Time{}), event(t, "prune", "13:00", time.Time{})}}, 61 * time.Minute, nil, good, []string{"0s start", "30m0s due snap", "1h0m0s due snap, due prune"}},
		{
			"what was missed is made up for once",
			schedule.Options{Events: []schedule.Event{event(t, "snap", "*:0/30", epoch.Add(-5*time.Hour))}},
			31 * time.Minute, nil, good,
			[]string{"0s start, due snap", "30m0s due snap"},
		},
		{
			"a time ahead does not silence",
			schedule.Options{Events: []schedule.Event{event(t, "snap", "*:0/30", epoch.AddDate(70, 0, 0))}},
			31 * time.Minute, nil, good,
			[]string{"0s start", "30m0s due snap"},
		},
		{"asked for", schedule.Options{}, 24 * time.Hour, nil, asks, []string{"0s start", "1h0m0s asked"}},
		{"failures", schedule.Options{Interval: time.Second}, 2 * time.Minute, nil, bad, []string{"0s start", "3.5s retry", "9.5s retry", "20.5s retry", "41.5s retry", "1m22.5s retry"}},
		{"and success", schedule.Options{Interval: time.Minute}, 2 * time.Minute, nil, twice, []string{"0s start", "3.5s retry", "9.5s retry", "1m10.5s interval"}},
		{
			"a change cuts the wait short, less and less",
			schedule.Options{},
			time.Minute,
			[]call{{2 * time.Second, schedule.Changed}, {4100 * ms, schedule.Changed}, {9 * time.Second, schedule.Changed}},
			bad,
			[]string{"0s start", "3s changed", "8s changed", "17s changed", "38s retry"},
		},
		{
			"an event waits for the next try, and is tried again",
			schedule.Options{Events: []schedule.Event{event(t, "x", "12:00:02", time.Time{})}},
			20 * time.Second, nil,
			bad,
			[]string{"0s start", "3.5s due x, retry", "9.5s due x, retry"},
		},
		{
			"which is named once, however often it was due",
			schedule.Options{Events: []schedule.Event{event(t, "x", "*:*", time.Time{})}},
			5 * time.Minute,
			[]call{{55 * time.Second, schedule.Manual}},
			func(n int) schedule.Result { return schedule.Result{Failed: n > 1} },
			[]string{"0s start", "55s manual", "58.5s retry", "1m4.5s due x, retry", "1m15.5s due x, retry", "1m36.5s due x, retry", "2m17.5s due x, retry", "3m38.5s due x, retry"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, play(sure(tt.o, 0.5), tt.until, tt.calls, tt.ends)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNeverBusy shows that a broken node with a source that never rests is tried no more than a little more than once a
// minute, whatever chance says.
func TestNeverBusy(t *testing.T) {
	var calls []call
	for at := time.Duration(0); at < 6*time.Hour; at += 1300 * time.Millisecond {
		calls = append(calls, call{at, schedule.Changed})
	}
	for _, chance := range []float64{0, 0.5, 0.999} {
		o := sure(schedule.Options{Interval: time.Second, Events: []schedule.Event{event(t, "x", "*:*:*", time.Time{})}}, chance)
		if runs := play(o, 6*time.Hour, calls, bad); len(runs) > 6*60+10 || len(runs) < 6*50 {
			t.Errorf("with chance %g it was tried %d times in six hours", chance, len(runs))
		}
	}
	// Without changes it is tried every ten minutes at most, and on the average twice as often.
	if runs := play(schedule.Options{Interval: time.Second}, 100*time.Hour, nil, bad); len(runs) < 1000 || len(runs) > 1500 {
		t.Errorf("it was tried %d times in a hundred hours", len(runs))
	}
}

// TestProperties plays random calls and results: runs never come closer than the gap, unless a person or the start calls
// for them; each has a reason; and each call is answered by a run that begins after it, in time.
func TestProperties(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		o := schedule.Options{Random: r.Float64, Interval: time.Duration(r.IntN(3)) * time.Minute}
		if r.IntN(2) == 0 {
			o.Events = []schedule.Event{event(t, "x", "*:0/7", time.Time{})}
		}
		s := schedule.New(o, epoch)
		now, ended, running := epoch, time.Time{}, false
		waiting := map[schedule.Trigger]time.Time{schedule.Start: now}
		for range 300 {
			now = now.Add(time.Duration(r.ExpFloat64() * float64(2*time.Second)))
			if r.IntN(3) == 0 {
				c := []schedule.Trigger{schedule.Changed, schedule.Webhook, schedule.Signal, schedule.Manual}[r.IntN(4)]
				s.Call(c, now)
				if _, ok := waiting[c]; !ok {
					waiting[c] = now
				}
			}
			if running {
				s.End(now, schedule.Result{Failed: r.IntN(2) == 0})
				running, ended = false, now
			}
			at, ok := s.Next(now)
			if len(waiting) > 0 && (!ok || at.After(now.Add(time.Minute+2*time.Second))) {
				t.Fatalf("seed %d: %v is called for, and the next run is at %s", seed, waiting, at)
			}
			if !ok || at.After(now) && r.IntN(2) == 0 {
				continue
			}
			if at.After(now) {
				now = at
			}
			causes := s.Begin(now)
			urgent := false
			for _, c := range causes {
				urgent = urgent || c.Trigger == schedule.Manual || c.Trigger == schedule.Signal || c.Trigger == schedule.Start
				delete(waiting, c.Trigger)
			}
			if len(causes) == 0 || len(waiting) > 0 {
				t.Fatalf("seed %d: a run for %v leaves %v", seed, causes, waiting)
			}
			if !ended.IsZero() && !urgent && now.Sub(ended) < time.Second {
				t.Fatalf("seed %d: a run for %v %s after the last", seed, causes, now.Sub(ended))
			}
			running = true
			if _, ok := s.Next(now); ok {
				t.Fatalf("seed %d: a run is due while one is under way", seed)
			}
		}
	}
}

func TestTriggerNames(t *testing.T) {
	seen := map[string]bool{}
	for c := schedule.Start; c <= schedule.Manual; c++ {
		seen[c.String()] = true
	}
	if len(seen) != 9 || seen["unknown"] || schedule.Trigger(99).String() != "unknown" {
		t.Errorf("%v", seen)
	}
}
