package git_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox/secret"
	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/git"
	"github.com/felhom/tend/reconcile/source/git/gittest"
)

// read is every file below the root, links as "->target".
func read(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := fs.ReadLink(fsys, name)
			out[name] = "->" + target
			return err
		}
		text, err := fs.ReadFile(fsys, name)
		out[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func open(t *testing.T, o git.Options) *git.Source {
	t.Helper()
	o.Temp = t.TempDir()
	s, err := git.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, _ := os.ReadDir(o.Temp); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	})
	return s
}

// fetch is what a source brings: the text of web.yaml and the revision.
func fetch(t *testing.T, s *git.Source) (string, source.Revision) {
	t.Helper()
	files, rev, err := s.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(files, "web.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text), rev
}

// refused is the error of a fetch, of the class that is wanted and with the words that are.
func refused(t *testing.T, s *git.Source, class source.Class, words ...string) *source.Error {
	t.Helper()
	_, _, err := s.Fetch(t.Context())
	e, ok := errors.AsType[*source.Error](err)
	if !ok || e.Class != class {
		t.Fatalf("got %v, want class %s", err, class)
	}
	for _, w := range append(words, s.String()) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is not one line", err)
	}
	return e
}

func TestFetchLocal(t *testing.T) {
	m := gittest.New(t)
	files := gittest.Spec("one")
	maps.Copy(files, map[string]string{"lxc/sub/db.yml": "db", "lxc/link.yaml": "->web.yaml", "lxc/.hidden/x.yaml": "x", "lxc/module": "@" + strings.Repeat("1", 40)})
	id := m.Commit("first\n\nTend-Approve: abc", files)
	m.Set("refs/heads/main", id)
	for _, url := range []string{m.Dir, "file://" + m.Dir} {
		s := open(t, git.Options{URL: url, Path: "lxc"})
		got, rev, err := s.Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"web.yaml": "one", "sub/db.yml": "db", "link.yaml": "->web.yaml"}, read(t, got)); diff != "" {
			t.Error(diff)
		}
		if rev.ID != id || rev.Ref != "main" || rev.Author != "Alice <alice@example.com>" || rev.Subject() != "first" || !strings.Contains(rev.Message, "Tend-Approve: abc") {
			t.Errorf("got %+v", rev)
		}
		if want := m.Dir + ", default branch, path lxc"; s.String() != want {
			t.Errorf("got %s", s)
		}
	}
}

func TestFetchOne(t *testing.T) {
	m := gittest.New(t)
	m.Set("refs/heads/main", m.Commit("first", gittest.Spec("one")))
	s := open(t, git.Options{URL: m.Dir, Path: "/lxc/web.yaml"})
	if text, _ := fetch(t, s); text != "one" {
		t.Errorf("got %q", text)
	}
	s = open(t, git.Options{URL: m.Dir, Match: func(name string) bool { return strings.HasSuffix(name, ".yaml") }})
	got, _, err := s.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"lxc/web.yaml": "one"}, read(t, got)); diff != "" {
		t.Error(diff)
	}
}

// TestFetchWorkTree reads what is committed and not what lies around it.
func TestFetchWorkTree(t *testing.T) {
	dir := t.TempDir()
	m := gittest.NewAt(t, filepath.Join(dir, ".git"))
	m.Set("refs/heads/main", m.Commit("first", gittest.Spec("committed")))
	m.Write("../lxc/web.yaml", "edited")
	if text, _ := fetch(t, open(t, git.Options{URL: dir, Path: "lxc"})); text != "committed" {
		t.Errorf("got %q", text)
	}
}

