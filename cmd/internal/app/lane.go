package app

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/sandbox"
	"github.com/felhom/tend/proxmox/privileged/host"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/live"
)

// rootOf is who acts as root for a cluster that is reached at an endpoint; nil where nobody does.
func rootOf(c *config.Config, endpoint string) (*lane.Actor, error) {
	if c.Lane == "" || c.Lane == config.LaneOff {
		return nil, nil
	}
	if err := checkHere(endpoint); err != nil {
		return nil, fmt.Errorf("%s: lane %s acts on this machine: %w", c.Get(config.Lane).Source, c.Lane, err)
	}
	if c.Lane == config.LaneHelper {
		return nil, fmt.Errorf("%s: the helper is not there yet", c.Get(config.Lane).Source)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%s: lane direct needs tend to run as root; leave that to the helper (lane: helper), or print the commands "+
			"with plan --root-commands", c.Get(config.Lane).Source)
	}
	if _, err := os.Stat("/etc/pve/local"); err != nil {
		return nil, fmt.Errorf("%s: lane direct acts on this machine, which is no node of Proxmox VE: %w", c.Get(config.Lane).Source, err)
	}
	h, err := host.New(host.Options{})
	if err != nil {
		return nil, err
	}
	return lane.NewActor(map[string]lane.Doer{h.Node(): lane.Lane{Backend: h}}), nil
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
func rootOfSandbox(c *config.Config, b *sandbox.Sandbox) *lane.Actor {
	if c.Lane == config.LaneOff {
		return nil
	}
	doers := map[string]lane.Doer{}
	for node, root := range b.Roots() {
		doers[node] = lane.Lane{Backend: root}
	}
	return lane.NewActor(doers)
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
