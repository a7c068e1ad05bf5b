package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/calendar"
)

var jobProps = vzdumpProps(props{
	"id": format("pve-configid"), "schedule": format("pve-calendar-event").atMost(calendar.MaxLength), "starttime": matching(`[0-9]{1,2}:[0-9]{1,2}`),
	"dow": format("pve-day-of-week-list").with("starttime"), "enabled": boolean(), "repeat-missed": boolean(), "comment": str().atMost(512),
})

func withDelete(p props) props {
	out := props{"delete": format("pve-configid-list")}
	for k, s := range p {
		out[k] = s
	}
	delete(out, "id")
	return out
}

var (
	sysAudit  = need("/", "Sys.Audit")
	sysModify = need("/", "Sys.Modify")
)

var jobRoutes = []route{
	{method: "GET", path: "/cluster/backup", perm: sysAudit, handler: listJobs},
	{method: "POST", path: "/cluster/backup", protected: true, perm: sysModify, props: jobProps, handler: createJob},
	{method: "GET", path: "/cluster/backup/{id}", perm: sysAudit, handler: getJob},
	{method: "PUT", path: "/cluster/backup/{id}", protected: true, perm: sysModify, props: withDelete(jobProps), handler: updateJob},
	{method: "DELETE", path: "/cluster/backup/{id}", protected: true, perm: sysModify, handler: deleteJob},
	{method: "GET", path: "/cluster/backup-info", perm: everybody, handler: index("subdir", "not-backed-up")},
	{method: "GET", path: "/cluster/backup-info/not-backed-up", protected: true, perm: sysAudit, handler: notBackedUp},
}

// jobRow is a job as it is answered: property strings as objects (pve-manager API2/Backup.pm).
func (c *call) jobRow(id string) map[string]any {
	row := map[string]any{"id": id, "type": "vzdump"}
	for k, v := range c.sim.st.BackupJobs[id] {
		row[k] = v
		text, ok := v.(string)
		if !ok {
			continue
		}
		switch k {
		case "prune-backups":
			keep, err := parseKeep(text)
			if err == nil && truthy(keep["keep-all"]) {
				row[k] = map[string]int{"keep-all": 1}
			} else if err == nil {
				row[k] = keep
			}
		case "performance", "fleecing":
			if vals, err := vzdumpOptions[k].props.parse(text, ""); err == nil {
				row[k] = vals
			}
		}
	}
	return row
}

