// Package repo reads git repositories on disk: where they are, which commits their names stand for, and their objects.
// It runs no program, opens no connection and writes nothing.
package repo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"
)

// ErrNone says that there is no repository.
var ErrNone = errors.New("no git repository")

// A Repository is one on disk (gitrepository-layout).
type Repository struct {
	Root   string // of the work tree; of a bare one its own folder
	git    string // its folder of git
	common string // the folder of git that all its work trees share
	store  *filesystem.Storage
}

// Around finds the repository whose work tree a path lies in; false: there is none.
func Around(path string) (*Repository, bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, false
	}
	for dir := path; ; dir = filepath.Dir(dir) {
		if git, ok := gitDir(filepath.Join(dir, ".git")); ok {
			return newRepository(dir, git), true
		}
		if dir == filepath.Dir(dir) {
			return nil, false
		}
	}
}

// Open opens the repository at a folder: a bare one, or the work tree of one. The error wraps [ErrNone] where there is
// none.
func Open(path string) (*Repository, error) {
	if git, ok := gitDir(filepath.Join(path, ".git")); ok {
		return newRepository(path, git), nil
	}
	for _, name := range []string{"HEAD", "objects"} {
		if _, err := os.Stat(filepath.Join(path, name)); err != nil {
			return nil, errors.Join(ErrNone, err)
		}
	}
	return newRepository(path, path), nil
}

func newRepository(root, git string) *Repository {
	r := &Repository{Root: root, git: git, common: commonDir(git)}
	r.store = filesystem.NewStorage(dotgit.NewRepositoryFilesystem(osfs.New(r.git), osfs.New(r.common)), cache.NewObjectLRUDefault())
	return r
}

// Close closes the files that are open.
func (r *Repository) Close() error { return r.store.Close() }

// Objects are those of the repository, none of them larger than max bytes; 0: any.
func (r *Repository) Objects(max int64) Objects { return Objects{r.store, max} }

// Head is the commit that is checked out, and its branch; "" where it is on none.
func (r *Repository) Head() (plumbing.Hash, string, error) {
	ref, err := r.store.Reference(plumbing.HEAD)
	if err != nil {
		return plumbing.ZeroHash, "", fmt.Errorf("read HEAD: %w", err)
	}
	if ref.Type() == plumbing.HashReference {
		return ref.Hash(), "", nil
	}
	branch := strings.TrimPrefix(ref.Target().String(), "refs/heads/")
	if ref, err = storer.ResolveReference(r.store, ref.Target()); err != nil {
		return plumbing.ZeroHash, "", fmt.Errorf("read branch %s: %w", branch, err)
	}
	return ref.Hash(), branch, nil
}

// References are the branches and tags by their whole names ("refs/heads/main"), with what they stand for: of a tag
// that is an object, the tag.
func (r *Repository) References() (map[string]plumbing.Hash, error) {
	all, err := r.store.IterReferences()
	if err != nil {
		return nil, fmt.Errorf("read references: %w", err)
	}
	out := map[string]plumbing.Hash{}
	err = all.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() == plumbing.HashReference && ref.Name() != plumbing.HEAD {
			out[ref.Name().String()] = ref.Hash()
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read references: %w", err)
	}
	return out, nil
}

// gitDir is the repository's folder: .git itself, or the one that a file .git names in a linked work tree.
func gitDir(path string) (string, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	if info.IsDir() {
		return path, true
	}
	text, ok := strings.CutPrefix(readLine(path), "gitdir: ")
	if !filepath.IsAbs(text) {
		text = filepath.Join(filepath.Dir(path), text)
	}
	return text, ok
}

// commonDir is the folder of git of the repository that a linked work tree belongs to.
func commonDir(git string) string {
	common := readLine(filepath.Join(git, "commondir"))
	switch {
	case common == "":
		return git
	case filepath.IsAbs(common):
		return common
	}
	return filepath.Join(git, common)
}

// readLine is the first line of a file; empty where it cannot be read.
func readLine(path string) string {
	text, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}
