package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/app"
)

// A liveAgent is one that runs in this process, with files that a test writes.
type liveAgent struct {
	t       *testing.T
	dir     string
	signals chan os.Signal
	systemd net.PacketConn

	mu  sync.Mutex // guards what follows
	log bytes.Buffer
}

func (l *liveAgent) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

func (l *liveAgent) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

func (l *liveAgent) write(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// configure writes the configuration.
func (l *liveAgent) configure(listen, rest string) {
	l.t.Helper()
	l.write("tend.yaml", fmt.Sprintf("source: {dir: %[1]s/spec}\nstateDir: %[1]s/state\nweb: {listen: %[2]q, tokenFile: %[1]s/token}\n%[3]s", l.dir, listen, rest))
}

// hears waits for what systemd is told next, and holds it against an expression.
func (l *liveAgent) hears(want string) {
	l.t.Helper()
	for {
		buf := make([]byte, 4096)
		if err := l.systemd.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			l.t.Fatal(err)
		}
		n, _, err := l.systemd.ReadFrom(buf)
		if err != nil {
			l.t.Fatalf("systemd is told nothing: %v\n%s", err, l.text())
		}
		if got := string(buf[:n]); got != "WATCHDOG=1" {
			if !regexp.MustCompile("(?s)^(" + want + ")$").MatchString(got) {
				l.t.Errorf("systemd is told %q, want %q\n%s", got, want, l.text())
			}
			return
		}
	}
}

// reload sends SIGHUP, and waits for the end of what that leads to.
func (l *liveAgent) reload(status string) {
	l.t.Helper()
	l.signals <- syscall.SIGHUP
	l.hears(`RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+`)
	l.hears(`READY=1\nSTATUS=` + status)
}

// page is where the page is served, as the log says.
func (l *liveAgent) page() string {
	l.t.Helper()
	m := regexp.MustCompile(`page=(https?://\S+)`).FindAllStringSubmatch(l.text(), -1)
	if len(m) == 0 {
		l.t.Fatal(l.text())
	}
	return m[len(m)-1][1]
}

// startAgent runs an agent on an empty sandbox until the test ends.
func startAgent(t *testing.T, listen, rest string) *liveAgent {
	t.Helper()
	l := &liveAgent{t: t, dir: t.TempDir(), signals: make(chan os.Signal)}
	if err := os.CopyFS(filepath.Join(l.dir, "spec"), os.DirFS(repository+"/examples/homelab")); err != nil {
		t.Fatal(err)
	}
	l.write("token", "a-token-of-some-length")
	l.configure(listen, rest)
	socket, err := net.ListenPacket("unixgram", filepath.Join(l.dir, "notify"))
	if err != nil {
		t.Fatal(err)
	}
	l.systemd = socket
	t.Setenv("NOTIFY_SOCKET", filepath.Join(l.dir, "notify"))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		done <- app.Run(ctx, []string{"watch", "--config", filepath.Join(l.dir, "tend.yaml"), "--sandbox=" + filepath.Join(l.dir, "sandbox.yaml")}, app.Streams{
			In: strings.NewReader(""), Out: l, Err: l, Env: func(string) string { return "" },
			Signals: func() (<-chan os.Signal, func()) { return l.signals, func() {} },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("it ends with %d:\n%s", code, l.text())
		}
		_ = socket.Close()
	})
	l.hears("READY=1")
	return l
}

// asks asks the page, and says with which status it answers; 0: not at all.
func asks(t *testing.T, url, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(r)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// TestReloadPage moves the page from one address to others, also where the old one is in the way, and takes a token that
// was replaced in its file. What cannot be had leaves all as it was.
func TestReloadPage(t *testing.T) {
	l := startAgent(t, "127.0.0.1:0", "")
	first := l.page()
	if got := asks(t, first, ""); got != 200 {
		t.Fatalf("the page answers %d", got)
	}

	port := first[strings.LastIndexByte(first, ':')+1:]
	l.configure("0.0.0.0:"+port, "") // the same port, on all addresses: the old listener is in the way
	l.reload("")
	if got := l.page(); !strings.HasSuffix(got, "]:"+port) && !strings.HasSuffix(got, "0.0.0.0:"+port) {
		t.Errorf("the page is at %s", got)
	}
	for token, want := range map[string]int{"": 401, "a-token-of-some-length": 200} {
		if got := asks(t, first, token); got != want {
			t.Errorf("on all addresses with %q: %d, want %d", token, got, want)
		}
	}

	l.write("token", "another-token-of-some-length")
	l.reload("")
	for token, want := range map[string]int{"a-token-of-some-length": 401, "another-token-of-some-length": 200} {
		if got := asks(t, first, token); got != want {
			t.Errorf("with the token replaced, %q: %d, want %d", token, got, want)
		}
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	l.write("token", "a-third-token-of-some-length")
	l.configure(taken.Addr().String(), "interval: 2h\n")
	l.reload("the configuration is faulty, and the one before in force: serve the page: .*address already in use.*")
	for token, want := range map[string]int{"another-token-of-some-length": 200, "a-third-token-of-some-length": 401} {
		if got := asks(t, first, token); got != want {
			t.Errorf("after what cannot be had, %q: %d, want %d", token, got, want)
		}
	}

	l.configure("off", "")
	l.reload("")
	waitUntil(t.Fatalf, func() bool { return asks(t, first, "") == 0 }, "the page still answers")
	l.configure("127.0.0.1:0", "")
	l.reload("")
	if got := asks(t, l.page(), ""); got != 200 {
		t.Errorf("on again: %d", got)
	}
}

// TestReloadNotify has what happens told to another place from then on, also with what the first place never took.
func TestReloadNotify(t *testing.T) {
	var mu sync.Mutex
	heard := map[string]string{} // by path: all bodies
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		heard[r.URL.Path] += string(body) + "\n"
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	told := func(path string) string {
		mu.Lock()
		defer mu.Unlock()
		return heard[path]
	}
	notify := func(path string) string {
		return fmt.Sprintf("notify:\n  channels:\n    - {name: hook, events: [applied], webhook: {url: %q}}\n", s.URL+path)
	}
	l := startAgent(t, "off", notify("/broken"))
	waitUntil(t.Fatalf, func() bool { return told("/broken") != "" }, "nothing is told")
	l.configure("off", notify("/mended"))
	l.reload("")
	waitUntil(t.Fatalf, func() bool { return strings.Contains(told("/mended"), "changed") }, "what waits is not told to the other place")
	media, err := os.ReadFile(filepath.Join(l.dir, "spec/containers/media.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	l.write("spec/containers/media.yaml", strings.Replace(string(media), "cores: 4", "cores: 5", 1))
	waitUntil(t.Fatalf, func() bool { return strings.Count(told("/mended"), "\n") >= 2 }, "what is new is not told to the other place")
	if n := strings.Count(told("/broken"), "\n"); n > 2 {
		t.Errorf("the first place is told %d times", n)
	}
}
