package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/rest"
)

const token = "tend@pve!agent=5ecre7-5ecre7"

// serve runs a node that answers with h.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// dial makes a transport to a node, with what o says beside.
func dial(t *testing.T, s *httptest.Server, o rest.Options) *rest.Transport {
	t.Helper()
	o.Endpoint = s.URL
	if o.Token.IsZero() && o.User == "" {
		o.Token = proxmox.NewSecret(token)
	}
	if o.Fingerprint == "" && o.CAFile == "" {
		o.Fingerprint = fingerprint(s.Certificate().Raw)
	}
	tr, err := rest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func read() proxmox.Request { return proxmox.Request{Method: "GET", Path: "/version"} }

func mutation(method string) proxmox.Request {
	return proxmox.Request{Method: method, Path: "/nodes/pve1/lxc/101/config", Params: url.Values{"cores": {"2"}}}
}

func TestRequest(t *testing.T) {
	nasty := "a;b=c,d&e+f\x00 %ü"
	tests := []struct {
		method    string
		wantQuery bool
	}{{"GET", true}, {"DELETE", true}, {"POST", false}, {"PUT", false}}
	for _, tt := range tests {
		t.Run(tt.method, func(t *testing.T) {
			var uri, body, auth, csrf string
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				uri, body, auth, csrf = r.RequestURI, string(b), r.Header.Get("Authorization"), r.Header.Get("CSRFPreventionToken")
				if r.TransferEncoding != nil || r.ProtoMajor != 1 {
					t.Errorf("sent with %v over %s", r.TransferEncoding, r.Proto)
				}
				answer(200, `{"data":{"a":1}}`)(w, r)
			})
			r := proxmox.Request{Method: tt.method, Path: "/nodes/pve1/tasks/UPID%3Ax%21y", Params: url.Values{"v": {nasty}}}
			data, err := dial(t, s, rest.Options{}).Do(t.Context(), r)
			if err != nil || string(data) != `{"a":1}` {
				t.Fatalf("got %s, %v", data, err)
			}
			form := body
			path, query, _ := strings.Cut(uri, "?")
			if tt.wantQuery {
				form = query
				if body != "" {
					t.Errorf("body is %q", body)
				}
			}
			if path != "/api2/json/nodes/pve1/tasks/UPID%3Ax%21y" {
				t.Errorf("path is %q", path)
			}
			if want := "v=a%3Bb%3Dc%2Cd%26e%2Bf%00%20%25%C3%BC"; form != want {
				t.Errorf("form is %q, want %q", form, want)
			}
			if auth != "PVEAPIToken="+token || csrf != "" {
				t.Errorf("credentials are %q, %q", auth, csrf)
			}
		})
	}
}

// A node that reads a request and hangs up must never see a mutation again, on new and on kept connections.
func TestMutationIsSentOnce(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		t.Run(method, func(t *testing.T) {
			var sent atomic.Int32
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "GET" {
					answer(200, `{"data":{}}`)(w, r)
					return
				}
				sent.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler)
			})
			tr := dial(t, s, rest.Options{})
			for want := range int32(2) {
				if _, err := tr.Do(t.Context(), read()); err != nil { // leaves a kept connection
					t.Fatal(err)
				}
				_, err := tr.Do(t.Context(), mutation(method))
				if !errors.Is(err, proxmox.ErrOutcomeUnknown) || !errors.Is(err, proxmox.ErrUnreachable) {
					t.Errorf("error is %v", err)
				}
				if got := sent.Load(); got != want+1 {
					t.Errorf("sent %d times, want %d", got, want+1)
				}
			}
		})
	}
}

func TestMutationTimesOut(t *testing.T) {
	over := make(chan struct{})
	defer close(over) // before the servers wait for their handlers
	var sent *atomic.Int32
	var err error
	// on a busy machine the time may be over before anything was sent, which proves nothing
	for limit := 50 * time.Millisecond; sent == nil || sent.Load() == 0 && limit < time.Minute; limit *= 2 {
		n := new(atomic.Int32)
		s := serve(t, func(http.ResponseWriter, *http.Request) { n.Add(1); <-over })
		_, err = dial(t, s, rest.Options{Timeout: limit}).Do(t.Context(), mutation("POST"))
		sent = n
	}
	if !errors.Is(err, proxmox.ErrOutcomeUnknown) || sent.Load() != 1 {
		t.Errorf("sent %d times, error is %v", sent.Load(), err)
	}
}

