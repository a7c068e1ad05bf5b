package rehearse

import (
	"context"
	"fmt"
	"maps"
	"slices"

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
	c.hiddenBridges(all)
	valid, err := c.validPrivileges(ctx)
	if err != nil {
		return err
	}
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

// hiddenBridges adds the bridges that configurations or the spec name, and that are not listed because the token has
// no right to them.
func (c *copier) hiddenBridges(all proxmox.Permissions) {
	for at := range c.bridges {
		n := c.State.Nodes[at.Node]
		if n == nil || n.Bridges[at.name] != nil || all.Allows(localZone+at.name, "SDN.Use") || all.Allows(localZone+at.name, "SDN.Audit") {
			continue
		}
		n.Bridges[at.name] = &sim.Bridge{MTU: 1500}
		c.unsure("bridge %s of node %s is not shown to the token: that it is there is assumed", at.name, at.Node)
	}
}

// A bridge is one that something is plugged into, or shall be.
type bridge struct{ Node, name string }

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

// validPrivileges are those that the simulator knows; a newer Proxmox may have more.
func (c *copier) validPrivileges(ctx context.Context) (map[string]bool, error) {
	empty, err := sim.New(&sim.State{Nodes: c.State.Nodes}, sim.Options{})
	if err != nil {
		return nil, err
	}
	defer empty.Close()
	all, err := proxmox.NewClient(empty.As("root@pam")).Permissions(ctx, "/")
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for p := range all["/"] {
		out[p] = true
	}
	return out, nil
}
