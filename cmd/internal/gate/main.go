// Command gate runs the checks of the Makefile that need more than one line of shell: the tests with a
// truthful closing line, every fuzz target within a budget, the generated pages, and the packages.
//
// It is a tool of the people who build tend, runs the go command and nothing else, and is never part of
// the tend binary.
package main

import (
	"fmt"
	"io"
	"os"
)

const usage = `usage: gate test [-race] [-v] [-run REGEXP] [PACKAGE...]
       gate fuzz [-each DURATION | -budget DURATION] [PACKAGE...]
       gate gen [-check]
       gate package [-version VERSION] [-date SECONDS] [-out FOLDER] [-arch ARCH,…] [-sbom=false] [-quick]
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program as a function of its arguments and streams. It returns the exit code: 0 for a check
// that passed, 1 for one that did not, 2 for wrong usage.
func run(args []string, stdout, stderr io.Writer) int {
	verbs := map[string]func([]string, io.Writer, io.Writer) error{
		"test":    runTests,
		"fuzz":    runFuzz,
		"gen":     runGen,
		"package": runPackage,
	}
	if len(args) == 0 || verbs[args[0]] == nil {
		fmt.Fprint(stderr, usage)
		return 2
	}
	if err := verbs[args[0]](args[1:], stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "gate %s: %v\n", args[0], err)
		return 1
	}
	return 0
}
