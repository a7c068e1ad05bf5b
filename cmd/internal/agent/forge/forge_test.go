package forge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/agent/forge"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox"
)

func token(string) (proxmox.Secret, error) { return proxmox.NewSecret("hunter2"), nil }

func in(commit string, last *report.Run) *report.Report {
	r := &report.Report{Agent: report.Agent{Cluster: "home"}, Loop: report.Loop{Last: last}}
	r.Source = report.Source{Kind: "git", InForce: report.Revision{ID: commit}}
	return r
}

func ended(commit string, result report.Result, summary string) *report.Run {
	return &report.Run{Revision: report.Revision{ID: commit}, Result: result, Summary: summary}
}

// TestOf shows what is told of which commit.
func TestOf(t *testing.T) {
	refused := in("aa", ended("aa", report.Quiet, "nothing to do"))
	refused.Source.Refused.ID, refused.Source.Class, refused.Source.Error = "bb", "unsigned", "no key\nsigns it"
	away := in("aa", ended("aa", report.Quiet, "nothing to do"))
	away.Source.Refused.ID, away.Source.Class, away.Source.Error = "bb", "unreachable", "no route"
	folder := in("aa", nil)
	folder.Source.Kind = "folder"
	for _, tt := range []struct {
		name string
		in   *report.Report
		want []forge.Status
	}{
		{"a folder has no forge", folder, nil},
		{"nothing in force", in("", nil), nil},
		{"in force", in("aa", nil), []forge.Status{{"aa", forge.Pending, "in force, and not carried out yet"}}},
		{"another was carried out", in("aa", ended("zz", report.Quiet, "x")), []forge.Status{{"aa", forge.Pending, "in force, and not carried out yet"}}},
		{"nothing to do", in("aa", ended("aa", report.Quiet, "nothing to do")), []forge.Status{{"aa", forge.Success, "nothing to do"}}},
		{"done", in("aa", ended("aa", report.Converged, "2 changed")), []forge.Status{{"aa", forge.Success, "2 changed"}}},
		{"waits", in("aa", ended("aa", report.Pending, "1 waits for a restart")), []forge.Status{{"aa", forge.Pending, "1 waits for a restart"}}},
		{"blocked", in("aa", ended("aa", report.Blocked, "1 blocked")), []forge.Status{{"aa", forge.Failure, "1 blocked"}}},
		{"failed", in("aa", ended("aa", report.Failed, "")), []forge.Status{{"aa", forge.Failure, "failed"}}},
		{"the node is away, which is not the commit's fault", in("aa", ended("aa", report.Unreachable, "")), nil},
		{"refused", refused, []forge.Status{{"bb", forge.Failure, "refused: no key signs it"}, {"aa", forge.Success, "nothing to do"}}},
		{"the forge is away", away, []forge.Status{{"aa", forge.Success, "nothing to do"}}},
		{"long", in("aa", ended("aa", report.Quiet, strings.Repeat("ä", 200))), []forge.Status{{"aa", forge.Success, strings.Repeat("ä", 139) + "…"}}},
	} {
		if diff := cmp.Diff(tt.want, forge.Of(tt.in)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// A server is a forge that keeps what it is told.
type server struct {
	*httptest.Server
	got    chan string
	mu     sync.Mutex
	answer func() (int, string)
}

func newServer(t *testing.T) *server {
	s := &server{got: make(chan string, 100), answer: func() (int, string) { return http.StatusCreated, "{}" }}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		auth := r.Header.Get("Authorization") + r.Header.Get("Private-Token")
		s.mu.Lock()
		code, text := s.answer()
		s.mu.Unlock()
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
		s.got <- fmt.Sprintf("%s %s %s %s", r.Method, r.URL.EscapedPath(), auth, body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) answers(code int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = func() (int, string) { return code, text }
}

// run runs a poster until the test ends.
func run(t *testing.T, p *forge.Poster) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ends with %v", err)
		}
	})
}

