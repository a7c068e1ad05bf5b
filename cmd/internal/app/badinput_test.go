package app_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/app"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
)

// A site is a simulated node behind HTTPS, and the surroundings of a program that talks to it.
type site struct {
	t   *testing.T
	sim *sim.Sim
	env map[string]string

	mu    sync.Mutex // guards fault
	fault func(sim.Call) sim.Fault
}

// newSite serves the demo, to which examples/homelab was applied.
func newSite(t *testing.T, o sim.Options) *site {
	t.Helper()
	raw, err := demo()
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(raw)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t}
	o.Fault = func(c sim.Call) sim.Fault {
		s.mu.Lock()
		f := s.fault
		s.mu.Unlock()
		if f == nil {
			return sim.Fault{}
		}
		return f(c)
	}
	if s.sim, err = sim.New(st, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.sim.Close)
	sv, err := s.sim.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sv.Close(context.Background()) })
	s.env = map[string]string{
		"TEND_ENDPOINT": sv.URL(), "TEND_FINGERPRINT": sv.Fingerprint, "TEND_STATE_DIR": t.TempDir(), "COLUMNS": "200",
		"TEND_TOKEN": "root@pam!sandbox=5a4db07e-0000-4000-8000-000000000000",
	}
	return s
}

func (s *site) faults(f func(sim.Call) sim.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// spec is the demo spec with texts replaced, old and new in turn.
func (s *site) spec(pairs ...string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(repository+"/examples/homelab")); err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		found := false
		for _, name := range []string{"cluster.yaml", "containers/dns.yaml", "containers/files.yaml", "containers/lab.yaml", "containers/media.yaml"} {
			path := filepath.Join(dir, name)
			text, err := os.ReadFile(path)
			if err != nil {
				s.t.Fatal(err)
			}
			if bytes.Contains(text, []byte(pairs[i])) {
				found = true
				text = bytes.Replace(text, []byte(pairs[i]), []byte(pairs[i+1]), 1)
				if err := os.WriteFile(path, text, 0o600); err != nil {
					s.t.Fatal(err)
				}
			}
		}
		if !found {
			s.t.Fatalf("%q stands nowhere in the demo", pairs[i])
		}
	}
	return dir
}

// run runs the program in this process.
func (s *site) run(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	streams := app.Streams{
		In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(key string) string { return s.env[key] },
	}
	code = app.Run(s.t.Context(), args, streams)
	return code, out.String(), errs.String()
}

// converges insists that a run without faults ends well, and leaves nothing to do.
func (s *site) converges(spec string) {
	s.t.Helper()
	s.faults(nil)
	if code, out, errs := s.run("apply", "--yes", spec); code != 0 {
		s.t.Errorf("a later run does not converge: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := s.run("plan", spec); code != 0 {
		s.t.Errorf("the plan afterwards is not empty: exit code %d\n%s%s", code, out, errs)
	}
}

func wants(t *testing.T, text string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
}

// TestBadAnswers shows what is said of answers that no node gives, or that a node in trouble gives.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault sim.Fault
		want  []string
	}{
		{"HTML", sim.Fault{Status: 200, Body: "<html><body>Welcome</body></html>"}, []string{"does not answer as Proxmox VE does", "a page of HTML"}},
		{"cut off", sim.Fault{Status: 200, Body: `{"data":[{"node":"pve1","sta`}, []string{"the answer is cut off"}},
		{"no data", sim.Fault{Status: 200, Body: `{"success":1}`}, []string{`has no "data"`}},
		{"another shape", sim.Fault{Status: 200, Body: `{"data":"nodes"}`}, []string{"tend: ", "nodes"}},
		{"401", sim.Fault{Status: 401, Reason: "authentication failure"}, []string{"401 authentication failure", "→ Proxmox does not know the token"}},
		{"403", sim.Fault{Status: 403, Reason: "Permission check failed (/nodes/pve1, Sys.Audit)"}, []string{"403 Permission check failed", "→ give the token the privilege: Sys.Audit on /nodes/pve1"}},
		{"500 with JSON", sim.Fault{Status: 500, Reason: "boom at line 5"}, []string{"500 boom at line 5"}},
		{"500 without JSON", sim.Fault{Status: 500, Body: "oops"}, []string{"500"}},
		{"595", sim.Fault{Status: 595, Reason: "Connection refused"}, []string{"595 Connection refused", "→ is the endpoint right, the node up"}},
		{"596", sim.Fault{Status: 596, Reason: "Connection timed out"}, []string{"596 Connection timed out", "→ is the endpoint right"}},
		{"599", sim.Fault{Status: 599, Reason: "Too many redirections"}, []string{"599 Too many redirections"}},
		{"cut connection", sim.Fault{Cut: true}, []string{"is unreachable"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sim.Options{})
			spec := s.spec("cores: 4", "cores: 6")
			s.faults(func(sim.Call) sim.Fault { return tt.fault })
			for _, verb := range []string{"plan", "apply"} {
				args := []string{verb, spec}
				if verb == "apply" {
					args = append(args, "--yes")
				}
				code, out, errs := s.run(args...)
				if code != 1 || out != "" {
					t.Errorf("%s: exit code %d, and on the standard output:\n%s", verb, code, out)
				}
				wants(t, errs, tt.want...)
			}
			s.converges(spec)
		})
	}
}

