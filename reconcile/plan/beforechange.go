package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// sameChange is how old a snapshot may be to count as the one before a change that was begun already: a change that was
// cut off, or fails again and again, needs no second one, and one that is made again a day later does.
const sameChange = 6 * time.Hour

// guarded reports whether the container's policy wants a snapshot before an edit: one that restarts it, or destroys a
// volume that a snapshot would keep.
func (c *computation) guarded(w *spec.Container, e edit) bool {
	p := c.want.PolicyOf(w)
	return p != nil && p.BeforeChange && (e.change.Effect == setting.Restart || e.frees != "" && e.kind != editFree)
}

// unsaved says why an edit is not made: no snapshot can be taken before it, and its policy wants one.
func (c *computation) unsaved(w *spec.Container, have *Observed, e edit) (why string, ways []string) {
	if !c.guarded(w, e) {
		return "", nil
	}
	if c.have.Storages[have.Ref.Node] == nil {
		c.plan.needs.Storages[have.Ref.Node] = true
	}
	why, ways = c.have.noSnapshot(have.Ref.Node, have.Current.Record)
	if why == "" {
		why, ways = c.obstacle(Step{Op: TakeSnapshot{}}, Lane{Ref: have.Ref, Base: have.Config})
	}
	if why == "" {
		return "", nil
	}
	p := c.want.PolicyOf(w)
	off := "snapshots: {policy: " + p.Name + ", beforeChange: false}"
	switch {
	case !p.Scheduled():
		off = "snapshots: none"
	case p.Name == spec.OwnPolicy:
		off = "beforeChange: false under snapshots"
	}
	return "policy " + p.Name + " wants a snapshot before it, and there can be none: " + why, append(ways, "write "+off+" to make it without a snapshot")
}

// saveFirst is the snapshot that comes before the edits of a container; none where its policy wants none, or where it
// was taken already. restart says that the container is restarted for what is pending.
func (c *computation) saveFirst(w *spec.Container, have *Observed, edits []edit, restart bool) []Step {
	due := func(e edit) bool { return c.guarded(w, e) && (e.kind != editWait || restart) }
	if !slices.ContainsFunc(edits, due) {
		return nil
	}
	if have.Snapshots == nil {
		c.plan.needs.Snapshots[have.Ref.ID] = true
	}
	p, _ := retention.For(c.want, w)
	mark := c.changeMark(w)
	if c.saved(have.Snapshots, mark) {
		return nil
	}
	return []Step{{
		Op:    TakeSnapshot{Name: p.SnapshotName(c.policy.Now), Description: p.Description(retention.BeforeChange) + "\n" + mark},
		Cause: "before the change; it may be dropped after " + setting.Duration().Text(p.ChangeAge),
	}}
}

// saved reports whether the latest snapshot that was taken before a change was taken before this one.
func (c *computation) saved(list []proxmox.Snapshot, mark string) bool {
	for _, s := range newestFirst(list) {
		m, ours := retention.ParseMarker(s.Description)
		if !ours || m.Owner != c.want.Cluster.Owner || m.Kind != retention.BeforeChange || s.State != "" {
			continue
		}
		lines := strings.Split(strings.TrimSpace(s.Description), "\n")
		return slices.Contains(lines, mark) && c.policy.Now.Sub(s.Time) < sameChange
	}
	return false
}

// changeMark tells what a container shall become, as a line of a snapshot's description: a change that was begun is told
// by it from another one. What may hold secrets is left out.
func (c *computation) changeMark(w *spec.Container) string {
	r := maps.Clone(c.settings(w))
	delete(r, setting.Env.Path)
	delete(r, setting.Raw.Path)
	sum := sha256.Sum256([]byte(fmt.Sprint(r))) // maps print in the order of their keys
	return "change " + hex.EncodeToString(sum[:6])
}
