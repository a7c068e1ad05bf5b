// Package leader sees to it that one agent acts for an owner where several run: on a machine by a lock file, on a cluster by
// Proxmox's own cluster lock, which root's lane takes (privileged.Lead).
//
// Who has the cluster lock leads: it does what an API token may, on all nodes. The agents of other nodes follow: each does
// what only root may on its own. A leader that cannot renew the lock stops before another can take it. The package decides
// nothing about plans and carries nothing out.
package leader

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged/lane"
)

// The times of the lock. One that is not renewed for two minutes may be taken by another (pve-cluster pmxcfs memdb.c,
// CFS_LOCK_TIMEOUT); until then the calls in flight of one that lost it have ended or become tasks, which hold the locks
// of their containers.
const (
	every    = 30 * time.Second // between two renewals, and two attempts to take it
	asking   = 10 * time.Second // for an answer
	patience = 85 * time.Second // from the last renewal to the end of acting
)

// A Lock is the lock of a cluster, as root on this node takes it.
type Lock interface {
	// KeepLead renews the lock of an owner where this node has it, and says who does.
	KeepLead(ctx context.Context, owner string) (proxmox.Leadership, error)
	// Lead takes it.
	Lead(ctx context.Context, owner string) (proxmox.Leadership, error)
	// Resign gives it back.
	Resign(ctx context.Context, owner string) error
}

// AsRoot is the lock of a cluster as the root lane of one of its nodes takes it.
func AsRoot(root *lane.Actor, node string) Lock { return nodeLock{root, node} }

type nodeLock struct {
	root *lane.Actor
	node string
}

func (l nodeLock) KeepLead(ctx context.Context, owner string) (proxmox.Leadership, error) {
	return l.root.KeepLead(ctx, l.node, owner)
}

func (l nodeLock) Lead(ctx context.Context, owner string) (proxmox.Leadership, error) {
	return l.root.Lead(ctx, l.node, owner)
}

func (l nodeLock) Resign(ctx context.Context, owner string) error {
	return l.root.Resign(ctx, l.node, owner)
}

// Options are what a leader works with.
type Options struct {
	Dir     string // of the lock files of this machine; empty: none is made
	Cluster string // tells clusters apart that agents of this machine are for
	About   string // who this agent is, for another one's message: "process 12, state folder /var/lib/tend"

	Lock  Lock                               // nil: nobody acts as root here, so that no lock of the cluster can be had
	Nodes func(context.Context) (int, error) // how many nodes the cluster has; asked where there is a Lock

	// Changed is called when the standing has become another in between; nil: nobody is told. It must not wait.
	Changed func()
	Log     *slog.Logger
}

// A Standing is what the agent may do from now on.
type Standing struct {
	report.Lead
	// Lost is closed when it may not any more. What is in flight is finished then, and nothing else begun; nil: never.
	Lost <-chan struct{}
}

// A Leader knows how its agent stands. Its methods are for any goroutine.
type Leader struct {
	o Options

	turn  sync.Mutex // held while the lock is asked about
	owner string     // that the agent acts for; guarded by turn
	file  *file      // guarded by turn
	nodes int        // that the cluster has, as was last seen; 0: not known; guarded by turn

	mu       sync.Mutex // guards what follows
	standing report.Lead
	lost     chan struct{} // of the standing, where it leads
	expiry   *time.Timer
}

// New makes a leader that has asked for nothing yet.
func New(o Options) *Leader { return &Leader{o: o} }

// Stand asks how the agent stands for an owner now, and takes the lead where nobody has it. What it had for another owner
// is given back.
func (l *Leader) Stand(ctx context.Context, owner string) Standing {
	l.turn.Lock()
	defer l.turn.Unlock()
	if owner != l.owner {
		l.leave(ctx)
		l.owner = owner
	}
	if l.o.Lock != nil {
		n, err := l.o.Nodes(ctx)
		if err == nil {
			l.nodes = n
		} else if l.nodes == 0 {
			l.o.Log.Warn("how many nodes there are is not known", slog.Any("err", err))
		}
	}
	l.step(ctx)
	return l.current()
}

// Run renews the lead, and takes it when it becomes free, until the context ends.
func (l *Leader) Run(ctx context.Context) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		l.turn.Lock()
		before := l.now()
		if l.owner != "" {
			l.step(ctx)
		}
		after := l.now()
		l.turn.Unlock()
		if before.Words() != after.Words() && ctx.Err() == nil && l.o.Changed != nil {
			l.o.Changed()
		}
	}
}

