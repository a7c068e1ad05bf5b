package reconcile_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// A handKind is one thing that people do at the node, past the spec.
type handKind struct {
	name   string
	weight int
	do     func(q *sequence, r proxmox.Ref, live setting.Live) error
}

// handKinds are all of them; TestSequences fails where one of them was never done.
func handKinds() []handKind {
	return []handKind{
		{"start", 2, func(q *sequence, r proxmox.Ref, _ setting.Live) error {
			return q.ended(q.node.root.Start(q.Context(), r))
		}},
		{"stop", 2, func(q *sequence, r proxmox.Ref, _ setting.Live) error {
			return q.ended(q.node.root.Stop(q.Context(), r))
		}},
		{"restart", 1, func(q *sequence, r proxmox.Ref, _ setting.Live) error {
			return q.ended(q.node.root.Reboot(q.Context(), r, 0))
		}},
		{"tags", 1, func(q *sequence, r proxmox.Ref, _ setting.Live) error {
			return q.set(r, proxmox.Values{"tags": strings.Join(some(q.g, "mine", "media", "tend", "tend"), ";")})
		}},
		{"interface", 2, func(q *sequence, r proxmox.Ref, _ setting.Live) error {
			nic := fmt.Sprintf("name=eth%d,bridge=vmbr0,ip=dhcp", q.g.IntN(4))
			return q.set(r, proxmox.Values{fmt.Sprintf("net%d", q.g.IntN(5)): nic})
		}},
		{"new mount", 2, func(q *sequence, r proxmox.Ref, live setting.Live) error {
			return q.setFree(r, live, "local:1,mp="+pick(q.g, "/data", "/extra", "/srv/www"))
		}},
		{"bind mount", 1, func(q *sequence, r proxmox.Ref, live setting.Live) error {
			return q.setFree(r, live, "/srv,mp=/srv/media")
		}},
		{"grown", 1, func(q *sequence, r proxmox.Ref, _ setting.Live) error {
			return q.ended(q.node.root.Resize(q.Context(), r, proxmox.ResizeParams{Disk: "rootfs", Size: 1 << 30, Grow: true}))
		}},
		{"mount taken out", 1, func(q *sequence, r proxmox.Ref, live setting.Live) error {
			return q.node.root.SetConfig(q.Context(), r, proxmox.Update{Delete: q.slots(live, 1)})
		}},
		{"mount options", 1, (*sequence).optionsByHand},
		{"unused volume mounted over another", 1, (*sequence).coverByHand},
		{"new volume in place of another", 1, func(q *sequence, r proxmox.Ref, live setting.Live) error {
			return q.set(r, proxmox.Values{q.slots(live, 1)[0]: "local:1,mp=/data"})
		}},
		{"mounts swapped", 1, (*sequence).swapByHand},
		{"volume moved", 1, func(q *sequence, r proxmox.Ref, live setting.Live) error {
			return q.ended(q.node.root.MoveVolume(q.Context(), r, proxmox.MoveParams{Volume: q.slots(live, 1)[0], Storage: pick(q.g, "local", "local-btrfs")}))
		}},
		{"snapshot", 2, func(q *sequence, r proxmox.Ref, _ setting.Live) error {
			if err := q.ended(q.node.root.Snapshot(q.Context(), r, "before", "")); err != nil {
				return err
			}
			if q.g.chance(50) {
				return nil
			}
			return q.ended(q.node.root.DeleteSnapshot(q.Context(), r, "before", false))
		}},
		{"rollback", 3, func(q *sequence, r proxmox.Ref, _ setting.Live) error {
			return q.ended(q.node.root.Rollback(q.Context(), r, "before"))
		}},
		{"destroyed", 1, func(q *sequence, r proxmox.Ref, _ setting.Live) error {
			return q.ended(q.node.root.Destroy(q.Context(), r, proxmox.DestroyParams{Force: true}))
		}},
	}
}

