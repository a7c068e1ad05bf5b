// Package backup looks after the backups of containers: which archives there are and whether they are as new as the
// declared jobs promise, what can be proven of one, restoring one beside the container that it is of, and drills that
// prove that it can be restored.
//
// It makes no backups: that is what Proxmox's jobs do. It never restores over a container, never destroys one but the
// scratch container of a drill, which carries the drill's own mark, and never removes an archive.
package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// An Archive is a backup of a container.
type Archive struct {
	proxmox.Volume
	Storage string
	Kind    string   // of the storage: "dir", "pbs", …
	Nodes   []string // that can read it, by name
}

// OnServer reports whether it lies on a Proxmox Backup Server, which can verify it.
func (a Archive) OnServer() bool { return a.Kind == "pbs" }

// A Fault is a storage that could not be read, so that nobody knows what it holds.
type Fault struct {
	Node, Storage string
	Err           error
}

// Found is what there is on the storages of a cluster.
type Found struct {
	Archives []Archive // newest first
	Storages map[string]bool
	Faults   []Fault
	// Permissions tell which archives the token is not shown: Proxmox leaves them out without a word.
	Permissions proxmox.Permissions
}

// Find lists the archives of containers on all storages of the nodes that are online. A storage that cannot be read is
// a fault, not an error. It needs Datastore.Audit on the storages; archives are shown with Datastore.AllocateSpace there
// and VM.Backup on the guest, or Datastore.Allocate (pve-storage Storage.pm, check_volume_access).
func Find(ctx context.Context, c *proxmox.Client, nodes map[string]bool) (Found, error) {
	out := Found{Storages: map[string]bool{}}
	var err error
	if out.Permissions, err = c.Permissions(ctx, ""); err != nil {
		return out, fmt.Errorf("read what the token may do: %w", err)
	}
	shelves := map[string]int{} // of shared storages, and of those seen: where their archives begin
	for _, node := range sortedKeys(nodes) {
		if !nodes[node] {
			continue
		}
		list, err := c.Storages(ctx, node)
		if err != nil {
			return out, fmt.Errorf("list storages of node %s: %w", node, err)
		}
		for _, s := range list {
			if slices.Contains(s.Content, proxmox.ContentBackups) && s.Enabled {
				out.read(ctx, c, node, s, shelves)
			}
		}
	}
	slices.SortStableFunc(out.Archives, func(a, b Archive) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.ID, b.ID))
	})
	return out, nil
}

// read lists one storage of a node; of a shared one, what another node has shown is not asked for again.
func (f *Found) read(ctx context.Context, c *proxmox.Client, node string, s proxmox.Storage, shelves map[string]int) {
	if _, seen := shelves[s.Name]; seen && s.Shared {
		for i := range f.Archives {
			if f.Archives[i].Storage == s.Name {
				f.Archives[i].Nodes = append(f.Archives[i].Nodes, node)
			}
		}
		return
	}
	fail := func(err error) { f.Faults = append(f.Faults, Fault{node, s.Name, err}) }
	if !s.Active {
		fail(errors.New("it is not active: the node cannot reach it"))
		return
	}
	list, err := c.StorageContent(ctx, node, s.Name, proxmox.ContentFilter{Content: proxmox.ContentBackups})
	if err != nil {
		fail(err)
		return
	}
	f.Storages[s.Name] = true
	shelves[s.Name] = len(f.Archives)
	for _, v := range list {
		if v.Guest != 0 && (v.Subtype == "" || v.Subtype == "lxc") {
			f.Archives = append(f.Archives, Archive{Volume: v, Storage: s.Name, Kind: s.Type, Nodes: []string{node}})
		}
	}
}

// Of are the archives of a container, newest first.
func (f Found) Of(id proxmox.VMID) []Archive {
	return slices.DeleteFunc(slices.Clone(f.Archives), func(a Archive) bool { return a.Guest != id })
}

// Archive returns the archive with a volume's name, or nil.
func (f Found) Archive(volume string) *Archive {
	for i := range f.Archives {
		if f.Archives[i].ID == volume {
			return &f.Archives[i]
		}
	}
	return nil
}

// shows reports whether the token is shown the archives of a guest on a storage, and else what is missing.
func (f Found) shows(storage string, id proxmox.VMID) (missing string, ok bool) {
	at, guest := "/storage/"+storage, fmt.Sprintf("/vms/%d", id)
	if f.Permissions.Allows(at, "Datastore.Allocate") {
		return "", true
	}
	var need []string
	if !f.Permissions.Allows(at, "Datastore.AllocateSpace") {
		need = append(need, "Datastore.AllocateSpace on "+at)
	}
	if !f.Permissions.Allows(guest, "VM.Backup") {
		need = append(need, "VM.Backup on "+guest)
	}
	return strings.Join(need, " and "), len(need) == 0
}

