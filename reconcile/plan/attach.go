package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A Shelf is what a storage of a node holds for a container.
type Shelf struct {
	Node, Storage string
	Guest         proxmox.VMID
}

// cannotAttach says why an existing volume is not mounted. Proxmox does not ask whether it is there before the
// container starts, and a container that was stopped for it would stay so (pve-container LXC/Config.pm,
// apply_pending_mountpoint).
func (c *computation) cannotAttach(w *spec.Container, volume string) (why string, ways []string) {
	if why, ways := foreignVolume(w, volume); why != "" {
		return why, ways
	}
	storage, _, _ := strings.Cut(volume, ":")
	if c.have.Storages[w.Node] == nil {
		c.plan.needs.Storages[w.Node] = true
		return "", nil
	}
	if why, ways := c.cannotHold(w.Node, storage); why != "" {
		return why, ways
	}
	if have := c.have.Containers[w.ID]; setting.VolumeOwner(volume) != w.ID || have != nil && slices.Contains(have.volumes(), volume) {
		return "", nil
	}
	shelf := Shelf{w.Node, storage, w.ID}
	held := c.have.Volumes[shelf]
	switch {
	case held == nil:
		c.plan.needs.Volumes[shelf] = true
	case c.have.Permissions == nil:
		c.plan.needs.Permissions = true
	case !held[volume] && c.seesVolumes(shelf):
		return fmt.Sprintf("volume %s does not exist", volume), []string{
			"correct its name", "write storage and size in place of it, for a new and empty volume",
		}
	}
	return "", nil
}

// seesVolumes reports whether the token is shown the volumes of a container on a storage; Proxmox leaves out of the
// list what it is not (pve-storage Storage.pm, check_volume_access).
func (c *computation) seesVolumes(s Shelf) bool {
	at, guest := "/storage/"+s.Storage, "/vms/"+s.Guest.String()
	p := c.have.Permissions
	return p.Allows(at, "Datastore.Allocate") || p.Allows(at, "Datastore.Audit") && p.Allows(guest, "VM.Config.Disk")
}

// foreignVolume says why a volume of another container is not mounted: Proxmox would do it, and then two
// containers could write to one file system, and either could destroy it.
func foreignVolume(w *spec.Container, volume string) (why string, ways []string) {
	owner := setting.VolumeOwner(volume)
	if owner == 0 || owner == w.ID {
		return "", nil
	}
	return fmt.Sprintf("volume %s belongs to container %d", volume, owner), []string{
		fmt.Sprintf("give it to this container first: take its mount out of %d and apply; then pct move-volume %d unusedN --target-vmid %d",
			owner, owner, w.ID),
		"mount a directory of the node in both, if they shall share it",
	}
}
