package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// module lays out a module of its own in a new directory and goes there.
func module(t *testing.T, files map[string]string) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs programs of its own, in which the race detector of this run sees nothing: make test runs it")
	}
	dir := t.TempDir()
	files["go.mod"] = "module example.test/m\n\ngo 1.26.0\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "")
}

// call runs the program and returns its exit code and output.
func call(args ...string) (int, string) {
	var out strings.Builder
	code := run(args, &out, &out)
	return code, out.String()
}

func testFile(body string) string {
	return "package p\n\nimport \"testing\"\n\n" + body + "\n"
}

// TestTest runs real tests of every outcome, because what counts is what go test really says.
func TestTest(t *testing.T) {
	const good = `func TestGood(t *testing.T) { t.Run("part", func(t *testing.T) { t.Skip("no such thing here") }) }`
	tests := []struct {
		name, body string
		code       int
		last       string
		has        []string
	}{
		{"pass", good, 0, "1 passed, 0 failed", []string{"skipped: example.test/m/p TestGood/part: p_test.go:5: no such thing here", "ok  \texample.test/m/p"}},
		{"skip", good + "\nfunc TestSkip(t *testing.T) { t.Skip(\"needs a moon\") }", 0, "1 passed, 0 failed, 1 skipped", []string{"TestSkip: p_test.go:6: needs a moon"}},
		{"fail", good + "\nfunc TestBad(t *testing.T) { t.Run(\"part\", func(t *testing.T) { t.Fatal(\"it broke\") }) }", 1, "1 passed, 1 failed", []string{"it broke", "failed: example.test/m/p TestBad"}},
		{"panic", good + "\nfunc TestPanic(t *testing.T) { panic(\"whoops\") }", 1, "1 passed, 1 failed", []string{"whoops", "failed: example.test/m/p TestPanic"}},
		{"exit", good + "\nfunc TestMain(m *testing.M) { m.Run(); panic(\"late\") }", 1, "1 passed, 1 failed", []string{"late", "failed outside its tests"}},
		{"build", "func TestBad(t *testing.T) { undefined() }", 1, "0 passed, 1 failed", []string{"undefined: undefined", "did not build"}},
		{"none", "", 1, "0 passed, 0 failed", []string{"no test ran"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := testFile(tt.body)
			if tt.body == "" {
				body = "package p\n"
			}
			module(t, map[string]string{"p/p_test.go": body})
			code, out := call("test")
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range append(tt.has, "\n"+tt.last+"\n") {
				if !strings.Contains("\n"+out, want) {
					t.Errorf("output lacks %q:\n%s", want, out)
				}
			}
		})
	}
}

func TestTestVerbose(t *testing.T) {
	module(t, map[string]string{"p/p_test.go": testFile(`func TestSay(t *testing.T) { t.Log("figures") }
func TestOther(t *testing.T) { t.Log("unasked") }`)})
	_, out := call("test", "-v", "-run", "Say")
	if !strings.Contains(out, "figures") || strings.Contains(out, "unasked") {
		t.Errorf("want the output of TestSay only:\n%s", out)
	}
}

