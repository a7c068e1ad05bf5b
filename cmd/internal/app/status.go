package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/reconcile/snapshot"
	"github.com/felhom/tend/spec"
)

func newStatus(s *Streams) *cobra.Command {
	var output string
	agent := false
	cmd := &cobra.Command{
		Use:   "status [PATH]",
		Short: "Show each container on two axes: synced and healthy",
		Long: `Show for each container of the spec whether it is what the spec says (synced), and whether
it is well (healthy): there, running where it shall be, and not locked. What waits for a
restart is shown, too, and of containers with a snapshot policy the age of the newest good
snapshot against its limit, when the next is due, and which one goes next, and of those that a backup job of the spec is for
whether their backups are new enough; below it how the
disks and sensors of the nodes are, as far as anybody may read that. Nothing is changed.

With --agent it is what the agent on this machine last saw: what needs somebody first, with what is
suspended, waits for a yes or was refused. Nothing else is asked.` + exits(
			"0  all containers are synced and healthy", "1  error",
			"2  some are out of sync", "3  some are degraded, or a disk is failing; with --agent: something needs somebody"),
		Example: `  tend status
  tend status --sandbox examples/homelab
  tend status --agent
  tend status -o json`,
		Args: atMostOne("path"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !agent {
				return showStatus(cmd, s, output, pathOf(args))
			}
			if len(args) > 0 || cmd.Flags().Changed("sandbox") || cmd.Flags().Changed("endpoint") {
				return errors.New("--agent shows what the agent on this machine saw, of its own cluster and source: it goes with no path, --endpoint or --sandbox")
			}
			return showReport(cmd, s, output)
		},
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	outputFlag(cmd, &output, "text", "json")
	cmd.Flags().BoolVar(&agent, "agent", false, "show what the agent on this machine last saw")
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
	ctx := cmd.Context()
	p, have, err := ses.reconciler(plan.Policy{}).Plan(ctx, want)
	if err != nil {
		return err
	}
	disks := ses.lookAtDisks(ctx, have.Nodes)
	shown := view.ClusterState{Cluster: p.Cluster, Spec: revisionOf(path), Status: view.Plan{Plan: p}.Status()}
	for _, w := range want.Containers {
		shown.Containers = append(shown.Containers, view.StateOf(w, p, have.Containers[w.ID]))
	}
	for _, u := range p.Unclaimed {
		shown.Containers = append(shown.Containers, view.UnclaimedState(u, have.Containers[u.Ref.ID]))
	}
	if err := ses.snapshotStates(cmd.Context(), want, shown.Containers); err != nil {
		return err
	}
	ses.backupStates(ctx, want, have, shown.Containers)
	drills := ses.drills()
	for i := range shown.Containers {
		if d := drills.Of(shown.Containers[i].ID); d != nil {
			shown.Containers[i].Drill = view.DrillText(*d, time.Now())
		}
	}
	shown.Others, shown.Nodes, shown.At = view.OthersOf(p), disks(), time.Now()
	if err := write(shown); err != nil {
		return err
	}
	if slices.ContainsFunc(shown.Containers, func(c view.ContainerState) bool { return !c.Healthy }) || slices.ContainsFunc(shown.Nodes, (*health.Node).Fails) {
		return exit(exitBlocked)
	}
	if slices.ContainsFunc(shown.Containers, func(c view.ContainerState) bool { return c.Sync == view.OutOfSync }) || len(shown.Others) > 0 {
		return exit(exitPending)
	}
	return nil
}

// snapshotStates adds how it stands with the snapshot policies of containers.
func (ses *session) snapshotStates(ctx context.Context, want *spec.State, list []view.ContainerState) error {
	if havePolicies(want, nil) != nil {
		return nil
	}
	k, done, err := ses.keeper(false)
	if err != nil {
		return err
	}
	defer done()
	r, err := k.Run(ctx, want, snapshot.Options{DryRun: true})
	if err != nil {
		return err
	}
	states := view.Snapshots{Report: r, All: true, DryRun: true, Zone: time.Local}.SnapshotStates()
	for i := range list {
		list[i].Snapshots = states[list[i].ID]
	}
	return nil
}

// backupStates says of containers that a job of the spec is for whether their backups are as new as promised. Storages that
// do not answer leave it unsaid.
func (ses *session) backupStates(ctx context.Context, want *spec.State, have *plan.Live, list []view.ContainerState) {
	if len(want.Jobs) == 0 {
		return
	}
	found, err := backup.Find(ctx, ses.client, have.Nodes)
	if err != nil {
		ses.log.Warn("backups are not looked at", "err", err)
		return
	}
	now := time.Now()
	for _, c := range backup.Judge(want, have, found, now).Containers {
		if i := slices.IndexFunc(list, func(x view.ContainerState) bool { return x.ID == c.ID }); i >= 0 {
			list[i].Backup = view.BackupText(c, now, time.Local)
		}
	}
}
