package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/google/renameio/v2"
)

// A record is what is in force, as it is written down.
type record struct {
	Source   string    `json:"source"`
	Revision Revision  `json:"revision"`
	Accepted time.Time `json:"accepted"`
	Sum      string    `json:"sum"` // of the files
	Files    []kept    `json:"files"`
}

// A kept is one file of a record.
type kept struct {
	Path string `json:"path"`
	Link string `json:"link,omitempty"`
	Data []byte `json:"data,omitempty"`
}

// commitOf is the commit that an error is about.
func commitOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Commit
	}
	return ""
}

// readRecord reads a record; nil where there is none.
func readRecord(path string) (*record, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was in force: %w", err)
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read %s: %w: what was in force is not known; remove the file", path, err)
	}
	return &r, nil
}

// files are those of a record, if they are what was written.
func (r *record) files() (*Files, error) {
	out, err := r.build()
	if err == nil && out.Sum() != r.Sum {
		err = errors.New("the files are not those that were written: remove the file")
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// build makes the files of a record. There are no limits: they were kept when the files were fetched.
func (r *record) build() (*Files, error) {
	out := NewFiles(Limits{math.MaxInt, math.MaxInt64})
	for _, k := range r.Files {
		add := func() error { return out.Add(k.Path, k.Data) }
		if k.Link != "" {
			add = func() error { return out.Link(k.Path, k.Link) }
		}
		if err := add(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// writeRecord replaces a record, durably: after a crash it is the old or the new one.
func writeRecord(path, source string, at time.Time, f Found) error {
	r := record{Source: source, Revision: f.Revision, Accepted: at}
	err := fs.WalkDir(f.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		k := kept{Path: name}
		if d.Type()&fs.ModeSymlink != 0 {
			k.Link, err = fs.ReadLink(f.Files, name)
		} else {
			k.Data, err = fs.ReadFile(f.Files, name)
		}
		r.Files = append(r.Files, k)
		return err
	})
	if err == nil {
		var files *Files
		if files, err = r.build(); err == nil {
			r.Sum = files.Sum()
		}
	}
	text, err2 := json.Marshal(r)
	if err = errors.Join(err, err2); err == nil {
		err = renameio.WriteFile(path, text, 0o600) // only its owner may read it: a spec is private
	}
	if err != nil {
		return fmt.Errorf("write down what is in force: %w", err)
	}
	return nil
}