// TestBadAnswersInTheMiddle has one change of a running apply answered badly.
func TestBadAnswersInTheMiddle(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault sim.Fault
		code  int
		want  []string // in the result
	}{
		{"500", sim.Fault{Status: 500, Reason: "unable to write: disk full"}, 1, []string{"120 media  failed", "unable to write: disk full"}},
		{"403", sim.Fault{Status: 403, Reason: "Permission check failed (/vms/120, VM.Config.CPU)"}, 1, []string{"120 media  failed", "give the token the privilege: VM.Config.CPU on /vms/120"}},
		{"596 before", sim.Fault{Status: 596, Reason: "Connection timed out"}, 0, []string{"120 media  changed"}},
		{"596 after", sim.Fault{Status: 596, Reason: "Connection timed out", After: true}, 0, []string{"120 media"}},
		{"cut before", sim.Fault{Cut: true}, 0, []string{"120 media  changed"}},
		{"cut after", sim.Fault{Cut: true, After: true}, 0, []string{"120 media"}},
		{"HTML", sim.Fault{Status: 200, Body: "<html>"}, 0, []string{"120 media  changed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sim.Options{})
			spec := s.spec("cores: 4", "cores: 6", "description: AdGuard Home", "description: Names")
			s.once(t, tt.fault)
			code, out, errs := s.run("apply", "--yes", spec)
			if code != tt.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.code, out, errs)
			}
			wants(t, out, append(tt.want, "102 dns    changed")...)
			s.converges(spec)
		})
	}
}

// once lets the first change of container 120 go wrong.
func (s *site) once(t *testing.T, f sim.Fault) {
	t.Helper()
	var done atomic.Bool
	s.faults(func(c sim.Call) sim.Fault {
		if c.Method == "PUT" && c.Path == "/nodes/pve1/lxc/120/config" && done.CompareAndSwap(false, true) {
			return f
		}
		return sim.Fault{}
	})
	t.Cleanup(func() {
		if !done.Load() {
			t.Error("nothing went wrong, so that nothing was tested")
		}
	})
}

// TestWrongEndpoints shows what is said where there is no node.
func TestWrongEndpoints(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler()) // speaks no TLS
	t.Cleanup(web.Close)
	site404 := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(site404.Close)
	tests := []struct {
		name, endpoint string
		args           []string
		want           []string
	}{
		{"closed port", "127.0.0.1:1", nil, []string{"https://127.0.0.1:1 is unreachable", "connection refused", "→ is the endpoint right"}},
		{"no such name", "no-such-node.invalid", nil, []string{"no-such-node.invalid", "unreachable"}},
		{"no TLS", "https://" + strings.TrimPrefix(web.URL, "http://"), nil, []string{"does not look like a TLS handshake"}},
		{"http", web.URL, nil, []string{"Proxmox speaks https only"}},
		{"another site", site404.URL, []string{"--insecure"}, []string{"does not answer as Proxmox VE does"}},
		{"unknown certificate", site404.URL, nil, []string{"is not trusted", "SHA-256 fingerprint", "--fingerprint"}},
		{"no host", "https://", nil, []string{"names no host"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &site{t: t, env: map[string]string{
				"TEND_ENDPOINT": tt.endpoint, "TEND_TOKEN": "root@pam!x=hush-hush", "COLUMNS": "300", "TEND_STATE_DIR": t.TempDir(),
			}}
			code, out, errs := s.run(append([]string{"plan", repository + "/examples/homelab"}, tt.args...)...)
			if code != 1 || out != "" {
				t.Errorf("exit code %d, and on the standard output:\n%s", code, out)
			}
			wants(t, errs, tt.want...)
			for _, not := range []string{"hush", "port 8006"} { // the token, and a port that is not the endpoint's
				if strings.Contains(errs, not) {
					t.Errorf("%q is told:\n%s", not, errs)
				}
			}
		})
	}
}

