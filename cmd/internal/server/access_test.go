package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/history"
	"github.com/felhom/tend/cmd/internal/server"
	"github.com/felhom/tend/proxmox"
)

// handler is a server without a listener.
func handler(t *testing.T, o server.Options, local, loopback bool) http.Handler {
	t.Helper()
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s.Handler(local, loopback)
}

// A header is a name and a value.
type header [2]string

func send(h http.Handler, method, path, body string, headers ...header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, x := range headers {
		if x[0] == "Host" {
			r.Host = x[1]
		}
		r.Header.Set(x[0], x[1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var (
	bearer = header{"Authorization", "Bearer " + token}
	person = header{"Accept", "text/html"}
)

// TestWhoMayRead shows what is open to whom, by where a connection comes in.
func TestWhoMayRead(t *testing.T) {
	o := options(t, well())
	basic := header{"Authorization", "Basic " + "eDphLXRva2VuLW9mLXNvbWUtbGVuZ3Ro"} // x:a-token-of-some-length
	wrong := header{"Authorization", "Bearer " + token + "x"}
	pages := []string{"/", "/plan", "/runs", "/runs/61", "/source", "/node", "/containers/101", "/metrics", "/v1/report", "/v1/runs", "/v1/runs/61", "/nothing"}
	open := []string{"/healthz", "/readyz", "/login", "/static/tend.css", "/static/tend.js", "/static/icon.svg"}
	want := func(path string, ok int) int {
		if path == "/nothing" && ok == 200 {
			return 404
		}
		return ok
	}
	for _, tt := range []struct {
		name            string
		local, loopback bool
		headers         []header
		read            int
	}{
		{"socket", true, false, nil, 200},
		{"loopback", false, true, nil, 200},
		{"network", false, false, nil, 401},
		{"network with the token", false, false, []header{bearer}, 200},
		{"network with the token as a password", false, false, []header{basic}, 200},
		{"network with another token", false, false, []header{wrong}, 401},
		{"network with an empty token", false, false, []header{{"Authorization", "Bearer "}}, 401},
		{"network, a person", false, false, []header{person}, 303},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := handler(t, o, tt.local, tt.loopback)
			for _, p := range pages {
				if got := send(h, "GET", p, "", tt.headers...); got.Code != want(p, tt.read) {
					t.Errorf("%s: %d, want %d", p, got.Code, want(p, tt.read))
				} else if got.Code != 200 && strings.Contains(got.Body.String(), "4f2c91e") {
					t.Errorf("%s tells who may not read", p)
				}
			}
			for _, p := range open {
				if got := send(h, "GET", p, "", tt.headers...); got.Code != 200 || strings.Contains(got.Body.String(), "4f2c91e") {
					t.Errorf("%s: %d", p, got.Code)
				}
			}
		})
	}
	o.Token = proxmox.Secret{}
	if got := send(handler(t, o, false, false), "GET", "/", "", header{"Authorization", "Bearer "}); got.Code != 401 {
		t.Errorf("without any token an empty one is good: %d", got.Code)
	}
}

// TestWhoMayAct shows that asking for something takes the socket, the token or a session, and comes from no other site.
func TestWhoMayAct(t *testing.T) {
	o := options(t, well())
	const path = "/actions/reconcile"
	for _, tt := range []struct {
		name            string
		local, loopback bool
		headers         []header
		want            int
	}{
		{"socket", true, false, nil, 204},
		{"loopback", false, true, nil, 401},
		{"loopback with the token", false, true, []header{bearer}, 204},
		{"loopback, a person", false, true, []header{person}, 303},
		{"network", false, false, nil, 401},
		{"another site", false, false, []header{bearer, {"Sec-Fetch-Site", "cross-site"}}, 403},
		{"another site, old person", false, false, []header{bearer, {"Origin", "https://evil.example"}}, 403},
		{"this site", false, false, []header{bearer, {"Sec-Fetch-Site", "same-origin"}, {"Origin", "http://127.0.0.1:8080"}}, 204},
	} {
		a := &asked{}
		o.Actions = a
		if got := send(handler(t, o, tt.local, tt.loopback), "POST", path, "", tt.headers...); got.Code != tt.want || len(a.what) > 0 != (tt.want == 204) {
			t.Errorf("%s: %d, want %d; asked: %v", tt.name, got.Code, tt.want, a.what)
		}
	}
	if got := send(handler(t, o, true, false), "GET", path, ""); got.Code != 404 {
		t.Errorf("a link can ask: %d", got.Code)
	}
}

// TestHost shows that names which are not the server's are refused: they are web sites that point to this machine.
func TestHost(t *testing.T) {
	o := options(t, well())
	o.Hosts = []string{"Tend.Home.Lan"}
	h := handler(t, o, false, true)
	for host, want := range map[string]int{
		"127.0.0.1:8080": 200, "localhost": 200, "LOCALHOST:99": 200, "[::1]:8080": 200, "192.168.1.2": 200, "tend.home.lan:8080": 200, "tend.home.lan.": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "": 421,
	} {
		if got := send(h, "GET", "/v1/report", "", header{"Host", host}); got.Code != want {
			t.Errorf("host %q: %d, want %d", host, got.Code, want)
		}
	}
	if got := send(h, "GET", "/healthz", "", header{"Host", "evil.example"}); got.Code != 200 {
		t.Errorf("health has a name: %d", got.Code)
	}
	if got := send(handler(t, o, true, false), "GET", "/v1/report", "", header{"Host", "tend"}); got.Code != 200 {
		t.Errorf("the socket has a name: %d", got.Code)
	}
}

// TestSession goes the way of a person: sent to the login, wrong token, right token, an action, out again.
func TestSession(t *testing.T) {
	var log bytes.Buffer
	a := &asked{}
	o := options(t, trouble())
	o.Actions, o.Log = a, slog.New(slog.NewTextHandler(&log, nil))
	h := handler(t, o, false, false)
	form := func(v ...string) string {
		q := url.Values{}
		for i := 0; i < len(v); i += 2 {
			q.Set(v[i], v[i+1])
		}
		return q.Encode()
	}
	if got := send(h, "GET", "/plan?x=1", "", person); got.Header().Get("Location") != "/login?to=%2Fplan%3Fx%3D1" {
		t.Errorf("sent to %s", got.Header().Get("Location"))
	}
	if got := send(h, "POST", "/login", form("token", "no", "to", "/plan"), person); got.Code != 403 || got.Header().Get("Set-Cookie") != "" || !strings.Contains(got.Body.String(), "not the token") {
		t.Errorf("wrong token: %d %s", got.Code, got.Header())
	}
	got := send(h, "POST", "/login", form("token", token, "to", "/plan"), person)
	cookie := got.Header().Get("Set-Cookie")
	if got.Code != 303 || got.Header().Get("Location") != "/plan" {
		t.Fatalf("right token: %d, to %s", got.Code, got.Header().Get("Location"))
	}
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie is not %s: %s", want, cookie)
		}
	}
	value, _, _ := strings.Cut(cookie, ";")
	in := header{"Cookie", value}
	if got := send(h, "GET", "/plan", "", person, in); got.Code != 200 || !strings.Contains(got.Body.String(), "Approve 7be1d0c") {
		t.Errorf("the plan for whoever is in: %d", got.Code)
	}
	got = send(h, "POST", "/actions/approve", form("hash", "7be1d0c35a9f4421", "to", "/plan"), person, in)
	if got.Code != 303 || got.Header().Get("Location") != "/plan?done=approve" || len(a.what) != 1 || !strings.HasPrefix(a.what[0], "approve 7be1d0c35a9f4421 by the page, from 192.0.2.1") {
		t.Errorf("approve: %d, to %s, asked %v", got.Code, got.Header().Get("Location"), a.what)
	}
	if got := send(h, "POST", "/actions/approve", form("hash", "7be1"), in, header{"Sec-Fetch-Site", "same-site"}); got.Code != 403 {
		t.Errorf("another site with the cookie: %d", got.Code)
	}
	send(h, "POST", "/logout", "", person, in)
	if got := send(h, "GET", "/plan", "", in); got.Code != 401 {
		t.Errorf("after the end of the session: %d", got.Code)
	}
	if strings.Contains(log.String(), token) || strings.Contains(log.String(), value) {
		t.Error("the log tells the token or the session")
	}
}

