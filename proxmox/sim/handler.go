package sim

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	basePath = "/api2/json"
	maxBody  = 512 << 10 // AnyEvent.pm, $limit_max_post
	// minGzip is the size from which an answer is compressed for who accepts it.
	minGzip = 1024
)

// Handler answers requests as pveproxy does: it authenticates by API token or ticket, reads parameters, and writes
// the text of an error as the reason phrase. It wants a server that speaks HTTP/1.1 alone, see [Sim.Serve].
func (s *Sim) Handler() http.Handler { return http.HandlerFunc(s.serveHTTP) }

func (s *Sim) serveHTTP(w http.ResponseWriter, r *http.Request) {
	a := s.answerHTTP(r)
	if a.cut {
		hangUp(w)
		return
	}
	writeAnswer(w, r, a)
}

func plain(status int, reason string) answer {
	return answer{status: status, reason: reason, closes: true}
}

// answerHTTP follows pve-http-server AnyEvent.pm, from process_header to handle_request.
func (s *Sim) answerHTTP(r *http.Request) answer {
	if !strings.Contains(" GET POST PUT DELETE ", " "+r.Method+" ") {
		return plain(501, fmt.Sprintf("method '%s' not available", r.Method))
	}
	if len(r.TransferEncoding) > 0 {
		return plain(501, "chunked transfer encoding not supported")
	}
	path, ok := strings.CutPrefix(r.URL.Path, basePath)
	if !ok || path != "" && path[0] != '/' {
		return plain(501, "no such uri")
	}
	user, token, err := s.authenticate(r, path)
	if err != "" {
		if sleep(r.Context(), s.opts.AuthDelay) != nil {
			return answer{cut: true}
		}
		return plain(401, err)
	}
	p, a, ok := readParams(r)
	if !ok {
		return a
	}
	if token && user == "" && path == "/access/ticket" && r.Method == "POST" {
		return failure(asFault(forbidden(notForTokens(path))))
	}
	delete(p, "_dc")
	a = s.serve(r.Context(), user, r.Method, path, p)
	if a.status == 401 && sleep(r.Context(), s.opts.AuthDelay) != nil {
		return answer{cut: true}
	}
	return a
}

// authenticate gives the user of a request, or the reason phrase of a 401 (HTTPServer.pm, auth_handler).
func (s *Sim) authenticate(r *http.Request, path string) (user string, isToken bool, failure string) {
	open := path == "/access/domains" && r.Method == "GET" ||
		path == "/access/ticket" && (r.Method == "GET" || r.Method == "POST")
	ticket := cookie(r, "PVEAuthCookie")
	auth := r.Header.Get("Authorization")
	if ticket == "" {
		ticket = unescape(authValue(auth, "PVEAuthCookie"))
	}
	token := ""
	if ticket == "" {
		token = unescape(authValue(auth, "PVEAPIToken"))
	}
	switch {
	case open:
		return "", token != "", ""
	case token != "":
		if user, ok := s.verifyToken(token); ok {
			return user, true, ""
		}
		return "", true, "Authentication failed!"
	case ticket == "":
		return "", false, "No ticket"
	}
	user, ok := s.verifyTicket(ticket)
	if !ok || !s.userEnabled(user) {
		return "", false, "Authentication failed!"
	}
	if r.Method != "GET" && !s.verifyCSRF(user, r.Header.Get("CSRFPreventionToken")) {
		return "", false, "Permission denied - invalid csrf token"
	}
	return user, false, ""
}

// cookie reads a cookie the way pveproxy does, percent-decoded.
func cookie(r *http.Request, name string) string {
	for part := range strings.SplitSeq(r.Header.Get("Cookie"), ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(part), name+"="); ok {
			return unescape(v)
		}
	}
	return ""
}

func authValue(header, name string) string {
	v, ok := strings.CutPrefix(strings.TrimSpace(header), name+"=")
	if !ok {
		return ""
	}
	return strings.TrimSpace(v)
}

