package plan

import (
	"slices"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// mayRestart reports whether a running container may be restarted for its edits. Where it needs a restart and
// may not have it, that is blocked, while the changes themselves are made and wait.
func (c *computation) mayRestart(w *spec.Container, have *Observed, f setting.Facts, edits []edit) bool {
	need := needRestart(edits)
	if !f.Running || len(need) == 0 || setting.Template.Or(have.Current.Record, false) || c.powerless(w, have.Ref.ID, "restart") {
		return false
	}
	reason, ways := c.noRestart(w, labels(need))
	if reason != "" {
		c.block(Blocked{ID: w.ID, Name: w.Name, What: "restart", Reason: reason, Ways: ways, Waiting: true})
	}
	return reason == ""
}

// noRestart says why a running container may not be restarted for something now; "" where it may.
func (c *computation) noRestart(w *spec.Container, what string) (reason string, ways []string) {
	now := w.Restart == spec.RestartNow && !c.policy.HoldRestarts
	switch {
	case now || c.policy.RestartAll, w.Restart != spec.RestartNever && c.policy.WindowOpen:
		return "", nil
	case w.Restart != spec.RestartNever:
		return c.policy.Voice.window(what, c.policy.WindowOpens)
	}
	return what + " waits until the container stops, and restart: never leaves that to you", c.policy.Voice.restartNever()
}

// needRestart are the changes that take effect when the container stops.
func needRestart(edits []edit) []setting.Change {
	return slices.DeleteFunc(changesOf(edits), func(ch setting.Change) bool { return ch.Effect != setting.Restart })
}

func changesOf(edits []edit) []setting.Change {
	var out []setting.Change
	for _, e := range edits {
		out = append(out, e.change)
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
