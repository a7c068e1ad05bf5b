package spec

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

// volumes checks the root file system and the mounts.
func (v *validation) volumes(c *Container) {
	at, root := pathOf(c, setting.RootFS), setting.RootFS.Or(c.Settings, nil)
	if (c.From.Template != "" || c.From.Image != "") && !hasSource(root) {
		v.fault(at.Join(setting.Storage.Path), below(at, setting.Volume, setting.HostPath),
			"is missing: write the storage for the root file system, here or in defaults")
	}
	v.source(at, root)
	v.quota(c, at, root)

	mounts, _ := c.Settings[setting.Mounts.Path].(setting.Members)
	v.room(c, setting.Mounts, len(mounts))
	v.mountPaths(c, mounts)
	mounted := map[string]setting.Path{setting.Volume.Or(root, ""): at}
	for _, id := range slices.Sorted(maps.Keys(mounts)) {
		at := pathOf(c, setting.Mounts).Join(id)
		v.mount(c, at, mounts[id])
		v.keepSnapshots(c, at, id, mounts)
		volume, named := setting.Volume.Get(mounts[id])
		if other, twice := mounted[volume]; named && twice {
			v.fault(at.Join(setting.Volume.Path), []setting.Path{other}, "%s is mounted twice: write it for one path", volume)
		}
		mounted[volume] = at
	}
}

// mountPaths checks that no mount hides another one, or what Proxmox mounts itself.
func (v *validation) mountPaths(c *Container, mounts setting.Members) {
	seen := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(mounts)) {
		at := pathOf(c, setting.Mounts)
		clean := path.Clean(id)
		if other, ok := seen[clean]; ok {
			v.fault(at.Join(id), []setting.Path{at.Join(other)}, "shadows the mount %s: both are at %s, remove one", other, clean)
		}
		seen[clean] = id
		switch clean {
		case "/":
			v.fault(at.Join(id), nil, "would shadow the root file system: mount below it, or write rootfs")
		case "/dev", "/proc", "/sys":
			v.fault(at.Join(id), nil, "would be shadowed by the container's own %s: mount elsewhere", clean)
		}
	}
}

// mount checks where a mount comes from, and that one which shall go says nothing else.
func (v *validation) mount(c *Container, at setting.Path, r setting.Record) {
	sources := below(at, setting.Storage, setting.Volume, setting.HostPath, setting.HostMount)
	removed, _ := setting.Removal(r)
	_, removal := setting.OnRemove.Get(r)
	_, sized := setting.Size.Get(r)
	switch {
	case removed:
	case removal && !hasSource(r):
		v.fault(at.Join(setting.OnRemove.Path), sources, "stands beside %s and no source: leave it alone to remove the mount, or write the source (storage, volume, hostPath or hostMount) to keep it",
			strings.Join(others(r), ", "))
	case !hasSource(r):
		v.fault(at, sources, "has no source: write storage and size for a new volume, or volume, or hostPath, or hostMount")
	case !sized && onStorage(r):
		v.fault(at.Join(setting.Size.Path), sources, "is missing: write the size of the volume, as in size: 8GiB")
	}
	v.source(at, r)
	v.quota(c, at, r)
}

// others are the parts of a mount beside onRemove, in the order of the table.
func others(r setting.Record) []string {
	var out []string
	for _, row := range setting.Mounts.Info().Rows {
		if _, ok := r[row.SpecPath()]; ok && row.SpecPath() != setting.OnRemove.Path {
			out = append(out, row.SpecPath())
		}
	}
	return out
}

// hasSource reports whether a volume comes from anywhere.
func hasSource(r setting.Record) bool {
	_, storage := setting.Storage.Get(r)
	_, volume := setting.Volume.Get(r)
	return storage || volume || onHost(r)
}

// onHost reports whether a mount is a path of the node.
func onHost(r setting.Record) bool {
	_, path := setting.HostPath.Get(r)
	_, mount := setting.HostMount.Get(r)
	return path || mount
}

// onStorage reports whether a mount is a volume that Proxmox makes.
func onStorage(r setting.Record) bool {
	_, storage := setting.Storage.Get(r)
	_, volume := setting.Volume.Get(r)
	return storage && !volume && !onHost(r)
}

// source checks that a volume comes from one place only.
func (v *validation) source(at setting.Path, r setting.Record) {
	volume, isVolume := setting.Volume.Get(r)
	_, isPath := setting.HostPath.Get(r)
	_, isMount := setting.HostMount.Get(r)
	storage, hasStorage := setting.Storage.Get(r)
	_, hasSize := setting.Size.Get(r)
	with := below(at, setting.Volume, setting.HostPath, setting.HostMount, setting.Storage)
	switch {
	case isPath && isMount:
		v.fault(at.Join(setting.HostPath.Path), with, "names a second source beside the host mount: keep one of hostPath and hostMount")
	case isPath && (isVolume || hasStorage):
		v.fault(at.Join(setting.HostPath.Path), with, "names a second source beside the volume: keep one of hostPath, volume and storage")
	case isMount && (isVolume || hasStorage):
		v.fault(at.Join(setting.HostMount.Path), with, "names a second source beside the volume: keep one of hostMount, volume and storage")
	case (isPath || isMount) && hasSize:
		v.fault(at.Join(setting.Size.Path), with, "means nothing for a path of the node: remove it")
	case isVolume && hasStorage && !strings.HasPrefix(volume, storage+":"):
		v.fault(at.Join(setting.Storage.Path), with, "is not the storage of the volume %s: remove one of them", volume)
	}
}

// quota refuses what lets the start of a container die (pve-container API2/LXC/Status.pm, vm_start).
func (v *validation) quota(c *Container, at setting.Path, r setting.Record) {
	if setting.Unprivileged.Or(c.Settings, *setting.Unprivileged.Default) && setting.Quota.Or(r, false) {
		v.fault(at.Join(setting.Quota.Path), []setting.Path{pathOf(c, setting.Unprivileged)}, "is not supported by unprivileged containers: remove it")
	}
}

func sortedIDs(m setting.Members) []string { return slices.Sorted(maps.Keys(m)) }
