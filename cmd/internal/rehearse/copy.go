package rehearse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/spec"
)

// user is the token of the copy that has what the real one has.
const (
	owner = "rehearsal@pve"
	user  = owner + "!copy"
)

// A Copy is what could be read of a cluster, as a state for the simulator.
type Copy struct {
	State *sim.State
	// Unsure says in sentences what could not be read, and what is assumed in its place.
	Unsure []string

	free map[string]int64                  // of each storage
	size map[proxmox.VMID]map[string]int64 // of each container's volumes
	disk map[proxmox.VMID]int64            // written in the root file system of each that runs
	told map[string]int64                  // how much room volumes take, where a storage tells

	hiddenThings []coin // what the token may not see
	client       *proxmox.Client
}

// A copier makes a Copy. It only reads.
type copier struct {
	*Copy
	want    *spec.State
	nodes   []string // those online
	bridges map[bridge]bool
	// strange are storages of types that are not simulated.
	strange []string
}

// Take copies the live state of a cluster as far as a spec is concerned, through its API. It changes nothing there.
func Take(ctx context.Context, client *proxmox.Client, want *spec.State) (*Copy, error) {
	c := &copier{want: want, bridges: map[bridge]bool{}, Copy: &Copy{
		State: &sim.State{
			Nodes: map[string]*sim.Node{}, Storages: map[string]*sim.Storage{}, Templates: map[string]*sim.Template{},
			Containers: map[proxmox.VMID]*sim.Container{}, VMs: map[proxmox.VMID]*sim.VM{}, Volumes: map[string]*sim.Volume{},
			Backups: map[string]*sim.Backup{}, Pools: map[string]*sim.Pool{}, BackupJobs: map[string]map[string]any{},
			Datacenter: map[string]any{}, Users: map[string]*sim.User{}, HA: map[proxmox.VMID]string{}, Roles: map[string][]string{},
		},
		free: map[string]int64{}, size: map[proxmox.VMID]map[string]int64{}, disk: map[proxmox.VMID]int64{}, told: map[string]int64{},
		client: client,
	}}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"cluster", c.cluster},
		{"nodes", c.readNodes},
		{"storages", c.storages},
		{"guests", c.guests},
		{"volumes", c.content},
		{"templates", c.downloads},
		{"volumes", c.volumesOfConfigs},
		{"pools and jobs", c.pools},
		{"privileges", c.access},
	} {
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("copy the %s: %w", step.what, err)
		}
	}
	return c.Copy, nil
}

func (c *Copy) unsure(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(c.Unsure, text) {
		c.Unsure = append(c.Unsure, text)
	}
}

// hidden notes that the token may not read something; other errors are passed on.
func (c *Copy) hidden(err error, format string, args ...any) error {
	if err == nil || !errors.Is(err, proxmox.ErrForbidden) {
		return err
	}
	text := fmt.Sprintf(format, args...)
	var api *proxmox.APIError
	if errors.As(err, &api) && !api.Missing.IsZero() {
		text += " (it takes " + api.Missing.String() + ")"
	}
	c.unsure("%s", text)
	return nil
}

// copied are the options of the datacenter that bear on containers.
var copied = []string{"tag-style", "user-tag-access", "registered-tags", "mac_prefix", "next-id"}

func (c *copier) cluster(ctx context.Context) error {
	v, err := c.client.Version(ctx)
	if err != nil {
		return err
	}
	c.State.Version = sim.Version{Version: v.Version, Release: v.Release, RepoID: v.RepoID}
	c.State.Cluster.Quorate = true
	s, err := c.client.ClusterStatus(ctx)
	if err == nil {
		c.State.Cluster.Quorate = s.Quorate
		if s.Name != "" {
			c.State.Cluster.Name = &s.Name
		}
		for _, n := range s.Nodes {
			if n.Local {
				c.State.Cluster.Local = n.Name
			}
		}
	} else if err := c.hidden(err, "whether the cluster has quorum is not shown to the token: it is taken for granted"); err != nil {
		return err
	}
	options, err := c.client.RawOptions(ctx)
	if err != nil {
		return err
	}
	for _, key := range copied {
		if v, ok := options[key]; ok {
			c.State.Datacenter[key] = optionText(v)
		}
	}
	if _, all := options["mac_prefix"]; !all {
		c.unsure("who may set which tags is not shown to the token (it takes Sys.Audit on /): all tags are assumed to be free")
	}
	return nil
}

// optionText is an option in the form of its file.
func optionText(v any) any {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+"="+fmt.Sprint(optionText(v[k])))
		}
		return strings.Join(parts, ",")
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, fmt.Sprint(e))
		}
		return strings.Join(parts, ";")
	case nil:
		return ""
	}
	return fmt.Sprint(v)
}

// What a node is taken to have where the token may not see it: enough for any container.
const (
	assumedCPUs   = 8192
	assumedMemory = 1 << 50
)

func (c *copier) readNodes(ctx context.Context) error {
	list, err := c.client.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range list {
		node := &sim.Node{
			CPUs: n.CPUs, Memory: sim.Bytes(n.MaxMemory), Disk: sim.Bytes(n.MaxDisk), Offline: !n.Online(), Bridges: map[string]*sim.Bridge{},
		}
		if node.CPUs < 1 || node.Memory < 1 {
			node.CPUs, node.Memory = assumedCPUs, assumedMemory
			c.unsure("processors and memory of node %s are not shown to the token (it takes Sys.Audit on /nodes/%s): enough is assumed", n.Name, n.Name)
		}
		c.State.Nodes[n.Name] = node
		if node.Offline {
			c.unsure("node %s is offline: nothing of it is known but its name", n.Name)
			continue
		}
		c.nodes = append(c.nodes, n.Name)
		bridges, err := c.client.Bridges(ctx, n.Name)
		if err != nil {
			return err
		}
		for _, b := range bridges {
			node.Bridges[b.Name] = &sim.Bridge{MTU: int(b.MTU), Address: b.Address}
		}
	}
	slices.Sort(c.nodes)
	return nil
}

// pools copies pools with their members, and backup jobs.
func (c *copier) pools(ctx context.Context) error {
	list, err := c.client.Pools(ctx)
	if err = c.hidden(err, "pools are not shown to the token"); err != nil {
		return err
	}
	for _, p := range list {
		full, err := c.client.Pool(ctx, p.Name)
		if err != nil {
			return err
		}
		pool := &sim.Pool{Comment: p.Comment, VMs: full.Guests()}
		for _, m := range full.Members {
			if m.Type == "storage" {
				pool.Storage = append(pool.Storage, m.Storage)
			}
		}
		c.State.Pools[p.Name] = pool
	}
	jobs, err := c.client.BackupJobs(ctx)
	for _, j := range jobs {
		values := map[string]any{}
		for key, text := range j.Values {
			values[key] = text
		}
		c.State.BackupJobs[j.ID] = values
	}
	if errors.Is(err, proxmox.ErrForbidden) { // nothing of a container depends on them
		return nil
	}
	return err
}
