package doctor

import (
	"context"
	"encoding/json"
	"time"

	"github.com/felhom/tend/proxmox"
)

// maxSkew is how far clocks may be apart. Beyond it, times of tasks and snapshots mislead.
const maxSkew = 5 * time.Second

func (d *Doctor) clock(ctx context.Context, node string) {
	r := proxmox.Request{Method: "GET", Path: "/nodes/" + node + "/time"}
	before := d.Now()
	raw, err := d.Transport.Do(ctx, r)
	after := d.Now()
	var t struct {
		Time int64 `json:"time"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &t)
	}
	if err != nil {
		d.add(Warning, "clock of "+node, hint(err), "cannot be read: %v", err)
		return
	}
	skew, margin := measure(time.Unix(t.Time, 0), before, after)
	way := "ahead of"
	if skew < 0 {
		way = "behind"
	}
	switch {
	case skew.Abs()-margin > maxSkew:
		d.add(Warning, "clock of "+node, "let both follow NTP (chrony)", "is about %v %s this machine's", roundTo(skew.Abs(), margin), way)
	case margin > maxSkew:
		d.add(Note, "clock of "+node, "run tend doctor again when there is less to do", "cannot be compared: the answer took %v",
			after.Sub(before).Round(time.Second))
	default:
		d.add(OK, "clock of "+node, "", "agrees with this machine's")
	}
}

// measure is how far a node's clock is ahead (behind: negative) of this machine's, and by how much that may
// be wrong either way: the node tells whole seconds, at some moment between before and after.
func measure(told, before, after time.Time) (skew, margin time.Duration) {
	took := after.Sub(before)
	return told.Add(time.Second / 2).Sub(before.Add(took / 2)), (time.Second + took) / 2
}

// roundTo leaves of a measured time what its margin can tell, so that the same skew reads the same each time.
func roundTo(skew, margin time.Duration) time.Duration {
	for _, seconds := range []time.Duration{2, 5, 10, 20, 30} {
		if unit := seconds * time.Second; unit > 2*margin {
			return skew.Round(unit)
		}
	}
	return max(skew.Round(time.Minute), time.Minute)
}
