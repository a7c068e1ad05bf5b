package git_test

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/felhom/tend/proxmox/secret"
	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/git"
	"github.com/felhom/tend/reconcile/source/git/gittest"
)

func options(s *gittest.Site) git.Options {
	return git.Options{URL: s.URL + "/home.git", Path: "lxc", CAs: s.CAs, Auth: git.Auth{Password: secret.New(gittest.Token)}}
}

func TestHTTPS(t *testing.T) {
	m := gittest.New(t)
	first := m.Commit("first", gittest.Spec("one"))
	m.Set("refs/heads/main", first)
	web := gittest.ServeHTTPS(t, m)
	s := open(t, options(web))
	text, rev := fetch(t, s)
	if text != "one" || rev.ID != first || rev.Ref != "main" {
		t.Errorf("got %q, %+v", text, rev)
	}
	s.InForce(rev)
	if fetch(t, s); web.Posts.Load() != 1 {
		t.Errorf("%d packs for one commit", web.Posts.Load())
	}
	// Two commits on, the second a merge: one pack of files, and one of commits.
	second := m.Commit("second", gittest.Spec("two"), first)
	m.Set("refs/heads/main", m.Commit("third", gittest.Spec("three"), m.Commit("side", gittest.Spec("side"), first), second))
	if text, rev = fetch(t, s); text != "three" || web.Posts.Load() != 3 {
		t.Errorf("got %q after %d packs", text, web.Posts.Load())
	}
	s.InForce(rev)
	m.Set("refs/heads/main", second)
	for range 2 {
		refused(t, s, source.Rewritten, "rewritten, or went back")
	}
	if web.Posts.Load() != 5 {
		t.Errorf("%d packs", web.Posts.Load())
	}
	o := options(web)
	o.Auth = git.Auth{Bearer: secret.New(gittest.Token)}
	m.Set("refs/tags/v1.0.0", m.Tag("v1.0.0", "commit", second))
	o.Ref = git.Ref{Semver: "1"}
	if text, _ := fetch(t, open(t, o)); text != "two" {
		t.Errorf("got %q", text)
	}
}

// TestHTTPSShallow does not fetch what history holds and the commit does not.
func TestHTTPSShallow(t *testing.T) {
	m := gittest.New(t)
	noise := make([]byte, 300_000)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	first := m.Commit("first", map[string]string{"lxc/web.yaml": "one", "big": string(noise)})
	m.Set("refs/heads/main", first)
	web := gittest.ServeHTTPS(t, m)
	s := open(t, options(web))
	_, rev := fetch(t, s)
	s.InForce(rev)
	web.Sent.Store(0)
	m.Set("refs/heads/main", m.Commit("second", gittest.Spec("two"), first))
	if fetch(t, s); web.Sent.Load() > 10_000 {
		t.Errorf("%d bytes were sent for a commit with a line", web.Sent.Load())
	}
}

func TestHTTPSRefuses(t *testing.T) {
	m := gittest.New(t)
	m.Set("refs/heads/main", m.Commit("first", gittest.Spec("one")))
	web := gittest.ServeHTTPS(t, m)
	tests := []struct {
		name   string
		change func(*git.Options)
		class  source.Class
		words  string
	}{
		{"no token", func(o *git.Options) { o.Auth = git.Auth{} }, source.Denied, "there is none"},
		{"a wrong token", func(o *git.Options) { o.Auth.Password = secret.New("wrong") }, source.Denied, "wrong or expired"},
		{"another repository", func(o *git.Options) { o.URL = web.URL + "/other.git" }, source.NotFound, "that the token may read"},
		{"another authority", func(o *git.Options) { o.CAs = x509.NewCertPool() }, source.Untrusted, "name the authority"},
		{"nobody there", func(o *git.Options) { o.URL = "https://127.0.0.1:1/home.git" }, source.Unreachable, "refused"},
		{"a branch that is not there", func(o *git.Options) { o.Ref.Branch = "x" }, source.NotFound, "the branches are main"},
	}
	for _, tt := range tests {
		o := options(web)
		tt.change(&o)
		e := refused(t, open(t, o), tt.class, tt.words)
		if strings.Contains(fmt.Sprintf("%+v %#v", e, e.Err), gittest.Token) {
			t.Errorf("%s: the error tells the token", tt.name)
		}
		if tt.class == source.Untrusted && len(e.Key) != 64 {
			t.Errorf("the certificate is %q", e.Key)
		}
	}
}

