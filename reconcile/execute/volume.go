package execute

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// destroyVolume finds the key under which the volume stands as unused; only there is it ever freed. It has
// just been detached, perhaps, so the key is known to the node alone. Where the volume is gone already, there
// is nothing to send.
func (l *lane) destroyVolume(ctx context.Context, op plan.DestroyVolume) (call, error) {
	digest, err := l.look(ctx)
	if err != nil {
		return nil, err
	}
	current := l.known.config.Current
	for _, key := range slices.Sorted(maps.Keys(current)) {
		switch {
		case isUnused(key) && current[key] == op.Volume:
			u := proxmox.Update{Delete: []string{key}, Digest: digest}
			return func(ctx context.Context) (proxmox.UPID, error) {
				return proxmox.UPID{}, l.run.Client.SetConfig(ctx, l.Ref, u)
			}, nil
		case !isUnused(key) && mentions(current[key], op.Volume):
			return nil, fmt.Errorf("volume %s is still mounted as %s: nothing was destroyed", op.Volume, key)
		}
	}
	return func(context.Context) (proxmox.UPID, error) { return proxmox.UPID{}, nil }, nil
}

// mentions reports whether a mount's text is of a volume.
func mentions(text, volume string) bool {
	return text == volume || len(text) > len(volume) && text[:len(volume)] == volume && text[len(volume)] == ','
}

// tellSize writes the size of a volume into the configuration where that lags behind: the volume has it already, so
// that Proxmox refuses to grow it and leaves the configuration as it is (pve-container API2/LXC.pm, resize_vm).
// Without that, each plan would grow it again.
func (l *lane) tellSize(ctx context.Context, index int, op plan.Resize, begin time.Time) (Status, error) {
	if _, err := l.look(ctx); err != nil {
		return l.judge(ctx, op, err), err
	}
	text, err := withSize(op, l.known.config.Current[op.Disk])
	switch {
	case err != nil:
		return Failed, fmt.Errorf("%s of %s: %w", op.Disk, l.Ref, err)
	case text == l.known.config.Current[op.Disk]:
		return Done, nil
	}
	sets := []proxmox.Values{{op.Disk: text}}
	if key := setting.Protection.PVE; l.known.config.Current[key] == setting.Protection.FormatWire(true) {
		off, on := proxmox.Values{key: setting.Protection.FormatWire(false)}, proxmox.Values{key: setting.Protection.FormatWire(true)}
		sets = []proxmox.Values{off, sets[0], on} // it keeps mounts from being set
	}
	for _, set := range sets {
		if status, err := l.step(ctx, index, plan.Step{Op: plan.SetConfig{Set: set}}, begin); status != Done {
			return status, err
		}
	}
	return Done, nil
}

// withSize is the text of a mount or the root file system with the size that an operation gives it.
func withSize(op plan.Resize, text string) (string, error) {
	if op.Disk == setting.RootFS.PVE {
		v, err := setting.RootFS.ParseWire(text)
		root, _ := v.(setting.Record)
		if err != nil {
			return "", err
		}
		setting.Size.Set(root, op.Size)
		return setting.RootFS.FormatWire(root), nil
	}
	id, r, err := setting.Mounts.ParseMember(text)
	if err != nil {
		return "", err
	}
	setting.Size.Set(r, op.Size)
	return setting.Mounts.FormatMember(id, r), nil
}
