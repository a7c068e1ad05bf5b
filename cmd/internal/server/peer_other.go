//go:build !linux

package server

import (
	"context"
	"net"
)

// withPeer knows nothing of who is at the other end of the local socket, but that they may use it.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if _, ok := c.(*net.UnixConn); ok {
		return context.WithValue(ctx, peerKey, "somebody on this machine")
	}
	return ctx
}
