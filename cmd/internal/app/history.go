package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/history"
	"github.com/felhom/tend/cmd/internal/server"
)

// The agent's files in its state folder.
const (
	historyFile = "history.db"
	socketFile  = "agent.sock"
)

func newHistory(s *Streams) *cobra.Command {
	var output string
	var most int
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show what the agent did",
		Long: `Show the runs of the agent, the newest first. Runs that found nothing new stand as one. The
agent is asked over its socket; where none runs, its file is read.` + exits("0  always", "1  error"),
		Example: `  tend history
  tend history show 42
  tend history -n 200 -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write, err := s.output(output, "text", "json")
			if err != nil {
				return err
			}
			runs, err := pastRuns(cmd, s, most)
			if err != nil {
				return err
			}
			return write(history.List{Runs: runs})
		},
	}
	cmd.AddCommand(newHistoryShow(s))
	cmd.Flags().IntVarP(&most, "number", "n", 20, "show at most so many `runs`")
	historyFlags(cmd, &output)
	return cmd
}

func newHistoryShow(s *Streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "show RUN",
		Short:   "Show a run with its plan and what became of it",
		Long:    "Show a run of the agent: its plan, and what became of each container." + exits("0  always", "1  error, or there is no such run"),
		Example: `  tend history show 42`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			write, err := s.output(output, "text", "json")
			if err != nil {
				return err
			}
			id, err := strconv.ParseUint(args[0], 10, 63)
			if err != nil {
				return fmt.Errorf("%q is no run: write its number, as tend history shows it", args[0])
			}
			r, err := pastRun(cmd, s, id)
			if err != nil {
				return err
			}
			return write(r)
		},
	}
	historyFlags(cmd, &output)
	return cmd
}

func historyFlags(cmd *cobra.Command, output *string) {
	cmd.Flags().String("state-dir", "", "`folder` of the agent (TEND_STATE_DIR)")
	outputFlag(cmd, output, "text", "json")
}

func pastRuns(cmd *cobra.Command, s *Streams, n int) (runs []report.Run, err error) {
	err = withHistory(cmd, s, func(ctx context.Context, c *server.Client) error {
		page, err := c.Runs(ctx, 0, n)
		runs = page.Runs
		return err
	}, func(h *history.History) error {
		runs, err = h.Runs(0, n)
		return err
	})
	return runs, err
}

func pastRun(cmd *cobra.Command, s *Streams, id uint64) (r history.Record, err error) {
	err = withHistory(cmd, s, func(ctx context.Context, c *server.Client) error {
		r, err = c.Run(ctx, id)
		return err
	}, func(h *history.History) error {
		r, err = h.Run(id)
		return err
	})
	if errors.Is(err, history.ErrNotFound) {
		err = fmt.Errorf("there is no run %d, or not any more: tend history lists them", id)
	}
	return r, err
}

// withHistory asks the agent, or reads its file where none runs.
func withHistory(cmd *cobra.Command, s *Streams, ask func(context.Context, *server.Client) error, read func(*history.History) error) error {
	c, err := s.settings(cmd)
	if err != nil {
		return err
	}
	folder := agentFolder(c)
	socket := filepath.Join(folder, socketFile)
	if _, err := os.Stat(socket); err == nil {
		if err := ask(cmd.Context(), server.Dial(socket)); !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
	}
	h, err := history.Read(filepath.Join(folder, historyFile))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no history in %s: no agent has run with this folder (--state-dir)", folder)
	}
	if err != nil {
		return err
	}
	return errors.Join(read(h), h.Close())
}
