package report

import "time"

// A Kind says what an item is about, whatever its words are.
type Kind string

// The kinds.
const (
	KindSource    Kind = "source"    // is not followed
	KindNode      Kind = "node"      // cannot be asked
	KindStale     Kind = "stale"     // nothing was looked at
	KindRun       Kind = "run"       // failed
	KindApproval  Kind = "approval"  // a plan waits for one
	KindBlocked   Kind = "blocked"   // cannot or may not be done
	KindDegraded  Kind = "degraded"  // a container is not well
	KindUnseen    Kind = "unseen"    // a container of which nothing is known
	KindSuspended Kind = "suspended" // left alone for now
	KindUnclaimed Kind = "unclaimed" // a container with the owner's tag, in no spec
	KindRestart   Kind = "restart"   // a container waits for one
	KindSnapshot  Kind = "snapshot"  // none, too old, or the last one failed
	KindBackup    Kind = "backup"    // as snapshot
	KindDrill     Kind = "drill"     // a backup could not be restored
	KindDisk      Kind = "disk"      // is failing
	KindSensor    Kind = "sensor"    // is over its limit
	KindJournal   Kind = "journal"   // it is not known how a call ended
	KindDryRun    Kind = "dry-run"
	KindLead      Kind = "lead"    // the agent does nothing, since another is there or may be, or would not notice one
	KindChannel   Kind = "channel" // what the agent tells others does not reach them
	KindConfig    Kind = "config"  // the configuration is faulty, or a part of it waits for a start

	// KindApplied is that of no item: a run changed something, of which people may want to be told.
	KindApplied Kind = "applied"
)

// Told are the kinds of which people can be told: those of items, and what was applied.
func Told() []Kind { return append(Kinds(), KindApplied) }

// Kinds are those of items.
func Kinds() []Kind {
	return []Kind{
		KindSource, KindNode, KindStale, KindRun, KindApproval, KindBlocked, KindDegraded, KindUnseen, KindSuspended,
		KindUnclaimed, KindRestart, KindSnapshot, KindBackup, KindDrill, KindDisk, KindSensor, KindJournal, KindDryRun, KindLead, KindChannel, KindConfig,
	}
}

// A Channel is a way by which the agent tells others of itself, and which fails.
type Channel struct {
	Name  string    `json:"name"`  // "notifications to phone"
	Since time.Time `json:"since"` // of the first failure in a row
	Error string    `json:"error"` // the last one; it holds no secret
}

func (r *Report) channelItems() []Item {
	var out []Item
	for _, c := range r.Channels {
		out = append(out, Item{
			Kind: KindChannel, Level: Warn, What: c.Name + " fail since " + c.Since.Format("2006-01-02 15:04"), Why: c.Error,
			Do: "tend notify test", At: AtRuns, Subject: c.Name,
		})
	}
	return out
}
