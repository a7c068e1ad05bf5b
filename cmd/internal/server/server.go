// Package server is the agent's HTTP side: the page that people look at, metrics, health, and what may be asked of
// the agent. It shows the agent's report and its history, and passes requests on; it never touches a node, a spec or
// a file of the agent, and it decides nothing.
//
// Whoever may read is decided by where the connection comes from. The local socket is guarded by the permissions of
// its file, and may do everything. On a loopback address everyone on the machine may read. On any other address only
// health is open. To ask for anything takes the local socket or the token.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/history"
	"github.com/felhom/tend/proxmox"
)

// History is what the pages and the local socket show of past runs; [history.History] implements it.
type History interface {
	// Runs returns at most n runs with ids below before (0: the newest), newest first.
	Runs(before uint64, n int) ([]report.Run, error)
	// Run returns a run; the error is [history.ErrNotFound] where there is none.
	Run(id uint64) (history.Record, error)
}

// Actions are what may be asked of the agent. Each returns once the agent has taken note, not once it is done. An
// error says in a sentence why it will not be done, and is shown to whoever asked. By says who that is.
type Actions interface {
	// Reconcile begins a run soon.
	Reconcile(ctx context.Context, by string) error
	// Suspend leaves a container alone, or with the VMID 0 all of them.
	Suspend(ctx context.Context, s report.Suspension) error
	// Resume ends a suspension.
	Resume(ctx context.Context, id proxmox.VMID, by string) error
	// Approve says yes to a plan.
	Approve(ctx context.Context, hash, by string) error
}

// Options are what a server needs. Board and Log must be there.
type Options struct {
	Board   *report.Board
	History History // nil: there is none
	Actions Actions // nil: nothing can be asked for
	Log     *slog.Logger

	Access
}

// An Access says who may do what, and how. It may change while the server runs.
type Access struct {
	Hooks http.Handler // takes POST /hooks/…, and checks by itself who that is; nil: there are none
	// Token lets people and programs in; at least 16 characters. Zero: there is none, so that nothing can be asked
	// for over the network, and only loopback addresses can be listened on.
	Token proxmox.Secret
	// Hosts are names, without a port, by which people reach the server, besides its addresses and localhost. Any
	// other name in a request is refused: it would be a web site that points its name to this machine.
	Hosts []string
	// Cert and Key are files in PEM, read again when they change; both empty: no TLS.
	Cert, Key string
}

// leastToken is how many characters a token has at least, so that guessing is hopeless.
const leastToken = 16

// The bounds of what one server carries.
const (
	maxConnections = 128
	maxStreams     = 32 // pages that are kept up to date
	maxBody        = 64 << 10
	maxHeader      = 16 << 10
	readTime       = 10 * time.Second
	writeTime      = 30 * time.Second
	idleTime       = 2 * time.Minute
	shutdownTime   = 3 * time.Second
)

// A Server is the agent's HTTP side.
type Server struct {
	o        Options
	access   atomic.Pointer[access]
	sessions sessions
	pages    *pages
	metrics  http.Handler
	streams  chan struct{} // a place for each stream
}

// An access is one that is in force.
type access struct {
	Access
	certificate *certificate  // nil: no TLS
	over        chan struct{} // closed once another token is in force: whoever was let in must show that one
}

// New makes a server. The error says what is wrong with the options.
func New(o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p, err := newPages()
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, pages: p, metrics: metricsHandler(o.Board, o.Log), streams: make(chan struct{}, maxStreams)}
	s.access.Store(newAccess(o.Access))
	return s, nil
}

func newAccess(a Access) *access {
	out := &access{Access: a, over: make(chan struct{})}
	if a.Cert != "" {
		out.certificate = &certificate{cert: a.Cert, key: a.Key}
	}
	return out
}

// check says what is wrong, as far as can be told without an address.
func (a Access) check() error {
	if n := len(a.Token.Reveal()); n > 0 && n < leastToken {
		return fmt.Errorf("the token for the page has %d characters: make it %d or more, as with openssl rand -hex 32", n, leastToken)
	}
	if (a.Cert == "") != (a.Key == "") {
		return errors.New("TLS needs a certificate and its key: one of the two files is not named")
	}
	return nil
}

