package rehearse

import (
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// How long the steps of an apply take, as they do on a small node with solid state disks. Tasks of the copy take no
// time; these stand for them. What copies data takes its time by the amount, at copyRate. Where a storage does not tell
// how much is in a volume, it is taken to be full: such times are upper bounds. How long software in a container takes to stop is its own business.
const (
	changeTime   = 300 * time.Millisecond
	createTime   = 20 * time.Second // unpacking a template
	startTime    = 5 * time.Second
	shutdownTime = 10 * time.Second
	resizeTime   = 3 * time.Second
	destroyTime  = 5 * time.Second
	copySetup    = 10 * time.Second // of a move, clone, backup, restore or migration
	copyRate     = 100 << 20        // bytes a second
)

// A stopwatch adds up the times of a container's steps, and of those in which it does not run.
type stopwatch struct {
	copy *Copy
	have *plan.Live
	id   proxmox.VMID

	up, was    bool // it runs; it ran at the begin
	took, down time.Duration
}

// step adds one step. A container that never ran has no time of being down.
func (w *stopwatch) step(op plan.Op) {
	d := w.time(op)
	w.took += d
	away := !w.up
	switch op.(type) {
	case plan.Start:
		w.up = true
	case plan.Shutdown:
		w.up, away = false, true
	case plan.Reboot:
		w.up, away = true, true
	case plan.Migrate:
		away = true
	case plan.DestroyContainer:
		w.up, away = false, true
	}
	if w.was && away {
		w.down += d
	}
}

func (w *stopwatch) time(op plan.Op) time.Duration {
	switch op := op.(type) {
	case plan.CreateContainer:
		return createTime
	case plan.Start:
		return startTime
	case plan.Shutdown:
		return shutdownTime
	case plan.Reboot:
		return shutdownTime + startTime
	case plan.Resize:
		return resizeTime
	case plan.DestroyContainer:
		return destroyTime
	case plan.MoveVolume:
		return copying(w.volume(w.id, op.Disk))
	case plan.CloneContainer:
		if op.Kind == "linked" {
			return copySetup
		}
		return copying(w.all(op.Source.ID, true))
	case plan.RestoreContainer:
		return copying(3 * int64(w.backup(op.Archive)))
	case plan.Backup, plan.RestoreOver:
		return copying(w.all(w.id, true))
	case plan.Migrate:
		d := copying(w.all(w.id, false))
		if w.up {
			d += shutdownTime + startTime
		}
		return d
	}
	return changeTime
}

func copying(bytes int64) time.Duration {
	return copySetup + time.Duration(float64(bytes)/copyRate*float64(time.Second)).Round(time.Second)
}

func (w *stopwatch) backup(archive string) int64 {
	if b := w.copy.State.Backups[archive]; b != nil {
		return int64(b.Size)
	}
	return 0
}

// all is the size of a container's volumes, of those on shared storages only where asked for.
func (w *stopwatch) all(id proxmox.VMID, shared bool) (sum int64) {
	o := w.have.Containers[id]
	if o == nil {
		return 0
	}
	for key := range o.Config.Current {
		s := w.copy.State.Storages[w.storage(id, key)]
		if s != nil && (shared || !s.Shared) {
			sum += w.volume(id, key)
		}
	}
	return sum
}

func (w *stopwatch) mount(id proxmox.VMID, key string) setting.Record {
	o := w.have.Containers[id]
	if o == nil {
		return nil
	}
	if key == setting.RootFS.PVE {
		return setting.RootFS.Or(o.Current.Record, nil)
	}
	for at, slot := range o.Current.Slots[setting.Mounts.Path] {
		if slot == key {
			mounts, _ := o.Current.Record[setting.Mounts.Path].(setting.Members)
			return mounts[at]
		}
	}
	return nil
}

// volume is how many bytes are to be copied of a volume at most.
func (w *stopwatch) volume(id proxmox.VMID, key string) int64 {
	m := w.mount(id, key)
	size, volume := int64(setting.Size.Or(m, 0)), setting.Volume.Or(m, "")
	told := w.copy.told[volume]
	if s := w.copy.State.Storages[storageOf(volume)]; s != nil && s.Type == "zfspool" {
		told *= inflate
	}
	if told > 0 {
		return min(size, told)
	}
	return size
}

func (w *stopwatch) storage(id proxmox.VMID, key string) string {
	return setting.Storage.Or(w.mount(id, key), "")
}
