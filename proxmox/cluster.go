package proxmox

import (
	"context"
	"net/url"
	"time"
)

// A Version is that of Proxmox VE on the node that answered.
type Version struct {
	Version string `pve:"version"` // of pve-manager: "9.2.11"
	Release string `pve:"release"` // "9.2"
	RepoID  string `pve:"repoid"`
}

// Version reads the version of the node that answers. Any valid token may.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	return v, c.get(ctx, "/version", nil, &v)
}

// A Node is a member of the cluster, as the others see it.
type Node struct {
	Name        string        `pve:"node"`
	Status      string        `pve:"status"`          // "online", "offline" or "unknown"
	Fingerprint string        `pve:"ssl_fingerprint"` // SHA-256 of its certificate, with colons
	CPUs        int           `pve:"maxcpu"`
	CPU         float64       `pve:"cpu"` // share in use, 0 to 1
	Memory      int64         `pve:"mem"` // bytes in use
	MaxMemory   int64         `pve:"maxmem"`
	Disk        int64         `pve:"disk"` // of the root file system, in bytes
	MaxDisk     int64         `pve:"maxdisk"`
	Uptime      time.Duration `pve:"uptime"`
}

// Online reports whether the node takes part in the cluster.
func (n Node) Online() bool { return n.Status == "online" }

// Nodes lists the nodes of the cluster. Figures are those of the last broadcast, about 10 s old, and need
// Sys.Audit on the node.
func (c *Client) Nodes(ctx context.Context) (list []Node, err error) {
	return list, c.get(ctx, "/nodes", nil, &list)
}

// A NodeStatus is the state of one node at this moment.
type NodeStatus struct {
	PVEVersion string        `pve:"pveversion"` // "pve-manager/9.2.11/…"
	Kernel     string        `pve:"kversion"`
	Uptime     time.Duration `pve:"uptime"`
	CPU        float64       `pve:"cpu"` // share in use, 0 to 1
	CPUInfo    CPUInfo       `pve:"cpuinfo"`
	Load       []string      `pve:"loadavg"` // over 1, 5 and 15 minutes
	Memory     Usage         `pve:"memory"`
	Swap       Usage         `pve:"swap"`
	RootFS     Usage         `pve:"rootfs"`
}

// CPUInfo is what a node says of its processors.
type CPUInfo struct {
	Model string `pve:"model"`
	CPUs  int    `pve:"cpus"` // threads
	Cores int    `pve:"cores"`
}

// A Usage is an amount in bytes.
type Usage struct {
	Total int64 `pve:"total"`
	Used  int64 `pve:"used"`
	Free  int64 `pve:"free"`
}

// NodeStatus reads the state of a node. It needs Sys.Audit on /nodes/{node}.
func (c *Client) NodeStatus(ctx context.Context, node string) (s NodeStatus, err error) {
	return s, c.get(ctx, nodePath(node, "/status"), nil, &s)
}

// A Resource is a row of the cluster's inventory. Which fields are set depends on its type.
type Resource struct {
	ID        string        `pve:"id"`   // "lxc/101", "node/pve1", "storage/pve1/local"
	Type      string        `pve:"type"` // "lxc", "qemu", "node", "storage", "pool", "sdn"
	Node      string        `pve:"node"`
	Status    string        `pve:"status"`
	Guest     VMID          `pve:"vmid"`
	Name      string        `pve:"name"` // absent for some seconds after a guest was created
	Tags      []string      `pve:"tags"`
	Lock      string        `pve:"lock"`
	Pool      string        `pve:"pool"` // needs Pool.Audit
	Template  bool          `pve:"template"`
	HAState   string        `pve:"hastate"`
	Uptime    time.Duration `pve:"uptime"`
	MaxCPU    float64       `pve:"maxcpu"`
	MaxMemory int64         `pve:"maxmem"`
	Disk      int64         `pve:"disk"`
	MaxDisk   int64         `pve:"maxdisk"`
	Storage   string        `pve:"storage"`
	Plugin    string        `pve:"plugintype"`
	Content   []Content     `pve:"content"`
	Shared    bool          `pve:"shared"`
}

