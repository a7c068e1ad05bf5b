package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// create plans a container that does not exist.
//
// A template gives nothing but files: all settings go into the call that makes the container, and it is started
// in the same lane. Images, clones and backups bring settings of their own, some of which no parameter
// overrides. Such a container is made with the owner's tag and not started; the next pass reads it, puts right
// what the source brought, and starts it. So it never runs half-configured.
func (c *computation) create(w *spec.Container, refuse func(string, string, ...string)) {
	if hindrances := c.cannotCreate(w); len(hindrances) > 0 {
		for _, h := range hindrances {
			refuse("create", h.why, h.ways...)
		}
		return
	}
	from := c.resolve(w)
	lane := Lane{Ref: proxmox.Ref{Node: w.Node, ID: w.ID}, Name: w.Name, Action: Create, Uses: slices.Concat(from.after, c.needed(w)), OnMounts: len(c.want.Uses(w)) > 0}
	switch {
	case w.From.Clone.ID != 0:
		lane.Steps = c.cloneSteps(w)
		_, _, lane.After = c.source(w.From.Clone.ID)
	case w.From.Backup != "":
		values, changes := createValues(c.settings(w), c.createFacts(w))
		lane.Changes = withoutRoot(changes)
		values[setting.Description.PVE] = c.mark()
		lane.Steps = []Step{{Op: c.restore(w, values, changes), Cause: adjusted(w)}}
	default:
		values, changes := createValues(c.settings(w), c.createFacts(w))
		if c.needsRoot(w, changes, refuse) {
			return
		}
		lane.Changes = changes
		lane.Steps = []Step{{
			Op:  CreateContainer{Template: from.volume, Pool: c.newPool(w), Values: values, SSHKeys: w.Init.SSHKeys, Password: w.Init.Password},
			Why: changes, Access: createAccess(changes),
		}}
		if env := values[setting.Env.PVE]; env != "" && lane.Steps[0].Access.Root {
			delete(values, setting.Env.PVE)
			lane.Steps = append(lane.Steps, envStep(env, changes))
		}
		if lines := setting.Raw.Or(c.settings(w), nil); len(lines) > 0 {
			lane.Steps = append(lane.Steps, rawStep(lines, changes))
		}
		switch {
		case w.From.Image != "":
			values[setting.Description.PVE] = c.mark()
			lane.Steps[0].Cause = adjusted(w)
		case setting.Template.Or(w.Settings, false):
			lane.Steps = append(lane.Steps, Step{Op: MakeTemplate{}, Cause: "template: true"})
		case w.Power == spec.Running:
			lane.Steps = append(lane.Steps, Step{Op: Start{}, Cause: "state: running"})
		}
	}
	if pool := c.newPool(w); pool != "" {
		ch := setting.Change{Row: spec.PoolName, New: pool}
		lane.Changes, lane.Steps[0].Why = append(lane.Changes, ch), append(lane.Steps[0].Why, ch)
	}
	c.plan.Lanes = append(c.plan.Lanes, lane)
}

func (c *computation) createFacts(w *spec.Container) setting.Facts {
	return setting.Facts{
		Creating: true, Unprivileged: setting.Unprivileged.Or(w.Settings, true), TagStyle: c.have.TagStyle,
	}
}

// adjusted says what follows a create whose source brings settings of its own.
func adjusted(w *spec.Container) string {
	if w.Power == spec.Running {
		return "then put right as the spec says, and started"
	}
	return "then put right as the spec says"
}

