package notify

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/reconcile/plan"
)

// A fake is a channel that fails as long as it is told to.
type fake struct {
	mu    sync.Mutex
	fails bool
	tries int
	got   []string
	slow  bool // answers only once its context ends
	takes time.Duration
}

func (f *fake) send(ctx context.Context, m Message, title, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries++
	if f.slow {
		<-ctx.Done()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(f.takes):
	}
	if f.fails || f.slow {
		return errors.New("answers 503 Service Unavailable")
	}
	f.got = append(f.got, title)
	return nil
}

func (f *fake) set(fails bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = fails
}

func (f *fake) told() (titles []string, tries int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got, f.tries
}

// A rig is a notifier with one fake channel, which runs until stop.
type rig struct {
	*Notifier
	fake *fake
	log  *bytes.Buffer
	stop func()
}

func newRig(t *testing.T, path string, f *fake) rig {
	t.Helper()
	var log bytes.Buffer
	n, err := New(config.Notify{}, nil, path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l := &line{channel: config.Channel{Name: "phone"}, sender: f, wake: make(chan struct{}, 1)}
	if err := l.read(); err != nil {
		t.Fatal(err)
	}
	n.lines = []*line{l}
	n.load()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Run ends with %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return rig{n, f, &log, stop}
}

func refused(commit string) *report.Report {
	w := newWorld()
	w.Agent.Started = time.Time{}
	refuse(commit)(w)
	r := w.Report
	return &r
}

const refusedTitle = "home: The source is not followed: invalid"

// TestDeliver: a message that is not taken is sent again at growing distances until it is; meanwhile the channel
// counts as failing, and more messages wait in their order.
func TestDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", &fake{fails: true})
		began := time.Now()
		r.Tell(refused("aa"))
		synctest.Wait()
		want := []report.Channel{{Name: "notifications to phone", Since: began, Error: "answers 503 Service Unavailable"}}
		if diff := cmp.Diff(want, r.Failing()); diff != "" {
			t.Errorf("failing (-want +got):\n%s", diff)
		}
		time.Sleep(time.Hour)
		r.Tell(refused("bb"))
		synctest.Wait()
		if _, tries := r.fake.told(); tries < 8 || tries > 16 {
			t.Errorf("%d tries in an hour", tries)
		}
		r.fake.set(false)
		time.Sleep(maxPause)
		if got, _ := r.fake.told(); len(got) != 2 || got[0] != refusedTitle || len(r.Failing()) != 0 {
			t.Errorf("told %q, and %v fail", got, r.Failing())
		}
		r.stop()
		if log := r.log.String(); !strings.Contains(log, "telling others fails") || !strings.Contains(log, "works again") {
			t.Errorf("the log says nothing of it:\n%s", log)
		}
	})
}

// TestGiveUp: what could not be told for a day is dropped, and the next message says so; and so is what does not fit
// into the queue.
func TestGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", &fake{fails: true})
		r.Tell(refused("aa"))
		time.Sleep(25 * time.Hour)
		r.fake.set(false)
		time.Sleep(maxPause)
		if got, tries := r.fake.told(); len(got) != 0 || tries > 150 {
			t.Errorf("told %q after %d tries", got, tries)
		}
		r.fake.set(true)
		for i := range maxQueue + 5 {
			r.Tell(refused(strings.Repeat("b", i+1)))
			synctest.Wait()
		}
		r.mu.Lock()
		n, dropped := len(r.lines[0].queue), r.lines[0].queue[0].Dropped
		r.mu.Unlock()
		if n != maxQueue || dropped != 6 {
			t.Errorf("%d messages wait, and the first says that %d were dropped", n, dropped)
		}
	})
}

// TestNeverWaits: the agent's loop goes on whatever a channel does, and an attempt ends.
func TestNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", &fake{slow: true})
		began := time.Now()
		for _, commit := range []string{"aa", "bb", "cc"} {
			r.Tell(refused(commit))
			r.Failing()
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("Tell took %s", d)
		}
		time.Sleep(sendTimeout + time.Second)
		if len(r.Failing()) != 1 {
			t.Error("a channel that never answers counts as working")
		}
	})
}

// TestRestart: nothing is told twice, and nothing is lost, wherever the agent is stopped.
func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "told.json")
	synctest.Test(t, func(t *testing.T) {
		one := newRig(t, path, &fake{})
		one.Tell(refused("aa"))
		synctest.Wait()
		one.stop()

		two := newRig(t, path, &fake{fails: true})
		two.Tell(refused("aa")) // told
		synctest.Wait()
		if _, tries := two.fake.told(); tries != 0 {
			t.Error("what was told is told again after a restart")
		}
		two.Tell(refused("bb")) // cannot be told
		synctest.Wait()
		two.stop()

		three := newRig(t, path, &fake{})
		three.Tell(refused("bb"))
		synctest.Wait()
		if got, _ := three.fake.told(); len(got) != 1 {
			t.Errorf("what was not delivered before a restart is told %d times after it", len(got))
		}
		three.stop()
		four := newRig(t, path, &fake{})
		four.Tell(refused("bb"))
		synctest.Wait()
		if got, _ := four.fake.told(); len(got) != 0 {
			t.Errorf("told again: %q", got)
		}
	})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v: %v", info.Mode(), err)
	}
}

