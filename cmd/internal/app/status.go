package app

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile/plan"
)

func newStatus(s *Streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status [PATH]",
		Short: "Show each container on two axes: synced and healthy",
		Long: `Show for each container of the spec whether it is what the spec says (synced), and whether
it is well (healthy): there, running where it shall be, and not locked. What waits for a
restart is shown, too. Nothing is changed.` + exits(
			"0  all containers are synced and healthy", "1  error",
			"2  some are out of sync", "3  some are degraded"),
		Example: `  tend status
  tend status --sandbox examples/homelab
  tend status -o json`,
		Args: atMostOne("path"),
		RunE: func(cmd *cobra.Command, args []string) error { return showStatus(cmd, s, output, pathOf(args)) },
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	outputFlag(cmd, &output, "text", "json")
	return cmd
}

func showStatus(cmd *cobra.Command, s *Streams, output, path string) error {
	write, err := s.output(output, "text", "json")
	if err != nil {
		return err
	}
	want, err := specOf(cmd, s, path)
	if err != nil {
		return err
	}
	ses, err := s.connect(cmd)
	if err != nil {
		return err
	}
	defer ses.close()
	p, have, err := ses.reconciler(plan.Policy{}).Plan(cmd.Context(), want)
	if err != nil {
		return err
	}
	shown := view.ClusterState{Cluster: p.Cluster, Spec: revisionOf(path), Status: view.Plan{Plan: p}.Status()}
	for _, w := range want.Containers {
		shown.Containers = append(shown.Containers, view.StateOf(w, p, have.Containers[w.ID]))
	}
	for _, u := range p.Unclaimed {
		shown.Containers = append(shown.Containers, view.UnclaimedState(u, have.Containers[u.Ref.ID]))
	}
	drills := ses.drills()
	for i := range shown.Containers {
		if d := drills.Of(shown.Containers[i].ID); d != nil {
			shown.Containers[i].Drill = view.DrillText(*d, time.Now())
		}
	}
	shown.Others = view.OthersOf(p)
	if err := write(shown); err != nil {
		return err
	}
	if slices.ContainsFunc(shown.Containers, func(c view.ContainerState) bool { return !c.Healthy }) {
		return exit(exitBlocked)
	}
	if slices.ContainsFunc(shown.Containers, func(c view.ContainerState) bool { return c.Sync == view.OutOfSync }) || len(shown.Others) > 0 {
		return exit(exitPending)
	}
	return nil
}