// TestPost shows what each forge is told, at which address, and with which token.
func TestPost(t *testing.T) {
	for _, tt := range []struct{ forge, repository, want string }{
		{"github", "anna/home", `POST /repos/anna/home/statuses/aa Bearer hunter2 {"state":"failure","context":"tend/home","description":"1 blocked","target_url":"https://tend.example.com"}`},
		{"gitea", "anna/home", `POST /repos/anna/home/statuses/aa token hunter2 {"state":"failure","context":"tend/home","description":"1 blocked","target_url":"https://tend.example.com"}`},
		{"gitlab", "infra/lxc/home", `POST /projects/infra%2Flxc%2Fhome/statuses/aa hunter2 {"state":"failed","name":"tend/home","description":"1 blocked","target_url":"https://tend.example.com"}`},
	} {
		s := newServer(t)
		p, err := forge.New(config.CommitStatus{Forge: tt.forge, API: s.URL, Repository: tt.repository, Target: "https://tend.example.com"}, "", token, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		run(t, p)
		p.Tell(in("aa", ended("aa", report.Blocked, "1 blocked")))
		if got := <-s.got; got != tt.want {
			t.Errorf("%s gets\n%s, want\n%s", tt.forge, got, tt.want)
		}
	}
}

// TestOnChange: whatever is reported, a status is posted once for each change of state, and the last one is posted.
func TestOnChange(t *testing.T) {
	s := newServer(t)
	p, err := forge.New(config.CommitStatus{Forge: "gitea", API: s.URL, Repository: "a/b"}, "", token, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	run(t, p)
	state := func() string {
		var b struct{ State, Description string }
		text := <-s.got
		_ = json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &b)
		return b.State + " " + b.Description
	}
	tell := func(times int, last *report.Run) {
		for range times {
			p.Tell(in("aa", last))
		}
	}
	tell(20, nil)
	if got := state(); got != "pending in force, and not carried out yet" {
		t.Error(got)
	}
	for i := range 20 {
		tell(1, ended("aa", report.Quiet, fmt.Sprint(i)))
	}
	if got := state(); !strings.HasPrefix(got, "success") {
		t.Error(got)
	}
	tell(20, ended("aa", report.Unreachable, ""))
	tell(1, ended("aa", report.Failed, "no space"))
	if got := state(); got != "failure no space" {
		t.Error(got)
	}
}

// TestRefusal: an answer that stays the same is not asked for again and again, and is told without the token.
func TestRefusal(t *testing.T) {
	s := newServer(t)
	s.answers(http.StatusNotFound, `{"message":"Not Found hunter2"}`)
	var log bytes.Buffer
	p, err := forge.New(config.CommitStatus{Forge: "github", API: s.URL, Repository: "a/b"}, "", token, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	p.Tell(in("aa", nil))
	<-s.got
	p.Tell(in("aa", nil))
	s.answers(http.StatusCreated, "")
	p.Tell(in("bb", nil)) // only once the first is over
	if got := <-s.got; !strings.Contains(got, "/statuses/bb") {
		t.Errorf("asked again: %s", got)
	}
	cancel()
	<-done
	if text := log.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "answers 404 Not Found: Not Found •••; the token may not set statuses of a/b") {
		t.Errorf("the log says:\n%s", text)
	}
	if text := fmt.Sprintf("%v %+v %#v", p, p, p); strings.Contains(text, "hunter2") {
		t.Error("printed with its token")
	}
}

// TestGitLabPending: GitLab refuses pending after pending, which is what is wanted.
func TestGitLabPending(t *testing.T) {
	s := newServer(t)
	s.answers(http.StatusBadRequest, `{"message":"Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via \"enqueue\")"}`)
	p, err := forge.New(config.CommitStatus{Forge: "gitlab", API: s.URL, Repository: "a/b"}, "", token, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	run(t, p)
	p.Tell(in("aa", nil))
	<-s.got
	s.answers(http.StatusCreated, "")
	p.Tell(in("bb", nil))
	<-s.got // so that the first is over
	if f := p.Failing(); len(f) > 0 {
		t.Errorf("fails: %v", f)
	}
}

// A dead end is a transport that reaches nobody.
type deadEnd struct{ tries int }

func (d *deadEnd) RoundTrip(*http.Request) (*http.Response, error) {
	d.tries++
	return nil, errors.New("no route to host")
}

// TestRetry: a forge that does not answer is asked again at growing distances, a bounded number of times, and Tell never
// waits for it.
func TestRetry(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	dead := &deadEnd{}
	http.DefaultTransport = dead
	synctest.Test(t, func(t *testing.T) {
		p, err := forge.New(config.CommitStatus{Forge: "gitlab", TokenFile: "x"}, "git@gitlab.com:a/b.git", token, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		began := time.Now()
		p.Tell(in("aa", nil))
		synctest.Wait()
		if f := p.Failing(); len(f) != 1 || f[0].Error != "no route to host" || !f[0].Since.Equal(began) || time.Since(began) != 0 {
			t.Errorf("fails: %v", f)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if dead.tries < 10 || dead.tries > 30 {
			t.Errorf("%d tries in a day", dead.tries)
		}
		cancel()
		<-done
	})
}
