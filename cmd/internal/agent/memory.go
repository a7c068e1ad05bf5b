package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/permit"
)

// The bounds of what is remembered.
const (
	approvalLife = 7 * 24 * time.Hour // after which a yes that was not used is forgotten
	maxApprovals = 100
	spentLife    = 24 * time.Hour
)

// A Memory is what people told the agent and what it spent, in a small file. It survives a restart, and a crash at any
// time leaves the old file or the new one.
type Memory struct {
	path string // empty: it is gone with the process

	mu sync.Mutex
	m  memoryFile
}

type memoryFile struct {
	Version   int                 `json:"version"`
	Suspended []report.Suspension `json:"suspended"`
	Approved  []approval          `json:"approved"`
	Spent     []expense           `json:"spent"`
}

type approval struct {
	Hash string    `json:"hash"`
	Time time.Time `json:"time"`
	By   string    `json:"by"`
}

type expense struct {
	Time time.Time `json:"time"`
	permit.Spent
}

// OpenMemory reads a memory, and makes an empty one where there is none; path "" keeps it in this process. It is good in
// any case: the error says that what the file held is lost, and where the file is now.
func OpenMemory(path string) (*Memory, error) {
	m := &Memory{path: path, m: memoryFile{Version: 1}}
	if path == "" {
		return m, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		var f memoryFile
		if err = json.Unmarshal(text, &f); err == nil && f.Version != 1 {
			err = fmt.Errorf("it is of version %d, and this tend knows 1", f.Version)
		}
		if err == nil {
			m.m = f
			return m, nil
		}
	}
	aside := path + ".damaged"
	return m, errors.Join(fmt.Errorf("read what was suspended and approved: %w; the file is %s now", err, aside), os.Rename(path, aside))
}

// Suspensions are those that hold at a time, by VMID.
func (m *Memory) Suspensions(now time.Time) []report.Suspension {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(m.m.Suspended), func(s report.Suspension) bool { return !s.Until.IsZero() && !s.Until.After(now) })
	slices.SortFunc(out, func(a, b report.Suspension) int { return int(a.ID) - int(b.ID) })
	return out
}

// Suspend adds a suspension in place of one that the container had.
func (m *Memory) Suspend(s report.Suspension) error {
	return m.change(func(f *memoryFile) error {
		f.Suspended = append(without(f.Suspended, s.ID), s)
		return nil
	})
}

// errNotSuspended is why a container cannot be resumed.
var errNotSuspended = errors.New("is not suspended")

// Resume ends a suspension.
func (m *Memory) Resume(id proxmox.VMID) error {
	return m.change(func(f *memoryFile) error {
		left := without(f.Suspended, id)
		if len(left) == len(f.Suspended) {
			if id == 0 {
				return fmt.Errorf("the agent as a whole %w", errNotSuspended)
			}
			return fmt.Errorf("container %d %w", id, errNotSuspended)
		}
		f.Suspended = left
		return nil
	})
}

func without(list []report.Suspension, id proxmox.VMID) []report.Suspension {
	return slices.DeleteFunc(slices.Clone(list), func(s report.Suspension) bool { return s.ID == id })
}

// Approve says yes to a plan.
func (m *Memory) Approve(hash, by string, now time.Time) error {
	return m.change(func(f *memoryFile) error {
		f.Approved = append(slices.DeleteFunc(f.Approved, func(a approval) bool { return a.Hash == hash }), approval{hash, now, by})
		return nil
	})
}

// Approved reports whether somebody said yes to a plan, not too long ago.
func (m *Memory) Approved(hash string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.m.Approved, func(a approval) bool { return a.Hash == hash && now.Sub(a.Time) < approvalLife })
}

// Spent is what was spent within the last day.
func (m *Memory) Spent(now time.Time) (sum permit.Spent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.m.Spent {
		if now.Sub(e.Time) < spentLife {
			sum = sum.Plus(e.Spent)
		}
	}
	return sum
}

// Spend notes what is spent.
func (m *Memory) Spend(s permit.Spent, now time.Time) error {
	if s == (permit.Spent{}) {
		return nil
	}
	return m.change(func(f *memoryFile) error {
		f.Spent = append(f.Spent, expense{now, s})
		return nil
	})
}

// Refund takes back what was noted with the same time, of something that did not come to pass.
func (m *Memory) Refund(s permit.Spent, noted time.Time) error {
	return m.change(func(f *memoryFile) error {
		if i := slices.IndexFunc(f.Spent, func(e expense) bool { return e.Spent == s && e.Time.Equal(noted) }); i >= 0 {
			f.Spent = slices.Delete(f.Spent, i, i+1)
		}
		return nil
	})
}

// change changes what is remembered and writes it down; what cannot be written holds until the process ends.
func (m *Memory) change(do func(*memoryFile) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := memoryFile{1, slices.Clone(m.m.Suspended), slices.Clone(m.m.Approved), slices.Clone(m.m.Spent)}
	if err := do(&next); err != nil {
		return err
	}
	now := time.Now()
	next.Suspended = slices.DeleteFunc(next.Suspended, func(s report.Suspension) bool { return !s.Until.IsZero() && s.Until.Before(now) })
	next.Approved = slices.DeleteFunc(next.Approved, func(a approval) bool { return now.Sub(a.Time) > approvalLife })
	next.Approved = next.Approved[max(0, len(next.Approved)-maxApprovals):]
	next.Spent = slices.DeleteFunc(next.Spent, func(e expense) bool { return now.Sub(e.Time) > spentLife })
	m.m = next
	return m.save()
}

func (m *Memory) save() error {
	if m.path == "" {
		return nil
	}
	text, err := json.MarshalIndent(m.m, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(m.path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("it holds until the agent ends, and is not written down: %w", err)
	}
	return nil
}
