package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// takes is how much an operation allocates on the storages of the lane's node: the sizes of its new volumes, and
// what volumes grow by. What a restore takes is in the backup and not known.
func (p *Live) takes(op Op, l Lane) map[string]setting.Bytes {
	out := map[string]setting.Bytes{}
	add := func(storage string, size setting.Bytes) {
		if storage != "" && size > 0 {
			out[storage] += size
		}
	}
	made := func(v proxmox.Values) {
		for key, text := range v {
			if m := allocation.FindStringSubmatch(text); m != nil && isVolumeKey(key) {
				size, _ := strconv.ParseFloat(m[1], 64) // digits, by the expression
				add(storageOf(text), setting.Bytes(size*float64(setting.GiB)))
			}
		}
	}
	switch op := op.(type) {
	case CreateContainer:
		made(op.Values)
	case RestoreOver:
		made(op.Values)
	case SetConfig:
		made(op.Set)
	case Resize:
		if have, known := volumeSize(l.Base.Current, op.Disk); known {
			add(storageOf(l.Base.Current[op.Disk]), op.Size-have)
		}
	case MoveVolume:
		have, _ := volumeSize(l.Base.Current, op.Disk)
		add(op.Storage, have)
	case CloneContainer:
		source := p.Containers[op.Source.ID]
		if source == nil || op.Kind != "full" {
			break
		}
		for key, text := range source.Config.Current {
			if have, known := volumeSize(source.Config.Current, key); known {
				add(cmp.Or(op.Storage, storageOf(text)), have)
			}
		}
	}
	return out
}

// volumeSize is the size that a configuration tells of a volume.
func volumeSize(v proxmox.Values, key string) (size setting.Bytes, known bool) {
	if key == setting.RootFS.PVE {
		if r, err := setting.RootFS.ParseWire(v[key]); err == nil {
			rec, _ := r.(setting.Record)
			return setting.Size.Get(rec)
		}
		return 0, false
	}
	if _, isMount := setting.Mounts.Index(key); isMount {
		if _, r, err := setting.Mounts.ParseMember(v[key]); err == nil {
			return setting.Size.Get(r)
		}
	}
	return 0, false
}

// allocatesAtOnce says of a type of storage that a volume takes its whole size when it is made. On all others a
// volume takes what is written to it, so that more may be promised than there is (pve-storage LVMPlugin.pm).
func allocatesAtOnce(storageType string) bool { return storageType == "lvm" }

// noRoom says why volumes find no room on a storage that allocates at once; "" where they do.
func (c *computation) noRoom(node string, takes map[string]setting.Bytes) (why string, ways []string) {
	for _, name := range slices.Sorted(maps.Keys(takes)) {
		s, known := c.have.Storages[node][name]
		if known && allocatesAtOnce(s.Type) && s.Active && setting.Bytes(s.Avail) < takes[name] {
			return fmt.Sprintf("storage %s (%s) has %s free, and %s is needed at once", name, s.Type, readable(s.Avail), takes[name]),
				[]string{"free space on " + name, "write a smaller size or another storage"}
		}
	}
	return "", nil
}

// warnOfSpace warns of storages on which the plan as a whole allocates more than there is. On most it can be
// done, and goes well until the volumes fill up.
func (c *computation) warnOfSpace() {
	type place struct{ node, storage string }
	total := map[place]setting.Bytes{}
	for _, l := range c.plan.Lanes {
		for _, s := range l.Steps {
			for storage, size := range c.have.takes(s.Op, l) {
				node := l.Ref.Node
				if c.have.Storages[node][storage].Shared {
					node = ""
				}
				total[place{node, storage}] += size
			}
		}
	}
	places := slices.SortedFunc(maps.Keys(total), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.storage, b.storage), cmp.Compare(a.node, b.node))
	})
	for _, at := range places {
		s, known := c.storage(at.node, at.storage)
		if !known || !s.Active || setting.Bytes(s.Avail) >= total[at] {
			continue
		}
		text := fmt.Sprintf("storage %s has %s free, and new and grown volumes of this plan promise %s", at.storage, readable(s.Avail), total[at])
		if at.node != "" {
			text = "node " + at.node + ": " + text
		}
		c.plan.Warnings = append(c.plan.Warnings, text)
	}
}

// storage finds a storage of a node, or of any where no node is named.
func (c *computation) storage(node, name string) (s proxmox.Storage, known bool) {
	if node != "" {
		s, known = c.have.Storages[node][name]
		return s, known
	}
	for _, n := range slices.Sorted(maps.Keys(c.have.Storages)) {
		if s, known = c.have.Storages[n][name]; known {
			return s, true
		}
	}
	return proxmox.Storage{}, false
}

// readable is an amount that a node measured, in whole MiB.
func readable(n int64) string { return (setting.Bytes(n) / setting.MiB * setting.MiB).String() }
