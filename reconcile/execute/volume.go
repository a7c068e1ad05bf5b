package execute

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
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
