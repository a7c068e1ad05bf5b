package app

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
)

func newValidate(s *Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "validate [PATH]",
		Short: "Check a spec; needs no cluster",
		Long: `Decode and check the spec in a folder or file (default: this folder). All problems are
shown at once, each with its file, line and column.` + exits(
			"0  the spec is good", "1  it is not, or cannot be read"),
		Example: `  tend validate
  tend validate examples/homelab`,
		Args: atMostOne("path"),
		RunE: func(_ *cobra.Command, args []string) error {
			state, err := loadSpec(s, pathOf(args))
			if err != nil {
				return err
			}
			return view.Validated(s.Out, s.style(), state)
		},
	}
}

func pathOf(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

// loadSpec reads a spec; its faults are shown here, as they are no fault of the run.
func loadSpec(s *Streams, path string) (*spec.State, error) {
	state, err := load.Path(path, load.Options{})
	var faults load.Faults
	if errors.As(err, &faults) {
		if err := view.Faults(s.Err, s.errStyle(), faults); err != nil {
			return nil, err
		}
		return nil, exit(exitError)
	}
	return state, err
}
