// Package journal records durably what is in flight on the nodes, so that a program that was killed in the
// middle of a change can find out what became of it.
//
// It holds the intent before each call, the id of its task as soon as it is known, and how it ended. It is a
// record and not a second truth: what the containers are like is only ever read from the nodes. It carries
// nothing out, and it holds no secrets: neither values of settings nor texts of errors.
//
// A journal is a file of JSON lines, each with the version of its format. It is written by one process at a
// time, each line is on disk when the call that wrote it returns, and it is written anew with what is open
// once it has grown, so that its size is bounded. A last line that was cut off is expected after a crash; any
// other line that cannot be read is reported, and the file is kept aside.
package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/felhom/tend/proxmox"
)

// maxSize is how large a journal grows, in bytes, before it is written anew with what is open.
const maxSize = 256 << 10

// An Entry is one call of the API that changes something.
type Entry struct {
	Run   string       // which run of the program it belongs to
	Time  time.Time    // when it was about to be sent, by the clock of this machine
	Guest proxmox.Ref  // which container it changes; of anything else, the node that does it, if any
	About string       // what it changes, where that is no container: "template debian-13 on pve1"
	Verb  string       // what it does, in words: "set cores, memory"
	Kind  Kind         // what kind of call it is
	Task  proxmox.UPID // its task; zero as long as it is not known, or where there is none
}

// Subject is what the call changes: a container's VMID, or what About says.
func (e Entry) Subject() string {
	if e.About != "" {
		return e.About
	}
	return e.Guest.ID.String()
}

// A Kind is a kind of call.
type Kind string

// The kinds of calls.
const (
	Create    Kind = "create"
	SetConfig Kind = "set config" // the one that has no task
	Resize    Kind = "resize"
	Move      Kind = "move"
	Clone     Kind = "clone"
	Restore   Kind = "restore"
	Backup    Kind = "backup"
	Template  Kind = "template"
	Migrate   Kind = "migrate"
	Start     Kind = "start"
	Shutdown  Kind = "shutdown"
	Reboot    Kind = "reboot"
	Destroy   Kind = "destroy"
	Pool      Kind = "pool" // no task either
	Job       Kind = "job"  // of backups; nor this
	Download  Kind = "download"

	Snapshot     Kind = "snapshot"
	DropSnapshot Kind = "drop snapshot"
	DropBackup   Kind = "drop backup"
	RollBack     Kind = "roll back"
	Unlock       Kind = "unlock" // no task
)

// An Outcome is how a call ended, as far as it matters afterwards.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Failed  Outcome = "failed"  // it was refused, or its task failed
	Settled Outcome = "settled" // looked up later: whatever it did, it is over
)

// A Journal is an open journal. It is safe for use by many goroutines. A nil Journal records nothing.
type Journal struct {
	path string
	disk disk
	lock *flock.Flock
	left []*Record
	odd  []error

	mu     sync.Mutex // guards what is below, and the order of lines
	file   file       // nil once closed
	size   int64
	broken bool // what the last write left is not known
	next   uint64
	open   map[uint64]Entry
}

// A LockedError is a journal that another process has open.
type LockedError struct {
	Path   string
	Holder string // "process 4711 on pve1, since 2026-03-01 12:00:00"; empty where it is not known
}

// Error says who holds the journal and what to do.
func (e *LockedError) Error() string {
	who := e.Holder
	if who == "" {
		who = "another process"
	}
	return fmt.Sprintf("journal %s is in use by %s: only one may change containers at a time; wait until it has ended", e.Path, who)
}

// Open opens the journal at path, and makes it and its folder where there is none. What cannot be read of it
// is no error: see [Journal.Faults]. A second process gets a [*LockedError].
func Open(path string) (*Journal, error) { return openOn(osDisk{}, path) }

func openOn(d disk, path string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	lock, err := acquire(path)
	if err != nil {
		return nil, err
	}
	j := &Journal{path: path, disk: d, lock: lock, open: map[uint64]Entry{}, next: 1}
	if err := j.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", path, err), lock.Close())
	}
	return j, nil
}

