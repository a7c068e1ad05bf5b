// Package history keeps what an agent did: each run with its plan and what became of it. It is bounded, survives a
// crash at any time, and is never needed: where its file is damaged it is moved aside, and where none can be had the
// history is kept in memory. It runs nothing, and nothing is ever decided by what it holds.
package history

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
)

// ErrNotFound is a run that the history does not hold, or does not hold any more.
var ErrNotFound = errors.New("not in the history")

// A Record is a run with all that is kept of it.
type Record struct {
	report.Run
	Sheet   *view.Sheet   `json:"sheet,omitempty"`   // its plan; nil where none was made
	Account *view.Account `json:"account,omitempty"` // what became of the plan; nil where it was not carried out
	// Document is the result as tend apply -o json prints it; nil where there is none.
	Document json.RawMessage `json:"document,omitempty"`
	// Cut says that plan and result are left out, since they are too large to be kept.
	Cut bool `json:"cut,omitempty"`
}

// Limits bound a history. The zero value is good.
type Limits struct {
	Runs  int   // so many are kept; 2,000 where 0
	Bytes int64 // and so much of plans and results; 32 MiB where 0
}

func (l Limits) orDefault() Limits {
	return Limits{Runs: cmp.Or(l.Runs, 2000), Bytes: cmp.Or(l.Bytes, 32<<20)}
}

// most is how large a single record may be.
func (l Limits) most() int64 { return l.Bytes / 8 }

// A History is an open history. It is safe for use by many goroutines.
type History struct {
	store store
}

// A store keeps lines and details by id. Ids are without gaps.
type store interface {
	// add keeps an entry under the next id, or in place of the last one where replace says so. It drops the oldest
	// ones that go beyond the limits.
	add(makeEntry func(last *report.Run) (entry, error)) error
	// lines returns at most n lines with ids below before, newest first.
	lines(before uint64, n int) ([][]byte, error)
	// entry returns an entry; its line is nil where there is none.
	entry(id uint64) (entry, error)
	// limit sets other limits, which hold from the next add on.
	limit(l Limits)
	close() error
}

// An entry is a run as it is kept: a line for lists, and the details.
type entry struct {
	id            uint64
	line, details []byte
}

// Limit sets other limits. What goes beyond them is dropped by the next Append.
func (h *History) Limit(l Limits) { h.store.limit(l.orDefault()) }

// Append keeps a run, under the next id, which it returns. A run that is like the one before ([report.Run.Like])
// is counted there. An error says that the run is not kept; later ones may be.
func (h *History) Append(r Record) (id uint64, err error) {
	err = h.store.add(func(last *report.Run) (entry, error) {
		r.ID = 1
		if last != nil {
			r.ID = last.ID + 1
			if r.Like(*last) {
				r.ID, r.Times, r.Since = last.ID, max(last.Times, 1)+1, last.Since
				if r.Since.IsZero() {
					r.Since = last.Began
				}
			}
		}
		id = r.ID
		return encode(r)
	})
	if err != nil {
		return 0, fmt.Errorf("keep the run in the history: %w", err)
	}
	return id, nil
}

// details are what is not in the line of a record.
type details struct {
	Sheet    *view.Sheet     `json:"sheet,omitempty"`
	Account  *view.Account   `json:"account,omitempty"`
	Document json.RawMessage `json:"document,omitempty"`
	Cut      bool            `json:"cut,omitempty"`
}

func encode(r Record) (entry, error) {
	line, err := json.Marshal(r.Run)
	if err != nil {
		return entry{}, err
	}
	more, err := json.Marshal(details{r.Sheet, r.Account, r.Document, r.Cut})
	return entry{r.ID, line, more}, err
}

// cut is an entry without what makes it large.
func (e entry) cut() entry {
	e.details = []byte(`{"cut":true}`)
	return e
}

// Runs returns at most n runs with ids below before (0: the newest), newest first. One that cannot be read is left
// out.
func (h *History) Runs(before uint64, n int) ([]report.Run, error) {
	if before == 0 {
		before = 1 << 63
	}
	lines, err := h.store.lines(before, n)
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	runs := make([]report.Run, 0, len(lines))
	for _, l := range lines {
		var r report.Run
		if json.Unmarshal(l, &r) == nil {
			runs = append(runs, r)
		}
	}
	return runs, nil
}

// Run returns a run; the error is [ErrNotFound] where there is none.
func (h *History) Run(id uint64) (Record, error) {
	e, err := h.store.entry(id)
	if err != nil {
		return Record{}, fmt.Errorf("read run %d: %w", id, err)
	}
	if e.line == nil {
		return Record{}, fmt.Errorf("run %d is %w", id, ErrNotFound)
	}
	var r Record
	var d details
	if err := errors.Join(json.Unmarshal(e.line, &r.Run), json.Unmarshal(e.details, &d)); err != nil {
		return Record{}, fmt.Errorf("understand run %d: %w", id, err)
	}
	r.Sheet, r.Account, r.Document, r.Cut = d.Sheet, d.Account, d.Document, d.Cut
	return r, nil
}

// Close closes the history.
func (h *History) Close() error { return h.store.close() }
