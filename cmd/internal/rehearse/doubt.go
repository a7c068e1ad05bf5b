package rehearse

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// doubts are copies of data that went well because most storages do not tell how much is written in a volume: in the
// copy such volumes are empty.
func (c *Copy) doubts(out reconcile.Outcome, have *plan.Live) []string {
	var list []string
	for _, container := range out.Containers {
		w := stopwatch{copy: c, id: container.Ref.ID, have: have}
		for _, s := range container.Done {
			storage, most := w.copies(s.Op)
			free, known := c.free[storage]
			if storage == "" || !known || free >= most {
				continue
			}
			text := fmt.Sprintf("container %d: whether %s finds room is not known: up to %s are copied, and storage %s has %s free",
				w.id, s.Op.Verb(), readable(most), storage, readable(free))
			if !slices.Contains(list, text) {
				list = append(list, text)
			}
		}
	}
	return append(list, c.freed(out)...)
}

// freed are storages on which something failed, and on which volumes were destroyed before that may have held much.
func (c *Copy) freed(out reconcile.Outcome) []string {
	room := map[string]bool{}
	note := func(volumes ...string) {
		for _, v := range volumes {
			if known := c.State.Volumes[v]; known != nil && known.Used == 0 {
				storage, _, _ := strings.Cut(v, ":")
				room[storage] = true
			}
		}
	}
	for _, container := range out.Containers {
		for _, s := range container.Done {
			switch op := s.Op.(type) {
			case plan.DestroyContainer:
				note(op.Volumes...)
			case plan.DestroyVolume:
				note(op.Volume)
			}
		}
	}
	var list []string
	for _, container := range out.Containers {
		if class := ClassOf(container.Err); class != Other && class != Full || len(container.NotDone) == 0 {
			continue
		}
		l := plan.Lane{Steps: container.NotDone}
		if container.Lane != nil {
			l = *container.Lane
		}
		for _, storage := range slices.Sorted(maps.Keys(room)) {
			if uses(l, storage) {
				list = append(list, fmt.Sprintf("container %d: it may be that there is room for it, since volumes that are destroyed on storage %s hold nobody tells how much",
					container.Ref.ID, storage))
			}
		}
	}
	return list
}

// copies is where an operation copies data to, and how much at most.
func (w *stopwatch) copies(op plan.Op) (storage string, most int64) {
	switch op := op.(type) {
	case plan.MoveVolume:
		return op.Storage, w.volume(w.id, op.Disk)
	case plan.Backup:
		return op.Storage, w.all(w.id, true)
	case plan.RestoreOver:
		return w.storage(w.id, setting.RootFS.PVE), w.all(w.id, true)
	case plan.CloneContainer:
		if op.Kind == "linked" {
			return "", 0
		}
		if op.Storage != "" {
			return op.Storage, w.all(op.Source.ID, true)
		}
		return w.storage(op.Source.ID, setting.RootFS.PVE), w.all(op.Source.ID, true)
	}
	return "", 0
}
