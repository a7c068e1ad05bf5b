//go:build sequences

// These sequences are not part of the checks yet: a full run takes more memory than the machine of CI has, and some
// seeds end in plans that the test takes for wrong. Run them with: go test -tags sequences -run Sequences ./reconcile

package reconcile_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

const edits = 20 // of a sequence, at least

// TestSequences carries out 2,000 random sequences of edits, each on a cluster of its own, with edits by hand in
// between: of settings, mounts, interfaces, power, sources, dependencies and policies, with containers that go and
// come back. After each edit all is as the spec says, or blocked; no volume is gone without consent; nothing was
// stopped or started that the plan did not name; and what was changed and changed back is as it was.
func TestSequences(t *testing.T) {
	sequences := 2_000
	if underRace || testing.Short() {
		sequences = 200
	}
	start := sequenceStart(t)
	sharded(t, sequences, func(t *testing.T, _ int, seeds []uint64) {
		for _, seed := range seeds {
			q := &sequence{experiment: experiment{T: t, seed: seed, g: newGenerator(seed), node: (&job{start: start.state}).on(t, sim.Options{})}, backup: start.backup}
			q.run()
			if t.Failed() {
				return
			}
			q.node.Close()
		}
	})
}

type beginning struct {
	state  *sim.State
	backup string
}

// sequenceStart is a node with a container and a template of somebody else's to make others of, a backup and an image.
func sequenceStart(t *testing.T) beginning {
	t.Helper()
	n := newNode(t, sim.Options{}, withImage)
	src := state(source(300, func(c *spec.Container) {
		onBtrfs(c)
		setting.Template.Set(c.Settings, true)
	}), source(301, nil))
	src.Cluster.Owner = "golden"
	converged(t, once(t, n.reconciler(nil), src))
	b := beginning{backup: n.backupOf(t, 301)}
	b.state = n.State()
	b.state.Tasks = nil
	return b
}

// A sequence is one case.
type sequence struct {
	experiment
	backup  string
	want    map[proxmox.VMID]*spec.Container
	gone    map[proxmox.VMID]*spec.Container // taken out of the spec
	policy  plan.Policy
	history []string
	last    *plan.Plan // what was left after the latest edit
	debug   func()
}

func (q *sequence) failf(format string, args ...any) {
	q.Helper()
	q.experiment.failf("after %s:\n"+format, append([]any{strings.Join(q.history, "; ")}, args...)...)
}

func (q *sequence) run() {
	q.want, q.gone = map[proxmox.VMID]*spec.Container{}, map[proxmox.VMID]*spec.Container{}
	q.add(201)
	back := q.g.IntN(edits)
	for i := range edits + q.g.IntN(5) {
		q.policy = plan.Policy{WindowOpen: q.g.chance(30), RestartAll: q.g.chance(30)}
		if i > 0 {
			q.edit()
		}
		if q.g.chance(25) {
			q.byHand()
		}
		q.apply()
		if i == back && !q.Failed() {
			q.thereAndBack()
		}
		if q.Failed() {
			return
		}
	}
}

func (q *sequence) state() *spec.State {
	return state(slices.Collect(maps.Values(q.want))...)
}

// edit changes the spec in one way.
func (q *sequence) edit() {
	ids := slices.Sorted(maps.Keys(q.want))
	if len(ids) == 0 {
		q.add(201)
		return
	}
	id := pick(q.g, ids...)
	c := *q.want[id]
	c.Settings = clonedSettings(c.Settings)
	kinds := []struct {
		weight int
		name   string
		f      func(c *spec.Container)
	}{
		{6, "settings", q.settings},
		{3, "add mount", q.addMount},
		{3, "remove mount", q.removeMount},
		{2, "grow", q.grow},
		{2, "move", q.move},
		{2, "rename", q.rename},
		{1, "attach", q.attach},
		{2, "interface", q.interfaces},
		{2, "power", q.power},
		{1, "protection", q.protection},
		{1, "dependsOn", q.dependsOn},
		{1, "free", q.free},
		{2, "remove container", q.remove},
		{2, "add container", func(*spec.Container) { q.addAny() }},
		{1, "options", q.options},
	}
	n := 0
	for _, k := range kinds {
		n += k.weight
	}
	n = q.g.IntN(n)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			q.want[id] = &c
			q.history = append(q.history, fmt.Sprintf("%s %d", k.name, id))
			k.f(&c)
			return
		}
	}
}

