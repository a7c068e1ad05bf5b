package server

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Handler is everything that the server answers. Over the local socket everything may be done. On a loopback
// address everyone may read; else reading takes the token, too.
func (s *Server) Handler(local, loopback bool) http.Handler {
	read := func(h http.HandlerFunc) http.HandlerFunc { return s.readers(h, local || loopback) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /static/", s.static)
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)

	mux.HandleFunc("GET /{$}", read(s.overview))
	mux.HandleFunc("GET /containers/{id}", read(s.container))
	mux.HandleFunc("GET /plan", read(s.plan))
	mux.HandleFunc("GET /runs", read(s.runs))
	mux.HandleFunc("GET /runs/{id}", read(s.run))
	mux.HandleFunc("GET /source", read(s.source))
	mux.HandleFunc("GET /node", read(s.node))
	mux.HandleFunc("GET /events", read(s.events))
	mux.HandleFunc("GET /metrics", read(s.metrics.ServeHTTP))
	mux.HandleFunc("GET /v1/report", read(s.reportJSON))
	mux.HandleFunc("GET /v1/runs", read(s.runsJSON))
	mux.HandleFunc("GET /v1/runs/{id}", read(s.runJSON))

	mux.HandleFunc("POST /actions/{action}", s.act)
	mux.HandleFunc("POST /hooks/", s.hooks)
	mux.HandleFunc("GET /", read(s.notFound))

	var h http.Handler = http.NewCrossOriginProtection().Handler(mux)
	h = s.identify(h, local)
	if !local {
		h = s.checkHost(h)
	}
	return secure(bounded(h))
}

// maxHook is how much a forge may send: GitHub's webhooks have at most 25 MB, and those of pushes much less.
const maxHook = 1 << 20

// hooks passes on what forges send, where anybody takes it.
func (s *Server) hooks(w http.ResponseWriter, r *http.Request) {
	if h := s.access.Load().Hooks; h != nil {
		http.MaxBytesHandler(h, maxHook).ServeHTTP(w, r)
		return
	}
	s.notFound(w, r)
}

// bounded bounds the bodies of all requests but those of forges, which have a bound of their own.
func bounded(h http.Handler) http.Handler {
	small := http.MaxBytesHandler(h, maxBody)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/hooks/") {
			h.ServeHTTP(w, r)
			return
		}
		small.ServeHTTP(w, r)
	})
}

// secure sets the headers that every answer has. Pages use nothing but their own files, run no script that stands in
// them, and are shown in no frame.
func secure(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "+
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		header.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			header.Set("Strict-Transport-Security", "max-age=31536000")
		}
		h.ServeHTTP(w, r)
	})
}

// checkHost refuses names that are not the server's. A web site can point its own name to 127.0.0.1 and then read
// what is open to everyone on the machine; the name in the request tells.
func (s *Server) checkHost(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" && r.URL.Path != "/readyz" && !s.knownHost(r.Host) {
			s.fail(w, r, http.StatusMisdirectedRequest, "This server does not go by the name "+r.Host+".",
				"Use its address, or list the name in the agent's configuration.")
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (s *Server) knownHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.ToLower(strings.Trim(strings.TrimSuffix(name, "."), "[]"))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || slices.ContainsFunc(s.access.Load().Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

func healthz(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") }

// readyz is good once the agent has read the node and has a revision to follow.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	switch r, _ := s.o.Board.Report(); {
	case r == nil:
		plain(w, http.StatusServiceUnavailable, "not ready: starting")
	case r.Source.InForce.ID == "":
		plain(w, http.StatusServiceUnavailable, "not ready: there is no good revision yet")
	case r.Loop.Observed.IsZero():
		plain(w, http.StatusServiceUnavailable, "not ready: the node was not read yet")
	default:
		plain(w, http.StatusOK, "ready")
	}
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n"))
}
