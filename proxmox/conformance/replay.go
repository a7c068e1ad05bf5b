package conformance

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Options say how scenarios are replayed.
type Options struct {
	Node       string        // name of the node, for {node}: "pve1" where empty
	TaskAuth   string        // credential that looks at tasks: "root-token" where empty
	TaskLimit  time.Duration // how long a task may take: 3 minutes where 0
	FirstPause time.Duration // between the first looks at a task, doubled up to 200 ms: 2 ms where 0
}

func (o Options) withDefaults() Options {
	if o.Node == "" {
		o.Node = "pve1"
	}
	if o.TaskAuth == "" {
		o.TaskAuth = defaultAuth
	}
	if o.TaskLimit <= 0 {
		o.TaskLimit = 3 * time.Minute
	}
	if o.FirstPause <= 0 {
		o.FirstPause = 2 * time.Millisecond
	}
	return o
}

const defaultAuth = "root-token"

// A Result is the outcome of one scenario.
type Result struct {
	Scenario string
	Steps    []StepResult // those that are compared
}

// A StepResult is the outcome of one step.
type StepResult struct {
	Step        int // from 1, as in the label
	Label       string
	Differences []string // none where the answer matches
	Exception   string   // the reason why a difference is accepted, if it is
}

// Matched is the number of steps whose answer matches.
func (r Result) Matched() int {
	n := 0
	for _, s := range r.Steps {
		if len(s.Differences) == 0 {
			n++
		}
	}
	return n
}

// String is "running: 44 of 45".
func (r Result) String() string {
	return fmt.Sprintf("%s: %d of %d", r.Scenario, r.Matched(), len(r.Steps))
}

// Total sums results up: "all: 434 of 442 (98.2 %)".
func Total(results []Result) string {
	matched, steps := 0, 0
	for _, r := range results {
		matched += r.Matched()
		steps += len(r.Steps)
	}
	return fmt.Sprintf("all: %d of %d (%.1f %%)", matched, steps, 100*float64(matched)/float64(max(steps, 1)))
}

// Replay sends the requests of a scenario in their order and compares the answers. Steps that only prepare or
// clean up are sent but not compared. The endpoint must be in the state in which the recording began.
func Replay(ctx context.Context, e Endpoint, s Scenario, o Options) (Result, error) {
	p := &player{endpoint: e, opts: o.withDefaults(), saved: map[string]any{}}
	p.saved["node"] = p.opts.Node
	r := Result{Scenario: s.Name}
	for i, st := range s.Steps {
		answer, task, err := p.play(ctx, st)
		if ctx.Err() != nil {
			return r, fmt.Errorf("replay %s: %w", s.Label(i), context.Cause(ctx))
		}
		if st.Aside {
			continue
		}
		if err != nil { // a broken connection is an answer, too
			answer = Answer{Reason: err.Error()}
		}
		r.Steps = append(r.Steps, StepResult{Step: i + 1, Label: s.Label(i), Differences: compare(st, answer, task)})
	}
	return r, nil
}

// compare lists the differences between the recorded and the given answer of a step.
func compare(st Step, got Answer, task Task) []string {
	var out []string
	if st.Response.Status != got.Status {
		out = append(out, fmt.Sprintf("status: want %d, got %d", st.Response.Status, got.Status))
	}
	if w, g := normalizeText(st.Response.Reason), normalizeText(got.Reason); w != g {
		out = append(out, fmt.Sprintf("reason: want %q, got %q", w, g))
	}
	out = difference(out, "body", normalize(st.Response.Body, ""), normalize(got.Body, ""))
	if st.Task == nil {
		return out
	}
	for _, f := range []struct{ name, want, got string }{
		{"status", st.Task.Status, task.Status},
		{"exitstatus", st.Task.ExitStatus, task.ExitStatus},
		{"type", st.Task.Type, task.Type},
		{"id", st.Task.ID, task.ID},
		{"user", st.Task.User, task.User},
	} {
		if normalizeText(f.want) != normalizeText(f.got) {
			out = append(out, fmt.Sprintf("task.%s: want %q, got %q", f.name, f.want, f.got))
		}
	}
	return out
}

// A player is one run of a scenario.
type player struct {
	endpoint Endpoint
	opts     Options
	saved    map[string]any // by variable
}

func (p *player) play(ctx context.Context, st Step) (Answer, Task, error) {
	c := Call{Method: st.Method, Path: p.fill(st.Path, escape), Auth: st.Auth, Form: url.Values{}}
	if c.Auth == "" {
		c.Auth = defaultAuth
	}
	for key, values := range st.Form {
		for _, v := range values {
			c.Form.Add(key, p.fill(v, func(s string) string { return s }))
		}
	}
	a, err := p.endpoint.Do(ctx, c)
	if err != nil {
		return a, Task{}, err
	}
	for variable, where := range st.Save {
		p.saved[variable] = dig(a.Body, where)
	}
	upid, _ := dig(a.Body, "data").(string)
	if !st.Wait || !strings.HasPrefix(upid, "UPID:") {
		return a, Task{}, nil
	}
	task, err := p.wait(ctx, upid)
	return a, task, err
}

var variable = regexp.MustCompile(`\{(\w+)\}`)

// fill puts saved values in; what is not saved stays as it is.
func (p *player) fill(s string, encode func(string) string) string {
	return variable.ReplaceAllStringFunc(s, func(m string) string {
		v, ok := p.saved[m[1:len(m)-1]]
		if !ok {
			return m
		}
		return encode(fmt.Sprint(v))
	})
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// dig follows a path such as "data.0.volid"; nil where it leads nowhere.
func dig(v any, where string) any {
	for part := range strings.SplitSeq(where, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// wait polls a task until it has stopped, or for as long as it may take.
func (p *player) wait(ctx context.Context, upid string) (Task, error) {
	node := strings.Split(upid, ":")[1]
	c := Call{Method: "GET", Path: "/nodes/" + escape(node) + "/tasks/" + escape(upid) + "/status", Auth: p.opts.TaskAuth}
	end := time.Now().Add(p.opts.TaskLimit)
	for pause := p.opts.FirstPause; ; pause = min(2*pause, 200*time.Millisecond) {
		a, err := p.endpoint.Do(ctx, c)
		if err != nil {
			return Task{}, err
		}
		data, _ := dig(a.Body, "data").(map[string]any)
		if data["status"] == "stopped" || time.Now().After(end) {
			return taskOf(data), nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return Task{}, ctx.Err()
		}
	}
}

func taskOf(data map[string]any) Task {
	text := func(key string) string {
		s, _ := data[key].(string)
		return s
	}
	return Task{
		Status: text("status"), ExitStatus: text("exitstatus"),
		Type: text("type"), ID: text("id"), User: text("user"),
	}
}