func clonedSettings(r setting.Record) setting.Record {
	out := maps.Clone(r)
	for path, v := range out {
		switch v := v.(type) {
		case setting.Members:
			all := setting.Members{}
			for id, m := range v {
				all[id] = maps.Clone(m)
			}
			out[path] = all
		case setting.Record:
			out[path] = maps.Clone(v)
		}
	}
	return out
}

// add puts a container into the spec, made of anything.
func (q *sequence) add(id proxmox.VMID) {
	c := q.g.container(id)
	if !q.g.chance(10) { // most can be made by a token, and most may be restarted
		delete(c.Settings, setting.Unprivileged.Path)
		if f := setting.Features.Or(c.Settings, nil); f != nil {
			delete(f, setting.KeyCtl.Path)
		}
		m, _ := c.Settings[setting.Mounts.Path].(setting.Members)
		maps.DeleteFunc(m, func(_ string, r setting.Record) bool { _, bind := setting.HostPath.Get(r); return bind })
	}
	c.Init.SSHKeys, c.Lifecycle.Ignore, c.DependsOn = nil, nil, nil
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
	q.want[id] = c
	q.history = append(q.history, fmt.Sprintf("add %d from %+v", id, c.From))
}

// addAny adds a container, or one that was there before.
func (q *sequence) addAny() {
	for id := proxmox.VMID(201); id <= 203; id++ {
		if q.want[id] != nil {
			continue
		}
		if old := q.gone[id]; old != nil && q.g.chance(60) {
			q.want[id] = old
			if _, err := q.node.root.Status(q.Context(), ref(id)); err != nil { // its volumes went with it
				fresh := *old
				fresh.Settings = clonedSettings(old.Settings)
				for at, r := range q.mounts(&fresh) {
					if _, named := setting.Volume.Get(r); named {
						q.mounts(&fresh)[at] = q.g.volume()
					}
				}
				q.want[id] = &fresh
			}
		} else if _, err := q.node.root.Status(q.Context(), ref(id)); err != nil {
			q.add(id)
		}
		delete(q.gone, id)
		return
	}
}

func (q *sequence) remove(c *spec.Container) {
	delete(q.want, c.ID)
	q.gone[c.ID] = c
	for _, other := range q.want {
		other.DependsOn = slices.DeleteFunc(slices.Clone(other.DependsOn), func(name string) bool { return name == c.Name })
	}
	q.policy.Prune, q.policy.PruneMax = q.g.chance(60), 3
}

// settings changes some that touch no volume and no interface.
func (q *sequence) settings(c *spec.Container) {
	other := q.g.container(c.ID)
	for _, row := range setting.Container.Rows {
		path := row.SpecPath()
		if _, fam := row.(*setting.Family); fam || !q.g.chance(25) || slices.Contains([]string{
			setting.RootFS.Path, setting.Unprivileged.Path, setting.Template.Path, setting.Arch.Path, setting.OSType.Path,
		}, path) {
			continue
		}
		if v, ok := other.Settings[path]; ok {
			c.Settings[path] = v
		} else {
			delete(c.Settings, path)
		}
	}
}

func (q *sequence) mounts(c *spec.Container) setting.Members {
	m, ok := c.Settings[setting.Mounts.Path].(setting.Members)
	if !ok {
		m = setting.Members{}
		c.Settings[setting.Mounts.Path] = m
	}
	return m
}

// aMount is the path of a mount of the container that is a volume; "" where it has none.
func (q *sequence) aMount(c *spec.Container) string {
	var paths []string
	for at, r := range q.mounts(c) {
		if _, onStorage := setting.Storage.Get(r); onStorage {
			paths = append(paths, at)
		}
	}
	slices.Sort(paths)
	if len(paths) == 0 {
		return ""
	}
	return pick(q.g, paths...)
}

func (q *sequence) addMount(c *spec.Container) {
	q.mounts(c)[pick(q.g, "/data", "/srv/www", "/var/lib/app", "/mnt/a b", "/data/deep")] = q.g.volume()
}

