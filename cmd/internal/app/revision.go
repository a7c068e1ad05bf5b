package app

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/felhom/tend/cmd/internal/view"
)

// revisionOf says which spec stands at a path: the commit that is checked out there, or a hash of the files where
// they are in no repository. It is told to people only and never decides anything, so that what cannot be found
// out is left empty.
func revisionOf(path string) view.Revision {
	if r, ok := commitOf(path); ok {
		return r
	}
	sum := sha256.New()
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != path:
			return fs.SkipDir
		case d.IsDir() || name != path && filepath.Ext(name) != ".yaml" && filepath.Ext(name) != ".yml":
			return nil
		}
		text, err := os.ReadFile(name)
		rel, _ := filepath.Rel(path, name)
		sum.Write([]byte(rel + "\x00"))
		sum.Write(text)
		return err
	})
	if err != nil {
		return view.Revision{}
	}
	return view.Revision{Hash: hex.EncodeToString(sum.Sum(nil))[:shortHash]}
}

const shortHash = 7

// commitOf reads the commit that is checked out around a path (gitrepository-layout).
func commitOf(path string) (view.Revision, bool) {
	dir, err := filepath.Abs(path)
	if err != nil {
		return view.Revision{}, false
	}
	for ; ; dir = filepath.Dir(dir) {
		if git, ok := gitDir(filepath.Join(dir, ".git")); ok {
			return head(git)
		}
		if dir == filepath.Dir(dir) {
			return view.Revision{}, false
		}
	}
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

func head(git string) (view.Revision, bool) {
	ref, symbolic := strings.CutPrefix(readLine(filepath.Join(git, "HEAD")), "ref: ")
	hash, branch := ref, ""
	if symbolic {
		branch, hash = strings.TrimPrefix(ref, "refs/heads/"), resolve(git, ref)
	}
	if len(hash) < shortHash {
		return view.Revision{}, false
	}
	return view.Revision{Hash: hash[:shortHash], Branch: branch}, true
}

// resolve finds the commit of a branch, loose or packed, in the repository that a linked work tree belongs to.
func resolve(git, ref string) string {
	if common := readLine(filepath.Join(git, "commondir")); common != "" {
		if !filepath.IsAbs(common) {
			common = filepath.Join(git, common)
		}
		git = common
	}
	if hash := readLine(filepath.Join(git, filepath.FromSlash(ref))); hash != "" {
		return hash
	}
	packed, _ := os.ReadFile(filepath.Join(git, "packed-refs"))
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
