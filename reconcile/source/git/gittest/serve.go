package gittest

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

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// backend is git's own server for http; the test is skipped where git is not installed.
func backend(t testing.TB, dir string) http.Handler {
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

// A Site is an https server of repositories, which asks for a password.
type Site struct {
	*httptest.Server
	CAs     *x509.CertPool
	Posts   atomic.Int64
	Sent    atomic.Int64 // bytes of answers to posts
	Replace http.Handler // answers in place of git where not nil
}

// Token is the password that a Site asks for.
const Token = "s3cret-token"

// ServeHTTPS serves the repositories beside one, until the test ends.
func ServeHTTPS(t testing.TB, m *Repo) *Site {
	t.Helper()
	s := &Site{}
	git := backend(t, filepath.Dir(m.Dir))
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		switch {
		case s.Replace != nil:
			s.Replace.ServeHTTP(w, r)
			return
		case password != Token && r.Header.Get("Authorization") != "Bearer "+Token:
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodPost {
			s.Posts.Add(1)
			w = counting{w, &s.Sent}
		}
		git.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	s.CAs = x509.NewCertPool()
	s.CAs.AddCert(s.Certificate())
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

// A Host is an ssh server of repositories, by go-git, which knows neither depth nor filters.
type Host struct {
	Addr    string
	Key     ssh.Signer
	allowed ssh.PublicKey
	root    string
	User    atomic.Value
}

// Key makes a key, and its private part as ssh-keygen writes it.
func Key(t testing.TB) (ssh.Signer, string) {
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

// ServeSSH serves the repositories below a folder to whoever has a key, until the test ends.
func ServeSSH(t testing.TB, root string, allowed ssh.PublicKey) *Host {
	t.Helper()
	key, _ := Key(t)
	h := &Host{Key: key, allowed: allowed, root: root}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	h.Addr = l.Addr().String()
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

func (h *Host) serve(c net.Conn) {
	defer c.Close()
	config := &ssh.ServerConfig{PublicKeyCallback: func(m ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		h.User.Store(m.User())
		if string(k.Marshal()) != string(h.allowed.Marshal()) {
			return nil, fmt.Errorf("not allowed")
		}
		return nil, nil
	}}
	config.AddHostKey(h.Key)
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
func (h *Host) exec(ch ssh.Channel, command string) byte {
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

// Line is the line of known_hosts for the server.
func (h *Host) Line() string { return knownhosts.Line([]string{h.Addr}, h.Key.PublicKey()) }
