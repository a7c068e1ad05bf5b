package plan

import (
	"slices"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// power is the last step of a lane: a start, the restart that changes need, or nothing. A restart that is not
// allowed now is blocked, while the changes themselves are made and wait.
func (c *computation) power(w *spec.Container, have *Observed, f setting.Facts, edits []edit) *Step {
	if setting.Template.Or(have.Current.Record, false) {
		return nil
	}
	if !have.Running {
		if w.Power != spec.Running {
			return nil
		}
		return &Step{Op: Start{}, Cause: "state: running"}
	}
	need := slices.DeleteFunc(changesOf(edits), func(ch setting.Change) bool { return ch.Effect != setting.Restart })
	if !f.Running || len(need) == 0 {
		return nil
	}
	b := Blocked{ID: w.ID, Name: w.Name, What: "restart"}
	switch {
	case w.Restart == spec.RestartNow || c.policy.RestartAll:
	case w.Restart == spec.RestartWindow && c.policy.WindowOpen:
	case w.Restart == spec.RestartWindow:
		b.Reason, b.Waiting = labels(need)+" waits for a maintenance window", true
		b.Ways = []string{"apply in a window: --window", "restart it now: --restart"}
	default:
		b.Reason, b.Waiting = labels(need)+" waits until the container stops, and restart: never leaves that to you", true
		b.Ways = []string{"restart it by hand", "restart it now: --restart", "write restart: now or restart: window"}
	}
	if b.Reason != "" {
		c.block(b)
		return nil
	}
	return &Step{Op: Reboot{shutdownTimeout}, Effect: setting.Restart, Why: need, Cause: labels(need)}
}

func changesOf(edits []edit) []setting.Change {
	out := make([]setting.Change, len(edits))
	for i, e := range edits {
		out[i] = e.change
	}
	return out
}

func labels(changes []setting.Change) string {
	var out []string
	for _, ch := range changes {
		out = append(out, ch.Label())
	}
	return join(out)
}
