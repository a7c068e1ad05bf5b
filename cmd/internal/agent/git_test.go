package agent_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/reconcile/source/git/gittest"
)

func waiting(x *report.Report) bool { return x.Loop.Doing == "waiting" && x.Loop.Last != nil }

// A push becomes what the node is, over both ways to a repository; what is not signed, not a spec, or not a successor of
// what is in force is refused and told, and changes nothing.
func TestPush(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(*testing.T, *gittest.Repo) config.Source{
		"https": func(t *testing.T, m *gittest.Repo) config.Source { s, _ := overHTTPS(t, m); return s },
		"ssh":   func(t *testing.T, m *gittest.Repo) config.Source { return overSSH(t, m) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := gittest.New(t)
			alice, line, _ := gittest.Signer(t, "alice@example.com")
			eve, _, evesPrint := gittest.Signer(t, "eve")
			m.Sign = alice
			first := m.Commit("web: first", gittest.Spec(web("cores: 1")))
			m.Set("refs/heads/main", first)
			from := serve(t, m)
			from.Signers = config.Signers{AllowedFile: file(t, "allowed_signers", line)}
			r := newRig(t, from)
			r.start()
			rep := r.await("the first commit in force", func(x *report.Report) bool { return waiting(x) && x.Source.InForce.ID == first })
			if rep.Loop.Last.Result != report.Converged || r.config()["cores"] != "1" {
				t.Fatalf("result %q (%s), config %v", rep.Loop.Last.Result, rep.Loop.Last.Error, r.config())
			}
			if !strings.Contains(rep.Source.InForce.Signer, "alice@example.com") {
				t.Errorf("signed by %q", rep.Source.InForce.Signer)
			}

			second := m.Commit("web: two cores", gittest.Spec(web("cores: 2")), first)
			m.Set("refs/heads/main", second)
			pushed := time.Now()
			if code := r.push(hookSecret); code != http.StatusAccepted {
				t.Fatalf("the webhook was answered with %d", code)
			}
			rep = r.await("the second commit", func(x *report.Report) bool { return waiting(x) && x.Source.InForce.ID == second })
			if r.config()["cores"] != "2" || rep.Loop.Last.Trigger != "webhook" {
				t.Errorf("cores %s, trigger %q", r.config()["cores"], rep.Loop.Last.Trigger)
			}
			t.Logf("%s: %v from push to converged, of which the pass took %v", name, rep.Loop.Last.Ended.Sub(pushed).Round(time.Millisecond), rep.Loop.Last.Took().Round(time.Millisecond))
			if web := rep.Container(300); web.Last == nil || web.Last.Commit != second || web.Last.Author != "Alice <alice@example.com>" {
				t.Errorf("last change %+v", web.Last)
			}

			refused := func(what, class, why, commit string) {
				t.Helper()
				rep := r.again()
				s := rep.Source
				if s.InForce.ID != second || s.Class != class || !strings.Contains(s.Error, why) || s.Refused.ID != commit || s.Failing.IsZero() {
					t.Errorf("%s: %+v", what, s)
				}
				if rep.Loop.Last.Result != report.Refused || rep.Verdict(time.Now()).Level < report.Warn {
					t.Errorf("%s: result %q, verdict %v", what, rep.Loop.Last.Result, rep.Verdict(time.Now()))
				}
				if r.config()["cores"] != "2" {
					t.Errorf("%s: the node has %s cores", what, r.config()["cores"])
				}
			}
			m.Sign = nil
			bare := m.Commit("web: three", gittest.Spec(web("cores: 3")), second)
			m.Set("refs/heads/main", bare)
			refused("unsigned", "unsigned", "is not signed", bare)
			m.Sign = eve
			hers := m.Commit("web: three", gittest.Spec(web("cores: 3")), second)
			m.Set("refs/heads/main", hers)
			refused("signed by eve", "unsigned", evesPrint, hers)
			m.Sign = alice
			broken := m.Commit("web: broken", gittest.Spec(web("cores: many")), second)
			m.Set("refs/heads/main", broken)
			refused("no spec", "invalid", "web.yaml:9:", broken)
			amended := m.Commit("web: amended", gittest.Spec(web("cores: 4")), first)
			m.Set("refs/heads/main", amended)
			refused("force-push", "rewritten", "does not come after", amended)

			third := m.Commit("web: three", gittest.Spec(web("cores: 3")), second)
			m.Set("refs/heads/main", third)
			if rep := r.again(); rep.Source.Error != "" || rep.Source.InForce.ID != third || r.config()["cores"] != "3" {
				t.Errorf("after all that: %+v, cores %s", rep.Source, r.config()["cores"])
			}
			if code := r.push("another secret"); code != http.StatusUnauthorized && code != http.StatusForbidden {
				t.Errorf("a webhook with a wrong signature was answered with %d", code)
			}
		})
	}
}

// While the repository is gone the agent keeps the node as it was told last, tries less and less often, and recovers; a
// restart in the middle changes nothing.
func TestGone(t *testing.T) {
	t.Parallel()
	m := gittest.New(t)
	first := m.Commit("first", gittest.Spec(web("cores: 1")))
	m.Set("refs/heads/main", first)
	from, site := overHTTPS(t, m)
	r := newRig(t, from)
	r.start()
	r.await("in force", func(x *report.Report) bool { return waiting(x) && x.Source.InForce.ID == first })
	site.Replace = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	for range 3 {
		rep := r.again()
		if rep.Source.InForce.ID != first || rep.Source.Class != "unreachable" || rep.Source.Failing.IsZero() {
			t.Fatalf("source %+v", rep.Source)
		}
		if rep.Queue.Backoff.IsZero() || !rep.Queue.Backoff.After(time.Now()) {
			t.Errorf("the next try is not put off: %+v", rep.Queue)
		}
	}
	r.byHand("cores", "4")
	if r.again(); r.config()["cores"] != "1" {
		t.Errorf("drift is not put right while the repository is gone: cores %s", r.config()["cores"])
	}
	r.end()
	r.start()
	r.await("in force again", func(x *report.Report) bool { return waiting(x) && x.Source.InForce.ID == first })
	r.byHand("cores", "4")
	if r.again(); r.config()["cores"] != "1" {
		t.Errorf("nor after a restart: cores %s", r.config()["cores"])
	}
	second := m.Commit("second", gittest.Spec(web("cores: 2")), first)
	m.Set("refs/heads/main", second)
	site.Replace = nil
	if rep := r.again(); rep.Source.Error != "" || r.config()["cores"] != "2" {
		t.Errorf("it came back: %+v, cores %s", rep.Source, r.config()["cores"])
	}
}
