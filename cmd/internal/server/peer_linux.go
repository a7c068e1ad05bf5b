package server

import (
	"context"
	"fmt"
	"net"
	"os/user"
	"syscall"
)

// withPeer notes which user is at the other end of the local socket.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	type inner interface {
		SyscallConn() (syscall.RawConn, error)
	}
	u, ok := c.(inner)
	if _, isTCP := c.(*net.TCPConn); !ok || isTCP {
		return ctx
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *syscall.Ucred
	_ = raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || cred == nil {
		return ctx
	}
	name := fmt.Sprintf("user %d", cred.Uid)
	if found, err := user.LookupId(fmt.Sprint(cred.Uid)); err == nil {
		name = found.Username
	}
	return context.WithValue(ctx, peerKey, name)
}