func TestRefs(t *testing.T) {
	m := gittest.New(t)
	ids := map[string]string{}
	for _, name := range []string{"main", "side", "1.0.0", "v1.2.0", "v1.10.0", "v2.0.0-rc.1", "v3.0.0", "2026", "production"} {
		ids[name] = m.Commit(name, gittest.Spec(name))
		switch name {
		case "main", "side":
			m.Set("refs/heads/"+name, ids[name])
		case "v1.10.0":
			m.Set("refs/tags/"+name, m.Tag(name, "commit", ids[name]))
		default:
			m.Set("refs/tags/"+name, ids[name])
		}
	}
	m.Set("refs/tags/nested", m.Tag("nested", "tag", m.Tag("inner", "commit", ids["side"])))
	tests := []struct {
		ref       git.Ref
		want, msg string
	}{
		{git.Ref{}, "main", ""},
		{git.Ref{Branch: "side"}, "side", ""},
		{git.Ref{Tag: "production"}, "production", ""},
		{git.Ref{Tag: "v1.10.0"}, "v1.10.0", ""},
		{git.Ref{Tag: "nested"}, "side", ""},
		{git.Ref{Semver: "^1.0"}, "v1.10.0", ""},
		{git.Ref{Semver: "~1.2"}, "v1.2.0", ""},
		{git.Ref{Semver: "<1.1"}, "1.0.0", ""},
		{git.Ref{Semver: "*"}, "v3.0.0", ""},
		{git.Ref{Semver: ">=2.0.0-0 <2.1"}, "v2.0.0-rc.1", ""},
		{git.Ref{Semver: ">=2 <3"}, "", "no tag is a version in >=2 <3: the tags are "},
		{git.Ref{Branch: "master"}, "", "there is no branch master: the branches are main, side"},
		{git.Ref{Tag: "v9"}, "", "there is no tag v9"},
	}
	for _, tt := range tests {
		s := open(t, git.Options{URL: m.Dir, Path: "lxc", Ref: tt.ref})
		if tt.msg != "" {
			refused(t, s, source.NotFound, tt.msg)
			continue
		}
		if text, rev := fetch(t, s); text != tt.want || rev.ID != ids[tt.want] {
			t.Errorf("%s: got %q", tt.ref, text)
		}
	}
}

func TestRefConcerns(t *testing.T) {
	const main, side, v1, v2 = "refs/heads/main", "refs/heads/side", "refs/tags/v1", "refs/tags/v2"
	for _, tt := range []struct {
		ref  git.Ref
		want string
	}{
		{git.Ref{}, main + side}, {git.Ref{Branch: "main"}, main}, {git.Ref{Tag: "v1"}, v1}, {git.Ref{Semver: "1"}, v1 + v2},
	} {
		got := ""
		for _, moved := range []string{main, side, v1, v2, ""} {
			if tt.ref.Concerns(moved) {
				got += moved
			}
		}
		if got != tt.want {
			t.Errorf("%s: got %s", tt.ref, got)
		}
	}
}

func TestNotFound(t *testing.T) {
	m := gittest.New(t)
	refused(t, open(t, git.Options{URL: m.Dir}), source.NotFound, "the repository names no default branch: there are no branches")
	m.Set("refs/heads/main", m.Commit("first", map[string]string{"lxc/web.yaml": "one", "module": "@" + strings.Repeat("1", 40)}))
	refused(t, open(t, git.Options{URL: m.Dir, Path: "nowhere"}), source.NotFound, "there is no nowhere in the commit")
	refused(t, open(t, git.Options{URL: m.Dir, Path: "lxc/web.yaml/x"}), source.NotFound, "there is no lxc/web.yaml/x")
	refused(t, open(t, git.Options{URL: m.Dir, Path: "module"}), source.NotFound, "module is a submodule")
	refused(t, open(t, git.Options{URL: t.TempDir()}), source.NotFound, "there is no git repository")
}

// TestFollows goes through what can happen to a branch while a commit is in force.
func TestFollows(t *testing.T) {
	m := gittest.New(t)
	first := m.Commit("first", gittest.Spec("one"))
	second := m.Commit("second", gittest.Spec("two"), first)
	third := m.Commit("third", gittest.Spec("three"), second)
	other := m.Commit("other", gittest.Spec("other"), first)
	merge := m.Commit("merge", gittest.Spec("merge"), other, second)
	unrelated := m.Commit("unrelated", gittest.Spec("unrelated"))
	tests := []struct {
		name, to string
		msg      string
	}{
		{"the same", second, ""},
		{"the next", third, ""},
		{"a merge of it", merge, ""},
		{"back", first, "history was rewritten, or went back"},
		{"amended", other, "history was rewritten, or went back"},
		{"another history", unrelated, "history was rewritten, or went back"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m.Set("refs/heads/main", second)
			s := open(t, git.Options{URL: m.Dir, Path: "lxc"})
			_, rev := fetch(t, s)
			s.InForce(rev)
			m.Set("refs/heads/main", tt.to)
			if tt.msg == "" {
				fetch(t, s)
				return
			}
			for range 2 { // the second time from what is known
				if e := refused(t, s, source.Rewritten, tt.msg, second[:7], tt.to[:7]); e.Commit != tt.to {
					t.Errorf("it names commit %s", e.Commit)
				}
			}
			allowed := open(t, git.Options{URL: m.Dir, Path: "lxc", AllowRewrite: true})
			allowed.InForce(rev)
			fetch(t, allowed)
			m.Set("refs/heads/main", third) // and forward again
			fetch(t, s)
		})
	}
}

