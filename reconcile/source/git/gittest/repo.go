// Package gittest makes git repositories object by object and serves them over https and ssh, for tests.
package gittest

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// A Repo is a bare repository that a test makes, object by object.
type Repo struct {
	Dir  string
	Sign func(payload string) string // nil: nothing is signed
	When int64                       // of the next commit, in seconds since 1970; it grows by a minute

	t  testing.TB
	st *filesystem.Storage
}

// New makes a repository in a folder of the test.
func New(t testing.TB) *Repo {
	t.Helper()
	return NewAt(t, filepath.Join(t.TempDir(), "home.git"))
}

// NewAt makes a repository in a folder.
func NewAt(t testing.TB, dir string) *Repo {
	t.Helper()
	m := &Repo{t: t, Dir: dir, When: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).Unix()}
	m.st = filesystem.NewStorage(osfs.New(m.Dir), cache.NewObjectLRUDefault())
	m.Write("HEAD", "ref: refs/heads/main\n")
	m.Write("config", "[core]\n\tbare = true\n[uploadpack]\n\tallowFilter = true\n[http]\n\treceivepack = false\n")
	for _, name := range []string{"objects/pack", "refs/heads", "refs/tags"} {
		m.Must(os.MkdirAll(filepath.Join(m.Dir, name), 0o755))
	}
	return m
}

// Must ends the test where there is an error.
func (m *Repo) Must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// Write writes a file of the repository.
func (m *Repo) Write(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.Dir, name)
	m.Must(os.MkdirAll(filepath.Dir(path), 0o755))
	m.Must(os.WriteFile(path, []byte(text), 0o644))
}

// Object writes an object, and returns its hash.
func (m *Repo) Object(kind plumbing.ObjectType, content string) string {
	m.t.Helper()
	o := m.st.NewEncodedObject()
	o.SetType(kind)
	w, err := o.Writer()
	m.Must(err)
	_, err = io.WriteString(w, content)
	m.Must(err)
	h, err := m.st.SetEncodedObject(o)
	m.Must(err)
	return h.String()
}

// Tree writes files as a tree. A content "->x" makes a link, "@x" a submodule at commit x.
func (m *Repo) Tree(files map[string]string, below string) string {
	m.t.Helper()
	entries := map[string]string{}
	for name, text := range files {
		name, ok := strings.CutPrefix(name, below)
		first, _, isDir := strings.Cut(name, "/")
		target, isLink := strings.CutPrefix(text, "->")
		commit, isModule := strings.CutPrefix(text, "@")
		mode, hash := "100644", ""
		switch {
		case !ok:
			continue
		case isDir:
			mode, hash = "40000", m.Tree(files, below+first+"/")
		case isModule:
			mode, hash = "160000", commit
		case isLink:
			mode, hash = "120000", m.Object(plumbing.BlobObject, target)
		default:
			hash = m.Object(plumbing.BlobObject, text)
		}
		raw := plumbing.NewHash(hash)
		entries[first+map[bool]string{true: "/"}[isDir]] = mode + " " + first + "\x00" + string(raw[:])
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		b.WriteString(entries[name])
	}
	return m.Object(plumbing.TreeObject, b.String())
}

// Commit writes a commit, signed if there is a signer.
func (m *Repo) Commit(message string, files map[string]string, parents ...string) string {
	m.t.Helper()
	head := "tree " + m.Tree(files, "") + "\n"
	for _, p := range parents {
		head += "parent " + p + "\n"
	}
	m.When += 60
	head += fmt.Sprintf("author Alice <alice@example.com> %d +0100\ncommitter Bob <bob@example.com> %d +0100\n", m.When, m.When)
	if m.Sign == nil {
		return m.Object(plumbing.CommitObject, head+"\n"+message+"\n")
	}
	signature := strings.ReplaceAll(strings.TrimSpace(m.Sign(head+"\n"+message+"\n")), "\n", "\n ")
	return m.Object(plumbing.CommitObject, head+"gpgsig "+signature+"\n\n"+message+"\n")
}

// Tag writes an object of a tag, signed if there is a signer.
func (m *Repo) Tag(name, kind, target string) string {
	m.t.Helper()
	m.When += 60
	text := fmt.Sprintf("object %s\ntype %s\ntag %s\ntagger Carol <carol@example.com> %d +0000\n\n%s is out\n", target, kind, name, m.When, name)
	if m.Sign != nil {
		text += m.Sign(text)
	}
	return m.Object(plumbing.TagObject, text)
}

// Set lets a ref stand for an object; "" takes it away.
func (m *Repo) Set(ref, hash string) {
	m.t.Helper()
	if hash == "" {
		m.Must(os.Remove(filepath.Join(m.Dir, ref)))
		return
	}
	m.Write(ref, hash+"\n")
}

// Spec are files with one of a text.
func Spec(text string) map[string]string {
	return map[string]string{"lxc/web.yaml": text, "README.md": "home", ".github/x.yaml": "x"}
}
