package source_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/reconcile/source"
)

// A fake is a source that says what it is told to.
type fake struct {
	name    string
	found   source.Found
	err     error
	inForce []string
}

func (f *fake) String() string { return f.name }

func (f *fake) Fetch(ctx context.Context) (fs.FS, source.Revision, error) {
	if ctx.Err() != nil {
		return nil, source.Revision{}, ctx.Err()
	}
	return f.found.Files, f.found.Revision, f.err
}

func (f *fake) InForce(r source.Revision) { f.inForce = append(f.inForce, r.ID) }

func revision(t *testing.T, id, text string) source.Found {
	return source.Found{Revision: source.Revision{ID: id, Ref: "main"}, Files: filled(t, "a.yaml", text, "l", "->a.yaml")}
}

func text(t *testing.T, k *source.Keeper) string {
	t.Helper()
	f, ok := k.InForce()
	if !ok {
		return ""
	}
	b, err := fs.ReadFile(f.Files, "a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return f.Revision.ID + " " + string(b)
}

// TestKeeperKeeps goes through what can happen to a source, with an hour between two looks.
func TestKeeperKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &fake{name: "test"}
		k, err := source.Keep(src, filepath.Join(t.TempDir(), "force.json"))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		unreachable := &source.Error{Class: source.Unreachable, Err: errors.New("no route")}
		unsigned := &source.Error{Class: source.Unsigned, Commit: "c3", Err: errors.New("not signed")}
		steps := []struct {
			name             string
			found            source.Found
			err, invalid     error
			inForce, refused string
			failing          time.Duration // since when, from the start; -1: not
			looked           time.Duration
			class            source.Class
		}{
			{"nothing is there", source.Found{}, unreachable, nil, "", "", 0, -1, source.Unreachable},
			{"it comes up", revision(t, "c1", "one"), nil, nil, "c1 one", "", -1, 1, 0},
			{"no good", revision(t, "c2", "two"), nil, errors.New("a.yaml:1:1: no"), "c1 one", "c2", 2, 2, source.Invalid},
			{"still no good", revision(t, "c2", "two"), nil, errors.New("a.yaml:1:1: no"), "c1 one", "c2", 2, 3, source.Invalid},
			{"gone", source.Found{}, unreachable, nil, "c1 one", "", 4, 3, source.Unreachable},
			{"still gone", source.Found{}, unreachable, nil, "c1 one", "", 4, 3, source.Unreachable},
			{"not signed", source.Found{}, unsigned, nil, "c1 one", "c3", 6, 6, source.Unsigned},
			{"taken back", revision(t, "c1", "one"), nil, nil, "c1 one", "", -1, 7, 0},
			{"the next", revision(t, "c4", "four"), nil, nil, "c4 four", "", -1, 8, 0},
		}
		for _, s := range steps {
			src.found, src.err = s.found, s.err
			found, err := k.Fetch(t.Context())
			switch {
			case err != nil:
			case s.invalid != nil:
				k.Refuse(found, s.invalid)
			default:
				if err := k.Accept(found); err != nil {
					t.Fatal(err)
				}
			}
			got := k.State()
			if text(t, k) != s.inForce || got.Refused.ID != s.refused || (got.Err != nil) != (s.failing >= 0) {
				t.Errorf("%s: in force %q, %+v", s.name, text(t, k), got)
			}
			if class, ok := source.ClassOf(got.Err); ok && class != s.class {
				t.Errorf("%s: class %s", s.name, class)
			}
			if s.failing >= 0 && !got.Failing.Equal(start.Add(s.failing*time.Hour)) || s.failing < 0 && !got.Failing.IsZero() {
				t.Errorf("%s: failing since %s", s.name, got.Failing)
			}
			if s.looked >= 0 && !got.Looked.Equal(start.Add(s.looked*time.Hour)) {
				t.Errorf("%s: looked at %s", s.name, got.Looked)
			}
			time.Sleep(time.Hour)
		}
		if got := strings.Join(src.inForce, " "); got != "c1 c4" {
			t.Errorf("the source was told %q", got)
		}
		if got := k.State().Since; !got.Equal(start.Add(8 * time.Hour)) {
			t.Errorf("in force since %s", got)
		}
	})
}

// TestKeeperRestarts brings back what was in force, of the same source alone.
func TestKeeperRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "force.json")
	first, _ := source.Keep(&fake{name: "test"}, path)
	if err := first.Accept(revision(t, "c1", "one")); err != nil {
		t.Fatal(err)
	}
	again := &fake{name: "test", err: &source.Error{Class: source.Unreachable}}
	k, err := source.Keep(again, path)
	if err != nil || text(t, k) != "c1 one" || strings.Join(again.inForce, " ") != "c1" {
		t.Errorf("%q, %v, told %q", text(t, k), err, again.inForce)
	}
	if diff := cmp.Diff(first.State(), k.State()); diff != "" {
		t.Error(diff)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("it can be read by others: %s", info.Mode())
	}
	if k, err = source.Keep(&fake{name: "other"}, path); err != nil || text(t, k) != "" {
		t.Errorf("another source has %q, %v", text(t, k), err)
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
		t.Errorf("left over: %q", left)
	}
}

