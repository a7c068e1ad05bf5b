package snapshot

import (
	"bytes"
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

// A Memory is what must be remembered of policies between runs and cannot be read from the node: when a container was
// first seen with a policy, and when a snapshot was last tried. It is no second truth: without it nothing is lost, but a
// policy that has no snapshot yet waits for its next time anew.
//
// It is safe for use by many goroutines. A nil Memory forgets at once.
type Memory struct {
	path string

	mu      sync.Mutex // guards what is below
	entries map[string]memory
	settled map[string]settled // of this process alone
	saved   []byte
}

// memory is what is remembered of a container and a policy.
type memory struct {
	First  time.Time `json:"first,omitzero"` // seen with the policy
	Tried  time.Time `json:"tried,omitzero"` // to take a snapshot
	Failed bool      `json:"failed,omitempty"`
}

type memoryFile struct {
	Version int               `json:"version"`
	Entries map[string]memory `json:"entries"`
}

// OpenMemory reads the memory in a file; one that is not there, or cannot be read as such, is an empty one, and the
// error says which.
func OpenMemory(path string) (*Memory, error) {
	m := &Memory{path: path, entries: map[string]memory{}}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, nil
	case err != nil:
		return m, fmt.Errorf("read what is remembered of snapshots: %w", err)
	}
	var f memoryFile
	if err := json.Unmarshal(data, &f); err != nil || f.Version != 1 {
		return m, fmt.Errorf("read what is remembered of snapshots: %s is not of this version: it is begun anew", path)
	}
	if f.Entries != nil {
		m.entries = f.Entries
	}
	m.saved = data
	return m, nil
}

func memoryKey(id proxmox.VMID, policy string) string { return id.String() + "/" + policy }

func (m *Memory) get(id proxmox.VMID, policy string) memory {
	if m == nil {
		return memory{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[memoryKey(id, policy)]
}

func (m *Memory) set(id proxmox.VMID, policy string, e memory) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries[memoryKey(id, policy)] = e
}

// save writes the memory, if it has changed. What keep does not name is forgotten.
func (m *Memory) save(keep map[string]bool) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.entries {
		if !keep[key] {
			delete(m.entries, key)
			delete(m.settled, key)
		}
	}
	data, err := json.Marshal(memoryFile{Version: 1, Entries: m.entries})
	if err != nil || bytes.Equal(data, m.saved) {
		return err
	}
	err = os.MkdirAll(filepath.Dir(m.path), 0o700)
	if err == nil {
		err = renameio.WriteFile(m.path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("remember what was done about snapshots: %w", err)
	}
	m.saved = data
	return nil
}
