package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// An event is a line of go test -json (go doc test2json, go help buildjson).
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

// A tally counts the tests of a run by what became of them. Only whole tests count: a subtest is a part
// of its test, but a skipped one is named all the same, lest it hide.
type tally struct {
	out     io.Writer
	verbose bool

	passed, failed, skipped int

	running map[name]*strings.Builder // the output of tests that have begun, and of their packages
	skips   []note
	faults  []note
}

// A name is that of a test in a package; of the package itself where test is empty.
type name struct{ pkg, test string }

// A note is something to be said about a test in the end.
type note struct {
	name
	text string
}

// add takes one event into account.
func (t *tally) add(e event) {
	n := name{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(t.out, e.Output)
	case "start", "run":
		t.output(n, "")
	case "output":
		t.output(n, e.Output)
	case "pass", "fail", "skip":
		t.end(n, e)
	}
}

// output keeps text of a test until it is known what became of it.
func (t *tally) output(n name, text string) {
	if t.running == nil {
		t.running = make(map[name]*strings.Builder)
	}
	if t.running[n] == nil {
		t.running[n] = new(strings.Builder)
	}
	t.running[n].WriteString(text)
	if parent, _, ok := strings.Cut(n.test, "/"); ok {
		t.output(name{n.pkg, parent}, text)
	}
}

// end closes a test or a package.
func (t *tally) end(n name, e event) {
	var text string
	if b := t.running[n]; b != nil {
		text = b.String()
		delete(t.running, n)
	}
	switch {
	case n.test == "":
		t.endPackage(n, e, text)
	case strings.Contains(n.test, "/"):
		if e.Action == "skip" {
			t.skips = append(t.skips, note{n, reason(text)})
		}
	case e.Action == "skip":
		t.skipped++
		t.skips = append(t.skips, note{n, reason(text)})
	case e.Action == "fail":
		t.failed++
		t.faults = append(t.faults, note{n, ""})
		fmt.Fprint(t.out, text)
	default:
		t.passed++
		if t.verbose {
			fmt.Fprint(t.out, text)
		}
	}
}

// endPackage closes a package. One that failed outside its tests (it did not build, it panicked, its
// TestMain left) counts as a failed test, since no test says so for it.
func (t *tally) endPackage(n name, e event, text string) {
	unfinished := t.unfinished(n.pkg)
	for _, u := range unfinished {
		t.end(u, event{Action: "fail"})
	}
	switch {
	case e.Action == "skip":
		fmt.Fprintf(t.out, "?   \t%s\t[no test files]\n", n.pkg)
	case e.Action == "pass":
		fmt.Fprintf(t.out, "ok  \t%s\t%.2fs\n", n.pkg, e.Elapsed)
	default:
		fmt.Fprint(t.out, text)
		if e.FailedBuild != "" {
			t.fault(n, "did not build")
		} else if !t.faulty(n.pkg) {
			t.fault(n, "failed outside its tests")
		}
	}
}

// unfinished names the tests of a package that have begun and not ended, by name.
func (t *tally) unfinished(pkg string) []name {
	var out []name
	for n := range t.running {
		if n.pkg == pkg && n.test != "" && !strings.Contains(n.test, "/") {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b name) int { return cmp.Compare(a.test, b.test) })
	return out
}

// fault counts a failure that is not one of a test.
func (t *tally) fault(n name, text string) {
	t.failed++
	t.faults = append(t.faults, note{n, text})
}

// faulty reports whether a test of the package has failed.
func (t *tally) faulty(pkg string) bool {
	return slices.ContainsFunc(t.faults, func(f note) bool { return f.pkg == pkg })
}

// close prints what was skipped and what failed, and the closing line. It returns an error unless tests
// ran, none failed, and the go command said so itself.
func (t *tally) close(err error) error {
	if err != nil && t.failed == 0 {
		t.fault(name{pkg: "go test"}, err.Error())
	}
	for _, n := range t.skips {
		fmt.Fprintf(t.out, "skipped: %s\n", n)
	}
	for _, n := range t.faults {
		fmt.Fprintf(t.out, "failed: %s\n", n)
	}
	fmt.Fprintf(t.out, "%d passed, %d failed", t.passed, t.failed)
	if t.skipped > 0 {
		fmt.Fprintf(t.out, ", %d skipped", t.skipped)
	}
	fmt.Fprintln(t.out)
	switch {
	case t.failed > 0:
		return errors.New("tests failed")
	case t.passed == 0:
		return errors.New("no test ran")
	}
	return nil
}

// String is how a note reads in a list.
func (n note) String() string {
	s := strings.TrimSpace(n.pkg + " " + n.test)
	if n.text == "" {
		return s
	}
	return s + ": " + n.text
}

// reason is what a skipped test said, without the lines of the test runner.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}
