package retention

import "github.com/felhom/tend/proxmox"

// Still reports whether a snapshot that was to be dropped may be dropped yet, of a list that was read later: it is the same
// one (somebody may have made another of its name), nothing holds it, and it would be dropped by a decision of now. What
// is left undone by that is for the next decision.
func Still(v Verdict, have []proxmox.Snapshot, p Policy, m Moment) bool {
	for _, now := range Decide(have, p, m).Verdicts {
		if now.Name == v.Name {
			return now.Action == Drop && now.Time.Equal(v.Time) && now.Description == v.Description
		}
	}
	return false
}