// TestHTTPSAnswers goes through servers that are none of git, or not well.
func TestHTTPSAnswers(t *testing.T) {
	m := gittest.New(t)
	web := gittest.ServeHTTPS(t, m)
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s with %q was asked", r.URL, r.Header)
	}))
	t.Cleanup(elsewhere.Close)
	git := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, text)
		}
	}
	tests := []struct {
		name   string
		answer http.Handler
		class  source.Class
		words  string
	}{
		{"a page", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }), source.Damaged, "no git server"},
		{"moved", http.RedirectHandler(elsewhere.URL+"/moved.git/info/refs?service=git-upload-pack", http.StatusMovedPermanently), source.NotFound, "it has moved to " + elsewhere.URL + "/moved.git: if that is right"},
		{"moved in a circle", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }), source.Damaged, "too many redirects"},
		{"busy", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }), source.Unreachable, "503"},
		{"too often", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }), source.Unreachable, "429"},
		{"forbidden", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }), source.Denied, "may not read"},
		{"an empty repository", git("001e# service=git-upload-pack\n00000000"), source.NotFound, "the repository is empty"},
		{"nonsense", git("zzzz"), source.Damaged, ""},
		{"cut off", git("001e# service=git-upload-pack\n0000010a"), source.Unreachable, ""},
		{"without end", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			git("001e# service=git-upload-pack\n0000").ServeHTTP(w, r)
			line := strings.Repeat("a", 40) + " refs/heads/%09d" + strings.Repeat("x", 60_000) + "\n"
			for i := 0; ; i++ {
				text := fmt.Sprintf(line, i)
				if i == 0 {
					text = strings.TrimSpace(text) + "\x00\n"
				}
				if _, err := fmt.Fprintf(w, "%04x%s", len(text)+4, text); err != nil {
					return
				}
			}
		}), source.TooLarge, "sends more than"},
		{"hanging up", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), source.Unreachable, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			web.Replace = tt.answer
			refused(t, open(t, options(web)), tt.class, tt.words)
		})
	}
}

// TestSlow ends after the time that a fetch may take.
func TestSlow(t *testing.T) {
	m := gittest.New(t)
	web := gittest.ServeHTTPS(t, m)
	web.Replace = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	o := options(web)
	o.Limits.Time = 20 * time.Millisecond
	refused(t, open(t, o), source.Unreachable, "it took longer than 20ms")
}

// TestTooLarge refuses packs that are large, or that would be once they are unpacked.
func TestTooLarge(t *testing.T) {
	m := gittest.New(t)
	noise := make([]byte, 50_000)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"lxc/web.yaml": "one", "noise": string(noise), "zeros": strings.Repeat("\x00", 300_000)}
	for i := range 20 {
		files[fmt.Sprintf("many/%d", i)] = fmt.Sprint(i)
	}
	m.Set("refs/heads/main", m.Commit("first", files))
	web := gittest.ServeHTTPS(t, m)
	for name, l := range map[string]git.Limits{
		"sends more than 40000 bytes": {Pack: 40_000}, "an object has 300000 bytes": {Object: 200_000}, "the objects have more than": {Inflated: 200_000},
		"objects, over 10": {Objects: 10},
	} {
		o := options(web)
		o.Limits = l
		s := open(t, o)
		posts := web.Posts.Load()
		refused(t, s, source.TooLarge, name, "raise the limit")
		refused(t, s, source.TooLarge, name)
		if web.Posts.Load() != posts+1 {
			t.Errorf("%s: it was sent again, to be refused again", name)
		}
	}
	fetch(t, open(t, options(web)))
}

