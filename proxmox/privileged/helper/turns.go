package helper

import (
	"context"
	"sync"

	"github.com/felhom/tend/proxmox"
)

// turns lets one at a time work on a container, and one at a time on what is no container's.
type turns struct {
	mu   sync.Mutex
	held map[proxmox.Ref]*turn
}

type turn struct {
	free  chan struct{} // holds one value while nobody works
	users int           // that work or wait
}

// take waits for the turn of a target and returns what ends it.
func (t *turns) take(ctx context.Context, target proxmox.Ref) (func(), error) {
	t.mu.Lock()
	if t.held == nil {
		t.held = map[proxmox.Ref]*turn{}
	}
	mine := t.held[target]
	if mine == nil {
		mine = &turn{free: make(chan struct{}, 1)}
		mine.free <- struct{}{}
		t.held[target] = mine
	}
	mine.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.held, target)
		}
	}
	select {
	case <-mine.free:
		return func() {
			mine.free <- struct{}{}
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// memory is how many ids are remembered. Within a connection the sequence alone tells a repeat, and between
// connections the word of the session; the ids find who repeats a request in a new message.
const memory = 1 << 14

// ids are the latest ids of requests.
type ids struct {
	mu    sync.Mutex
	known map[string]bool
	ring  []string
	next  int
}

// add remembers an id, and reports whether it is new.
func (s *ids) add(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[id] {
		return false
	}
	if s.known == nil {
		s.known, s.ring = map[string]bool{}, make([]string, memory)
	}
	delete(s.known, s.ring[s.next])
	s.known[id], s.ring[s.next] = true, id
	s.next = (s.next + 1) % memory
	return true
}
