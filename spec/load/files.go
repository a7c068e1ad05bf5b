package load

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A loader gathers documents and faults.
type loader struct {
	prefix  string
	whole   spec.Place // of the folder or file
	maxFile int64
	fsys    fs.FS // of the files that a spec names; nil: there are none
	docs    []document
	faults  []spec.Fault
	spoilt  map[spec.Place]bool // values that could not be read
	built   *assembly           // once all documents are put together
}

func newLoader(o Options) *loader {
	whole := cmp.Or(strings.TrimSuffix(o.Prefix, "/"), ".")
	return &loader{prefix: o.Prefix, whole: spec.Place{File: whole}, maxFile: cmp.Or(o.MaxFile, MaxFile), spoilt: map[spec.Place]bool{}}
}

func (l *loader) faultAt(p spec.Place, at setting.Path, err error) {
	l.faults = append(l.faults, spec.Fault{At: at, Place: p, Err: err})
}

// fileFault is a fault of a file as a whole.
func (l *loader) fileFault(name string, err error) {
	l.faultAt(spec.Place{File: l.prefix + name}, nil, err)
}

// find returns the files of the spec in the order of their names.
func (l *loader) find(fsys fs.FS) []string {
	var out []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			l.fileFault(name, fmt.Errorf("cannot be read: %w", bare(err)))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case name == ".":
		case strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type()&fs.ModeSymlink != 0:
			if l.followed(fsys, name) && isSpec(name) {
				out = append(out, name)
			}
		case !d.IsDir() && isSpec(name):
			out = append(out, name)
		}
		return nil
	})
	if err != nil {
		l.faultAt(l.whole, nil, fmt.Errorf("cannot be read: %w", bare(err)))
	}
	return out
}

func isSpec(name string) bool {
	ext := path.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}

// followed reports whether a link leads to a file; where it does not, that is a fault.
func (l *loader) followed(fsys fs.FS, name string) bool {
	info, err := fs.Stat(fsys, name)
	const advice = "put the files here, or give the link a name that begins with a dot"
	switch {
	case err != nil:
		l.fileFault(name, fmt.Errorf("is a link that leads nowhere, in a circle or out of the folder (%w): %s", bare(err), advice))
	case info.IsDir():
		l.fileFault(name, errors.New("is a link to a folder, which is not followed: "+advice))
	}
	return err == nil && !info.IsDir()
}

// read returns the text of a file, if it is one that can be a spec.
func (l *loader) read(fsys fs.FS, name string) ([]byte, bool) {
	// Asked before opening: opening a named pipe would wait for a writer.
	info, err := fs.Stat(fsys, name)
	if err == nil && !info.Mode().IsRegular() {
		l.fileFault(name, errors.New("is not a regular file: remove it, or give it another name"))
		return nil, false
	}
	var data []byte
	if err == nil {
		data, err = readLimited(fsys, name, l.maxFile+1)
	}
	switch {
	case err != nil:
		l.fileFault(name, fmt.Errorf("cannot be read: %w", bare(err)))
		return nil, false
	case int64(len(data)) > l.maxFile:
		l.fileFault(name, fmt.Errorf("is larger than %s: split it into several files", setting.Bytes(l.maxFile)))
		return nil, false
	}
	return data, true
}

func readLimited(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// bare is an error without the path, which the fault names already.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
