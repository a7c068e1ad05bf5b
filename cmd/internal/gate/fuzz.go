package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A target is one fuzz test.
type target struct{ pkg, dir, name string }

// workers is how many fuzz workers run at once, on every machine alike, so that a run here tells what a
// run in CI will do.
const workers = "2"

// runFuzz runs every fuzz test there is, each for the same time. Each package is built once, and the
// tests of a package run one after the other.
func runFuzz(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("gate fuzz", flag.ContinueOnError)
	flags.SetOutput(stderr)
	each := flags.Duration("each", 0, "time for each target; 0: its share of the budget")
	budget := flags.Duration("budget", time.Minute, "time for all targets together, builds not counted")
	if err := flags.Parse(args); err != nil {
		return err
	}
	targets, err := findTargets(packages(flags.Args()), stderr)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("there is no fuzz target")
	}
	if *each == 0 {
		*each = share(*budget, len(targets))
	}
	fmt.Fprintf(stdout, "fuzzing %d targets for %v each\n", len(targets), *each)

	dir, err := os.MkdirTemp("", "tend-fuzz-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return fmt.Errorf("ask for the build cache: %w", err)
	}
	f := fuzzer{dir: dir, cache: filepath.Join(strings.TrimSpace(string(cache)), "fuzz"), each: *each, stdout: stdout, built: make(map[string]string)}
	var faults []error
	for _, t := range targets {
		if err := f.fuzz(t); err != nil {
			faults = append(faults, fmt.Errorf("%s in %s: %w", t.name, t.pkg, err))
		}
	}
	return errors.Join(faults...)
}

// share is the time that each of n targets gets: a few seconds, at least one.
func share(budget time.Duration, n int) time.Duration {
	return min(max((budget/time.Duration(n)).Truncate(100*time.Millisecond), time.Second), 10*time.Second)
}

// findTargets finds the fuzz tests of the packages, in the order of go list.
func findTargets(patterns []string, stderr io.Writer) ([]target, error) {
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles"}, patterns...)...)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	var targets []target
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p struct {
			ImportPath, Dir           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := dec.Decode(&p); err != nil {
			return nil, fmt.Errorf("read the output of go list: %w", err)
		}
		for _, file := range append(p.TestGoFiles, p.XTestGoFiles...) {
			names, err := fuzzTests(filepath.Join(p.Dir, file), nil)
			if err != nil {
				return nil, err
			}
			for _, n := range names {
				targets = append(targets, target{p.ImportPath, p.Dir, n})
			}
		}
	}
	return targets, nil
}

// fuzzTests names the fuzz tests of a file: functions FuzzXxx(*testing.F). src is its text, or nil to
// read it.
func fuzzTests(file string, src any) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Fuzz") || len(fn.Type.Params.List) != 1 {
			continue
		}
		star, ok := fn.Type.Params.List[0].Type.(*ast.StarExpr)
		if !ok {
			continue
		}
		if sel, ok := star.X.(*ast.SelectorExpr); ok && sel.Sel.Name == "F" {
			names = append(names, fn.Name.Name)
		}
	}
	return names, nil
}

// A fuzzer builds packages and runs their targets.
type fuzzer struct {
	dir    string // for the binaries
	cache  string // for inputs that are worth keeping
	each   time.Duration
	stdout io.Writer
	built  map[string]string // package → binary
}

// fuzz runs one target and prints one line, or all of its output where it failed.
func (f *fuzzer) fuzz(t target) error {
	binary, err := f.build(t)
	if err != nil {
		return err
	}
	out, err := f.run(binary, t)
	if err != nil && ranOut(out) {
		fmt.Fprintf(f.stdout, "%s: ended in the middle of an input; once more\n", t.name)
		out, err = f.run(binary, t)
	}
	if err != nil {
		fmt.Fprintf(f.stdout, "%s", out)
		return err
	}
	fmt.Fprintf(f.stdout, "ok  \t%s\t%s\t%s\n", t.pkg, t.name, lastProgress(out))
	return nil
}

// build makes the instrumented test binary of a package, once.
func (f *fuzzer) build(t target) (string, error) {
	if b, ok := f.built[t.pkg]; ok {
		return b, nil
	}
	b := filepath.Join(f.dir, fmt.Sprintf("%d.test", len(f.built)))
	out, err := exec.Command("go", "test", "-c", "-fuzz=.", "-o", b, t.pkg).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	f.built[t.pkg] = b
	return b, nil
}

// run runs a target once. Inputs that were found before are kept in cache, where go test -fuzz keeps them.
func (f *fuzzer) run(binary string, t target) ([]byte, error) {
	cmd := exec.Command(binary,
		"-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.paniconexit0", "-test.timeout=0",
		"-test.fuzztime="+f.each.String(), "-test.fuzzminimizetime=5s", "-test.parallel="+workers,
		"-test.fuzzcachedir="+filepath.Join(f.cache, t.pkg))
	cmd.Dir = t.dir
	return cmd.CombinedOutput()
}

// ranOut reports whether a run failed for the one reason that is none: the time ended while a worker was
// busy, and the runner took that for a failure. A true finding always leaves an input behind.
func ranOut(out []byte) bool {
	return bytes.Contains(out, []byte("context deadline exceeded")) &&
		!bytes.Contains(out, []byte("Failing input written to"))
}

// lastProgress is the last line in which the runner said how far it came.
func lastProgress(out []byte) string {
	var last string
	for line := range strings.Lines(string(out)) {
		if s, ok := strings.CutPrefix(line, "fuzz: "); ok {
			last = strings.TrimSpace(s)
		}
	}
	return last
}