func TestCancelledMutation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { cancel(); <-over })
	t.Cleanup(func() { close(over) })
	tr := dial(t, s, rest.Options{})
	_, err := tr.Do(ctx, mutation("PUT"))
	if !errors.Is(err, proxmox.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("under way, the error is %v", err)
	}
	_, err = tr.Do(ctx, mutation("PUT"))
	if errors.Is(err, proxmox.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("before it was sent, the error is %v", err)
	}
}

func TestReadsAreRepeated(t *testing.T) {
	tests := []struct {
		name    string
		fault   http.HandlerFunc
		retried bool
	}{
		{"hung up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"data":`)
			panic(http.ErrAbortHandler)
		}, true},
		{"595", answer(595, ""), true},
		{"596", answer(596, `{"data":null,"message":"Broken pipe\n"}`), true},
		{"599", answer(599, ""), true},
		{"502 of a proxy", answer(502, "<html>Bad Gateway</html>"), true},
		{"504 of a proxy", answer(504, ""), true},
		{"500", answer(500, `{"data":null,"message":"CT is locked (backup)\n"}`), false},
		{"400", answer(400, `{"data":null,"errors":{"x":"y"}}`), false},
		{"401", answer(401, ""), false},
		{"403", answer(403, `{"data":null}`), false},
		{"501", answer(501, `{"data":null}`), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1) == 1 {
					tt.fault(w, r)
					return
				}
				answer(200, `{"data":1}`)(w, r)
			})
			_, err := dial(t, s, rest.Options{}).Do(t.Context(), read())
			if want := map[bool]int32{true: 2, false: 1}[tt.retried]; n.Load() != want || (err == nil) != tt.retried {
				t.Errorf("sent %d times, error is %v", n.Load(), err)
			}
		})
	}
}

func TestRetriesEnd(t *testing.T) {
	var n atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { n.Add(1); answer(595, "")(w, r) })
	_, err := dial(t, s, rest.Options{Retries: 1}).Do(t.Context(), read())
	if !errors.Is(err, proxmox.ErrUnreachable) || errors.Is(err, proxmox.ErrOutcomeUnknown) || n.Load() != 2 {
		t.Errorf("sent %d times, error is %v", n.Load(), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	n.Store(0)
	_, err = dial(t, s, rest.Options{Retries: 1000}).Do(ctx, read())
	if err == nil || n.Load() > 100 {
		t.Errorf("sent %d times, error is %v", n.Load(), err)
	}
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name    string
		h       http.HandlerFunc
		want    string // in the error
		unknown bool   // of a mutation that is answered so
	}{
		{"html", answer(200, "<!DOCTYPE html><html></html>"), "page of HTML", true},
		{"html 404", answer(404, "<html>nothing here</html>"), "page of HTML (status 404)", false},
		{"html 500", answer(500, "<html>oops</html>"), "page of HTML (status 500)", true},
		{"truncated", answer(200, `{"data":{"a":`), "cut off", true},
		{"empty", answer(200, ""), "answer is empty", true},
		{"text", answer(200, "hello"), "no JSON", true},
		{"no data", answer(200, `{"status":"ok"}`), `no "data"`, true},
		{"other list", answer(200, `[1]`), "no JSON", true},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://pve2:8006/?session=abc", http.StatusMovedPermanently)
		}, `redirects to "https://pve2:8006/"`, false},
		{"wrong path", answer(501, `{"data":null,"message":"Method 'GET /x' not implemented"}`), "not implemented", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tr := dial(t, serve(t, tt.h), rest.Options{Retries: -1})
			_, err := tr.Do(t.Context(), read())
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, proxmox.ErrUnreachable) {
				t.Errorf("read: error is %v", err)
			}
			_, err = tr.Do(t.Context(), mutation("POST"))
			if err == nil || errors.Is(err, proxmox.ErrOutcomeUnknown) != tt.unknown {
				t.Errorf("mutation: error is %v", err)
			}
		})
	}
}

func TestHugeAnswer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		block := bytes.Repeat([]byte(" "), 1<<20)
		for range 65 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	if _, err := dial(t, s, rest.Options{}).Do(t.Context(), read()); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("error is %v", err)
	}
}

