// Package plan computes what must be done so that the live state becomes what a spec says.
//
// [Compute] is pure: it reads a spec and an observation and returns a [Plan]; it asks neither the node nor the
// clock and never fails. What cannot or may not be done is part of the plan, as [Blocked], with the reason and
// the ways out, so that one impossible change never hides the rest. A plan is made of lanes, one per
// container, template, host mount, snippet or backup job, of steps in order; one step is one call of the Proxmox API. Carrying it out is package execute's.
package plan

import (
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// A Plan is what Compute found: what shall be done, what cannot be, and what is no one's.
type Plan struct {
	Cluster   string
	Voice     Voice          // to whom it speaks of the ways out
	Lanes     []Lane         // host mounts, templates, snippets, then containers, destroys first and then by VMID, then backup jobs
	Blocked   []Blocked      // in the same order
	Unclaimed []Unclaimed    // containers with the owner's tag that the spec does not declare
	Unused    []UnusedVolume // volumes of declared containers that nothing mounts: kept until somebody says otherwise
	Warnings  []string       // what a person should know though nothing is blocked, as that a storage may fill up
	Policies  []PolicyFault  // snapshot policies that cannot be carried out, by the order of the spec
	Notes     []string       // what a person may want to know and is as the spec says, as what backups do not hold
	InSync    int            // declared containers that are as they shall be

	needs Needs // what was found missing on the way
}

// Empty reports whether there is nothing to do. Blocked changes may remain.
func (p *Plan) Empty() bool { return len(p.Lanes) == 0 }

// Synced reports whether the live state is what the spec says: nothing to do and nothing blocked.
func (p *Plan) Synced() bool { return p.Empty() && len(p.Blocked) == 0 }

// Lane returns the lane of a container, or nil.
func (p *Plan) Lane(id proxmox.VMID) *Lane {
	for i := range p.Lanes {
		if p.Lanes[i].Ref.ID == id {
			return &p.Lanes[i]
		}
	}
	return nil
}

// An Action is what happens to a container as a whole.
type Action int

// The actions, in the order in which plans show them.
const (
	Destroy Action = iota
	Retire         // stop, to be destroyed after the grace time
	Create
	Change
)

// String is the word that plans show.
func (a Action) String() string { return [...]string{"destroy", "retire", "create", "change"}[a] }

// MarshalText encodes the word of String.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// A Lane is everything that is done to one container, template or backup job, step after step.
type Lane struct {
	Kind    Kind
	Ref     proxmox.Ref // of a template the node, of a backup job nothing
	Name    string
	Action  Action
	Effect  setting.Effect   // the largest of its steps
	Changes []setting.Change // what a person reads
	Steps   []Step           // what is done
	After   []proxmox.VMID   // containers whose lanes must have ended well before
	Uses    []Subject        // templates, host mounts and snippets whose lanes must have ended well before
	Frees   []string         // volumes that are destroyed, with their data
	// OnMounts says that the container shows host mounts: whether these are there when it starts, root on its node alone
	// can see.
	OnMounts bool
	Adopts   bool // it is taken over: it did not carry the owner's tag before
	// Base is the configuration that the plan was made on, with its digest; zero for creates.
	Base proxmox.Config
}

// A Step is one call of the API, or where its access says so one exception of the root lane.
type Step struct {
	Op     Op
	Effect setting.Effect
	Access setting.Access   // who carries it out: an API token, or root@pam on the node
	Why    []setting.Change // the changes that it carries
	Cause  string           // in words, where Why does not say it
}

// Recovers reports whether the lane cleans up after an operation that died.
func (l Lane) Recovers() bool { return slices.ContainsFunc(l.Steps, Step.Recovers) }

// Recovers reports whether the step cleans up after an operation that died.
func (s Step) Recovers() bool {
	switch s.Op.(type) {
	case Unlock, DeleteSnapshot, RollBack, RemoveRemnant:
		return true
	}
	return false
}

// Restarts reports whether carrying out the step interrupts a running container.
func (s Step) Restarts() bool {
	switch op := s.Op.(type) {
	case Reboot, Shutdown:
		return true
	case Migrate:
		return op.Restart
	}
	return false
}

// Starts reports whether a container runs after the step that may not have run before.
func (s Step) Starts() bool {
	switch s.Op.(type) {
	case Start, Reboot:
		return true
	}
	return false
}

// Blocked is something that shall be and is not done.
type Blocked struct {
	Kind   Kind
	ID     proxmox.VMID
	Name   string
	Node   string          // of a template
	What   string          // "destroy", "restart", or the change
	Change *setting.Change // where it is one
	Reason string
	Ways   []string // what a person can do
	// Waiting says that it will be done later without anybody changing the spec, as a restart in a
	// maintenance window.
	Waiting bool
}

// Unclaimed is a container that carries the owner's tag and is not in the spec.
type Unclaimed struct {
	Ref    proxmox.Ref
	Name   string
	Status string
}

// UnusedVolume is a volume that a container has and does not mount.
type UnusedVolume struct {
	ID     proxmox.VMID
	Name   string
	Volume string
}

// A Policy says what a plan may do. The zero value is the careful one.
type Policy struct {
	Voice        Voice         // to whom the plan speaks
	Prune        bool          // destroy unclaimed containers
	PruneMax     int           // at most so many in one plan; 0 is 1
	PrunePercent int           // and at most so many percent of those that carry the owner's tag; 0 is no such limit
	PruneGrace   time.Duration // stop them first and destroy them after so long; 0 destroys at once
	Now          time.Time     // for the grace time
	Adopt        bool          // take over declared containers that do not carry the owner's tag

	WindowOpen bool // a maintenance window is open now
	// WindowOpens is when the next one opens, in the time zone in which that is told. Zero: it is not known, or where an
	// agent plans, there is none.
	WindowOpens time.Time
	RestartAll  bool // restart what needs it, whatever the spec's policies
	// HoldRestarts leaves what may restart at any time (restart: now) to a maintenance window, too.
	HoldRestarts bool
	// DestroyVolumes are volumes that shall be destroyed with their data, by container.
	DestroyVolumes map[proxmox.VMID][]string
	// Unlock names containers that are stuck and shall be recovered; the value is the snapshot that one whose rollback
	// was cut off is rolled back to, or empty.
	Unlock map[proxmox.VMID]string
	// RollBackTo is the snapshot that a container was being rolled back to, where that is known: plans name it where the
	// rollback was cut off. It is no consent.
	RollBackTo map[proxmox.VMID]string
	// Recover recovers those as well that are not named, but for what only a person can answer for.
	Recover bool
	// RootNodes are the nodes on which somebody acts as root@pam for tend. What only root@pam may do is planned
	// there and blocked elsewhere; none: the root lane is off.
	RootNodes []string
	// FailingDisks are disks on which new volumes are made though they are failing: "pve1:sda", as [health.Disk.Is]
	// takes them.
	FailingDisks []string
}

// shutdownTimeout is how long a container may take to stop before it is stopped by force; Proxmox's own
// default for a shutdown.
const shutdownTimeout = 60 * time.Second

// Frees counts the volumes that are destroyed with their data, but for those that go with their container.
func (p *Plan) Frees() (n int) {
	for _, l := range p.Lanes {
		if l.Action != Destroy {
			n += len(l.Frees)
		}
	}
	return n
}

// Restarts counts the lanes in which a running container is interrupted.
func (p *Plan) Restarts() int {
	return p.count(func(l Lane) bool { return slices.ContainsFunc(l.Steps, Step.Restarts) && l.Action == Change })
}

// Count counts the containers with an action.
func (p *Plan) Count(a Action) int {
	return p.count(func(l Lane) bool { return l.Kind == ContainerKind && l.Action == a })
}

// CountKind counts the lanes of a kind.
func (p *Plan) CountKind(k Kind) int { return p.count(func(l Lane) bool { return l.Kind == k }) }

func (p *Plan) count(f func(Lane) bool) (n int) {
	for _, l := range p.Lanes {
		if f(l) {
			n++
		}
	}
	return n
}

// RootOperations counts the blocked or planned changes that only root@pam may make.
func (p *Plan) RootOperations() (n int) {
	for _, l := range p.Lanes {
		for _, c := range l.Changes {
			if c.Access.Root {
				n++
			}
		}
		for _, s := range l.Steps {
			if _, unlock := s.Op.(Unlock); unlock || l.Kind != ContainerKind && s.Access.Root {
				n++
			}
		}
	}
	return n
}