// TestGuessing shows that only so many wrong tokens are looked at in a minute.
func TestGuessing(t *testing.T) {
	h := handler(t, options(t, well()), false, false)
	codes := map[int]int{}
	for range 30 {
		codes[send(h, "POST", "/login", "token=guess").Code]++
	}
	if codes[403] != 10 || codes[429] != 20 {
		t.Errorf("answers: %v", codes)
	}
}

// TestOnlyOwnPaths shows that nobody is sent to another site after the login.
func TestOnlyOwnPaths(t *testing.T) {
	h := handler(t, options(t, well()), false, false)
	for to, want := range map[string]string{
		"/runs?before=3": "/runs?before=3", "https://evil.example/": "/", "//evil.example/": "/", `/\evil.example`: "/", "javascript:alert(1)": "/", "": "/", "runs": "/",
		"/a\r\nSet-Cookie: x=y": "/", "///evil.example": "/",
	} {
		got := send(h, "POST", "/login", url.Values{"token": {token}, "to": {to}}.Encode())
		if got.Code == 429 || got.Header().Get("Location") != want {
			t.Errorf("%q: %d, to %q, want %q", to, got.Code, got.Header().Get("Location"), want)
		}
	}
}

// TestHeaders shows that every answer forbids what pages do not need.
func TestHeaders(t *testing.T) {
	h := handler(t, options(t, well()), false, true)
	for _, path := range []string{"/", "/nothing", "/healthz", "/static/tend.js", "/metrics", "/login", "/v1/report"} {
		got := send(h, "GET", path, "", person).Header()
		csp := got.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "script-src 'self'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: no %s in %q", path, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || got.Get("X-Content-Type-Options") != "nosniff" || got.Get("Referrer-Policy") != "no-referrer" || got.Get("Cache-Control") == "" {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// TestBounds shows that large requests are cut off.
func TestBounds(t *testing.T) {
	o := options(t, well())
	var took int
	o.Hooks = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		took = int(n)
		if err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	})
	h := handler(t, o, false, false)
	if got := send(h, "POST", "/actions/suspend", "reason="+strings.Repeat("x", 100_000), bearer); got.Code != 413 {
		t.Errorf("an action of 100 kB: %d", got.Code)
	}
	if got := send(h, "POST", "/hooks/github", strings.Repeat("x", 500_000)); got.Code != 200 || took != 500_000 {
		t.Errorf("a hook of 500 kB: %d, %d bytes", got.Code, took)
	}
	if got := send(h, "POST", "/hooks/github", strings.Repeat("x", 3_000_000)); got.Code != 413 || took > 1<<20 {
		t.Errorf("a hook of 3 MB: %d, %d bytes", got.Code, took)
	}
}

// TestOptions shows which servers are not made.
func TestOptions(t *testing.T) {
	o := options(t, nil)
	o.Token = proxmox.NewSecret("short")
	if _, err := server.New(o); err == nil || !strings.Contains(err.Error(), "16 or more") {
		t.Errorf("a short token: %v", err)
	}
	o = options(t, nil)
	o.Cert = "cert.pem"
	if _, err := server.New(o); err == nil {
		t.Error("a certificate without a key")
	}
	o = options(t, nil)
	o.Token = proxmox.Secret{}
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), everywhere{}); err == nil || !strings.Contains(err.Error(), "set a token") {
		t.Errorf("every address without a token: %v", err)
	}
}

