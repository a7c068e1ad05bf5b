package app

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/rehearse"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile/plan"
)

type rehearseOptions struct {
	policy plan.Policy
	output string
}

func newRehearse(s *Streams) *cobra.Command {
	o := rehearseOptions{}
	cmd := &cobra.Command{
		Use:   "rehearse [PATH]",
		Short: "Try the whole apply on a copy",
		Long: `Copy the live state into the simulator, carry the plan out there, and show what would fail
and why (a missing privilege, a full storage, a missing bridge or template, a VMID that is
taken, a lock), about how long each container would be down, and the plan that would remain.
The cluster itself is only read.

What the token may not read is assumed, and named under "Not sure". Where it decides whether
something fails, the container "may fail", and the lines below say by what; what "would fail"
does so in any case. How much is written in a volume most storages tell only in part: a copy
onto a storage with little room may fail.

Times are those of a small node: 5 s for a start, 10 s for a shutdown, 20 s for a create, and
100 MiB a second for all that is copied.` + exits(
			"0  in sync: there is nothing to do",
			"1  error, or a part of the apply would fail; not where it only may",
			"2  changes pending: apply would make them, or they wait for a restart",
			"3  something is blocked: it cannot be done as the spec says"),
		Example: `  tend rehearse
  tend rehearse --restart specs/
  tend rehearse -o json | jq '.containers[] | {id, verdict, class, downSeconds}'
  tend rehearse --sandbox examples/homelab`,
		Args: atMostOne("path"),
		RunE: func(cmd *cobra.Command, args []string) error { return showRehearsal(cmd, s, o, pathOf(args)) },
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	policyFlags(cmd, &o.policy)
	outputFlag(cmd, &o.output, "text", "json")
	return cmd
}

func showRehearsal(cmd *cobra.Command, s *Streams, o rehearseOptions, path string) error {
	write, err := s.output(o.output, "text", "json")
	if err != nil {
		return err
	}
	want, err := loadSpec(s, path)
	if err != nil {
		return err
	}
	ses, err := s.connect(cmd)
	if err != nil {
		return err
	}
	defer ses.close()
	o.policy.FailingDisks = slices.Concat(o.policy.FailingDisks, ses.config.AllowFailingDisks)
	report, err := rehearse.Run(cmd.Context(), ses.client, want, rehearse.Options{Policy: o.policy, Secrets: secretsOf(s), Shown: true, Disks: ses.disks()})
	if err != nil {
		return err
	}
	shown := view.Rehearsal{Report: report, Spec: revisionOf(path)}
	if err := write(shown); err != nil {
		return err
	}
	return exitFor(shown.Status())
}
