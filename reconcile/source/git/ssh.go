package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"github.com/felhom/tend/reconcile/source"
)

// An sshWire is a server that is reached over ssh. Each request is a session of one connection.
type sshWire struct {
	client *ssh.Client
	path   string
	max    int64
	stop   func() bool
}

// dialSSH connects. The end of the context ends the connection, and with it all that waits for it.
func dialSSH(ctx context.Context, a address, o Options, signer ssh.Signer) (*sshWire, error) {
	hosts, err := readHosts(o.Auth.KnownHosts, a)
	if err != nil {
		return nil, err
	}
	user := a.user
	for _, u := range []string{o.Auth.User, "git"} {
		if user == "" {
			user = u
		}
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", a.dial())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, a.dial(), &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: hosts.check, HostKeyAlgorithms: hosts.db.HostKeyAlgorithms(a.dial()),
	})
	if err != nil {
		stop()
		_ = conn.Close()
		return nil, hosts.explain(err, user, signer.PublicKey())
	}
	return &sshWire{ssh.NewClient(c, channels, requests), a.path, o.Limits.Pack, stop}, nil
}

// signer is the private key. Opening one with a passphrase takes a good part of a second, by design.
func (a Auth) signer() (ssh.Signer, error) {
	key := []byte(a.Key.Reveal())
	signer, err := ssh.ParsePrivateKey(key)
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked && !a.Passphrase.IsZero() {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(key, []byte(a.Passphrase.Reveal()))
	}
	if err != nil {
		return nil, fmt.Errorf("the private key cannot be used: %w: give it as ssh-keygen writes it, with its passphrase if it has one", err)
	}
	return signer, nil
}

// hosts are the keys of known servers, and what one showed that was asked.
type hosts struct {
	db    *knownhosts.HostKeyDB
	files []string
	name  string // of the server, with its port
	key   ssh.PublicKey
	err   error // why the key is not trusted
}

func readHosts(files []string, a address) (*hosts, error) {
	var there []string
	for _, f := range files {
		if _, err := os.Stat(f); !errors.Is(err, os.ErrNotExist) {
			there = append(there, f)
		}
	}
	db, err := knownhosts.NewDB(there...)
	if err != nil {
		return nil, &source.Error{Class: source.Untrusted, Err: fmt.Errorf("read known hosts: %w", err)}
	}
	return &hosts{db: db, files: files, name: a.dial()}, nil
}

// check refuses every key that is not known.
func (h *hosts) check(name string, addr net.Addr, key ssh.PublicKey) error {
	h.key = key
	h.err = h.db.HostKeyCallback()(name, addr, key)
	return h.err
}

// explain says why a connection came to nothing.
func (h *hosts) explain(err error, user string, key ssh.PublicKey) error {
	switch {
	case h.err != nil:
		return h.untrusted()
	case h.key == nil || isNetwork(err): // not so far that anybody was asked who they are
		return err
	}
	return &source.Error{
		Class: source.Denied, Key: ssh.FingerprintSHA256(key),
		Err:  fmt.Errorf("%s takes user %s with key %s not in: %w", h.name, user, ssh.FingerprintSHA256(key), err),
		Hint: "let this key read the repository (as a deploy key): " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))),
	}
}

func (h *hosts) untrusted() error {
	print := ssh.FingerprintSHA256(h.key)
	e := &source.Error{Class: source.Untrusted, Key: print}
	file := "a file, and name it as known hosts"
	if len(h.files) > 0 {
		file = h.files[0]
	}
	line := knownhosts.Line([]string{h.name}, h.key)
	known, ok := errors.AsType[*xknownhosts.KeyError](h.err)
	switch {
	case ok && len(known.Want) > 0:
		old := known.Want[0]
		e.Err = fmt.Errorf("%s shows another key than the known one: %s %s in place of %s", h.name, h.key.Type(), print, ssh.FingerprintSHA256(old.Key))
		e.Hint = fmt.Sprintf("somebody may be in between; only where the server itself shows this fingerprint, write in place of line %d of %s: %s", old.Line, old.Filename, line)
	case ok:
		e.Err = fmt.Errorf("the key of %s is not known: %s %s", h.name, h.key.Type(), print)
		e.Hint = fmt.Sprintf("where the server itself, or whoever runs it, shows this fingerprint (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub), write this line into %s: %s", file, line)
	default:
		e.Err = fmt.Errorf("the key of %s is refused: %w", h.name, h.err)
	}
	return e
}

func (w *sshWire) close() {
	w.stop()
	_ = w.client.Close()
}

func (w *sshWire) refs(ctx context.Context) (*packp.AdvRefs, error) {
	s, err := w.session(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	adv, err := s.refs()
	if err == nil {
		_, err = io.WriteString(s.in, "0000") // wants nothing
	}
	return adv, err
}

func (w *sshWire) upload(ctx context.Context, request []byte) (io.ReadCloser, error) {
	s, err := w.session(ctx)
	if err != nil {
		return nil, err
	}
	_, err = s.refs() // they come first, whether asked for or not
	if err == nil {
		_, err = s.in.Write(request)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// A session is one run of git-upload-pack.
type session struct {
	*ssh.Session
	io.Reader
	in  io.WriteCloser
	say *said
}

func (w *sshWire) session(ctx context.Context) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := w.client.NewSession()
	if err != nil {
		return nil, err
	}
	in, err1 := s.StdinPipe()
	out, err2 := s.StdoutPipe()
	say := &said{}
	s.Stderr = say
	err = errors.Join(err1, err2)
	if err == nil {
		err = s.Start("git-upload-pack " + quote(w.path))
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return &session{s, bound(out, w.max+maxRefs), in, say}, nil
}

func (s *session) refs() (*packp.AdvRefs, error) {
	adv := packp.NewAdvRefs()
	err := adv.Decode(s.Reader)
	if err == nil || errors.Is(err, packp.ErrEmptyAdvRefs) {
		return adv, err
	}
	_ = s.in.Close()
	_ = s.Wait() // for what it says
	if text := s.say.String(); text != "" {
		return nil, &source.Error{Class: source.NotFound, Err: fmt.Errorf("the server says: %s", text), Hint: "check the path, and that the key may read this repository"}
	}
	return nil, err
}

// quote makes a path one word of the server's shell, as git does (quote.c, sq_quote_buf).
func quote(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

// said is the beginning of what a server says beside its answer.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

const maxSaid = 300

// Write drops what is past the beginning.
func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p[:min(len(p), maxSaid-s.text.Len())])
	return len(p), nil
}

// String is one line of what can be shown.
func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s.text.String())
	return strings.Join(strings.Fields(text), " ")
}
