package source

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Limits bound what a source may bring. The zero value is good.
type Limits struct {
	Files int   // how many; 10,000 where 0
	Bytes int64 // in all of them together; 32 MiB where 0
}

const (
	defaultFiles = 10_000
	defaultBytes = 32 << 20
	maxLinks     = 40 // that one name leads through, as on Linux (MAXSYMLINKS)
)

// Files are files in memory: a file system with folders and links, and without times or owners. Links within it are
// followed when a file is opened; what leads out of it does not exist. It is filled once and read afterwards, then by
// any number of goroutines.
type Files struct {
	root   node
	limits Limits
	files  int
	bytes  int64
}

// A node is a folder, file or link.
type node struct {
	name     string
	mode     fs.FileMode
	data     []byte // of a file; where a link leads
	children map[string]*node
}

// NewFiles makes an empty file system within limits.
func NewFiles(l Limits) *Files {
	return &Files{
		root:   node{name: ".", mode: fs.ModeDir | 0o555, children: map[string]*node{}},
		limits: Limits{cmp.Or(l.Files, defaultFiles), cmp.Or(l.Bytes, defaultBytes)},
	}
}

// Add adds a file, with the folders above it. The error is an [*Error] of class TooLarge beyond the limits, else says
// that the path cannot be one or is taken.
func (f *Files) Add(name string, data []byte) error {
	return f.put(name, &node{mode: 0o444, data: data})
}

// Link adds a symbolic link, with the folders above it; where it leads is not looked at. Errors are those of Add.
func (f *Files) Link(name, target string) error {
	return f.put(name, &node{mode: fs.ModeSymlink | 0o777, data: []byte(target)})
}

// Room is how many more bytes may be added.
func (f *Files) Room() int64 { return f.limits.Bytes - f.bytes }

// Fits says beforehand what [Files.Add] would say of so many bytes: nil, or that they are too many.
func (f *Files) Fits(size int64) error {
	if size <= f.Room() {
		return nil
	}
	return f.tooMany()
}

func (f *Files) tooMany() error {
	return tooLarge(fmt.Errorf("the files have more than %d bytes together", f.limits.Bytes))
}

func tooLarge(err error) error {
	return &Error{Class: TooLarge, Err: err, Hint: "name a path that holds the spec alone, or raise the limit"}
}

func (f *Files) put(name string, n *node) error {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("add file %q: this can be no path", name)
	}
	f.files++
	f.bytes += int64(len(n.data))
	if err := f.check(); err != nil {
		return err
	}
	dir, base := &f.root, path.Base(name)
	for part := range strings.SplitSeq(path.Dir(name), "/") {
		if part == "." {
			continue
		}
		next := dir.children[part]
		if next == nil {
			next = &node{name: part, mode: fs.ModeDir | 0o555, children: map[string]*node{}}
			dir.children[part] = next
		}
		if !next.mode.IsDir() {
			return fmt.Errorf("add file %q: %s is no folder", name, part)
		}
		dir = next
	}
	if dir.children[base] != nil {
		return fmt.Errorf("add file %q: it is there already", name)
	}
	n.name = base
	dir.children[base] = n
	return nil
}

func (f *Files) check() error {
	switch {
	case f.files > f.limits.Files:
		return tooLarge(fmt.Errorf("there are more than %d files", f.limits.Files))
	case f.bytes > f.limits.Bytes:
		return f.tooMany()
	}
	return nil
}

// errOut is why a link is not followed.
var errOut = errors.New("link leads out of the files")

// find returns what has a name, following links; the last part is followed only if asked to.
func (f *Files) find(op, name string, last bool) (*node, error) {
	fault := func(err error) (*node, error) { return nil, &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fault(fs.ErrInvalid)
	}
	at, todo, links := []*node{&f.root}, strings.Split(name, "/"), 0
	for len(todo) > 0 {
		part, dir := todo[0], at[len(at)-1]
		todo = todo[1:]
		next := dir.children[part]
		switch {
		case part == "." || part == "":
		case !dir.mode.IsDir():
			return fault(fs.ErrNotExist)
		case part == ".." && len(at) == 1:
			return fault(errOut)
		case part == "..":
			at = at[:len(at)-1]
		case next == nil:
			return fault(fs.ErrNotExist)
		case next.mode&fs.ModeSymlink == 0 || len(todo) == 0 && !last:
			at = append(at, next)
		case strings.HasPrefix(string(next.data), "/"):
			return fault(errOut)
		case links == maxLinks:
			return fault(errors.New("too many levels of links"))
		default:
			links++
			todo = append(strings.Split(string(next.data), "/"), todo...)
		}
	}
	return at[len(at)-1], nil
}

// Open opens a file or folder.
func (f *Files) Open(name string) (fs.File, error) {
	n, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return &openDir{node: *n, entries: n.entries()}, nil
	}
	return &openFile{*n, strings.NewReader(string(n.data))}, nil
}

// ReadFile returns the content of a file.
func (f *Files) ReadFile(name string) ([]byte, error) {
	n, err := f.find("read", name, true)
	if err == nil && n.mode.IsDir() {
		err = &fs.PathError{Op: "read", Path: name, Err: errors.New("is a folder")}
	}
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.data), nil
}

// ReadDir lists a folder by name.
func (f *Files) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := f.find("readdir", name, true)
	if err == nil && !n.mode.IsDir() {
		err = &fs.PathError{Op: "readdir", Path: name, Err: errors.New("is no folder")}
	}
	if err != nil {
		return nil, err
	}
	return n.entries(), nil
}

// Stat describes what has a name, or what a link of that name leads to.
func (f *Files) Stat(name string) (fs.FileInfo, error) { return f.info("stat", name, true) }

// Lstat describes what has a name, even if it is a link.
func (f *Files) Lstat(name string) (fs.FileInfo, error) { return f.info("lstat", name, false) }

func (f *Files) info(op, name string, last bool) (fs.FileInfo, error) {
	n, err := f.find(op, name, last)
	if err != nil {
		return nil, err
	}
	return info{*n}, nil
}

// ReadLink says where a link leads.
func (f *Files) ReadLink(name string) (string, error) {
	n, err := f.find("readlink", name, false)
	if err == nil && n.mode&fs.ModeSymlink == 0 {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return "", err
	}
	return string(n.data), nil
}

// Sum is a hash over the names and contents of all files and links, in hexadecimal digits. Nothing else changes it.
func (f *Files) Sum() string {
	sum := sha256.New()
	f.root.sum(sum, "")
	return hex.EncodeToString(sum.Sum(nil))
}

func (n *node) sum(sum hash.Hash, at string) {
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		c, full := n.children[name], at+name
		if c.mode.IsDir() {
			c.sum(sum, full+"/")
			continue
		}
		for _, part := range [][]byte{[]byte(c.mode.Type().String()), []byte(full), c.data} {
			_ = binary.Write(sum, binary.BigEndian, uint64(len(part)))
			sum.Write(part)
		}
	}
}

func (n *node) entries() []fs.DirEntry {
	out := make([]fs.DirEntry, 0, len(n.children))
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		out = append(out, fs.FileInfoToDirEntry(info{*n.children[name]}))
	}
	return out
}

// An info describes a node.
type info struct{ node }

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return int64(len(i.data)) }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) Sys() any           { return nil }

type openFile struct {
	node
	*strings.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return info{f.node}, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	node
	entries []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return info{d.node}, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a folder")}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.entries) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.entries) {
		n = len(d.entries)
	}
	out := d.entries[:n]
	d.entries = d.entries[n:]
	return out, nil
}
