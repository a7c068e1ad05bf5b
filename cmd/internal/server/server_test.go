package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/server"
	"github.com/felhom/tend/proxmox"
)

const token = "a-token-of-some-length"

// options are those of a server with a history, and a report where there is one.
func options(t *testing.T, r *report.Report) server.Options {
	t.Helper()
	o := server.Options{Board: &report.Board{}, History: pastRuns(), Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Actions: &asked{}}
	o.Token = proxmox.NewSecret(token)
	if r != nil {
		o.Board.Publish(r)
	}
	return o
}

// start serves on a loopback address and returns the URL.
func start(t *testing.T, o server.Options) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	startOn(t, o, l)
	return "http://" + l.Addr().String()
}

func startOn(t *testing.T, o server.Options, l net.Listener) {
	t.Helper()
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// asked is an agent that remembers what it was asked for.
type asked struct {
	mu   sync.Mutex
	what []string
	err  error
}

func (a *asked) note(format string, args ...any) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.what = append(a.what, fmt.Sprintf(format, args...))
	return a.err
}

func (a *asked) Reconcile(_ context.Context, by string) error { return a.note("reconcile by %s", by) }

func (a *asked) Suspend(_ context.Context, s report.Suspension) error {
	until := "resumed"
	if !s.Until.IsZero() {
		until = s.Until.Sub(s.Since).String()
	}
	return a.note("suspend %d for %q until %s by %s", s.ID, s.Reason, until, s.By)
}

func (a *asked) Resume(_ context.Context, id proxmox.VMID, by string) error {
	return a.note("resume %d by %s", id, by)
}

func (a *asked) Approve(_ context.Context, hash, by string) error {
	return a.note("approve %s by %s", hash, by)
}
