package proxmox

// A Leadership is how the lock stands by which one of several agents acts for a whole cluster.
type Leadership struct {
	State LeadState `json:"state"`
	Node  string    `json:"node,omitempty"` // that took it last; empty: not known
}

// A LeadState says who has such a lock.
type LeadState string

// The states.
const (
	LeadFree   LeadState = "free"   // nobody
	LeadOurs   LeadState = "ours"   // this node, until two minutes from now
	LeadTheirs LeadState = "theirs" // another node, or nobody any more: it expires two minutes after its last renewal
)
