package git_test

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

// A made is a bare repository that a test makes, object by object.
type made struct {
	t    *testing.T
	dir  string
	st   *filesystem.Storage
	sign func(payload string) string // nil: nothing is signed
	when int64                       // of the next commit; it grows by a minute
}

func newRepo(t *testing.T) *made {
	t.Helper()
	return newRepoAt(t, filepath.Join(t.TempDir(), "home.git"))
}

func newRepoAt(t *testing.T, dir string) *made {
	t.Helper()
	m := &made{t: t, dir: dir, when: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).Unix()}
	m.st = filesystem.NewStorage(osfs.New(m.dir), cache.NewObjectLRUDefault())
	m.write("HEAD", "ref: refs/heads/main\n")
	m.write("config", "[core]\n\tbare = true\n[uploadpack]\n\tallowFilter = true\n[http]\n\treceivepack = false\n")
	for _, name := range []string{"objects/pack", "refs/heads", "refs/tags"} {
		m.must(os.MkdirAll(filepath.Join(m.dir, name), 0o755))
	}
	return m
}

func (m *made) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *made) write(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	m.must(os.MkdirAll(filepath.Dir(path), 0o755))
	m.must(os.WriteFile(path, []byte(text), 0o644))
}

func (m *made) object(kind plumbing.ObjectType, content string) string {
	m.t.Helper()
	o := m.st.NewEncodedObject()
	o.SetType(kind)
	w, err := o.Writer()
	m.must(err)
	_, err = io.WriteString(w, content)
	m.must(err)
	h, err := m.st.SetEncodedObject(o)
	m.must(err)
	return h.String()
}

// tree writes files as a tree. A content "->x" makes a link, "@x" a submodule at commit x.
func (m *made) tree(files map[string]string, below string) string {
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
			mode, hash = "40000", m.tree(files, below+first+"/")
		case isModule:
			mode, hash = "160000", commit
		case isLink:
			mode, hash = "120000", m.object(plumbing.BlobObject, target)
		default:
			hash = m.object(plumbing.BlobObject, text)
		}
		raw := plumbing.NewHash(hash)
		entries[first+map[bool]string{true: "/"}[isDir]] = mode + " " + first + "\x00" + string(raw[:])
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		b.WriteString(entries[name])
	}
	return m.object(plumbing.TreeObject, b.String())
}

// commit writes a commit, signed if there is a signer.
func (m *made) commit(message string, files map[string]string, parents ...string) string {
	m.t.Helper()
	head := "tree " + m.tree(files, "") + "\n"
	for _, p := range parents {
		head += "parent " + p + "\n"
	}
	m.when += 60
	head += fmt.Sprintf("author Alice <alice@example.com> %d +0100\ncommitter Bob <bob@example.com> %d +0100\n", m.when, m.when)
	if m.sign == nil {
		return m.object(plumbing.CommitObject, head+"\n"+message+"\n")
	}
	signature := strings.ReplaceAll(strings.TrimSpace(m.sign(head+"\n"+message+"\n")), "\n", "\n ")
	return m.object(plumbing.CommitObject, head+"gpgsig "+signature+"\n\n"+message+"\n")
}

// tag writes an object of a tag, signed if there is a signer.
func (m *made) tag(name, kind, target string) string {
	m.t.Helper()
	m.when += 60
	text := fmt.Sprintf("object %s\ntype %s\ntag %s\ntagger Carol <carol@example.com> %d +0000\n\n%s is out\n", target, kind, name, m.when, name)
	if m.sign != nil {
		text += m.sign(text)
	}
	return m.object(plumbing.TagObject, text)
}

// set lets a ref stand for an object; "" takes it away.
func (m *made) set(ref, hash string) {
	m.t.Helper()
	if hash == "" {
		m.must(os.Remove(filepath.Join(m.dir, ref)))
		return
	}
	m.write(ref, hash+"\n")
}

// spec are files with one of a text.
func spec(text string) map[string]string {
	return map[string]string{"lxc/web.yaml": text, "README.md": "home", ".github/x.yaml": "x"}
}
