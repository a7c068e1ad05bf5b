package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/felhom/tend/cmd/internal/install"
)

// Install is what tend install would do, and what is there already.
type Install struct{ Steps []install.Step }

// Text writes each step with its command as a person would type it, or the file that is written.
func (v Install) Text(w io.Writer, s Style) error {
	out := &printer{w: w}
	for _, step := range v.Steps {
		if step.Done {
			out.line("  %s %s: is there%s", s.paint(dim, "="), Clean(step.What), after("; ", Clean(step.Note)))
			continue
		}
		out.line("  %s %s%s", s.paint(green, "+"), s.paint(bold, Clean(step.What)), after(": ", Clean(step.Note)))
		if c := step.Command.String(); c != "" {
			out.line("      %s", Clean(c))
			continue
		}
		if step.File != nil && step.File.Path == install.ConfigFile {
			for line := range strings.Lines(step.File.Text) {
				out.line("      %s", s.paint(dim, "| ")+Clean(strings.TrimSuffix(line, "\n")))
			}
		}
	}
	if !install.Open(v.Steps) {
		out.line("\nNothing to do: all of it is there.")
	}
	return out.err
}

func after(sep, text string) string {
	if text == "" {
		return ""
	}
	return sep + text
}

// Installing is a line about a step that begins.
func Installing(w io.Writer, step install.Step) error {
	_, err := fmt.Fprintf(w, "… %s\n", Clean(step.What))
	return err
}
