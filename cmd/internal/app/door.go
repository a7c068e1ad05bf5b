package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/server"
)

// A door is where the page is served.
type door struct {
	listener net.Listener // nil: nowhere
	address  config.Listen
	tls      bool
	end      func() // ends the server on it; nil: none was begun
}

// openDoor opens the address of a configuration, unless that is the one that is open. Nothing is answered on it yet.
func openDoor(web config.Web, a server.Access, before door) (d door, err error) {
	d = door{address: web.Listen, tls: web.CertFile != ""}
	switch {
	case web.Listen == config.ListenOff:
		return d, nil
	case web.Listen == before.address:
		d.listener, d.end = before.listener, before.end
		return d, a.May(d.listener.Addr())
	}
	if d.listener, err = listenBeside(string(web.Listen), before.listener); err != nil {
		return d, fmt.Errorf("serve the page: %w; write web: {listen: ADDRESS} into the configuration, or --listen off", err)
	}
	if err := a.May(d.listener.Addr()); err != nil { // told before the first pass begins, which would be cut off
		return d, errors.Join(err, d.listener.Close())
	}
	return d, nil
}

// is reports whether two doors are the same one.
func (d door) is(other door) bool { return d.listener == other.listener }

// open begins to answer, and says where.
func (d *door) open(serve func(net.Listener) (end func())) string {
	if d.listener == nil {
		return "nowhere (web.listen: off)"
	}
	if d.end == nil {
		d.end = serve(d.listener)
	}
	if d.tls {
		return "https://" + d.listener.Addr().String()
	}
	return "http://" + d.listener.Addr().String()
}

// listenBeside listens on an address, also where only the listener that it is to replace is in the way, as with
// 127.0.0.1:8099 and 0.0.0.0:8099. Two sockets of a user may have a port in common while both say so (SO_REUSEPORT,
// socket(7)); neither does any longer once both are open, so that nobody else can step in.
func listenBeside(address string, before net.Listener) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	old, ok := before.(*net.TCPListener)
	if !ok || !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	share := func(c syscall.RawConn, on int) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, on)
		}), err)
	}
	raw, rawErr := old.SyscallConn()
	if rawErr != nil || share(raw, 1) != nil {
		return nil, err
	}
	defer func() { _ = share(raw, 0) }()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return share(c, 1) }}
	l, again := lc.Listen(context.Background(), "tcp", address)
	if again != nil {
		return nil, err
	}
	if c, rawErr := l.(*net.TCPListener).SyscallConn(); rawErr == nil {
		_ = share(c, 0)
	}
	return l, nil
}
