package app

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	tell "github.com/felhom/tend/cmd/internal/agent/notify"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
)

func newNotify(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Try the ways by which the agent tells people",
		Long:  "Try the channels that stand after notify: in the configuration file.",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNotifyTest(s))
	return cmd
}

func newNotifyTest(s *Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Send a message by every channel",
		Long: `Send a test message by every channel of the configuration, whatever level and events it is
for, and say which took it. No agent needs to run; the dead man's switch is left alone.` + exits("0  every channel took it", "1  one did not, or there is none"),
		Example: "  tend notify test\n  tend notify test --config /etc/tend/tend.yaml",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return notifyTest(cmd, s) },
	}
}

func notifyTest(cmd *cobra.Command, s *Streams) error {
	c, err := s.settings(cmd)
	if err != nil {
		return err
	}
	if len(c.Agent.Notify.Channels) == 0 {
		return fmt.Errorf("%s names no channel: write notify: {channels: [{name: phone, urlFile: PATH}]} into it", cmp.Or(c.File, "no configuration file was found, which"))
	}
	n, err := tell.New(c.Agent.Notify, c.Secret, "", s.logger(c, s.Err))
	if err != nil {
		return err
	}
	bad := 0
	for _, o := range n.Test(cmd.Context(), &report.Report{Agent: report.Agent{Host: hostName()}}) {
		text := "took it"
		if o.Err != nil {
			bad++
			text = "did not: " + o.Err.Error()
		}
		if _, err := fmt.Fprintf(s.Out, "%s %s\n", view.Clean(o.Channel), view.Clean(text)); err != nil {
			return err
		}
	}
	if bad > 0 {
		return errors.New("not every channel took the message")
	}
	return nil
}
