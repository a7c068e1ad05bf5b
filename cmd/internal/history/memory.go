package history

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/felhom/tend/cmd/internal/agent/report"
)

// memory is a store that lives as long as the process.
type memory struct {
	mu      sync.Mutex // guards what is below
	limits  Limits
	entries []entry // oldest first
	bytes   int64
}

// InMemory makes a history that is gone with the process.
func InMemory(l Limits) *History { return &History{&memory{limits: l.orDefault()}} }

func (m *memory) add(makeEntry func(last *report.Run) (entry, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var last *report.Run
	if n := len(m.entries); n > 0 {
		last = &report.Run{}
		if err := json.Unmarshal(m.entries[n-1].line, last); err != nil {
			return err
		}
	}
	e, err := makeEntry(last)
	if err != nil {
		return err
	}
	if int64(len(e.details)) > m.limits.most() {
		e = e.cut()
	}
	if last != nil && last.ID == e.id {
		m.drop(len(m.entries) - 1)
	}
	m.entries = append(m.entries, e)
	m.bytes += int64(len(e.details))
	for len(m.entries) > m.limits.Runs || m.bytes > m.limits.Bytes {
		m.drop(0)
	}
	return nil
}

func (m *memory) limit(l Limits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limits = l
}

func (m *memory) drop(i int) {
	m.bytes -= int64(len(m.entries[i].details))
	m.entries = slices.Delete(m.entries, i, i+1)
}

func (m *memory) lines(before uint64, n int) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out [][]byte
	for _, e := range slices.Backward(m.entries) {
		if e.id < before && len(out) < n {
			out = append(out, e.line)
		}
	}
	return out, nil
}

func (m *memory) entry(id uint64) (entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		if e.id == id {
			return e, nil
		}
	}
	return entry{}, nil
}

func (m *memory) close() error { return nil }
