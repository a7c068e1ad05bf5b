package sim

import (
	"cmp"
	"time"

	"github.com/felhom/tend/proxmox/prune"
)

// A pruneRow is a backup and what retention makes of it.
type pruneRow struct {
	VolID string `json:"volid"`
	VMID  int    `json:"vmid"`
	Type  string `json:"type"`
	CTime int64  `json:"ctime"`
	Mark  string `json:"mark"`
}

// markBackups marks the backups of a storage, each guest's for itself (pve-storage Plugin.pm, prune_backups).
func (s *Sim) markBackups(storage string, keep map[string]string, vmid, kind string) []*pruneRow {
	rows := []*pruneRow{}
	groups := map[string][]*pruneRow{}
	for _, volid := range sortedKeys(s.st.Backups) {
		n, err := s.parseVolume(volid)
		if err != nil || n.storage != storage || vmid != "" && n.owner.String() != vmid {
			continue
		}
		r := &pruneRow{VolID: volid, VMID: int(n.owner), Type: "lxc", CTime: s.st.Backups[volid].CTime}
		m := archiveTime.FindStringSubmatch(volid)
		switch {
		case n.format == "pbs-ct": // the server prunes; its groups are those of a guest
			groups["lxc"+n.owner.String()] = append(groups["lxc"+n.owner.String()], r)
		case m == nil:
			r.Mark = "renamed"
		default:
			r.Type = m[1]
			if at, err := time.ParseInLocation(archiveStamp, m[3], s.opts.Now().Location()); err == nil {
				r.CTime = at.Unix()
			}
			group := m[1] + m[2]
			groups[group] = append(groups[group], r)
		}
		if kind != "" && kind != r.Type {
			continue
		}
		if s.st.Backups[volid].Protected {
			r.Mark = "protected"
		}
		rows = append(rows, r)
	}
	for _, g := range groups {
		markGroup(g, keep, s.opts.Now().Location())
	}
	return rows
}

// markGroup is pve-storage Storage.pm, prune_mark_backup_group.
func markGroup(rows []*pruneRow, keep map[string]string, zone *time.Location) {
	entries := make([]prune.Entry, len(rows))
	for i, r := range rows {
		entries[i] = prune.Entry{Time: time.Unix(r.CTime, 0), Protected: r.Mark != ""}
	}
	for i, m := range prune.Select(entries, keepOf(keep), zone) {
		rows[i].Mark = cmp.Or(rows[i].Mark, m.Fate.String())
	}
}

// keepOf reads retention options that were checked.
func keepOf(options map[string]string) prune.Keep {
	k := prune.Keep{All: truthy(options["keep-all"])}
	for _, r := range prune.Rules() {
		k.Set(r, int(mustFloat(options[r.String()])))
	}
	return k
}
