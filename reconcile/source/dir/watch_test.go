package dir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/felhom/tend/reconcile/source/dir"
)

// TestWatch makes changes as people and programs do, one after the other, and fetches whenever it is told to, until it
// has seen the last of them. Nothing tells how long that takes: a change that is missed hangs until the deadline.
func TestWatch(t *testing.T) {
	base := t.TempDir()
	at := filepath.Join(base, "later", "spec")
	a := filepath.Join(at, "a.yaml")
	rename := func(from, to string) { must(t, os.Rename(from, to)) }
	steps := []struct {
		name   string
		change func(text string)
		file   string // that holds the text then; a.yaml where empty
	}{
		{"made, with the folders above it", func(s string) { put(t, a, s) }, ""},
		{"written over", func(s string) { put(t, a, s) }, ""},
		{"vim", func(s string) {
			put(t, filepath.Join(at, ".a.yaml.swp"), "b0VIM")
			put(t, filepath.Join(at, "4913"), "")
			must(t, os.Remove(filepath.Join(at, "4913")))
			rename(a, a+"~")
			put(t, a, s)
			must(t, os.Remove(a+"~"))
			must(t, os.Remove(filepath.Join(at, ".a.yaml.swp")))
		}, ""},
		{"a new file in its place", func(s string) { put(t, a+".tmp", s); rename(a+".tmp", a) }, ""},
		{"from elsewhere", func(s string) { put(t, filepath.Join(base, "x"), s); rename(filepath.Join(base, "x"), a) }, ""},
		{"removed and written anew", func(s string) { must(t, os.Remove(a)); put(t, a, s) }, ""},
		{"in a new folder in a new folder", func(s string) { put(t, filepath.Join(at, "x/y/b.yaml"), s) }, "x/y/b.yaml"},
		{"again there", func(s string) { put(t, filepath.Join(at, "x/y/b.yaml"), s) }, "x/y/b.yaml"},
		{"a folder moved in", func(s string) {
			put(t, filepath.Join(base, "z/c.yaml"), s)
			rename(filepath.Join(base, "z"), filepath.Join(at, "z"))
		}, "z/c.yaml"},
		{"again there", func(s string) { put(t, filepath.Join(at, "z/c.yaml"), s) }, "z/c.yaml"},
		{"a folder of that name in its place", func(s string) {
			rename(filepath.Join(at, "z"), filepath.Join(base, "old-z"))
			put(t, filepath.Join(at, "z/c.yaml"), s)
		}, "z/c.yaml"},
		{"again there", func(s string) { put(t, filepath.Join(at, "z/c.yaml"), s) }, "z/c.yaml"},
		{"the folder replaced", func(s string) {
			put(t, filepath.Join(base, "later/new/a.yaml"), s)
			rename(at, at+".old")
			rename(filepath.Join(base, "later/new"), at)
		}, ""},
		{"again there", func(s string) { put(t, a, s) }, ""},
		{"all of it moved away and made anew", func(s string) { rename(filepath.Join(base, "later"), filepath.Join(base, "gone")); put(t, a, s) }, ""},
		{"again there", func(s string) { put(t, a, s) }, ""},
		{"a link in place of the folder", func(s string) {
			put(t, filepath.Join(base, "releases/2/a.yaml"), s)
			must(t, os.Symlink(filepath.Join(base, "releases/2"), at+".link"))
			rename(at, at+".old")
			rename(at+".link", at)
		}, ""},
		{"again there", func(s string) { put(t, a, s) }, ""},
		{"the link led elsewhere", func(s string) {
			put(t, filepath.Join(base, "releases/3/a.yaml"), s)
			must(t, os.Symlink(filepath.Join(base, "releases/3"), at+".link"))
			rename(at+".link", at)
		}, ""},
		{"again there", func(s string) { put(t, a, s) }, ""},
	}
	s := open(t, dir.Options{Path: at, Settle: 15 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- s.Watch(ctx, func() {
			select {
			case told <- struct{}{}:
			default:
			}
		})
	}()
	awaitWatch(t, ctx, base, at, told)
	for i, step := range steps {
		text := fmt.Sprint(i)
		step.change(text)
		file := step.file
		if file == "" {
			file = "a.yaml"
		}
		for got := ""; got != text; {
			select {
			case <-told:
			case <-ctx.Done():
				t.Fatalf("%s: %s is %q to the last, and nothing tells of more", step.name, file, got)
			}
			if files, _, err := s.Fetch(ctx); err == nil {
				b, _ := fs.ReadFile(files, file)
				got = string(b)
			}
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestWatchFile watches a single file.
func TestWatchFile(t *testing.T) {
	at := filepath.Join(t.TempDir(), "spec.yaml")
	s := open(t, dir.Options{Path: at, Settle: 15 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told := make(chan struct{}, 100)
	go func() { _ = s.Watch(ctx, func() { told <- struct{}{} }) }()
	for tick := time.NewTicker(50 * time.Millisecond); len(told) == 0; <-tick.C {
		put(t, at, "1")
	}
	must(t, os.Remove(at))
	put(t, at+".new", "2")
	must(t, os.Rename(at+".new", at))
	for got := ""; got != "2"; {
		<-told
		if files, _, err := s.Fetch(ctx); err == nil {
			got = contents(t, files)["spec.yaml"]
		}
	}
}

// awaitWatch makes and removes the folder until that is noticed: then it is watched.
func awaitWatch(t *testing.T, ctx context.Context, base, at string, told <-chan struct{}) {
	t.Helper()
	for tick := time.NewTicker(30 * time.Millisecond); ; {
		must(t, os.MkdirAll(at, 0o755))
		select {
		case <-told:
			must(t, os.RemoveAll(filepath.Join(base, "later")))
			return
		case <-ctx.Done():
			t.Fatal("nothing is watched")
		case <-tick.C:
			must(t, os.RemoveAll(filepath.Join(base, "later")))
		}
	}
}

// TestWatchOne tells of a burst once. On a machine that is busy elsewhere it may look like a few; never like as many as
// there are files.
func TestWatchOne(t *testing.T) {
	at := t.TempDir()
	s := open(t, dir.Options{Path: at, Settle: 100 * time.Millisecond, Wait: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told := make(chan struct{}, 1000)
	go func() { _ = s.Watch(ctx, func() { told <- struct{}{} }) }()
	for tick := time.NewTicker(150 * time.Millisecond); len(told) == 0; <-tick.C {
		put(t, filepath.Join(at, "a.yaml"), "1")
	}
	for i := range 200 {
		put(t, filepath.Join(at, fmt.Sprintf("d%d/%d.yaml", i%20, i)), "x")
	}
	for n := 1; ; n++ {
		if n > 20 {
			t.Fatal("a burst is told of again and again")
		}
		<-told
		if files, _, err := s.Fetch(ctx); err == nil && len(contents(t, files)) == 201 {
			break
		}
	}
}