// A State says how a container's backups are, measured by what a job promises.
type State int

// The states, from the best to the worst.
const (
	Good    State = iota
	Unknown       // the storage cannot be read, or the token is not shown its archives
	Overdue       // the newest one is older than it may be
	Absent        // there is none
)

// String is the word for a state.
func (s State) String() string { return [...]string{"good", "unknown", "overdue", "absent"}[s] }

// MarshalText encodes the word of String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Promise is what a declared job promises of a container.
type Promise struct {
	Job, Storage string
	Newest       time.Time // of the archives on the job's storage; zero: none is seen
	Limit        time.Time // until when that is new enough; zero: there is no limit
	State        State
	Why          string // in words, where it is not Good
}

// A Container is a container, or what is left of one, and its backups.
type Container struct {
	ID       proxmox.VMID
	Name     string // empty where neither spec nor cluster know it
	Declared bool
	Exists   bool
	Role     Role      // by its tag; empty: it has none
	Archives []Archive // newest first
	Promises []Promise
	Covers   *plan.Coverage // what its backups hold, as it is declared or is now; nil: not known
	Drill    *Drill         // the latest; nil: none is known
}

// State is the worst of its promises; Good where nothing is promised.
func (c Container) State() State {
	worst := Good
	for _, p := range c.Promises {
		worst = max(worst, p.State)
	}
	return worst
}

// A Report is what was found, measured by what is promised.
type Report struct {
	At         time.Time
	Containers []Container // by VMID: those that the spec declares, and others that have archives
	Faults     []Fault
}

// Judge measures what there is by what the declared jobs promise.
func Judge(want *spec.State, have *plan.Live, f Found, now time.Time) Report {
	out := Report{At: now, Faults: f.Faults}
	byID := map[proxmox.VMID]*Container{}
	get := func(id proxmox.VMID) *Container {
		if byID[id] == nil {
			byID[id] = &Container{ID: id}
			if o := have.Containers[id]; o != nil {
				byID[id].Exists, byID[id].Name = true, o.Name
				if o.Managed && o.Broken == nil {
					covers := plan.CoverageOf(o.Current.Record)
					byID[id].Covers = &covers
				}
			}
		}
		return byID[id]
	}
	for _, w := range want.Containers {
		c := get(w.ID)
		covers := plan.CoverageOf(want.Settings(w))
		c.Declared, c.Name, c.Covers = true, w.Name, &covers
	}
	for id, o := range have.Containers {
		if r := roleOf(o.Tags, want.Cluster.Owner); r != "" {
			get(id).Role = r
		}
	}
	for _, a := range f.Archives {
		c := get(a.Guest)
		c.Archives = append(c.Archives, a)
	}
	for _, j := range want.Jobs {
		for _, id := range plan.JobGuests(want, have, j) {
			c := get(id)
			c.Promises = append(c.Promises, promise(j, *c, f, zoneOf(want), now))
		}
	}
	for _, id := range sortedKeys(byID) {
		out.Containers = append(out.Containers, *byID[id])
	}
	return out
}

// zoneOf is the time zone in which schedules of jobs are read: Proxmox reads them in that of the node, which is the
// cluster's where the spec says one.
func zoneOf(want *spec.State) *time.Location {
	if zone, err := spec.Location(want.Cluster.TimeZone); err == nil {
		return zone
	}
	return time.Local
}

func promise(j *spec.BackupJob, c Container, f Found, zone *time.Location, now time.Time) Promise {
	p := Promise{Job: j.Name, Storage: spec.JobStorage.Or(j.Settings, "")}
	for _, a := range c.Archives {
		if a.Storage == p.Storage {
			p.Newest = a.Created
			break
		}
	}
	switch missing, shown := f.shows(p.Storage, c.ID); {
	case !spec.JobEnabled.Or(j.Settings, true):
		p.Why = "the job is not enabled"
		return p
	case !f.Storages[p.Storage]:
		p.State, p.Why = Unknown, "storage "+p.Storage+" could not be read"
		return p
	case !shown:
		p.State, p.Why = Unknown, "the token is not shown its backups: it lacks "+missing
		return p
	case p.Newest.IsZero():
		p.State, p.Why = Absent, "there is none on "+p.Storage
		return p
	}
	if p.Limit = j.Limit(p.Newest, zone); !p.Limit.IsZero() && now.After(p.Limit) {
		p.State, p.Why = Overdue, "a newer one should have been there"
	}
	return p
}