// load reads the file and writes it anew with what is open.
func (j *Journal) load() error {
	data, err := j.disk.read(j.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	entries, faults, err := parse(data)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		aside := j.path + ".damaged"
		if err := j.disk.write(aside, data); err != nil {
			return fmt.Errorf("keep the damaged journal aside: %w", err)
		}
		for _, f := range faults {
			j.odd = append(j.odd, fmt.Errorf("journal %s: %w; the file was kept as %s", j.path, f, aside))
		}
	}
	j.open = entries
	for n, e := range entries {
		j.next = max(j.next, n+1)
		j.left = append(j.left, &Record{journal: j, number: n, entry: e})
	}
	slices.SortFunc(j.left, func(a, b *Record) int { return int(a.number) - int(b.number) })
	return j.rewrite()
}

// Faults are the lines that could not be read when the journal was opened, each in words.
func (j *Journal) Faults() []error {
	if j == nil {
		return nil
	}
	return j.odd
}

// Pending are the calls whose end an earlier process did not record, oldest first. Each is to be looked up
// and ended.
func (j *Journal) Pending() []*Record {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.left), func(r *Record) bool {
		_, open := j.open[r.number]
		return !open
	})
}

// Begin records that a call is about to be sent. Where it fails, the call must not be sent.
func (j *Journal) Begin(e Entry) (*Record, error) {
	if j == nil {
		return &Record{entry: e}, nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	r := &Record{journal: j, number: j.next, entry: e}
	if err := j.append(line{Number: r.number, Do: doBegin, Entry: e}); err != nil {
		return nil, err
	}
	j.next++
	j.open[r.number] = e
	return r, nil
}

// Close lets another process open the journal. What is not ended stays recorded.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return errors.Join(err, j.lock.Close())
}

// A Record is one entry of a journal.
type Record struct {
	journal *Journal
	number  uint64

	mu    sync.Mutex // guards entry
	entry Entry
}

// Entry is what is recorded so far.
func (r *Record) Entry() Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entry
}

// SetTask records the task that the call has started.
func (r *Record) SetTask(task proxmox.UPID) error {
	r.mu.Lock()
	r.entry.Task = task
	e := r.entry
	r.mu.Unlock()
	j := r.journal
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.open[r.number]; !ok {
		return nil
	}
	j.open[r.number] = e
	return j.append(line{Number: r.number, Do: doTask, Entry: Entry{Task: task}})
}

// End records how the call ended. Where it fails, the next process looks the call up.
func (r *Record) End(o Outcome) error {
	j := r.journal
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.open[r.number]; !ok {
		return nil
	}
	if err := j.append(line{Number: r.number, Do: doEnd, Outcome: o}); err != nil {
		return err
	}
	delete(j.open, r.number)
	return nil
}

var errClosed = errors.New("it is closed")

// append writes a line and waits until it is on disk. After a write that failed the file is written anew:
// what the failure left in it is not known.
func (j *Journal) append(l line) error {
	err := errClosed
	if j.file != nil {
		if j.broken || j.size >= maxSize {
			if err := j.rewrite(); err != nil && j.broken {
				return fmt.Errorf("write journal %s: %w", j.path, err)
			}
		}
		err = j.write(j.file, l)
	}
	if err != nil {
		j.broken = true
		return fmt.Errorf("write journal %s: %w", j.path, err)
	}
	return nil
}

func (j *Journal) write(f file, lines ...line) error {
	text, err := format(lines)
	if err != nil {
		return err
	}
	n, err := f.Write(text)
	j.size += int64(n)
	if err != nil {
		return err
	}
	return f.Sync()
}

// rewrite replaces the file by one with the open entries alone. The old one stays until the new one is whole
// and on disk.
func (j *Journal) rewrite() error {
	var lines []line
	for _, n := range slices.Sorted(maps.Keys(j.open)) {
		lines = append(lines, line{Number: n, Do: doBegin, Entry: j.open[n]})
	}
	size := j.size
	f, err := j.disk.create(j.path + ".new")
	if err != nil {
		return err
	}
	j.size = 0
	if err = j.write(f, lines...); err == nil {
		if err = j.disk.rename(j.path+".new", j.path); err != nil {
			j.broken = true // which of the two has the name is not known
		}
	}
	if err != nil {
		j.size = size
		return errors.Join(err, f.Close())
	}
	if j.file != nil {
		_ = j.file.Close() // it has no name any more
	}
	j.file, j.broken = f, false
	return nil
}
