package plan

import (
	"cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// Role returns the smallest privileges with which a spec can be applied: its containers made, seen, changed in the
// settings that it writes, started and stopped, recreated and moved where it allows that, and destroyed once they
// are taken out of it. Settings that it does not write and somebody has set by hand may take more to undo; the plan
// names what is missing then. What only root@pam may do is left out, since no privilege helps.
func Role(want *spec.State) []Grant {
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
		for _, op := range c.everything(w, len(nodes) > 1) {
			list = append(list, c.have.Privileges(op, l)...)
		}
	}
	return grants(list)
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
	if w.Lifecycle.AllowRecreate {
		ops = append(ops, Backup{Storage: w.Lifecycle.BackupTo}, RestoreOver{})
	}
	if movable {
		ops = append(ops, Migrate{})
	}
	return ops
}
