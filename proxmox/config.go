package proxmox

import (
	"maps"
	"slices"
)

// Values are settings of a guest in Proxmox's own text, by Proxmox's key: "cores" → "2",
// "net0" → "name=eth0,bridge=vmbr0". Numbers and booleans stand as their decimal text.
type Values map[string]string

// Keys returns the keys in order.
func (v Values) Keys() []string { return slices.Sorted(maps.Keys(v)) }

// A Config is the configuration of a container in its two views, which are never merged: what is in force,
// and what waits until the container next stops.
type Config struct {
	Current Values          // in force now
	Pending Values          // set, but not in force before the container stops
	Deleted map[string]bool // in force, but gone once the container stops
	Digest  string          // SHA-1 of the config file, with pending and snapshot sections, in hex
}

// An Update is one change of a container's configuration.
type Update struct {
	Set    Values
	Delete []string // keys to remove; a key that is not set is ignored by Proxmox
	Revert []string // pending changes to drop
	Digest string   // of the configuration the change was planned on; empty turns the check off
}