// TestFollowsFar says so where the commit in force lies too far back to be found.
func TestFollowsFar(t *testing.T) {
	m := gittest.New(t)
	id := m.Commit("0", gittest.Spec("0"))
	m.Set("refs/heads/main", id)
	s := open(t, git.Options{URL: m.Dir, Path: "lxc", Limits: git.Limits{History: 5}})
	_, rev := fetch(t, s)
	s.InForce(rev)
	for i := 1; i <= 4; i++ {
		id = m.Commit(fmt.Sprint(i), gittest.Spec(fmt.Sprint(i)), id)
	}
	m.Set("refs/heads/main", id)
	fetch(t, s)
	m.Set("refs/heads/main", m.Commit("5", gittest.Spec("5"), id))
	refused(t, s, source.Rewritten, "is not among the last 5 commits")
}

// TestVersionsFollow compares versions, and not history.
func TestVersionsFollow(t *testing.T) {
	m := gittest.New(t)
	a, b := m.Commit("a", gittest.Spec("a")), m.Commit("b", gittest.Spec("b"))
	m.Set("refs/tags/v1.2.0", a)
	m.Set("refs/tags/v1.1.0", b)
	s := open(t, git.Options{URL: m.Dir, Path: "lxc", Ref: git.Ref{Semver: "^1"}})
	_, rev := fetch(t, s)
	s.InForce(rev)
	m.Set("refs/tags/v1.2.0", b)
	refused(t, s, source.Rewritten, "tag v1.2.0 was moved")
	m.Set("refs/tags/v1.2.0", "")
	m.Set("refs/tags/v1.1.0", m.Commit("c", gittest.Spec("c")))
	refused(t, s, source.Rewritten, "the highest version went back from v1.2.0 to v1.1.0")
	m.Set("refs/tags/v1.3.0", m.Commit("d", gittest.Spec("d")))
	if text, _ := fetch(t, s); text != "d" {
		t.Errorf("got %q", text)
	}
}

func TestLimits(t *testing.T) {
	m := gittest.New(t)
	m.Set("refs/heads/main", m.Commit("first", map[string]string{"lxc/web.yaml": "one", "lxc/big.yaml": strings.Repeat("x", 1000)}))
	for _, l := range []source.Limits{{Bytes: 100}, {Files: 1}, {Bytes: 3}} {
		s := open(t, git.Options{URL: m.Dir, Path: "lxc", Limits: git.Limits{Files: l}})
		refused(t, s, source.TooLarge, "name a path that holds the spec alone, or raise the limit")
	}
	s := open(t, git.Options{URL: m.Dir, Path: "lxc", Limits: git.Limits{Object: 500}})
	refused(t, s, source.TooLarge)
	fetch(t, open(t, git.Options{URL: m.Dir, Path: "lxc", Limits: git.Limits{Files: source.Limits{Files: 2, Bytes: 1003}, Object: 1000}}))
}

// TestGoneThenBack keeps a source usable while its repository is away, and when it is broken.
func TestGoneThenBack(t *testing.T) {
	m := gittest.New(t)
	m.Set("refs/heads/main", m.Commit("first", gittest.Spec("one")))
	s := open(t, git.Options{URL: m.Dir, Path: "lxc"})
	fetch(t, s)
	m.Must(os.Rename(m.Dir, m.Dir+".away"))
	refused(t, s, source.NotFound, "there is no git repository")
	m.Must(os.Rename(m.Dir+".away", m.Dir))
	id := m.Commit("second", gittest.Spec("two"))
	m.Set("refs/heads/main", id)
	path := filepath.Join(m.Dir, "objects", id[:2], id[2:])
	m.Must(os.Rename(path, path+".away"))
	refused(t, s, source.Damaged, "the repository is not whole")
	m.Must(os.Rename(path+".away", path))
	if text, _ := fetch(t, s); text != "two" {
		t.Errorf("got %q", text)
	}
}

