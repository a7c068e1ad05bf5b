// Package dir is a folder as a source of specs. Its files are read into memory, and only taken once they have been at
// rest for a while: what an editor or a copy is in the middle of is never seen by half. It writes nothing.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/felhom/tend/reconcile/source"
)

// Options say what to read, and how.
type Options struct {
	Path string // of the folder, or of a single file
	// Match says which files are read, by their path below Path, between slashes; nil: all but hidden ones and what
	// editors leave beside a file (a~, #a#). Hidden folders never are.
	Match  func(path string) bool
	Settle time.Duration // how long files must have been at rest; half a second where 0
	Wait   time.Duration // how long to wait for that; ten seconds where 0
	Limits source.Limits
}

// A Source is a folder.
type Source struct {
	o    Options
	last look // the one that was taken last
}

// New makes a source. The folder need not be there yet.
func New(o Options) (*Source, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil || o.Path == "" {
		return nil, errors.Join(errors.New("there is no path of a folder"), err)
	}
	o.Path = path
	if o.Settle == 0 {
		o.Settle = 500 * time.Millisecond
	}
	if o.Wait == 0 {
		o.Wait = 10 * time.Second
	}
	if o.Match == nil {
		o.Match = ordinary
	}
	return &Source{o: o}, nil
}

// ordinary is what people write, and no leftover of an editor.
func ordinary(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(part, ".") {
			return false
		}
	}
	return !strings.HasSuffix(path, "~") && !strings.HasSuffix(path, "#")
}

// String is the folder's path.
func (s *Source) String() string { return s.o.Path }

// Fetch reads the folder once it is at rest: twice, with the time to settle in between, and nothing may differ. Where
// nothing differs from what was taken last, once is enough. The revision is a hash of what the files are called and hold.
func (s *Source) Fetch(ctx context.Context) (fs.FS, source.Revision, error) {
	start := time.Now()
	before, err := s.look()
	if err == nil && s.last.files != nil && before.same(s.last) {
		return s.take(before)
	}
	for {
		select {
		case <-ctx.Done():
			return nil, source.Revision{}, ctx.Err()
		case <-time.After(s.o.Settle):
		}
		now, err2 := s.look()
		switch {
		case err == nil && err2 == nil && now.same(before):
			return s.take(now)
		case err2 != nil && (isFinal(err, err2) || time.Since(start) >= s.o.Wait):
			return nil, source.Revision{}, s.explain(err2)
		case time.Since(start) >= s.o.Wait:
			return nil, source.Revision{}, s.explain(&source.Error{
				Class: source.Unsettled, Err: fmt.Errorf("its files kept changing for %s", s.o.Wait),
				Hint: "do not let programs write into it all the time",
			})
		}
		before, err = now, err2
	}
}

func (s *Source) take(l look) (fs.FS, source.Revision, error) {
	s.last = l
	return l.files, source.Revision{ID: l.files.Sum()}, nil
}

// isFinal reports whether waiting on does not help, after two errors with time between them. A file that is gone while
// it is read is being replaced.
func isFinal(before, now error) bool {
	if errors.Is(now, errNone) {
		return errors.Is(before, errNone)
	}
	class, ok := source.ClassOf(now)
	return ok && class != source.Unsettled || errors.Is(now, fs.ErrPermission)
}

// errNone says that there is no folder.
var errNone = errors.New("there is no such folder")

func (s *Source) explain(err error) error {
	e, ok := errors.AsType[*source.Error](err)
	switch {
	case ok:
	case errors.Is(err, errNone):
		e = &source.Error{Class: source.NotFound, Err: err, Hint: "make it, or name another; nothing is taken for gone because of this"}
	case errors.Is(err, fs.ErrPermission):
		e = &source.Error{Class: source.Denied, Err: err, Hint: "let the user that runs tend read it"}
	default:
		e = &source.Error{Class: source.Unsettled, Err: err}
	}
	e.Source = s.o.Path
	return e
}

// A look is what a folder held at one time.
type look struct {
	files *source.Files
	seen  map[string]mark
}

// A mark tells a file from one that was changed or put in its place, even within the same content.
type mark struct {
	size  int64
	mtime time.Time
	info  fs.FileInfo
}

// look reads the folder.
func (s *Source) look() (look, error) {
	l := look{files: source.NewFiles(s.o.Limits), seen: map[string]mark{}}
	info, err := os.Stat(s.o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return l, errNone
	case err != nil:
		return l, err
	case info.Mode().IsRegular():
		return l, l.single(s.o.Path, info)
	case !info.IsDir():
		return l, &source.Error{Class: source.NotFound, Err: errors.New("it is no folder and no file")}
	}
	root, err := os.OpenRoot(s.o.Path)
	if err != nil {
		return l, err
	}
	defer root.Close()
	// The walk does not follow links: they are taken as links, and cannot lead in a circle.
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := root.Lstat(name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			l.seen[name+"/"] = mark{info.Size(), info.ModTime(), info}
			return nil
		}
		if !s.o.Match(name) {
			return nil
		}
		l.seen[name] = mark{info.Size(), info.ModTime(), info}
		return l.read(root, name, info)
	})
	return l, err
}

// single reads the one file that is the source, wherever its path leads.
func (l *look) single(path string, info fs.FileInfo) error {
	l.seen["."] = mark{info.Size(), info.ModTime(), info}
	if err := l.files.Fits(info.Size()); err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return l.files.Add(filepath.Base(path), data)
}

// read reads a file or link. What is neither (a pipe, a device) is left out: opening it could wait for ever.
func (l *look) read(root *os.Root, name string, info fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := root.Readlink(name)
		if err != nil {
			return err
		}
		return l.files.Link(name, target)
	case !info.Mode().IsRegular():
		return nil
	}
	if err := l.files.Fits(info.Size()); err != nil {
		return err
	}
	data, err := root.ReadFile(name)
	if err != nil {
		return err
	}
	return l.files.Add(name, data)
}

// same reports whether nothing differs between two looks.
func (l look) same(other look) bool {
	if len(l.seen) != len(other.seen) {
		return false
	}
	for name, m := range l.seen {
		o, ok := other.seen[name]
		if !ok || m.size != o.size || !m.mtime.Equal(o.mtime) || !os.SameFile(m.info, o.info) {
			return false
		}
	}
	return l.files.Sum() == other.files.Sum()
}
