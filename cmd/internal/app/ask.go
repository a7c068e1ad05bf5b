package app

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/server"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
)

// The verbs that ask the agent on this machine for something, over its socket.

func newReconcile(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Have the agent look now",
		Long: `Ask the agent on this machine to begin a pass now, whatever its schedule says. It is asked
over its socket, and not waited for: tend history shows what came of it.` + exits("0  it begins soon", "1  error, or no agent is there"),
		Example: "  tend reconcile\n  tend reconcile --state-dir /var/lib/tend",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd, s, "reconcile", nil, "The agent begins a pass.")
		},
	}
	agentFlags(cmd)
	return cmd
}

func newSuspend(s *Streams) *cobra.Command {
	var reason, until string
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "suspend [ID]",
		Short: "Have the agent leave a container alone",
		Long: `Have the agent on this machine leave a container alone, or without a VMID everything: it is
looked at and told of, and nothing is changed and no snapshot taken, until the time is over
or tend resume. A reason is asked for, since others will wonder; it is shown in status and on the page.` + exits("0  suspended", "1  error, or no agent is there"),
		Example: `  tend suspend 101 --for 4h --reason "moving the library"
  tend suspend 101 --until 2026-12-01T08:00:00Z --reason "waits for a disk"
  tend suspend --reason "hands off, I am at it"`,
		Args: atMostOne("VMID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			form, err := suspension(args, reason, until, length)
			if err != nil {
				return err
			}
			what := "Everything is"
			if len(args) > 0 {
				what = "Container " + args[0] + " is"
			}
			return ask(cmd, s, "suspend", form, what+" left alone from the next pass on; one that is under way goes on.")
		},
	}
	agentFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&reason, "reason", "", "why, in a few words")
	f.StringVar(&until, "until", "", "`time` when it ends, as in 2026-12-01T08:00:00Z (default: by tend resume)")
	f.DurationVar(&length, "for", 0, "how long, as in 4h")
	return cmd
}

func suspension(args []string, reason, until string, length time.Duration) (url.Values, error) {
	form := url.Values{"reason": {reason}, "until": {until}}
	faults := []error{addID(form, args)}
	if strings.TrimSpace(reason) == "" {
		faults = append(faults, errors.New(`say why, with --reason "…": others will wonder why nothing happens`))
	}
	if until != "" && length != 0 {
		faults = append(faults, errors.New("--for and --until say the same thing: give one of them"))
	}
	if at, err := time.Parse(time.RFC3339, until); until != "" && (err != nil || !at.After(time.Now())) {
		faults = append(faults, fmt.Errorf("--until %q: write a moment to come, as in %s", until, time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339)))
	}
	if length < 0 {
		faults = append(faults, fmt.Errorf("--for %s: write a time to come, as in 4h", length))
	}
	if length > 0 {
		form.Set("for", length.String())
	}
	return form, errors.Join(faults...)
}

// addID adds the container that the arguments name, if they do.
func addID(form url.Values, args []string) error {
	ids, err := vmids(args)
	if err != nil || len(ids) == 0 {
		return err
	}
	form.Set("id", proxmox.VMID.String(ids[0]))
	return nil
}

func newResume(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume [ID]",
		Short: "End a suspension",
		Long: `Have the agent on this machine keep a container again that was suspended, or without a VMID
everything. A pass begins.` + exits("0  resumed", "1  error, it was not suspended, or no agent is there"),
		Example: "  tend resume 101\n  tend resume",
		Args:    atMostOne("VMID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			form := url.Values{}
			if err := addID(form, args); err != nil {
				return err
			}
			return ask(cmd, s, "resume", form, "Resumed.")
		},
	}
	agentFlags(cmd)
	return cmd
}

func newApprove(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "approve HASH",
		Short: "Say yes to a plan that goes beyond the budget",
		Long: `Say yes to what waits for it, by the hash that status, page and notifications show. It holds
for that plan alone: once the live state or the spec has moved it has another hash, and is
refused. A signed commit may say the same with a line at its end: Tend-Approve: HASH.` + exits("0  approved; a pass begins", "1  error, nothing of that hash waits, or no agent is there"),
		Example: "  tend approve 7be1d0c35a9f4421",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return ask(cmd, s, "approve", url.Values{"hash": {args[0]}}, "Approved: the plan is carried out with the pass that begins now.")
		},
	}
	agentFlags(cmd)
	return cmd
}

func agentFlags(cmd *cobra.Command) {
	cmd.Flags().String("state-dir", "", "`folder` of the agent (TEND_STATE_DIR)")
}

// serviceFolder is the folder of an agent that systemd runs (StateDirectory=tend).
const serviceFolder = "/var/lib/tend"

// agentFolder is the folder of the agent on this machine: the one that is named, else the service's where it runs, else
// that of the person who asks.
func agentFolder(c *config.Config) string {
	if c.Get(config.StateDir).Text != "" {
		return c.StateDir
	}
	if _, err := os.Stat(filepath.Join(serviceFolder, socketFile)); err == nil {
		return serviceFolder
	}
	return c.StateDir
}

// ask asks the agent on this machine for an action.
func ask(cmd *cobra.Command, s *Streams, action string, form url.Values, done string) error {
	c, err := s.settings(cmd)
	if err != nil {
		return err
	}
	folder := agentFolder(c)
	agent := server.Dial(filepath.Join(folder, socketFile))
	if err := noAgent(folder, agent.Do(cmd.Context(), action, form)); err != nil {
		return err
	}
	if r, err := agent.Report(cmd.Context()); err == nil && form.Has("reason") && r.Agent.Lead.AmongOthers() {
		done += " It holds for the agent on " + r.Agent.Host + ": tell those on the other nodes, too."
	}
	return view.Note(s.Out, s.style(), done)
}

// noAgent says in words that nobody answers on the socket in a folder.
func noAgent(folder string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no agent runs with the folder %s (--state-dir): systemctl status tend, or tend watch", folder)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("the agent with the folder %s is for its user and root to ask: %w", folder, err)
	}
	return err
}

// showReport shows what the agent on this machine last saw.
func showReport(cmd *cobra.Command, s *Streams, output string) error {
	write, err := s.output(output, "text", "json")
	if err != nil {
		return err
	}
	c, err := s.settings(cmd)
	if err != nil {
		return err
	}
	folder := agentFolder(c)
	r, err := server.Dial(filepath.Join(folder, socketFile)).Report(cmd.Context())
	if err = noAgent(folder, err); err != nil {
		return err
	}
	now := time.Now()
	if err := write(report.Shown{Report: r, Now: now}); err != nil {
		return err
	}
	switch level := r.Verdict(now).Level; {
	case level >= report.Warn:
		return exit(exitBlocked)
	case level == report.Note:
		return exit(exitPending)
	}
	return nil
}
