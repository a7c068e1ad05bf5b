package app_test

import (
	"regexp"
	"sync/atomic"
	"testing"

	"github.com/felhom/tend/proxmox/sim"
)

// TestJournalInUse holds a change of one process up in the middle, and lets others come: only one may change
// containers at a time, a second one is told who does, and a plan is free.
func TestJournalInUse(t *testing.T) {
	t.Parallel()
	state, err := prepared()
	if err != nil {
		t.Fatal(err)
	}
	v := newVictim(t, state, sim.Options{})
	spec := v.spec(killAfter)
	var held atomic.Bool
	v.at = func(c sim.Call) bool {
		if c.Method == "GET" || !held.CompareAndSwap(false, true) {
			return false
		}
		code, out := v.run("apply", "--yes", spec)
		said := regexp.MustCompile(`journal .* is in use by process [0-9]+ on .*: only one may change containers at a time`)
		if code != 1 || !said.MatchString(out) {
			t.Errorf("second apply: exit code %d\n%s", code, out)
		}
		if code, out := v.run("plan", spec); code != 2 {
			t.Errorf("plan: exit code %d\n%s", code, out)
		}
		return false
	}
	code, out := v.run("apply", "--yes", spec)
	if code != 0 || !held.Load() || !regexp.MustCompile(`everything is in sync: .*[1-9] `).MatchString(out) {
		t.Errorf("first apply: exit code %d, held up: %v\n%s", code, held.Load(), out)
	}
}