func TestSSH(t *testing.T) {
	m := gittest.New(t)
	first := m.Commit("first", gittest.Spec("one"))
	m.Set("refs/heads/main", first)
	key, private := gittest.Key(t)
	h := gittest.ServeSSH(t, filepath.Dir(m.Dir), key.PublicKey())
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	o := git.Options{
		URL: "ssh://deploy@" + h.Addr + "/home.git", Ref: git.Ref{Branch: "main"}, Path: "lxc",
		Auth: git.Auth{Key: secret.New(private), KnownHosts: []string{hosts}},
	}
	s := open(t, o)

	line := knownhosts.Line([]string{h.Addr}, h.Key.PublicKey())
	print := ssh.FingerprintSHA256(h.Key.PublicKey())
	if e := refused(t, s, source.Untrusted, "is not known", print, "write this line into "+hosts+": "+line); e.Key != print {
		t.Errorf("the key is %q", e.Key)
	}
	other, _ := gittest.Key(t)
	m.Must(os.WriteFile(hosts, []byte("# mine\n"+knownhosts.Line([]string{h.Addr}, other.PublicKey())+"\n"), 0o600))
	refused(t, s, source.Untrusted, "another key than the known one", print, "line 2 of "+hosts, line)
	m.Must(os.WriteFile(hosts, []byte(line+"\n"), 0o600))

	text, rev := fetch(t, s)
	if text != "one" || rev.ID != first || h.User.Load() != "deploy" {
		t.Errorf("got %q, %+v, user %v", text, rev, h.User.Load())
	}
	s.InForce(rev)
	second := m.Commit("second", gittest.Spec("two"), first)
	m.Set("refs/heads/main", second)
	_, rev = fetch(t, s)
	s.InForce(rev)
	m.Set("refs/heads/main", m.Commit("amended", gittest.Spec("three"), first))
	refused(t, s, source.Rewritten, "rewritten")

	o.URL = "ssh://" + h.Addr + "/other.git"
	refused(t, open(t, o), source.NotFound, "the server says: ERROR: Repository not found. [31m'/other.git'", "the key may read")
	if h.User.Load() != "git" {
		t.Errorf("without a name it is %v who asks", h.User.Load())
	}
	stranger, private := gittest.Key(t)
	o.Auth.Key = secret.New(private)
	if e := refused(t, open(t, o), source.Denied, "let this key read the repository", strings.TrimSpace(string(ssh.MarshalAuthorizedKey(stranger.PublicKey())))); e.Key == "" {
		t.Error("no key is named")
	}
	o.Auth.Key = secret.New("nonsense")
	if _, err := git.New(o); err == nil || !strings.Contains(err.Error(), "the private key cannot be used") {
		t.Error(err)
	}
}

func TestSSHPassphrase(t *testing.T) {
	m := gittest.New(t)
	m.Set("refs/heads/main", m.Commit("first", gittest.Spec("one")))
	// Made by ssh-keygen -a 1: with as few rounds as there can be, since the race detector makes each one slow.
	private, err := os.ReadFile("testdata/locked_key")
	m.Must(err)
	text, err := os.ReadFile("testdata/locked_key.pub")
	m.Must(err)
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	m.Must(err)
	h := gittest.ServeSSH(t, filepath.Dir(m.Dir), public)
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	m.Must(os.WriteFile(hosts, []byte(knownhosts.Line([]string{h.Addr}, h.Key.PublicKey())), 0o600))
	o := git.Options{URL: "ssh://" + h.Addr + "/home.git", Path: "lxc", Auth: git.Auth{
		Key: secret.New(string(private)), KnownHosts: []string{hosts},
	}}
	for _, passphrase := range []string{"", "wrong"} {
		o.Auth.Passphrase = secret.New(passphrase)
		if _, err := git.New(o); err == nil || !strings.Contains(err.Error(), "the private key cannot be used") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("with %q: %v", passphrase, err)
		}
	}
	o.Auth.Passphrase = secret.New("open sesame")
	fetch(t, open(t, o))
}

// TestSSHSilent ends when a server takes the connection and says nothing.
func TestSSHSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, private := gittest.Key(t)
	o := git.Options{URL: "ssh://" + l.Addr().String() + "/home.git", Auth: git.Auth{Key: secret.New(private)}, Limits: git.Limits{Time: 20 * time.Millisecond}}
	refused(t, open(t, o), source.Unreachable, "it took longer than")
	_ = l.Close()
	refused(t, open(t, o), source.Unreachable, "refused")
}