// readParams reads body and query; the query wins.
func readParams(r *http.Request) (params, answer, bool) {
	p := params{}
	if r.ContentLength > 0 {
		if r.Method != "PUT" && r.Method != "POST" {
			return nil, plain(501, fmt.Sprintf("Unexpected content for method '%s'", r.Method)), false
		}
		if r.ContentLength > maxBody {
			return nil, plain(501, "for data too large"), false
		}
		raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		if err != nil {
			return nil, answer{cut: true}, false
		}
		ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		switch ct = strings.TrimSpace(ct); ct {
		case "application/json":
			if p, err = decodeJSON(raw); err != nil {
				return nil, plain(500, asFault(err).Error()), false
			}
		case "", "application/x-www-form-urlencoded":
			decodeForm(string(raw), p)
		default:
			return nil, plain(506, fmt.Sprintf("upload 'Content-Type '%s' not implemented", r.Header.Get("Content-Type"))), false
		}
	}
	query := params{}
	decodeForm(r.URL.RawQuery, query)
	for k, v := range query {
		p[k] = v
	}
	return p, answer{}, true
}

// writeAnswer writes the answer. net/http knows one reason phrase for each status, so that any other is written
// by hand; that ends the connection, as Proxmox does after each error.
func writeAnswer(w http.ResponseWriter, r *http.Request, a answer) {
	h := w.Header()
	h.Set("Server", "pve-api-daemon/3.0")
	h.Set("Cache-Control", "max-age=0")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", time.Now().UTC().Format(http.TimeFormat))
	if len(a.body) > 0 {
		h.Set("Content-Type", "application/json;charset=UTF-8")
	}
	if a.closes {
		h.Set("Connection", "close")
	}
	if a.reason != http.StatusText(a.status) {
		if hj, ok := w.(http.Hijacker); ok && writeRaw(hj, h, a) {
			return
		}
	}
	if len(a.body) >= minGzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		w.WriteHeader(a.status)
		z := gzip.NewWriter(w)
		defer z.Close() // an error here is the client's
		_, _ = z.Write(a.body)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// writeRaw takes the connection over and writes status line, headers and body; false where it cannot.
func writeRaw(hj http.Hijacker, h http.Header, a answer) bool {
	conn, buf, err := hj.Hijack()
	if err != nil {
		return false
	}
	defer conn.Close()
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	fmt.Fprintf(buf, "HTTP/1.1 %03d %s\r\n", a.status, a.reason)
	_ = h.Write(buf)
	_, _ = buf.WriteString("\r\n")
	_, _ = buf.Write(a.body)
	if buf.Flush() != nil {
		return true
	}
	drain(conn)
	return true
}

// drain closes the sending side and waits for the client to go, so that what was sent is not lost in a reset.
func drain(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, maxBody))
}

// hangUp cuts the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if hj, ok := w.(http.Hijacker); ok {
		if conn, _, err := hj.Hijack(); err == nil {
			_ = conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// A Server is a simulator that listens.
type Server struct {
	Addr        string // where it listens: "127.0.0.1:8006"
	Fingerprint string // SHA-256 of its certificate, in hex with colons

	http *http.Server
	done chan error
}

// URL is where clients find it.
func (sv *Server) URL() string { return (&url.URL{Scheme: "https", Host: sv.Addr}).String() }

// Close stops listening, cuts the connections that are left when the context ends, and waits.
func (sv *Server) Close(ctx context.Context) error {
	err := sv.http.Shutdown(ctx)
	if err != nil {
		err = sv.http.Close()
	}
	<-sv.done
	return err
}

// Serve listens on an address with a certificate made for the occasion. It speaks HTTP/1.1, as pveproxy does.
func (s *Sim) Serve(addr string) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve simulator: %w", err)
	}
	cert, fp, err := s.certificate(l.Addr())
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("serve simulator: %w", err)
	}
	sv := &Server{Addr: l.Addr().String(), Fingerprint: fp, done: make(chan error, 1), http: &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 30 * time.Second,
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog:     quietLog(s.opts.Logger),
	}}
	go func() { sv.done <- sv.http.ServeTLS(l, "", "") }()
	return sv, nil
}
