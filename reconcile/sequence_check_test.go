package reconcile_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// shown is what somebody saw before a plan was carried out.
type shown struct {
	plan    *plan.Plan
	volumes []string
	have    *plan.Live
}

// keptOrFreed checks that no volume is gone but those that the plan named, and that the spec, the command line or
// prune consents to the end of each of these.
func (q *sequence) keptOrFreed(s shown) {
	frees := map[string]bool{}
	for _, l := range s.plan.Lanes {
		for _, v := range l.Frees {
			frees[v] = true
		}
		if anew := slices.ContainsFunc(l.Steps, func(s plan.Step) bool { _, ok := s.Op.(plan.RestoreOver); return ok }); anew {
			for _, v := range mountedVolumes(s.have.Containers[l.Ref.ID].Current) {
				frees[v] = true
			}
		}
	}
	after, may := q.node.Volumes(), q.consent(s)
	for _, v := range s.volumes {
		switch {
		case slices.Contains(after, v) || slices.Contains(after, inTemplate(v)):
		case !frees[v]:
			q.failf("volume %s is gone, which the plan did not say:\n%s", v, s.plan)
		case !may[v]:
			q.failf("volume %s is gone without consent:\n%s", v, s.plan)
		default:
			q.counts.add("volumes destroyed with consent")
		}
	}
}

// inTemplate is what a volume is called once its container is a template.
func inTemplate(volume string) string {
	return strings.NewReplacer("/vm-", "/base-", "/subvol-", "/basevol-").Replace(volume)
}

// consent is the set of volumes that may go, by what people have said and not by what the plan makes of it.
func (q *sequence) consent(s shown) map[string]bool {
	may := map[string]bool{}
	for id, have := range s.have.Containers {
		w := q.want[id]
		all := slices.Concat(mountedVolumes(have.Current), slices.Collect(maps.Values(have.Current.Unused)), mountedVolumes(have.Next))
		switch {
		case w == nil && q.policy.Prune && have.Owned("tend") && !setting.Protection.Or(have.Current.Record, false):
			for _, v := range all {
				may[v] = true
			}
		case w == nil:
		default:
			for _, v := range q.policy.DestroyVolumes[id] {
				may[v] = true
			}
			current, _ := have.Current.Record[setting.Mounts.Path].(setting.Members)
			for at, r := range mountsIn(w) {
				if _, destroy := setting.Removal(r); destroy {
					may[setting.Volume.Or(current[at], "")] = true
				}
			}
			if w.Lifecycle.AllowRecreate {
				for _, v := range mountedVolumes(have.Current) { // its data is in a backup, and in the volume that took its place
					may[v] = true
				}
			}
		}
	}
	return may
}

func mountedVolumes(l setting.Live) []string {
	out := []string{setting.Volume.Or(setting.RootFS.Or(l.Record, nil), "")}
	m, _ := l.Record[setting.Mounts.Path].(setting.Members)
	for _, r := range m {
		out = append(out, setting.Volume.Or(r, ""))
	}
	return out
}

// announced checks that nothing was stopped or started but as the plan says, and as the policies of the spec allow.
func (q *sequence) announced(s shown) {
	for id, n := range q.stops() {
		planned := 0
		if l := s.plan.Lane(id); l != nil {
			for _, step := range l.Steps {
				if step.Restarts() {
					planned++
				}
			}
		}
		if n > planned {
			q.failf("%d was stopped %d times, planned were %d:\n%s", id, n, planned, s.plan)
		}
		if !q.mayStop(id) {
			q.failf("%d was stopped, which nobody has allowed:\n%s", id, s.plan)
		}
		q.counts.add("containers restarted or stopped")
	}
	for _, m := range q.node.mutations() {
		var id proxmox.VMID
		if _, err := fmt.Sscanf(m, "POST /nodes/pve1/lxc/%d/status/start", &id); err != nil || !strings.HasSuffix(m, "/start") {
			continue
		}
		l, starts := s.plan.Lane(id), false
		if l != nil {
			starts = l.Action == plan.Create || slices.ContainsFunc(l.Steps, func(step plan.Step) bool { return step.Op == plan.Op(plan.Start{}) })
		}
		if w := q.want[id]; !starts || w == nil || w.Power == spec.Stopped {
			q.failf("%d was started:\n%s", id, s.plan)
		}
	}
}

