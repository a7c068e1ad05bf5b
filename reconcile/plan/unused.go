package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// unused lists the volumes that a container has and does not mount, but for those that go or are mounted.
func (c *computation) unused(w *spec.Container, have *Observed, edits []edit) {
	used := map[string]bool{}
	for _, e := range edits {
		used[e.frees] = true
		if r, ok := e.change.New.(setting.Record); ok {
			used[setting.Volume.Or(r, "")] = true
		}
	}
	for _, v := range slices.Sorted(maps.Values(have.Current.Unused)) {
		if !used[v] {
			c.plan.Unused = append(c.plan.Unused, UnusedVolume{w.ID, w.Name, v})
		}
	}
}

// freed are the edits that destroy what the command line names. Only what nothing mounts is ever destroyed.
func (c *computation) freed(w *spec.Container, have *Observed) []edit {
	var out []edit
	for _, v := range c.policy.DestroyVolumes[w.ID] {
		ch := setting.Unused.Change(v, &setting.Record{}, nil, 0, setting.Facts{})
		if slices.Contains(slices.Collect(maps.Values(have.Current.Unused)), v) {
			out = append(out, edit{change: ch, kind: editFree, frees: v})
			continue
		}
		b := Blocked{ID: w.ID, Name: w.Name, What: "destroy volume", Change: &ch}
		b.Reason = fmt.Sprintf("volume %s is none of the unused volumes of the container", v)
		if slices.Contains(have.volumes(), v) {
			b.Reason = fmt.Sprintf("volume %s is mounted", v)
			b.Ways = []string{"take its mount out of the spec and apply, then destroy it", "write onRemove: destroy as all of the mount"}
		}
		c.block(b)
	}
	return out
}
