package sim

import (
	"maps"
	"slices"
	"strings"
)

// parsePendingDelete reads the list of keys to delete; a "!" before a key stands for force
// (AbstractConfig.pm, parse_pending_delete).
func parsePendingDelete(text string) map[string]bool {
	if !truthy(text) {
		return nil
	}
	out := map[string]bool{}
	for e := range strings.FieldsSeq(strings.NewReplacer(",", " ", ";", " ").Replace(text)) {
		key, force := strings.CutPrefix(e, "!")
		out[key] = force
	}
	return out
}

func (c *conf) setPendingDelete(keys map[string]bool) {
	if len(keys) == 0 {
		delete(c.pending.values, "delete")
		return
	}
	names := slices.Sorted(maps.Keys(keys))
	for i, n := range names {
		if keys[n] {
			names[i] = "!" + n
		}
	}
	c.pending.values["delete"] = strings.Join(names, ",")
}

func (c *conf) pendingDelete() map[string]bool { return parsePendingDelete(c.pending.values["delete"]) }

// addPendingDelete is AbstractConfig.pm, add_to_pending_delete.
func (c *conf) addPendingDelete(key string) {
	keys := c.pendingDelete()
	if keys == nil {
		keys = map[string]bool{}
	}
	keys[key] = false
	c.setPendingDelete(keys)
}

// dropPendingDelete is AbstractConfig.pm, remove_from_pending_delete.
func (c *conf) dropPendingDelete(key string) {
	keys := c.pendingDelete()
	if _, ok := keys[key]; ok {
		delete(keys, key)
		c.setPendingDelete(keys)
	}
}

// cleanPending drops pending changes that change nothing (AbstractConfig.pm, cleanup_pending).
func (c *conf) cleanPending() {
	for k, v := range c.pending.values {
		if live, ok := c.values[k]; k != "delete" && ok && live == v {
			delete(c.pending.values, k)
		}
	}
	keys := c.pendingDelete()
	for k := range keys {
		if _, ok := c.values[k]; !ok {
			delete(keys, k)
		}
	}
	c.setPendingDelete(keys)
}

// addUnused notes a volume under the lowest free unusedN, once (AbstractConfig.pm, add_unused_volume).
func (s section) addUnused(volid string) error {
	free := ""
	for _, k := range slices.Backward(unusedKeys()) {
		switch v := s.values[k]; {
		case !truthy(v):
			free = k
		case v == volid:
			return nil
		}
	}
	if free == "" {
		return dief("Too many unused volumes - please delete them first.")
	}
	s.values[free] = volid
	return nil
}

// usesVolume reports whether a mount of the section is the volume.
func (s section) usesVolume(volid string) bool {
	for m := range s.mounts() {
		if m.kind == volumeMount && m.volume == volid {
			return true
		}
	}
	return false
}

// usedBySnapshot is LXC/Config.pm, is_volume_in_use_by_snapshots.
func (c *conf) usedBySnapshot(volid string) bool {
	for _, s := range c.snaps {
		if s.usesVolume(volid) {
			return true
		}
	}
	return false
}

// usesAnywhere asks the live section, the snapshots and what is pending (LXC/Config.pm, is_volume_in_use).
func (c *conf) usesAnywhere(volid string) bool {
	return c.usesVolume(volid) || c.usedBySnapshot(volid) || c.pending.usesVolume(volid)
}
