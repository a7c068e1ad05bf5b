// Command manual writes the manual pages of tend and the completion for its shells, from the tree of verbs itself, for
// make package. It is never part of tend.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/felhom/tend/cmd/internal/app"
)

func main() {
	version := flag.String("version", "", "`version` that the pages name")
	epoch := flag.Int64("date", 0, "date of the pages, in `seconds` since 1970")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: manual [-version VERSION] [-date SECONDS] FOLDER")
		os.Exit(2)
	}
	if err := write(flag.Arg(0), *version, time.Unix(*epoch, 0).UTC()); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

// write makes man/*.1, and completion/tend.bash, _tend and tend.fish, below a folder.
func write(dir, version string, date time.Time) error {
	man, completion := filepath.Join(dir, "man"), filepath.Join(dir, "completion")
	for _, d := range []string{man, completion} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	root := app.Command()
	shells := []struct {
		file  string
		write func(string) error
	}{
		{"tend.bash", func(f string) error { return root.GenBashCompletionFileV2(f, true) }},
		{"_tend", root.GenZshCompletionFile},
		{"tend.fish", func(f string) error { return root.GenFishCompletionFile(f, true) }},
	}
	for _, s := range shells {
		if err := s.write(filepath.Join(completion, s.file)); err != nil {
			return fmt.Errorf("write completion: %w", err)
		}
	}
	prepare(root)
	root.DisableAutoGenTag = true
	header := doc.GenManHeader{Section: "1", Date: &date, Source: "tend " + version, Manual: "tend"}
	if err := doc.GenManTree(root, &header, man); err != nil {
		return fmt.Errorf("write manual pages: %w", err)
	}
	return nil
}

// prepare turns the texts of help, which are laid out for a terminal, into Markdown, which the generator reads. What
// completion has to say of each shell stands in its help and is no page.
func prepare(cmd *cobra.Command) {
	cmd.Long = markdown(cmd.Long)
	for _, c := range cmd.Commands() {
		if c.Name() == "completion" || c.Name() == "help" {
			c.Hidden = true
		}
		prepare(c)
	}
}