func (q *sequence) removeMount(c *spec.Container) {
	at := q.aMount(c)
	if at == "" {
		return
	}
	if how := pick(q.g, "", "detach", "destroy"); how != "" {
		q.mounts(c)[at] = setting.Record{setting.OnRemove.Path: how}
	} else {
		delete(q.mounts(c), at)
	}
}

func (q *sequence) grow(c *spec.Container) {
	r := setting.RootFS.Or(c.Settings, nil)
	if at := q.aMount(c); at != "" && q.g.chance(60) {
		r = q.mounts(c)[at]
	}
	setting.Size.Set(r, setting.Bytes(1+q.g.IntN(6))*setting.GiB)
}

func (q *sequence) move(c *spec.Container) {
	r := setting.RootFS.Or(c.Settings, nil)
	if at := q.aMount(c); at != "" && q.g.chance(60) {
		r = q.mounts(c)[at]
	}
	setting.Storage.Set(r, pick(q.g, "local", "local-btrfs"))
}

func (q *sequence) options(c *spec.Container) {
	if at := q.aMount(c); at != "" {
		setting.Backup.Set(q.mounts(c)[at], q.g.chance(50))
		setting.MountOptions.Set(q.mounts(c)[at], some(q.g, "nodev", "noatime"))
	}
}

// rename gives a mount another path, with the volume that it has or without saying so.
func (q *sequence) rename(c *spec.Container) {
	at := q.aMount(c)
	to := pick(q.g, "/data", "/srv/new", "/mnt/new")
	if at == "" || q.mounts(c)[to] != nil {
		return
	}
	r := q.mounts(c)[at]
	if volume := q.volumeAt(c.ID, at); volume != "" && q.g.chance(80) {
		r = setting.Record{setting.Volume.Path: volume}
	}
	delete(q.mounts(c), at)
	q.mounts(c)[to] = r
}

// volumeAt is the volume that is mounted somewhere.
func (q *sequence) volumeAt(id proxmox.VMID, at string) string {
	live, ok := q.live(id)
	if !ok {
		return ""
	}
	m, _ := live.Record[setting.Mounts.Path].(setting.Members)
	return setting.Volume.Or(m[at], "")
}

func (q *sequence) live(id proxmox.VMID) (setting.Live, bool) {
	cfg, err := q.node.root.Config(q.Context(), ref(id))
	if err != nil {
		return setting.Live{}, false
	}
	live, err := setting.Container.ParseValues(cfg.Current)
	if err != nil {
		q.failf("%v", err)
	}
	return live, true
}

// attach mounts a volume that nothing mounts.
func (q *sequence) attach(c *spec.Container) {
	live, _ := q.live(c.ID)
	unused := slices.DeleteFunc(slices.Sorted(maps.Values(live.Unused)), func(volume string) bool {
		for _, r := range q.mounts(c) {
			if setting.Volume.Or(r, "") == volume {
				return true
			}
		}
		return false
	})
	if len(unused) > 0 && q.mounts(c)["/old"] == nil {
		q.mounts(c)["/old"] = setting.Record{setting.Volume.Path: pick(q.g, unused...)}
	}
}

// free names a volume that shall be destroyed.
func (q *sequence) free(c *spec.Container) {
	live, _ := q.live(c.ID)
	if unused := slices.Sorted(maps.Values(live.Unused)); len(unused) > 0 {
		q.policy.DestroyVolumes = map[proxmox.VMID][]string{c.ID: {pick(q.g, unused...)}}
	}
}

func (q *sequence) interfaces(c *spec.Container) {
	delete(c.Settings, setting.Network.Path)
	q.g.setNetwork(c.Settings, c.ID)
}

func (q *sequence) power(c *spec.Container) {
	c.Power = pick(q.g, spec.Running, spec.Stopped, spec.Any)
	c.Restart = pick(q.g, spec.RestartNever, spec.RestartWindow, spec.RestartNow)
}

func (q *sequence) protection(c *spec.Container) {
	setting.Protection.Set(c.Settings, q.g.chance(50))
}

func (q *sequence) dependsOn(c *spec.Container) {
	c.DependsOn = nil
	for _, id := range slices.Sorted(maps.Keys(q.want)) {
		if id < c.ID && q.g.chance(60) { // so that there is no circle
			c.DependsOn = append(c.DependsOn, q.want[id].Name)
		}
	}
}

