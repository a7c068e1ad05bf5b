package agent_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/server"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/git/gittest"
)

// A lossy source is another one that cannot be reached at times. It notes when it was asked.
type lossy struct {
	source.Source
	gone atomic.Bool

	mu    sync.Mutex
	tries []time.Time
}

func (l *lossy) InForce(r source.Revision) { l.Source.(source.Successor).InForce(r) }

func (l *lossy) Fetch(ctx context.Context) (fs.FS, source.Revision, error) {
	l.mu.Lock()
	l.tries = append(l.tries, time.Now())
	l.mu.Unlock()
	if l.gone.Load() {
		return nil, source.Revision{}, &source.Error{Class: source.Unreachable, Source: l.String(), Err: errors.New("no route to host")}
	}
	return l.Source.Fetch(ctx)
}

// since are the times at which it was asked from a time on.
func (l *lossy) since(t time.Time) []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.tries), func(x time.Time) bool { return x.Before(t) })
}

// While the repository is gone for an hour the agent asks less and less often and at times that no other agent has, sends
// the node no change but those that put drift right, says since when and why, and applies what was pushed meanwhile at the
// first try afterwards.
func TestGoneForAnHour(t *testing.T) {
	t.Parallel()
	for name, drift := range map[string]int64{"quiet": 0, "with a change by hand": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { goneForAnHour(t, drift) })
		})
	}
}

func goneForAnHour(t *testing.T, drift int64) {
	m := gittest.New(t)
	first := m.Commit("first", gittest.Spec(web("cores: 1")))
	m.Set("refs/heads/main", first)
	r, repo := newRig(t, config.Source{Git: m.Dir, Branch: "main", Path: "lxc"}), &lossy{}
	r.wrap = func(s source.Source) source.Source { repo.Source = s; return repo }
	r.light, r.settings.Interval = true, 5*time.Minute
	var calls, changes atomic.Int64
	r.fault = func(c sim.Call) sim.Fault {
		calls.Add(1)
		if c.Method != http.MethodGet {
			changes.Add(1)
		}
		return sim.Fault{}
	}
	r.start()
	r.await("in force", func(x *report.Report) bool { return waiting(x) && x.Source.InForce.ID == first })
	time.Sleep(30 * time.Minute)
	synctest.Wait()

	gone, before := time.Now(), r.config()
	repo.gone.Store(true)
	calls.Store(0)
	changes.Store(0)
	time.Sleep(30 * time.Minute)
	synctest.Wait()
	r.saysGone(first, repo.since(gone)[0])
	if drift > 0 {
		r.byHand("cores", "4")
	}
	second := m.Commit("second", gittest.Spec(web("cores: 2")), first)
	m.Set("refs/heads/main", second)
	time.Sleep(30 * time.Minute)
	synctest.Wait()
	r.saysGone(first, repo.since(gone)[0])
	if changes.Load() != drift {
		t.Errorf("%d changes were sent to the node in the hour, want %d", changes.Load(), drift)
	}
	if have := r.config(); !maps.Equal(have, before) {
		t.Errorf("the container is %v, and was %v", have, before)
	}
	tries, spent := repo.since(gone), calls.Load()
	checkBackoff(t, tries)

	repo.gone.Store(false)
	back := time.Now()
	time.Sleep(10 * time.Minute) // the longest that it waits for the next try
	synctest.Wait()
	runs, err := r.history.Runs(0, 50)
	r.must(err)
	runs = slices.DeleteFunc(runs, func(x report.Run) bool { return x.Began.Before(back) })
	if len(runs) == 0 {
		t.Fatal("it did not ask again")
	}
	run := runs[len(runs)-1]
	if run.Result != report.Converged || run.Revision.ID != second || r.config()["cores"] != "2" {
		t.Errorf("the first pass afterwards: %+v, config %v", run, r.config())
	}
	if rep, _ := r.board.Report(); rep.Source.Error != "" || !rep.Source.Failing.IsZero() || rep.Loop.Failures != 0 || !rep.Queue.Backoff.IsZero() || len(rep.Attention(time.Now())) != 0 {
		t.Errorf("afterwards: source %+v, loop %+v, queue %+v", rep.Source, rep.Loop, rep.Queue)
	}
	t.Logf("%d tries in the hour, gaps %v; %d requests to the node, %d of them changes; %v after it came back the new revision was in force and applied",
		len(tries), rounded(gaps(tries)), spent, drift, run.Ended.Sub(back).Round(time.Second))
}

// saysGone sees that the report, the page and the health of the server tell of a repository that is gone.
func (r *rig) saysGone(inForce string, since time.Time) {
	r.t.Helper()
	rep, _ := r.board.Report()
	s := rep.Source
	if s.InForce.ID != inForce || s.Class != "unreachable" || !strings.Contains(s.Error, "no route to host") || !s.Failing.Equal(since) {
		r.t.Errorf("source %+v, failing since %v", s, since)
	}
	if rep.Queue.Backoff.IsZero() || !rep.Loop.Next.Equal(rep.Queue.Backoff) || rep.Verdict(time.Now()).Level != report.Danger {
		r.t.Errorf("queue %+v, next %v, verdict %+v", rep.Queue, rep.Loop.Next, rep.Verdict(time.Now()))
	}
	web := r.web()
	if code, page := get(web, "/source"); code != http.StatusOK || !strings.Contains(page, "no route to host") || !strings.Contains(page, "unreachable, first seen") || !strings.Contains(page, since.UTC().Format(time.RFC3339)) {
		r.t.Errorf("the page answers %d and does not tell: %s", code, page)
	}
	if code, text := get(web, "/readyz"); code != http.StatusOK { // it follows a good revision still, and reads the node
		r.t.Errorf("/readyz answers %d %s", code, text)
	}
}

// web is the page of the agent, as everybody on the machine sees it.
func (r *rig) web() http.Handler {
	r.t.Helper()
	s, err := server.New(server.Options{Board: r.board, History: r.history, Actions: r.agent, Access: server.Access{Hooks: r.hooks}, Log: slog.New(slog.DiscardHandler)})
	r.must(err)
	return s.Handler(false, true)
}

func get(h http.Handler, path string) (int, string) {
	req, w := httptest.NewRequest(http.MethodGet, path, http.NoBody), httptest.NewRecorder()
	req.Host = "127.0.0.1"
	h.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

// checkBackoff holds the times of tries that failed against the bounds: after the nth, from a second doubled n times up to
// five seconds doubled n-1 times, a minute and ten minutes at most; and not all alike.
func checkBackoff(t *testing.T, tries []time.Time) {
	t.Helper()
	list := gaps(tries)
	for i, gap := range list {
		least, most := time.Minute, 10*time.Minute
		if i < 10 { // beyond, both have reached their limits
			least, most = min(least, time.Second<<(i+1)), min(most, 5*time.Second<<i)
		}
		if gap < least || gap > most {
			t.Errorf("after failure %d the next try came %v later, and not within %v and %v", i+1, gap, least, most)
		}
	}
	if len(list) < 6 || slices.Max(list[6:]) == slices.Min(list[6:]) && len(list) > 7 {
		t.Errorf("the gaps between tries are all alike: %v", list)
	}
}

func gaps(tries []time.Time) (out []time.Duration) {
	for i := 1; i < len(tries); i++ {
		out = append(out, tries[i].Sub(tries[i-1]))
	}
	return out
}

func rounded(list []time.Duration) (out []time.Duration) {
	for _, d := range list {
		out = append(out, d.Round(time.Second))
	}
	return out
}
