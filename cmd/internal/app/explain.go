package app

import (
	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/spec/schema"
)

func newExplain(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain [FIELD]",
		Short: "Explain a field of a spec, a schedule or a snapshot policy",
		Long: `Explain a field: what it is, what may be written, what its absence means, what a change of
it costs a running container, and who may make it. Without a field, the document as a
whole. A field may be written as errors name it, with the names of containers, mounts and
the like, or without them.` + exits("0  explained", "1  there is no such field"),
		Example: `  tend explain
  tend explain memory
  tend explain mounts.size
  tend explain containers.media.network.eth0.ipv4
  tend explain schedule "mon..fri 22:00"
  tend explain policy nightly specs --year
  tend explain root`,
		Args: atMostOne("field"),
		RunE: func(_ *cobra.Command, args []string) error {
			path := ""
			if len(args) > 0 {
				path = args[0]
			}
			text, err := schema.Explain(path, s.width())
			if err != nil {
				return err
			}
			return view.Raw(s.Out, []byte(text))
		},
	}
	cmd.AddCommand(newExplainSchedule(s), newExplainPolicy(s), newExplainRoot(s))
	return cmd
}

func newExplainRoot(s *Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "root",
		Short: "Print the closed list of what is done as root",
		Long: `Print the closed list of what only root@pam may do and tend has done as root, where the
setting lane says so: what Proxmox answers to a token, what is run instead, what is looked
at before and after, and how it is undone.` + exits("0  printed"),
		Example: "  tend explain root",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return view.Exceptions(s.Out, s.style()) },
	}
}
