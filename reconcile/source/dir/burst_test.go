package dir

import (
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestConcerns leaves out what Fetch does not read, and what happens beside the folder.
func TestConcerns(t *testing.T) {
	const path = "/srv/home/spec"
	tests := []struct {
		name      string
		op        fsnotify.Op
		want, new bool
	}{
		{path + "/a.yaml", fsnotify.Write, true, false},
		{path + "/a.yaml", fsnotify.Chmod, true, false},
		{path + "/gone/a.yaml", fsnotify.Remove, true, false},
		{path + "/sub", fsnotify.Rename, true, true},
		{path + "/a.yaml~", fsnotify.Create, false, false},
		{path + "/.a.yaml.swp", fsnotify.Write, false, false},
		{path + "/.git/index", fsnotify.Write, false, false},
		{path + "/.git", fsnotify.Create, false, false},
		{path, fsnotify.Create, true, true},
		{path, fsnotify.Remove, true, true},
		{path, fsnotify.Chmod, true, false},
		{"/srv/home", fsnotify.Rename, true, true},
		{"/srv/home", fsnotify.Write, false, false},
		{"/srv/home/special", fsnotify.Create, false, false},
		{"/srv/home/spec.old/a.yaml", fsnotify.Write, false, false},
		{"/srv/other", fsnotify.Remove, false, false},
	}
	for _, tt := range tests {
		w := watched{s: &Source{o: Options{Path: path, Match: ordinary}}, dirs: map[string]bool{path: true, path + "/sub": true}}
		if got := w.concerns(fsnotify.Event{Name: tt.name, Op: tt.op}); got != tt.want || w.new != tt.new {
			t.Errorf("%s of %s: got %t, %t", tt.op, tt.name, got, w.new)
		}
	}
}

func TestBurst(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const settle, wait = 500 * time.Millisecond, 2 * time.Second
	var b burst
	for _, tt := range []struct{ at, over time.Duration }{
		{0, 500}, {100, 600}, {590, 1090}, {1000, 1500}, {1400, 1900}, {1600, 2000}, {1999, 2000}, {2500, 2000},
	} {
		b.note(start.Add(tt.at * time.Millisecond))
		if got := b.over(settle, wait).Sub(start); got != tt.over*time.Millisecond {
			t.Errorf("after a change at %d ms it is over at %s, not %d ms", tt.at, got, tt.over)
		}
	}
}