// A ResourceKind is a part of the cluster's inventory.
type ResourceKind string

// The parts of the inventory; the empty text stands for all of it.
const (
	KindGuests   ResourceKind = "vm" // of both sorts
	KindNodes    ResourceKind = "node"
	KindStorages ResourceKind = "storage"
	KindSDN      ResourceKind = "sdn"
)

// Resources lists the cluster's inventory of a kind. Tags and locks of guests are live; their status, name and sizes are
// broadcast every 10 s and so may be 20 s old (pve-manager API2/Cluster.pm, resources).
func (c *Client) Resources(ctx context.Context, kind ResourceKind) (list []Resource, err error) {
	p := params{}
	p.text("type", string(kind))
	return list, c.get(ctx, "/cluster/resources", p.values(), &list)
}

// A ClusterStatus is what the answering node knows of its cluster.
type ClusterStatus struct {
	Name    string // empty for a node that is in no cluster
	Quorate bool   // changes are possible; true for a node that is in no cluster
	Nodes   []ClusterNode
}

// A ClusterNode is a member in a [ClusterStatus].
type ClusterNode struct {
	Name   string `pve:"name"`
	ID     int    `pve:"nodeid"` // 0 for a node that is in no cluster
	IP     string `pve:"ip"`
	Online bool   `pve:"online"`
	Local  bool   `pve:"local"` // the node that answered
}

// ClusterStatus reads name, quorum and members of the cluster. It needs Sys.Audit on /.
func (c *Client) ClusterStatus(ctx context.Context) (ClusterStatus, error) {
	var rows []struct {
		ClusterNode
		Type    string `pve:"type"`
		Quorate bool   `pve:"quorate"`
	}
	if err := c.get(ctx, "/cluster/status", nil, &rows); err != nil {
		return ClusterStatus{}, err
	}
	s := ClusterStatus{Quorate: true}
	for _, r := range rows {
		if r.Type == "cluster" {
			s.Name, s.Quorate = r.Name, r.Quorate
		} else {
			s.Nodes = append(s.Nodes, r.ClusterNode)
		}
	}
	return s, nil
}

// ClusterOptions are the settings of the datacenter that bear on guests. Without Sys.Audit on /, Proxmox
// shows the tag style and the allowed tags only.
type ClusterOptions struct {
	MACPrefix      string   `pve:"mac_prefix"` // of generated addresses: "BC:24:11"
	Description    string   `pve:"description"`
	TagStyle       TagStyle `pve:"tag-style"`
	AllowedTags    []string `pve:"allowed-tags"`
	RegisteredTags []string `pve:"registered-tags"`
	NextID         IDRange  `pve:"next-id"`
}

// A TagStyle says how Proxmox writes tags.
type TagStyle struct {
	CaseSensitive bool   `pve:"case-sensitive"` // else tags are turned to lower case
	Ordering      string `pve:"ordering"`       // "config" keeps their order; else they are sorted
}

// An IDRange is where Proxmox looks for a free VMID. Zero means its default: 100 and 1000000.
type IDRange struct {
	Lower VMID `pve:"lower"`
	Upper VMID `pve:"upper"` // exclusive
}

// ClusterOptions reads the options of the datacenter.
func (c *Client) ClusterOptions(ctx context.Context) (o ClusterOptions, err error) {
	return o, c.get(ctx, "/cluster/options", nil, &o)
}

// Permissions are privileges by ACL path; the value says whether they reach what is below the path. Ask it with
// [Permissions.Allows].
type Permissions map[string]map[string]bool

// Permissions reads what the token may do: on one path, with all that reaches down to it, or, where path is
// empty, on all paths that Proxmox finds worth listing.
func (c *Client) Permissions(ctx context.Context, path string) (p Permissions, err error) {
	q := params{}
	q.text("path", path)
	return p, c.get(ctx, "/access/permissions", q.values(), &p)
}

// NextID returns the lowest VMID that is free now. Nothing is reserved: only a create decides a race.
func (c *Client) NextID(ctx context.Context) (id VMID, err error) {
	return id, c.get(ctx, "/cluster/nextid", url.Values{}, &id)
}