// restore is a restore with the settings that a parameter may override. Mounts and interfaces stay those of the
// backup at first: given any mount, Proxmox would make only what is given (pve-container API2/LXC.pm,
// create_vm).
func (c *computation) restore(w *spec.Container, values proxmox.Values, changes []setting.Change) RestoreContainer {
	out := maps.Clone(values)
	for key := range out {
		_, isMount := setting.Mounts.Index(key)
		_, isNet := setting.Network.Index(key)
		_, isDevice := setting.Devices.Index(key)
		if isMount || isNet || isDevice || key == setting.RootFS.PVE {
			delete(out, key)
		}
	}
	for _, ch := range changes {
		if ch.Access.Root {
			delete(out, ch.Row.PVEKey())
		}
	}
	root := setting.RootFS.Or(w.Settings, nil)
	return RestoreContainer{Archive: w.From.Backup, Storage: setting.Storage.Or(root, ""), Pool: c.newPool(w), Values: out}
}

// cloneSteps copy a container and put the owner's tag on the copy. Nothing else can be told to Proxmox with
// the clone but its host name (pve-container API2/LXC.pm, clone_vm).
func (c *computation) cloneSteps(w *spec.Container) []Step {
	from := w.From.Clone
	op := CloneContainer{
		Source: c.have.Containers[from.ID].Ref, Hostname: w.Hostname(), Description: c.mark(), Snapshot: from.Snapshot,
		Kind: from.Kind, Pool: c.newPool(w),
	}
	if from.Kind == spec.FullClone {
		op.Storage = setting.Storage.Or(setting.RootFS.Or(w.Settings, nil), "")
	}
	if op.Source.Node != w.Node {
		op.Target = w.Node
	}
	return []Step{
		{Op: op, Cause: adjusted(w)},
		{Op: c.ownTags(w), Cause: "the owner's tag"},
	}
}

// ownTags sets the tags that a container shall have, the owner's among them.
func (c *computation) ownTags(w *spec.Container) SetConfig {
	tags := setting.Tags.Or(c.settings(w), nil)
	if setting.Tags.Normal != nil {
		tags = setting.Tags.Normal(tags, setting.Facts{TagStyle: c.have.TagStyle})
	}
	return SetConfig{Set: proxmox.Values{setting.Tags.PVE: setting.Tags.FormatWire(tags)}}
}

// A hindrance is why something cannot be done, and what helps.
type hindrance struct {
	why  string
	ways []string
}

// cannotCreate says all that keeps a container from being made; nothing where it can be. What makes the rest
// pointless to ask stands alone.
func (c *computation) cannotCreate(w *spec.Container) []hindrance {
	if why, ways := c.cannotBe(w); why != "" {
		return []hindrance{{why, ways}}
	}
	var out []hindrance
	note := func(why string, ways []string) {
		if why != "" {
			out = append(out, hindrance{why, ways})
		}
	}
	note(c.cannotJoin(c.newPool(w)))
	note(c.lacksOf(w), []string{"see why it is blocked", "take it out of the container"})
	if w.From.Clone.ID != 0 {
		note(c.cannotClone(w))
		return out
	}
	note(c.noTemplate(w))
	note(c.doubles(w))
	return append(out, c.cannotPlace(w)...)
}

// cannotBe says why there can be no such container, whatever it is made from.
func (c *computation) cannotBe(w *spec.Container) (why string, ways []string) {
	online, known := c.have.Nodes[w.Node]
	path := "/vms/" + w.ID.String()
	switch {
	case c.have.Permissions != nil && !c.have.Permissions.Allows(path, "VM.Audit"):
		return "the token may not see it, if it exists: it lacks VM.Audit on " + path,
			[]string{"give the token VM.Audit there", "tend doctor --role prints the roles and entries that the spec needs"}
	case !known:
		return fmt.Sprintf("node %s does not exist", w.Node),
			[]string{"write one of the cluster's nodes: " + join(slices.Sorted(maps.Keys(c.have.Nodes)))}
	case !online:
		return fmt.Sprintf("node %s is offline", w.Node), []string{"bring the node back"}
	case c.have.Guests[w.ID] != "":
		return fmt.Sprintf("VMID %d is taken by %s", w.ID, c.have.Guests[w.ID]), []string{"give the container another id"}
	case w.From.IsZero():
		return "it does not exist, and the spec does not say what to make it from",
			[]string{"write from: {template: …}", "correct the id, if the container exists under another one"}
	}
	return "", nil
}

