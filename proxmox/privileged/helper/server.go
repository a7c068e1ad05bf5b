package helper

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/felhom/tend/proxmox/privileged/lane"
)

// Options are what a server is made of.
type Options struct {
	Doer    lane.Doer // carries requests out; it checks the rules
	Node    string    // the node on which it does
	Version string    // of the program
	// Allow is the id of the user that may call, beside root. It is asked for each connection; with an error nobody
	// but root may.
	Allow func() (uint32, error)
	Audit *Log
	Log   *slog.Logger // nil: none
	// Idle is how long nobody must have been connected for [Server.Serve] to return; 0: it waits for ever.
	Idle time.Duration
	// Grace is how long requests may go on after the context of Serve has ended, before they are told to end; 0:
	// [DefaultGrace].
	Grace time.Duration
}

// DefaultGrace is shorter than the time that the unit leaves for the end of the service (TimeoutStopSec=).
const DefaultGrace = 8 * time.Minute

// What a server puts up with. An agent changes a few containers at once, and a command of Proxmox takes a good part of a
// second: the limits are far above what it needs, and far below what would hurt the node.
const (
	maxConnections = 32
	perSecond      = 20
	burst          = 100
	idleTime       = time.Minute      // between two messages
	bodyTime       = 10 * time.Second // from the length of a message to its end
	sendTime       = 30 * time.Second // for an answer
)

// A Server takes requests of one user.
type Server struct {
	o     Options
	turns turns
	ids   ids
	rate  *rate.Limiter
	slots chan struct{} // one value for each connection
	// peer tells who made a connection, and word is a new one for each session; both are others in tests.
	peer func(net.Conn) (Peer, error)
	word func() string

	mu    sync.Mutex
	conns int
	idle  *time.Timer // runs while there is no connection; nil: idle time does not matter
}

// NewServer makes a server.
func NewServer(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Grace = cmp.Or(o.Grace, DefaultGrace)
	return &Server{
		o: o, rate: rate.NewLimiter(perSecond, burst), slots: make(chan struct{}, maxConnections),
		peer: peerOf, word: rand.Text,
	}
}

// Serve takes connections until ctx ends, or nobody was connected for the idle time; then it closes the listener and
// returns nil. What is under way then is brought to its end: a command of Proxmox that is killed leaves locks and
// halves behind.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var open sync.WaitGroup
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.o.Grace, cut) })()
	ended, idle := make(chan error, 1), make(chan struct{}, 1)
	if s.o.Idle > 0 {
		s.idle = time.AfterFunc(s.o.Idle, func() {
			select {
			case idle <- struct{}{}:
			default: // it was told before
			}
		})
		defer s.idle.Stop()
	}
	go func() { ended <- s.accept(ctx, hard, l, &open) }()
	var err error
	select {
	case err = <-ended:
		ended <- nil
	case <-ctx.Done():
	case <-idle:
		s.o.Log.InfoContext(ctx, "nobody is connected", slog.Duration("for", s.o.Idle))
	}
	if cerr := l.Close(); !errors.Is(cerr, net.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	err = errors.Join(err, <-ended) // a connection that came at the last moment is served
	open.Wait()
	return err
}

// accept takes connections until the listener is closed. Strangers are refused here and hold no slot.
func (s *Server) accept(ctx, hard context.Context, l net.Listener, open *sync.WaitGroup) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		peer, refusal := s.admit(conn)
		if refusal != nil {
			s.turnAway(conn, peer, refusal)
			continue
		}
		s.count(1)
		open.Go(func() {
			defer func() { <-s.slots }()
			defer s.count(-1)
			s.converse(ctx, hard, conn, peer)
		})
	}
}

// count keeps the idle time: it runs while nobody is connected.
func (s *Server) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns += n
	switch {
	case s.idle == nil:
	case s.conns > 0:
		s.idle.Stop()
	default:
		s.idle.Reset(s.o.Idle)
	}
}

// admit says who made a connection, and takes a slot for who may. Root may: whatever the list holds it can do without
// asking, so that to refuse it would protect nothing, and a person who looks for a fault calls as root.
func (s *Server) admit(conn net.Conn) (Peer, *Refusal) {
	peer, err := s.peer(conn)
	if err != nil {
		return peer, &Refusal{WrongUser, "it cannot be told who calls: " + err.Error()}
	}
	if peer.UID != 0 {
		uid, err := s.o.Allow()
		switch {
		case err != nil:
			return peer, &Refusal{WrongUser, "only root may call: " + err.Error()}
		case uid != peer.UID:
			return peer, &Refusal{WrongUser, "another user may call, and root"}
		}
	}
	select {
	case s.slots <- struct{}{}:
		return peer, nil
	default:
		return peer, &Refusal{TooMany, "there are too many connections"}
	}
}

// turnAway refuses a connection. The few bytes fit into the buffer of a socket that is new, so that nobody can hold up
// the others here.
func (s *Server) turnAway(conn net.Conn, peer Peer, r *Refusal) {
	defer func() { _ = conn.Close() }()
	s.o.Audit.refuse(Record{Peer: peer, Error: r.Text, Code: r.Code})
	s.o.Log.Warn("connection refused", slog.Any("uid", peer.UID), slog.Any("pid", peer.PID), slog.String("code", string(r.Code)))
	text, err := frame(Greeting{Protocol: Protocol, Refusal: r})
	if err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write(text) // who does not listen has left
	}
}