// TestEndlessTask gives up on a task after the time that it was given, says where to look, and goes on once the
// task has ended.
func TestEndlessTask(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Options{})
	spec := s.spec("state: stopped", "state: running")
	s.faults(func(c sim.Call) sim.Fault { return sim.Fault{TaskHang: strings.HasSuffix(c.Path, "/190/status/start")} })
	code, out, errs := s.run("apply", "--yes", "--task-timeout=200ms", spec)
	if code != 1 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	upid := regexp.MustCompile(`UPID:pve1:\S+:vzstart:190:root@pam!sandbox:`).FindString(out)
	if upid == "" {
		t.Fatalf("the task is not named:\n%s", out)
	}
	wants(t, out, "it may still run: look at UPID:", "Still running on the nodes:")
	s.faults(nil)
	s.must("DELETE", "/nodes/pve1/tasks/"+url.PathEscape(upid))
	s.converges(spec)
}

// must does something by hand, as root@pam.
func (s *site) must(method, path string, pairs ...string) {
	s.t.Helper()
	p := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		p.Set(pairs[i], pairs[i+1])
	}
	if _, err := s.sim.As("root@pam").Do(context.Background(), proxmox.Request{Method: method, Path: path, Params: p}); err != nil {
		s.t.Errorf("%s %s: %v", method, path, err)
	}
}

// TestReboot loses the node in the middle of a task: it answers nothing for a while, and the task is gone.
func TestReboot(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Options{})
	spec := s.spec("state: stopped", "state: running", "cores: 4", "cores: 6")
	var down atomic.Int64 // when it went down, in Unix nanoseconds
	s.faults(func(c sim.Call) sim.Fault {
		if since := down.Load(); since != 0 {
			return sim.Fault{Cut: time.Since(time.Unix(0, since)) < 700*time.Millisecond}
		}
		if strings.HasSuffix(c.Path, "/190/status/start") {
			down.Store(time.Now().UnixNano())
			return sim.Fault{TaskKill: true, Cut: true, After: true}
		}
		return sim.Fault{}
	})
	code, out, errs := s.run("apply", "--yes", spec)
	if code != 0 && code != 1 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if down.Load() == 0 {
		t.Error("the node did not go down, so that nothing was tested")
	}
	s.converges(spec)
}

// TestClockSkew works with a node whose clock is wrong, and doctor says so.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		s := newSite(t, sim.Options{Now: func() time.Time { return time.Now().Add(skew) }})
		s.converges(s.spec("cores: 4", "cores: 6", "state: stopped", "state: running"))
		code, out, _ := s.run("doctor")
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		wants(t, out, "warning", "clock of pve1", "is about 1h0m0s "+map[bool]string{true: "behind", false: "ahead of"}[skew < 0]+" this machine's")
	}
}

// TestByHand has somebody change containers while they are changed.
func TestByHand(t *testing.T) {
	t.Parallel()
	t.Run("edited", func(t *testing.T) {
		s := newSite(t, sim.Options{})
		spec := s.spec("cores: 4", "cores: 6")
		var done atomic.Bool
		s.faults(func(c sim.Call) sim.Fault {
			if c.User == "root@pam!sandbox" && c.Method == "PUT" && done.CompareAndSwap(false, true) {
				s.must("PUT", "/nodes/pve1/lxc/120/config", "description", "mine", "cores", "3")
			}
			return sim.Fault{}
		})
		code, out, errs := s.run("apply", "--yes", spec)
		if code != 0 || !done.Load() {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		wants(t, out, "120 media  changed")
		s.converges(spec)
	})
	t.Run("destroyed", func(t *testing.T) {
		s := newSite(t, sim.Options{})
		spec := s.spec("cores: 4", "cores: 6", "description: AdGuard Home", "description: Names")
		var done atomic.Bool
		s.faults(func(c sim.Call) sim.Fault {
			if c.User == "root@pam!sandbox" && c.Method == "PUT" && strings.Contains(c.Path, "/120/") && done.CompareAndSwap(false, true) {
				s.must("DELETE", "/nodes/pve1/lxc/120", "force", "1")
			}
			return sim.Fault{}
		})
		code, out, errs := s.run("apply", "--yes", spec)
		if code == 0 || !done.Load() {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		wants(t, out, "102 dns    changed", "120 media  ")
		s.converges(spec)
	})
}
