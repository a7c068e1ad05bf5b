package app

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
)

// outputFlag is -o, with the forms that a verb knows.
func outputFlag(cmd *cobra.Command, to *string, forms ...string) {
	cmd.Flags().StringVarP(to, "output", "o", forms[0], "`form` of the output: "+strings.Join(forms, ", "))
}

// What is shown has a text and a JSON form; plans have one in Markdown, too.
type (
	textual interface {
		Text(io.Writer, view.Style) error
		JSON(io.Writer) error
	}
	markdown interface{ Markdown(io.Writer) error }
)

// output returns what writes a result in a form, so that a misspelled form is found before any work is done.
func (s *Streams) output(form string, forms ...string) (func(textual) error, error) {
	if !slices.Contains(forms, form) {
		return nil, fmt.Errorf("--output %q is none of %s", form, strings.Join(forms, ", "))
	}
	return func(t textual) error {
		switch m, ok := t.(markdown); {
		case form == "json":
			return t.JSON(s.Out)
		case form == "markdown" && ok:
			return m.Markdown(s.Out)
		}
		return t.Text(s.Out, s.style())
	}, nil
}
