package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/snapshot"
	"github.com/felhom/tend/spec"
)

type snapshotOptions struct {
	output string
	path   string // of the spec
	run    snapshot.Options
	allow  []string // failing disks
}

func newSnapshots(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshots",
		Short: "Carry out snapshot policies by hand",
		Long: `The snapshot policies of the spec: what there is, what would be taken and dropped and why,
and the same done now; and the way back to one. What tend did not take itself is never touched and never counted.` + exits("0  shown", "1  error"),
		Example: `  tend snapshots list
  tend snapshots plan --spec specs
  tend snapshots run 120`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		snapshotVerb(s, verbText{
			use: "list", short: "List the snapshots, and what becomes of each", codes: [2]string{"all containers have what their policy promises", "a container is overdue or stuck, or its policy cannot be carried out"},
			long: `List the snapshots of the containers that have a policy: each with its time, whether it is
kept and by which rule, and when the next one is due. Nothing is changed.`,
		}, snapshot.Options{DryRun: true}),
		snapshotVerb(s, verbText{
			use: "plan", short: "Show what a run would take and drop now", codes: [2]string{"nothing is due", "something is due, overdue or stuck, or a policy cannot be carried out"},
			long: `Show what tend snapshots run would do now: which snapshot is due, which ones would be
dropped, and why. Nothing is changed.`,
		}, snapshot.Options{DryRun: true}),
		snapshotVerb(s, verbText{
			use: "run", short: "Take a snapshot now, and drop what may go", codes: [2]string{"done", "a container is stuck"},
			long: `Take a snapshot of each container that has a policy, or of those named by VMID, and then
drop what retention gives up: one at a time, and only once the new one is listed as
complete. With --due only what the schedule says is taken, as the agent does.`,
		}, snapshot.Options{Take: snapshot.TakeNow}),
		snapshotVerb(s, verbText{
			use: "prune", short: "Drop what retention gives up, and take none", codes: [2]string{"done", "a container is stuck"},
			long: `Drop the snapshots that the policies of the spec give up, and take none. Where more than
half of a container's snapshots would go, --consent is needed.`,
		}, snapshot.Options{Take: snapshot.TakeNone}),
		newRollback(s),
		newHold(s),
	)
	return cmd
}

// verbText is how a verb of snapshots speaks of itself.
type verbText struct {
	use, short, long string
	codes            [2]string // of exit codes 0 and 2
}

func snapshotVerb(s *Streams, t verbText, run snapshot.Options) *cobra.Command {
	o := snapshotOptions{run: run}
	due := false
	cmd := &cobra.Command{
		Use: t.use + " [ID…]", Short: t.short, Long: t.long + exits("0  "+t.codes[0], "1  error, or not all was done", "2  "+t.codes[1]),
		Example: "  tend snapshots " + t.use + "\n  tend snapshots " + t.use + " --spec specs 120 121",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.run.Only, err = vmids(args); err != nil {
				return err
			}
			if due {
				o.run.Take = snapshot.TakeDue
			}
			return keepSnapshots(cmd, s, o, t.use == "list")
		},
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	outputFlag(cmd, &o.output, "text", "json")
	cmd.Flags().StringVar(&o.path, "spec", ".", "`folder` or file of the spec")
	if run.Take != snapshot.TakeNone {
		allowDiskFlag(cmd, &o.allow)
	}
	if !run.DryRun {
		cmd.Flags().BoolVar(&o.run.Consent, "consent", false, "drop even where more than half of a container's snapshots go")
	}
	if run.Take == snapshot.TakeNow {
		cmd.Flags().BoolVar(&due, "due", false, "take only what the schedule says")
		cmd.Flags().BoolVar(&o.run.Keep, "keep", false, "drop nothing")
	}
	return cmd
}

// keepSnapshots carries out the policies, or says what that would do.
func keepSnapshots(cmd *cobra.Command, s *Streams, o snapshotOptions, all bool) error {
	write, err := s.output(o.output, "text", "json")
	if err != nil {
		return err
	}
	want, err := specOf(cmd, s, o.path)
	if err == nil {
		err = havePolicies(want, o.run.Only)
	}
	if err != nil {
		return err
	}
	ses, err := s.connect(cmd)
	if err != nil {
		return err
	}
	defer ses.close()
	k, done, err := ses.keeper(!o.run.DryRun)
	if err != nil {
		return err
	}
	defer done()
	k.AllowDisks = append(k.AllowDisks, o.allow...)
	in := s.interrupts(cmd.Context(), s.Err)
	defer in.end()
	k.Stop = in.stop
	r, err := k.Run(in.ctx, want, o.run)
	if err != nil {
		return err
	}
	shown := view.Snapshots{Report: r, Cluster: want.Cluster.Name, Spec: revisionOf(o.path), All: all, DryRun: o.run.DryRun, Zone: time.Local}
	if err := write(shown); err != nil {
		return err
	}
	return exitFor(shown.Status())
}

// havePolicies checks that there is something to do.
func havePolicies(want *spec.State, only []proxmox.VMID) error {
	has := map[proxmox.VMID]bool{}
	for _, c := range want.Containers {
		has[c.ID] = want.PolicyOf(c) != nil
	}
	for _, id := range only {
		if has, declared := has[id]; !declared {
			return fmt.Errorf("the spec declares no container %d", id)
		} else if !has {
			return fmt.Errorf("container %d has no snapshot policy: write snapshots: for it", id)
		}
	}
	for _, h := range has {
		if h {
			return nil
		}
	}
	return errors.New("no container of the spec has a snapshot policy: write snapshotPolicies: and snapshots: (tend explain snapshots)")
}

// keeper carries out policies on the session's cluster. Only where something is changed does it hold the journal.
func (ses *session) keeper(changes bool) (*snapshot.Keeper, func(), error) {
	k := &snapshot.Keeper{Client: ses.client, Log: ses.log, RunID: rand.Text(), Disks: ses.disks(), AllowDisks: ses.config.AllowFailingDisks}
	if ses.root != nil {
		k.Guest = guestOf{ses.root}
	}
	memory, err := snapshot.OpenMemory(strings.TrimSuffix(ses.journal, filepath.Ext(ses.journal)) + ".snapshots")
	if err != nil {
		ses.log.Warn("snapshots are remembered anew", "err", err)
	}
	k.Memory = memory
	if !changes {
		return k, func() {}, nil
	}
	j, err := journal.Open(ses.journal)
	if err != nil {
		return nil, nil, err
	}
	k.Journal = j
	return k, func() { _ = j.Close() }, nil
}

// guestOf runs the commands of hooks through the root lane.
type guestOf struct{ root *lane.Actor }

func (g guestOf) Exec(ctx context.Context, r proxmox.Ref, argv []string, timeout time.Duration) (int, []byte, error) {
	out, err := g.root.Do(ctx, privileged.Exec{Ref: r, Argv: argv, Timeout: timeout})
	return out.Exit, append(out.Output, out.Errors...), err
}
