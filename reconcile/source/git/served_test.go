package git_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/felhom/tend/proxmox/secret"
	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/git"
)

// backend is git's own server for http; the test is skipped where git is not installed.
func backend(t *testing.T, dir string) http.Handler {
	t.Helper()
	for _, bin := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(bin, "git")
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return &cgi.Handler{
				Path: path, Args: []string{"http-backend"}, Stderr: io.Discard,
				Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
			}
		}
	}
	t.Skip("git is not installed: it is the server of this test")
	return nil
}

// A site is an https server of repositories, which asks for a password.
type site struct {
	*httptest.Server
	cas     *x509.CertPool
	posts   atomic.Int64
	sent    atomic.Int64 // bytes of answers to posts
	replace http.Handler // answers in place of git where not nil
}

const token = "s3cret-token"

func serveHTTPS(t *testing.T, m *made) *site {
	t.Helper()
	s := &site{}
	git := backend(t, filepath.Dir(m.dir))
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		switch {
		case s.replace != nil:
			s.replace.ServeHTTP(w, r)
			return
		case password != token && r.Header.Get("Authorization") != "Bearer "+token:
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodPost {
			s.posts.Add(1)
			w = counting{w, &s.sent}
		}
		git.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	s.cas = x509.NewCertPool()
	s.cas.AddCert(s.Certificate())
	return s
}

type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}

func (s *site) options() git.Options {
	return git.Options{URL: s.URL + "/home.git", Path: "lxc", CAs: s.cas, Auth: git.Auth{Password: secret.New(token)}}
}

func TestHTTPS(t *testing.T) {
	m := newRepo(t)
	first := m.commit("first", spec("one"))
	m.set("refs/heads/main", first)
	web := serveHTTPS(t, m)
	s := open(t, web.options())
	text, rev := fetch(t, s)
	if text != "one" || rev.ID != first || rev.Ref != "main" {
		t.Errorf("got %q, %+v", text, rev)
	}
	s.InForce(rev)
	if fetch(t, s); web.posts.Load() != 1 {
		t.Errorf("%d packs for one commit", web.posts.Load())
	}
	// Two commits on, the second a merge: one pack of files, and one of commits.
	second := m.commit("second", spec("two"), first)
	m.set("refs/heads/main", m.commit("third", spec("three"), m.commit("side", spec("side"), first), second))
	if text, rev = fetch(t, s); text != "three" || web.posts.Load() != 3 {
		t.Errorf("got %q after %d packs", text, web.posts.Load())
	}
	s.InForce(rev)
	m.set("refs/heads/main", second)
	for range 2 {
		refused(t, s, source.Rewritten, "rewritten, or went back")
	}
	if web.posts.Load() != 5 {
		t.Errorf("%d packs", web.posts.Load())
	}
	o := web.options()
	o.Auth = git.Auth{Bearer: secret.New(token)}
	m.set("refs/tags/v1.0.0", m.tag("v1.0.0", "commit", second))
	o.Ref = git.Ref{Semver: "1"}
	if text, _ := fetch(t, open(t, o)); text != "two" {
		t.Errorf("got %q", text)
	}
}

// TestHTTPSShallow does not fetch what history holds and the commit does not.
func TestHTTPSShallow(t *testing.T) {
	m := newRepo(t)
	noise := make([]byte, 300_000)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	first := m.commit("first", map[string]string{"lxc/web.yaml": "one", "big": string(noise)})
	m.set("refs/heads/main", first)
	web := serveHTTPS(t, m)
	s := open(t, web.options())
	_, rev := fetch(t, s)
	s.InForce(rev)
	web.sent.Store(0)
	m.set("refs/heads/main", m.commit("second", spec("two"), first))
	if fetch(t, s); web.sent.Load() > 10_000 {
		t.Errorf("%d bytes were sent for a commit with a line", web.sent.Load())
	}
}

