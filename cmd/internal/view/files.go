package view

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// Files writes the files of a spec one after the other; where there are several, each below its name.
func Files(w io.Writer, files map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if len(files) > 1 {
			if _, err := fmt.Fprintf(w, "# %s\n", Clean(name)); err != nil {
				return err
			}
		}
		if _, err := w.Write(files[name]); err != nil {
			return err
		}
	}
	return nil
}

// Written says which files were written below a folder.
func Written(w io.Writer, s Style, folder string, files map[string][]byte) error {
	out := &printer{w: w}
	if len(files) == 0 {
		out.line("Nothing to write: %s is as it should be", Clean(folder))
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		out.line("%s %s", s.paint(green, "wrote"), Clean(folder+"/"+name))
	}
	return out.err
}

// Note writes something that a person should know and that is no error.
func Note(w io.Writer, s Style, text string) error {
	out := &printer{w: w}
	out.line("%s %s", s.paint(yellow, "note:"), Clean(text))
	return out.err
}
