package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// poolChange is the change of the pool that a container is in; ok is false where there is none to make.
func (c *computation) poolChange(w *spec.Container, id proxmox.VMID) (ch setting.Change, steps []Step, ok bool) {
	if w.Pool == nil || c.have.PoolOf == nil {
		return ch, nil, false
	}
	old, new := c.have.PoolOf[id], *w.Pool
	if old == new {
		return ch, nil, false
	}
	ch = setting.Change{Row: spec.PoolName}
	if old != "" {
		ch.Old = old
	}
	if new != "" {
		ch.New = new
	}
	b := Blocked{ID: w.ID, Name: w.Name, What: ch.Label(), Change: &ch}
	if b.Reason, b.Ways = c.cannotJoin(new); b.Reason != "" {
		c.block(b)
		return ch, nil, false
	}
	step := Step{Op: JoinPool{Pool: new}, Why: []setting.Change{ch}}
	if new == "" {
		step.Op = LeavePool{Pool: old}
	}
	if b.Reason, b.Ways = c.obstacle(step, Lane{Ref: proxmox.Ref{Node: w.Node, ID: id}}); b.Reason != "" {
		c.block(b)
		return ch, nil, false
	}
	return ch, []Step{step}, true
}

// cannotJoin says why a container cannot be in a pool.
func (c *computation) cannotJoin(pool string) (why string, ways []string) {
	if pool == "" {
		return "", nil
	}
	if c.have.Pools == nil {
		c.plan.needs.Pools = true
		return "", nil
	}
	if c.have.Pools[pool] {
		return "", nil
	}
	ways = []string{"make it: pvesh create /pools --poolid " + pool, "give the token Pool.Audit on /pool/" + pool + ", if it is there"}
	if near := setting.Nearest(pool, slices.Sorted(maps.Keys(c.have.Pools))); near != "" {
		ways = append([]string{"write pool: " + near}, ways...)
	}
	return fmt.Sprintf("pool %s does not exist, or the token may not see it", pool), ways
}

// newPool is the pool that a new container goes into; empty where none.
func (c *computation) newPool(w *spec.Container) string {
	if w.Pool == nil {
		return ""
	}
	return *w.Pool
}
