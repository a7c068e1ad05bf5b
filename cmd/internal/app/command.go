package app

import (
	"io"

	"github.com/spf13/cobra"
)

// Command is the whole tree of verbs, for programs that write manual pages and completion of it. Nothing of it runs:
// it has no input, writes nowhere and sees no environment.
func Command() *cobra.Command {
	root := newRoot(&Streams{Out: io.Discard, Err: io.Discard, Env: func(string) string { return "" }})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}
