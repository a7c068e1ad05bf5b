package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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

func TestRevisionOfCommit(t *testing.T) {
	hash := strings.Repeat("4f2c91e", 6)[:40]
	tests := []struct {
		name, below string
		files       []string
		want        view.Revision
	}{
		{"branch", "specs/home", []string{".git/HEAD", "ref: refs/heads/main\n", ".git/refs/heads/main", hash + "\n", "specs/home/a.yaml", ""}, view.Revision{Hash: "4f2c91e", Branch: "main"}},
		{"packed", "", []string{".git/HEAD", "ref: refs/heads/feature/x\n", ".git/packed-refs", "# pack-refs\n" + hash + " refs/heads/feature/x\n"}, view.Revision{Hash: "4f2c91e", Branch: "feature/x"}},
		{"no branch", "", []string{".git/HEAD", hash + "\n"}, view.Revision{Hash: "4f2c91e"}},
		{"linked work tree", "tree", []string{
			"tree/.git", "gitdir: ../main/.git/worktrees/tree\n", "main/.git/worktrees/tree/HEAD", "ref: refs/heads/side\n",
			"main/.git/worktrees/tree/commondir", "../..\n", "main/.git/refs/heads/side", hash + "\n",
		}, view.Revision{Hash: "4f2c91e", Branch: "side"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := revisionOf(filepath.Join(files(t, tt.files...), tt.below)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
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
