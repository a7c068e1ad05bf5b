package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// runTests runs go test and tells what it saw in few lines: one for each package, the whole output of
// whatever failed, every skipped test with its reason, and a closing line that counts.
//
// With the race detector it also says -short: tests that draw thousands of random cases then draw fewer. The detector
// looks at accesses to memory, which are the same after some hundred cases; whether results are right is asked
// of all cases without it. Packages in which nothing runs at once come after the others, without the detector and with all
// cases: what passed just so before (make test) go test does not run again. It leaves out vet, which has been run
// by then (make check) and would go through all again for code compiled with the detector.
func runTests(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("gate test", flag.ContinueOnError)
	flags.SetOutput(stderr)
	race := flags.Bool("race", false, "use the race detector, where a C compiler is there, and draw fewer random cases")
	verbose := flags.Bool("v", false, "print the output of tests that pass, too")
	pattern := flags.String("run", "", "run only the tests that match")
	timeout := flags.String("timeout", "8m", "of each package")
	if err := flags.Parse(args); err != nil {
		return err
	}

	goArgs := []string{"test", "-json", "-timeout", *timeout}
	pkgs, alone := packages(flags.Args()), []string(nil)
	plain := goArgs
	var warning string
	if *race {
		if warning = noRaceDetector(); warning == "" {
			goArgs = append(goArgs, "-race", "-short", "-vet=off")
			var err error
			if pkgs, alone, err = atOnce(pkgs, stderr); err != nil {
				return err
			}
		} else {
			fmt.Fprintln(stdout, warning)
		}
	}
	if *pattern != "" {
		goArgs, plain = append(goArgs, "-run", *pattern), append(plain, "-run", *pattern)
	}

	t := &tally{out: stdout, verbose: *verbose}
	var err error
	if len(pkgs) > 0 {
		err = t.runGo(append(goArgs, pkgs...), stderr)
	}
	if len(alone) > 0 {
		err = errors.Join(err, t.runGo(append(plain, alone...), stderr))
	}
	if warning != "" {
		fmt.Fprintln(stdout, warning)
	}
	return t.close(err)
}

// packages is what was named on the command line, or all there are.
func packages(named []string) []string {
	if len(named) == 0 {
		return []string{"./..."}
	}
	return named
}

// runGo runs the go command and reads its events to the end.
func (t *tally) runGo(args []string, stderr io.Writer) error {
	cmd := exec.Command("go", args...)
	cmd.Env = roomy(os.Environ())
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := t.read(out)
	if readErr != nil {
		_, _ = io.Copy(io.Discard, out) // the command must not hang on a full pipe
	}
	return errors.Join(readErr, cmd.Wait())
}

// roomy has the garbage collector run less often, unless somebody has said how often: tests have small heaps that
// grow fast. The limit keeps that harmless for those that are large. And a program with the race detector sleeps for a
// second before it ends, so that others of its goroutines may still be caught; tests start it hundreds of times, for
// which a twentieth of a second is enough.
//
// And where there is a folder in memory, the tests keep their files there, since tend has each of its files written to the
// disk for good, and tests of years of nights would mostly wait for that. What is compiled stays on the disk. The
// folder has the same name each time: a name that changes would keep go test from knowing what it has run already.
func roomy(env []string) []string {
	sets := []string{"GOGC=400", "GOMEMLIMIT=1GiB", "GORACE=atexit_sleep_ms=50"}
	if shm := "/dev/shm"; inMemory(shm) {
		sets = append(sets, "GOTMPDIR="+os.TempDir(), "TMPDIR="+shm)
	}
	for _, set := range sets {
		name, _, _ := strings.Cut(set, "=")
		if os.Getenv(name) == "" {
			env = append(env, set)
		}
	}
	return env
}

// read takes events as go test -json writes them. Lines that are no events are passed on.
func (t *tally) read(r io.Reader) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				t.add(e)
			} else {
				fmt.Fprintf(t.out, "%s", line)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the events of go test: %w", err)
		}
	}
}
