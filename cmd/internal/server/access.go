package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// An actor is whoever sent a request.
type actor struct {
	name string // "root", "somebody with the token"; empty: nobody knows
	may  bool   // ask for things, and read everywhere
}

// keys of what travels with a request.
type contextKey int

const (
	actorKey contextKey = iota
	peerKey
	closingKey // the channel that is closed when streams must end
)

func actorOf(r *http.Request) actor {
	a, _ := r.Context().Value(actorKey).(actor)
	return a
}

// identify finds out who sent a request: the process at the other end of the local socket, or whoever has the token
// or a session.
func (s *Server) identify(h http.Handler, local bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a actor
		peer, _ := r.Context().Value(peerKey).(string)
		switch {
		case local:
			a = actor{name: peer, may: true}
		case s.hasToken(r):
			a = actor{name: "the token, from " + remote(r), may: true}
		case s.sessions.has(r):
			a = actor{name: "the page, from " + remote(r), may: true}
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey, a)))
	})
}

// remote is the address that a request came from, without the port.
func remote(r *http.Request) string {
	i := strings.LastIndexByte(r.RemoteAddr, ':')
	return strings.Trim(r.RemoteAddr[:max(i, 0)], "[]")
}

// hasToken reports whether a request carries the token: as a bearer, or as the password that Prometheus and curl -u
// know to send.
func (s *Server) hasToken(r *http.Request) bool {
	if _, password, ok := r.BasicAuth(); ok {
		return s.isToken(password)
	}
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(kind, "Bearer") && s.isToken(strings.TrimSpace(token))
}

// isToken compares in a time that tells nothing, not even the length.
func (s *Server) isToken(text string) bool {
	token := s.access.Load().Token
	if token.IsZero() {
		return false
	}
	got, want := sha256.Sum256([]byte(text)), sha256.Sum256([]byte(token.Reveal()))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// readers lets those through who may read. People are shown the login, programs are told.
func (s *Server) readers(h http.HandlerFunc, everyone bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case everyone || actorOf(r).may:
			h(w, r)
		case wantsPage(r):
			http.Redirect(w, r, "/login?"+url.Values{"to": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="tend"`)
			s.fail(w, r, http.StatusUnauthorized, "This needs the token.", "Send it as Authorization: Bearer TOKEN.")
		}
	}
}

// wantsPage tells browsers from programs.
func wantsPage(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// The life of a session.
const (
	cookieName  = "tend_session"
	sessionLife = 12 * time.Hour
	maxSessions = 64
	loginTries  = 10 // wrong ones in a minute, by all together
)

// sessions are the logins that are in force. They end with the process.
type sessions struct {
	mu    sync.Mutex // guards what is below
	until map[[sha256.Size]byte]time.Time
	wrong []time.Time // the wrong tries of the last minute
}

// begin makes a session and returns the value of its cookie, of which only a hash is kept.
func (s *sessions) begin(now time.Time) string {
	value := rand.Text() + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = map[[sha256.Size]byte]time.Time{}
	}
	var first [sha256.Size]byte
	for k, t := range s.until {
		if !t.After(now) {
			delete(s.until, k)
		} else if f, ok := s.until[first]; !ok || t.Before(f) {
			first = k
		}
	}
	if len(s.until) >= maxSessions {
		delete(s.until, first)
	}
	s.until[sha256.Sum256([]byte(value))] = now.Add(sessionLife)
	return value
}

// clear ends all of them.
func (s *sessions) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.until)
}

func (s *sessions) has(r *http.Request) bool {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until[sha256.Sum256([]byte(c.Value))].After(time.Now())
}

func (s *sessions) end(r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.until, sha256.Sum256([]byte(c.Value)))
	}
}

// mayTry reports whether another login may be tried now.
func (s *sessions) mayTry(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.wrong) > 0 && now.Sub(s.wrong[0]) > time.Minute {
		s.wrong = s.wrong[1:]
	}
	return len(s.wrong) < loginTries
}

func (s *sessions) wentWrong(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = append(s.wrong, now)
}

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) {
	s.showLogin(w, r, http.StatusOK, "")
}

func (s *Server) showLogin(w http.ResponseWriter, r *http.Request, code int, wrong string) {
	d := s.data(r, "Log in", "")
	d.Login = loginData{To: ownPath(r.FormValue("to")), Wrong: wrong, Possible: !s.access.Load().Token.IsZero()}
	s.pages.write(w, code, "login", d)
}

// login begins a session for whoever knows the token.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	switch {
	case !s.sessions.mayTry(now):
		w.Header().Set("Retry-After", "60")
		s.showLogin(w, r, http.StatusTooManyRequests, "Too many wrong tries. Wait a minute.")
		return
	case !s.isToken(strings.TrimSpace(r.PostFormValue("token"))):
		s.sessions.wentWrong(now)
		s.o.Log.Warn("somebody gave a wrong token for the page", "remote", remote(r))
		s.showLogin(w, r, http.StatusForbidden, "This is not the token.")
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: s.sessions.begin(now), Path: "/", MaxAge: int(sessionLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
	http.Redirect(w, r, ownPath(r.PostFormValue("to")), http.StatusSeeOther)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	s.sessions.end(r)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// ownPath is a path of this server that may be sent back to; anything else is the overview.
func ownPath(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || strings.ContainsAny(text, "\\\r\n") {
		return "/"
	}
	return u.RequestURI()
}
