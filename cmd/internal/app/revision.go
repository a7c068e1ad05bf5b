package app

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile/source/git/repo"
)

// revisionOf says which spec stands at a path: the commit that is checked out there, and whether the files are other
// ones by now, or a hash of the files where they are in no repository that can be read. It is told to people only and
// never decides anything, so that what cannot be found out is left empty.
func revisionOf(path string) view.Revision {
	if r, ok := commitOf(path); ok {
		return r
	}
	sum := sha256.New()
	err := walkSpec(path, func(name string, content []byte) error {
		sum.Write([]byte(name + "\x00"))
		sum.Write(content)
		return nil
	})
	if err != nil {
		return view.Revision{}
	}
	return view.Revision{Hash: hex.EncodeToString(sum.Sum(nil))[:shortHash]}
}

const shortHash = 7

// commitOf reads the commit that is checked out around a path.
func commitOf(path string) (view.Revision, bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return view.Revision{}, false
	}
	r, ok := repo.Around(path)
	if !ok {
		return view.Revision{}, false
	}
	defer r.Close()
	commit, branch, err := r.Head()
	if err != nil {
		return view.Revision{}, false
	}
	changed, err := isChanged(r, commit, path)
	return view.Revision{Hash: commit.String()[:shortHash], Branch: branch, Changed: changed}, err == nil
}
