package helper

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/time/rate"
)

// LogOptions are how large an audit log may become.
type LogOptions struct {
	Size int64 // of one file, in bytes, before it is put aside; 0: 8 MiB
	Keep int   // how many files are kept beside the one that is written; 0: 9
}

// refusals that are written: so many at once, and then so many a second. A caller that is let in no further must not be
// able to push out what was done.
const (
	refusalsPerSecond = 1
	refusalsAtOnce    = 50
)

// A Log is an audit log: a line of JSON for each request, in a file that only root can read. Each line is on disk before
// its request is answered. What is under way stands in a second file beside it, so that a request is in the log even
// if the helper died with it.
type Log struct {
	path string
	o    LogOptions
	lock *flock.Flock
	sync func(*os.File) error // brings a file to disk; nothing in tests that write very many

	mu      sync.Mutex
	file    *os.File
	size    int64
	running map[string]Record // by id
	late    []Record          // that ended while the log could not be written
	limit   *rate.Limiter
	dropped int // refusals since the last line of one
}

// OpenLog opens or makes an audit log, in a directory which must be there and in which only root, or who runs this, may
// write. Requests that were under way when the last helper ended are written down as [Lost]. Another process that has it
// open is an error.
func OpenLog(path string, o LogOptions) (*Log, error) {
	o.Size, o.Keep = cmp.Or(o.Size, 8<<20), cmp.Or(o.Keep, 9)
	l := &Log{path: path, o: o, sync: (*os.File).Sync, running: map[string]Record{}, limit: rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("open the audit log: others can write to %s: chmod go-w it", filepath.Dir(path))
	}
	l.lock = flock.New(path+".lock", flock.SetPermissions(0o600))
	if ok, err := l.lock.TryLock(); err != nil || !ok {
		return nil, fmt.Errorf("open the audit log %s: another tend helper has it open (%w)", path, cmp.Or(err, errLocked))
	}
	if err := errors.Join(l.open(), l.recover()); err != nil {
		return nil, errors.Join(fmt.Errorf("open the audit log: %w", err), l.Close())
	}
	return l, nil
}

var errLocked = errors.New("it is locked")

// open opens the file that is written.
func (l *Log) open() error {
	if info, err := os.Lstat(l.path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file (%v)", l.path, info.Mode())
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Perm() != 0o600 {
		err = f.Chmod(0o600)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Close closes the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if l.file != nil {
		err = l.file.Close()
	}
	return errors.Join(err, l.lock.Unlock())
}

// begin takes down that a request is about to be carried out. It is an error where it could not be recorded later, too.
func (l *Log) begin(rec Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running[rec.ID] = rec
	if err := errors.Join(l.rotate(0), l.catchUp(), l.writeRunning()); err != nil {
		delete(l.running, rec.ID)
		return err
	}
	return nil
}

// end writes what became of a request.
func (l *Log) end(rec Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = append(l.late, rec)
	if err := l.catchUp(); err != nil {
		return err // it is written before the next request is begun, or by the next helper
	}
	return l.writeRunning()
}

// catchUp writes what has ended.
func (l *Log) catchUp() error {
	for len(l.late) > 0 {
		if err := l.append(l.late[0]); err != nil {
			return err
		}
		delete(l.running, l.late[0].ID)
		l.late = l.late[1:]
	}
	return nil
}

// refuse writes that something was refused, unless there were too many. A log that cannot be written changes nothing:
// nothing was done.
func (l *Log) refuse(rec Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.limit.Allow() {
		l.dropped++
		return
	}
	rec.Outcome, rec.Dropped = Refused, l.dropped
	if l.append(rec) == nil {
		l.dropped = 0
	}
}

// append writes a line and brings it to disk.
func (l *Log) append(rec Record) error {
	if rec.Time.IsZero() {
		rec.Time = time.Now()
	}
	rec.Time, rec.User = rec.Time.UTC().Truncate(time.Millisecond), cmp.Or(rec.User, nameOf(rec.UID))
	line, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if err := l.rotate(int64(len(line))); err != nil {
		return err
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	if err != nil {
		return errors.Join(err, l.takeBack(int64(n)))
	}
	return l.sync(l.file)
}

// takeBack removes the part of a line that fitted on a full disk: the next one must begin a line.
func (l *Log) takeBack(n int64) error {
	l.size -= n
	return l.file.Truncate(l.size)
}

// rotate puts the file aside where the next line would make it too long: audit.log.1 is the latest of the old ones.
func (l *Log) rotate(more int64) error {
	if l.file == nil { // the last rotation failed half way
		if err := l.open(); err != nil {
			return err
		}
	}
	if l.size == 0 || l.size+more <= l.o.Size {
		return nil
	}
	for n := l.o.Keep; n > 0; n-- {
		from := l.path
		if n > 1 {
			from += "." + strconv.Itoa(n-1)
		}
		if err := os.Rename(from, l.path+"."+strconv.Itoa(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	err := l.file.Close()
	l.file = nil
	return errors.Join(err, l.open())
}

// runningFile is where the requests stand that are under way.
func (l *Log) runningFile() string { return l.path + ".running" }

// writeRunning writes down what is under way, whole or not at all.
func (l *Log) writeRunning() error {
	var text bytes.Buffer
	for _, id := range slices.Sorted(maps.Keys(l.running)) {
		line, err := json.Marshal(l.running[id])
		if err != nil {
			return err
		}
		text.Write(append(line, '\n'))
	}
	temp := l.runningFile() + ".tmp"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes())
	if err = errors.Join(err, l.sync(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, l.runningFile())
}

// recover writes down what the last helper did not bring to an end.
func (l *Log) recover() error {
	text, err := os.ReadFile(l.runningFile())
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	tail, err := l.tail()
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		var rec Record
		if err := json.Unmarshal(line, &rec); err != nil {
			return fmt.Errorf("%s: %w", l.runningFile(), err)
		}
		if bytes.Contains(tail, []byte(`"id":"`+rec.ID+`"`)) { // it died between the two files
			continue
		}
		rec.Outcome, rec.Error = Lost, "the helper ended before it did: what was done is not known"
		if err := l.append(rec); err != nil {
			return err
		}
	}
	return l.writeRunning()
}

// tail is the end of what was written last, across a rotation.
func (l *Log) tail() ([]byte, error) {
	var out []byte
	for _, name := range []string{l.path + ".1", l.path} {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err == nil && info.Size() > tailSize {
			_, _ = f.Seek(-tailSize, io.SeekEnd) // from the start then, which is only more
		}
		part, err := io.ReadAll(bufio.NewReader(f))
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		out = append(out, part...)
	}
	return out, nil
}

// tailSize is more than the lines of all connections together.
const tailSize = 256 << 10