// byHand does what people do at the node.
func (q *sequence) byHand() {
	q.history = append(q.history, "by hand")
	q.disturb(q.state())
	for _, id := range slices.Sorted(maps.Keys(q.want)) {
		live, ok := q.live(id)
		if !ok || !q.g.chance(20) {
			continue
		}
		set := proxmox.Values{}
		slots := slices.Sorted(maps.Values(live.Slots[setting.Mounts.Path]))
		switch unused := slices.Sorted(maps.Values(live.Unused)); q.g.IntN(3) {
		case 0: // another volume in place of one that is mounted
			if len(slots) > 0 && len(unused) > 0 {
				set[pick(q.g, slots...)] = unused[0] + ",mp=/data"
			}
		case 1: // a new one; that of before is kept
			if len(slots) > 0 {
				set[pick(q.g, slots...)] = "local:1,mp=/data"
			}
		case 2: // two swapped
			if m, _ := live.Record[setting.Mounts.Path].(setting.Members); len(slots) > 1 {
				paths := slices.Sorted(maps.Keys(m))
				a, b := paths[0], paths[1]
				set[live.Slots[setting.Mounts.Path][a]] = setting.Mounts.FormatMember(b, m[a])
				set[live.Slots[setting.Mounts.Path][b]] = setting.Mounts.FormatMember(a, m[b])
			}
		}
		if len(set) > 0 {
			err := q.node.root.SetConfig(q.Context(), ref(id), proxmox.Update{Set: set})
			q.history = append(q.history, fmt.Sprintf("volumes of %d by hand: %v (%v)", id, set, err))
		}
	}
}

// apply makes and carries out a plan and holds it against the properties. What comes to light only then, and would
// restart or destroy something, is left and planned again, as a person would.
func (q *sequence) apply() {
	for range 3 {
		if !q.applyOnce() || q.Failed() {
			return
		}
		q.history = append(q.history, "left: again")
	}
	q.failf("something is left each time")
}

func (q *sequence) applyOnce() (left bool) {
	r := q.node.reconcilerAs(strong, nil)
	witness := &witness{Transport: q.node.As(strong)}
	r.Client = proxmox.NewClient(witness)
	r.Policy = q.policy
	before := q.node.volumes(q.T)
	if q.debug != nil {
		q.debug()
	}
	run := r.NewRun(q.state())
	p, _, err := run.Plan(q.Context())
	if err != nil {
		q.failf("%v", err)
		return false
	}
	q.node.reset(nil)
	out, err := run.Apply(q.Context())
	witness.check(q.T)
	left = out.Worst() == reconcile.Left
	if err != nil || out.Worst() > reconcile.Left || !out.Converged() && !left {
		q.failf("%v: %s\nplan\n%s\nleft\n%s", err, summary(out), p, out.Remaining)
		return false
	}
	q.last = out.Remaining
	q.keptOrFreed(before, p)
	q.announced(p)
	if !left && q.g.chance(10) { // and so it stays
		q.same(p)
	}
	return left
}

// same plans again: there is nothing to do, and blocked is what was.
func (q *sequence) same(p *plan.Plan) {
	r := q.node.reconcilerAs(strong, nil)
	r.Policy = q.policy
	r.Policy.DestroyVolumes = nil
	next, _, err := r.Plan(q.Context(), q.state())
	if err != nil || !next.Empty() {
		// a budget or a restart may be used up for one run only
		q.failf("%v, the next plan is not empty:\n%s\nthe first was\n%s", err, next, p)
	}
	known := append(plainReasons(q.last), plainReasons(p)...)
	for _, why := range plainReasons(next) {
		if !slices.Contains(known, why) {
			q.failf("newly blocked: %s\nthe plan was\n%s", why, p)
		}
	}
}

// keptOrFreed checks that no volume is gone without consent: of a container that is destroyed by prune, of a mount
// that says so, or named on the command line.
func (q *sequence) keptOrFreed(before []string, p *plan.Plan) {
	consent := map[string]bool{}
	for _, l := range p.Lanes {
		if w := q.want[l.Ref.ID]; w == nil || w.Power != "" {
			for _, v := range l.Frees {
				consent[v] = l.Action == plan.Destroy && q.policy.Prune && w == nil || q.mayFree(l, v)
			}
		}
	}
	after := q.node.volumes(q.T)
	for _, v := range before {
		if !slices.Contains(after, v) && !consent[v] {
			q.failf("volume %s is gone:\n%s", v, p)
		}
	}
}

