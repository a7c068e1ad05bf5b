package backup

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// stopTimeout is how long a container may take to shut down before it is stopped by force.
const stopTimeout = 60 * time.Second

// A Wish is what a restore is asked for, and what it found.
type Wish struct {
	Owner    string
	Of       proxmox.VMID    // whose backup it is
	Declared *spec.Container // Of, as the spec has it; nil: it does not
	Archive  Archive
	Content  Content
	To       proxmox.Ref // where it goes
	Swap     bool        // the copy takes the place of Of
	Storage  string      // of all volumes; empty: each where it was

	Old, New *Guest                     // Of and To as they are; nil: not there
	Storages map[string]proxmox.Storage // of the node where it goes, by name
	// Failing says which failing disk is below a storage of that node; nil: that was not looked at.
	Failing func(storage string) health.Obstacle
}

// A Restoration is the plan of a restore: one step, one call. It never restores over a container and destroys none.
type Restoration struct {
	Wish  Wish
	Steps []Step
	// Notes are what a person should know before, After what is left to do then.
	Notes, After []string
	Blocked      string   // why it cannot be; empty: it can
	Ways         []string // what a person can do then
}

// A Step is one call of a restore or drill, to one container.
type Step struct {
	Ref  proxmox.Ref
	Name string
	Op   plan.Op
	Why  string
	base proxmox.Config // that the container must still have; zero: whatever it has
}

// PlanRestore plans a restore by what is there now, so that one that was cut off goes on where it was: the steps that
// are done already are left out.
func PlanRestore(w Wish) Restoration {
	r := Restoration{Wish: w}
	if r.refuse(); r.Blocked != "" {
		return r
	}
	if w.New == nil {
		r.restore()
	} else {
		r.note("%d is there already, restored from this backup: that step is left out", w.To.ID)
	}
	if w.Swap && r.Blocked == "" {
		r.swap()
	}
	r.tell()
	return r
}

func (r *Restoration) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *Restoration) block(ways []string, format string, args ...any) {
	r.Blocked, r.Ways = fmt.Sprintf(format, args...), ways
}

// refuse finds what stands in the way.
func (r *Restoration) refuse() {
	w := r.Wish
	switch {
	case !slices.Contains(w.Archive.Nodes, w.To.Node):
		r.block([]string{"choose a backup on a storage of that node"}, "node %s cannot read %s", w.To.Node, w.Archive.ID)
	case w.To.ID == w.Of && w.Old != nil:
		r.block([]string{"name a free VMID with --to"}, "container %d exists, and nothing is restored over a container", w.Of)
	case w.Swap && w.Old == nil:
		r.block([]string{fmt.Sprintf("leave --swap out, and restore it to %d itself", w.Of)}, "there is no container %d to swap with", w.Of)
	case w.Old != nil && w.Swap && w.Old.lock() != "":
		r.block([]string{"wait for the operation, or see what tend plan says of the lock"}, "container %d is locked (%s)", w.Of, w.Old.lock())
	case w.Swap && w.Old.HA:
		r.block([]string{"take it out of HA first"}, "container %d is managed by HA, which would start it again", w.Of)
	case w.Swap && w.Content.Values["template"] == "1":
		r.block(nil, "the backup is of a template, which cannot run")
	case w.Swap && !r.mayStop():
		r.block(nil, "container %d does not carry the tag %s: it is not tend's to stop", w.Of, w.Owner)
	}
	if r.Blocked == "" && w.New != nil {
		r.refuseTaken()
	}
}

// mayStop reports whether the container is the owner's, or was until this very swap began.
func (r *Restoration) mayStop() bool {
	old := r.Wish.Old
	m, ok := old.mark(r.Wish.Owner)
	return hasTag(old.Tags, r.Wish.Owner) || ok && m.Role == Replaced && m.Other == r.Wish.To.ID
}

// refuseTaken finds out whether what has the VMID is an earlier copy from this backup.
func (r *Restoration) refuseTaken() {
	w := r.Wish
	m, ok := w.New.mark(w.Owner)
	switch {
	case w.New.lock() != "":
		r.block([]string{"wait for the operation", "where a restore died: see that nothing runs, then pct unlock and pct destroy it, or name another VMID with --to"},
			"VMID %d is locked (%s): a restore is at work there, or died", w.To.ID, w.New.lock())
	case ok && m.Role == Restored && m.Other == w.Of && m.Archive == w.Archive.ID:
	case ok && m.Role == Restored && m.Other == w.Of:
		r.block([]string{"go on with that one: --archive " + m.Archive, "name another VMID with --to"}, "VMID %d is a copy of %d from another backup, %s", w.To.ID, w.Of, m.Archive)
	case w.Swap && r.swapped():
	default:
		r.block([]string{"name another VMID with --to"}, "VMID %d is taken by container %s, which no restore of %d has made", w.To.ID, w.New.Name, w.Of)
	}
}