// TestEnd: a message that is under way when the agent ends is finished, if that takes no longer than a moment, and then not
// sent again by the next start.
func TestEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "told.json")
	for _, tt := range []struct {
		takes time.Duration
		left  int
	}{{time.Second, 0}, {time.Hour, 1}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, path, &fake{takes: tt.takes})
			r.Tell(refused(tt.takes.String()))
			synctest.Wait()
			began := time.Now()
			r.stop()
			if d := time.Since(began); d > sendGrace {
				t.Errorf("the end takes %s", d)
			}
			if left := len(r.lines[0].queue); left != tt.left {
				t.Errorf("what takes %s: %d messages are left, want %d", tt.takes, left, tt.left)
			}
		})
	}
}

// TestBadFile: a file that is none loses nothing but what was told before.
func TestBadFile(t *testing.T) {
	for _, text := range []string{"", "{", "[]", `{"version":99}`} {
		path := filepath.Join(t.TempDir(), "told.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, path, &fake{})
			r.Tell(refused("aa"))
			synctest.Wait()
			if got, _ := r.fake.told(); len(got) != 1 {
				t.Errorf("%q: told %q", text, got)
			}
			r.stop()
			if !strings.Contains(r.log.String(), "what was told is not known") {
				t.Errorf("%q: the log is silent:\n%s", text, r.log.String())
			}
		})
	}
}

// TestTimeAlone: what has stood for long enough is told though the agent says nothing new.
func TestTimeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", &fake{})
		w := newWorld()
		unreachable(w)
		w.Source.Failing = time.Now()
		r.Tell(&w.Report)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got, _ := r.fake.told(); !cmp.Equal(got, []string{"home: The source is not followed: unreachable"}) {
			t.Errorf("told %q", got)
		}
	})
}

// TestWants shows what a channel is told, by its level and its events.
func TestWants(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    config.Channel
		want string
	}{
		{"by default from warning on", config.Channel{}, "source"},
		{"a level", config.Channel{Level: "note"}, "source applied"},
		{"a higher level", config.Channel{Level: "danger"}, "source"},
		{"events, whatever their level", config.Channel{Events: []string{"applied"}}, "applied"},
		{"events and a level", config.Channel{Events: []string{"applied"}, Level: "warning"}, ""},
	} {
		w := newWorld()
		w.Agent.Started = start
		refuse("aa")(w)
		m, l := newMemory(), &line{channel: tt.c}
		if err := l.read(); err != nil {
			t.Fatal(err)
		}
		w.Runs = []report.Run{{Ended: start.Add(time.Second), Changed: []plan.Subject{{ID: 101}}}}
		var got []string
		for _, e := range m.look(&w.Report, start.Add(time.Minute), policy{}) {
			if l.wants(e) {
				got = append(got, string(e.Kind))
			}
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s: told of %q, want %q", tt.name, text, tt.want)
		}
	}
}

// TestPing shows after which passes the dead man's switch hears what.
func TestPing(t *testing.T) {
	p, err := newPinger(config.DeadMan{URL: hidden("https://hc.example/abc?x=1")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.bad.Reveal(); got != "https://hc.example/abc/fail?x=1" {
		t.Errorf("a bad pass is told to %s", got)
	}
	now := start
	for i, tt := range []struct {
		after  time.Duration
		result report.Result
		want   string
	}{
		{0, report.Quiet, "good"},
		{time.Second, report.Quiet, ""}, // too soon
		{time.Minute, report.Converged, "good"},
		{time.Second, report.Failed, "bad"}, // the tide has turned
		{time.Second, report.Unreachable, ""},
		{time.Second, report.Pending, "good"},
		{0, report.Pending, ""}, // the same pass
	} {
		w := newWorld()
		now = now.Add(tt.after)
		w.Loop.Last = &report.Run{Ended: now, Result: tt.result}
		got := ""
		if b, ok := p.due(&w.Report, now); ok {
			got = map[bool]string{true: "good", false: "bad"}[b.good]
		}
		if got != tt.want {
			t.Errorf("pass %d: %q, want %q", i, got, tt.want)
		}
	}
}

// A switchboard is a dead man's switch that hears pings, and fails as often as it is told to.
type switchboard struct {
	mu    sync.Mutex
	fails int
	heard []string
}

func (s *switchboard) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		return nil, errors.New("no route to host")
	}
	s.heard = append(s.heard, r.Method+" "+r.URL.Path)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func (s *switchboard) take() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, s.heard = s.heard, nil
	return out
}

// TestPings: each pass is heard of, a bad one otherwise; a ping that fails is tried again, and then counts as failing.
func TestPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &switchboard{}
		p, err := newPinger(config.DeadMan{URL: hidden("https://hc.example/u")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.client.Transport = s
		n, err := New(config.Notify{}, nil, "", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		n.pinger = p
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- n.Run(ctx) }()
		after := func(result report.Result, fails int) {
			s.mu.Lock()
			s.fails = fails
			s.mu.Unlock()
			w := newWorld()
			w.Loop.Last = &report.Run{Ended: time.Now().AddDate(100, 0, 0), Result: result}
			n.Tell(&w.Report)
			time.Sleep(5 * time.Minute)
			synctest.Wait()
		}
		for _, tt := range []struct {
			result  report.Result
			fails   int
			want    []string
			failing int
		}{
			{report.Quiet, 0, []string{"GET /u"}, 0},
			{report.Unreachable, 0, []string{"POST /u/fail"}, 0},
			{report.Quiet, 2, []string{"GET /u"}, 0},
			{report.Quiet, 3, nil, 1},
			{report.Quiet, 0, []string{"GET /u"}, 0},
		} {
			after(tt.result, tt.fails)
			if diff := cmp.Diff(tt.want, s.take()); diff != "" || len(n.Failing()) != tt.failing {
				t.Errorf("%s, %d fail: %v fails (-want +got):\n%s", tt.result, tt.fails, n.Failing(), diff)
			}
		}
		cancel()
		<-done
	})
}
