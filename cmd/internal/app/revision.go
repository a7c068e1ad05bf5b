package app

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/felhom/tend/cmd/internal/view"
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

// commitOf reads the commit that is checked out around a path (gitrepository-layout).
func commitOf(path string) (view.Revision, bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return view.Revision{}, false
	}
	for dir := path; ; dir = filepath.Dir(dir) {
		if git, ok := gitDir(filepath.Join(dir, ".git")); ok {
			return repository{root: dir, git: git, common: commonDir(git)}.revision(path)
		}
		if dir == filepath.Dir(dir) {
			return view.Revision{}, false
		}
	}
}

// revision is that of the files at a path below the root.
func (r repository) revision(path string) (view.Revision, bool) {
	hash, branch := r.head()
	if len(hash) < shortHash {
		return view.Revision{}, false
	}
	changed, err := r.changed(hash, path)
	return view.Revision{Hash: hash[:shortHash], Branch: branch, Changed: changed}, err == nil
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

// head is the commit that is checked out, and its branch.
func (r repository) head() (hash, branch string) {
	ref, symbolic := strings.CutPrefix(readLine(filepath.Join(r.git, "HEAD")), "ref: ")
	if !symbolic {
		return ref, ""
	}
	return r.resolve(ref), strings.TrimPrefix(ref, "refs/heads/")
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

// resolve finds the commit of a branch, loose or packed.
func (r repository) resolve(ref string) string {
	if hash := readLine(filepath.Join(r.common, filepath.FromSlash(ref))); hash != "" {
		return hash
	}
	packed, _ := os.ReadFile(filepath.Join(r.common, "packed-refs"))
	for line := range strings.Lines(string(packed)) {
		if hash, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == ref {
			return hash
		}
	}
	return ""
}

// readLine is the first line of a file; empty where it cannot be read.
func readLine(path string) string {
	text, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}