// swapped reports whether the copy is in the place of the container already.
func (r *Restoration) swapped() bool {
	m, ok := r.Wish.Old.mark(r.Wish.Owner)
	return ok && m.Role == Replaced && m.Other == r.Wish.To.ID && hasTag(r.Wish.New.Tags, r.Wish.Owner)
}

// restore is the step that makes the copy: stopped, not started by the node, and of no plan until it is in its place.
func (r *Restoration) restore() {
	w := r.Wish
	values := r.volumes()
	if r.Blocked != "" {
		return
	}
	values["onboot"] = "0"
	inPlace := w.To.ID == w.Of
	if inPlace {
		values["onboot"] = orZero(w.Content.Values["onboot"])
		values["tags"] = tagged(splitTags(w.Content.Values["tags"]), w.Owner, w.Owner)
	} else {
		mark := Mark{Role: Restored, Other: w.Of, Archive: w.Archive.ID}
		values["tags"] = tagged(splitTags(w.Content.Values["tags"]), w.Owner, Restored.Tag(w.Owner))
		values["description"] = marked(w.Content.Values["description"], w.Owner, mark)
	}
	unique := !w.Swap && !inPlace
	r.Steps = append(r.Steps, Step{
		Ref: w.To, Name: w.Content.Values["hostname"], Op: plan.RestoreContainer{Archive: w.Archive.ID, Values: values, Unique: unique},
		Why: "beside everything that is there, stopped",
	})
	if w.Content.Values["unprivileged"] != "1" {
		r.note("it is a privileged container: restoring it needs Sys.Modify on /")
	}
	if len(w.Content.Raw) > 0 {
		r.note("Proxmox leaves its raw LXC lines out for a token; tend apply puts those of the spec back")
	}
	if unique {
		r.note("its interfaces get MAC addresses of their own, and keep their IP addresses: do not start both")
	}
}

func orZero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}

// volumes are the volumes of the backup, made anew: each on the storage where it was, with its size. With one of them
// all must be named, else Proxmox puts all on one storage and refuses mounts of the node to a token (pve-container
// API2/LXC.pm, create_vm).
func (r *Restoration) volumes() proxmox.Values {
	w, out := r.Wish, proxmox.Values{}
	have := w.Content.Settings
	root := r.fresh("/", setting.RootFS.Or(have.Record, nil))
	out[setting.RootFS.PVE] = setting.RootFS.FormatWire(root)
	mounts, _ := have.Record[setting.Mounts.Path].(setting.Members)
	for _, id := range slices.Sorted(maps.Keys(mounts)) {
		if _, host := setting.HostPath.Get(mounts[id]); host {
			r.note("%s shows a directory or device of the node and is left out; tend apply adds it where the spec has it", id)
			continue
		}
		if !setting.Backup.Or(mounts[id], false) {
			r.note("%s is made empty: no backup holds it", id)
		}
		out[have.Slots[setting.Mounts.Path][id]] = setting.Mounts.FormatMember(id, r.fresh(id, mounts[id]))
	}
	return out
}

// fresh is a volume that is to be made anew.
func (r *Restoration) fresh(mount string, from setting.Record) setting.Record {
	out := maps.Clone(from)
	if out == nil {
		out = setting.Record{}
	}
	delete(out, setting.Volume.Path)
	if r.Wish.Storage != "" {
		setting.Storage.Set(out, r.Wish.Storage)
	}
	name := setting.Storage.Or(out, "")
	other := []string{"name another one with --storage"}
	switch s, ok := r.Wish.Storages[name]; {
	case r.Blocked != "":
	case !ok:
		r.block(other, "storage %s, where %s was, is not on node %s, or the token is not shown it", name, mount, r.Wish.To.Node)
	case !slices.Contains(s.Content, proxmox.ContentRootDir):
		r.block(other, "storage %s takes no volumes of containers", name)
	case setting.Size.Or(out, -1) < 0:
		r.block([]string{"restore it by hand, with the sizes"}, "the backup tells no size of %s", mount)
	default:
		r.refuseDisk(name)
	}
	return out
}

// refuseDisk blocks what would put a volume on a failing disk.
func (r *Restoration) refuseDisk(storage string) {
	if r.Wish.Failing == nil {
		return
	}
	o := r.Wish.Failing(storage)
	if o.Why == "" || o.Allowed {
		return
	}
	ways := []string{"name another one with --storage"}
	for _, d := range o.Disks {
		ways = append(ways, "do it all the same: --allow-failing-disk "+r.Wish.To.Node+":"+d.Name())
	}
	r.block(ways, "%s", o.Why)
}