// mayFree reports whether the spec or the command line consents to a volume's end.
func (q *sequence) mayFree(l plan.Lane, volume string) bool {
	if slices.Contains(q.policy.DestroyVolumes[l.Ref.ID], volume) {
		return true
	}
	w := q.want[l.Ref.ID]
	if w == nil {
		return false
	}
	for at, r := range q.mounts(w) {
		_, destroy := setting.Removal(r)
		live, err := setting.Container.ParseValues(l.Base.Current)
		m, _ := live.Record[setting.Mounts.Path].(setting.Members)
		if destroy && err == nil && setting.Volume.Or(m[at], "") == volume {
			return true
		}
	}
	return false
}

// announced checks that nothing was stopped or started that the plan did not name.
func (q *sequence) announced(p *plan.Plan) {
	for id, n := range q.stops() {
		planned := 0
		if l := p.Lane(id); l != nil {
			for _, s := range l.Steps {
				if s.Restarts() {
					planned++
				}
			}
		}
		if n > planned {
			q.failf("%d was stopped %d times, planned were %d:\n%s", id, n, planned, p)
		}
	}
	for _, m := range q.node.mutations() {
		var id proxmox.VMID
		if _, err := fmt.Sscanf(m, "POST /nodes/pve1/lxc/%d/status/start", &id); err != nil || !strings.HasSuffix(m, "/start") {
			continue
		}
		if w := q.want[id]; p.Lane(id) == nil || w == nil || w.Power == spec.Stopped {
			q.failf("%d was started:\n%s", id, p)
		}
	}
}

// thereAndBack changes settings that touch no data and changes them back: all is as it was.
func (q *sequence) thereAndBack() {
	q.policy = plan.Policy{RestartAll: true}
	q.apply()
	if q.Failed() || len(q.last.Blocked) > 0 {
		return
	}
	q.history = append(q.history, "A")
	spec, before, volumes := maps.Clone(q.want), q.normal(), q.node.volumes(q.T)
	for _, id := range slices.Sorted(maps.Keys(q.want)) {
		c := *q.want[id]
		c.Settings = clonedSettings(c.Settings)
		q.settings(&c)
		q.options(&c)
		if q.g.chance(50) {
			q.interfaces(&c)
		}
		c.Power = pick(q.g, c.Power, c.Power, "stopped")
		q.want[id] = &c
	}
	for _, step := range []string{"B", "A again"} {
		q.history = append(q.history, step)
		if step != "B" {
			q.want = spec
		}
		q.policy = plan.Policy{RestartAll: true}
		q.apply()
		if q.Failed() {
			return
		}
	}
	after := q.normal()
	for id := range q.want {
		for _, row := range setting.Container.Rows {
			if path := row.SpecPath(); !row.Equal(before[id][path], after[id][path]) {
				q.failf("%d: %s was %v and is %v", id, path, before[id][path], after[id][path])
			}
		}
	}
	if now := q.node.volumes(q.T); !slices.Equal(volumes, now) {
		q.failf("volumes were %v and are %v", volumes, now)
	}
	if len(q.last.Blocked) > 0 {
		q.failf("blocked:\n%s", q.last)
	}
}

// normal is what all containers are like, but for addresses that Proxmox makes and what a spec leaves to an image.
func (q *sequence) normal() map[proxmox.VMID]setting.Record {
	out := map[proxmox.VMID]setting.Record{}
	for id, w := range q.want {
		live, ok := q.live(id)
		if !ok {
			q.Fatal(errors.New("a container is not there"))
		}
		wanted, _ := w.Settings[setting.Network.Path].(setting.Members)
		m, _ := live.Record[setting.Network.Path].(setting.Members)
		for name, r := range m {
			if _, written := setting.MAC.Get(wanted[name]); !written {
				delete(r, setting.MAC.Path)
			}
		}
		for _, row := range []setting.Row{setting.Env, setting.EntryPoint, setting.ConsoleMode} {
			if _, written := w.Settings[row.SpecPath()]; w.From.Image != "" && !written { // as it is
				delete(live.Record, row.SpecPath())
			}
		}
		out[id] = live.Record
	}
	return out
}
