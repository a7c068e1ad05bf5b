package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// A store keeps the state file. A change is marked with touch, and sync returns when it is on disk: the first of
// those that wait writes for all, so that n changes at a time cost one write, and each answer means "durable".
type store struct {
	path   string
	render func() ([]byte, uint64, error) // the state, and the number of the last change in it
	seq    atomic.Uint64

	mu      sync.Mutex // guards written, and the file
	written uint64
}

func (st *store) touch() { st.seq.Add(1) }

func (st *store) sync() error {
	if st.path == "" {
		return nil
	}
	want := st.seq.Load()
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.written >= want {
		return nil
	}
	raw, seq, err := st.render()
	if err != nil {
		return err
	}
	if err := writeFile(st.path, raw); err != nil {
		return fmt.Errorf("write state file: %w", err)
	}
	st.written = seq
	return nil
}

// writeFile replaces a file as a whole: a reader, or a start after a power loss, sees the old or the new text.
func writeFile(path string, raw []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".state-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once the file has its name
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
