package retention_test

import (
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/prune"
	"github.com/felhom/tend/reconcile/retention"
)

// TestAhead foretells what the course of a policy then does.
func TestAhead(t *testing.T) {
	p := nightly(t)
	p.Keep = prune.Keep{Last: 2, Daily: 3}
	var have []proxmox.Snapshot
	if _, ok := p.Ahead(nil, at(t, 1, 0, 0), time.Time{}); ok {
		t.Error("something is dropped of nothing")
	}
	checked := 0
	for day := 1; day <= 20; day++ {
		now := at(t, day, 2, 30)
		have = append(have, taken(p, now, retention.Scheduled))
		drops := retention.Decide(have, p, retention.Moment{Now: now}).Drops()
		next := at(t, day+1, 2, 30)
		said, ok := p.Ahead(have, now, next)
		if !ok {
			t.Errorf("day %d: says %+v, %t", day, said, ok)
		}
		if len(drops) > 0 {
			if said.Name != drops[0].Name || !said.At.Equal(now) {
				t.Errorf("day %d: says %+v, and %s goes", day, said, drops[0].Name)
			}
			have = have[1:]
			checked++
		} else if ok && (said.Name != have[0].Name || said.At.Before(next) || said.Reason == "") {
			t.Errorf("day %d: says %+v of %d", day, said, len(have))
		}
	}
	if checked < 10 {
		t.Errorf("only %d were dropped", checked)
	}
}
