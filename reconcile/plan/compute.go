package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// Compute makes the plan that turns what there is into what shall be, as far as the policy allows. It is
// total and deterministic, and does not depend on the order of its input.
func Compute(want *spec.State, have *Live, pol Policy) *Plan {
	c := &computation{want: want, have: have, policy: pol, plan: &Plan{Cluster: cmp.Or(want.Cluster.Name, have.Cluster)}}
	claimed := map[proxmox.VMID]bool{}
	for _, w := range want.Containers {
		claimed[w.ID] = true
		c.container(w)
	}
	c.unclaimed(claimed)
	slices.SortFunc(c.plan.Lanes, func(a, b Lane) int {
		return cmp.Or(cmp.Compare(min(a.Action, 1), min(b.Action, 1)), cmp.Compare(a.Ref.ID, b.Ref.ID))
	})
	slices.SortFunc(c.plan.Unused, func(a, b UnusedVolume) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), strings.Compare(a.Volume, b.Volume))
	})
	slices.SortStableFunc(c.plan.Blocked, func(a, b Blocked) int { return cmp.Compare(a.ID, b.ID) })
	return c.plan
}

type computation struct {
	want   *spec.State
	have   *Live
	policy Policy
	plan   *Plan
}

func (c *computation) block(b Blocked) { c.plan.Blocked = append(c.plan.Blocked, b) }

// container plans one declared container.
func (c *computation) container(w *spec.Container) {
	refuse := func(what, reason string, ways ...string) {
		c.block(Blocked{ID: w.ID, Name: w.Name, What: what, Reason: reason, Ways: ways})
	}
	have := c.have.Containers[w.ID]
	if have == nil {
		c.create(w, refuse)
		return
	}
	switch {
	case !have.Owned(c.want.Cluster.Owner) && !w.Adopt:
		c.refuseForeign(w, have, refuse)
	case have.Broken != nil:
		refuse("change", have.Broken.Error(), "put the value right with pct set, or report it as a fault of tend")
	case have.Ref.Node != w.Node:
		refuse("migrate", fmt.Sprintf("lives on node %s, the spec says %s; this version of tend does not migrate", have.Ref.Node, w.Node),
			"write node: "+have.Ref.Node, fmt.Sprintf("migrate it: pct migrate %d %s --restart", w.ID, w.Node))
	default:
		c.change(w, have)
	}
}

func (c *computation) refuseForeign(w *spec.Container, have *Observed, refuse func(string, string, ...string)) {
	reason := fmt.Sprintf("VMID %d is taken by container %q, which does not carry the tag %q of this spec", w.ID, have.Name, c.want.Cluster.Owner)
	if strings.EqualFold(have.Name, w.Name) {
		reason = fmt.Sprintf("a container of this name exists and does not carry the tag %q of this spec", c.want.Cluster.Owner)
	}
	refuse("change", reason, "write adopt: true to take it over as it is", "give the container another id")
}

// settings are the values that a container shall have: those written, its host name and the owner's tag.
func (c *computation) settings(w *spec.Container) setting.Record {
	r := maps.Clone(w.Settings)
	if r == nil {
		r = setting.Record{}
	}
	if _, ok := setting.Hostname.Get(r); !ok {
		setting.Hostname.Set(r, w.Name)
	}
	tags := setting.Tags.Or(r, nil)
	if !slices.Contains(tags, c.want.Cluster.Owner) {
		tags = append(slices.Clone(tags), c.want.Cluster.Owner)
	}
	setting.Tags.Set(r, tags)
	return r
}

