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

// jobs plans the backup jobs, after the containers: which of these there will be says which a job names.
//
// A job is the owner's where its comment ends with the owner's mark. No other is ever changed or deleted.
func (c *computation) jobs() {
	if !c.want.ManagesJobs || c.have.Jobs == nil && c.have.JobsBroken == nil {
		return
	}
	declared := map[string]bool{}
	for _, j := range c.want.Jobs {
		id := c.want.JobID(j)
		declared[id] = true
		c.job(j, id)
	}
	for _, id := range slices.Sorted(maps.Keys(c.have.Jobs)) {
		have := c.have.Jobs[id]
		if declared[id] || !c.ownsJob(have) {
			continue
		}
		lane := Lane{Kind: JobKind, Name: id, Action: Destroy}
		lane.Steps = []Step{{Op: DeleteJob{ID: id, Was: have.Values}, Cause: "not in the spec; its backups are kept"}}
		if why, ways := c.obstacles(lane, lane.Steps); why != "" {
			c.block(Blocked{Kind: JobKind, Name: id, What: "delete", Reason: why, Ways: ways})
			continue
		}
		c.plan.Lanes = append(c.plan.Lanes, lane)
	}
}

func (c *computation) ownsJob(j proxmox.BackupJob) bool {
	return strings.HasSuffix(j.Values["comment"], spec.Mark(c.want.Cluster.Owner))
}

// job plans one declared job.
func (c *computation) job(w *spec.BackupJob, id string) {
	refuse := func(what, why string, ways ...string) {
		c.block(Blocked{Kind: JobKind, Name: w.Name, What: what, Reason: why, Ways: ways})
	}
	if c.have.JobsBroken != nil {
		refuse("change", c.have.JobsBroken.Error(), "give the token Sys.Audit and Sys.Modify on /")
		return
	}
	want, why, ways := c.jobSettings(w)
	if why != "" {
		refuse("change", why, ways...)
		return
	}
	have, exists := c.have.Jobs[id]
	lane := Lane{Kind: JobKind, Name: w.Name, Action: Change}
	switch {
	case !exists:
		values, changes := newJob(want)
		lane.Action, lane.Changes = Create, changes
		lane.Steps = []Step{{Op: CreateJob{ID: id, Values: values}, Why: changes}}
	case !c.ownsJob(have) && !w.Adopt:
		refuse("change", fmt.Sprintf("a backup job %s exists, and its comment does not end with %s", id, spec.Mark(c.want.Cluster.Owner)),
			"write adopt: true to take it over", "write another id")
		return
	default:
		set, remove, changes, err := changedJob(want, have.Values)
		if err != nil {
			refuse("change", err.Error(), "put the value right with pvesh set /cluster/backup/"+id)
			return
		}
		if len(changes) == 0 {
			return
		}
		lane.Changes = changes
		lane.Steps = []Step{{Op: UpdateJob{ID: id, Set: set, Delete: remove, Was: have.Values}, Why: changes}}
	}
	why, ways = c.cannotBackUpTo(want, lane.Changes)
	if why == "" {
		why, ways = c.obstacles(lane, lane.Steps)
	}
	if why != "" {
		refuse(lane.Action.String(), why, ways...)
		return
	}
	c.plan.Lanes = append(c.plan.Lanes, lane)
}

// jobSettings are the values that a job shall have: those written, the guests that its tags select, and the owner's
// mark.
func (c *computation) jobSettings(w *spec.BackupJob) (r setting.Record, why string, ways []string) {
	r = maps.Clone(w.Settings)
	if r == nil {
		r = setting.Record{}
	}
	spec.JobComment.Set(r, strings.TrimSpace(spec.JobComment.Or(r, "")+" "+spec.Mark(c.want.Cluster.Owner)))
	if w.Tags != nil {
		guests := c.tagged(w.Tags)
		if len(guests) == 0 {
			return nil, "no container has a tag of " + join(w.Tags), []string{"tag a container", "take the job out of the spec"}
		}
		spec.JobGuests.Set(r, guests)
	}
	if pool := spec.JobPool.Or(r, ""); pool != "" {
		why, ways = c.cannotJoin(pool)
	}
	return r, why, ways
}

