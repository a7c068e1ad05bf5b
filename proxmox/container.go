package proxmox

import (
	"context"
	"fmt"
	"time"
)

// A PowerState says whether a container runs.
type PowerState string

// The power states of a container.
const (
	Running PowerState = "running"
	Stopped PowerState = "stopped"
)

// A ContainerStatus is the state of a container at this moment. Sizes are in bytes.
type ContainerStatus struct {
	ID       VMID          `pve:"vmid"`
	Name     string        `pve:"name"` // its hostname, or "CT" and the VMID
	Status   PowerState    `pve:"status"`
	Lock     string        `pve:"lock"`
	Tags     []string      `pve:"tags"`
	Template bool          `pve:"template"`
	PID      int           `pve:"pid"` // of its init on the node; 0 where it does not run
	Uptime   time.Duration `pve:"uptime"`
	CPUs     float64       `pve:"cpus"` // its limit, or cores, or the processors of the node
	CPU      float64       `pve:"cpu"`  // share in use; 0 in the first answer of each worker process

	Memory    int64 `pve:"mem"`
	MaxMemory int64 `pve:"maxmem"`
	Swap      int64 `pve:"swap"`
	MaxSwap   int64 `pve:"maxswap"`
	Disk      int64 `pve:"disk"` // of the root file system; 0 where it does not run
	MaxDisk   int64 `pve:"maxdisk"`
	NetIn     int64 `pve:"netin"`
	NetOut    int64 `pve:"netout"`
	DiskRead  int64 `pve:"diskread"`
	DiskWrite int64 `pve:"diskwrite"`

	HA HAStatus `pve:"ha"` // set by [Client.Status] only
}

// An HAStatus says whether the high availability manager rules the power state of a container.
type HAStatus struct {
	Managed bool   `pve:"managed"`
	State   string `pve:"state"`
}

// Containers lists the containers of a node that the token may see (VM.Audit), with accurate states.
func (c *Client) Containers(ctx context.Context, node string) (list []ContainerStatus, err error) {
	return list, c.get(ctx, nodePath(node, "/lxc"), nil, &list)
}

// Status reads the state of a container. It needs VM.Audit.
func (c *Client) Status(ctx context.Context, ref Ref) (s ContainerStatus, err error) {
	return s, c.get(ctx, ref.path("/status/current"), nil, &s)
}

// Config reads the configuration of a container in one request: what is in force, what is pending, and the
// digest for the next change. Raw lxc lines are not in this view; [Client.LiveConfig] has them. It needs
// VM.Audit.
func (c *Client) Config(ctx context.Context, ref Ref) (Config, error) {
	var rows []struct {
		Key     string `pve:"key"`
		Value   any    `pve:"value"`
		Pending any    `pve:"pending"`
		Delete  int    `pve:"delete"` // 1, or 2 for a forced delete
	}
	if err := c.get(ctx, ref.path("/pending"), nil, &rows); err != nil {
		return Config{}, err
	}
	cfg := Config{Current: Values{}, Pending: Values{}, Deleted: map[string]bool{}}
	for _, r := range rows {
		value, isSet := scalar(r.Value)
		if r.Key == "digest" {
			cfg.Digest = value
			continue
		}
		if isSet {
			cfg.Current[r.Key] = value
		}
		if pending, ok := scalar(r.Pending); ok {
			cfg.Pending[r.Key] = pending
		}
		if r.Delete != 0 {
			cfg.Deleted[r.Key] = true
		}
	}
	return cfg, nil
}

// A ConfigSection is a section of a container's configuration file: what is in force, or what a snapshot holds.
type ConfigSection struct {
	Values Values
	Raw    []RawLine // lines of LXC's own configuration, in their order
	Digest string    // empty for a snapshot
}

// LiveConfig reads the configuration that is in force, without what is pending and with raw lxc lines. It needs
// VM.Audit.
func (c *Client) LiveConfig(ctx context.Context, ref Ref) (ConfigSection, error) {
	p := params{}
	p.flag("current", true)
	return c.config(ctx, ref.path("/config"), p)
}

