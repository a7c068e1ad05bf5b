package app_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/felhom/tend/cmd/internal/app"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
)

var updateScripts = flag.Bool("update", false, "write what scripts compare with anew")

func TestMain(m *testing.M) {
	// these tests wait for retries and for other processes more than for a processor
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"tend":       func() { os.Exit(app.Run(context.Background(), os.Args[1:], app.System())) },
		"lab-helper": labHelper,
	})
}

const repository = "../../.."

// demo is the sandbox after examples/homelab was applied to a new one.
var demo = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "tend-demo-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "sandbox.yaml")
	var out bytes.Buffer
	s := app.Streams{In: strings.NewReader(""), Out: &out, Err: &out, Env: func(string) string { return "" }}
	if code := app.Run(context.Background(), []string{"apply", "--yes", "--sandbox=" + file, repository + "/examples/homelab"}, s); code != 0 {
		return nil, fmt.Errorf("apply the demo: exit code %d\n%s", code, out.String())
	}
	return os.ReadFile(file)
})

// TestScripts runs what a person would type. Each script begins in a folder with a copy of examples/homelab in
// spec and a sandbox on which it was applied.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 repository + "/testdata/scripts",
		UpdateScripts:       *updateScripts,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "edit": edit, "api": api, "synced": synced, "waitfor": waitFor, "endpoint": endpoint,
		},
	})
}

func setUp(e *testscript.Env) error {
	if err := os.CopyFS(filepath.Join(e.WorkDir, "spec"), os.DirFS(repository+"/examples/homelab")); err != nil {
		return err
	}
	state, err := demo()
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(e.WorkDir, ".tend"), 0o755); err != nil {
		return err
	}
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("TERM", "xterm")
	e.Setenv("GORACE", os.Getenv("GORACE"))
	e.Setenv("COLUMNS", "160")
	return os.WriteFile(filepath.Join(e.WorkDir, ".tend/sandbox.yaml"), state, 0o600)
}

// code N COMMAND... runs a command and insists on its exit code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// edit FILE OLD NEW replaces a text that stands in a file exactly once; \n is a line end.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	unescape := strings.NewReplacer(`\n`, "\n")
	text, old := ts.ReadFile(args[0]), unescape.Replace(args[1])
	if n := strings.Count(text, old); n != 1 {
		ts.Fatalf("%q stands in %s %d times, not once", old, args[0], n)
	}
	text = strings.Replace(text, old, unescape.Replace(args[2]), 1)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// api METHOD PATH [KEY=VALUE...] changes the sandbox by hand, as root@pam.
func api(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: api METHOD PATH [KEY=VALUE...]")
	}
	s, err := sim.Load(ts.MkAbs(".tend/sandbox.yaml"), sim.Options{File: ts.MkAbs(".tend/sandbox.yaml")})
	ts.Check(err)
	defer s.Close()
	p := url.Values{}
	for _, a := range args[2:] {
		key, value, _ := strings.Cut(a, "=")
		p.Set(key, value)
	}
	data, err := s.As("root@pam").Do(context.Background(), proxmox.Request{Method: args[0], Path: args[1], Params: p})
	if (err != nil) != neg {
		ts.Fatalf("%s %s: %v", args[0], args[1], err)
	}
	_, _ = io.WriteString(ts.Stdout(), string(data)+"\n")
}

// synced [FLAG...] insists that a plan of the spec is empty.
func synced(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("synced cannot be negated")
	}
	code(ts, false, append([]string{"0", "tend", "plan", "--sandbox", "spec"}, args...))
}

// waitfor FILE TEXT waits until a file holds a text, for what runs in the background.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor FILE TEXT")
	}
	waitUntil(ts.Fatalf, func() bool {
		text, _ := os.ReadFile(ts.MkAbs(args[0]))
		return bytes.Contains(text, []byte(args[1]))
	}, "%s never held %q", args[0], args[1])
}

// endpoint FILE waits until tend simulate, whose output is the file, listens, and sets $ENDPOINT and $FINGERPRINT.
func endpoint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: endpoint FILE")
	}
	waitFor(ts, false, []string{args[0], "\ntend plan"})
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if f := strings.Fields(line); len(f) == 2 && (f[0] == "endpoint" || f[0] == "fingerprint") {
			ts.Setenv(strings.ToUpper(f[0]), f[1])
		}
	}
}
