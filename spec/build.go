package spec

import (
	"cmp"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// NewCluster makes a Cluster from the values of a [Document].
func NewCluster(r setting.Record) Cluster {
	return Cluster{Name: ClusterName.Or(r, ""), Owner: Owner.Or(r, *Owner.Default), Nodes: Nodes.Or(r, nil)}
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
	return &Container{
		Name: name, Place: at, Settings: settings,
		ID:      proxmox.VMID(ID.Or(r, 0)),
		Node:    Node.Or(r, ""),
		From:    From{Template: FromTemplate.Or(r, "")},
		Power:   Power(PowerState.Or(r, *PowerState.Default)),
		Restart: RestartPolicy(Restarts.Or(r, *Restarts.Default)),
		Lifecycle: Lifecycle{
			ForbidDestroy: DestroyRule.Or(r, *DestroyRule.Default) == "forbid",
			Ignore:        Ignore.Or(r, nil),
		},
		Init: Init{
			SSHKeys:  SSHKeys.Or(r, nil),
			Password: SecretRef{File: PasswordFile.Or(r, ""), Env: PasswordEnv.Or(r, "")},
		},
		Adopt: Adopt.Or(r, *Adopt.Default),
	}
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