// Set puts another access in force, for connections from now on and requests on those that are open. Where the token is
// another one, whoever logged in with the one before must do so again. One goroutine at a time calls it.
func (s *Server) Set(a Access) {
	before, after := s.access.Load(), newAccess(a)
	same := before.Token.Equal(a.Token)
	if same {
		after.over = before.over
	}
	s.access.Store(after)
	if !same {
		s.sessions.clear()
		close(before.over)
	}
}

// A door is where a connection comes in.
type door int

const (
	localDoor    door = iota // the local socket
	loopbackDoor             // everyone on the machine
	publicDoor               // everyone
)

// May reports why the server may not or cannot listen on an address with its access: nil, it can. Whoever asks before
// anything else is begun need not end what is under way.
func (s *Server) May(addr net.Addr) error { return s.access.Load().May(addr) }

// May reports why no server may or can listen on an address with this access: nil, it can.
func (a Access) May(addr net.Addr) error {
	if err := a.check(); err != nil {
		return err
	}
	d := doorOf(addr)
	if d == publicDoor && a.Token.IsZero() {
		return fmt.Errorf("listen on %s: everyone who reaches it could read; set a token for the page (web.tokenFile), or listen on 127.0.0.1", addr)
	}
	if a.Cert != "" && d != localDoor {
		if _, err := (&certificate{cert: a.Cert, key: a.Key}).get(nil); err != nil {
			return err
		}
	}
	return nil
}

// Serve answers on a listener until the context ends, and then waits a few seconds for what is under way. On any
// address but loopback it needs a token.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if err := s.May(l.Addr()); err != nil {
		_ = l.Close()
		return err
	}
	d := doorOf(l.Addr())
	if d == publicDoor && s.access.Load().certificate == nil {
		s.o.Log.Warn("the page is served without TLS: whoever is in between can read the token", "address", l.Addr().String())
	}
	if d != localDoor { // whoever may use the socket is trusted, and is asked for its user
		l = secured{netutil.LimitListener(l, maxConnections), s}
	}
	return s.serve(ctx, l, s.Handler(d == localDoor, d == loopbackDoor))
}

// A secured listener has its connections encrypted, if that is asked for when they come in.
type secured struct {
	net.Listener
	server *Server
}

func (l secured) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if cert := l.server.access.Load().certificate; err == nil && cert != nil {
		c = tls.Server(c, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get, NextProtos: []string{"http/1.1"}})
	}
	return c, err
}

func (s *Server) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	closing := make(chan struct{})
	base := context.WithValue(context.WithoutCancel(ctx), closingKey, closing)
	hs := &http.Server{
		Handler: h, BaseContext: func(net.Listener) context.Context { return base }, ReadHeaderTimeout: readTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug), ConnContext: withPeer,
	}
	ended := make(chan error, 1)
	go func() { ended <- hs.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	close(closing)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if hs.Shutdown(stop) != nil {
		_ = hs.Close()
	}
	<-ended
	return nil
}

// doorOf tells where connections to an address come from.
func doorOf(a net.Addr) door {
	switch a := a.(type) {
	case *net.UnixAddr:
		return localDoor
	case *net.TCPAddr:
		if a.IP.IsLoopback() {
			return loopbackDoor
		}
	}
	return publicDoor
}

// ListenLocal makes the local socket, which only the owner and the group of its file may use. One that a crash left
// behind is replaced; one that somebody answers on is not.
func ListenLocal(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("listen on %s: another agent answers there", path)
	}
	if i, err := os.Lstat(path); err == nil && i.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("replace the old socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// A certificate is read from its files, again when they change.
type certificate struct {
	cert, key string

	mu   sync.Mutex // guards what is below
	read time.Time  // change time of the files when they were read
	pair *tls.Certificate
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed, err := newest(c.cert, c.key)
	if c.pair != nil && (err != nil || changed.Equal(c.read)) {
		return c.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	switch {
	case err == nil:
		c.pair, c.read = &pair, changed
	case c.pair == nil:
		return nil, fmt.Errorf("read the certificate for the page: %w", err)
	}
	return c.pair, nil // while the files are being replaced, the old pair is good
}

func newest(paths ...string) (time.Time, error) {
	var out time.Time
	for _, p := range paths {
		i, err := os.Stat(p)
		if err != nil {
			return out, err
		}
		if i.ModTime().After(out) {
			out = i.ModTime()
		}
	}
	return out, nil
}