func TestHTTPSRefuses(t *testing.T) {
	m := newRepo(t)
	m.set("refs/heads/main", m.commit("first", spec("one")))
	web := serveHTTPS(t, m)
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
		o := web.options()
		tt.change(&o)
		e := refused(t, open(t, o), tt.class, tt.words)
		if strings.Contains(fmt.Sprintf("%+v %#v", e, e.Err), token) {
			t.Errorf("%s: the error tells the token", tt.name)
		}
		if tt.class == source.Untrusted && len(e.Key) != 64 {
			t.Errorf("the certificate is %q", e.Key)
		}
	}
}

// TestHTTPSAnswers goes through servers that are none of git, or not well.
func TestHTTPSAnswers(t *testing.T) {
	m := newRepo(t)
	web := serveHTTPS(t, m)
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
			web.replace = tt.answer
			refused(t, open(t, web.options()), tt.class, tt.words)
		})
	}
}

// TestSlow ends after the time that a fetch may take.
func TestSlow(t *testing.T) {
	m := newRepo(t)
	web := serveHTTPS(t, m)
	web.replace = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	o := web.options()
	o.Limits.Time = 20 * time.Millisecond
	refused(t, open(t, o), source.Unreachable, "it took longer than 20ms")
}

// TestTooLarge refuses packs that are large, or that would be once they are unpacked.
func TestTooLarge(t *testing.T) {
	m := newRepo(t)
	noise := make([]byte, 50_000)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"lxc/web.yaml": "one", "noise": string(noise), "zeros": strings.Repeat("\x00", 300_000)}
	for i := range 20 {
		files[fmt.Sprintf("many/%d", i)] = fmt.Sprint(i)
	}
	m.set("refs/heads/main", m.commit("first", files))
	web := serveHTTPS(t, m)
	for name, l := range map[string]git.Limits{
		"sends more than 40000 bytes": {Pack: 40_000}, "an object has 300000 bytes": {Object: 200_000}, "the objects have more than": {Inflated: 200_000},
		"objects, over 10": {Objects: 10},
	} {
		o := web.options()
		o.Limits = l
		s := open(t, o)
		posts := web.posts.Load()
		refused(t, s, source.TooLarge, name, "raise the limit")
		refused(t, s, source.TooLarge, name)
		if web.posts.Load() != posts+1 {
			t.Errorf("%s: it was sent again, to be refused again", name)
		}
	}
	fetch(t, open(t, web.options()))
}

// A host is an ssh server of repositories, by go-git, which knows neither depth nor filters.
type host struct {
	addr    string
	key     ssh.Signer
	allowed ssh.PublicKey
	root    string
	user    atomic.Value
}

func signer(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err1 := ssh.MarshalPrivateKey(private, "")
	s, err2 := ssh.NewSignerFromKey(private)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return s, string(pem.EncodeToMemory(block))
}

func serveSSH(t *testing.T, root string, allowed ssh.PublicKey) *host {
	t.Helper()
	key, _ := signer(t)
	h := &host{key: key, allowed: allowed, root: root}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	h.addr = l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(c)
		}
	}()
	return h
}

func (h *host) serve(c net.Conn) {
	defer c.Close()
	config := &ssh.ServerConfig{PublicKeyCallback: func(m ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		h.user.Store(m.User())
		if string(k.Marshal()) != string(h.allowed.Marshal()) {
			return nil, fmt.Errorf("not allowed")
		}
		return nil, nil
	}}
	config.AddHostKey(h.key)
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range channels {
		ch, in, err := n.Accept()
		if err != nil {
			return
		}
		go func() {
			defer ch.Close()
			for r := range in {
				_ = r.Reply(r.Type == "exec", nil)
				if r.Type == "exec" {
					status := h.exec(ch, string(r.Payload[4:]))
					_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, status})
					return
				}
			}
		}()
	}
}