// swap are the steps that put the copy in the place of the container. The old one is taken out of tend's hands before it
// is stopped, and stays as it is, stopped and protected; the copy is taken into them last.
func (r *Restoration) swap() {
	w, old := r.Wish, r.Wish.Old
	m, retired := old.mark(w.Owner)
	retired = retired && m.Role == Replaced && m.Other == w.To.ID
	ran := old.Running || retired && m.Ran
	if !retired {
		set := proxmox.Values{
			"onboot": "0", "protection": "1", "tags": tagged(old.Tags, w.Owner, Replaced.Tag(w.Owner)),
			"description": marked(old.Config.Current["description"], w.Owner, Mark{Role: Replaced, Other: w.To.ID, Ran: old.Running}),
		}
		r.add(old.Ref, old.Name, plan.SetConfig{Set: set}, "out of the hands of tend, not started by the node, protected", old.Config)
	}
	if old.Running {
		r.add(old.Ref, old.Name, plan.Shutdown{Timeout: stopTimeout}, "the copy has its addresses", proxmox.Config{})
	}
	power := spec.Any
	if w.Declared != nil {
		power = w.Declared.Power
	}
	name := w.Content.Values["hostname"]
	if (power == spec.Running || power == spec.Any && ran) && (w.New == nil || !w.New.Running) {
		r.add(w.To, name, plan.Start{}, "in its place", proxmox.Config{})
	}
	if w.New == nil || !r.swapped() {
		r.add(w.To, name, r.release(), "into the hands of tend", proxmox.Config{})
	}
}

// release takes the mark from the copy and gives it what the container had. It is protected until the spec names it and
// says otherwise: till then no plan knows it, and it is the only one that runs.
func (r *Restoration) release() plan.SetConfig {
	w := r.Wish
	out := plan.SetConfig{Set: proxmox.Values{
		"onboot": orZero(w.Content.Values["onboot"]), "protection": "1",
		"tags": tagged(splitTags(w.Content.Values["tags"]), w.Owner, w.Owner),
	}}
	if text := unmarked(w.Content.Values["description"], w.Owner); text != "" {
		out.Set["description"] = text
	} else {
		out.Delete = []string{"description"}
	}
	return out
}

func (r *Restoration) add(ref proxmox.Ref, name string, op plan.Op, why string, base proxmox.Config) {
	r.Steps = append(r.Steps, Step{Ref: ref, Name: name, Op: op, Why: why, base: base})
}

// tell says what is left to a person.
func (r *Restoration) tell() {
	w := r.Wish
	after := func(format string, args ...any) { r.After = append(r.After, fmt.Sprintf(format, args...)) }
	switch {
	case r.Blocked != "":
	case w.Swap:
		where := ""
		if w.Declared != nil {
			where = fmt.Sprintf(" for %s (%s)", w.Declared.Name, w.Declared.Place)
		}
		after("write id: %d%s, and plan: until then plans say that %d is not tend's, and change neither", w.To.ID, where, w.Of)
		after("what names %d elsewhere is not changed: backup jobs by VMID, pools, permissions, firewall groups, replication", w.Of)
		after("%d keeps its volumes and snapshots; once nobody misses it: pct set %d --protection 0 && pct destroy %d", w.Of, w.Of, w.Of)
	case w.To.ID == w.Of:
		after("tend apply brings it to what the spec says, and starts it where it shall run")
	default:
		after("look at %d; to put it in the place of %d: %s --swap", w.To.ID, w.Of, r.command())
		after("to throw it away: pct destroy %d", w.To.ID)
	}
}

// command is what a person types to go on.
func (r *Restoration) command() string {
	w := r.Wish
	text := fmt.Sprintf("tend backups restore %d --archive %s --to %d", w.Of, w.Archive.ID, w.To.ID)
	if w.Storage != "" {
		text += " --storage " + w.Storage
	}
	return text
}

// Resume says what to do where a restore did not come to its end. Both containers are there in any case.
func (r *Restoration) Resume() []string {
	w := r.Wish
	command := r.command()
	if w.Swap {
		command += " --swap"
	}
	out := []string{"nothing was destroyed; to go on where it ended: " + command}
	if w.Swap {
		had := tagged(splitTags(strings.Join(w.Old.Tags, ";")), w.Owner, w.Owner)
		out = append(out, fmt.Sprintf("to go back to %d: pct shutdown %d, then pct set %d --protection %s --onboot %s --tags '%s' and pct start %d",
			w.Of, w.To.ID, w.Of, orZero(w.Old.Config.Current["protection"]), orZero(w.Content.Values["onboot"]), had, w.Of))
	}
	return out
}
