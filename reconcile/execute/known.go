package execute

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// known is what a lane knows of its container's configuration: what it last read, and what its own steps may
// have changed since.
type known struct {
	config  proxmox.Config
	stale   bool            // the digest is, or may be, another by now
	touched map[string]bool // keys that our own steps may have changed
	unused  bool            // and any unusedN
}

// ours notes what a step that was sent may have changed.
func (k *known) ours(op plan.Op) {
	k.stale = true
	switch op := op.(type) {
	case plan.SetConfig:
		for _, key := range slices.Concat(op.Set.Keys(), op.Delete, op.Revert) {
			k.touch(key)
		}
	case plan.Resize:
		k.touch(op.Disk)
	case plan.MoveVolume:
		k.touch(op.Disk)
	case plan.DestroyVolume:
		k.unused = true
	case plan.TakeSnapshot:
		k.touch("parent")
	case plan.CloneContainer, plan.RestoreContainer, plan.RestoreOver, plan.MakeTemplate, plan.RemoveRemnant, plan.DeleteSnapshot, plan.RollBack:
		k.config = proxmox.Config{} // what it is now, nobody has read
	case plan.Start, plan.Shutdown, plan.Reboot:
		// What is pending is applied when a container stops and when it starts (pve-container
		// lxc-pve-poststop-hook and LXC.pm, vm_start); a mount that goes becomes unusedN.
		for key := range k.config.Pending {
			k.touch(key)
		}
		for key := range k.config.Deleted {
			k.touch(key)
		}
	}
}

func (k *known) touch(key string) {
	if k.touched == nil {
		k.touched = map[string]bool{}
	}
	k.touched[key] = true
	_, isMount := setting.Mounts.Index(key)
	k.unused = k.unused || isMount || key == setting.RootFS.PVE || isUnused(key)
}

func isUnused(key string) bool { return strings.HasPrefix(key, "unused") }

// foreign returns the first key that somebody else has changed, "" where nobody has. Locks come and go by
// themselves and are no setting.
func (k *known) foreign(now proxmox.Config) string {
	keys := map[string]bool{}
	for _, c := range []proxmox.Config{k.config, now} {
		for _, v := range []proxmox.Values{c.Current, c.Pending} {
			for key := range v {
				keys[key] = true
			}
		}
		for key := range c.Deleted {
			keys[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if k.touched[key] || k.unused && isUnused(key) || key == "lock" {
			continue
		}
		if !same(k.config.Current, now.Current, key) || !same(k.config.Pending, now.Pending, key) ||
			k.config.Deleted[key] != now.Deleted[key] {
			return key
		}
	}
	return ""
}

func same(a, b proxmox.Values, key string) bool {
	x, inA := a[key]
	y, inB := b[key]
	return inA == inB && x == y
}

// digest is the one to send with the next call. After a change of our own the configuration is read again; all
// that was not ours must be as it was.
func (l *lane) digest(ctx context.Context) (string, error) {
	if !l.known.stale && l.known.config.Digest != "" {
		return l.known.config.Digest, nil
	}
	return l.look(ctx)
}

// look reads the configuration and compares it with what was known.
func (l *lane) look(ctx context.Context) (digest string, err error) {
	now, err := l.run.Client.Config(ctx, l.Ref)
	if err != nil {
		return "", fmt.Errorf("read configuration of %s: %w", l.Ref, err)
	}
	if l.known.config.Digest != "" {
		if key := l.known.foreign(now); key != "" {
			return "", fmt.Errorf("somebody else has changed %s of %s meanwhile: %w", key, l.Ref, proxmox.ErrModified)
		}
	}
	l.known = known{config: now}
	return now.Digest, nil
}
