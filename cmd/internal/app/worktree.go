package app

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/felhom/tend/reconcile/source/git/repo"
)

// isChanged reports whether the files of a spec are other ones than in a commit: changed, added (tracked or not) or
// removed. Whether they are staged plays no part.
func isChanged(r *repo.Repository, commit plumbing.Hash, path string) (bool, error) {
	below, err := filepath.Rel(r.Root, path)
	if err != nil {
		return false, err
	}
	then, err := committed(r.Objects(0), commit, filepath.ToSlash(below))
	if err != nil {
		return false, fmt.Errorf("read commit %s: %w", commit, err)
	}
	now := map[string]plumbing.Hash{}
	err = walkSpec(path, func(name string, content []byte) error {
		hash := plumbing.ComputeHash(plumbing.BlobObject, content)
		if unix := bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")); hash != then[name] {
			hash = plumbing.ComputeHash(plumbing.BlobObject, unix) // as git stores it where it converts line ends
		}
		now[name] = hash
		return nil
	})
	return !maps.Equal(then, now), err
}

// walkSpec calls f with the files of a spec, by their path below it; a spec that is a file itself has an empty one.
// A link counts as what it says.
func walkSpec(path string, f func(name string, content []byte) error) error {
	return filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && isHidden(d.Name()) && name != path:
			return fs.SkipDir
		case d.IsDir() || name != path && !isSpec(name):
			return nil
		}
		var content []byte
		if d.Type()&fs.ModeSymlink != 0 {
			var target string
			target, err = os.Readlink(name)
			content = []byte(target)
		} else {
			content, err = os.ReadFile(name)
		}
		rel, _ := filepath.Rel(path, name)
		if name == path {
			rel = ""
		}
		return errors.Join(err, f(filepath.ToSlash(rel), content))
	})
}

func isHidden(name string) bool { return strings.HasPrefix(name, ".") }

func isSpec(name string) bool { ext := filepath.Ext(name); return ext == ".yaml" || ext == ".yml" }

// committed are the files of a spec in a commit, by their path below the spec's.
func committed(o repo.Objects, commit plumbing.Hash, below string) (map[string]plumbing.Hash, error) {
	raw, err := o.Read(plumbing.CommitObject, commit)
	if err != nil {
		return nil, err
	}
	c, err := repo.ParseCommit(raw)
	if err != nil {
		return nil, err
	}
	out := map[string]plumbing.Hash{}
	e, err := o.At(c.Tree, below)
	switch {
	case errors.Is(err, repo.ErrNoPath):
		return out, nil
	case err != nil:
		return nil, err
	case e.Mode != filemode.Dir:
		out[""] = e.Hash
		return out, nil
	}
	return out, o.Walk(e.Hash, func(dir string) bool { return isHidden(path.Base(dir)) }, func(name string, e repo.Entry) error {
		if e.Mode != filemode.Submodule && isSpec(name) {
			out[name] = e.Hash
		}
		return nil
	})
}
