package retention_test

import (
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/reconcile/retention"
)

func TestDue(t *testing.T) {
	day := func(d, h, m int) time.Time { return at(t, d, h, m) }
	never := time.Time{}
	for _, tt := range []struct {
		name      string
		change    func(p *retention.Policy)
		last, now time.Time
		want      time.Time
		missed    int
		due, ok   bool
	}{
		{name: "the next one", last: day(21, 2, 30), now: day(21, 3, 0), want: day(22, 2, 30), ok: true},
		{name: "it is time", last: day(21, 2, 30), now: day(22, 2, 30), want: day(22, 2, 30), due: true, ok: true},
		{name: "taken by hand in between", last: day(21, 17, 0), now: day(22, 2, 30), want: day(22, 2, 30), due: true, ok: true},
		{name: "first sight", last: never, now: day(21, 3, 0), want: day(22, 2, 30), ok: true},
		{name: "first sight, at once", last: never, now: day(21, 3, 0), change: func(p *retention.Policy) { p.AtOnce = true }, want: day(21, 3, 0), due: true, ok: true},
		{name: "seen before, at once or not", last: day(20, 12, 0), now: day(20, 13, 0), change: func(p *retention.Policy) { p.AtOnce = true }, want: day(21, 2, 30), ok: true},
		{name: "one catch-up", last: day(10, 2, 30), now: day(21, 3, 0), want: day(11, 2, 30), missed: 10, due: true, ok: true},
		{name: "after the catch-up", last: day(21, 3, 0), now: day(21, 3, 1), want: day(22, 2, 30), ok: true},
		{name: "no catch-up", last: day(10, 2, 30), now: day(21, 3, 0), change: func(p *retention.Policy) { p.CatchUp = false }, want: day(22, 2, 30), missed: 11, ok: true},
		{name: "no catch-up, and one is due", last: day(10, 2, 30), now: day(21, 2, 40), change: func(p *retention.Policy) { p.CatchUp = false }, want: day(21, 2, 30), missed: 10, due: true, ok: true},
		{name: "a little late is no catch-up", last: day(20, 2, 30), now: day(21, 2, 45), change: func(p *retention.Policy) { p.CatchUp = false }, want: day(21, 2, 30), due: true, ok: true},
		{name: "more is", last: day(20, 2, 30), now: day(21, 2, 46), change: func(p *retention.Policy) { p.CatchUp = false }, want: day(22, 2, 30), missed: 1, ok: true},
		{name: "a last one of the future", last: day(30, 2, 30), now: day(21, 3, 0), want: day(22, 2, 30), ok: true},
		{name: "clocks differ a little", last: day(21, 2, 34), now: day(21, 2, 30), want: day(22, 2, 30), ok: true},
		{name: "no schedule", last: day(1, 0, 0), now: day(21, 3, 0), change: func(p *retention.Policy) { p.Schedule = calendar.Event{} }},
		{name: "unused", last: day(1, 0, 0), now: day(21, 3, 0), change: func(p *retention.Policy) { p.Unused = true }},
		{name: "no more", last: day(1, 0, 0), now: day(21, 3, 0), change: func(p *retention.Policy) { p.Schedule = event(t, "2025-1-1") }},
		{name: "many missed", last: day(1, 0, 0), now: day(21, 3, 0), change: func(p *retention.Policy) { p.Schedule = event(t, "minutely") }, want: day(1, 0, 1), missed: 1000, due: true, ok: true},
	} {
		p := nightly(t)
		if tt.change != nil {
			tt.change(&p)
		}
		got, ok := p.Due("120", tt.last, tt.now)
		if ok != tt.ok || !got.At.Equal(tt.want) || got.Missed != tt.missed || ok && got.Now(tt.now) != tt.due {
			t.Errorf("%s: %s, %d missed, %t", tt.name, got.At, got.Missed, ok)
		}
	}
}

// TestSpread gives each container its own moment, the same every night, and no two runs a night.
func TestSpread(t *testing.T) {
	p := nightly(t)
	p.Spread = 20 * time.Minute
	moments := map[time.Duration]int{}
	for id := range 200 {
		name := time.Duration(100 + id).String()
		last := at(t, 1, 2, 30).Add(-time.Hour)
		var offset time.Duration
		for night := 1; night < 5; night++ {
			due, ok := p.Due(name, last, last.Add(time.Minute))
			o := due.At.Sub(at(t, night, 2, 30))
			if !ok || o < 0 || o >= p.Spread || night > 1 && o != offset {
				t.Fatalf("container %s in night %d: %s", name, night, due.At)
			}
			offset, last = o, due.At
		}
		moments[offset.Truncate(time.Minute)]++
	}
	if len(moments) < 18 {
		t.Errorf("200 containers in 20 minutes are in %d of them: %v", len(moments), moments)
	}
	other := p
	sp := *p.SnapshotPolicy
	sp.Name = "weekly"
	other.SnapshotPolicy = &sp
	a, _ := p.Due("120", at(t, 1, 0, 0), at(t, 1, 0, 0))
	if b, _ := other.Due("120", at(t, 1, 0, 0), at(t, 1, 0, 0)); a.At.Equal(b.At) {
		t.Error("two policies have one moment")
	}
}

// TestClockChange runs a policy through the nights in which the clocks change, minute by minute.
func TestClockChange(t *testing.T) {
	p := nightly(t)
	for _, tt := range []struct {
		from time.Time
		want []string
	}{
		{time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC), []string{"03-28 02:30", "03-29 03:00", "03-30 02:30"}},
		{time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC), []string{"10-24 02:30", "10-25 02:30", "10-26 02:30"}},
	} {
		last := tt.from.Add(-time.Hour)
		var got []string
		for now := tt.from; now.Before(tt.from.Add(72 * time.Hour)); now = now.Add(time.Minute) {
			if due, ok := p.Due("120", last, now); ok && due.Now(now) {
				got, last = append(got, due.At.In(p.Times.Location).Format("01-02 15:04")), now
			}
		}
		if len(got) != len(tt.want) || got[0] != tt.want[0] || got[1] != tt.want[1] || got[2] != tt.want[2] {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestLast(t *testing.T) {
	p := nightly(t)
	slow := taken(p, at(t, 20, 2, 30), retention.Scheduled)
	slow.Time = slow.Time.Add(-3 * time.Second) // the node's clock is slow; it must not be due again
	broken := taken(p, at(t, 21, 2, 30), retention.Scheduled)
	broken.State = "prepare"
	have := []proxmox.Snapshot{
		taken(p, at(t, 19, 2, 30), retention.ByHand), slow, broken, taken(p, at(t, 21, 9, 0), retention.BeforeChange),
		{Name: "by-hand", Time: at(t, 22, 0, 0)},
	}
	if got := p.Last(have); !got.Equal(at(t, 20, 2, 30)) {
		t.Errorf("last is %s", got)
	}
	if got := p.Last(nil); !got.IsZero() {
		t.Errorf("last of none is %s", got)
	}
	if due, _ := p.Due("120", p.Last(have[:2]), at(t, 20, 2, 31)); !due.At.Equal(at(t, 21, 2, 30)) {
		t.Errorf("due at %s", due.At)
	}
}
