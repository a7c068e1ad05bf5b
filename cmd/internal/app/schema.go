package app

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/spec/schema"
)

func newSchema(s *Streams) *cobra.Command {
	var reference bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a spec, for editors",
		Long: `Print the JSON Schema of the files of a spec. Editors with a YAML language server take it
from the first line of a file:

  # yaml-language-server: $schema=tend.schema.json` + exits("0  printed", "1  error"),
		Example: `  tend schema > tend.schema.json
  tend schema --reference > spec.md`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if reference {
				_, err := fmt.Fprint(s.Out, schema.Reference())
				return err
			}
			text, err := schema.JSON()
			if err != nil {
				return err
			}
			return view.Raw(s.Out, text)
		},
	}
	cmd.Flags().BoolVar(&reference, "reference", false, "print the reference of all fields in Markdown instead")
	return cmd
}
