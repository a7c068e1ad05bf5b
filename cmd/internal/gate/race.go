package main

import (
	"os"
	"os/exec"
	"strings"
)

// noRaceDetector says in plain words why the race detector cannot be used here; it is empty where it can.
//
// The race detector needs cgo, and cgo a C compiler with its headers. Building cgo itself with it is the
// one question that covers all of them; the answer comes out of the build cache from the second time on.
func noRaceDetector() string {
	cmd := exec.Command("go", "build", "-race", "runtime/cgo")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		// Where a compiler is there but cgo was switched off by hand, that is respected.
		if cgo, err := exec.Command("go", "env", "CGO_ENABLED").Output(); err == nil && strings.TrimSpace(string(cgo)) == "1" {
			return ""
		}
		return raceWarning("cgo is switched off (CGO_ENABLED=0)")
	}
	return raceWarning(firstFault(string(out), err))
}

// raceWarning is what a person reads who asked for the race detector and does not get it.
func raceWarning(why string) string {
	return "WARNING: the race detector is skipped, the tests run without it: " + why +
		". It needs a C compiler (on Debian: apt-get install gcc libc6-dev)."
}

// firstFault is the first line of a compiler's output that says something.
func firstFault(out string, err error) string {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			return strings.TrimSuffix(line, ".")
		}
	}
	return err.Error()
}