// mayStop reports whether a running container may be stopped or restarted at all.
func (q *sequence) mayStop(id proxmox.VMID) bool {
	w := q.want[id]
	if w == nil {
		return q.policy.Prune
	}
	return w.Power == spec.Stopped || q.policy.RestartAll || w.Restart == spec.RestartNow ||
		w.Restart == spec.RestartWindow && q.policy.WindowOpen
}

// stayed checks that what ran runs, that what was stopped is where nobody wants it to run, and that each mount shows
// the volume that it showed, unless somebody has named another or moved it.
func (q *sequence) stayed(s shown, left bool) {
	for id, have := range s.have.Containers {
		w, runs := q.want[id], q.running(id)
		switch {
		case w == nil && q.policy.Prune:
		case w == nil || w.Power == spec.Any:
			if runs != have.Running && !left {
				q.failf("%d: running was %t and is %t:\n%s", id, have.Running, runs, s.plan)
			}
		case have.Running && !runs && w.Power == spec.Running:
			q.failf("%d does not run any more:\n%s", id, s.plan)
		}
		if w != nil && !q.touched && !w.Lifecycle.AllowRecreate {
			q.sameData(w, have, s.plan)
		}
	}
}

func (q *sequence) sameData(w *spec.Container, have *plan.Observed, p *plan.Plan) {
	live := q.live(w.ID)
	if !live.there {
		return
	}
	old, _ := have.Current.Record[setting.Mounts.Path].(setting.Members)
	next, _ := have.Next.Record[setting.Mounts.Path].(setting.Members)
	now, _ := live.Record[setting.Mounts.Path].(setting.Members)
	for at, r := range mountsIn(w) {
		was, is := setting.Volume.Or(old[at], ""), setting.Volume.Or(now[at], "")
		_, byName := setting.Volume.Get(r)
		moved := setting.Storage.Or(r, "") != setting.Storage.Or(old[at], "")
		if goes := have.Config.Deleted[have.Current.Slots[setting.Mounts.Path][at]] && len(next[at]) > 0; goes {
			continue // another one will be there with the next start
		}
		if was != "" && was != is && inTemplate(was) != is && !byName && !moved && !q.named(was) {
			q.failf("%d: %s showed %s and shows %q:\n%s", w.ID, at, was, is, p)
		}
	}
}

// asTheSpecSays checks that each container of which nothing is blocked has the values of the spec in force, and
// nothing pending. It asks the table, not the planner.
func (q *sequence) asTheSpecSays() {
	blocked := map[proxmox.VMID]bool{}
	for _, b := range q.last.Blocked {
		blocked[b.ID] = true
	}
	for id, w := range q.want {
		if blocked[id] {
			q.counts.add("containers with something blocked")
			continue
		}
		q.counts.add("containers as the spec says")
		live := toldSizes(q.live(id))
		if !live.there {
			q.failf("%d is not there:\n%s", id, q.last)
			return
		}
		if pending := waiting(w, live); len(pending) > 0 {
			q.failf("%d: %v is pending", id, pending)
		}
		if on := q.running(id); w.Power == spec.Running && !on && !setting.Template.Or(live.Record, false) || w.Power == spec.Stopped && on {
			q.failf("%d: running is %t, want %s", id, on, w.Power)
		}
		q.sameValues(w, live.Live)
	}
}

// waiting are the keys that are pending, but for those that are left alone.
func waiting(w *spec.Container, c config) []string {
	keys := slices.Concat(c.Pending.Keys(), slices.Sorted(maps.Keys(c.Deleted)))
	return slices.DeleteFunc(keys, func(key string) bool {
		return setting.LeftOut(key) != "" || slices.ContainsFunc(setting.Container.Rows, func(row setting.Row) bool {
			fam, isFamily := row.(*setting.Family)
			mine := !isFamily && row.PVEKey() == key
			if isFamily {
				_, mine = fam.Index(key)
			}
			return mine && leftAlone(w, row)
		})
	})
}