// everywhere is a listener on all addresses, without listening there.
type everywhere struct{}

func (everywhere) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (everywhere) Close() error              { return nil }
func (everywhere) Addr() net.Addr            { return &net.TCPAddr{IP: net.IPv4zero, Port: 8080} }

// TestSocket shows that the local socket knows who asks, and that a socket which a crash left is replaced.
func TestSocket(t *testing.T) {
	a := &asked{}
	o := options(t, well())
	o.Actions = a
	path := filepath.Join(t.TempDir(), "tend.sock")
	for _, crash := range []bool{true, false} {
		l, err := server.ListenLocal(path)
		if err != nil {
			t.Fatal(err)
		}
		if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o660 {
			t.Errorf("the socket is %v (%v)", i.Mode(), err)
		}
		if _, err := server.ListenLocal(path); err == nil || !strings.Contains(err.Error(), "another agent") {
			t.Errorf("a second agent on the socket: %v", err)
		}
		if crash {
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			_ = l.Close()
			continue
		}
		startOn(t, o, l)
	}
	c := server.Dial(path)
	if r, err := c.Report(t.Context()); err != nil || len(r.Containers) != 12 || r.Source.InForce.ID != revision().ID {
		t.Errorf("the report: %+v (%v)", r, err)
	}
	if p, err := c.Runs(t.Context(), 0, 2); err != nil || len(p.Runs) != 2 || !p.More || p.Runs[0].ID != 62 {
		t.Errorf("runs: %+v (%v)", p, err)
	}
	if r, err := c.Run(t.Context(), 62); err != nil || r.Sheet == nil || r.Result != report.Failed {
		t.Errorf("run 62: %+v (%v)", r.Run, err)
	}
	if _, err := c.Run(t.Context(), 99); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("run 99: %v", err)
	}
	if err := c.Do(t.Context(), "suspend", url.Values{"id": {"101"}}); err == nil || !strings.Contains(err.Error(), "Write a reason") {
		t.Errorf("no reason: %v", err)
	}
	if err := c.Do(t.Context(), "suspend", url.Values{"id": {"101"}, "reason": {"new disk"}, "for": {"4h"}}); err != nil {
		t.Error(err)
	}
	if len(a.what) != 1 || !strings.HasPrefix(a.what[0], `suspend 101 for "new disk" until 4h0m0s by `) || strings.HasSuffix(a.what[0], "by ") {
		t.Errorf("asked %q", a.what)
	}
	if _, err := server.Dial(path + "x").Report(t.Context()); !errors.Is(err, os.ErrNotExist) || strings.Contains(err.Error(), "http:") {
		t.Errorf("no agent: %v", err)
	}
}

