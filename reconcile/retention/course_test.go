package retention_test

import (
	"testing"
	"time"

	"github.com/felhom/tend/proxmox/prune"
	"github.com/felhom/tend/reconcile/retention"
)

func TestSimulate(t *testing.T) {
	p := nightly(t)
	p.MaxDeletions = 3
	from := at(t, 24, 12, 0)
	c := retention.Simulate(p, from, from.AddDate(1, 0, 0))
	if len(c.Lives) != 365 || c.Most != 8 || c.Refused != 0 || !c.Until.Equal(from.AddDate(1, 0, 0)) {
		t.Errorf("%d taken, %d at most, %d refused, until %s", len(c.Lives), c.Most, c.Refused, c.Until)
	}
	for i, l := range c.Lives {
		if i > 0 && !l.Taken.After(c.Lives[i-1].Taken) || l.Reason == "" || !l.Alive(l.Taken) || l.Alive(l.Taken.Add(-1)) {
			t.Fatalf("%d: %+v", i, l)
		}
	}
	end := 0
	for now := from.AddDate(0, 2, 0); now.Before(c.Until); now = now.AddDate(0, 0, 1) {
		n := 0
		for _, l := range c.Lives {
			if l.Alive(now) {
				n++
			}
		}
		if n != p.Keep.Most() {
			t.Fatalf("%d at %s", n, now)
		}
		end = n
	}
	if end == 0 {
		t.Error("nothing was counted")
	}
	if r := c.Lives[364].Reason; r != "keep-last 1 of 2: 2027-11-24 02:30:00" {
		t.Errorf("the last one: %s", r)
	}

	p.Schedule, p.Keep = event(t, "*:0/5"), prune.Keep{Last: 3}
	if c := retention.Simulate(p, from, from.AddDate(1, 0, 0)); len(c.Lives) != 36000 || !c.Until.Equal(from.Add(36000*5*time.Minute)) {
		t.Errorf("%d taken until %s", len(c.Lives), c.Until)
	}
	p.Schedule = event(t, "2025-1-1")
	if c := retention.Simulate(p, from, from.AddDate(1, 0, 0)); len(c.Lives) != 0 {
		t.Errorf("%+v", c)
	}
}
