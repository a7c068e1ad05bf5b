package sim

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"
	"time"
)

// Events are read, and found, as Proxmox does, but for its habit of counting the steps of "n/step" on past the end of
// an hour, which package calendar follows.
func TestCalendarVectors(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/vectors/calendar-events.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Spec, TZ, Kind string
		From           int64
		Next           *int64
		Error          bool
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	steps := regexp.MustCompile(`[0-9]/`)
	bad := 0
	for _, v := range vectors {
		ev, err := parseEvent(v.Spec)
		if (err != nil) != v.Error {
			bad++
			t.Errorf("%q: error %v, want %v", v.Spec, err, v.Error)
			continue
		}
		if err != nil || v.Kind != "next" || steps.MatchString(v.Spec) {
			continue
		}
		zone, err := time.LoadLocation(v.TZ)
		if err != nil {
			t.Fatal(err)
		}
		next, ok := ev.next(time.Unix(v.From, 0).In(zone))
		if ok != (v.Next != nil) || ok && next.Unix() != *v.Next {
			bad++
			if bad < 20 {
				t.Errorf("%q after %d in %s: %v %v, want %v", v.Spec, v.From, v.TZ, next.Unix(), ok, *v.Next)
			}
		}
	}
}
