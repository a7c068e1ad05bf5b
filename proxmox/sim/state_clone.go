package sim

import (
	"maps"
	"slices"
)

// clone is a deep copy.
func (st *State) clone() *State {
	out := *st
	out.Cluster.Name = copyOf(st.Cluster.Name)
	out.Nodes = cloneMap(st.Nodes, func(n *Node) {
		n.Bridges = cloneMap(n.Bridges, func(*Bridge) {})
		n.Devices, n.Directories, n.Missing = slices.Clone(n.Devices), slices.Clone(n.Directories), slices.Clone(n.Missing)
		n.Files = cloneMap(n.Files, func(*File) {})
		n.Made, n.Disks = slices.Clone(n.Made), slices.Clone(n.Disks)
		for i, d := range n.Disks {
			n.Disks[i] = new(*d)
		}
		n.Drives, n.Sensors = cloneDrives(n.Drives), cloneSensors(n.Sensors)
	})
	out.Storages = cloneMap(st.Storages, func(s *Storage) {
		s.Content, s.Nodes = slices.Clone(s.Content), slices.Clone(s.Nodes)
	})
	out.Templates = cloneMap(st.Templates, func(t *Template) {
		t.OSType, t.Nodes, t.OCI = copyOf(t.OSType), slices.Clone(t.Nodes), t.OCI.clone()
	})
	out.Appliances = cloneMap(st.Appliances, func(a *Appliance) { a.OSType = copyOf(a.OSType) })
	out.Downloads = cloneMap(st.Downloads, func(d *Download) { d.OSType = copyOf(d.OSType) })
	out.Snippets = slices.Clone(st.Snippets)
	out.Containers = cloneMap(st.Containers, func(*Container) {})
	out.VMs = cloneMap(st.VMs, func(*VM) {})
	out.Volumes = cloneMap(st.Volumes, func(v *Volume) {
		v.Snapshots, v.Sizes = slices.Clone(v.Snapshots), maps.Clone(v.Sizes)
	})
	out.Backups = cloneMap(st.Backups, func(*Backup) {})
	out.HA = maps.Clone(st.HA)
	out.Pools = cloneMap(st.Pools, func(p *Pool) { p.VMs, p.Storage = slices.Clone(p.VMs), slices.Clone(p.Storage) })
	out.BackupJobs = make(map[string]map[string]any, len(st.BackupJobs))
	for id, job := range st.BackupJobs {
		out.BackupJobs[id], _ = cloneAny(job).(map[string]any)
	}
	out.Datacenter, _ = cloneAny(st.Datacenter).(map[string]any)
	out.Users = cloneMap(st.Users, func(u *User) { u.Tokens = cloneMap(u.Tokens, func(*Token) {}) })
	out.Groups, out.Roles = cloneLists(st.Groups), cloneLists(st.Roles)
	out.ACL = slices.Clone(st.ACL)
	for i := range out.ACL {
		out.ACL[i].Propagate = copyOf(out.ACL[i].Propagate)
	}
	out.Auth = maps.Clone(st.Auth)
	out.Tasks = slices.Clone(st.Tasks)
	for i := range out.Tasks {
		out.Tasks[i].Log = slices.Clone(out.Tasks[i].Log)
	}
	return &out
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// cloneMap copies a map and what it points to; deeper copies what that holds itself.
func cloneMap[K comparable, V any](m map[K]*V, deeper func(*V)) map[K]*V {
	if m == nil {
		return nil
	}
	out := make(map[K]*V, len(m))
	for k, v := range m {
		if v == nil {
			out[k] = nil
			continue
		}
		own := *v
		deeper(&own)
		out[k] = &own
	}
	return out
}

func cloneLists(m map[string][]string) map[string][]string {
	out := make(map[string][]string, len(m))
	for k, v := range m {
		out[k] = slices.Clone(v)
	}
	return out
}

// cloneAny copies what YAML decodes to.
func cloneAny(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = cloneAny(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = cloneAny(e)
		}
		return out
	}
	return v
}
