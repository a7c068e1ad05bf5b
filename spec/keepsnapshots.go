package spec

import (
	"path"
	"slices"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

// keepSnapshots checks that a mount that shall be a raw line can be one.
func (v *validation) keepSnapshots(c *Container, at setting.Path, id string, mounts setting.Members) {
	r := mounts[id]
	if removed, _ := setting.Removal(r); removed || !setting.KeepSnapshots.Or(r, false) {
		return
	}
	here := at.Join(setting.KeepSnapshots.Path)
	if !onHost(r) {
		if hasSource(r) {
			v.fault(here, below(at, setting.HostPath, setting.HostMount, setting.Storage, setting.Volume), "is for directories of the node: volumes leave snapshots possible by themselves; remove it")
		}
		return
	}
	if strings.HasPrefix(setting.HostPath.Or(r, ""), "/dev/") {
		v.fault(here, below(at, setting.HostPath), "is for directories of the node, and %s is a device: remove it", setting.HostPath.Or(r, ""))
	}
	keepRows := []setting.Row{
		setting.ReadOnly, setting.HostPath, setting.HostMount, setting.HostMountPath, setting.KeepSnapshots, setting.OnRemove, setting.Storage, setting.Volume, setting.Size,
	}
	for _, row := range setting.Mounts.Info().Rows {
		path := row.SpecPath()
		known := slices.ContainsFunc(keepRows, func(k setting.Row) bool { return k.SpecPath() == path })
		if _, written := r[path]; written && !known && !row.Equal(r[path], nil) {
			v.fault(at.Join(path), []setting.Path{here}, "is nothing that a raw line can carry, which keepSnapshots makes of the mount: remove one of them")
		}
	}
	v.rawOrder(c, here, id, mounts)
	for _, ignored := range c.Lifecycle.Ignore {
		if ignored == setting.Raw.Path || ignored == setting.Mounts.Path {
			v.fault(here, []setting.Path{pathOf(c, Ignore)}, "is written as a raw line, and lifecycle.ignore leaves %s as it is: remove one of them", ignored)
		}
	}
}

// rawOrder checks that a mount by a raw line, which LXC makes after all mount points of Proxmox, hides none of these,
// and that no other raw line mounts at its place.
func (v *validation) rawOrder(c *Container, here setting.Path, id string, mounts setting.Members) {
	clean := path.Clean(id)
	for _, other := range sortedIDs(mounts) {
		removed, _ := setting.Removal(mounts[other])
		if removed || setting.KeepSnapshots.Or(mounts[other], false) {
			continue
		}
		if strings.HasPrefix(path.Clean(other), clean+"/") {
			v.fault(here, []setting.Path{pathOf(c, setting.Mounts).Join(other)}, "would hide the mount %s, since raw lines come after all mount points: write keepSnapshots for both, or for none", other)
		}
	}
	for _, line := range setting.Raw.Or(c.Settings, nil) {
		if where, _, ok := setting.ParseRawMount(line); ok && where == clean {
			v.fault(here, []setting.Path{pathOf(c, setting.Raw)}, "is written as a raw line, and lxc has one for %s already: remove one of them", clean)
		}
	}
}
