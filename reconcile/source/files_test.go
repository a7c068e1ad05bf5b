package source_test

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/felhom/tend/reconcile/source"
)

// filled are files of pairs of names and contents; "->" before a content makes it a link.
func filled(t *testing.T, pairs ...string) *source.Files {
	t.Helper()
	f := source.NewFiles(source.Limits{})
	for i := 0; i < len(pairs); i += 2 {
		add := func() error { return f.Add(pairs[i], []byte(pairs[i+1])) }
		if target := pairs[i+1]; len(target) > 2 && target[:2] == "->" {
			add = func() error { return f.Link(pairs[i], target[2:]) }
		}
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestFilesAreAFileSystem(t *testing.T) {
	f := filled(t, "a.yaml", "a", "b/c.yaml", "c", "b/d/e", "e", "link", "->b/c.yaml", "b/up", "->../a.yaml")
	if err := fstest.TestFS(f, "a.yaml", "b/c.yaml", "b/d/e", "link", "b/up"); err != nil {
		t.Error(err)
	}
	if err := fstest.TestFS(source.NewFiles(source.Limits{})); err != nil {
		t.Error(err)
	}
}

func TestFilesLinks(t *testing.T) {
	f := filled(t, "a", "text", "d/b", "->../a", "d/c", "->b", "folder", "->d", "loop", "->loop", "ping", "->pong", "pong", "->ping",
		"out", "->../a", "abs", "->/etc/passwd", "gone", "->nowhere", "d/deep", "->../../../a", "through", "->a/../a")
	tests := []struct {
		name, want string
		missing    bool // fs.ErrNotExist, and not another error
	}{
		{name: "d/b", want: "text"},
		{name: "d/c", want: "text"},
		{name: "folder/c", want: "text"},
		{name: "loop"},
		{name: "ping"},
		{name: "out"},
		{name: "abs"},
		{name: "d/deep"},
		{name: "gone", missing: true},
		{name: "through", missing: true},
		{name: "a/b", missing: true},
	}
	for _, tt := range tests {
		got, err := fs.ReadFile(f, tt.name)
		if string(got) != tt.want || (err == nil) != (tt.want != "") || errors.Is(err, fs.ErrNotExist) != tt.missing {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
	if target, err := f.ReadLink("d/c"); target != "b" || err != nil {
		t.Errorf("d/c leads to %q, %v", target, err)
	}
	if _, err := f.ReadLink("a"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a file is read as a link: %v", err)
	}
}

func TestFilesRefuse(t *testing.T) {
	f := filled(t, "a", "x", "d/b", "y")
	for _, name := range []string{"", ".", "/a", "../a", "a//b", "a/b", "d", "a", "d/b/c"} {
		if err := f.Add(name, nil); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestFilesLimits(t *testing.T) {
	f := source.NewFiles(source.Limits{Files: 2, Bytes: 5})
	if err := errors.Join(f.Add("a", []byte("123")), f.Add("b", []byte("45"))); err != nil || f.Room() != 0 {
		t.Fatal(err, f.Room())
	}
	if class, _ := source.ClassOf(f.Add("c", nil)); class != source.TooLarge {
		t.Error("a third file was taken")
	}
	f = source.NewFiles(source.Limits{Bytes: 5})
	if class, _ := source.ClassOf(f.Link("a", "123456")); class != source.TooLarge {
		t.Error("six bytes were taken")
	}
}

func TestFilesSum(t *testing.T) {
	base := filled(t, "a", "x", "b/c", "y").Sum()
	if filled(t, "b/c", "y", "a", "x").Sum() != base {
		t.Error("the order plays a part")
	}
	for name, other := range map[string]*source.Files{
		"content": filled(t, "a", "z", "b/c", "y"), "name": filled(t, "a", "x", "b/d", "y"), "gone": filled(t, "a", "x"),
		"link": filled(t, "a", "->x", "b/c", "y"), "shifted": filled(t, "a", "xb/c", "y", ""), "moved": filled(t, "a", "x", "b", "/cy"),
	} {
		if other.Sum() == base {
			t.Errorf("%s plays no part", name)
		}
	}
}
