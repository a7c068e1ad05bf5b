package rehearse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
)

// A coin is something that could not be read and may be one or the other way. It lies as is most likely; turn makes it
// the other way.
type coin struct {
	text string // a sentence on what is not known
	turn func(*world)
}

// coins are the things that are not known and that may decide what becomes of an apply.
func (c *Copy) coins(first *try) []coin {
	list := slices.Clone(c.hiddenThings)
	what := c.touched(first)
	if c.ample(what.most) {
		return list
	}
	roots := c.roots(first.have)
	for _, volume := range slices.Sorted(maps.Keys(what.volumes)) {
		if c, ok := c.amount(volume, what.volumes[volume], roots[volume]); ok {
			list = append(list, c)
		}
	}
	if what.unpacked {
		list = append(list, coin{
			fmt.Sprintf("what a template or backup unpacks to is not told: %d to %d times its size is assumed", unpackLeast, unpackMost),
			func(w *world) { w.options.Unpacked = unpackMost },
		})
	}
	if what.packed {
		list = append(list, coin{
			fmt.Sprintf("how small a backup becomes is not known: all of what is written to an %dth of it", packMost),
			func(w *world) { w.options.Packed = packLeast },
		})
	}
	return list
}

// inflate is how much larger data may become that ZFS has compressed, at most; it does not tell.
const inflate = 2

// amount is what is not known of how much lies in a volume. Where nothing tells, the copy takes it for empty.
func (c *Copy) amount(volume string, t touch, root int64) (coin, bool) {
	v := c.State.Volumes[volume]
	s := c.State.Storages[storageOf(volume)]
	if v == nil || s == nil {
		return coin{}, false
	}
	raw := !strings.Contains(volume, "subvol-") && !strings.Contains(volume, "basevol-")
	system, told := sim.Bytes(0), c.told[volume]
	if raw {
		system = sim.FileSystem(v.Size)
	}
	set := func(used sim.Bytes) func(*world) { return func(w *world) { w.Volumes[volume].Used = used } }
	live := sim.Bytes(root)
	thick := s.Type == "lvm" // it frees what it allocated, and that is known
	switch {
	case s.Type == "zfspool" && told > 0:
		v.Used = sim.Bytes(told)
		most := min(v.Size, inflate*v.Used)
		return coin{
			fmt.Sprintf("%s holds %s as ZFS compresses it: a copy may take up to %s", volume, readable(told), readable(int64(most))), set(most),
		}, t.copied && most > v.Used
	case told > 0 && root > 0 && !t.freed:
		v.Used = live + system
		return coin{}, false
	case told > 0:
		v.Used = sim.Bytes(told)
		return coin{
			fmt.Sprintf("%s takes %s; how much of that was deleted since, and is not copied, is not told", volume, readable(told)), set(live + system),
		}, t.copied && v.Used > live+system
	case root > 0 && (thick || !t.freed):
		v.Used = live + system
		return coin{}, false
	}
	v.Used = live + system
	return coin{
		fmt.Sprintf("how much is written in %s is not told: up to %s", volume, readable(int64(v.Size))), set(max(v.Size, v.Used)),
	}, t.copied || !thick
}

// learn asks the storages how much is in the volumes that are copied or destroyed.
func (c *Copy) learn(ctx context.Context, first *try) error {
	what := c.touched(first)
	for _, volume := range slices.Sorted(maps.Keys(what.volumes)) {
		v, s := c.State.Volumes[volume], c.State.Storages[storageOf(volume)]
		if v == nil || s == nil || c.told[volume] > 0 || !slices.Contains([]string{"zfspool", "rbd"}, s.Type) {
			continue
		}
		use, err := c.client.VolumeUse(ctx, c.place(volume, first.have), volume)
		switch {
		case errors.Is(err, proxmox.ErrForbidden), errors.Is(err, proxmox.ErrNotFound):
		case err != nil:
			return fmt.Errorf("ask for the use of %s: %w", volume, err)
		case use.Used > 0:
			c.told[volume] = use.Used
		}
	}
	return nil
}

// amounts is how much lies in each volume of the copy.
func (c *Copy) amounts() map[string]sim.Bytes {
	out := make(map[string]sim.Bytes, len(c.State.Volumes))
	for volume, v := range c.State.Volumes {
		out[volume] = v.Used
	}
	return out
}

// few is the number of coins up to which each combination is tried.
const few = 4

// flips are the combinations of coins that are tried, small ones first.
func flips(coins []coin) (sets [][]coin) {
	if len(coins) <= few {
		for bits := 1; bits < 1<<len(coins); bits++ {
			var set []coin
			for i, c := range coins {
				if bits>>i&1 == 1 {
					set = append(set, c)
				}
			}
			sets = append(sets, set)
		}
	} else {
		for i := range min(len(coins), 3*few) {
			sets = append(sets, coins[i:i+1], slices.Concat(coins[:i], coins[i+1:]))
		}
		sets = append(sets, coins)
	}
	slices.SortStableFunc(sets, func(a, b []coin) int { return cmp.Compare(len(a), len(b)) })
	return sets
}

func storageOf(volume string) string {
	storage, _, _ := strings.Cut(volume, ":")
	return storage
}
