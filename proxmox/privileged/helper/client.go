package helper

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

// A Client hands requests to the helper of this machine. It is safe for use by many goroutines. Each request takes a
// connection of its own: there is none that could be stale, and none that keeps an idle helper from ending.
type Client struct {
	Path string // of the socket
}

const (
	greetTime = 10 * time.Second // from the call to the greeting: systemd may have to start the helper
	retries   = 3                // where the helper was about to end
	retryGap  = 200 * time.Millisecond
)

// Greet asks who is there. Its errors match [proxmox.ErrUnreachable] where nobody answers, and are a [*Refusal] where
// the helper is not to be talked to.
func (c *Client) Greet(ctx context.Context) (Greeting, error) {
	conn, g, err := c.connect(ctx)
	if err == nil {
		_ = conn.Close() // it was only read
	}
	return g, err
}

// Do has the helper carry out a request, and waits until it has.
//
// What the lane says comes back as it was: its errors match the classes that they matched there. What the helper
// refuses is a [*Refusal], and nothing was done. The error matches [proxmox.ErrUnreachable] where the request
// cannot have reached the helper, and [proxmox.ErrOutcomeUnknown] where it may have and no answer came: it broke off, or
// ctx ended. The helper brings to an end what it has begun, and does not begin what nobody waits for any more. No
// request is ever sent twice.
func (c *Client) Do(ctx context.Context, r privileged.Request) (privileged.Result, error) {
	text, err := privileged.Marshal(r)
	if err != nil {
		return privileged.Result{}, fmt.Errorf("%v: %w", r, err)
	}
	if len(text) > privileged.MaxSize {
		return privileged.Result{}, fmt.Errorf("%v: it takes %d bytes, and the helper takes %d: %w", r, len(text), privileged.MaxSize, proxmox.ErrInvalid)
	}
	for n := 1; ; n++ {
		result, err := c.once(ctx, text)
		refusal, ok := errors.AsType[*Refusal](err)
		if !ok || refusal.Code != Closing || n == retries || !pause(ctx, retryGap) {
			if ok || errors.Is(err, proxmox.ErrUnreachable) { // the text of the lane names the request itself
				err = fmt.Errorf("%v: %w", r, err)
			}
			return result, err
		}
	}
}

// pause waits, and reports whether the context is still good.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// connect makes a connection and reads the greeting.
func (c *Client) connect(ctx context.Context) (net.Conn, Greeting, error) {
	short, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(short, "unix", c.Path)
	if err != nil {
		return nil, Greeting{}, fmt.Errorf("tend helper is %w: %w", proxmox.ErrUnreachable, err)
	}
	var g Greeting
	stop := context.AfterFunc(short, func() { _ = conn.SetDeadline(past) })
	err = readJSON(conn, maxAnswer, &g)
	if !stop() && err == nil {
		err = short.Err() // the deadline is over for what follows, too
	}
	switch {
	case err != nil:
		err = fmt.Errorf("tend helper is %w: it does not greet: %w", proxmox.ErrUnreachable, errors.Join(ctx.Err(), err))
	case g.Refusal != nil:
		err = g.Refusal
	case g.Protocol != Protocol:
		err = fmt.Errorf("tend helper is %w: it talks in version %d of the protocol, and this tend in %d: let both be of the same tend",
			proxmox.ErrUnreachable, g.Protocol, Protocol)
	}
	if err != nil {
		_ = conn.Close() // the error says more
		return nil, g, err
	}
	return conn, g, nil
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// once sends a request over a new connection.
func (c *Client) once(ctx context.Context, text []byte) (privileged.Result, error) {
	conn, g, err := c.connect(ctx)
	if err != nil {
		return privileged.Result{}, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })()
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it never fails
	out, err := frame(message{Session: g.Session, Seq: 1, ID: hex.EncodeToString(id), Claim: claimOf(ctx), Request: text})
	if err != nil {
		return privileged.Result{}, err
	}
	if _, err := conn.Write(out); err != nil { // a part of a message is none
		return privileged.Result{}, fmt.Errorf("tend helper is %w: %w", proxmox.ErrUnreachable, errors.Join(ctx.Err(), err))
	}
	var a answer
	if err := readJSON(conn, maxAnswer, &a); err != nil {
		return privileged.Result{}, fmt.Errorf("tend helper did not answer: %w: %w", proxmox.ErrOutcomeUnknown, errors.Join(ctx.Err(), err))
	}
	return a.open()
}

// open is what an answer says.
func (a answer) open() (privileged.Result, error) {
	switch {
	case a.Refusal != nil:
		return privileged.Result{}, a.Refusal
	case a.Result == nil:
		return privileged.Result{}, fmt.Errorf("tend helper answered nothing: %w", proxmox.ErrOutcomeUnknown)
	case a.Failure != nil:
		return *a.Result, a.Failure.err()
	}
	return *a.Result, nil
}
