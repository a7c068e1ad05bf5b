package lane

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

// A Doer carries out requests on one node, as a [Lane] and the client of the helper do.
type Doer interface {
	Do(ctx context.Context, r privileged.Request) (privileged.Result, error)
}

// An Actor hands requests to whoever acts as root on their node, be it this process, the helper behind its socket, or
// the simulator. It says in Proxmox's terms what the executor of plans asks for.
type Actor struct{ doers map[string]Doer }

// NewActor makes an actor of who acts on which node; a nil map is nobody anywhere.
func NewActor(doers map[string]Doer) *Actor { return &Actor{maps.Clone(doers)} }

// Nodes are the nodes on which somebody acts as root, in order.
func (a *Actor) Nodes() []string {
	if a == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(a.doers))
}

// Do hands a request to whoever acts on its node.
func (a *Actor) Do(ctx context.Context, r privileged.Request) (privileged.Result, error) {
	node := r.Target().Node
	doer, ok := a.doers[node]
	if !ok {
		return privileged.Result{}, fmt.Errorf("%v: nobody acts as root on %s here, but on %s", r, node, strings.Join(a.Nodes(), ", "))
	}
	return doer.Do(ctx, r)
}

// Create makes a container and leaves it stopped.
func (a *Actor) Create(ctx context.Context, node string, p proxmox.CreateParams) error {
	_, err := a.Do(ctx, privileged.Create{Node: node, Params: p})
	return err
}

// SetConfig changes settings that only root@pam may change.
func (a *Actor) SetConfig(ctx context.Context, r proxmox.Ref, u proxmox.Update) error {
	_, err := a.Do(ctx, privileged.SetConfig{Ref: r, Update: u})
	return err
}

// SetRaw puts lines for LXC itself in the place of those that the configuration has.
func (a *Actor) SetRaw(ctx context.Context, r proxmox.Ref, lines []proxmox.RawLine, digest string) error {
	_, err := a.Do(ctx, privileged.SetRaw{Ref: r, Lines: lines, Digest: digest})
	return err
}

// Unlock removes the lock that a task left which died.
func (a *Actor) Unlock(ctx context.Context, r proxmox.Ref, lock string) error {
	_, err := a.Do(ctx, privileged.Unlock{Ref: r, Lock: lock})
	return err
}
