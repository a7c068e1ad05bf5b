package rehearse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/spec/setting"
)

// access gives the token of the copy what the real one has: on each path that Proxmox lists, and on each that the
// spec touches, a role of its own with the privileges that are there.
func (c *copier) access(ctx context.Context) error {
	all, err := c.client.Permissions(ctx, "")
	if err != nil {
		return err
	}
	if all == nil {
		all = proxmox.Permissions{}
	}
	for _, path := range c.paths() {
		if _, listed := all[path]; listed {
			continue
		}
		one, err := c.client.Permissions(ctx, path) // an entry that denies all is told by name only
		if err != nil {
			return err
		}
		all[path] = one[path]
	}
	if err := c.hiddenBridges(ctx, all); err != nil {
		return err
	}
	valid := sim.Privileges() // a newer Proxmox may have more
	c.State.Users[owner] = &sim.User{Tokens: map[string]*sim.Token{"copy": {Secret: proxmox.NewSecret("rehearsal")}}}
	for n, path := range slices.Sorted(maps.Keys(all)) {
		for _, propagate := range []bool{true, false} {
			privs := []string{}
			for p, reaches := range all[path] {
				if reaches == propagate && valid[p] {
					privs = append(privs, p)
				}
			}
			if len(privs) == 0 && (propagate || len(all[path]) > 0) {
				continue
			}
			role := fmt.Sprintf("Copy%d-%t", n, propagate)
			if len(privs) == 0 {
				role, propagate = "NoAccess", true
			} else {
				c.State.Roles[role] = slices.Sorted(slices.Values(privs))
			}
			c.State.ACL = append(c.State.ACL, sim.ACL{Path: path, Role: role, User: owner, Propagate: new(propagate)})
		}
	}
	return nil
}

const localZone = "/sdn/zones/localnetwork/"

// hiddenBridges looks for the bridges that configurations or the spec name, and that are not listed because the token
// has no right to them. The configuration of a node tells of them to who may read it.
func (c *copier) hiddenBridges(ctx context.Context, all proxmox.Permissions) error {
	for _, at := range slices.SortedFunc(maps.Keys(c.bridges), bridge.compare) {
		n := c.State.Nodes[at.Node]
		if n == nil || n.Offline || n.Bridges[at.name] != nil || all.Allows(localZone+at.name, "SDN.Use") || all.Allows(localZone+at.name, "SDN.Audit") {
			continue
		}
		there, err := c.client.HasInterface(ctx, at.Node, at.name)
		if err != nil && !errors.Is(err, proxmox.ErrForbidden) {
			return err
		}
		if err == nil && !there && strings.HasPrefix(at.name, "vmbr") {
			continue // no virtual network is called so
		}
		n.Bridges[at.name] = &sim.Bridge{MTU: 1500}
		if there {
			continue
		}
		c.unsure("bridge %s of node %s is not shown to the token: that it is there is assumed", at.name, at.Node)
		c.hiddenThings = append(c.hiddenThings, coin{
			fmt.Sprintf("whether bridge %s of node %s is there is not shown to the token (it takes SDN.Audit on %s, or Sys.Audit on /nodes/%s)",
				at.name, at.Node, localZone+at.name, at.Node),
			func(w *world) { delete(w.Nodes[at.Node].Bridges, at.name) },
		})
	}
	return nil
}

// A bridge is one that something is plugged into, or shall be.
type bridge struct{ Node, name string }

func (b bridge) compare(o bridge) int {
	return cmp.Or(cmp.Compare(b.Node, o.Node), cmp.Compare(b.name, o.name))
}

// plugged notes the bridges of interfaces.
func (c *copier) plugged(node string, r setting.Record) {
	nics, _ := r[setting.Network.Path].(setting.Members)
	for _, nic := range nics {
		if b, ok := setting.Bridge.Get(nic); ok {
			c.bridges[bridge{node, b}] = true
		}
	}
}

// paths are those that the spec touches.
func (c *copier) paths() []string {
	seen := map[string]bool{}
	for _, w := range c.want.Containers {
		seen["/vms/"+w.ID.String()] = true
		c.plugged(w.Node, w.Settings)
	}
	for at := range c.bridges {
		seen[localZone+at.name] = true
	}
	for name := range c.State.Storages {
		seen["/storage/"+name] = true
	}
	return slices.Sorted(maps.Keys(seen))
}
