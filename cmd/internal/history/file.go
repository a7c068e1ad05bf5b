package history

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/felhom/tend/cmd/internal/agent/report"
)

// The buckets: lines and details by id, and one with the sum of the sizes of the details.
var (
	linesBucket   = []byte("runs-1")
	detailsBucket = []byte("details-1")
	sumBucket     = []byte("sum-1")
	sumKey        = []byte("bytes")
)

// lockWait is how long another process may hold the file.
const lockWait = time.Second

// A DamagedError is a history that could not be read. It was moved aside, and a new one was begun.
type DamagedError struct {
	Path, Aside string
	Err         error
}

// Error says what was found, and where it is now.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the history %s is damaged (%v): it was moved to %s, and a new one was begun", e.Path, e.Err, e.Aside)
}

// Unwrap returns what is wrong.
func (e *DamagedError) Unwrap() error { return e.Err }

// file is a store in a database of one file.
type file struct {
	path string

	mu     sync.Mutex // guards what is below, and the order of transactions
	limits Limits
	db     *bbolt.DB
}

// Open opens the history at path, and makes it and its folder where there is none. The history is good in any
// case: a damaged file is moved aside and a new one begun, which the error, a [*DamagedError], tells; with any
// other error the history is kept in memory.
func Open(path string, l Limits) (*History, error) {
	l = l.orDefault()
	f := &file{path: path, limits: l}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = f.open()
	}
	var damaged *DamagedError
	if err != nil && !errors.As(err, &damaged) {
		return InMemory(l), fmt.Errorf("open the history %s: %w; it is kept in memory until a restart", path, explain(err))
	}
	return &History{f}, err
}

// Read opens the history at path to be read. It fails while an agent has it open: ask that one.
func Read(path string) (*History, error) {
	db, err := openDB(path, true)
	if err != nil {
		return nil, fmt.Errorf("read the history %s: %w", path, explain(err))
	}
	return &History{&file{path: path, db: db}}, nil
}

// explain puts what a person would not understand in words.
func explain(err error) error {
	if errors.Is(err, berrors.ErrTimeout) {
		return errors.New("another process has it open")
	}
	return err
}

// open opens the file. A damaged one is moved aside, and the error tells of it though a new one is open.
func (f *file) open() error {
	db, err := openDB(f.path, false)
	if err == nil {
		f.db = db
		return nil
	}
	if errors.Is(err, berrors.ErrTimeout) || errors.Is(err, os.ErrPermission) || !isFile(f.path) {
		return err
	}
	aside := f.path + ".damaged-" + time.Now().UTC().Format("20060102T150405")
	if renamed := os.Rename(f.path, aside); renamed != nil {
		return errors.Join(err, renamed)
	}
	damaged := &DamagedError{f.path, aside, err}
	if f.db, err = openDB(f.path, false); err != nil {
		return fmt.Errorf("%s, but: %w", damaged, err)
	}
	return damaged
}

func isFile(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.Mode().IsRegular()
}

// openDB opens a database and looks through it, so that damage is found here and not later.
func openDB(path string, readOnly bool) (db *bbolt.DB, err error) {
	if err := fits(path); err != nil {
		return nil, err
	}
	var opened []*os.File
	o := &bbolt.Options{Timeout: lockWait, ReadOnly: readOnly, OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
		to, err := os.OpenFile(name, flag, mode)
		if err == nil {
			opened = append(opened, to)
		}
		return to, err
	}}
	err = guard(func() error {
		db, err = bbolt.Open(path, 0o600, o)
		if err != nil {
			return err
		}
		if !readOnly {
			err = db.Update(prepare)
		}
		if err == nil {
			err = db.View(lookThrough)
		}
		return err
	})
	if err == nil {
		return db, nil
	}
	for _, x := range opened {
		_ = x.Close() // frees the lock, however far it came
	}
	return nil, err
}