// tagged are the containers that have one of some tags: those of the spec that exist or are made now, by the tags
// that they shall have, and others that carry the owner's tag.
func (c *computation) tagged(tags []string) []int64 {
	match := func(of []string) bool {
		return slices.ContainsFunc(of, func(t string) bool {
			return slices.ContainsFunc(tags, func(s string) bool { return s == t || !c.have.TagStyle.CaseSensitive && equalFold(s, t) })
		})
	}
	var out []int64
	declared := map[proxmox.VMID]bool{}
	for _, w := range c.want.Containers {
		declared[w.ID] = true
		have, lane := c.have.Containers[w.ID], c.plan.Lane(w.ID)
		if have == nil && lane == nil || have != nil && !have.Owned(c.want.Cluster.Owner) && !w.Adopt {
			continue
		}
		of := setting.Tags.Or(c.settings(w), nil)
		if have != nil && slices.Contains(w.Lifecycle.Ignore, setting.Tags.Path) {
			of = have.Tags
		}
		if match(of) {
			out = append(out, int64(w.ID))
		}
	}
	for id, have := range c.have.Containers {
		lane := c.plan.Lane(id)
		if !declared[id] && have.Owned(c.want.Cluster.Owner) && match(have.Tags) && (lane == nil || lane.Action != Destroy) {
			out = append(out, int64(id))
		}
	}
	slices.Sort(out)
	return out
}

// cannotBackUpTo says why a job that is made, or gets another storage, cannot put its backups there. Proxmox takes
// any name and fails each run.
func (c *computation) cannotBackUpTo(want setting.Record, changes []setting.Change) (why string, ways []string) {
	if !slices.ContainsFunc(changes, func(ch setting.Change) bool { return ch.Row.SpecPath() == spec.JobStorage.Path }) {
		return "", nil
	}
	name, pinned := spec.JobStorage.Or(want, ""), spec.JobNode.Or(want, "")
	known, exists := false, false
	fit := map[string]bool{}
	for _, node := range slices.Sorted(maps.Keys(c.have.Nodes)) {
		if !c.have.Nodes[node] || pinned != "" && node != pinned {
			continue
		}
		if c.have.Storages[node] == nil {
			c.plan.needs.Storages[node] = true
			return "", nil
		}
		known = true
		s, ok := c.have.Storages[node][name]
		exists = exists || ok
		if ok && slices.Contains(s.Content, "backup") {
			return "", nil
		}
		for n, s := range c.have.Storages[node] {
			if slices.Contains(s.Content, "backup") {
				fit[n] = true
			}
		}
	}
	use := []string{"write one of: " + join(slices.Sorted(maps.Keys(fit)))}
	switch {
	case !known:
		return "", nil // no node is there to ask
	case !exists:
		return fmt.Sprintf("storage %s does not exist", name), use
	}
	return fmt.Sprintf("storage %s does not take backups (content backup)", name), use
}

// newJob are the parameters of a new job, and the changes that they are.
func newJob(want setting.Record) (proxmox.Values, []setting.Change) {
	values, changes := proxmox.Values{}, []setting.Change(nil)
	for _, row := range spec.JobSettings {
		v, ok := row.Want(want[row.SpecPath()], nil, setting.Facts{})
		if !ok || row.Equal(v, nil) && !row.Info().Required {
			continue // Proxmox's own default
		}
		values[row.PVEKey()] = row.FormatWire(v)
		changes = append(changes, setting.Change{Row: row, New: v})
	}
	return values, changes
}

// changedJob compares a job with what it shall be. What is in it and is no row of the table is root's or about
// virtual machines, and stays.
func changedJob(want setting.Record, have proxmox.Values) (set proxmox.Values, remove []string, changes []setting.Change, err error) {
	set = proxmox.Values{}
	for _, row := range spec.JobSettings {
		key, path := row.PVEKey(), row.SpecPath()
		var old any
		if text, ok := have[key]; ok {
			if old, err = row.ParseWire(text); err != nil {
				return nil, nil, nil, fmt.Errorf("%s: %w", key, err)
			}
		}
		v, ok := row.Want(want[path], old, setting.Facts{})
		if !ok {
			v = nil
		}
		if row.Equal(v, old) {
			continue
		}
		changes = append(changes, setting.Change{Row: row, Old: old, New: v})
		if v == nil || row.Equal(v, nil) && !row.Info().Fixed {
			remove = append(remove, key)
		} else {
			set[key] = row.FormatWire(v)
		}
	}
	for _, key := range []string{spec.JobNotes.PVE, spec.JobProtected.PVE} {
		// Proxmox takes these together with the storage only, in every call (pve-guest-common VZDump/Common.pm).
		if _, ok := set[key]; ok {
			set[spec.JobStorage.PVE] = spec.JobStorage.FormatWire(want[spec.JobStorage.Path])
		}
	}
	return set, remove, changes, nil
}
