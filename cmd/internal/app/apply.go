package app

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox/privileged/helper"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

type applyOptions struct {
	policy      plan.Policy
	output      string
	yes         bool
	parallel    int
	lockTimeout time.Duration
	taskTimeout time.Duration
}

func newApply(s *Streams) *cobra.Command {
	o := applyOptions{}
	cmd := &cobra.Command{
		Use:   "apply [PATH or saved plan]",
		Short: "Make the live state what the spec says",
		Long: `Plan, ask, carry the plan out, read everything back and plan again, until nothing is left
to do. Only what the shown plan says is done; should more come up, it is left for the next
run. Containers are changed side by side, the steps of each in order; a failure stops its
container only. A plan that was saved with plan --out is carried out as it was shown, or
refused where the containers are not as they were.

Ctrl-C finishes the steps in flight and reports what was done and what was not; a second
one leaves at once and names the tasks that still run on the nodes.` + exits(
			"0  converged: everything is as the spec says",
			"1  something failed, was interrupted or did not take",
			"2  changes are pending: they wait for a restart, or the question was answered with no",
			"3  the rest is done, and something is blocked"),
		Example: `  tend apply
  tend apply --yes --sandbox examples/homelab
  tend apply monday.plan
  tend apply --window --prune --prune-max 2 specs/`,
		Args: atMostOne("path"),
		RunE: func(cmd *cobra.Command, args []string) error { return apply(cmd, s, o, pathOf(args)) },
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	policyFlags(cmd, &o.policy)
	outputFlag(cmd, &o.output, "text", "json")
	f := cmd.Flags()
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.IntVar(&o.parallel, "parallel", 4, "change so many containers of a node at once")
	f.DurationVar(&o.lockTimeout, "lock-timeout", 5*time.Minute, "wait so long for a container that is locked or busy")
	f.DurationVar(&o.taskTimeout, "task-timeout", 30*time.Minute, "wait so long for a task; it goes on by itself after that")
	return cmd
}

func apply(cmd *cobra.Command, s *Streams, o applyOptions, path string) error {
	write, err := s.output(o.output, "text", "json")
	if err != nil {
		return err
	}
	source, err := givenAt(cmd, s, path)
	if err == nil && source.want != nil {
		err = checkConsent(source.want, o.policy)
	}
	if err != nil {
		return err
	}
	ses, err := s.connect(cmd)
	if err != nil {
		return err
	}
	defer ses.close()
	j, err := journal.Open(ses.journal)
	if err != nil {
		return err
	}
	defer j.Close()
	progress := view.NewProgress(cmd.Context(), s.Err, s.errStyle(), (&execute.Executor{Client: ses.client}).LastLine)
	if s.ErrTerminal {
		progress.Live()
	}
	defer progress.Close()
	ses.log = s.logger(ses.config, progress)
	in := s.interrupts(cmd.Context(), progress)
	defer in.end()
	r := ses.reconciler(o.policy)
	r.Executor = execute.Executor{
		Client: ses.client, Journal: j, Parallel: o.parallel, LockTimeout: o.lockTimeout, TaskTimeout: o.taskTimeout,
		Root: ses.executorRoot(), Secrets: secretsOf(s), Progress: progress.Event, Stop: in.stop, RunID: rand.Text(), Log: ses.log,
	}
	if ses.config.Get(config.LogLevel).Text == "" {
		r.Executor.Log = slog.New(slog.DiscardHandler) // the result tells of failed steps; only logs that are asked for repeat it
	}
	run, p, err := source.begin(in.ctx, r)
	if err != nil {
		return err
	}
	a := application{Streams: s, options: o, run: run, in: in, progress: progress, secrets: r.Executor.Secrets, write: write}
	return a.carryOut(view.Plan{Plan: p, Spec: source.rev})
}

// A given is what is applied: a spec or a saved plan.
type given struct {
	want  *spec.State
	saved *reconcile.Saved
	rev   view.Revision
}

func givenAt(cmd *cobra.Command, s *Streams, path string) (given, error) {
	info, err := os.Stat(path)
	if err != nil {
		return given{}, fmt.Errorf("read spec or saved plan: %w%s", err, bareSandbox(cmd, path))
	}
	if info.IsDir() || !isSaved(path) {
		want, err := specOf(cmd, s, path)
		return given{want: want, rev: revisionOf(path)}, err
	}
	for _, name := range policyFlagNames() {
		if cmd.Flags().Changed(name) {
			return given{}, fmt.Errorf("--%s does not go with a saved plan, which is carried out as it was shown", name)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return given{}, err
	}
	saved, err := reconcile.ParseSaved(text)
	if err != nil {
		return given{}, fmt.Errorf("%s: %w", path, err)
	}
	return given{saved: saved, rev: view.Revision{Hash: saved.Revision}}, nil
}

// begin makes the plan, or makes a saved one anew and holds it against what was saved.
func (s given) begin(ctx context.Context, r *reconcile.Reconciler) (*reconcile.Run, *plan.Plan, error) {
	if s.saved != nil {
		run, err := r.Resume(ctx, s.saved)
		if err != nil {
			return nil, nil, err
		}
		p, have, err := run.Plan(ctx)
		if err != nil {
			return nil, nil, err
		}
		return run, p, s.saved.Verify(have)
	}
	run := r.NewRun(s.want)
	p, _, err := run.Plan(ctx)
	return run, p, err
}

// An application is a plan that is about to be carried out.
type application struct {
	*Streams
	options  applyOptions
	run      *reconcile.Run
	in       *interrupts
	progress *view.Progress
	secrets  secretSource
	write    func(textual) error
}

func (a application) carryOut(p view.Plan) error {
	shown := view.Result{Plan: p}
	if a.options.output == "text" {
		if err := p.Text(a.Out, a.style()); err != nil {
			return err
		}
	}
	if p.Empty() {
		if a.options.output != "text" {
			if err := a.write(shown); err != nil {
				return err
			}
		}
		return exitFor(p.Status())
	}
	if err := checkPasswords(a.in.ctx, a.secrets, p.Plan); err != nil {
		return err
	}
	if err := a.confirm(a.in, a.options.yes, "Apply these changes?"); err != nil {
		return err
	}
	a.progress.Align(p.Lanes)
	outcome, err := a.run.Apply(helper.WithClaim(a.in.ctx, claimOf(p)))
	a.progress.Close()
	shown.Outcome = &outcome
	if werr := a.write(shown); werr != nil {
		return errors.Join(err, werr)
	}
	if err != nil && !a.in.left() {
		return err
	}
	return exitFor(shown.Status())
}

// confirm asks, unless it is not to, and returns nil for a yes alone.
func (s *Streams) confirm(in *interrupts, yes bool, question string) error {
	if yes {
		return nil
	}
	if !s.InTerminal {
		return errors.New("nobody can be asked, as the standard input is no terminal: look at the plan, then give --yes")
	}
	if _, err := fmt.Fprint(s.Err, "\n"+question+" [y/N] "); err != nil {
		return err
	}
	answer := make(chan string, 1)
	go func() { // it ends with the process where nobody ever answers
		line, _ := bufio.NewReader(s.In).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case text := <-answer:
		if text == "y" || text == "yes" {
			return nil
		}
	case <-in.stop:
	case <-in.ctx.Done():
	}
	if _, err := fmt.Fprintln(s.Err, "\nNothing was changed."); err != nil {
		return err
	}
	return exit(exitPending)
}
