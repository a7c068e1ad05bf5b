package app

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/felhom/tend/cmd/internal/view"
)

func files(t *testing.T, pairs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(pairs); i += 2 {
		path := filepath.Join(dir, pairs[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(pairs[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// commit writes files into the folder of git as a commit and returns its hash.
func commit(t *testing.T, git string, pairs ...string) string {
	t.Helper()
	st := filesystem.NewStorage(osfs.New(git), cache.NewObjectLRUDefault())
	write := func(kind plumbing.ObjectType, content string) plumbing.Hash {
		o := st.NewEncodedObject()
		o.SetType(kind)
		w, err := o.Writer()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
		h, err := st.SetEncodedObject(o)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	var tree func(dir string) plumbing.Hash
	tree = func(dir string) plumbing.Hash {
		entries := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			name, ok := strings.CutPrefix(pairs[i], dir)
			head, _, isDir := strings.Cut(name, "/")
			switch {
			case !ok:
			case isDir:
				h := tree(dir + head + "/")
				entries[head] = "40000 " + head + "\x00" + string(h[:])
			default:
				h := write(plumbing.BlobObject, pairs[i+1])
				entries[head] = "100644 " + head + "\x00" + string(h[:])
			}
		}
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			b.WriteString(entries[name])
		}
		return write(plumbing.TreeObject, b.String())
	}
	return write(plumbing.CommitObject, "tree "+tree("").String()+"\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nx\n").String()
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRevisionOfCommit(t *testing.T) {
	tests := []struct {
		name, below, git, branch string
		files                    []string // beside objects; HASH is that of the commit
	}{
		{"branch", "specs/home", ".git", "main", []string{".git/HEAD", "ref: refs/heads/main\n", ".git/refs/heads/main", "HASH\n", "specs/home/a.yaml", "x"}},
		{"a file of it", "specs/home/a.yaml", ".git", "main", []string{".git/HEAD", "ref: refs/heads/main\n", ".git/refs/heads/main", "HASH\n", "specs/home/a.yaml", "x"}},
		{"packed", "", ".git", "feature/x", []string{".git/HEAD", "ref: refs/heads/feature/x\n", ".git/packed-refs", "# pack-refs\nHASH refs/heads/feature/x\n", "specs/home/a.yaml", "x"}},
		{"no branch", "", ".git", "", []string{".git/HEAD", "HASH\n", "specs/home/a.yaml", "x"}},
		{"linked work tree", "tree", "main/.git", "side", []string{
			"tree/.git", "gitdir: ../main/.git/worktrees/tree\n", "main/.git/worktrees/tree/HEAD", "ref: refs/heads/side\n",
			"main/.git/worktrees/tree/commondir", "../..\n", "main/.git/refs/heads/side", "HASH\n", "tree/specs/home/a.yaml", "x",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			hash := commit(t, filepath.Join(dir, tt.git), "specs/home/a.yaml", "x")
			for i := 0; i < len(tt.files); i += 2 {
				put(t, filepath.Join(dir, tt.files[i]), strings.ReplaceAll(tt.files[i+1], "HASH", hash))
			}
			if got, want := revisionOf(filepath.Join(dir, tt.below)), (view.Revision{Hash: hash[:shortHash], Branch: tt.branch}); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// TestRevisionChanged tells files that are not those of the commit, and no others.
func TestRevisionChanged(t *testing.T) {
	dir := t.TempDir()
	tracked := []string{"home/a.yaml", "one\ntwo\n", "home/b/c.yml", "c", "home/notes.txt", "n", "home/.hidden/x.yaml", "h", "other/z.yaml", "z"}
	hash := commit(t, filepath.Join(dir, ".git"), tracked...)
	put(t, filepath.Join(dir, ".git/HEAD"), hash+"\n")
	tests := []struct {
		name   string
		change func(at func(string) string)
		want   bool
	}{
		{"nothing", func(func(string) string) {}, false},
		{"a text", func(at func(string) string) { put(t, at("home/b/c.yml"), "C") }, true},
		{"a new file", func(at func(string) string) { put(t, at("home/b/d.yaml"), "") }, true},
		{"a file that is gone", func(at func(string) string) { _ = os.Remove(at("home/a.yaml")) }, true},
		{"a name", func(at func(string) string) { _ = os.Rename(at("home/a.yaml"), at("home/A.yaml")) }, true},
		{"a link in its place", func(at func(string) string) {
			_ = os.Remove(at("home/b/c.yml"))
			_ = os.Symlink("../a.yaml", at("home/b/c.yml"))
		}, true},
		{"what is no part of the spec", func(at func(string) string) {
			put(t, at("home/notes.txt"), "N")
			put(t, at("home/.hidden/x.yaml"), "H")
			put(t, at("other/z.yaml"), "Z")
		}, false},
		{"line ends, as git converts them on some systems", func(at func(string) string) { put(t, at("home/a.yaml"), "one\r\ntwo\r\n") }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i := 0; i < len(tracked); i += 2 {
				put(t, filepath.Join(dir, tracked[i]), tracked[i+1])
			}
			tt.change(func(name string) string { return filepath.Join(dir, name) })
			defer os.RemoveAll(filepath.Join(dir, "home"))
			got := revisionOf(filepath.Join(dir, "home"))
			if want := (view.Revision{Hash: hash[:shortHash], Changed: tt.want}); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	put(t, filepath.Join(dir, "new/a.yaml"), "x")
	if got := revisionOf(filepath.Join(dir, "new")); !got.Changed || got.String() != hash[:shortHash]+"+changes" {
		t.Errorf("a folder that is not committed is %v", got)
	}
	// A repository that cannot be read proves nothing: then the files speak for themselves.
	put(t, filepath.Join(dir, ".git/HEAD"), strings.Repeat("4f2c91e", 6)[:40]+"\n")
	if got, want := revisionOf(filepath.Join(dir, "new")), revisionOf(files(t, "a.yaml", "x")); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestRevisionOfFiles follows what belongs to the spec, and nothing else.
func TestRevisionOfFiles(t *testing.T) {
	base := revisionOf(files(t, "a.yaml", "x", "b/c.yml", "y"))
	if len(base.Hash) != shortHash || base.Branch != "" {
		t.Fatalf("got %+v", base)
	}
	if same := revisionOf(files(t, "a.yaml", "x", "b/c.yml", "y", "readme.txt", "z", ".tend/sandbox.yaml", "z")); same != base {
		t.Error("files that are no part of the spec change its revision")
	}
	for name, other := range map[string]string{
		"a text": files(t, "a.yaml", "X", "b/c.yml", "y"), "a name": files(t, "b.yaml", "x", "b/c.yml", "y"), "a file": files(t, "a.yaml", "x"),
	} {
		if revisionOf(other) == base {
			t.Errorf("%s changes and the revision does not", name)
		}
	}
	if got := revisionOf("/nonexistent"); got != (view.Revision{}) {
		t.Errorf("got %+v for what does not exist", got)
	}
}