// toldSizes is a configuration with the sizes that are pending in force. Where it lags behind what a volume has,
// nothing else can be done while the container runs; it interrupts nobody and costs nothing.
func toldSizes(c config) config {
	c.Pending, c.Record = maps.Clone(c.Pending), cloned(&spec.Container{Settings: c.Record}).Settings
	for key, text := range c.Pending {
		var have, next setting.Record
		if v, err := setting.RootFS.ParseWire(text); key == setting.RootFS.PVE && err == nil {
			next, _ = v.(setting.Record)
			have = setting.RootFS.Or(c.Record, nil)
		} else if at, r, err := setting.Mounts.ParseMember(text); err == nil {
			mounts, _ := c.Record[setting.Mounts.Path].(setting.Members)
			next, have = r, mounts[at]
		}
		size, sized := setting.Size.Get(next)
		if sized && have != nil && setting.Mounts.Member.Equal(setting.Overlay(have, setting.Record{setting.Size.Path: size}), next) {
			delete(c.Pending, key)
			setting.Size.Set(have, size)
		}
	}
	return c
}

func (q *sequence) sameValues(w *spec.Container, live setting.Live) {
	want := wanted(w)
	f := setting.Facts{Unprivileged: setting.Unprivileged.Or(live.Record, false)}
	for _, row := range setting.Container.Rows {
		path := row.SpecPath()
		if leftAlone(w, row) || path == setting.Raw.Path { // which the configuration does not show
			continue
		}
		v, _ := row.Want(want[path], live.Record[path], f)
		if !row.Equal(v, live.Record[path]) {
			q.failf("%d: %s is %v, the spec says %v\nplan\n%s", w.ID, path, live.Record[path], v, q.last)
		}
	}
}

// wanted are the settings of a spec with what a container always has, and without mounts that shall go.
func wanted(w *spec.Container) setting.Record {
	r := cloned(w).Settings
	if _, ok := setting.Hostname.Get(r); !ok {
		setting.Hostname.Set(r, w.Name)
	}
	if tags := setting.Tags.Or(r, nil); !slices.Contains(tags, "tend") {
		setting.Tags.Set(r, append(slices.Clone(tags), "tend"))
	}
	m, _ := r[setting.Mounts.Path].(setting.Members)
	maps.DeleteFunc(m, func(_ string, r setting.Record) bool { removed, _ := setting.Removal(r); return removed })
	nics, _ := r[setting.Network.Path].(setting.Members)
	for _, nic := range nics {
		if _, written := setting.HostManaged.Get(nic); w.From.Image != "" && !written && setting.IPv6.Or(nic, "") != "auto" {
			setting.HostManaged.Set(nic, true)
		}
	}
	return r
}

// leftAlone reports whether a setting is left as it is: the spec says so, or an image brings it.
func leftAlone(w *spec.Container, row setting.Row) bool {
	path := row.SpecPath()
	_, written := w.Settings[path]
	ofImage := slices.Contains([]string{setting.Env.Path, setting.EntryPoint.Path, setting.ConsoleMode.Path}, path)
	return slices.Contains(w.Lifecycle.Ignore, path) || ofImage && w.From.Image != "" && !written
}

// counts are how often what happened.
type counts map[string]int

func (c counts) add(what string) { c[what]++ }

// A tally is the counts of all sequences.
type tally struct {
	mu  sync.Mutex
	all counts
}

func (t *tally) add(c counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = counts{}
	}
	for what, n := range c {
		t.all[what] += n
	}
}

// report prints what was tried, and fails where something was not.
func (t *tally) report(tb testing.TB, sequences int) {
	edits := 0
	for what, n := range t.all {
		if strings.HasPrefix(what, "edit: ") {
			edits += n
		}
	}
	for _, what := range slices.Sorted(maps.Keys(t.all)) {
		share := ""
		if strings.HasPrefix(what, "edit: ") {
			share = fmt.Sprintf(" (%.1f %%)", 100*float64(t.all[what])/float64(max(edits, 1)))
		}
		tb.Logf("%s: %d%s", what, t.all[what], share)
	}
	if tb.Failed() || sequences < 2_000 {
		return
	}
	var all []string
	for _, k := range editKinds() {
		all = append(all, "edit: "+k.name)
	}
	for _, k := range handKinds() {
		all = append(all, "by hand: "+k.name)
	}
	for _, row := range setting.Container.Rows {
		all = append(all, "row: "+row.SpecPath())
	}
	for _, what := range all {
		if t.all[what] == 0 {
			tb.Errorf("%s: never", what)
		}
	}
	if t.all["sequences"] != sequences {
		tb.Errorf("%d sequences ran, want %d", t.all["sequences"], sequences)
	}
}
