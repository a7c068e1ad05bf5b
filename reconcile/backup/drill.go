package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"github.com/felhom/tend/proxmox"
)

// A Drill is the latest proof of a container that a backup of it can be restored, or that it cannot.
type Drill struct {
	Archive string        `json:"archive"` // its volume
	Made    time.Time     `json:"made"`    // when the archive was made
	At      time.Time     `json:"at"`      // when the drill was
	Took    time.Duration `json:"took"`    // in nanoseconds
	Failed  string        `json:"failed,omitempty"`
}

// Drills are the latest drill of each container, in a file: no node remembers them. It is safe for use by many
// goroutines; nil Drills know none.
type Drills struct {
	path string

	mu      sync.Mutex // guards what is below
	entries map[proxmox.VMID]Drill
}

type drillsFile struct {
	Version int                    `json:"version"`
	Drills  map[proxmox.VMID]Drill `json:"drills"`
}

// OpenDrills reads the drills in a file; one that is not there, or cannot be read as such, holds none, and the error
// says which.
func OpenDrills(path string) (*Drills, error) {
	d := &Drills{path: path, entries: map[proxmox.VMID]Drill{}}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d, nil
	case err != nil:
		return d, fmt.Errorf("read what is remembered of drills: %w", err)
	}
	var f drillsFile
	if err := json.Unmarshal(data, &f); err != nil || f.Version != 1 {
		return d, fmt.Errorf("read what is remembered of drills: %s is not of this version: it is begun anew", path)
	}
	if f.Drills != nil {
		d.entries = f.Drills
	}
	return d, nil
}

// Of is the latest drill of a container, or nil.
func (d *Drills) Of(id proxmox.VMID) *Drill {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if x, ok := d.entries[id]; ok {
		return &x
	}
	return nil
}

// Empty reports whether no drill is remembered.
func (d *Drills) Empty() bool {
	if d == nil {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.entries) == 0
}

// Note remembers a drill.
func (d *Drills) Note(id proxmox.VMID, x Drill) error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries[id] = x
	data, err := json.Marshal(drillsFile{1, d.entries})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(d.path), 0o700)
	}
	if err == nil {
		err = renameio.WriteFile(d.path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("remember the drill of container %d: %w", id, err)
	}
	return nil
}