// byHand does what people do at the node: settings of some containers, and a thing with one of them. What Proxmox
// refuses is left.
func (q *sequence) byHand() {
	q.touched = true
	if q.g.chance(40) {
		q.note("settings by hand")
		q.counts.add("by hand: settings")
		q.disturb(q.state())
		q.look()
	}
	kinds := handKinds()
	n := 0
	for _, k := range kinds {
		n += k.weight
	}
	for _, id := range slices.Sorted(maps.Keys(q.want)) {
		live := q.live(id)
		if !live.there || q.g.chance(50) {
			continue
		}
		at := q.g.IntN(n)
		k := kinds[slices.IndexFunc(kinds, func(k handKind) bool { at -= k.weight; return at < 0 })]
		if q.slots(live.Live, 1) == nil && strings.Contains(k.name, "volume") {
			continue // it has no mount
		}
		err := k.do(q, ref(id), live.Live)
		q.look()
		if err == nil {
			q.counts.add("by hand: " + k.name)
			if k.name == "destroyed" {
				q.want[id] = cloned(q.want[id])
				q.forgetVolumes(q.want[id])
			}
		}
		q.note("%s of %d by hand (%v)", k.name, id, err)
	}
}

// atOnce is how tasks are waited for that have mostly ended when they are first looked at.
var atOnce = proxmox.WaitOptions{First: time.Millisecond, Max: time.Millisecond}

// ended waits for a task.
func (q *sequence) ended(task proxmox.UPID, err error) error {
	if err == nil {
		_, err = q.node.root.WaitTask(q.Context(), task, atOnce)
	}
	return err
}

func (q *sequence) set(r proxmox.Ref, v proxmox.Values) error {
	return q.node.root.SetConfig(q.Context(), r, proxmox.Update{Set: v})
}

// setFree sets a mount in a slot that is free.
func (q *sequence) setFree(r proxmox.Ref, live setting.Live, text string) error {
	used := slices.Collect(maps.Values(live.Slots[setting.Mounts.Path]))
	slot := setting.Mounts.Key(q.g.IntN(6))
	if slices.Contains(used, slot) {
		return fmt.Errorf("%s is taken", slot)
	}
	return q.set(r, proxmox.Values{slot: text})
}

// slots are some of the keys of mounts; nil where there are not as many.
func (q *sequence) slots(live setting.Live, n int) []string {
	all := slices.Sorted(maps.Values(live.Slots[setting.Mounts.Path]))
	q.g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if len(all) < n {
		return nil
	}
	return all[:n]
}

// mountIn is the mount of a slot.
func mountIn(live setting.Live, slot string) (at string, r setting.Record) {
	m, _ := live.Record[setting.Mounts.Path].(setting.Members)
	for at, s := range live.Slots[setting.Mounts.Path] {
		if s == slot {
			return at, m[at]
		}
	}
	return "", nil
}

func (q *sequence) optionsByHand(r proxmox.Ref, live setting.Live) error {
	for _, slot := range q.slots(live, 1) {
		at, m := mountIn(live, slot)
		return q.set(r, proxmox.Values{slot: setting.Mounts.FormatMember(at, setting.Overlay(m, setting.Record{setting.ACL.Path: true}))})
	}
	return fmt.Errorf("no mount")
}

func (q *sequence) coverByHand(r proxmox.Ref, live setting.Live) error {
	unused := slices.Sorted(maps.Values(live.Unused))
	if len(unused) == 0 {
		return fmt.Errorf("nothing is unused")
	}
	return q.set(r, proxmox.Values{q.slots(live, 1)[0]: unused[0] + ",mp=/data"})
}

func (q *sequence) swapByHand(r proxmox.Ref, live setting.Live) error {
	two := q.slots(live, 2)
	if two == nil {
		return fmt.Errorf("not two mounts")
	}
	a, first := mountIn(live, two[0])
	b, second := mountIn(live, two[1])
	return q.set(r, proxmox.Values{two[0]: setting.Mounts.FormatMember(b, first), two[1]: setting.Mounts.FormatMember(a, second)})
}
