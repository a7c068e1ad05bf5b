package app

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/felhom/tend/cmd/internal/agent"
	"github.com/felhom/tend/cmd/internal/agent/leader"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/schedule"
)

// openLeader has the agent ask what it may do beside others, but on the sandbox, which is its own.
func (w *watcher) openLeader(o *agent.Options) {
	ses := w.session
	if ses.endpoint == "" {
		return
	}
	lo := leader.Options{
		Dir: w.config.LockDir, Cluster: placeOf(ses.endpoint), Log: w.log,
		About:   fmt.Sprintf("process %d, state folder %s", os.Getpid(), absolute(w.config.StateDir)),
		Changed: func() { w.agent.Call(schedule.Led) },
		Nodes: func(ctx context.Context) (int, error) {
			list, err := o.Client.Nodes(ctx)
			return len(list), err
		},
	}
	switch nodes := ses.root.Nodes(); {
	case len(nodes) == 1:
		lo.Lock = leader.AsRoot(ses.root, nodes[0])
	case ses.lane.Err != nil: // it is meant to be there, and what it has locked before may still be
		lo.Lock = noLock{fmt.Errorf("%w; systemctl restart tend when the helper is there", ses.lane.Err)}
	}
	w.leader = leader.New(lo)
	o.Leader = w.leader
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// lead keeps the lead until the context ends.
func (w *watcher) lead(ctx context.Context) {
	if w.leader != nil {
		w.leader.Run(ctx)
	}
}

// resign gives the lead back, after a clean end alone: what an agent that left at once has begun is its own still, and it
// is given two minutes to come back.
func (w *watcher) resign(ctx context.Context) {
	if w.leader != nil && ctx.Err() == nil {
		w.leader.Close(ctx)
	}
}

// placeOf names a cluster that is reached at an endpoint, for the agents of this machine: whatever it is called, this
// machine is this machine.
func placeOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	if checkHere(endpoint) == nil {
		return net.JoinHostPort("here", u.Port())
	}
	return u.Host
}

// noLock is the lock of a cluster that cannot be asked about.
type noLock struct{ err error }

func (l noLock) KeepLead(context.Context, string) (proxmox.Leadership, error) {
	return proxmox.Leadership{}, l.err
}

func (l noLock) Lead(context.Context, string) (proxmox.Leadership, error) {
	return proxmox.Leadership{}, l.err
}

func (l noLock) Resign(context.Context, string) error { return l.err }