// noTemplate says why the template of a container is not to be had. A storage that the token may not see is not
// listed, and neither is what it holds.
func (c *computation) noTemplate(w *spec.Container) (why string, ways []string) {
	from, present := c.resolve(w), c.have.Templates[w.Node]
	template := from.volume
	switch {
	case from.why != "":
		return from.why, from.ways
	case present == nil || template == "" || from.unknown || from.after != nil || present[template]:
		return "", nil
	}
	storage, _, _ := strings.Cut(template, ":")
	if _, seen := c.have.Storages[w.Node][storage]; !seen {
		return fmt.Sprintf("storage %s of template %s is not on node %s, or the token may not see it", storage, template, w.Node),
			[]string{"give the token Datastore.Audit on /storage/" + storage, "correct the name of the storage"}
	}
	return fmt.Sprintf("template %s is not on node %s", template, w.Node), templateWays(template, present)
}

// doubles says which container runs that this one would be a second of: one that tend manages and the spec does not
// declare any more, with its name or one of its addresses. Most likely its id was changed.
func (c *computation) doubles(w *spec.Container) (why string, ways []string) {
	mine := addresses(w.Settings)
	for _, id := range slices.Sorted(maps.Keys(c.have.Containers)) {
		have := c.have.Containers[id]
		declared := slices.ContainsFunc(c.want.Containers, func(x *spec.Container) bool { return x.ID == id })
		if declared || !have.Running || !have.Owned(c.want.Cluster.Owner) {
			continue
		}
		same := ""
		for a := range addresses(have.Current.Record) {
			if mine[a] {
				same = "address " + a
			}
		}
		if strings.EqualFold(have.Name, w.Hostname()) {
			same = "name " + have.Name
		}
		if same != "" {
			return fmt.Sprintf("container %d, which the spec does not declare, runs with the same %s", id, same), []string{
				fmt.Sprintf("write id: %d, if it is the same container", id), c.policy.Voice.destroyOther(),
			}
		}
	}
	return "", nil
}

// addresses are the fixed addresses of a container, without their prefix length.
func addresses(r setting.Record) map[string]bool {
	out := map[string]bool{}
	members, _ := r[setting.Network.Path].(setting.Members)
	for _, net := range members {
		for _, key := range []setting.Key[string]{setting.IPv4, setting.IPv6} {
			if a, _, fixed := strings.Cut(key.Or(net, ""), "/"); fixed {
				out[a] = true
			}
		}
	}
	return out
}