// exec is what the command git-upload-pack does.
func (h *host) exec(ch ssh.Channel, command string) byte {
	path := strings.Trim(strings.TrimPrefix(command, "git-upload-pack "), "'")
	fs := osfs.New(filepath.Join(h.root, path))
	ep, _ := transport.NewEndpoint("/")
	session, err := server.NewServer(server.NewFilesystemLoader(fs)).NewUploadPackSession(ep, nil)
	if err != nil {
		fmt.Fprintf(ch.Stderr(), "ERROR: Repository not found.\n\x1b[31m'%s'\n", path)
		return 1
	}
	adv, err := session.AdvertisedReferencesContext(context.Background())
	if err != nil || adv.Encode(ch) != nil {
		return 1
	}
	req := packp.NewUploadPackRequest()
	if err := req.UploadRequest.Decode(ch); err != nil {
		return 0 // it wants nothing
	}
	if _, err := io.ReadFull(ch, make([]byte, len("0009done\n"))); err != nil {
		return 1
	}
	answer, err := session.UploadPack(context.Background(), req)
	if err != nil || answer.Encode(ch) != nil {
		return 1
	}
	return 0
}

func TestSSH(t *testing.T) {
	m := newRepo(t)
	first := m.commit("first", spec("one"))
	m.set("refs/heads/main", first)
	key, private := signer(t)
	h := serveSSH(t, filepath.Dir(m.dir), key.PublicKey())
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	o := git.Options{
		URL: "ssh://deploy@" + h.addr + "/home.git", Ref: git.Ref{Branch: "main"}, Path: "lxc",
		Auth: git.Auth{Key: secret.New(private), KnownHosts: []string{hosts}},
	}
	s := open(t, o)

	line := knownhosts.Line([]string{h.addr}, h.key.PublicKey())
	print := ssh.FingerprintSHA256(h.key.PublicKey())
	if e := refused(t, s, source.Untrusted, "is not known", print, "write this line into "+hosts+": "+line); e.Key != print {
		t.Errorf("the key is %q", e.Key)
	}
	other, _ := signer(t)
	m.must(os.WriteFile(hosts, []byte("# mine\n"+knownhosts.Line([]string{h.addr}, other.PublicKey())+"\n"), 0o600))
	refused(t, s, source.Untrusted, "another key than the known one", print, "line 2 of "+hosts, line)
	m.must(os.WriteFile(hosts, []byte(line+"\n"), 0o600))

	text, rev := fetch(t, s)
	if text != "one" || rev.ID != first || h.user.Load() != "deploy" {
		t.Errorf("got %q, %+v, user %v", text, rev, h.user.Load())
	}
	s.InForce(rev)
	second := m.commit("second", spec("two"), first)
	m.set("refs/heads/main", second)
	_, rev = fetch(t, s)
	s.InForce(rev)
	m.set("refs/heads/main", m.commit("amended", spec("three"), first))
	refused(t, s, source.Rewritten, "rewritten")

	o.URL = "ssh://" + h.addr + "/other.git"
	refused(t, open(t, o), source.NotFound, "the server says: ERROR: Repository not found. [31m'/other.git'", "the key may read")
	if h.user.Load() != "git" {
		t.Errorf("without a name it is %v who asks", h.user.Load())
	}
	stranger, private := signer(t)
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
	m := newRepo(t)
	m.set("refs/heads/main", m.commit("first", spec("one")))
	// Made by ssh-keygen -a 1: with as few rounds as there can be, since the race detector makes each one slow.
	private, err := os.ReadFile("testdata/locked_key")
	m.must(err)
	text, err := os.ReadFile("testdata/locked_key.pub")
	m.must(err)
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	m.must(err)
	h := serveSSH(t, filepath.Dir(m.dir), public)
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	m.must(os.WriteFile(hosts, []byte(knownhosts.Line([]string{h.addr}, h.key.PublicKey())), 0o600))
	o := git.Options{URL: "ssh://" + h.addr + "/home.git", Path: "lxc", Auth: git.Auth{
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
	_, private := signer(t)
	o := git.Options{URL: "ssh://" + l.Addr().String() + "/home.git", Auth: git.Auth{Key: secret.New(private)}, Limits: git.Limits{Time: 20 * time.Millisecond}}
	refused(t, open(t, o), source.Unreachable, "it took longer than")
	_ = l.Close()
	refused(t, open(t, o), source.Unreachable, "refused")
}
