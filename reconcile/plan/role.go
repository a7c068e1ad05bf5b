package plan

import (
	"cmp"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// Role returns the smallest privileges with which a spec can be applied: its containers made, seen, changed in the
// settings that it writes, started and stopped, recreated and moved where it allows that, and destroyed once they
// are taken out of it. Settings that it does not write and somebody has set by hand may take more to undo; the plan
// names what is missing then. What only root@pam may do is left out, since no privilege helps. besides are privileges for
// what no spec asks for.
func Role(want *spec.State, besides ...proxmox.Privileges) []Grant {
	return grants(append(least(want), besides...))
}

// BackupPrivileges are what tend backups needs besides: to be shown the backups of the spec's containers, to open
// them, and to restore them to VMIDs of its own and drill with them. Copies get their VMIDs when they are made, so that
// these privileges are needed on all of /vms.
func BackupPrivileges(want *spec.State) []proxmox.Privileges {
	var list []proxmox.Privileges
	guest := func(privileges ...string) {
		for _, p := range privileges {
			list = append(list, proxmox.Privileges{Path: "/vms", AnyOf: []string{p}})
		}
	}
	guest("VM.Allocate", "VM.Audit", "VM.Backup", "VM.Config.Disk", "VM.Config.Network", "VM.Config.Options", "VM.PowerMgmt")
	for _, j := range want.Jobs {
		at := "/storage/" + spec.JobStorage.Or(j.Settings, "")
		list = append(list, proxmox.Privileges{Path: at, AnyOf: []string{"Datastore.Audit"}}, proxmox.Privileges{Path: at, AnyOf: []string{"Datastore.AllocateSpace"}})
	}
	return list
}

// least are the smallest privileges for a spec.
func least(want *spec.State) []proxmox.Privileges {
	c := &computation{want: want, have: &Live{}, plan: &Plan{}}
	nodes := map[string]bool{}
	for _, w := range want.Containers {
		nodes[w.Node] = true
	}
	for _, n := range want.Cluster.Nodes {
		nodes[n] = true
	}
	var list []proxmox.Privileges
	for _, w := range want.Containers {
		l := Lane{Ref: proxmox.Ref{Node: w.Node, ID: w.ID}}
		list = append(list, proxmox.Privileges{Path: guestPath(w.ID), AnyOf: []string{"VM.Audit"}})
		if w.Pool != nil && *w.Pool != "" {
			list = append(list, proxmox.Privileges{Path: "/pool/" + *w.Pool, AnyOf: []string{"Pool.Audit"}})
		}
		if p := want.PolicyOf(w); p != nil && p.Fallback != "" {
			list = append(list, c.have.Privileges(Backup{Storage: p.Fallback}, l)...)
		}
		for _, op := range c.everything(w, len(nodes) > 1) {
			list = append(list, c.have.Privileges(op, l)...)
		}
	}
	return append(list, c.besides(nodes)...)
}

// besides is what templates and backup jobs need, and to see them.
func (c *computation) besides(nodes map[string]bool) []proxmox.Privileges {
	var list []proxmox.Privileges
	for _, t := range c.want.Templates {
		var op Op = DownloadAppliance{Storage: t.Storage}
		switch {
		case t.URL != "":
			op = DownloadURL{Storage: t.Storage}
		case t.Image != "":
			op = PullImage{Storage: t.Storage}
		}
		list = append(list, proxmox.Privileges{Path: "/storage/" + t.Storage, AnyOf: []string{"Datastore.Audit", "Datastore.AllocateSpace"}})
		on := t.Nodes
		if len(on) == 0 {
			on = slices.Sorted(maps.Keys(nodes))
		}
		for _, node := range on {
			list = append(list, c.have.Privileges(op, Lane{Kind: TemplateKind, Ref: proxmox.Ref{Node: node}})...)
		}
	}
	if c.want.ManagesJobs {
		list = append(list, proxmox.Privileges{Path: "/", AnyOf: []string{"Sys.Audit"}})
	}
	for _, j := range c.want.Jobs {
		op := CreateJob{Values: proxmox.Values{spec.JobStorage.PVE: spec.JobStorage.Or(j.Settings, "")}}
		list = append(list, c.have.Privileges(op, Lane{Kind: JobKind, Name: j.Name})...)
	}
	return list
}

// everything is all that may be done to a container that the spec declares.
func (c *computation) everything(w *spec.Container, movable bool) []Op {
	values, changes := createValues(c.settings(w), c.createFacts(w))
	for _, ch := range changes {
		if ch.Access.Root {
			delete(values, ch.Row.PVEKey())
		}
	}
	for key, text := range values { // mounts of the node's paths and devices are for root alone
		_, isDevice := setting.Devices.Index(key)
		if isDevice || isVolumeKey(key) && storageOf(text) == "" {
			delete(values, key)
		}
	}
	root := setting.Storage.Or(setting.RootFS.Or(w.Settings, nil), "")
	ops := []Op{SetConfig{Set: values}, Start{}, DestroyContainer{}, MoveVolume{Storage: root}}
	for key, text := range values {
		if isVolumeKey(key) {
			ops = append(ops, MoveVolume{Disk: key, Storage: storageOf(text)}) // and the same to grow it
		}
	}
	switch {
	case w.From.Clone.ID != 0:
		ops = append(ops, CloneContainer{Source: proxmox.Ref{Node: w.Node, ID: w.From.Clone.ID}, Storage: root})
	case w.From.Backup != "":
		ops = append(ops, RestoreContainer{Archive: w.From.Backup, Storage: root, Values: values})
	case !w.From.IsZero():
		ops = append(ops, CreateContainer{Template: cmp.Or(w.From.Template, w.From.Image), Values: values})
	}
	if setting.Template.Or(w.Settings, false) {
		ops = append(ops, MakeTemplate{})
	}
	if w.Pool != nil && *w.Pool != "" {
		ops = append(ops, JoinPool{Pool: *w.Pool})
	}
	if w.Lifecycle.AllowRecreate {
		ops = append(ops, Backup{Storage: w.Lifecycle.BackupTo}, RestoreOver{})
	}
	if movable {
		ops = append(ops, Migrate{})
	}
	return ops
}
