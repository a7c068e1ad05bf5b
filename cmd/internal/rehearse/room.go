package rehearse

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// made is the value of a key that makes a volume: "tank:8".
var made = regexp.MustCompile(`^([^:,]+):[0-9.]+(?:,|$)`)

// makes are the storages of the volumes that an operation makes by its settings.
func makes(op plan.Op) (list []string) {
	var v proxmox.Values
	switch op := op.(type) {
	case plan.CreateContainer:
		v = op.Values
	case plan.SetConfig:
		v = op.Set
	case plan.RestoreOver:
		v = op.Values
	case plan.RestoreContainer:
		v = op.Values
	}
	for _, key := range v.Keys() {
		if m := made.FindStringSubmatch(v[key]); m != nil {
			list = append(list, m[1])
		}
	}
	return list
}

// writes are the storages that an operation writes to.
func writes(op plan.Op, have *plan.Live) []string {
	list := makes(op)
	switch op := op.(type) {
	case plan.RestoreContainer:
		list = append(list, op.Storage)
	case plan.MoveVolume:
		list = append(list, op.Storage)
	case plan.Backup:
		list = append(list, op.Storage)
	case plan.CloneContainer:
		list = append(list, op.Storage)
		if o := have.Containers[op.Source.ID]; o != nil && op.Storage == "" {
			list = append(list, setting.Storage.Or(setting.RootFS.Or(o.Current.Record, nil), ""))
		}
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == "" })
}

// A touch is what happens to the data in a volume.
type touch struct {
	copied, freed bool
}

// touched are the volumes whose data is copied or destroyed by a try, and whether anything is packed or unpacked.
type touched struct {
	volumes          map[string]touch
	packed, unpacked bool
	most             int64 // bytes that are written all in all, at most
}

// touched looks at all that a try planned or did.
func (c *Copy) touched(t *try) touched {
	out := touched{volumes: map[string]touch{}}
	for _, f := range t.forecasts {
		w := stopwatch{copy: c, id: f.Ref.ID, have: t.have}
		for _, s := range t.steps(f) {
			out.step(&w, s.Op)
		}
	}
	for volume, touch := range out.volumes {
		if v := c.State.Volumes[volume]; v != nil && touch.copied {
			out.most += int64(v.Size)
		}
	}
	return out
}

// fresh is more than what an empty file system takes: the largest journal is 1 GiB.
const fresh = 1100 << 20

func (t *touched) step(w *stopwatch, op plan.Op) {
	note := func(touch touch, volumes ...string) {
		for _, v := range volumes {
			was := t.volumes[v]
			t.volumes[v] = touchBoth(was, touch)
		}
	}
	t.most += fresh * int64(len(makes(op)))
	switch op := op.(type) {
	case plan.CreateContainer:
		t.unpacked = true
		if tpl := w.copy.State.Templates[op.Template]; tpl != nil {
			t.most += unpackMost * int64(tpl.Size)
		}
	case plan.RestoreContainer:
		t.unpacked = true
		t.most += unpackMost * w.backup(op.Archive)
	case plan.MoveVolume:
		if volume, ok := setting.Volume.Get(w.mount(w.id, op.Disk)); ok {
			note(touch{copied: true}, volume)
		}
	case plan.Backup:
		t.packed = true
		note(touch{copied: true}, w.volumes(w.id)...)
	case plan.RestoreOver:
		note(touch{copied: true, freed: true}, w.volumes(w.id)...)
	case plan.CloneContainer:
		if op.Kind != "linked" {
			note(touch{copied: true}, w.volumes(op.Source.ID)...)
		}
	case plan.Migrate:
		note(touch{copied: true}, w.volumes(w.id)...)
	case plan.DestroyContainer:
		note(touch{freed: true}, op.Volumes...)
	case plan.DestroyVolume:
		note(touch{freed: true}, op.Volume)
	}
}

func touchBoth(a, b touch) touch {
	return touch{copied: a.copied || b.copied, freed: a.freed || b.freed}
}

// volumes are those that a container mounts.
func (w *stopwatch) volumes(id proxmox.VMID) (list []string) {
	if o := w.have.Containers[id]; o != nil {
		for key := range o.Config.Current {
			if volume, ok := setting.Volume.Get(w.mount(id, key)); ok {
				list = append(list, volume)
			}
		}
	}
	return list
}

// roots are the root volumes of containers that run, with how much is written in them.
func (c *Copy) roots(have *plan.Live) map[string]int64 {
	out := map[string]int64{}
	for id, o := range have.Containers {
		if volume, ok := setting.Volume.Get(setting.RootFS.Or(o.Current.Record, nil)); ok && c.disk[id] > 0 {
			out[volume] = c.disk[id]
		}
	}
	return out
}

// ample reports whether each storage has room for all that is written at most, wherever it goes.
func (c *Copy) ample(most int64) bool {
	for _, free := range c.free {
		if free < most {
			return false
		}
	}
	return true
}

// place is a node that can tell of a volume.
func (c *Copy) place(volume string, have *plan.Live) string {
	v := c.State.Volumes[volume]
	if v != nil && v.Node != "" {
		return v.Node
	}
	for _, o := range have.Containers {
		for _, text := range o.Config.Current {
			if rest, ok := strings.CutPrefix(text, volume); ok && (rest == "" || rest[0] == ',') {
				return o.Ref.Node
			}
		}
	}
	return cmp.Or(c.State.Cluster.Local, slices.Sorted(maps.Keys(c.State.Nodes))[0])
}
