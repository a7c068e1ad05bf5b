package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox/conformance"
)

func scenarios(t *testing.T) []conformance.Scenario {
	t.Helper()
	list, err := conformance.Load(os.DirFS("../../testdata/pve"), "exchanges")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A recorder answers the steps of a scenario in their order, over HTTPS and with their reason phrases.
type recorder struct {
	t     *testing.T
	steps []conformance.Step
	mu    sync.Mutex
	next  int
	tasks map[string]conformance.Task // by UPID
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/access/ticket") {
		rec.send(w, conformance.Answer{Status: 200, Reason: "OK", Body: map[string]any{
			"data": map[string]any{"ticket": "PVE:x", "CSRFPreventionToken": "y"},
		}})
		return
	}
	upid, _ := url.PathUnescape(strings.TrimSuffix(r.URL.Path[strings.LastIndex(strings.TrimSuffix(r.URL.Path, "/status"), "/")+1:], "/status"))
	if task, ok := rec.tasks[upid]; ok {
		delete(rec.tasks, upid) // the next time it is asked for by a step of its own
		rec.send(w, conformance.Answer{Status: 200, Reason: "OK", Body: map[string]any{"data": task}})
		return
	}
	st := rec.steps[rec.next]
	rec.next++
	if data, ok := st.Response.Body.(map[string]any); ok && st.Task != nil {
		rec.tasks[data["data"].(string)] = *st.Task
	}
	rec.send(w, st.Response)
}

func (rec *recorder) send(w http.ResponseWriter, a conformance.Answer) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		rec.t.Error(err)
		return
	}
	defer conn.Close()
	var body []byte
	if a.Body != nil {
		body, _ = json.Marshal(a.Body)
	}
	_, _ = fmt.Fprintf(buf, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", a.Status, a.Reason, len(body), body)
	_ = buf.Flush()
}

func serve(t *testing.T, h http.Handler) *conformance.HTTPS {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	e := conformance.NewHTTPS(s.URL, credentials(t))
	t.Cleanup(e.Close)
	return e
}

func credentials(t *testing.T) map[string]conformance.Credential {
	t.Helper()
	b, err := os.ReadFile("../../testdata/pve/auth.json")
	if err != nil {
		t.Fatal(err)
	}
	auth, err := conformance.ParseCredentials(b)
	if err != nil {
		t.Fatal(err)
	}
	return auth
}

// A recording that is played back matches itself: nothing is lost on the way over HTTPS.
func TestReplayOfRecorder(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.Name, func(t *testing.T) {
			e := serve(t, &recorder{t: t, steps: s.Steps, tasks: map[string]conformance.Task{}})
			r, err := conformance.Replay(t.Context(), e, s, conformance.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range r.Steps {
				if len(st.Differences) > 0 {
					t.Errorf("%s: %q", st.Label, st.Differences)
				}
			}
			if r.Matched() != len(r.Steps) || len(r.Steps) == 0 {
				t.Error(r)
			}
		})
	}
}

// endpoint answers with a function.
type endpoint func(c conformance.Call) (conformance.Answer, error)

func (e endpoint) Do(_ context.Context, c conformance.Call) (conformance.Answer, error) { return e(c) }

func answer(body string) conformance.Answer {
	return conformance.Answer{Status: 200, Reason: "OK", Body: conformance.ParseBody([]byte(body))}
}

