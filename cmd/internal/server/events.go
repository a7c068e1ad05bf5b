package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
)

// The pace of a stream.
const (
	pulse      = 20 * time.Second // something is sent at least so often, so that both ends know of each other
	leastPause = time.Second      // reports that come faster are told of once
	streamLife = time.Hour        // then the browser connects anew, and is let in anew
)

// events tells a page whenever there is another report (server-sent events). What is in it the page fetches itself.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "30")
		s.fail(w, r, http.StatusServiceUnavailable, "Too many pages are kept up to date already.", "Reload this one now and then.")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not wait for more
	ctx, cancel := context.WithTimeout(r.Context(), streamLife)
	defer cancel()
	s.stream(ctx, http.NewResponseController(w), w)
}

func (s *Server) stream(ctx context.Context, c *http.ResponseController, w http.ResponseWriter) {
	send := func(format string, args ...any) bool {
		_ = c.SetWriteDeadline(time.Now().Add(readTime))
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && c.Flush() == nil
	}
	ticker := time.NewTicker(pulse)
	defer ticker.Stop()
	closing, _ := ctx.Value(closingKey).(chan struct{}) // none where nobody serves: it waits for ever
	over := s.access.Load().over
	var last *report.Report
	for ok := send("retry: 5000\n\n"); ok; {
		now, changed := s.o.Board.Report()
		if now != last && now != nil {
			last = now
			if !send("event: report\nid: %d\ndata: %s\n\n", now.Time.UnixMilli(), now.Time.UTC().Format(time.RFC3339)) || !pause(ctx, leastPause, closing, over) {
				return
			}
			continue
		}
		select {
		case <-changed:
		case <-ticker.C:
			ok = send(": still here\n\n")
		case <-ctx.Done():
			return
		case <-closing:
			return
		case <-over:
			return
		}
	}
}

// pause waits, unless the stream ends.
func pause(ctx context.Context, d time.Duration, closing, over <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-closing:
	case <-over:
	}
	return false
}
