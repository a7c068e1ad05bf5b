package proxmox

import (
	"context"
	"net/url"
	"time"
)

// MigrateParams say where a container goes and how.
type MigrateParams struct {
	Target  string        // the node
	Restart bool          // shut a running container down, move it, and start it there; a must for one that runs
	Timeout time.Duration // of that shutdown, rounded up to seconds; Proxmox's default of 3 minutes where 0
	// Storages says which storage on the target takes the place of which: "local-lvm:fast" for one, or "fast"
	// for all. Empty: those of the same name.
	Storages  []string
	Bandwidth int64 // limit in KiB/s; 0 leaves it to Proxmox
}

// Migrate moves a container to another node. Of one that the high availability manager rules, it only hands in a
// request, as a task of its own type. It needs VM.Migrate (pve-container API2/LXC.pm, migrate_vm).
func (c *Client) Migrate(ctx context.Context, ref Ref, m MigrateParams) (UPID, error) {
	p := params{}
	p.text("target", m.Target)
	p.flag("restart", m.Restart)
	p.number("timeout", seconds(m.Timeout))
	p.list("target-storage", m.Storages)
	p.number("bwlimit", m.Bandwidth)
	return c.task(ctx, "POST", ref.path("/migrate"), p)
}

// A Migration is what Proxmox says of a migration beforehand. It looks at high availability only: storages and
// mounts are checked by the task.
type Migration struct {
	Running bool     `pve:"running"`
	Allowed []string `pve:"allowed-nodes"` // where it may go
	// NotAllowed are the resources of the high availability manager that keep it from a node, by node.
	NotAllowed map[string]MigrationObstacle `pve:"not-allowed-nodes"`
	// Dependent are the resources that the high availability manager moves with it: "ct:102".
	Dependent []string `pve:"dependent-ha-resources"`
}

// A MigrationObstacle says why a node is not allowed.
type MigrationObstacle struct {
	Blocking []struct {
		Resource string `pve:"sid"`   // "ct:102"
		Cause    string `pve:"cause"` // "node-affinity" or "resource-affinity"
	} `pve:"blocking-ha-resources"`
}

// Migration reads the preconditions of a migration, to one node or, where target is empty, to any. A container
// that is locked is refused with [ErrLocked]. It needs VM.Migrate.
func (c *Client) Migration(ctx context.Context, ref Ref, target string) (m Migration, err error) {
	p := url.Values{}
	if target != "" {
		p.Set("target", target)
	}
	return m, c.get(ctx, ref.path("/migrate"), p, &m)
}