// TestKeeperChanges follows another source: what is in force stays until that has something good, and is never taken for
// the other's own.
func TestKeeperChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "force.json")
	k, _ := source.Keep(&fake{name: "a"}, path)
	if err := k.Accept(revision(t, "c1", "one")); err != nil {
		t.Fatal(err)
	}
	gone := &source.Error{Class: source.Unreachable}
	renewed := &fake{name: "a", err: gone} // the same place, with other credentials
	k.Change(renewed)
	if _, err := k.Fetch(t.Context()); err == nil || text(t, k) != "c1 one" || strings.Join(renewed.inForce, " ") != "c1" || k.State().From != "" {
		t.Errorf("the same place anew: %q, told %q, %+v", text(t, k), renewed.inForce, k.State())
	}
	since := k.State().Failing
	k.Change(&fake{name: "a", err: gone})
	if s := k.State(); s.Err == nil || !s.Failing.Equal(since) {
		t.Errorf("the same place fails anew: %+v", s)
	}
	other := &fake{name: "b", err: gone}
	k.Change(other)
	if s := k.State(); s.Err != nil || s.From != "a" || !s.Looked.IsZero() {
		t.Errorf("of another source: %+v", s)
	}
	if _, err := k.Fetch(t.Context()); err == nil || text(t, k) != "c1 one" || other.inForce != nil {
		t.Errorf("another source that cannot be read: %q, told %q", text(t, k), other.inForce)
	}
	if after, err := source.Keep(&fake{name: "b"}, path); err != nil || text(t, after) != "" {
		t.Errorf("after a restart another's revision is in force: %q, %v", text(t, after), err)
	}
	back := &fake{name: "a"}
	k.Change(back)
	if strings.Join(back.inForce, " ") != "c1" || k.State().From != "" {
		t.Errorf("back again: told %q, %+v", back.inForce, k.State())
	}
	k.Change(other)
	if err := k.Accept(revision(t, "c1", "of another path")); err != nil || text(t, k) != "c1 of another path" || k.State().From != "" {
		t.Errorf("the same commit of another source: %q, %v, %+v", text(t, k), err, k.State())
	}
	if after, err := source.Keep(&fake{name: "b"}, path); err != nil || text(t, after) != "c1 of another path" {
		t.Errorf("after a restart: %q, %v", text(t, after), err)
	}
	k, _ = source.Keep(&fake{name: "a"}, "")
	empty := &fake{name: "b"}
	if k.Change(empty); empty.inForce != nil || k.State() != (source.State{}) {
		t.Errorf("with nothing in force: told %q, %+v", empty.inForce, k.State())
	}
}

// TestKeeperDamage starts with nothing in force where the file is no good, and says so.
func TestKeeperDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "force.json")
	good, _ := source.Keep(&fake{name: "test"}, path)
	if err := good.Accept(revision(t, "c1", "one")); err != nil {
		t.Fatal(err)
	}
	text0, _ := os.ReadFile(path)
	for name, damaged := range map[string]string{
		"cut off": string(text0[:len(text0)/2]), "empty": "", "other content": strings.Replace(string(text0), "b25l", "dHdv", 1),
		"a path that leads out": strings.Replace(string(text0), `"path":"a.yaml"`, `"path":"../a.yaml"`, 1),
	} {
		if damaged == string(text0) {
			t.Fatalf("%s: nothing is damaged", name)
		}
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		src := &fake{name: "test"}
		k, err := source.Keep(src, path)
		if err == nil || text(t, k) != "" || src.inForce != nil {
			t.Errorf("%s: %q, %v", name, text(t, k), err)
		}
		if err := k.Accept(revision(t, "c2", "two")); err != nil || text(t, k) != "c2 two" {
			t.Errorf("%s: the keeper is no good: %v", name, err)
		}
	}
	k, _ := source.Keep(&fake{name: "test"}, filepath.Join(t.TempDir(), "none", "force.json"))
	if err := k.Accept(revision(t, "c2", "two")); err == nil || text(t, k) != "c2 two" {
		t.Errorf("what cannot be written down is %q, %v", text(t, k), err)
	}
}

// TestKeeperStops does not take the end of the program for trouble with the source.
func TestKeeperStops(t *testing.T) {
	k, _ := source.Keep(&fake{name: "test"}, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Fetch(ctx); !errors.Is(err, context.Canceled) || k.State() != (source.State{}) {
		t.Errorf("%v, %+v", err, k.State())
	}
}

func TestErrorText(t *testing.T) {
	err := &source.Error{Class: source.Unsigned, Source: "https://x", Err: errors.New("line\nbreak"), Hint: "sign it"}
	if got, want := err.Error(), "fetch https://x: line break: sign it"; got != want {
		t.Errorf("got %q", got)
	}
	seen := map[string]bool{}
	for c := source.Unreachable; c <= source.Invalid; c++ {
		seen[c.String()] = true
	}
	if len(seen) != 10 || source.Class(99).String() != "unknown" {
		t.Errorf("%v", seen)
	}
}
