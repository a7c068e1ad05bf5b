package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/doctor"
	"github.com/felhom/tend/cmd/internal/sandbox"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox/privileged/helper"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/live"
)

// rootOf is who acts as root for a cluster that is reached at an endpoint, and how that was found. A helper that cannot be
// used blocks what is for root, and nothing else: the rest can be done without it.
func rootOf(ctx context.Context, c *config.Config, endpoint string, log *slog.Logger) (*lane.Actor, doctor.Lane, error) {
	found := doctor.Lane{Mode: string(c.Lane), Program: programVersion(), Socket: c.Helper}
	if c.Lane == "" || c.Lane == config.LaneOff {
		return nil, found, nil
	}
	source := c.Get(config.Lane).Source
	if err := checkHere(endpoint); err != nil {
		return nil, found, fmt.Errorf("%s: lane %s acts on this machine: %w", source, c.Lane, err)
	}
	if c.Lane == config.LaneDirect {
		b, err := thisNode()
		if err != nil {
			return nil, found, fmt.Errorf("%s: lane direct %w; leave it to the helper (lane: helper), or print the commands with plan --root-commands", source, err)
		}
		found.Nodes = []string{b.Node()}
		return lane.NewActor(map[string]lane.Doer{b.Node(): lane.Lane{Backend: b}}), found, nil
	}
	client := &helper.Client{Path: c.Helper}
	g, err := client.Greet(ctx)
	if err != nil {
		log.WarnContext(ctx, "what only root@pam may do is blocked", slog.Any("err", err))
		found.Err = err
		return nil, found, nil
	}
	found.Nodes, found.Helper = []string{g.Node}, g.Version
	return lane.NewActor(map[string]lane.Doer{g.Node: client}), found, nil
}

// checkHere refuses an endpoint on another machine: what is read there and what is done here would be two clusters,
// with nodes that may have the same names.
func checkHere(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	there, err := net.LookupHost(u.Hostname())
	if err != nil {
		return fmt.Errorf("look up the endpoint: %w", err)
	}
	here, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list addresses of this machine: %w", err)
	}
	mine := func(addr string) bool {
		ip := net.ParseIP(addr)
		return ip.IsLoopback() || slices.ContainsFunc(here, func(a net.Addr) bool {
			n, ok := a.(*net.IPNet)
			return ok && n.IP.Equal(ip)
		})
	}
	if !slices.ContainsFunc(there, mine) {
		return errors.New("the endpoint " + u.Host + " is another: write endpoint: https://127.0.0.1:8006")
	}
	return nil
}

// rootOfSandbox is root on every node of the sandbox, where people try what would happen on a node: it is off only
// where that is said.
func rootOfSandbox(c *config.Config, b *sandbox.Sandbox) (*lane.Actor, doctor.Lane) {
	if c.Lane == config.LaneOff {
		return nil, doctor.Lane{Mode: string(c.Lane)}
	}
	doers := map[string]lane.Doer{}
	for node, root := range b.Roots() {
		doers[node] = lane.Lane{Backend: root}
	}
	a := lane.NewActor(doers)
	return a, doctor.Lane{Mode: string(config.LaneDirect), Nodes: a.Nodes()}
}

// claimOf is what the helper is told of a plan, for its audit log.
func claimOf(p view.Plan) helper.Claim {
	sum := sha256.Sum256([]byte(p.String()))
	return helper.Claim{Plan: hex.EncodeToString(sum[:6]), Commit: p.Spec.String()}
}

// rootReader is who reads what only root can; nil where nobody does.
func (ses *session) rootReader() live.RootReader {
	if ses.root == nil {
		return nil // and not an interface that holds a nil
	}
	return ses.root
}

// executorRoot is who carries out the steps for root; nil where nobody does.
func (ses *session) executorRoot() execute.RootLane {
	if ses.root == nil {
		return nil // and not an interface that holds a nil
	}
	return ses.root
}
