package backup

import (
	"context"
	"fmt"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// A Guest is a container as a restore or a drill finds it.
type Guest struct {
	Ref     proxmox.Ref
	Name    string
	Running bool
	HA      bool // the high availability manager rules it
	Tags    []string
	Config  proxmox.Config
}

// lock is the lock in its configuration; "" where there is none.
func (g *Guest) lock() string { return g.Config.Current["lock"] }

// mark is the owner's mark in its description.
func (g *Guest) mark(owner string) (Mark, bool) {
	return markOf(g.Config.Current["description"], owner)
}

// Look reads containers by their VMIDs, and those that carry a role's tag of the owner. One that does not exist, or
// that the token is not shown, is absent from the answer.
func Look(ctx context.Context, c *proxmox.Client, owner string, nodes map[string]bool, ids ...proxmox.VMID) (map[proxmox.VMID]*Guest, error) {
	asked := map[proxmox.VMID]bool{}
	for _, id := range ids {
		asked[id] = true
	}
	out := map[proxmox.VMID]*Guest{}
	for _, node := range sortedKeys(nodes) {
		if !nodes[node] {
			continue
		}
		list, err := c.Containers(ctx, node)
		if err != nil {
			return nil, fmt.Errorf("list containers of node %s: %w", node, err)
		}
		for _, s := range list {
			if !asked[s.ID] && roleOf(s.Tags, owner) == "" {
				continue
			}
			g := &Guest{Ref: proxmox.Ref{Node: node, ID: s.ID}, Name: s.Name, Running: s.Status == proxmox.Running, Tags: s.Tags}
			if g.Config, err = c.Config(ctx, g.Ref); err != nil {
				return nil, fmt.Errorf("read configuration of container %d: %w", s.ID, err)
			}
			if asked[s.ID] {
				now, err := c.Status(ctx, g.Ref)
				if err != nil {
					return nil, fmt.Errorf("read status of container %d: %w", s.ID, err)
				}
				g.HA, g.Running = now.HA.Managed, now.Status == proxmox.Running
			}
			out[s.ID] = g
		}
	}
	return out, nil
}

func splitTags(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == ',' || r == ' ' })
}