// create plans a container that does not exist.
func (c *computation) create(w *spec.Container, refuse func(string, string, ...string)) {
	facts := setting.Facts{
		Creating: true, Unprivileged: setting.Unprivileged.Or(w.Settings, true), TagStyle: c.have.TagStyle,
	}
	if why, ways := c.cannotCreate(w); why != "" {
		refuse("create", why, ways...)
		return
	}
	values, changes := createValues(c.settings(w), facts)
	ok := true
	for _, ch := range changes {
		if ch.Access.Root {
			refuse("create", ch.Label()+": "+ch.Access.Reason+", and this version of tend acts with an API token only; Proxmox would answer: "+ch.Access.Refusal,
				"remove it from the spec", "create the container by hand as root@pam and adopt it")
			ok = false
		}
	}
	if !ok {
		return
	}
	lane := Lane{Ref: proxmox.Ref{Node: w.Node, ID: w.ID}, Name: w.Name, Action: Create, Changes: changes}
	lane.Steps = append(lane.Steps, Step{
		Op:  CreateContainer{Template: w.From.Template, Values: values, SSHKeys: w.Init.SSHKeys, Password: w.Init.Password},
		Why: changes,
	})
	if w.Power == spec.Running {
		lane.Steps = append(lane.Steps, Step{Op: Start{}, Cause: "state: running"})
	}
	c.plan.Lanes = append(c.plan.Lanes, lane)
}

// cannotCreate says why a container cannot be made, and what helps; "" where it can.
func (c *computation) cannotCreate(w *spec.Container) (why string, ways []string) {
	online, known := c.have.Nodes[w.Node]
	switch {
	case !known:
		return fmt.Sprintf("node %s does not exist", w.Node),
			[]string{"write one of the cluster's nodes: " + join(slices.Sorted(maps.Keys(c.have.Nodes)))}
	case !online:
		return fmt.Sprintf("node %s is offline", w.Node), []string{"bring the node back"}
	case c.have.Guests[w.ID] != "":
		return fmt.Sprintf("VMID %d is taken by %s", w.ID, c.have.Guests[w.ID]), []string{"give the container another id"}
	case w.From.Template == "":
		return "it does not exist, and the spec does not say what to make it from",
			[]string{"write from: {template: …}", "correct the id, if the container exists under another one"}
	}
	if t := c.have.Templates[w.Node]; t != nil && !t[w.From.Template] {
		return fmt.Sprintf("template %s is not on node %s", w.From.Template, w.Node), templateWays(w, t)
	}
	root := setting.RootFS.Or(w.Settings, nil)
	if _, ok := setting.Storage.Get(root); !ok {
		return "the spec does not say on which storage its root file system shall lie", []string{"write rootfs: {storage: …, size: …}"}
	}
	need := map[string]setting.Bytes{}
	for _, r := range append([]setting.Record{root}, slices.Collect(maps.Values(mountsOf(w.Settings)))...) {
		if s, ok := setting.Storage.Get(r); ok {
			need[s] += setting.Size.Or(r, 4*setting.GiB)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(need)) {
		if why, ways := c.cannotHold(w.Node, name, need[name]); why != "" {
			return why, ways
		}
	}
	return "", nil
}

func templateWays(w *spec.Container, present map[string]bool) []string {
	ways := []string{fmt.Sprintf("download it: pveam download STORAGE %s", w.From.Template[strings.LastIndex(w.From.Template, "/")+1:])}
	if near := setting.Nearest(w.From.Template, slices.Sorted(maps.Keys(present))); near != "" {
		ways = append(ways, "write the one that is there: "+near)
	}
	return ways
}

// cannotHold says why a storage of a node cannot take new volumes of a size, and what helps.
func (c *computation) cannotHold(node, name string, size setting.Bytes) (why string, ways []string) {
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
			for n, id := range slices.Sorted(maps.Keys(members)) {
				r := fam.Member.Merge(members[id], nil, f)
				values[fam.Key(n)] = fam.FormatMember(id, r)
				changes = append(changes, fam.Change(id, nil, &r, n, f))
			}
			continue
		}
		v, ok := row.Want(want[i.Path], nil, f)
		if !ok {
			continue
		}
		_, written := want[i.Path]
		text := row.FormatWire(v)
		if text == "" || !written && row.Equal(v, nil) {
			continue // Proxmox's own default
		}
		values[i.PVE] = text
		if written {
			changes = append(changes, scalarChange(row, nil, v, f))
		}
	}
	return values, changes
}

func scalarChange(row setting.Row, old, new any, f setting.Facts) setting.Change {
	return setting.Change{
		Row: row, Old: old, New: new,
		Effect: row.Effect(old, new, f), Access: row.Access(old, new, f), Note: row.Note(old, new, f),
	}
}
