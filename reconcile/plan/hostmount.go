package plan

import (
	"fmt"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// Why host mounts and snippets are for root, and what Proxmox has for them.
var (
	mountAccess = setting.Access{
		Root: true, Reason: "host mounts are made by root on the node", Refusal: "there is no call that mounts a disk as it is",
	}
	snippetAccess = setting.Access{
		Root: true, Reason: "snippets are put in place by root on the node",
		Refusal: "value 'snippets' does not have a value in the enumeration 'iso, vztmpl, import'",
	}
)

// A mountState is what a host mount of the spec is on its node, for the containers that use it.
type mountState struct {
	after []Subject // the lane that mounts it, where it is not mounted yet
	why   string    // why it cannot be mounted; empty where it is, will be, or is not known
}

// hostMounts plans the host mounts of the spec, before the containers that use them.
func (c *computation) hostMounts() {
	c.mounts = map[string]mountState{}
	for _, m := range c.want.HostMounts {
		c.mounts[m.Name] = c.hostMount(m)
	}
}

// unmounts takes away the host mounts of tend that are in the spec no more, after the containers.
func (c *computation) unmounts() {
	if !c.want.ManagesHostMounts {
		return
	}
	for _, node := range c.policy.RootNodes {
		have := c.have.HostMounts[node]
		if have == nil {
			continue
		}
		for _, m := range have.Mounts {
			wanted := slices.ContainsFunc(c.want.HostMounts, func(w *spec.HostMount) bool { return w.Node == node && w.Path == m.Path })
			if m.Owner == c.want.Cluster.Owner && !wanted {
				c.unmount(node, m, have)
			}
		}
	}
}

// hostMount plans one host mount.
func (c *computation) hostMount(m *spec.HostMount) mountState {
	block := func(what, why string, ways ...string) mountState {
		c.block(Blocked{Kind: HostMountKind, Name: m.Name, Node: m.Node, What: what, Reason: why, Ways: ways})
		return mountState{why: fmt.Sprintf("host mount %s is not there: %s", m.Name, why)}
	}
	online, known := c.have.Nodes[m.Node]
	switch {
	case !known:
		return block("mount", fmt.Sprintf("node %s does not exist", m.Node), "correct the node")
	case !online:
		return block("mount", fmt.Sprintf("node %s is offline", m.Node), "bring the node back")
	case c.barred(mountAccess, m.Node):
		block("mount", c.noRootHere("whether it is mounted is not known, for only root on the node can see and mount it", m.Node), c.rootWays(m.Node)...)
		return mountState{} // it may well be mounted
	case c.have.HostMountsBroken[m.Node] != nil:
		return block("mount", c.have.HostMountsBroken[m.Node].Error(), "see what keeps root on the node from reading them")
	}
	have := c.have.HostMounts[m.Node]
	if have == nil { // nobody has looked: as for a person who wants to see the commands
		have = &proxmox.NodeMounts{Found: map[string]proxmox.FileSystem{m.Device: {Device: m.Device, Type: "unknown"}}}
		m = &spec.HostMount{HostMount: m.HostMount, Node: m.Node, Place: m.Place}
	}
	status, exists := have.Status(m.Path)
	if exists && status.Owner != c.want.Cluster.Owner {
		return block("mount", fmt.Sprintf("%s is the host mount %s of the owner %s", m.Path, status.Name, status.Owner), "write another path", "take it out of the other spec")
	}
	if i := slices.IndexFunc(have.Others, func(o proxmox.OtherMount) bool { return o.Path == m.Path }); i >= 0 {
		return block("mount", fmt.Sprintf("%s is mounted there, which is not tend's: %s", have.Others[i].By, m.Path), "unmount it and take it out of where it is written", "write another path")
	}
	if exists && status.Right && status.Enabled && status.Equal(m.HostMount) {
		return mountState{}
	}
	if why := cannotMount(m, have); why != "" {
		return block("mount", why, "plug the disk in", "write one of those that are there")
	}
	if why := c.inTheWay(m, status, have); why != "" {
		return block("change", why, "stop those containers first")
	}
	lane := Lane{Kind: HostMountKind, Name: m.Name, Ref: proxmox.Ref{Node: m.Node}, Action: Create, Changes: mountChanges(m, status)}
	if exists {
		lane.Action = Change
	}
	lane.Steps = []Step{{Op: MountHost{Owner: c.want.Cluster.Owner, Mount: m.HostMount}, Access: mountAccess, Why: lane.Changes, Cause: remounted(status, exists)}}
	c.plan.Lanes = append(c.plan.Lanes, lane)
	return mountState{after: []Subject{lane.Subject()}}
}

// cannotMount says why what is there cannot be mounted.
func cannotMount(m *spec.HostMount, have *proxmox.NodeMounts) string {
	var found []proxmox.FileSystem
	if f, ok := have.Found[m.Device]; ok {
		found = append(found, f)
	}
	if len(found) == 1 && found[0].Type == "unknown" {
		return ""
	}
	for _, f := range have.FileSystems { // more than one of a label
		if len(found) == 0 && f.Is(m.Device) {
			found = append(found, f)
		} else if f.Is(m.Device) && f.Device != found[0].Device {
			found = append(found, f)
		}
	}
	return proxmox.CannotMount(m.HostMount, found, have.FileSystems)
}

// inTheWay says who uses what would have to be unmounted first.
func (c *computation) inTheWay(m *spec.HostMount, status proxmox.MountStatus, have *proxmox.NodeMounts) string {
	stays := status.Right && status.Device == m.Device && (m.Filesystem == "" || m.Filesystem == status.Filesystem || status.Filesystem == "")
	if status.Mounted == "" || stays {
		return ""
	}
	uses := have.UsesBelow(m.Path)
	if len(uses) == 0 {
		return ""
	}
	return fmt.Sprintf("%s is mounted at %s and would have to be unmounted, and it is used by %s", status.Mounted, m.Path, usedBy(uses))
}

func usedBy(uses []proxmox.PathUse) string {
	var words []string
	for _, u := range uses {
		words = append(words, u.String())
	}
	return join(words)
}

// remounted says what is done besides what changes.
func remounted(status proxmox.MountStatus, exists bool) string {
	switch {
	case exists && status.Mounted == "":
		return "it is not mounted"
	case exists && !status.Right:
		return status.Mounted + " is mounted in its place"
	case exists && !status.Enabled:
		return "the start of the node would not mount it"
	}
	return ""
}

// mountChanges are what a host mount is told, where that is new.
func mountChanges(m *spec.HostMount, status proxmox.MountStatus) (out []setting.Change) {
	want, have := m.Record(), (&spec.HostMount{HostMount: status.HostMount}).Record()
	for _, row := range []setting.Row{spec.HostMountDevice, spec.HostMountPoint, spec.HostMountFS, spec.HostMountOptions} {
		old, new := have[row.SpecPath()], want[row.SpecPath()]
		if !row.Equal(old, new) {
			out = append(out, setting.Change{Row: row, Old: old, New: new})
		}
	}
	return out
}

// unmount plans that a host mount goes, once nobody uses it.
func (c *computation) unmount(node string, m proxmox.MountStatus, have *proxmox.NodeMounts) {
	uses, after := c.left(have.UsesBelow(m.Path), m.Path)
	if len(uses) > 0 {
		c.block(Blocked{
			Kind: HostMountKind, Name: m.Name, Node: node, What: "unmount", Waiting: true,
			Reason: fmt.Sprintf("it is not in the spec, and %s is used by %s", m.Path, usedBy(uses)),
			Ways:   []string{"take the mounts out of those containers and restart them", "write it in the spec again"},
		})
		return
	}
	c.plan.Lanes = append(c.plan.Lanes, Lane{
		Kind: HostMountKind, Name: m.Name, Ref: proxmox.Ref{Node: node}, Action: Destroy, After: after,
		Steps: []Step{{
			Op: UnmountHost{Owner: m.Owner, Mount: m.HostMount}, Access: mountAccess,
			Cause: m.Path + " is not in the spec; what is on the disk stays",
		}},
	})
}

// left are those who will still use a host mount once the plan is carried out; after are the containers that let go of it
// in their lanes.
func (c *computation) left(uses []proxmox.PathUse, where string) (left []proxmox.PathUse, after []proxmox.VMID) {
	for _, u := range uses {
		if u.Guest != 0 && c.letsGo(u.Guest, where) {
			after = append(after, u.Guest)
		} else {
			left = append(left, u)
		}
	}
	return left, after
}

// letsGo reports whether the lane of a container ends with nothing of it using a path below another: it is destroyed, or
// its mounts are others and it has stopped on the way.
func (c *computation) letsGo(id proxmox.VMID, where string) bool {
	l, have := c.plan.Lane(id), c.have.Containers[id]
	if l == nil || have == nil {
		return false
	}
	if l.Action == Destroy {
		return true
	}
	stops := !have.Running || slices.ContainsFunc(l.Steps, Step.Restarts)
	blocked := slices.ContainsFunc(c.plan.Blocked, func(b Blocked) bool { return b.ID == id })
	i := slices.IndexFunc(c.want.Containers, func(w *spec.Container) bool { return w.ID == id })
	if !stops || blocked || i < 0 {
		return false
	}
	settings := c.settings(c.want.Containers[i])
	mine := proxmox.NodeMounts{}
	for _, r := range mountsOf(settings) {
		mine.Uses = append(mine.Uses, proxmox.PathUse{Path: setting.HostPath.Or(r, "")})
	}
	for _, line := range setting.Raw.Or(settings, nil) {
		if source, ok := setting.RawSource(line); ok {
			mine.Uses = append(mine.Uses, proxmox.PathUse{Path: source})
		}
	}
	return len(mine.UsesBelow(where)) == 0
}

// noRootHere says why something that only root can do is not done.
func (c *computation) noRootHere(what, node string) string {
	if len(c.policy.RootNodes) > 0 {
		return fmt.Sprintf("%s; tend may act as root on %s, and this is about %s", what, join(c.policy.RootNodes), node)
	}
	return what + ", and tend acts with an API token"
}

func (c *computation) rootWays(node string) []string {
	return []string{
		"run tend on " + node + " with a lane for root (lane: helper)", "do it by hand: tend plan --root-commands prints how",
	}
}

// useMounts makes the lane of a container wait for the host mounts that it uses, and says which cannot be had.
func (c *computation) useMounts(w *spec.Container) (after []Subject, why string) {
	for _, m := range c.want.Uses(w) {
		s := c.mounts[m.Name]
		if s.why != "" && why == "" {
			why = s.why
		}
		after = append(after, s.after...)
	}
	return after, why
}

// onMissingMount says why an edit of a container waits: it adds what shows a host mount that is not there.
func (c *computation) onMissingMount(w *spec.Container, e edit) string {
	for _, m := range c.want.Uses(w) {
		s := c.mounts[m.Name]
		if s.why == "" {
			continue
		}
		for id, r := range mountsOf(w.Settings) {
			if setting.HostMount.Or(r, "") != m.Name {
				continue
			}
			if e.change.Row == setting.Mounts && e.change.Identity == id && e.change.New != nil {
				return s.why
			}
			if e.kind == editRaw && addedByRaw(e)[id] {
				return s.why
			}
		}
	}
	return ""
}

// needed are the lanes that must have ended well before a container is made, changed or started: those of its host
// mounts, and of its hook script.
func (c *computation) needed(w *spec.Container) []Subject {
	after, _ := c.useMounts(w)
	if s := c.want.Script(w); s != nil {
		after = append(after, c.scripts[s.Name][w.Node].after...)
	}
	return after
}

// lacksOf says what a container needs of its node and cannot have.
func (c *computation) lacksOf(w *spec.Container) string {
	_, why := c.useMounts(w)
	if s := c.want.Script(w); why == "" && s != nil {
		why = c.scripts[s.Name][w.Node].why
	}
	return why
}

// lacking reports whether a container is not started, since it would run without a host mount.
func (c *computation) lacking(w *spec.Container) bool {
	_, why := c.useMounts(w)
	if why != "" {
		c.block(Blocked{ID: w.ID, Name: w.Name, What: "start", Waiting: true, Reason: why, Ways: []string{"see why it is blocked"}})
	}
	return why != ""
}

// missing says why an edit waits: what it names on the node is not there.
func (c *computation) missing(w *spec.Container, e edit) string {
	if s := c.want.Script(w); s != nil && e.change.Row.SpecPath() == setting.HookScript.Path && e.change.New != nil {
		return c.scripts[s.Name][w.Node].why
	}
	return c.onMissingMount(w, e)
}
