package report

import (
	"slices"

	"github.com/felhom/tend/reconcile/backup"
)

// SetBackups puts what was found of a container's backups into its report. Of several jobs it tells the one that is
// worst off, or promises most.
func (c *Container) SetBackups(b backup.Container) {
	c.Drill = b.Drill
	if len(b.Archives) == 0 && len(b.Promises) == 0 {
		return
	}
	out := &Copies{List: []Copy{}}
	for _, a := range slices.Backward(b.Archives) {
		out.List = append(out.List, Copy{Name: a.ID, Time: a.Created})
	}
	if len(b.Archives) > 0 {
		out.Last = b.Archives[0].Created
	}
	worst := backup.Good
	for _, p := range b.Promises {
		limit := Duration(p.Limit.Sub(p.Newest))
		if p.Limit.IsZero() {
			limit = 0
		}
		if out.Policy != "" && (p.State < worst || p.State == worst && (limit == 0 || limit >= out.MaxAge)) {
			continue
		}
		worst = p.State
		out.Policy, out.Last, out.MaxAge, out.Error = p.Job, p.Newest, limit, ""
		switch p.State {
		case backup.Good, backup.Overdue:
		case backup.Absent, backup.Unknown:
			out.Error = p.Why
		}
	}
	c.Backups = out
}
