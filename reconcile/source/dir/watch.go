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

	"github.com/fsnotify/fsnotify"
)

// A burst is a row of changes that belong together.
type burst struct{ first, last time.Time }

func (b *burst) note(now time.Time) {
	if b.first.IsZero() {
		b.first = now
	}
	b.last = now
}

// over is when a burst is: after a while without changes, or when it has gone on for too long to wait for that.
func (b *burst) over(settle, wait time.Duration) time.Time {
	quiet, late := b.last.Add(settle), b.first.Add(wait)
	if late.Before(quiet) {
		return late
	}
	return quiet
}

// Watch calls changed after each burst of changes to what Fetch reads, until the context ends. The folder may come and
// go, and be replaced. Not all file systems tell of changes (those of other machines do not).
func (s *Source) Watch(ctx context.Context, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return s.unwatched(err)
	}
	defer w.Close()
	t := watched{Watcher: w, s: s}
	if err := t.renew(); err != nil {
		return s.unwatched(err)
	}
	var b burst
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			b = burst{}
			// What is new is watched before it is read: what happens meanwhile is either read or told of.
			if err := t.renew(); err != nil {
				return s.unwatched(err)
			}
			changed()
			continue
		case e := <-w.Events:
			if !t.concerns(e) {
				continue
			}
		case err := <-w.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return s.unwatched(err)
			}
		}
		b.note(time.Now())
		timer.Reset(time.Until(b.over(s.o.Settle, s.o.Wait)))
	}
}

func (s *Source) unwatched(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("watch %s: the system watches no more folders: raise fs.inotify.max_user_watches and max_user_instances (sysctl): %w", s.o.Path, err)
	}
	return fmt.Errorf("watch %s: %w", s.o.Path, err)
}

// watched are the folders that are: the source's with all below it, and those above it, which tell when it appears or
// is replaced.
type watched struct {
	*fsnotify.Watcher
	s    *Source
	dirs map[string]bool // below the source's, and itself
	new  bool            // one of them may be another one now, by the same name
}

// renew watches what is there now.
func (t *watched) renew() error {
	if t.new { // watches stay with a folder that was moved away
		for path := range t.dirs {
			_ = t.Remove(path)
		}
		t.new = false
	}
	for dir := filepath.Dir(t.s.o.Path); ; dir = filepath.Dir(dir) {
		err := t.Add(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	t.dirs = map[string]bool{}
	// The root itself may be a link, which a walk would not follow.
	root, err := filepath.EvalSymlinks(t.s.o.Path)
	if err != nil {
		return nil // until it is there
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || !d.IsDir():
			return nil // gone again, or not to be read: Fetch says so
		case path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		}
		rel, _ := filepath.Rel(root, path)
		path = filepath.Join(t.s.o.Path, rel)
		err = t.Add(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		t.dirs[path] = true
		return err
	})
}

// concerns reports whether an event is about what Fetch reads.
func (t *watched) concerns(e fsnotify.Event) bool {
	path := t.s.o.Path
	if e.Name == path || strings.HasPrefix(path, strings.TrimSuffix(e.Name, "/")+"/") {
		// The folder or one above it. What happens in those above is no matter, only that they come and go.
		t.new = t.new || e.Has(fsnotify.Create) || e.Has(fsnotify.Rename) || e.Has(fsnotify.Remove)
		return t.new || e.Name == path
	}
	below, ok := strings.CutPrefix(e.Name, path+"/")
	if !ok {
		return false
	}
	for part := range strings.SplitSeq(filepath.Dir(below), "/") {
		if part != "." && strings.HasPrefix(part, ".") {
			return false
		}
	}
	if t.dirs[e.Name] {
		t.new = t.new || !e.Has(fsnotify.Chmod)
		return true
	}
	if t.s.o.Match(filepath.ToSlash(below)) {
		return true
	}
	info, err := os.Lstat(e.Name)
	return err == nil && info.IsDir() && !strings.HasPrefix(info.Name(), ".")
}
