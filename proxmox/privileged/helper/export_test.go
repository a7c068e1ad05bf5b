package helper

import (
	"net"
	"os"
)

// Careless makes a log leave it to the system when its lines reach the disk.
func (l *Log) Careless() *Log {
	l.sync = func(*os.File) error { return nil }
	return l
}

// As makes a server take everyone for this user.
func (s *Server) As(p Peer) *Server {
	s.peer = func(net.Conn) (Peer, error) { return p, nil }
	return s
}

// Say makes a server use this word for every session.
func (s *Server) Say(word string) *Server {
	s.word = func() string { return word }
	return s
}

// What tests of limits need to know.
const (
	MaxMessage     = maxMessage
	MaxConnections = maxConnections
	Burst          = burst
	PerSecond      = perSecond
	BodyTime       = bodyTime
	IdleTime       = idleTime
	RefusalsAtOnce = refusalsAtOnce
)
