package write

import (
	"bytes"
	"io/fs"
	"path"
	"time"
)

// changedFS is a file system in which some files have another content.
type changedFS struct {
	fs.FS
	changed map[string][]byte
}

// Open implements [fs.FS].
func (f changedFS) Open(name string) (fs.File, error) {
	if data, ok := f.changed[name]; ok {
		return &changedFile{bytes.NewReader(data), path.Base(name), int64(len(data))}, nil
	}
	return f.FS.Open(name)
}

// changedFile is an open file, and its own description.
type changedFile struct {
	*bytes.Reader
	name string
	size int64
}

func (f *changedFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *changedFile) Close() error               { return nil }
func (f *changedFile) Name() string               { return f.name }
func (f *changedFile) Size() int64                { return f.size }
func (f *changedFile) Mode() fs.FileMode          { return 0o444 }
func (f *changedFile) ModTime() time.Time         { return time.Time{} }
func (f *changedFile) IsDir() bool                { return false }
func (f *changedFile) Sys() any                   { return nil }