// cannotPlace says which volumes of a new container find no place, and why.
func (c *computation) cannotPlace(w *spec.Container) (out []hindrance) {
	root := setting.RootFS.Or(w.Settings, nil)
	if _, ok := setting.Storage.Get(root); !ok {
		out = append(out, hindrance{
			"the spec does not say on which storage its root file system shall lie", []string{"write rootfs: {storage: …, size: …}"},
		})
	}
	mounts := mountsOf(c.settings(w))
	for _, id := range slices.Sorted(maps.Keys(mounts)) {
		removed, _ := setting.Removal(mounts[id])
		_, onStorage := setting.Storage.Get(mounts[id])
		volume, isVolume := setting.Volume.Get(mounts[id])
		if isVolume && !removed {
			if why, ways := c.cannotAttach(w, volume); why != "" {
				out = append(out, hindrance{"mount " + id + ": " + why, ways})
			}
		}
		if !removed && !onStorage && !isVolume && setting.HostPath.Or(mounts[id], "") == "" {
			out = append(out, hindrance{
				"the spec does not say what mount " + id + " shows", []string{"write storage and size for it, or volume, or hostPath, or hostMount"},
			})
		}
	}
	need := map[string]bool{}
	for _, r := range append([]setting.Record{root}, slices.Collect(maps.Values(mounts))...) {
		if s, ok := setting.Storage.Get(r); ok {
			need[s] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(need)) {
		if why, ways := c.cannotHold(w.Node, name); why != "" {
			out = append(out, hindrance{why, ways})
		}
	}
	return out
}

// cannotClone says why a container cannot be copied, by the rules of pve-container API2/LXC.pm, clone_vm.
func (c *computation) cannotClone(w *spec.Container) (why string, ways []string) {
	from := w.From.Clone
	source := c.have.Containers[from.ID]
	switch {
	case source == nil:
		return fmt.Sprintf("container %d, which it shall be a clone of, does not exist", from.ID), []string{"correct from.clone.id"}
	case source.Running && from.Snapshot == "" && from.Kind != spec.LinkedClone:
		return fmt.Sprintf("container %d runs, and a running container is copied from a snapshot only", from.ID),
			[]string{"write from.clone.snapshot", "stop it first"}
	}
	why, ways, _ = c.source(from.ID)
	return why, ways
}

func templateWays(template string, present map[string]bool) []string {
	ways := []string{fmt.Sprintf("download it: pveam download STORAGE %s", template[strings.LastIndex(template, "/")+1:])}
	if near := setting.Nearest(template, slices.Sorted(maps.Keys(present))); near != "" {
		ways = append(ways, "write the one that is there: "+near)
	}
	return ways
}

// cannotHold says why a storage of a node cannot take volumes, and what helps.
func (c *computation) cannotHold(node, name string) (why string, ways []string) {
	all := c.have.Storages[node]
	if all == nil {
		return "", nil
	}
	var fit []string
	for _, n := range slices.Sorted(maps.Keys(all)) {
		if slices.Contains(all[n].Content, "rootdir") {
			fit = append(fit, n)
		}
	}
	use := []string{"write one of: " + join(fit)}
	s, ok := all[name]
	switch {
	case !ok:
		return fmt.Sprintf("storage %s does not exist on node %s", name, node), use
	case !slices.Contains(s.Content, "rootdir"):
		return fmt.Sprintf("storage %s does not take volumes of containers (content rootdir)", name), use
	case !s.Active || !s.Enabled:
		return fmt.Sprintf("storage %s is not active on node %s", name, node), append([]string{"activate it"}, use...)
	}
	return "", nil
}

// createValues are the parameters of a create, and the changes that they are.
func createValues(want setting.Record, f setting.Facts) (proxmox.Values, []setting.Change) {
	values, changes := proxmox.Values{}, []setting.Change(nil)
	for _, row := range setting.Container.Rows {
		i := row.Info()
		if fam, ok := row.(*setting.Family); ok {
			members, _ := want[i.Path].(setting.Members)
			if fam == setting.Mounts {
				members = mounted(members)
			}
			for n, id := range slices.Sorted(maps.Keys(members)) {
				r := fam.Member.Merge(members[id], nil, f)
				values[fam.Key(n)] = fam.FormatMember(id, r)
				changes = append(changes, fam.Change(id, nil, &r, n, f))
			}
			continue
		}
		v, ok := row.Want(want[i.Path], nil, f)
		if !ok || i.Path == setting.Template.Path { // made of it afterwards
			continue
		}
		_, written := want[i.Path]
		text := row.FormatWire(v)
		if text == "" || !written && row.Equal(v, nil) {
			continue // Proxmox's own default
		}
		if i.Path != setting.Raw.Path { // which no call takes: they are written afterwards
			values[i.PVE] = text
		}
		if written {
			changes = append(changes, scalarChange(row, nil, v, f))
		}
	}
	return values, changes
}

// mounted are the mounts of a spec without those that only say that they shall go.
func mounted(all setting.Members) setting.Members {
	out := setting.Members{}
	for id, r := range all {
		if removed, _ := setting.Removal(r); !removed {
			out[id] = r
		}
	}
	return out
}
