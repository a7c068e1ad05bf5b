package spec

import (
	"maps"
	"path"

	"github.com/felhom/tend/spec/setting"
)

// Settings are the settings of a container in Proxmox's terms: a mount of a host mount is one of the path that it has on
// the node, a hook script that is a snippet of the spec is its volume, and mounts with keepSnapshots are raw lines.
// Names that do not exist stay as they are. The record is the caller's own, but for what it holds.
func (s *State) Settings(c *Container) setting.Record {
	r := maps.Clone(c.Settings)
	if r == nil {
		r = setting.Record{}
	}
	if members := mountsOf(r); len(members) > 0 {
		resolved := setting.Members{}
		for id, m := range members {
			resolved[id] = s.onNode(m)
		}
		r[setting.Mounts.Path] = resolved
	}
	if script := s.Script(c); script != nil {
		setting.HookScript.Set(r, script.Volume())
	}
	return setting.AsRaw(r)
}

// onNode is a mount with the path on the node in place of a host mount and a path below it.
func (s *State) onNode(r setting.Record) setting.Record {
	m := s.HostMount(setting.HostMount.Or(r, ""))
	if m == nil {
		return r
	}
	out := maps.Clone(r)
	delete(out, setting.HostMount.Path)
	delete(out, setting.HostMountPath.Path)
	setting.HostPath.Set(out, path.Join(m.Path, setting.HostMountPath.Or(r, "")))
	return out
}
