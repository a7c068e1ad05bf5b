package source

import (
	"context"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// A Found is what stands at a source.
type Found struct {
	Revision Revision
	Files    fs.FS
}

// A State is what is in force of a source, and why that is not what stands there.
type State struct {
	InForce Revision  // zero: nothing yet
	From    string    // the source that it is of, where that is not the one that is followed; else empty
	Since   time.Time // when it was accepted
	Looked  time.Time // when it was last known what stands at the source; zero: never
	Refused Revision  // what stands there and was refused; zero: nothing was, or it is not known
	Err     error     // why the source is not followed; nil: it is
	Failing time.Time // since when, without a break, for reasons of this class
}

// A Keeper asks a source, and keeps the last revision that was good in force when fetching or verifying fails, or when
// the caller finds the files no good. One goroutine at a time calls Fetch, Accept, Refuse and Change; the others may
// be called by anyone.
type Keeper struct {
	source Source
	path   string

	mu    sync.Mutex
	files fs.FS  // in force
	from  string // the source that they are of
	state State
}

// Keep makes a keeper for a source. What it accepts is written to a file, so that a restart while the source cannot be
// reached changes nothing, and so that going back in history is noticed across restarts; path "" keeps it in memory.
// A file of another source is left out of account, and replaced by the next Accept. The keeper is good in any case; the
// error says that the file is not, and that nothing is in force for that reason.
func Keep(s Source, path string) (*Keeper, error) {
	k := &Keeper{source: s, path: path}
	if path == "" {
		return k, nil
	}
	r, err := readRecord(path)
	if err != nil || r == nil || r.Source != s.String() {
		return k, err
	}
	files, err := r.files()
	if err != nil {
		return k, fmt.Errorf("read %s: %w", path, err)
	}
	k.files, k.from = files, r.Source
	k.state.InForce, k.state.Since = r.Revision, r.Accepted
	k.tell()
	return k, nil
}

// tell says to a source with a history what is in force of it.
func (k *Keeper) tell() {
	if s, ok := k.source.(Successor); ok && k.files != nil && k.state.From == "" {
		s.InForce(k.state.InForce)
	}
}

// Change has another source followed from now on; the goroutine that fetches calls it. What is in force stays until
// something of the new source is accepted. That is told to the new source only where it is its own, as with other
// credentials for the same place: elsewhere history begins anew, and a restart before that finds nothing in force, since
// then nothing says that the old source was ever meant for what the program works on now.
func (k *Keeper) Change(s Source) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.String() != k.source.String() {
		st := &k.state
		st.Looked, st.Refused, st.Err, st.Failing, st.From = time.Time{}, Revision{}, nil, time.Time{}, ""
		if k.from != s.String() {
			st.From = k.from
		}
	}
	k.source = s
	k.tell()
}

// State says what is in force and what is wrong.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// InForce returns what is in force; false: nothing is.
func (k *Keeper) InForce() (Found, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Found{k.state.InForce, k.files}, k.files != nil
}

// Fetch returns what stands at the source, which is in force only once it is accepted. An error is remembered in the
// state, unless it is that of the context.
func (k *Keeper) Fetch(ctx context.Context) (Found, error) {
	files, rev, err := k.source.Fetch(ctx)
	if err != nil {
		if ctx.Err() == nil {
			k.fail(Revision{ID: commitOf(err)}, err)
		}
		return Found{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state.Looked = time.Now()
	if rev.ID == k.state.InForce.ID {
		k.state.Refused, k.state.Err, k.state.Failing = Revision{}, nil, time.Time{}
	}
	return Found{rev, files}, nil
}

// Accept brings what was fetched into force. The error says that it could not be written down: it is in force all the
// same, until a restart.
func (k *Keeper) Accept(f Found) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &k.state
	s.Refused, s.Err, s.Failing = Revision{}, nil, time.Time{}
	if f.Revision == s.InForce && k.files != nil && s.From == "" {
		return nil
	}
	s.InForce, s.Since, k.files = f.Revision, time.Now().Round(0), f.Files // as it will be read again
	s.From, k.from = "", k.source.String()
	k.tell()
	if k.path == "" {
		return nil
	}
	return writeRecord(k.path, k.source.String(), s.Since, f)
}

// Refuse leaves in force what is, because the files of what was fetched are no good: class Invalid, with the reason.
func (k *Keeper) Refuse(f Found, reason error) {
	k.fail(f.Revision, &Error{Class: Invalid, Source: k.source.String(), Commit: f.Revision.ID, Err: reason})
}

func (k *Keeper) fail(refused Revision, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &k.state
	before, had := ClassOf(s.Err)
	class, has := ClassOf(err)
	if s.Err == nil || had != has || before != class {
		s.Failing = time.Now()
	}
	if refused.ID != "" {
		s.Looked = time.Now()
	}
	s.Refused, s.Err = refused, err
}
