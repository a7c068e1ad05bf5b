package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/byhand"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/live"
	"github.com/felhom/tend/reconcile/plan"
)

type planOptions struct {
	policy plan.Policy
	output string
	out    string
	byHand bool
}

func newPlan(s *Streams) *cobra.Command {
	o := planOptions{}
	cmd := &cobra.Command{
		Use:   "plan [PATH]",
		Short: "Show what apply would do",
		Long: `Compare the spec in a folder or file (default: this folder) with the live state, and show
what apply would do, step for step, and what each change costs a running container:
nothing (online), a short cut of the network (link flap) or a restart. Nothing is changed.` + exits(
			"0  in sync: there is nothing to do",
			"1  error",
			"2  changes pending: apply would make them, or they wait for a restart",
			"3  something is blocked: it cannot be done as the spec says; the plan says why"),
		Example: `  tend plan
  tend plan --sandbox examples/homelab
  tend plan -o markdown > comment.md
  tend plan --root-commands
  tend plan --out monday.plan
  tend apply monday.plan`,
		Args: atMostOne("path"),
		RunE: func(cmd *cobra.Command, args []string) error { return showPlan(cmd, s, o, pathOf(args)) },
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	policyFlags(cmd, &o.policy)
	outputFlag(cmd, &o.output, "text", "json", "markdown")
	cmd.Flags().StringVar(&o.out, "out", "", "save the plan in a `file`, for apply")
	cmd.Flags().BoolVar(&o.byHand, "root-commands", false, "also print the commands with which root can do by hand what only root@pam may")
	return cmd
}

// policyFlags say what a plan may do.
func policyFlags(cmd *cobra.Command, p *plan.Policy) {
	f := cmd.Flags()
	f.BoolVar(&p.Prune, "prune", false, "destroy containers that carry the owner's tag and are not in the spec")
	f.IntVar(&p.PruneMax, "prune-max", 1, "destroy at most so many")
	f.IntVar(&p.PrunePercent, "prune-percent", 0, "and at most so many percent of those that carry the tag (0: no such limit)")
	f.DurationVar(&p.PruneGrace, "prune-grace", 0, "stop them first and destroy them so long after, as in 168h (0: destroy at once)")
	f.BoolVar(&p.Adopt, "adopt", false, "take over declared containers that do not carry the owner's tag")
	f.BoolVar(&p.WindowOpen, "window", false, "a maintenance window is open now: restart containers with restart: window")
	f.BoolVar(&p.RestartAll, "restart", false, "restart whatever needs it, also with restart: never")
	f.Var((*volumeFlag)(&p.DestroyVolumes), "destroy-volume", "destroy an unused volume with its data, as in 101:local-zfs:subvol-101-disk-1; may be repeated")
	allowDiskFlag(cmd, &p.FailingDisks)
	f.Var((*unlockFlag)(&p.Unlock), "unlock", "recover a container that is stuck, as in 101; where its rollback was cut off, name the snapshot, as in 101:nightly; may be repeated")
}

func policyFlagNames() []string {
	return []string{"prune", "prune-max", "prune-percent", "prune-grace", "adopt", "window", "restart", "destroy-volume", "unlock", allowDisk}
}

func showPlan(cmd *cobra.Command, s *Streams, o planOptions, path string) error {
	write, err := s.output(o.output, "text", "json", "markdown")
	if err != nil {
		return err
	}
	if o.byHand && o.output != "text" {
		return fmt.Errorf("--root-commands prints text and does not go with -o %s", o.output)
	}
	if o.out != "" && !isSaved(o.out) {
		return fmt.Errorf("--out %s: apply would take it for a spec; give it another ending, as in %s",
			o.out, strings.TrimSuffix(o.out, filepath.Ext(o.out))+".plan")
	}
	want, err := specOf(cmd, s, path)
	if err == nil {
		err = checkConsent(want, o.policy)
	}
	if err != nil {
		return err
	}
	ses, err := s.connect(cmd)
	if err != nil {
		return err
	}
	defer ses.close()
	r := ses.reconciler(o.policy)
	run := r.NewRun(want)
	p, have, err := run.Plan(cmd.Context())
	if err != nil {
		return err
	}
	shown := view.Plan{Plan: p, Spec: revisionOf(path)}
	if err := write(shown); err != nil {
		return err
	}
	if o.byHand {
		everywhere := r.Policy
		everywhere.RootNodes = slices.Sorted(maps.Keys(have.Nodes))
		everywhere.Recover = true
		if err := view.ByHand(s.Out, s.style(), byhand.Of(plan.Compute(want, have, everywhere))); err != nil {
			return err
		}
	}
	if o.out != "" {
		if err := savePlan(cmd, s, run, shown.Spec, o.out); err != nil {
			return err
		}
	}
	return exitFor(shown.Status())
}

// reconciler makes plans for the session's cluster.
func (ses *session) reconciler(p plan.Policy) *reconcile.Reconciler {
	p.Now = time.Now()
	p.RootNodes = ses.root.Nodes()
	p.FailingDisks = slices.Concat(p.FailingDisks, ses.config.AllowFailingDisks)
	return &reconcile.Reconciler{
		Client: ses.client, Target: ses.target, Policy: p, Log: ses.log,
		Observer: func() *live.Observer {
			return &live.Observer{Client: ses.client, Shown: true, Root: ses.rootReader(), Disks: ses.disks()}
		},
	}
}

// isSaved tells the file of a saved plan from one of a spec, by its ending.
func isSaved(name string) bool {
	ext := filepath.Ext(name)
	return ext != ".yaml" && ext != ".yml"
}

// savePlan writes a plan to a file that only its owner may read: it holds the whole spec.
func savePlan(cmd *cobra.Command, s *Streams, run *reconcile.Run, rev view.Revision, file string) error {
	saved, err := run.Save(rev.String())
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(saved, "", "  ")
	if err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	return view.Saved(s.Err, s.errStyle(), append(append([]string{"tend", "apply"}, connectedBy(cmd)...), file))
}