// TestForgedObject refuses an object whose content is not that of its hash.
func TestForgedObject(t *testing.T) {
	m := gittest.New(t)
	id := m.Commit("first", gittest.Spec("one"))
	m.Set("refs/heads/main", id)
	forged := m.Commit("forged", gittest.Spec("forged"))
	at := func(id string) string { return filepath.Join(m.Dir, "objects", id[:2], id[2:]) }
	m.Must(os.Remove(at(id)))
	m.Must(os.Rename(at(forged), at(id)))
	refused(t, open(t, git.Options{URL: m.Dir, Path: "lxc"}), source.Damaged, "its content has another hash")
}

func TestStop(t *testing.T) {
	m := gittest.New(t)
	m.Set("refs/heads/main", m.Commit("first", gittest.Spec("one")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := open(t, git.Options{URL: "http://127.0.0.1:1/x.git"})
	if _, _, err := s.Fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	_, private := gittest.Key(t)
	token, key := git.Auth{Password: secret.New("hunter2")}, git.Auth{Key: secret.New(private)}
	tests := []struct {
		o    git.Options
		want string // the source, or a part of the error
		bad  bool
	}{
		{git.Options{URL: "https://git.example.com/home.git", Auth: token}, "https://git.example.com/home.git, default branch", false},
		{git.Options{URL: "https://git.example.com:8443/home.git", Ref: git.Ref{Branch: "main"}, Path: "./a//b/"}, "https://git.example.com:8443/home.git, branch main, path a/b", false},
		{git.Options{URL: "git@github.com:me/home.git", Auth: key, Ref: git.Ref{Tag: "v1"}}, "git@github.com:me/home.git, tag v1", false},
		{git.Options{URL: "ssh://git@git.example.com:2222/home.git", Auth: key, Ref: git.Ref{Semver: "^1"}}, "ssh://git@git.example.com:2222/home.git, version ^1", false},
		{git.Options{URL: "http://127.0.0.1:3000/home.git", Auth: token}, "http://127.0.0.1:3000/home.git, default branch", false},
		{git.Options{URL: "/srv/home.git", Path: "../../etc"}, "/srv/home.git, default branch, path etc", false},
		{git.Options{}, "there is no URL", true},
		{git.Options{URL: "home.git"}, "is none of https, ssh, file", true},
		{git.Options{URL: "git://git.example.com/home.git"}, `"git" is none of https, ssh, file`, true},
		{git.Options{URL: "https://me:hunter2@git.example.com/home.git"}, "put them into files of their own", true},
		{git.Options{URL: "https://hunter2@git.example.com/home.git"}, "put them into files of their own", true},
		{git.Options{URL: "https://git.example.com/home.git?token=hunter2"}, "a query or fragment", true},
		{git.Options{URL: "https://me:hunter2@git.example.com:port/home.git"}, "cannot be read", true},
		{git.Options{URL: "http://git.example.com/home.git", Auth: token}, "whoever is in between reads the password", true},
		{git.Options{URL: "http://git.example.com/home.git"}, "whoever is in between can change", true},
		{git.Options{URL: "git@github.com:me/home.git"}, "there is no private key", true},
		{git.Options{URL: "git@github.com:me/home.git", Auth: git.Auth{Key: secret.New("hunter2")}}, "the private key cannot be used", true},
		{git.Options{URL: "ssh://-oProxyCommand=x/home.git", Auth: key}, "begins with a dash", true},
		{git.Options{URL: "/srv/home.git", Ref: git.Ref{Branch: "main", Tag: "v1"}}, "name one", true},
		{git.Options{URL: "/srv/home.git", Ref: git.Ref{Branch: "refs/heads/main"}}, "without refs/heads", true},
		{git.Options{URL: "/srv/home.git", Ref: git.Ref{Semver: "nonsense"}}, "no range of versions", true},
	}
	for _, tt := range tests {
		s, err := git.New(tt.o)
		got := fmt.Sprint(err)
		if err == nil {
			got = s.String()
		}
		if (err != nil) != tt.bad || tt.bad && !strings.Contains(got, tt.want) || !tt.bad && got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.o.URL, got, tt.want)
		}
		if strings.Contains(got, "hunter2") {
			t.Errorf("%q tells a secret", got)
		}
	}
}