// SnapshotConfig reads the configuration that a snapshot holds; raw lxc lines are not shown. It needs one of
// VM.Snapshot, VM.Snapshot.Rollback and VM.Audit.
func (c *Client) SnapshotConfig(ctx context.Context, ref Ref, name string) (ConfigSection, error) {
	return c.config(ctx, ref.path("/snapshot/"+escape(name)+"/config"), params{})
}

func (c *Client) config(ctx context.Context, path string, p params) (ConfigSection, error) {
	var m map[string]any
	if err := c.get(ctx, path, p.values(), &m); err != nil {
		return ConfigSection{}, err
	}
	cfg := ConfigSection{Values: Values{}}
	for key, v := range m {
		if s, ok := scalar(v); ok {
			cfg.Values[key] = s
		}
	}
	cfg.Digest = cfg.Values["digest"]
	delete(cfg.Values, "digest")
	lines, _ := m["lxc"].([]any)
	for _, line := range lines {
		if pair, ok := line.([]any); ok && len(pair) == 2 {
			key, _ := scalar(pair[0])
			value, _ := scalar(pair[1])
			cfg.Raw = append(cfg.Raw, RawLine{Key: key, Value: value})
		}
	}
	return cfg, nil
}

// A Snapshot is a saved state of a container.
type Snapshot struct {
	Name        string    `pve:"name"`
	Description string    `pve:"description"` // with a newline at its end, which Proxmox adds
	Time        time.Time `pve:"snaptime"`    // by the node's clock, just before the volumes were taken
	Parent      string    `pve:"parent"`      // the snapshot before it; may name one that is gone
	State       string    `pve:"snapstate"`   // "prepare" or "delete" while at work on it or after that failed
}

// Snapshots are the snapshots of a container and its place among them.
type Snapshots struct {
	List    []Snapshot // in no particular order
	Parent  string     // the snapshot on which the container's present state builds, if any
	Digest  string     // as [Config.Digest]
	Running bool
}

// Snapshots lists the snapshots of a container. It needs VM.Audit.
func (c *Client) Snapshots(ctx context.Context, ref Ref) (Snapshots, error) {
	var rows []struct {
		Snapshot
		Digest  string `pve:"digest"`
		Running bool   `pve:"running"`
	}
	if err := c.get(ctx, ref.path("/snapshot"), nil, &rows); err != nil {
		return Snapshots{}, err
	}
	var s Snapshots
	for _, r := range rows {
		if r.Name == "current" { // a row for the present, whose name no snapshot may have
			s.Parent, s.Digest, s.Running = r.Parent, r.Digest, r.Running
		} else {
			s.List = append(s.List, r.Snapshot)
		}
	}
	return s, nil
}

// A Feature is something that a container can do if all its volumes can.
type Feature string

// The features.
const (
	FeatureSnapshot Feature = "snapshot"
	FeatureClone    Feature = "clone" // linked
	FeatureCopy     Feature = "copy"  // a full clone
)

// HasFeature reports whether a container can do something. For snapshots it is the same test that creating one
// makes. It needs VM.Audit.
func (c *Client) HasFeature(ctx context.Context, ref Ref, feature Feature) (bool, error) {
	p := params{}
	p.text("feature", string(feature))
	var answer struct {
		Has bool `pve:"hasFeature"`
	}
	err := c.get(ctx, ref.path("/feature"), p.values(), &answer)
	return answer.Has, err
}

// An Interface is a network interface as a running container has it.
type Interface struct {
	Name string `pve:"name"`
	MAC  string `pve:"hwaddr"`
	IPv4 string `pve:"inet"`  // with the length of its prefix
	IPv6 string `pve:"inet6"` // likewise
}

// Interfaces lists the network interfaces of a running container, of a stopped one none. It needs VM.Audit.
func (c *Client) Interfaces(ctx context.Context, ref Ref) ([]Interface, error) {
	r := Request{Method: "GET", Path: ref.path("/interfaces")}
	data, err := c.t.Do(ctx, r)
	if err != nil || string(data) == "null" { // of one that is stopped
		return nil, err
	}
	var list []Interface
	if err := decode(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	return list, nil
}