// The reason phrase is the only text of some answers.
func TestReasonPhrase(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buf.WriteString("HTTP/1.1 500 CT is locked (backup)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		_ = buf.Flush()
		_ = conn.Close()
	})
	_, err := dial(t, s, rest.Options{}).Do(t.Context(), mutation("PUT"))
	if !errors.Is(err, proxmox.ErrLocked) {
		t.Errorf("error is %v", err)
	}
}

func TestCompressedAnswerOnKeptConnection(t *testing.T) {
	var mu sync.Mutex
	peers := map[string]bool{}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		peers[r.RemoteAddr] = true
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("compression is not offered")
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(gzipped(`{"data":"` + strings.Repeat("x", 10000) + `"}`))
	})
	tr := dial(t, s, rest.Options{})
	for range 3 {
		data, err := tr.Do(t.Context(), read())
		if err != nil || len(data) != 10002 {
			t.Fatalf("got %d bytes, %v", len(data), err)
		}
	}
	if len(peers) != 1 {
		t.Errorf("%d connections", len(peers))
	}
}

func TestMaxInFlight(t *testing.T) {
	const limit = 3
	var now, peak atomic.Int32
	full := make(chan struct{}) // closed once as many are under way as may be
	reached := sync.OnceFunc(func() {
		time.Sleep(20 * time.Millisecond) // for one more to come, which must not; a busy machine can only miss it
		close(full)
	})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		if n == limit {
			reached()
		}
		<-full
		answer(200, `{"data":1}`)(w, r)
	})
	tr := dial(t, s, rest.Options{MaxInFlight: limit})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := tr.Do(t.Context(), read()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if peak.Load() != limit {
		t.Errorf("%d requests at once", peak.Load())
	}
}

func TestTicket(t *testing.T) {
	const ticket = "PVE:root@pam:6B03F5C2::sig+/na=ture"
	var logins atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api2/json/access/ticket" {
			logins.Add(1)
			if r.FormValue("username") != "root@pam" || r.FormValue("password") != "pass;word" {
				answer(401, "")(w, r)
				return
			}
			b, _ := json.Marshal(map[string]any{"data": map[string]string{"ticket": ticket, "CSRFPreventionToken": "6B03:csrf"}})
			answer(200, string(b))(w, r)
			return
		}
		c, err := r.Cookie("PVEAuthCookie")
		if err != nil {
			t.Error(err)
			return
		}
		if got, _ := url.PathUnescape(c.Value); got != ticket {
			t.Errorf("ticket is %q", got)
		}
		if got := r.Header.Get("CSRFPreventionToken"); (r.Method != "GET") != (got == "6B03:csrf") {
			t.Errorf("%s carries CSRF token %q", r.Method, got)
		}
		answer(200, `{"data":null}`)(w, r)
	})
	tr := dial(t, s, rest.Options{User: "root@pam", Password: proxmox.NewSecret("pass;word")})
	for _, r := range []proxmox.Request{read(), mutation("PUT"), mutation("DELETE")} {
		data, err := tr.Do(t.Context(), r)
		if err != nil || string(data) != "null" {
			t.Errorf("got %q, %v", data, err)
		}
	}
	if logins.Load() != 1 {
		t.Errorf("%d logins", logins.Load())
	}
	_, err := dial(t, s, rest.Options{User: "root@pam", Password: proxmox.NewSecret("wrong")}).Do(t.Context(), mutation("PUT"))
	if !errors.Is(err, proxmox.ErrUnauthorized) || !strings.Contains(err.Error(), "log in as root@pam") {
		t.Errorf("error is %v", err)
	}
}

func TestClosedPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := l.Addr().String()
	_ = l.Close()
	tr, err := rest.New(rest.Options{Endpoint: endpoint, Token: proxmox.NewSecret(token), Insecure: true, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []proxmox.Request{read(), mutation("POST")} {
		_, err := tr.Do(t.Context(), r)
		if !errors.Is(err, proxmox.ErrUnreachable) || errors.Is(err, proxmox.ErrOutcomeUnknown) || !strings.Contains(err.Error(), endpoint) {
			t.Errorf("error of %s is %v", r, err)
		}
	}
}
