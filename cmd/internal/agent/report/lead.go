package report

import (
	"cmp"
	"time"
)

// A Role is what an agent does where several may be at work for one owner.
type Role string

// The roles.
const (
	Sole    Role = "sole"    // everything: there is no other, or none can be told
	Leads   Role = "leads"   // everything, and root's work on its own node
	Follows Role = "follows" // root's work on its own node, and nothing else
	Waits   Role = "waits"   // nothing
)

// A Lead is what the agent does, and why no more than that.
type Lead struct {
	Role  Role      `json:"role"`
	Node  string    `json:"node,omitempty"` // of the agent that leads, where that is another and known
	Why   string    `json:"why,omitempty"`  // it waits; of the others, why another agent on this machine would not be noticed
	Since time.Time `json:"since,omitzero"`
}

// Acts reports whether the agent does what a token may, for the whole cluster.
func (l Lead) Acts() bool { return l.Role != Follows && l.Role != Waits }

// AmongOthers reports whether there is a lead to be had, so that agents of other nodes may be there.
func (l *Lead) AmongOthers() bool { return l != nil && (l.Role == Leads || l.Role == Follows) }

// Words say the role to people: "follows pve2".
func (l Lead) Words() string {
	switch l.Role {
	case Leads:
		return "leads"
	case Follows:
		return "follows " + cmp.Or(l.Node, "another agent")
	case Waits:
		return "waits"
	case Sole:
	}
	return "acts alone"
}

// Follows reports whether another agent leads, which tells people what there is to tell.
func (r *Report) Follows() bool { return r.Agent.Lead != nil && r.Agent.Lead.Role == Follows }

// item is what a person should know of it.
func (l Lead) item() (Item, bool) {
	what := "This agent changes nothing"
	if l.Role != Waits {
		what = "The lock file of this machine cannot be used"
	}
	return Item{Kind: KindLead, Level: Warn, What: what, Why: l.Why, At: AtRuns}, l.Why != "" || l.Role == Waits
}
