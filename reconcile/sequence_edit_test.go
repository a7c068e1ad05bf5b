package reconcile_test

import (
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// An editKind is one way in which people edit a spec.
type editKind struct {
	name   string
	weight int
	// make edits a copy of a container, and reports whether there was anything to edit.
	make func(q *sequence, c *spec.Container) bool
}

// editKinds are all ways; TestSequences fails where one of them was never taken.
func editKinds() []editKind {
	return []editKind{
		{"a value of a row", 8, (*sequence).setValue},
		{"a row taken out", 3, (*sequence).dropRow},
		{"several settings", 4, (*sequence).changeSettings},
		{"tags", 1, (*sequence).changeTags},
		{"features", 1, (*sequence).changeFeatures},
		{"protection", 2, (*sequence).changeProtection},
		{"pool", 1, (*sequence).changePool},
		{"ignore", 1, (*sequence).changeIgnore},
		{"interfaces", 3, (*sequence).changeInterfaces},
		{"power", 2, (*sequence).changePower},
		{"restart policy", 2, (*sequence).changeRestart},
		{"dependsOn", 2, (*sequence).changeDependencies},
		{"name", 1, (*sequence).changeName},
		{"mount added", 4, (*sequence).addMount},
		{"mount taken out", 2, (*sequence).dropMount},
		{"mount detached", 2, (*sequence).detachMount},
		{"mount destroyed", 2, (*sequence).destroyMount},
		{"mount options", 2, (*sequence).changeOptions},
		{"mount renamed by its volume", 3, (*sequence).renameByVolume},
		{"mount renamed", 1, (*sequence).renameMount},
		{"mounts swapped", 2, (*sequence).swapMounts},
		{"volume grown", 3, (*sequence).growVolume},
		{"volume shrunk", 1, (*sequence).shrinkVolume},
		{"volume moved", 3, (*sequence).moveVolume},
		{"volume attached", 2, (*sequence).attachVolume},
		{"volume destroyed by name", 2, (*sequence).destroyVolume},
		{"volume asked of another container", 1, (*sequence).claimVolume},
		{"volume given to another container", 2, (*sequence).giveVolume},
		{"container added", 3, (*sequence).addContainer},
		{"container taken out", 2, (*sequence).dropContainer},
		{"container taken out and pruned", 2, (*sequence).pruneContainer},
		{"container recreated", 1, (*sequence).recreateContainer},
		{"made a template", 3, (*sequence).makeTemplate},
		{"sizes written as they are", 1, (*sequence).acceptSizes},
		{"edit taken back", 3, (*sequence).takeBack},
	}
}

// edit changes the spec in one way, into one that a loader would take.
func (q *sequence) edit() {
	kinds := editKinds()
	if q.yield(kinds) {
		return
	}
	n := 0
	for _, k := range kinds {
		n += k.weight
	}
	for {
		ids := slices.Sorted(maps.Keys(q.want))
		if len(ids) == 0 {
			q.addNew(201)
			return
		}
		id, at := pick(q.g, ids...), q.g.IntN(n)
		i := slices.IndexFunc(kinds, func(k editKind) bool { at -= k.weight; return at < 0 })
		if q.tryEdit(kinds[i], id) {
			return
		}
	}
}

// yield does what people mostly do about what cannot be done: else ever more of the spec would be blocked, and less
// of it tried.
func (q *sequence) yield(kinds []editKind) bool {
	for _, b := range q.last.Blocked {
		if !b.Waiting && q.want[b.ID] != nil && q.g.chance(50) {
			return q.tryEdit(pick(q.g, kinds[len(kinds)-2:]...), b.ID)
		}
	}
	return false
}

// tryEdit makes an edit, unless there is nothing to edit or a loader would refuse what comes of it.
func (q *sequence) tryEdit(k editKind, id proxmox.VMID) bool {
	want, policy := maps.Clone(q.want), q.policy
	c := cloned(q.want[id])
	q.want[id] = c
	if !k.make(q, c) || len(spec.Validate(q.state())) > 0 {
		q.want, q.policy = want, policy
		return false
	}
	q.before[id] = want[id]
	q.counts.add("edit: " + k.name)
	q.note("%s of %d", k.name, id)
	return true
}

func cloned(c *spec.Container) *spec.Container {
	out := *c
	out.Settings, out.DependsOn = maps.Clone(c.Settings), slices.Clone(c.DependsOn)
	for path, v := range out.Settings {
		switch v := v.(type) {
		case setting.Members:
			out.Settings[path] = clonedMembers(v)
		case setting.Record:
			out.Settings[path] = maps.Clone(v)
		}
	}
	return &out
}

func clonedMembers(m setting.Members) setting.Members {
	out := setting.Members{}
	for id, r := range m {
		out[id] = maps.Clone(r)
	}
	return out
}

// setValue sets a value of any row, or of a part of one.
func (q *sequence) setValue(c *spec.Container) bool {
	for path, v := range pick(q.g, q.values...) {
		q.counts.add("row: " + path)
		switch v := v.(type) {
		case setting.Members:
			q.setMembers(c, path, v)
		case setting.Record:
			r, _ := c.Settings[path].(setting.Record)
			c.Settings[path] = setting.Overlay(r, withoutVolume(v))
		default:
			c.Settings[path] = v
		}
	}
	return true
}

// setMembers sets members, or parts of those that there are: those of the values are called /data and eth0.
func (q *sequence) setMembers(c *spec.Container, path string, values setting.Members) {
	m, _ := c.Settings[path].(setting.Members)
	if m == nil {
		m = setting.Members{}
		c.Settings[path] = m
	}
	for id, r := range values {
		if have := slices.Sorted(maps.Keys(m)); (id == "/data" || id == "eth0") && len(have) > 0 {
			id = pick(q.g, have...)
		}
		if have := m[id]; have != nil {
			m[id] = setting.Overlay(have, withoutVolume(r))
			continue
		}
		m[id] = maps.Clone(r)
		if path == setting.Mounts.Path && len(withoutVolume(r)) == 0 || id == "/data" {
			m[id] = setting.Overlay(q.g.volume(), withoutVolume(r))
		}
	}
}

// withoutVolume is a value without the name of a volume that only another container has.
func withoutVolume(r setting.Record) setting.Record {
	out := maps.Clone(r)
	delete(out, setting.Volume.Path)
	return out
}

// dropRow takes a row, a part or a member out of the spec. Mounts go in ways of their own.
func (q *sequence) dropRow(c *spec.Container) bool {
	paths := slices.DeleteFunc(slices.Sorted(maps.Keys(c.Settings)), func(path string) bool { return path == setting.Mounts.Path })
	path := pick(q.g, paths...)
	var names []string
	switch v := c.Settings[path].(type) {
	case setting.Members:
		if names = slices.Sorted(maps.Keys(v)); len(names) > 0 {
			delete(v, pick(q.g, names...))
		}
	case setting.Record:
		names = slices.DeleteFunc(slices.Sorted(maps.Keys(v)), func(part string) bool {
			return slices.Contains([]string{setting.Storage.Path, setting.Size.Path, setting.Volume.Path}, part)
		})
		if len(names) > 0 {
			delete(v, pick(q.g, names...))
		}
	default:
		delete(c.Settings, path)
		return true
	}
	return len(names) > 0
}

// changeSettings changes some rows that are neither families nor the root file system.
func (q *sequence) changeSettings(c *spec.Container) bool {
	other := q.g.container(c.ID)
	for _, row := range setting.Container.Rows {
		path := row.SpecPath()
		if _, family := row.(*setting.Family); family || path == setting.RootFS.Path || !q.g.chance(25) {
			continue
		}
		if rare := path == setting.Unprivileged.Path || path == setting.Template.Path; rare && !q.g.chance(10) {
			continue
		}
		if v, ok := other.Settings[path]; ok {
			c.Settings[path] = v
		} else {
			delete(c.Settings, path)
		}
	}
	return true
}

func (q *sequence) changeTags(c *spec.Container) bool {
	setting.Tags.Set(c.Settings, some(q.g, "media", "b-1", "c.d", "Zoo", "0x", "a_b", "tend"))
	return true
}

func (q *sequence) changeFeatures(c *spec.Container) bool {
	f := setting.Record{}
	setting.Nesting.Set(f, q.g.chance(60))
	if q.g.chance(30) {
		setting.KeyCtl.Set(f, true)
	}
	setting.Features.Set(c.Settings, f)
	return true
}

func (q *sequence) changeProtection(c *spec.Container) bool {
	setting.Protection.Set(c.Settings, !setting.Protection.Or(c.Settings, false))
	return true
}

func (q *sequence) changePool(c *spec.Container) bool {
	c.Pool = pick(q.g, nil, new(""), new("lab"), new("customers"))
	return true
}

func (q *sequence) changeIgnore(c *spec.Container) bool {
	c.Lifecycle.Ignore = nil
	if q.g.chance(50) {
		c.Lifecycle.Ignore = some(q.g, "description", "cores", "memory", "network", "features", "startup")
	}
	return true
}

// changeInterfaces adds, removes, renames or changes interfaces.
func (q *sequence) changeInterfaces(c *spec.Container) bool {
	m, _ := c.Settings[setting.Network.Path].(setting.Members)
	names := slices.Sorted(maps.Keys(m))
	if len(names) == 0 || q.g.chance(30) {
		delete(c.Settings, setting.Network.Path)
		q.g.setNetwork(c.Settings, c.ID)
		return true
	}
	name := pick(q.g, names...)
	switch q.g.IntN(4) {
	case 0:
		delete(m, name)
	case 1:
		m[pick(q.g, "wan", "eth2")] = m[name]
		delete(m, name)
	case 2: // two swapped
		other := pick(q.g, names...)
		m[name], m[other] = m[other], m[name]
	default:
		m[name] = q.g.nic(c.ID, q.g.IntN(3))
	}
	return true
}

func (q *sequence) changePower(c *spec.Container) bool {
	c.Power = pick(q.g, spec.Running, spec.Running, spec.Stopped, spec.Any)
	return true
}

func (q *sequence) changeRestart(c *spec.Container) bool {
	c.Restart = pick(q.g, spec.RestartNever, spec.RestartWindow, spec.RestartNow)
	return true
}

func (q *sequence) changeDependencies(c *spec.Container) bool {
	c.DependsOn = nil
	for _, id := range slices.Sorted(maps.Keys(q.want)) {
		if id != c.ID && q.g.chance(60) {
			c.DependsOn = append(c.DependsOn, q.want[id].Name)
		}
	}
	return true
}

func (q *sequence) changeName(c *spec.Container) bool {
	old := c.Name
	c.Name = pick(q.g, "web", "db", "ct") + c.ID.String()
	for id, other := range q.want {
		if i := slices.Index(other.DependsOn, old); i >= 0 {
			q.want[id] = cloned(other)
			q.want[id].DependsOn[i] = c.Name
		}
	}
	return c.Name != old
}

// acceptSizes writes the sizes that volumes have, where the spec says less.
func (q *sequence) acceptSizes(c *spec.Container) (larger bool) {
	live := q.live(c.ID)
	accept := func(r, have setting.Record) {
		if size := setting.Size.Or(have, 0); setting.Size.Or(r, size) < size {
			setting.Size.Set(r, size)
			larger = true
		}
	}
	accept(setting.RootFS.Or(c.Settings, nil), setting.RootFS.Or(live.Record, nil))
	m, _ := live.Record[setting.Mounts.Path].(setting.Members)
	for at, r := range mountsIn(c) {
		accept(r, m[at])
	}
	return larger
}

// takeBack undoes the latest edit of a container.
func (q *sequence) takeBack(c *spec.Container) bool {
	old := q.before[c.ID]
	if old == nil {
		return false
	}
	q.want[c.ID] = old
	return true
}

// makeTemplate makes it a template, which can never be taken back.
func (q *sequence) makeTemplate(c *spec.Container) bool {
	setting.Template.Set(c.Settings, true)
	c.Power = spec.Stopped
	return c.ID == 203
}

// recreateContainer changes what only a new container can have, and allows it to be made anew.
func (q *sequence) recreateContainer(c *spec.Container) bool {
	c.Lifecycle.AllowRecreate, c.Lifecycle.BackupTo = true, "local"
	setting.Unprivileged.Set(c.Settings, !setting.Unprivileged.Or(c.Settings, true))
	for _, r := range mountsIn(c) {
		if _, removed := setting.OnRemove.Get(r); !removed {
			setting.Backup.Set(r, true)
		}
	}
	return true
}

// addContainer adds a container, or one that was there before.
func (q *sequence) addContainer(*spec.Container) bool {
	for id := proxmox.VMID(201); id <= 203; id++ {
		if q.want[id] != nil {
			continue
		}
		there := q.live(id).there
		switch old := q.gone[id]; {
		case old != nil && (there || q.g.chance(60)):
			q.want[id] = cloned(old)
			if !there { // its volumes went with it
				q.forgetVolumes(q.want[id])
			}
			q.want[id].DependsOn = nil
		case !there:
			q.addNew(id)
		default:
			continue
		}
		delete(q.gone, id)
		return true
	}
	return false
}

// addNew puts a container into the spec, made of anything.
func (q *sequence) addNew(id proxmox.VMID) {
	c := q.g.container(id)
	if !q.g.chance(10) { // most can be made by a token
		delete(c.Settings, setting.Unprivileged.Path)
		if f := setting.Features.Or(c.Settings, nil); f != nil {
			delete(f, setting.KeyCtl.Path)
		}
		maps.DeleteFunc(mountsIn(c), func(_ string, r setting.Record) bool { _, bind := setting.HostPath.Get(r); return bind })
	}
	c.Lifecycle = spec.Lifecycle{}
	if q.g.chance(30) { // where snapshots can be taken
		onBtrfs(c)
	}
	switch q.g.IntN(8) {
	case 0:
		c.From = spec.From{Clone: spec.Clone{ID: 300, Kind: pick(q.g, "", spec.FullClone, spec.LinkedClone)}}
	case 1:
		c.From = spec.From{Clone: spec.Clone{ID: 301}}
	case 2:
		c.From = spec.From{Backup: q.backup}
	case 3:
		c.From = spec.From{Image: image}
	}
	if c.From.Template == "" { // what it is made of is as large
		setting.Size.Set(setting.RootFS.Or(c.Settings, nil), 4*setting.GiB)
	}
	q.want[id] = c
	q.note("add %d from %+v", id, c.From)
}

func (q *sequence) dropContainer(c *spec.Container) bool {
	delete(q.want, c.ID)
	q.gone[c.ID] = c
	for id, other := range q.want {
		if slices.Contains(other.DependsOn, c.Name) {
			q.want[id] = cloned(other)
			q.want[id].DependsOn = slices.DeleteFunc(q.want[id].DependsOn, func(name string) bool { return name == c.Name })
		}
	}
	return true
}

func (q *sequence) pruneContainer(c *spec.Container) bool {
	q.policy.Prune, q.policy.PruneMax = true, 3
	return q.dropContainer(c)
}

// destroyVolume names a volume on the command line.
func (q *sequence) destroyVolume(c *spec.Container) bool {
	unused := q.unusedOf(c.ID)
	if len(unused) == 0 {
		return false
	}
	q.policy.DestroyVolumes = map[proxmox.VMID][]string{c.ID: {pick(q.g, unused...)}}
	return true
}
