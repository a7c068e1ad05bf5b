package spec

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// NewCluster makes a Cluster from the values of a [Document].
func NewCluster(r setting.Record) Cluster {
	return Cluster{Name: ClusterName.Or(r, ""), Owner: Owner.Or(r, *Owner.Default), Nodes: Nodes.Or(r, nil), TimeZone: ClusterTimeZone.Or(r, "")}
}

// NewContainer makes a Container from the values of [ContainerFields], layers merged. What is missing is
// left at its zero value: [Validate] finds it.
func NewContainer(name string, r setting.Record, at Place) *Container {
	settings := setting.Record{}
	for _, row := range setting.Container.Rows {
		if v, ok := r[row.Info().Path]; ok {
			settings[row.Info().Path] = v
		}
	}
	out := &Container{
		Name: name, Place: at, Settings: settings,
		ID:        proxmox.VMID(ID.Or(r, 0)),
		Node:      Node.Or(r, ""),
		From:      newFrom(r),
		Power:     Power(PowerState.Or(r, *PowerState.Default)),
		Restart:   RestartPolicy(Restarts.Or(r, *Restarts.Default)),
		DependsOn: DependsOn.Or(r, nil),
		Lifecycle: Lifecycle{
			ForbidDestroy: DestroyRule.Or(r, *DestroyRule.Default) == "forbid",
			AllowRecreate: RecreateRule.Or(r, *RecreateRule.Default) == "allow",
			BackupTo:      BackupTo.Or(r, ""),
			Ignore:        Ignore.Or(r, nil),
		},
		Init: Init{
			SSHKeys:  SSHKeys.Or(r, nil),
			Password: SecretRef{File: PasswordFile.Or(r, ""), Env: PasswordEnv.Or(r, "")},
		},
		Adopt:     Adopt.Or(r, *Adopt.Default),
		Snapshots: Snapshots.Or(r, nil),
		Holds:     SnapshotHolds.Or(r, nil),
	}
	if pool, ok := PoolName.Get(r); ok {
		out.Pool = &pool
	}
	return out
}

func newFrom(r setting.Record) From {
	clone := Clone{ID: proxmox.VMID(CloneID.Or(r, 0)), Snapshot: CloneSnapshot.Or(r, "")}
	if full, ok := CloneFull.Get(r); ok {
		clone.Kind = LinkedClone
		if full {
			clone.Kind = FullClone
		}
	}
	return From{Template: FromTemplate.Or(r, ""), Image: FromImage.Or(r, ""), Backup: FromBackup.Or(r, ""), Clone: clone}
}

// Record is the inverse of [NewContainer]: what an author would write.
func (c *Container) Record() setting.Record {
	r := maps.Clone(c.Settings)
	if r == nil {
		r = setting.Record{}
	}
	ID.Set(r, int64(c.ID))
	for key, text := range map[*setting.Key[string]]string{
		&Node: c.Node, &PowerState: string(c.Power), &Restarts: string(c.Restart),
		&FromTemplate: c.From.Template, &FromImage: c.From.Image, &FromBackup: c.From.Backup, &CloneSnapshot: c.From.Clone.Snapshot,
		&BackupTo: c.Lifecycle.BackupTo, &PasswordFile: c.Init.Password.File, &PasswordEnv: c.Init.Password.Env,
	} {
		if text != "" {
			key.Set(r, text)
		}
	}
	for key, list := range map[*setting.Key[[]string]][]string{
		&DependsOn: c.DependsOn, &Ignore: c.Lifecycle.Ignore, &SSHKeys: c.Init.SSHKeys, &SnapshotHolds: c.Holds,
	} {
		if len(list) > 0 {
			key.Set(r, list)
		}
	}
	Adopt.Set(r, c.Adopt)
	if c.Snapshots != nil {
		Snapshots.Set(r, c.Snapshots)
	}
	if c.Pool != nil {
		PoolName.Set(r, *c.Pool)
	}
	if c.From.Clone.ID != 0 {
		CloneID.Set(r, int64(c.From.Clone.ID))
	}
	if c.From.Clone.Kind != "" {
		CloneFull.Set(r, c.From.Clone.Kind == FullClone)
	}
	if c.Lifecycle.ForbidDestroy {
		DestroyRule.Set(r, "forbid")
	}
	if c.Lifecycle.AllowRecreate {
		RecreateRule.Set(r, "allow")
	}
	return r
}

// Overlay lays the values of one layer of a container over those of the layers below. What a container is made
// from is one thing: a layer that names a source replaces it as a whole. So does one that names a snapshot policy.
func Overlay(low, high setting.Record) setting.Record {
	isSource := func(path string, _ any) bool { return strings.HasPrefix(path, "from.") }
	for path := range high {
		if isSource(path, nil) {
			low = maps.Clone(low)
			maps.DeleteFunc(low, isSource)
			break
		}
	}
	if _, ok := UsePolicy.Get(Snapshots.Or(high, nil)); ok {
		low = maps.Clone(low)
		delete(low, Snapshots.Path)
	}
	return setting.Overlay(low, high)
}

// NewState puts a spec together: containers by VMID.
func NewState(c Cluster, containers []*Container) *State {
	out := slices.Clone(containers)
	slices.SortFunc(out, func(a, b *Container) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), strings.Compare(a.Name, b.Name))
	})
	return &State{Cluster: c, Containers: out}
}

// Hostname is the container's host name: its name, unless the spec says otherwise.
func (c *Container) Hostname() string { return setting.Hostname.Or(c.Settings, c.Name) }