func prepare(tx *bbolt.Tx) error {
	for _, b := range [][]byte{linesBucket, detailsBucket, sumBucket} {
		if _, err := tx.CreateBucketIfNotExists(b); err != nil {
			return err
		}
	}
	return nil
}

// lookThrough visits every entry.
func lookThrough(tx *bbolt.Tx) error {
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		return b.ForEach(func(k, _ []byte) error {
			if string(name) != string(sumBucket) && len(k) != 8 {
				return fmt.Errorf("an entry of %s has the key %x", name, k)
			}
			return nil
		})
	})
}

// update changes the database. Where it turns out to be damaged, it is moved aside and a new one begun.
func (f *file) update(do func(*bbolt.Tx) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db == nil {
		return berrors.ErrDatabaseNotOpen
	}
	err := guard(func() error { return f.db.Update(do) })
	var broke *brokenError
	if !errors.As(err, &broke) {
		return err
	}
	_ = guard(f.db.Close)
	f.db = nil
	return errors.Join(err, f.open())
}

func (f *file) view(do func(*bbolt.Tx) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db == nil {
		return berrors.ErrDatabaseNotOpen
	}
	return guard(func() error { return f.db.View(do) })
}

func key(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

func (f *file) add(makeEntry func(last *report.Run) (entry, error)) error {
	return f.update(func(tx *bbolt.Tx) error {
		var last *report.Run
		if k, v := tx.Bucket(linesBucket).Cursor().Last(); k != nil {
			last = &report.Run{}
			if json.Unmarshal(v, last) != nil {
				last = &report.Run{}
			}
			last.ID = binary.BigEndian.Uint64(k)
		}
		e, err := makeEntry(last)
		if err != nil {
			return err
		}
		if int64(len(e.details)) > f.limits.most() {
			e = e.cut()
		}
		return f.put(tx, e)
	})
}

// put writes an entry and drops the oldest ones that are beyond the limits.
func (f *file) put(tx *bbolt.Tx, e entry) error {
	lines, more, sums := tx.Bucket(linesBucket), tx.Bucket(detailsBucket), tx.Bucket(sumBucket)
	var sum int64
	if v := sums.Get(sumKey); len(v) == 8 {
		sum = int64(binary.BigEndian.Uint64(v))
	}
	sum += int64(len(e.details)) - int64(len(more.Get(key(e.id))))
	if err := errors.Join(lines.Put(key(e.id), e.line), more.Put(key(e.id), e.details)); err != nil {
		return err
	}
	for {
		k, _ := lines.Cursor().First()
		first := binary.BigEndian.Uint64(k)
		if first == e.id || e.id-first < uint64(f.limits.Runs) && sum <= f.limits.Bytes {
			break
		}
		sum -= int64(len(more.Get(k)))
		if err := errors.Join(lines.Delete(key(first)), more.Delete(key(first))); err != nil {
			return err
		}
	}
	return sums.Put(sumKey, key(uint64(sum)))
}

func (f *file) lines(before uint64, n int) (out [][]byte, err error) {
	err = f.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(linesBucket)
		if b == nil {
			return nil
		}
		c := b.Cursor()
		k, _ := c.Seek(key(before))
		var v []byte
		if k == nil {
			k, v = c.Last()
		} else {
			k, v = c.Prev()
		}
		for ; k != nil && len(out) < n; k, v = c.Prev() {
			out = append(out, append([]byte(nil), v...))
		}
		return nil
	})
	return out, err
}

func (f *file) entry(id uint64) (e entry, err error) {
	err = f.view(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(linesBucket); b != nil {
			e = entry{id: id, line: append([]byte(nil), b.Get(key(id))...), details: append([]byte(nil), tx.Bucket(detailsBucket).Get(key(id))...)}
		}
		return nil
	})
	return e, err
}

func (f *file) limit(l Limits) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limits = l
}

func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db == nil {
		return nil
	}
	db := f.db
	f.db = nil
	return guard(db.Close)
}
