package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A Coverage says which file systems of a container a backup holds, by where they are in the container.
type Coverage struct {
	In  []string // "/" first
	Out []Left   // by path
}

// Left is a mount whose content no backup holds.
type Left struct{ Mount, Why string }

// String is "/media (of the node)".
func (l Left) String() string { return l.Mount + " (" + l.Why + ")" }

// CoverageOf says what backups of a container with some settings hold: the root file system, and those volumes that
// have the flag backup; a directory or device of the node never, whatever its flags (pve-container LXC/Config.pm,
// mountpoint_backup_enabled).
func CoverageOf(settings setting.Record) Coverage {
	out := Coverage{In: []string{"/"}}
	mounts := mountsOf(settings)
	for id, r := range mounts {
		removed, _ := setting.Removal(r)
		_, host := setting.HostPath.Get(r)
		_, named := setting.HostMount.Get(r)
		switch {
		case removed:
		case host || named:
			out.Out = append(out.Out, Left{id, "of the node, which backups never hold"})
		case !setting.Backup.Or(r, false):
			out.Out = append(out.Out, Left{id, "no backup: true"})
		default:
			out.In = append(out.In, id)
		}
	}
	slices.Sort(out.In)
	slices.SortFunc(out.Out, func(a, b Left) int { return strings.Compare(a.Mount, b.Mount) })
	return out
}

// String is "holds /, /srv; not /media (of the node, which backups never hold)".
func (c Coverage) String() string {
	text := "holds " + join(c.In)
	if len(c.Out) > 0 {
		var out []string
		for _, l := range c.Out {
			out = append(out, l.String())
		}
		text += "; not " + join(out)
	}
	return text
}

// JobGuests are the containers of the spec that a declared backup job is for, by VMID, as far as the live state tells:
// who is in which pool is known only where the spec says so of a container.
func JobGuests(want *spec.State, have *Live, j *spec.BackupJob) []proxmox.VMID {
	c := &computation{want: want, have: have, plan: &Plan{}}
	return c.jobGuests(j)
}

func (c *computation) jobGuests(j *spec.BackupJob) []proxmox.VMID {
	var out []proxmox.VMID
	tagged, ids := []int64(nil), spec.JobGuests.Or(j.Settings, nil)
	if j.Tags != nil {
		tagged = c.tagged(j.Tags)
	}
	all, without := spec.JobAll.Or(j.Settings, false), spec.JobExclude.Or(j.Settings, nil)
	pool, node := spec.JobPool.Or(j.Settings, ""), spec.JobNode.Or(j.Settings, "")
	for _, w := range c.want.Containers {
		id := int64(w.ID)
		in := slices.Contains(tagged, id) || slices.Contains(ids, id) || all && !slices.Contains(without, id) || pool != "" && c.inPool(w, pool)
		if in && (node == "" || node == w.Node) {
			out = append(out, w.ID)
		}
	}
	slices.Sort(out)
	return out
}

func (c *computation) inPool(w *spec.Container, pool string) bool {
	if w.Pool != nil {
		return *w.Pool == pool
	}
	return c.have.PoolOf[w.ID] == pool
}

// backedUp notes for each container that a declared job backs up what its backups do not hold.
func (c *computation) backedUp() {
	jobs := map[proxmox.VMID][]string{}
	for _, j := range c.want.Jobs {
		if !spec.JobEnabled.Or(j.Settings, true) {
			continue
		}
		for _, id := range c.jobGuests(j) {
			jobs[id] = append(jobs[id], j.Name)
		}
	}
	for _, w := range c.want.Containers {
		names := jobs[w.ID]
		covers := CoverageOf(c.want.Settings(w))
		if len(names) == 0 || len(covers.Out) == 0 {
			continue
		}
		word := "backup job"
		if len(names) > 1 {
			word += "s"
		}
		c.plan.Notes = append(c.plan.Notes, fmt.Sprintf("%s: %s %s %s", w.Label(), word, join(names), covers))
	}
}
