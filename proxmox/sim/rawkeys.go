package sim

import (
	"errors"

	"github.com/felhom/tend/proxmox"
)

const unknownRawKey = "unknown"

// rawKeyValidity is empty for a raw lxc.* key that Proxmox keeps, else the reason why it drops the line
// (LXC/Config.pm, is_valid_lxc_conf_key).
func rawKeyValidity(key string) string {
	switch key {
	case "lxc.rootfs.path":
		return "lxc.rootfs.path is auto generated from rootfs"
	case "lxc.rootfs.options":
		return "lxc.rootfs.options is not supported, please use mount point options in the \"rootfs\" key"
	}
	if errors.Is(proxmox.CheckRawKey(key), proxmox.ErrUnknownRawKey) {
		return unknownRawKey
	}
	return ""
}
