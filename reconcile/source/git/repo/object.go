package repo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// ErrTooLarge says that an object is larger than is allowed.
var ErrTooLarge = errors.New("object is too large")

// Objects are those of a repository.
type Objects struct {
	Store storer.EncodedObjectStorer
	Max   int64 // bytes of one; 0: any
}

// Read returns the content of an object, which is the one that its hash names. The error wraps
// [plumbing.ErrObjectNotFound] where it is not there, and [ErrTooLarge].
func (o Objects) Read(t plumbing.ObjectType, h plumbing.Hash) ([]byte, error) {
	raw, err := o.read(t, h)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", t, h, err)
	}
	return raw, nil
}

func (o Objects) read(t plumbing.ObjectType, h plumbing.Hash) ([]byte, error) {
	if o.Max > 0 {
		size, err := o.Store.EncodedObjectSize(h)
		if err != nil {
			return nil, err
		}
		if size > o.Max {
			return nil, fmt.Errorf("%w: %d bytes, over %d", ErrTooLarge, size, o.Max)
		}
	}
	obj, err := o.Store.EncodedObject(t, h)
	if err != nil {
		return nil, err
	}
	r, err := obj.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err == nil && plumbing.ComputeHash(t, raw) != h {
		err = errors.New("it is damaged: its content has another hash")
	}
	return raw, err
}

// Has reports whether an object is there.
func (o Objects) Has(h plumbing.Hash) bool { return o.Store.HasEncodedObject(h) == nil }

// An Entry is one of a tree.
type Entry struct {
	Mode filemode.FileMode
	Name string
	Hash plumbing.Hash
}

// Tree reads a tree.
func (o Objects) Tree(h plumbing.Hash) ([]Entry, error) {
	raw, err := o.Read(plumbing.TreeObject, h)
	if err != nil {
		return nil, err
	}
	return ParseTree(raw)
}

// ParseTree reads the content of a tree: for each entry its mode, a blank, its name, a zero byte and its hash.
func ParseTree(raw []byte) ([]Entry, error) {
	var out []Entry
	for len(raw) > 0 {
		head, rest, ok := bytes.Cut(raw, []byte{0})
		mode, name, isEntry := strings.Cut(string(head), " ")
		e := Entry{Name: name}
		if !ok || !isEntry || len(rest) < len(e.Hash) {
			return nil, errors.New("a tree is cut off")
		}
		var err error
		if e.Mode, err = filemode.New(mode); err != nil {
			return nil, err
		}
		copy(e.Hash[:], rest)
		out, raw = append(out, e), rest[len(e.Hash):]
	}
	return out, nil
}

// ErrNoPath says that a commit has nothing at a path.
var ErrNoPath = errors.New("no such path")

// At finds what stands at a path below a tree, with parts between slashes; "" and "." are the tree itself. The error
// wraps [ErrNoPath] where there is nothing.
func (o Objects) At(tree plumbing.Hash, path string) (Entry, error) {
	e := Entry{Mode: filemode.Dir, Hash: tree}
	for name := range strings.SplitSeq(path, "/") {
		if name == "." || name == "" {
			continue
		}
		if e.Mode != filemode.Dir {
			return Entry{}, fmt.Errorf("%w: %s", ErrNoPath, path)
		}
		list, err := o.Tree(e.Hash)
		if err != nil {
			return Entry{}, err
		}
		i := slices.IndexFunc(list, func(e Entry) bool { return e.Name == name })
		if i < 0 {
			return Entry{}, fmt.Errorf("%w: %s", ErrNoPath, path)
		}
		e = list[i]
	}
	return e, nil
}

// maxDepth is how deep folders may lie in each other. Nobody goes so far; a made-up repository may.
const maxDepth = 64

// Walk calls f with every file, link and submodule below a tree, by path. Folders for which skip says so are left out,
// with all that is in them; a nil skip leaves none out.
func (o Objects) Walk(tree plumbing.Hash, skip func(path string) bool, f func(path string, e Entry) error) error {
	return o.walk(tree, "", maxDepth, skip, f)
}

func (o Objects) walk(tree plumbing.Hash, at string, depth int, skip func(string) bool, f func(string, Entry) error) error {
	if depth == 0 {
		return fmt.Errorf("%w: folders lie more than %d deep in each other", ErrTooLarge, maxDepth)
	}
	list, err := o.Tree(tree)
	if err != nil {
		return err
	}
	for _, e := range list {
		path := at + e.Name
		switch {
		case e.Mode != filemode.Dir:
			err = f(path, e)
		case skip == nil || !skip(path):
			err = o.walk(e.Hash, path+"/", depth-1, skip, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