func TestComparison(t *testing.T) {
	tests := []struct {
		name, want, got string
		differences     []string
	}{
		{name: "same", want: `{"data":[1,"a",null,true]}`, got: `{"data":[1,"a",null,true]}`},
		{name: "times, sizes and load", want: `{"data":{"uptime":5,"cpu":0.5,"mem":1,"ctime":"1"}}`, got: `{"data":{"uptime":6,"cpu":1,"mem":2.5,"ctime":"2"}}`},
		{name: "digest", want: `{"data":"3a2c85fe6a2cae9f23ae0ffa6bcbd3a43ed10b3f"}`, got: `{"data":"b80c89d9d2a69b2ddb84f98b6e8e9e55d0c7b1d8"}`},
		{name: "process of a task", want: `{"data":"UPID:pve1:00003FCA:0008A814:6B03F5C2:vzcreate:1:root@pam!lab:"}`, got: `{"data":"UPID:pve1:00000001:00000001:00000001:vzcreate:1:root@pam!lab:"}`},
		{name: "generated address", want: `{"data":"name=eth0,hwaddr=BC:24:11:00:08:12"}`, got: `{"data":"name=eth0,hwaddr=BC:24:11:ff:ff:ff"}`},
		{name: "place in the source", want: `{"message":"no at /usr/x.pm line 7.\n"}`, got: `{"message":"no"}`},
		{name: "order of rows", want: `{"data":[{"key":"a","v":1},{"key":"b","v":2}]}`, got: `{"data":[{"key":"b","v":2},{"key":"a","v":1}]}`},
		{name: "order of content", want: `{"content":"a,b"}`, got: `{"content":"b,a"}`},
		{name: "size of a backup", want: `{"content":"backup","size":1}`, got: `{"content":"backup","size":2}`},

		{name: "number and text", want: `{"data":1}`, got: `{"data":"1"}`, differences: []string{`body.data: want 1, got "1"`}},
		{name: "number and boolean", want: `{"data":1}`, got: `{"data":true}`, differences: []string{`body.data: want 1, got true`}},
		{name: "whole and fraction", want: `{"data":1}`, got: `{"data":1.0}`, differences: []string{`body.data: want 1, got 1.0`}},
		{name: "null and absent", want: `{"data":null}`, got: `{}`, differences: []string{`body.data: missing (want null)`}},
		{name: "unexpected", want: `{}`, got: `{"data":7}`, differences: []string{`body.data: unexpected 7`}},
		{name: "type of what varies", want: `{"uptime":5}`, got: `{"uptime":"5"}`, differences: []string{`body.uptime: want "<number>", got "<str>"`}},
		{name: "user of a task", want: `{"data":"UPID:pve1:00003FCA:0008A814:6B03F5C2:vzcreate:1:root@pam!lab:"}`, got: `{"data":"UPID:pve1:00003FCA:0008A814:6B03F5C2:vzcreate:1:root@pam:"}`, differences: []string{`body.data: want "<UPID pve1 vzcreate 1 root@pam!lab>", got "<UPID pve1 vzcreate 1 root@pam>"`}},
		{name: "rows", want: `[{"key":"a"},{"key":"b"}]`, got: `[{"key":"a"}]`, differences: []string{`body: want 2 items, got 1`}},
		{name: "order of texts", want: `["a","b"]`, got: `["b","a"]`, differences: []string{`body[0]: want "a", got "b"`, `body[1]: want "b", got "a"`}},
		{name: "no JSON", want: `{"data":1}`, got: `<html>`, differences: []string{`body.<text>: unexpected "<html>"`, `body.data: missing (want 1)`}},
		{name: "no body", want: `{"data":1}`, got: ``, differences: []string{`body: want {"data":1}, got null`}},
		{name: "size of a disk", want: `{"content":"rootdir","size":1}`, got: `{"content":"rootdir","size":2}`, differences: []string{`body.size: want 1, got 2`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := conformance.Scenario{Name: "s", Steps: []conformance.Step{{Method: "GET", Path: "/x", Response: answer(tt.want)}}}
			e := endpoint(func(conformance.Call) (conformance.Answer, error) { return answer(tt.got), nil })
			r, err := conformance.Replay(t.Context(), e, s, conformance.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.differences, r.Steps[0].Differences); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReplaySendsSavedValues(t *testing.T) {
	var calls []conformance.Call
	e := endpoint(func(c conformance.Call) (conformance.Answer, error) {
		calls = append(calls, c)
		if strings.HasSuffix(c.Path, "/status") {
			return answer(`{"data":{"status":"stopped","exitstatus":"OK","type":"t","id":"","user":"u"}}`), nil
		}
		return answer(`{"data":"UPID:n 1:a/b","list":[{"x":"y=1"}]}`), nil
	})
	s := conformance.Scenario{Name: "s", Steps: []conformance.Step{
		{Method: "POST", Path: "/nodes/{node}", Wait: true, Save: map[string]string{"u": "data", "x": "list.0.x", "none": "list.7.x"}},
		{Method: "PUT", Path: "/{u}/{other}", Auth: "weak", Form: map[string]conformance.Values{"v": {"{x}", "{{node}}"}}, Aside: true},
	}}
	r, err := conformance.Replay(t.Context(), e, s, conformance.Options{Node: "pve9"})
	if err != nil || len(r.Steps) != 1 {
		t.Fatalf("got %v, %v", r, err)
	}
	want := []conformance.Call{
		{Method: "POST", Path: "/nodes/pve9", Auth: "root-token", Form: url.Values{}},
		{Method: "GET", Path: "/nodes/n%201/tasks/UPID%3An%201%3Aa%2Fb/status", Auth: "root-token"},
		{Method: "PUT", Path: "/UPID%3An%201%3Aa%2Fb/{other}", Auth: "weak", Form: url.Values{"v": {"y=1", "{pve9}"}}},
	}
	if d := cmp.Diff(want, calls); d != "" {
		t.Error(d)
	}
}

func TestReplayOfBrokenConnection(t *testing.T) {
	e := endpoint(func(conformance.Call) (conformance.Answer, error) { return conformance.Answer{}, io.ErrUnexpectedEOF })
	s := conformance.Scenario{Name: "s", Steps: []conformance.Step{{Method: "GET", Path: "/x", Response: answer(`{}`)}}}
	r, err := conformance.Replay(t.Context(), e, s, conformance.Options{})
	if err != nil || r.Matched() != 0 || r.String() != "s: 0 of 1" {
		t.Errorf("got %v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := conformance.Replay(ctx, e, s, conformance.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestExcept(t *testing.T) {
	result := func(differ ...int) []conformance.Result {
		r := conformance.Result{Scenario: "s", Steps: make([]conformance.StepResult, 40)}
		for i := range r.Steps {
			r.Steps[i].Step = i + 1
		}
		for _, step := range differ {
			r.Steps[step-1].Differences = []string{"x"}
		}
		return []conformance.Result{r}
	}
	x := func(step int) conformance.Exception {
		return conformance.Exception{Scenario: "s", Step: step, Reason: "because"}
	}
	tests := []struct {
		name       string
		results    []conformance.Result
		exceptions []conformance.Exception
		want       []string
	}{
		{"none", result(1), nil, nil},
		{"two in forty", result(1, 2), []conformance.Exception{x(1), x(2)}, nil},
		{"three in forty", result(1, 2, 3), []conformance.Exception{x(1), x(2), x(3)}, []string{"s: 3 exceptions in 40 steps are more than 5 %"}},
		{"needless", result(2), []conformance.Exception{x(1)}, []string{"exception s#1: the step matches: remove it"}},
		{"unknown", result(1), []conformance.Exception{x(41)}, []string{"exception s#41: no such step is compared"}},
		{"twice", result(1), []conformance.Exception{x(1), x(1)}, []string{"exception s#1: it stands twice"}},
		{"no reason", result(1), []conformance.Exception{{Scenario: "s", Step: 1, Reason: " "}}, []string{"exception s#1: it gives no reason"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, conformance.Except(tt.results, tt.exceptions)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTotal(t *testing.T) {
	results := []conformance.Result{
		{Steps: []conformance.StepResult{{}, {Differences: []string{"x"}}}},
		{Steps: []conformance.StepResult{{}}},
	}
	if got, want := conformance.Total(results), "all: 2 of 3 (66.7 %)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
