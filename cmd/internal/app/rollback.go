package app

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox/privileged/helper"
	"github.com/felhom/tend/reconcile/plan"
)

type rollbackOptions struct {
	what        plan.Rollback
	output      string
	path        string // of the spec
	yes, dryRun bool
}

func newRollback(s *Streams) *cobra.Command {
	o := rollbackOptions{}
	cmd := &cobra.Command{
		Use:   "rollback ID SNAPSHOT",
		Short: "Bring a container back to a snapshot",
		Long: `Show what a rollback would do and what is in its way, ask, take a snapshot of the present
state, roll back, start the container where it ran, and plan the spec anew: Proxmox puts the
configuration back, too, so that it may differ from the spec then, and a person decides
which is right.

What is in the way is never removed: a lock, newer snapshots where the storage goes back to
the newest alone (ZFS), protection, high availability. Where no snapshot can keep the
present state, it is backed up (--back-up-to) or lost (--lose-present), as you say.` + exits(
			"0  rolled back, and the container is what the spec says",
			"1  something failed; what the state is now is shown",
			"2  rolled back, and the container differs from the spec; or only shown, or answered with no",
			"3  something is in the way; nothing was done"),
		Example: `  tend snapshots rollback 120 tend-nightly-20261121T013000Z --dry-run
  tend snapshots rollback 120 tend-nightly-20261121T013000Z
  tend snapshots rollback 120 tend-nightly-20261121T013000Z --back-up-to local`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("name a container and a snapshot: tend snapshots rollback 120 NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := vmids(args[:1])
			if err != nil {
				return err
			}
			o.what.ID, o.what.Snapshot = ids[0], args[1]
			return rollBack(cmd, s, o)
		},
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	outputFlag(cmd, &o.output, "text", "json")
	f := cmd.Flags()
	f.StringVar(&o.path, "spec", ".", "`folder` or file of the spec")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be done")
	f.StringVar(&o.what.BackUpTo, "back-up-to", "", "back the present state up to this `storage` in place of a snapshot")
	f.BoolVar(&o.what.Lose, "lose-present", false, "go on though the present state cannot be kept")
	return cmd
}

func rollBack(cmd *cobra.Command, s *Streams, o rollbackOptions) error {
	write, err := s.output(o.output, "text", "json")
	if err != nil {
		return err
	}
	want, err := specOf(cmd, s, o.path)
	if err != nil {
		return err
	}
	ses, err := s.connect(cmd)
	if err != nil {
		return err
	}
	defer ses.close()
	w, err := ses.worker(cmd, s, 0)
	if err != nil {
		return err
	}
	defer w.close()
	r := ses.reconciler(plan.Policy{})
	r.Executor = w.executor
	r.Executor.Log = ses.log
	o.what.Now = time.Now()
	b, err := r.PlanRollback(w.in.ctx, want, o.what)
	if err != nil {
		return err
	}
	shown := view.Rollback{ID: o.what.ID, Snapshot: o.what.Snapshot, Plan: view.Plan{Plan: b.Plan, Spec: revisionOf(o.path)}}
	end := o.dryRun || b.Plan.Empty()
	if end || o.output == "text" {
		if err := write(shown); err != nil || end {
			return errors.Join(err, exitFor(shown.Status()))
		}
	}
	if err := s.confirm(w.in, o.yes, "Roll it back?"); err != nil {
		return err
	}
	w.progress.Align(b.Plan.Lanes)
	outcome, err := b.Apply(helper.WithClaim(w.in.ctx, claimOf(shown.Plan)))
	w.progress.Close()
	shown.Outcome = &outcome
	if werr := write(shown); werr != nil || err != nil && !w.in.left() {
		return errors.Join(err, werr)
	}
	return exitFor(shown.Status())
}