// writeCertificate writes a certificate with a serial number, and its key, where an access has them.
func writeCertificate(t *testing.T, a server.Access, n int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "tend"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, b := range map[string]*pem.Block{a.Cert: {Type: "CERTIFICATE", Bytes: der}, a.Key: {Type: "PRIVATE KEY", Bytes: k}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Unix(1_700_000_000+n, 0)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTLS shows that the certificate is read anew when its files change, and that the cookie then stays with TLS.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	o := options(t, well())
	o.Cert, o.Key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	serial := func(n int64) { writeCertificate(t, o.Access, n) }
	serial(1)
	address := strings.TrimPrefix(start(t, o), "http://")
	shown := func() int64 {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := shown(); got != 1 {
		t.Errorf("certificate %d", got)
	}
	serial(2)
	if got := shown(); got != 2 {
		t.Errorf("certificate %d after it was replaced", got)
	}
	if err := os.WriteFile(o.Key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != 2 {
		t.Errorf("certificate %d while it is being replaced", got)
	}
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer c.CloseIdleConnections()
	res, err := c.PostForm("https://"+address+"/login", url.Values{"token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if k := res.Header.Get("Set-Cookie"); !strings.Contains(k, "Secure") || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("the cookie over TLS: %s", k)
	}
}

// TestActions shows what each form asks for, and which make no sense.
func TestActions(t *testing.T) {
	for _, tt := range []struct {
		action, form string
		code         int
		what         string
	}{
		{"reconcile", "", 204, "reconcile by "},
		{"suspend", "id=101&reason=disk", 204, `suspend 101 for "disk" until resumed by `},
		{"suspend", "reason=move&for=30m", 204, `suspend 0 for "move" until 30m0s by `},
		{"suspend", "id=101", 400, ""},
		{"suspend", "id=101&reason=" + strings.Repeat("x", 201), 400, ""},
		{"suspend", "id=99&reason=x", 400, ""},
		{"suspend", "id=web&reason=x", 400, ""},
		{"suspend", "id=101&reason=x&for=-1h", 400, ""},
		{"suspend", "id=101&reason=x&for=soon", 400, ""},
		{"suspend", "id=101&reason=x&until=2001-01-01T00:00:00Z", 400, ""},
		{"resume", "id=101", 204, "resume 101 by "},
		{"resume", "", 204, "resume 0 by "},
		{"approve", "hash=7be1", 204, "approve 7be1 by "},
		{"approve", "", 400, ""},
		{"destroy", "", 404, ""},
	} {
		a := &asked{}
		o := options(t, well())
		o.Actions = a
		got := send(handler(t, o, true, false), "POST", "/actions/"+tt.action, tt.form)
		if got.Code != tt.code || strings.Join(a.what, "|") != tt.what {
			t.Errorf("%s %s: %d, %q; want %d, %q\n%s", tt.action, tt.form, got.Code, a.what, tt.code, tt.what, got.Body)
		}
	}
	o := options(t, well())
	o.Actions = &asked{err: io.ErrUnexpectedEOF}
	if got := send(handler(t, o, true, false), "POST", "/actions/reconcile", ""); got.Code != 409 || !strings.Contains(got.Body.String(), "unexpected EOF") {
		t.Errorf("an agent that will not: %d %s", got.Code, got.Body)
	}
	o.Actions = nil
	if got := send(handler(t, o, true, false), "POST", "/actions/reconcile", ""); got.Code != 501 {
		t.Errorf("an agent that cannot: %d", got.Code)
	}
}

// TestReady shows when the agent is said to be ready.
func TestReady(t *testing.T) {
	noRevision, unread := well(), well()
	noRevision.Source.InForce, unread.Loop.Observed = report.Revision{}, time.Time{}
	for name, tt := range map[string]struct {
		r    *report.Report
		code int
	}{"nothing": {nil, 503}, "no revision": {noRevision, 503}, "unread": {unread, 503}, "well": {well(), 200}, "trouble": {trouble(), 200}} {
		if got := send(handler(t, options(t, tt.r), false, false), "GET", "/readyz", ""); got.Code != tt.code {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
	}
}
