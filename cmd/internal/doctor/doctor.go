// Package doctor examines the connection to a cluster and what tend may do there. It only reads, but for [Task],
// which undoes all that it does.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

// A Level says how bad a finding is.
type Level int

// The levels. A Note is neither good nor bad, as what only some specs need; Blocking means that tend works, but cannot
// do all of its work; Failed, that it does not work.
const (
	OK Level = iota
	Note
	Warning
	Blocking
	Failed
)

// String is the word that reports show.
func (l Level) String() string { return [...]string{"ok", "note", "warning", "blocks", "failed"}[l] }

// MarshalText encodes the word of String.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// A Finding is one thing that was looked at.
type Finding struct {
	Level Level  `json:"level"`
	Area  string `json:"area"` // "connection", "privileges", …
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"` // what to do
}

// Worst is the highest level of findings.
func Worst(list []Finding) (l Level) {
	for _, f := range list {
		l = max(l, f.Level)
	}
	return l
}

// A Doctor examines a cluster through a transport.
type Doctor struct {
	Transport proxmox.Transport
	Now       func() time.Time

	client *proxmox.Client
	found  []Finding
	nodes  []proxmox.Node
}

func (d *Doctor) add(l Level, area, hint, format string, args ...any) {
	d.found = append(d.found, Finding{l, area, fmt.Sprintf(format, args...), hint})
}

// Examine looks at everything. It goes on where a part cannot be read; without a connection it ends.
func (d *Doctor) Examine(ctx context.Context) []Finding {
	d.client = proxmox.NewClient(d.Transport)
	if !d.version(ctx) {
		return d.found
	}
	d.cluster(ctx)
	d.privileges(ctx)
	for _, n := range d.nodes {
		d.node(ctx, n)
	}
	return d.found
}

// Online are the nodes that were found, and whether they are online.
func (d *Doctor) Online() map[string]bool {
	out := map[string]bool{}
	for _, n := range d.nodes {
		out[n.Name] = n.Online()
	}
	return out
}

func (d *Doctor) version(ctx context.Context) bool {
	begin := d.Now()
	v, err := d.client.Version(ctx)
	if err != nil {
		d.add(Failed, "connection", hint(err), "%v", err)
		return false
	}
	took := d.Now().Sub(begin).Round(time.Millisecond)
	d.add(OK, "connection", "", "the API answers in %v and knows the token", took)
	major, _, _ := strings.Cut(v.Version, ".")
	if major != "9" {
		d.add(Warning, "version", "tend knows the behaviour of 9.x; look at each plan closely", "Proxmox VE %s is none of 9.x", v.Version)
		return true
	}
	d.add(OK, "version", "", "Proxmox VE %s", v.Version)
	return true
}

func (d *Doctor) cluster(ctx context.Context) {
	nodes, err := d.client.Nodes(ctx)
	if err != nil {
		d.add(Failed, "nodes", hint(err), "%v", err)
		return
	}
	d.nodes = nodes
	s, err := d.client.ClusterStatus(ctx)
	switch {
	case err != nil:
		d.add(Warning, "cluster", hint(err), "%v", err)
	case !s.Quorate:
		d.add(Blocking, "cluster", "bring the other nodes back", "cluster %s has no quorum and takes no changes", s.Name)
	case s.Name == "":
		d.add(OK, "cluster", "", "a single node, in no cluster")
	default:
		d.add(OK, "cluster", "", "cluster %s of %d nodes has quorum", s.Name, len(nodes))
	}
}

// node looks at one node: whether it is there, its clock and its storages.
func (d *Doctor) node(ctx context.Context, n proxmox.Node) {
	if !n.Online() {
		d.add(Warning, "node "+n.Name, "bring it back", "is %s: its containers can neither be seen nor changed", n.Status)
		return
	}
	d.add(OK, "node "+n.Name, "", "online")
	d.clock(ctx, n.Name)
	d.storages(ctx, n.Name)
}

func (d *Doctor) storages(ctx context.Context, node string) {
	list, err := d.client.Storages(ctx, node)
	if err != nil {
		d.add(Warning, "storages of "+node, hint(err), "%v", err)
		return
	}
	slices.SortFunc(list, func(a, b proxmox.Storage) int { return strings.Compare(a.Name, b.Name) })
	takes := 0
	for _, s := range list {
		if !slices.Contains(s.Content, proxmox.ContentRootDir) {
			continue
		}
		takes++
		switch {
		case !s.Enabled:
		case !s.Active:
			d.add(Warning, "storage "+s.Name, "look at it on the node: pvesm status", "is not active on %s", node)
		case s.Total > 0 && s.Avail*20 < s.Total:
			d.add(Warning, "storage "+s.Name, "free space, or grow it", "%s, only %s of %s free", s.Type, size(s.Avail), size(s.Total))
		default:
			d.add(OK, "storage "+s.Name, "", "%s, takes volumes of containers, %s of %s free", s.Type, size(s.Avail), size(s.Total))
		}
	}
	if takes == 0 {
		d.add(Blocking, "storages of "+node, "allow content rootdir on one, and give the token Datastore.AllocateSpace on it",
			"none that the token may see takes volumes of containers")
	}
}

// size is an amount with a binary unit.
func size(n int64) string {
	v, unit := float64(n), 0
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf("%.4g %s", v, units[unit])
}
