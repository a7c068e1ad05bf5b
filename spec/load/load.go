// Package load reads a spec from YAML files: strictly, with the place of every fault, and all faults at once.
//
// Every *.yaml and *.yml below a folder belongs to the spec, but for hidden files and folders. Names are
// unique across files. Each file is one document. What two readers of YAML would understand differently (yes,
// 0660, 1e3) is a fault, not a guess: the values come from sigs.k8s.io/yaml and the places from the nodes of
// go.yaml.in/yaml/v3, and both must agree.
//
// Links to files within the folder are followed. Links to folders, and links that lead out of it, are faults:
// silently leaving files out would look like their containers had been taken out of the spec.
package load

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/felhom/tend/spec"
)

// MaxFile is the size of a file, in bytes, above which it is refused unless [Options] say otherwise.
const MaxFile = 8 << 20

// Options of loading; the zero value is good.
type Options struct {
	Prefix  string // put before the names of files in faults, such as the folder's path
	MaxFile int64  // in bytes; 0 is MaxFile
}

// Faults are all that is wrong with a spec, sorted by place.
type Faults []spec.Fault

// Error is one fault a line: "file:line:column: field: what is wrong, what to write instead".
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the faults one by one.
func (f Faults) Unwrap() []error {
	out := make([]error, len(f))
	for i, fault := range f {
		out[i] = fault
	}
	return out
}

// Load reads the spec of a folder. The error is a [Faults].
func Load(fsys fs.FS, o Options) (*spec.State, error) {
	l := newLoader(o)
	l.fsys = fsys
	files := l.find(fsys)
	if len(files) == 0 && len(l.faults) == 0 {
		l.faultAt(l.whole, nil, errors.New("no spec found: there is no *.yaml or *.yml file here"))
	}
	for _, name := range files {
		if data, ok := l.read(fsys, name); ok {
			l.add(o.Prefix+name, data)
		}
	}
	return l.finish()
}

// Path reads the spec of a folder or of a single file of the system. The error is a [Faults], but for a path
// that cannot be opened.
func Path(path string, o Options) (*spec.State, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read spec: %w", err)
	}
	if !info.IsDir() {
		l := newLoader(o)
		// The folder is opened, not the file alone, so that what is read is checked like a file of a folder;
		// os.DirFS follows links, and here the author named the file.
		dir, name := filepath.Split(filepath.Clean(path))
		l.prefix, l.whole = dir, spec.Place{File: path}
		root, err := os.OpenRoot(cmp.Or(dir, "."))
		if err != nil {
			return nil, fmt.Errorf("read spec: %w", err)
		}
		defer root.Close()
		l.fsys = root.FS()
		if data, ok := l.read(os.DirFS(cmp.Or(dir, ".")), name); ok {
			l.add(path, data)
		}
		return l.finish()
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("read spec: %w", err)
	}
	defer root.Close()
	if clean := filepath.ToSlash(filepath.Clean(path)); o.Prefix == "" && clean != "." {
		o.Prefix = strings.TrimSuffix(clean, "/") + "/"
	}
	return Load(root.FS(), o)
}

// finish puts the spec together; any fault makes it none.
func (l *loader) finish() (*spec.State, error) {
	state := l.assemble()
	if len(l.faults) == 0 {
		return state, nil
	}
	slices.SortStableFunc(l.faults, func(a, b spec.Fault) int {
		return cmp.Or(strings.Compare(a.Place.File, b.Place.File), cmp.Compare(a.Place.Line, b.Place.Line),
			cmp.Compare(a.Place.Column, b.Place.Column))
	})
	return nil, Faults(l.faults)
}
