// Package app is the program: one file a verb, in which flags become options, a library does the work, and
// package view shows what came of it. It holds no logic of its own and never exits.
package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/spec/setting"
)

// The exit codes, the same for every verb; the help of each says what they mean there.
const (
	exitOK      = 0
	exitError   = 1
	exitPending = 2
	exitBlocked = 3
)

// An exit is a verb's end with a code other than 0 for which nothing is wrong with the run itself.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exitFor is the end of a verb whose view shows a status.
func exitFor(s view.Status) error {
	switch s {
	case view.InSync:
		return nil
	case view.Pending:
		return exit(exitPending)
	case view.Blocked:
		return exit(exitBlocked)
	}
	return exit(exitError)
}

// Run runs the program with arguments and returns its exit code.
func Run(ctx context.Context, args []string, s Streams) int {
	root := newRoot(&s)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	var code exit
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	view.Error(s.Err, s.errStyle(), err)
	return exitError
}

func newRoot(s *Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "tend",
		Short: "Keep the containers of Proxmox VE as a spec says",
		Long: `tend keeps the containers of a Proxmox VE host or cluster the way YAML files say.

tend plan shows what differs from the live state and what each change costs; tend
apply changes it and reads it back. There is no state file: Proxmox is the state.
With --sandbox everything runs against an embedded simulator, with no Proxmox at hand.`,
		Example: `  tend plan --sandbox examples/homelab
  tend apply --sandbox examples/homelab
  tend doctor --endpoint pve1 --token-file ~/.config/tend/token`,
		SilenceErrors: true, SilenceUsage: true,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			s.colour = flagText(cmd, "color")
			if !slices.Contains([]string{"auto", "always", "never"}, s.colour) {
				return fmt.Errorf("--color %q is none of auto, always, never", s.colour)
			}
			return checkFlags(cmd)
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(flagError)
	f := root.PersistentFlags()
	f.String("config", "", "configuration `file` (TEND_CONFIG; default /etc/tend/tend.yaml, if it exists)")
	f.String("log-level", "", "least `level` that is logged on the standard error: debug, info, warn, error (TEND_LOG_LEVEL; default warn)")
	f.String("log-format", "", "`form` of the log: text, json (TEND_LOG_FORMAT; default text)")
	f.String("color", "auto", "`when` there are colours: auto (on a terminal, unless NO_COLOR is set), always, never")
	root.AddCommand(
		newValidate(s), newPlan(s), newApply(s), newRehearse(s), newStatus(s), newDoctor(s), newSimulate(s), newSchema(s),
		newExplain(s), newImport(s), newSnapshots(s), newBackups(s), newWatch(s), newReconcile(s), newSuspend(s), newResume(s), newApprove(s),
		newHistory(s), newNotify(s), newHelper(s), newInstall(s), newVersion(s),
	)
	return root
}

// noArgs refuses arguments; of the program itself these can only be misspelled verbs.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasParent():
		return fmt.Errorf("%s takes no argument: %q is too much (%s --help)%s",
			cmd.CommandPath(), args[0], cmd.CommandPath(), bareSandbox(cmd, args...))
	}
	var verbs []string
	for _, c := range cmd.Commands() {
		verbs = append(append(verbs, c.Name()), c.Aliases...)
	}
	if n := setting.Nearest(args[0], verbs); n != "" {
		return fmt.Errorf("there is no verb %q: did you mean %q?", args[0], n)
	}
	return fmt.Errorf("there is no verb %q: tend --help lists them", args[0])
}

// atMostOne is the rule of verbs that take an optional argument.
func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("%s takes one %s: %q is too much (%s --help)%s",
				cmd.CommandPath(), what, args[1], cmd.CommandPath(), bareSandbox(cmd, args...))
		}
		return nil
	}
}

// flagError says what is wrong with a flag, and what to write instead.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("%w (%s --help)", err, cmd.CommandPath())
	}
	name := unknown.GetSpecifiedName()
	if slices.Contains([]string{"token", "password", "secret", "api-token"}, name) {
		return fmt.Errorf("--%s: a secret on the command line can be read by everyone on the machine; "+
			"write the token into a file and name it with --token-file, or set TEND_TOKEN", name)
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if n := setting.Nearest(name, known); n != "" && len(name) > 1 {
		return fmt.Errorf("%s has no flag --%s: did you mean --%s?", cmd.CommandPath(), name, n)
	}
	return fmt.Errorf("%s has no flag %s (%s --help)", cmd.CommandPath(), dashes(name), cmd.CommandPath())
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// exits is the part of a verb's help on its exit codes.
func exits(lines ...string) string {
	return "\n\nExit codes:\n  " + strings.Join(lines, "\n  ")
}
