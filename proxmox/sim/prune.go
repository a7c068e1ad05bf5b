package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"
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
		if m == nil {
			r.Mark = "renamed"
		} else {
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

// keepRules are the retention options in the order in which they count, with what makes one period.
var keepRules = []struct {
	option string
	period func(time.Time) string
}{
	{"keep-last", func(t time.Time) string { return fmt.Sprint(t.Unix()) }},
	{"keep-hourly", func(t time.Time) string { return t.Format("2006/01/02/15") }},
	{"keep-daily", func(t time.Time) string { return t.Format("2006/01/02") }},
	{"keep-weekly", func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprintf("%d/%d", y, w) }},
	{"keep-monthly", func(t time.Time) string { return t.Format("2006/01") }},
	{"keep-yearly", func(t time.Time) string { return t.Format("2006") }},
}

// markGroup is pve-storage Storage.pm, prune_mark_backup_group.
func markGroup(rows []*pruneRow, keep map[string]string, zone *time.Location) {
	limited := false
	for _, r := range keepRules {
		limited = limited || mustFloat(keep[r.option]) > 0
	}
	if !limited || truthy(keep["keep-all"]) {
		for _, r := range rows {
			r.Mark = cmp.Or(r.Mark, "keep")
		}
		return
	}
	slices.SortStableFunc(rows, func(a, b *pruneRow) int { return cmp.Compare(b.CTime, a.CTime) })
	for _, rule := range keepRules {
		markPeriod(rows, int(mustFloat(keep[rule.option])), func(at int64) string { return rule.period(time.Unix(at, 0).In(zone)) })
	}
	for _, r := range rows {
		r.Mark = cmp.Or(r.Mark, "remove")
	}
}

func markPeriod(rows []*pruneRow, count int, period func(int64) string) {
	if count == 0 {
		return
	}
	covered, opened := map[string]bool{}, map[string]bool{}
	for _, r := range rows {
		if r.Mark == "keep" {
			covered[period(r.CTime)] = true
		}
	}
	for _, r := range rows {
		id := period(r.CTime)
		switch {
		case r.Mark != "" || covered[id]:
		case opened[id]:
			r.Mark = "remove"
		case len(opened) >= count:
			return
		default:
			opened[id], r.Mark = true, "keep"
		}
	}
}
