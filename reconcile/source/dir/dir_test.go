package dir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/dir"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func open(t *testing.T, o dir.Options) *dir.Source {
	t.Helper()
	s, err := dir.New(o)
	must(t, err)
	return s
}

func contents(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := fs.ReadLink(fsys, name)
			out[name] = "->" + target
			return err
		}
		text, err := fs.ReadFile(fsys, name)
		out[name] = string(text)
		return err
	}))
	return out
}

func TestFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := t.TempDir()
		for _, name := range []string{"a.yaml", "b/c.yml", ".git/config", ".hidden", "a.yaml~", "#a.yaml#", ".a.yaml.swp"} {
			put(t, filepath.Join(at, name), name)
		}
		must(t, os.Symlink("b/c.yml", filepath.Join(at, "link.yaml")))
		must(t, os.Symlink(".", filepath.Join(at, "loop")))
		must(t, os.Symlink("/etc/passwd", filepath.Join(at, "out.yaml")))
		must(t, os.Symlink("alice@host.1234:1", filepath.Join(at, ".#a.yaml"))) // as Emacs locks
		s := open(t, dir.Options{Path: at})
		files, rev, err := s.Fetch(t.Context())
		must(t, err)
		want := map[string]string{"a.yaml": "a.yaml", "b/c.yml": "b/c.yml", "link.yaml": "->b/c.yml", "loop": "->.", "out.yaml": "->/etc/passwd"}
		if diff := cmp.Diff(want, contents(t, files)); diff != "" {
			t.Error(diff)
		}
		if _, err := fs.ReadFile(files, "out.yaml"); err == nil {
			t.Error("a link out of the folder was followed")
		}
		if rev.Ref != "" || len(rev.ID) != 64 || s.String() != at {
			t.Errorf("got %+v of %s", rev, s)
		}
		// What is known is not waited for.
		start := time.Now()
		_, again, err := s.Fetch(t.Context())
		must(t, err)
		if again != rev || time.Since(start) != 0 {
			t.Errorf("it took %s and is %v", time.Since(start), again)
		}
		put(t, filepath.Join(at, "b/c.yml"), "other")
		if text, _ := fs.ReadFile(files, "link.yaml"); string(text) != "b/c.yml" {
			t.Errorf("what was fetched became %q", text)
		}
		_, other, err := s.Fetch(t.Context())
		must(t, err)
		if other.ID == rev.ID || time.Since(start) != 500*time.Millisecond {
			t.Errorf("it took %s and is %v", time.Since(start), other)
		}
	})
}

// TestFetchWaits takes no file while somebody writes it, and no folder while files are added.
func TestFetchWaits(t *testing.T) {
	tests := []struct {
		name string
		step func(t *testing.T, at string, i int) // every 300 ms, ten times
	}{
		{"a file that grows", func(t *testing.T, at string, i int) {
			f, err := os.OpenFile(filepath.Join(at, "a.yaml"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			must(t, err)
			_, err = fmt.Fprintln(f, i)
			must(t, errors.Join(err, f.Close()))
		}},
		{"files one by one", func(t *testing.T, at string, i int) { put(t, filepath.Join(at, fmt.Sprint(i), "a.yaml"), "x") }},
		{"the same text again", func(t *testing.T, at string, i int) { // as a new file, as editors do
			put(t, filepath.Join(at, ".new"), "x")
			must(t, os.Rename(filepath.Join(at, ".new"), filepath.Join(at, "a.yaml")))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at := filepath.Join(t.TempDir(), "spec")
				must(t, os.Mkdir(at, 0o755))
				start := time.Now()
				go func() {
					for i := range 10 {
						tt.step(t, at, i)
						time.Sleep(300 * time.Millisecond)
					}
				}()
				synctest.Wait()
				files, _, err := open(t, dir.Options{Path: at}).Fetch(t.Context())
				must(t, err)
				synctest.Wait()
				if took := time.Since(start); took < 2700*time.Millisecond || took > 4*time.Second {
					t.Errorf("it took %s", took)
				}
				got := contents(t, files)
				time.Sleep(time.Second)
				now, _, err := open(t, dir.Options{Path: at}).Fetch(t.Context())
				must(t, err)
				if diff := cmp.Diff(contents(t, now), got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestFetchRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := t.TempDir()
		put(t, filepath.Join(at, "full/a.yaml"), "12345")
		must(t, os.Mkdir(filepath.Join(at, "busy"), 0o755))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for ctx.Err() == nil {
				put(t, filepath.Join(at, "busy/a.yaml"), time.Now().String())
				time.Sleep(100 * time.Millisecond)
			}
		}()
		tests := []struct {
			o     dir.Options
			class source.Class
			words string
		}{
			{dir.Options{Path: filepath.Join(at, "none")}, source.NotFound, "there is no such folder"},
			{dir.Options{Path: filepath.Join(at, "full/a.yaml")}, -1, ""},
			{dir.Options{Path: filepath.Join(at, "full/a.yaml"), Limits: source.Limits{Bytes: 4}}, source.TooLarge, "more than 4 bytes"},
			{dir.Options{Path: filepath.Join(at, "full/a.yaml/b")}, source.NotFound, ""},
			{dir.Options{Path: os.DevNull}, source.NotFound, "it is no folder and no file"},
			{dir.Options{Path: filepath.Join(at, "busy")}, source.Unsettled, "its files kept changing for 10s"},
			{dir.Options{Path: filepath.Join(at, "full"), Limits: source.Limits{Bytes: 4}}, source.TooLarge, "more than 4 bytes"},
			{dir.Options{Path: filepath.Join(at, "full"), Limits: source.Limits{Bytes: 5, Files: 0}}, -1, ""},
		}
		for _, tt := range tests {
			_, _, err := open(t, tt.o).Fetch(t.Context())
			class, ok := source.ClassOf(err)
			if tt.class < 0 && err != nil || tt.class >= 0 && (!ok || class != tt.class || !strings.Contains(err.Error(), tt.words) || !strings.Contains(err.Error(), tt.o.Path)) {
				t.Errorf("%s: %v (%s)", tt.o.Path, err, class)
			}
		}
		cancel()
		if _, _, err := open(t, dir.Options{Path: at}).Fetch(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := dir.New(dir.Options{}); err == nil {
			t.Error("no path is taken for one")
		}
		time.Sleep(time.Second) // for the one who writes to end
	})
}