// Close gives back what is held, so that another need not wait. It is for after the end of what the agent did: where that
// is not known, the process just ends, and the lock of the cluster expires.
func (l *Leader) Close(ctx context.Context) {
	l.turn.Lock()
	defer l.turn.Unlock()
	l.leave(ctx)
	l.owner = ""
}

// step asks about the locks, and notes what follows. The caller holds the turn.
func (l *Leader) step(ctx context.Context) {
	if why := l.seize(); why != "" {
		l.set(report.Lead{Role: report.Waits, Why: why})
		return
	}
	switch {
	case l.o.Lock == nil || l.nodes == 1:
		l.set(report.Lead{Role: report.Sole, Why: l.file.fault()})
		return
	case l.nodes == 0:
		l.set(report.Lead{Role: report.Waits, Why: "how many nodes there are could not be asked yet"})
		return
	}
	began := time.Now()
	short, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	is, err := l.o.Lock.KeepLead(short, l.owner)
	if err == nil && is.State == proxmox.LeadFree {
		is, err = l.o.Lock.Lead(short, l.owner)
	}
	switch {
	case ctx.Err() != nil: // it is ended, and knows nothing new
	case err != nil && l.now().Role == report.Leads: // until the expiry
		l.o.Log.Warn("the lead could not be renewed", slog.Any("err", err))
	case err != nil:
		l.set(report.Lead{Role: report.Waits, Why: "who leads the agents of this cluster is not known: " + err.Error()})
	case is.State == proxmox.LeadOurs:
		l.set(report.Lead{Role: report.Leads, Why: l.file.fault()})
		l.renew(began)
	default:
		l.set(report.Lead{Role: report.Follows, Node: is.Node, Why: l.file.fault()})
	}
}

// seize takes the lock file of this machine, and says why it cannot be had; "" where it is held, or cannot be made at all.
func (l *Leader) seize() string {
	if l.file == nil {
		l.file = openFile(l.o, l.owner)
		if fault := l.file.fault(); fault != "" {
			l.o.Log.Warn(fault)
		}
	}
	return l.file.take()
}

func (l *Leader) now() report.Lead {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.standing
}

func (l *Leader) current() Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Standing{Lead: l.standing, Lost: l.lost}
}

// set notes a standing. Whoever acted on another that allowed more is told.
func (l *Leader) set(to report.Lead) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.standing
	to.Since = was.Since
	if to == was {
		return
	}
	to.Since = time.Now()
	l.standing = to
	if was.Role != to.Role {
		if l.lost != nil {
			close(l.lost)
		}
		if l.expiry != nil {
			l.expiry.Stop()
		}
		l.lost, l.expiry = make(chan struct{}), nil
		l.o.Log.Info("this agent "+to.Words(), slog.String("owner", l.owner), slog.String("why", to.Why))
	}
}

// renew has the lead end a while after its last renewal.
func (l *Leader) renew(began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.expiry != nil {
		l.expiry.Stop()
	}
	lost := l.lost
	l.expiry = time.AfterFunc(patience-time.Since(began), func() { l.expire(lost) })
}

// expire ends a lead that was not renewed.
func (l *Leader) expire(lost chan struct{}) {
	l.mu.Lock()
	if l.lost != lost || l.standing.Role != report.Leads {
		l.mu.Unlock()
		return
	}
	l.standing = report.Lead{Role: report.Waits, Why: "the lead could not be renewed for " + patience.String(), Since: time.Now()}
	close(l.lost)
	l.lost, l.expiry = make(chan struct{}), nil
	l.mu.Unlock()
	l.o.Log.Error("the lead is lost: it could not be renewed for " + patience.String())
	if l.o.Changed != nil {
		l.o.Changed()
	}
}

// leave gives back the lead and the lock file. The caller holds the turn.
func (l *Leader) leave(ctx context.Context) {
	if l.now().Role == report.Leads {
		short, cancel := context.WithTimeout(ctx, asking)
		if err := l.o.Lock.Resign(short, l.owner); err != nil {
			l.o.Log.Warn("the lead is not given back, and expires", slog.Any("err", err))
		}
		cancel()
	}
	l.mu.Lock()
	if l.lost != nil {
		close(l.lost)
	}
	if l.expiry != nil {
		l.expiry.Stop()
	}
	l.standing, l.lost, l.expiry = report.Lead{}, nil, nil
	l.mu.Unlock()
	if l.file != nil {
		l.file.release()
		l.file = nil
	}
}
