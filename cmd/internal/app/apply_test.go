package app_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/app"
	"github.com/felhom/tend/proxmox/sim"
)

// at runs the program as if it were at a terminal, with somebody who answers and presses Ctrl-C.
func (s *site) at(answers string, signals <-chan os.Signal, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	in, w := io.Pipe() // stays open after the answers, as a terminal does
	go func() { _, _ = io.WriteString(w, answers) }()
	s.t.Cleanup(func() { _ = in.Close() })
	code = app.Run(s.t.Context(), args, app.Streams{
		In: in, Out: &out, Err: &errs, InTerminal: true, OutTerminal: true, ErrTerminal: true, Width: 100,
		Env:     func(key string) string { return s.env[key] },
		Signals: func() (<-chan os.Signal, func()) { return signals, func() {} },
	})
	return code, out.String(), errs.String()
}

func TestAsk(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, answer string
		code         int
	}{
		{"yes", "y\n", 0},
		{"in full", "Yes\n", 0},
		{"no", "n\n", 2},
		{"nothing", "\n", 2},
		{"something else", "sure?\n", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sim.Options{})
			spec := s.spec("cores: 4", "cores: 6")
			code, out, errs := s.at(tt.answer, nil, "apply", spec)
			if code != tt.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.code, out, errs)
			}
			wants(t, errs, "Apply these changes? [y/N] ")
			wants(t, out, "\x1b[", "cores")
			if tt.code != 0 {
				wants(t, errs, "Nothing was changed.")
			}
			if code, _, _ := s.run("plan", spec); (code == 0) != (tt.code == 0) {
				t.Errorf("the plan afterwards ends with exit code %d", code)
			}
		})
	}
}

// TestInterruptWhileAsked leaves without an answer.
func TestInterruptWhileAsked(t *testing.T) {
	t.Parallel()
	s := newSite(t, sim.Options{})
	spec := s.spec("cores: 4", "cores: 6")
	signals := make(chan os.Signal, 1)
	var reads atomic.Int64
	s.faults(func(sim.Call) sim.Fault {
		if reads.Add(1) == 1 {
			signals <- os.Interrupt
		}
		return sim.Fault{}
	})
	code, out, errs := s.at("", signals, "apply", spec)
	if code != 2 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	wants(t, errs, "Nothing was changed.")
}

// TestInterrupt presses Ctrl-C while containers are started: once to end after the steps in flight, twice to leave.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		presses int
		want    []string
	}{
		{"once", 1, []string{"120 media  changed", "190 lab    interrupted", "not done: start", "Interrupted: "}},
		{"twice", 2, []string{"190 lab    interrupted", "Still running on the nodes:", ":resize:120:root@pam!sandbox:"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sim.Options{TaskTime: 600 * time.Millisecond})
			// with one lane at a time, 120 is at its task when the signals come, and 190 has not begun
			spec := s.spec("size: 500GiB}\n    network:\n      eth0: {bridge: vmbr0, ipv4: 192.168.1.20", "size: 600GiB}\n    network:\n      eth0: {bridge: vmbr0, ipv4: 192.168.1.20",
				"state: stopped", "state: running")
			signals := make(chan os.Signal, 2)
			var once sync.Once
			s.faults(func(c sim.Call) sim.Fault {
				if strings.Contains(c.Path, "/tasks") {
					once.Do(func() {
						for range tt.presses {
							signals <- os.Interrupt
						}
					})
				}
				return sim.Fault{}
			})
			code, out, errs := s.at("", signals, "apply", "--yes", "--parallel=1", "--color=never", spec)
			if code != 1 {
				t.Errorf("exit code %d\n%s%s", code, out, errs)
			}
			wants(t, errs, "Interrupted: the steps in flight are finished")
			wants(t, out, tt.want...)
			s.converges(spec)
		})
	}
}

// TestExamples applies every example to a new sandbox: each must be complete, and lead to an empty second plan.
// exampleSandbox is a new sandbox for an example: the one that it brings, in a hidden file, or the usual one.
func exampleSandbox(t *testing.T, name string) string {
	t.Helper()
	file := t.TempDir() + "/sandbox.yaml"
	state, err := os.ReadFile(repository + "/examples/" + name + "/.sandbox.yaml")
	if err != nil {
		return file
	}
	if err := os.WriteFile(file, state, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestExamples(t *testing.T) {
	t.Parallel()
	dirs, err := os.ReadDir(repository + "/examples")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		found++
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			path, box := repository+"/examples/"+d.Name(), "--sandbox="+exampleSandbox(t, d.Name())
			s := &site{t: t, env: map[string]string{}}
			for _, step := range []struct {
				code int
				args []string
			}{
				{0, []string{"validate", path}},
				{2, []string{"plan", box, path}},
				{0, []string{"apply", "--yes", box, path}},
				{0, []string{"plan", box, path}},
				{0, []string{"status", box, path}},
				{0, []string{"apply", box, path}},
			} {
				if code, out, errs := s.run(step.args...); code != step.code {
					t.Fatalf("tend %s: exit code %d, want %d\n%s%s", strings.Join(step.args, " "), code, step.code, out, errs)
				}
			}
		})
	}
	if found == 0 {
		t.Error("there are no examples")
	}
}