// TestRace finds a race, and draws fewer random cases.
func TestRace(t *testing.T) {
	if why := noRaceDetector(); why != "" {
		t.Skip(why)
	}
	module(t, map[string]string{"p/p_test.go": testFile(`func TestShort(t *testing.T) { if !testing.Short() { t.Fatal("all cases") } }
func TestBad(t *testing.T) { n := 0; done := make(chan bool); go func() { n++; close(done) }(); n++; <-done }`)})
	code, out := call("test", "-race")
	if code != 1 || !strings.Contains(out, "DATA RACE") || !strings.HasSuffix(out, "\n1 passed, 1 failed\ngate test: tests failed\n") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// TestRaceOfSome knows packages in which nothing runs at once, and runs these without the detector, with all cases.
func TestRaceOfSome(t *testing.T) {
	const test = "func TestP(t *testing.T) {}"
	module(t, map[string]string{
		"alone/p_test.go":   testFile(test),
		"code/p.go":         "package p\n\nfunc P() { go P() }\n",
		"code/p_test.go":    testFile(test),
		"linked/p.go":       "package p\n\nimport _ \"net/http\"\n",
		"linked/p_test.go":  testFile(test),
		"outside/p_test.go": strings.Replace(testFile("func TestP(t *testing.T) { t.Parallel() }"), "package p", "package p_test", 1),
		"untested/p.go":     "package p\n\nfunc P() { go P() }\n",
	})
	got, alone, err := atOnce([]string{"./outside", "./..."}, os.Stderr)
	if diff := cmp.Diff([]string{"example.test/m/outside", "example.test/m/code", "example.test/m/linked"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if diff := cmp.Diff([]string{"example.test/m/alone"}, alone); diff != "" {
		t.Error(diff)
	}
	if noRaceDetector() != "" {
		return
	}
	module(t, map[string]string{
		"alone/p_test.go": testFile(`func TestAll(t *testing.T) { if testing.Short() { t.Fatal("few cases") } }`),
		"code/p_test.go":  testFile(`func TestFew(t *testing.T) { go func() {}(); if !testing.Short() { t.Fatal("all cases") } }`),
	})
	for _, which := range []string{"./...", "./alone"} {
		if code, out := call("test", "-race", which); code != 0 || !strings.Contains(out, "example.test/m/alone\t") || !strings.HasSuffix(out, " passed, 0 failed\n") {
			t.Errorf("%s: exit code %d:\n%s", which, code, out)
		}
	}
}

func TestStartsSomething(t *testing.T) {
	tests := []struct {
		text string
		want bool
	}{
		{"", false},
		{`import "os/exec"; var out, err = exec.Command("true").Output()`, false},
		{`func f() { go f() }`, true},
		{`import "context"; var x context.Context`, true},
		{`import "sync"; var x sync.Mutex`, true},
		{`import "time"; var x = time.AfterFunc(0, nil)`, true},
		{`import "testing"; func TestX(t *testing.T) { t.Run("", func(t *testing.T) { t.Parallel() }) }`, true},
		{`var c chan int`, true},
		{`no Go at all`, true},
	}
	for _, tt := range tests {
		if got := startsSomething("x.go", "package x\n"+tt.text); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.text, got, tt.want)
		}
	}
}

// TestRaceWithoutCompiler shows that a missing compiler is said in words and does not stop the tests, all of them.
func TestRaceWithoutCompiler(t *testing.T) {
	module(t, map[string]string{"p/p_test.go": testFile(`func TestGood(t *testing.T) { if testing.Short() { t.Fatal("few cases") } }`)})
	t.Setenv("CC", "/nonexistent/cc")
	t.Setenv("CGO_ENABLED", "0")
	code, out := call("test", "-race")
	if code != 0 || !strings.Contains(out, "the race detector is skipped") || !strings.HasSuffix(out, "\n1 passed, 0 failed\n") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// TestFuzz runs a target that holds and one that does not.
func TestFuzz(t *testing.T) {
	const holds = `func FuzzHolds(f *testing.F) { f.Fuzz(func(t *testing.T, s string) {}) }`
	const breaks = `func FuzzBreaks(f *testing.F) { f.Fuzz(func(t *testing.T, s string) { if len(s) > 2 { t.Fatal("too long") } }) }`
	module(t, map[string]string{"p/p_test.go": testFile(holds)})
	code, out := call("fuzz", "-each", "1s")
	if code != 0 || !strings.Contains(out, "ok  \texample.test/m/p\tFuzzHolds\telapsed: ") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if err := os.WriteFile("p/p_test.go", []byte(testFile(holds+"\n"+breaks)), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out = call("fuzz", "-each", "1s")
	if code != 1 || !strings.Contains(out, "too long") || !strings.Contains(out, "FuzzBreaks in example.test/m/p") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if found, _ := filepath.Glob("p/testdata/fuzz/FuzzBreaks/*"); len(found) != 1 {
		t.Errorf("the input that fails is not kept: %v", found)
	}
}

func TestFuzzWithoutTargets(t *testing.T) {
	module(t, map[string]string{"p/p_test.go": testFile(`func TestGood(t *testing.T) {}`)})
	if code, out := call("fuzz"); code != 1 || !strings.Contains(out, "there is no fuzz target") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestFuzzTests(t *testing.T) {
	got, err := fuzzTests("x_test.go", `package x
func FuzzOne(f *testing.F) {}
func FuzzNot(t *testing.T) {}
func FuzzHelper(a, b int) {}
func (x) FuzzMethod(f *testing.F) {}
func TestX(t *testing.T) {}
func FuzzTwo(f *testing.F) {}
`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"FuzzOne", "FuzzTwo"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestShare(t *testing.T) {
	tests := []struct {
		budget time.Duration
		n      int
		want   time.Duration
	}{
		{time.Minute, 20, 3 * time.Second},
		{time.Minute, 7, 8500 * time.Millisecond},
		{time.Minute, 1, 10 * time.Second},
		{time.Minute, 600, time.Second},
	}
	for _, tt := range tests {
		if got := share(tt.budget, tt.n); got != tt.want {
			t.Errorf("share(%v, %d) = %v, want %v", tt.budget, tt.n, got, tt.want)
		}
	}
}

func TestRanOut(t *testing.T) {
	tests := []struct {
		out  string
		want bool
	}{
		{"--- FAIL: FuzzX (1.01s)\n    context deadline exceeded\n", true},
		{"--- FAIL: FuzzX\n    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzX/1\n", false},
		{"--- FAIL: FuzzX\n    x_test.go:1: wrong\n", false},
	}
	for _, tt := range tests {
		if got := ranOut([]byte(tt.out)); got != tt.want {
			t.Errorf("ranOut(%q) = %v", tt.out, got)
		}
	}
}

func TestGenerate(t *testing.T) {
	t.Chdir(t.TempDir())
	program := func(args []string) ([]byte, error) {
		switch args[0] {
		case "bad":
			return nil, errors.New("no such verb")
		case "empty":
			return nil, nil
		}
		return []byte("made by " + args[0] + "\n"), nil
	}
	pages := []page{{"a.md", []string{"a"}}, {"b.md", []string{"b"}}}
	var out strings.Builder
	if err := generate(pages, program, true, &out); err == nil || !strings.Contains(err.Error(), "a.md is not up to date: run make gen") {
		t.Errorf("check of pages that are not there: %v", err)
	}
	if _, err := os.Stat("a.md"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a check has written: %v", err)
	}
	if err := generate(pages, program, false, &out); err != nil {
		t.Fatal(err)
	}
	if err := generate(pages, program, true, &out); err != nil {
		t.Errorf("check after writing: %v", err)
	}
	if err := os.WriteFile("b.md", []byte("edited"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := generate(pages, program, true, &out)
	if err == nil || strings.Contains(err.Error(), "a.md") || !strings.Contains(err.Error(), "b.md") {
		t.Errorf("check after an edit of b.md: %v", err)
	}
	err = generate([]page{{"c.md", []string{"bad"}}, {"d.md", []string{"empty"}}}, program, false, &out)
	if err == nil || !strings.Contains(err.Error(), "no such verb") || !strings.Contains(err.Error(), "printed nothing") {
		t.Errorf("want both faults: %v", err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"nonsense"}} {
		if code, out := call(args...); code != 2 || !strings.Contains(out, "usage:") {
			t.Errorf("gate %v: exit code %d: %s", args, code, out)
		}
	}
}
