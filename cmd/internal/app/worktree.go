package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"
)

// A repository is where a spec's files are kept.
type repository struct {
	root   string // of the work tree
	git    string // its folder of git
	common string // the folder of git that all its work trees share
}

// changed reports whether the files of a spec are other ones than in a commit: changed, added (tracked or not) or
// removed. Whether they are staged plays no part.
func (r repository) changed(commit, path string) (bool, error) {
	below, err := filepath.Rel(r.root, path)
	if err != nil {
		return false, err
	}
	st := filesystem.NewStorage(dotgit.NewRepositoryFilesystem(osfs.New(r.git), osfs.New(r.common)), cache.NewObjectLRUDefault())
	then, err := committed(objects{st}, commit, filepath.ToSlash(below))
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
func committed(o objects, commit, below string) (map[string]plumbing.Hash, error) {
	raw, err := o.read(plumbing.CommitObject, plumbing.NewHash(commit))
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	root, ok := strings.CutPrefix(first, "tree ")
	if !ok {
		return nil, errors.New("it names no tree")
	}
	out := map[string]plumbing.Hash{}
	e := entry{filemode.Dir, "", plumbing.NewHash(root)}
	for _, name := range strings.Split(below, "/") {
		if name == "." {
			continue
		}
		list, err := o.tree(e.hash)
		i := slices.IndexFunc(list, func(e entry) bool { return e.name == name })
		if err != nil || i < 0 {
			return out, err
		}
		e = list[i]
	}
	if e.mode != filemode.Dir {
		out[""] = e.hash
		return out, nil
	}
	return out, o.files(e.hash, "", out)
}

// objects are those of a repository.
type objects struct{ *filesystem.Storage }

func (o objects) read(t plumbing.ObjectType, h plumbing.Hash) ([]byte, error) {
	obj, err := o.EncodedObject(t, h)
	if err != nil {
		return nil, err
	}
	r, err := obj.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// An entry is one of a tree.
type entry struct {
	mode filemode.FileMode
	name string
	hash plumbing.Hash
}

// tree reads a tree: for each entry its mode, a blank, its name, a zero byte and its hash.
func (o objects) tree(h plumbing.Hash) ([]entry, error) {
	raw, err := o.read(plumbing.TreeObject, h)
	if err != nil {
		return nil, err
	}
	var out []entry
	for len(raw) > 0 {
		head, rest, ok := bytes.Cut(raw, []byte{0})
		mode, name, isEntry := strings.Cut(string(head), " ")
		e := entry{name: name}
		if !ok || !isEntry || len(rest) < len(e.hash) {
			return nil, errors.New("a tree is cut off")
		}
		if e.mode, err = filemode.New(mode); err != nil {
			return nil, err
		}
		copy(e.hash[:], rest)
		out, raw = append(out, e), rest[len(e.hash):]
	}
	return out, nil
}

// files collects the files of a spec in a tree and below.
func (o objects) files(h plumbing.Hash, at string, out map[string]plumbing.Hash) error {
	list, err := o.tree(h)
	if err != nil {
		return err
	}
	for _, e := range list {
		switch {
		case e.mode == filemode.Dir && !isHidden(e.name):
			if err := o.files(e.hash, at+e.name+"/", out); err != nil {
				return err
			}
		case e.mode != filemode.Dir && e.mode != filemode.Submodule && isSpec(e.name):
			out[at+e.name] = e.hash
		}
	}
	return nil
}
