package plan

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/spec/setting"
)

// Live is an observation of a cluster. Package live makes it.
type Live struct {
	Cluster    string          // the cluster's name, or the node's where there is none
	Nodes      map[string]bool // by name; whether the node is online
	TagStyle   setting.TagStyle
	Containers map[proxmox.VMID]*Observed

	// The rest is read only for plans that need it; nil: not read.

	Guests    map[proxmox.VMID]string               // guests other than containers: "VM 104 (mail) on pve1"
	HA        map[proxmox.VMID]string               // states of the containers that HA manages
	Storages  map[string]map[string]proxmox.Storage // by node and name
	Templates map[string]map[string]bool            // volumes of templates, by node
	Bridges   map[string]map[string]bool            // bridges that the token sees, by node
	Volumes   map[Shelf]map[string]bool             // volumes that the token sees

	// Disks are those of nodes, where something is to be put on them; a node without an entry was not read. What could
	// not be read is unknown, and in nobody's way.
	Disks map[string]*health.Node

	// Permissions are what the token may do.
	Permissions proxmox.Permissions
	// Shown says that the plan is for a person, so that it is looked over as far as reading can.
	Shown bool
	// Appliances are the templates that a node may download, by node.
	Appliances map[string][]proxmox.Appliance
	Pools      map[string]bool              // pools that the token may see
	PoolOf     map[proxmox.VMID]string      // in which pool guests are, where the spec says of any where it shall be
	Jobs       map[string]proxmox.BackupJob // by id, where the spec is about backup jobs
	JobsBroken error                        // why they could not be read

	// HostMounts are what root on nodes has read, Snippets what is in place of those of the spec, by node and volume,
	// and HostMountsBroken why either could not be read. Where nobody acts as root, nothing is known.
	HostMounts       map[string]*proxmox.NodeMounts
	Snippets         map[string]map[string]proxmox.SnippetStatus
	HostMountsBroken map[string]error
}

// Observed is one container as it was found.
type Observed struct {
	Ref     proxmox.Ref
	Name    string
	Tags    []string
	Running bool
	Uptime  time.Duration // 0: not known
	Lock    string
	Holder  *Holder // of the lock; nil: not looked for
	// Managed says that the configuration was read: the container is declared or carries the owner's tag.
	Managed bool
	Config  proxmox.Config
	// Raw are the lines for LXC itself, which the configuration does not show; nil: not read.
	Raw    []proxmox.RawLine
	Broken error // why the configuration could not be read or understood; nil where it could

	// Read only for containers that are stuck or rolled back, or that have a snapshot taken; nil: not read.

	Snapshots []proxmox.Snapshot
	// Held are the configurations that snapshots hold, by their names, as far as a rollback is concerned with them.
	Held       map[string]proxmox.Values
	LastDelete proxmox.TaskStatus // the latest delete of a snapshot that the token sees; zero: none
	Remnant    *Remnant

	Current setting.Live // in force
	Next    setting.Live // in force once the container has stopped
}

// Understand decodes the configuration that was read into Current and Next.
func (o *Observed) Understand() error {
	var err error
	current := o.values()
	if o.Current, err = setting.Container.ParseValues(current); err != nil {
		return err
	}
	if len(o.Config.Pending) == 0 && len(o.Config.Deleted) == 0 {
		o.Next = o.Current
		return nil
	}
	next := maps.Clone(current)
	for key := range o.Config.Deleted {
		delete(next, key)
	}
	maps.Copy(next, o.Config.Pending)
	o.Next, err = setting.Container.ParseValues(next)
	return err
}

// values are the values in force, with the raw lines as the table reads them. They are kept out of Config, which is
// compared with later readings that do not show them.
func (o *Observed) values() proxmox.Values {
	if len(o.Raw) == 0 {
		return o.Config.Current
	}
	var lines []string
	for _, l := range o.Raw {
		lines = append(lines, l.Key+": "+l.Value)
	}
	out := maps.Clone(o.Config.Current)
	out[setting.Raw.PVE] = setting.Raw.FormatWire(lines)
	return out
}

// Owned reports whether the container carries a tag. Proxmox may have changed the tag's case.
func (o *Observed) Owned(owner string) bool {
	return slices.ContainsFunc(o.Tags, func(t string) bool { return equalFold(t, owner) })
}

// pending reports whether a Proxmox key has a pending change.
func (o *Observed) pending(key string) bool {
	_, set := o.Config.Pending[key]
	return set || o.Config.Deleted[key]
}

// volumes are the volumes that Proxmox would free with the container.
func (o *Observed) volumes() []string {
	found := map[string]bool{}
	for _, l := range []setting.Live{o.Current, o.Next} {
		add := func(r setting.Record) {
			if v, ok := setting.Volume.Get(r); ok {
				found[v] = true
			}
		}
		add(setting.RootFS.Or(l.Record, nil))
		for _, r := range mountsOf(l.Record) {
			add(r)
		}
		for _, v := range l.Unused {
			found[v] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// baseVolumes are the mounted volumes that templates have, from which others are cloned, and all other ones.
func (o *Observed) baseVolumes() (base, others []string) {
	mounts := mountsOf(o.Current.Record)
	for _, r := range append([]setting.Record{setting.RootFS.Or(o.Current.Record, nil)}, slices.Collect(maps.Values(mounts))...) {
		v, ok := setting.Volume.Get(r)
		name := v[max(strings.LastIndex(v, "/"), strings.Index(v, ":"))+1:]
		switch {
		case !ok:
		case strings.HasPrefix(name, "base-") || strings.HasPrefix(name, "basevol-"):
			base = append(base, v)
		default:
			others = append(others, v)
		}
	}
	slices.Sort(base)
	return base, others
}

// flagless reports whether a container was a template and somebody has taken the flag alone from it.
func (o *Observed) flagless() bool {
	base, others := o.baseVolumes()
	return len(base) > 0 && len(others) == 0
}

func mountsOf(r setting.Record) setting.Members {
	m, _ := r[setting.Mounts.Path].(setting.Members)
	return m
}
