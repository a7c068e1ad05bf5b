package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// A page is a file that tend writes itself: what it prints when called with args.
type page struct {
	path string
	args []string
}

// pages lists the generated files of the repository. A new one is one line here.
func pages() []page {
	return []page{
		{"docs/tend.schema.json", []string{"schema"}},
		{"docs/reference.md", []string{"schema", "--reference"}},
	}
}

// runGen writes the generated files anew; with -check it touches nothing and names those that differ
// from what would be written.
func runGen(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("gate gen", flag.ContinueOnError)
	flags.SetOutput(stderr)
	check := flags.Bool("check", false, "compare, write nothing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tend-gen-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tend := filepath.Join(dir, "tend")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", tend, "./cmd/tend")
	build.Stdout, build.Stderr = stderr, stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build tend: %w", err)
	}
	return generate(pages(), func(args []string) ([]byte, error) {
		cmd := exec.Command(tend, args...)
		cmd.Stderr = stderr
		return cmd.Output()
	}, *check, stdout)
}

// generate makes every page with the program and writes it, or compares it where check is set. All that
// is wrong is reported, not only the first.
func generate(pages []page, program func(args []string) ([]byte, error), check bool, stdout io.Writer) error {
	var faults []error
	for _, p := range pages {
		want, err := program(p.args)
		if err == nil && len(want) == 0 {
			err = errors.New("the program printed nothing")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("make %s: %w", p.path, err))
			continue
		}
		have, err := os.ReadFile(p.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, err)
			continue
		}
		switch {
		case err == nil && bytes.Equal(have, want):
			fmt.Fprintf(stdout, "up to date: %s\n", p.path)
		case check:
			faults = append(faults, fmt.Errorf("%s is not up to date: run make gen", p.path))
		default:
			fmt.Fprintf(stdout, "written: %s\n", p.path)
			faults = append(faults, os.WriteFile(p.path, want, 0o644))
		}
	}
	return errors.Join(faults...)
}