func listJobs(c *call) (any, error) {
	rows := []map[string]any{}
	for _, id := range sortedKeys(c.sim.st.BackupJobs) {
		row := c.jobRow(id)
		if text, ok := row["schedule"].(string); ok {
			if next, ok := c.sim.nextRun(text); ok {
				row["next-run"] = next
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func getJob(c *call) (any, error) {
	id := c.str("id")
	if c.sim.st.BackupJobs[id] == nil {
		return nil, paramError("id", fmt.Sprintf("No such job '%s'", id))
	}
	return c.jobRow(id), nil
}

// schedule makes one schedule of the old and the new way to give it.
func (c *call) schedule(set map[string]string, required bool) error {
	start, old := set["starttime"]
	_, given := set["schedule"]
	switch {
	case given && old:
		return paramError("starttime", "'starttime' and 'schedule' cannot both be set")
	case !given && !old && required:
		return paramError("schedule", "neither 'starttime' nor 'schedule' were set")
	case old:
		set["schedule"] = start
		if dow := strings.Join(splitList(set["dow"]), ","); dow != "" && dow != "mon,tue,wed,thu,fri,sat,sun" {
			set["schedule"] = dow + " " + start
		}
	}
	delete(set, "starttime")
	delete(set, "dow")
	return nil
}

// checkPool is what jobs ask of their pool.
func (c *call) checkBackupPool(set map[string]string) error {
	name := set["pool"]
	if name == "" {
		return nil
	}
	if c.sim.st.Pools[name] == nil {
		return forbidden(fmt.Sprintf("pool '%s' does not exist", name))
	}
	return c.need("/pool/"+name, "VM.Backup")
}

// createJob is API2/Backup.pm, create_job.
func createJob(c *call) (any, error) {
	set := c.settings("id")
	if err := c.checkBackupOptions(set); err != nil {
		return nil, err
	}
	if !c.isRoot() && set["dumpdir"] == "" {
		if err := c.need("/storage/"+cmp.Or(set["storage"], "local"), "Datastore.Allocate"); err != nil {
			return nil, err
		}
	}
	if err := c.checkBackupPool(set); err != nil {
		return nil, err
	}
	if err := c.schedule(set, true); err != nil {
		return nil, err
	}
	if _, ok := set["enabled"]; !ok {
		set["enabled"] = "1"
	}
	id := c.str("id")
	if id == "" {
		id = c.sim.uuid()
	}
	if c.sim.st.BackupJobs[id] != nil {
		return nil, dief("Job '%s' already exists", id)
	}
	if err := checkSelection(set, true); err != nil {
		return nil, prefixedAsText(err)
	}
	c.sim.st.BackupJobs[id] = c.jobValues(set)
	c.sim.store.touch()
	return nil, nil
}

// prefixedAsText is die "$@": an error that came out of a lock has lost its status.
func prefixedAsText(err error) error { return &fault{status: 500, text: perlString(err)} }

// jobValues gives options the types in which they are kept.
func (c *call) jobValues(set map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range set {
		s := jobProps[k]
		switch {
		case k == "prune-backups":
			keep, err := parseKeep(v)
			if err == nil {
				v = pruneProps.print(keep)
			}
			out[k] = v
		case s != nil && (s.typ == "boolean" || s.typ == "integer"):
			out[k] = int(mustFloat(v))
		case s != nil && s.typ == "array":
			var list []any
			for _, e := range c.params[k].list {
				list = append(list, e.text)
			}
			out[k] = list
		default:
			out[k] = v
		}
	}
	return out
}

// updateJob is API2/Backup.pm, update_job.
func updateJob(c *call) (any, error) {
	set := c.settings("id", "delete")
	drop := splitList(c.str("delete"))
	if err := c.checkBackupOptions(set); err != nil {
		return nil, err
	}
	if id := set["storage"]; id != "" && !c.isRoot() {
		if err := c.need("/storage/"+id, "Datastore.Allocate"); err != nil {
			return nil, err
		}
	}
	if err := c.checkBackupPool(set); err != nil {
		return nil, err
	}
	if err := c.schedule(set, false); err != nil {
		return nil, err
	}
	if err := c.changeJob(set, drop); err != nil {
		return nil, prefixedAsText(err)
	}
	return nil, nil
}

func (c *call) changeJob(set map[string]string, drop []string) error {
	if len(set) == 0 && len(drop) == 0 {
		return dief("no options specified")
	}
	if err := checkSelection(set, false); err != nil {
		return err
	}
	old := c.sim.st.BackupJobs[c.str("id")]
	if old == nil {
		return dief("no such vzdump job")
	}
	job := map[string]any{}
	for k, v := range old {
		job[k] = v
	}
	for _, k := range drop {
		if vzdumpOptions[k] == nil && k != "comment" && k != "repeat-missed" {
			return paramError("delete", fmt.Sprintf("unknown option '%s'", k))
		}
		delete(job, k)
	}
	for k, v := range c.jobValues(set) {
		job[k] = v
	}
	_, exclude := job["exclude"]
	_, pool := job["pool"]
	if exclude && !pool {
		job["all"] = 1
	}
	switch _, ids := set["vmid"]; {
	case ids:
		dropKeys(job, "all", "exclude", "pool")
	case truthy(set["all"]):
		dropKeys(job, "vmid", "pool")
	case pool:
		dropKeys(job, "vmid", "all", "exclude")
	}
	whole := map[string]string{}
	for k, v := range job {
		whole[k] = fmt.Sprint(v)
	}
	if err := checkSelection(whole, true); err != nil {
		return err
	}
	c.sim.st.BackupJobs[c.str("id")] = job
	c.sim.store.touch()
	return nil
}

func dropKeys(m map[string]any, keys ...string) {
	for _, k := range keys {
		delete(m, k)
	}
}

func deleteJob(c *call) (any, error) {
	id := c.str("id")
	if c.sim.st.BackupJobs[id] == nil {
		return nil, prefixedAsText(paramError("id", fmt.Sprintf("No such job '%s'", id)))
	}
	delete(c.sim.st.BackupJobs, id)
	c.sim.store.touch()
	return nil, nil
}

// notBackedUp lists guests that no job covers (API2/Cluster/BackupInfo.pm).
func notBackedUp(c *call) (any, error) {
	covered := map[proxmox.VMID]bool{}
	for _, job := range c.sim.st.BackupJobs {
		set := map[string]string{}
		for k, v := range job {
			set[k] = fmt.Sprint(v)
		}
		for n := range c.sim.st.Nodes {
			if set["node"] == "" || set["node"] == n {
				for _, id := range c.sim.selected(set, n) {
					covered[id] = true
				}
			}
		}
	}
	rows := []map[string]any{}
	for _, id := range sortedKeys(c.sim.guests) {
		if g := c.sim.guests[id]; !covered[id] && c.sim.access.has(c.user, vmPath(id), "VM.Audit") {
			rows = append(rows, map[string]any{"vmid": id, "type": g.kind(), "name": g.name()})
		}
	}
	return rows, nil
}

// removeFromJobs takes a guest out of the lists of backup jobs (VZDump/Plugin.pm, remove_vmid_from_backup_jobs).
func (s *Sim) removeFromJobs(id proxmox.VMID) {
	for _, name := range sortedKeys(s.st.BackupJobs) {
		job := s.st.BackupJobs[name]
		for _, k := range []string{"vmid", "exclude"} {
			text, ok := job[k].(string)
			if !ok {
				continue
			}
			kept := slices.DeleteFunc(splitList(text), func(v string) bool { return v == id.String() })
			switch {
			case len(kept) > 0:
				job[k] = strings.Join(kept, ",")
			case k == "vmid":
				delete(s.st.BackupJobs, name)
			default:
				delete(job, k)
			}
		}
	}
	s.store.touch()
}

// nextRun is when a schedule fires next, in the node's zone, as Unix time.
func (s *Sim) nextRun(schedule string) (int64, bool) {
	ev, err := calendar.Parse(schedule)
	if err != nil {
		return 0, false
	}
	now := s.opts.Now()
	next, ok := ev.Next(now, calendar.Options{Location: now.Location(), DST: calendar.Upstream})
	return next.Unix(), ok
}

// calendarEvent checks a schedule (pve-common JSONSchema, pve-calendar-event). The text is Proxmox's: ours, which
// knows more, is not what a client will see.
func calendarEvent(text string) error {
	if _, err := calendar.Parse(text); err != nil {
		return &fault{status: 500, text: fmt.Sprintf("invalid calendar event '%s' - unable to parse calendar event at '%s'\n\n", text, text)}
	}
	return nil
}
