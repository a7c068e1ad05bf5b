package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/sandbox"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox/sim"
)

type simulateOptions struct {
	listen, state string
	ephemeral     bool
	taskTime      time.Duration
}

func newSimulate(s *Streams) *cobra.Command {
	o := simulateOptions{}
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Serve the simulator as a Proxmox VE endpoint",
		Long: `Serve a simulated cluster over HTTPS, for any client of the Proxmox VE API. Its state is
one YAML file, which is written after each change; with --ephemeral it is only read. Where
the file does not exist, it is made with a small homelab.

The certificate is made at the start; its fingerprint is printed. SIGINT and SIGTERM end
it. SIGHUP reads the file anew, for tests that begin from the same state each time.` + exits(
			"0  ended by a signal", "1  error"),
		Example: `  tend simulate
  tend simulate --listen 127.0.0.1:8006 --state lab.yaml --ephemeral --task-time 2s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return simulate(cmd, s, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8006", "address and port; port 0 takes a free one")
	f.StringVar(&o.state, "state", sandbox.DefaultFile, "file of the state")
	f.BoolVar(&o.ephemeral, "ephemeral", false, "never write the state back")
	f.DurationVar(&o.taskTime, "task-time", 0, "how long each task takes")
	return cmd
}

func simulate(cmd *cobra.Command, s *Streams, o simulateOptions) error {
	c, err := s.settings(cmd)
	if err != nil {
		return err
	}
	opts := sim.Options{TaskTime: o.taskTime, Logger: s.logger(c, s.Err)}
	signals, stop := s.signals()
	defer stop()
	for {
		sb, err := sandbox.Serve(o.state, o.ephemeral, opts)
		if err != nil {
			return err
		}
		sv, err := sb.Listen(o.listen)
		if err != nil {
			sb.Close()
			return err
		}
		o.listen = sv.Addr // a port that was chosen is kept
		if err := view.Simulating(s.Out, view.Endpoint{
			URL: sv.URL(), Fingerprint: sv.Fingerprint, State: o.state, Ephemeral: o.ephemeral, Tokens: sb.Tokens(),
		}); err != nil {
			return err
		}
		again, err := waitForSignal(cmd.Context(), signals, sv)
		sb.Close()
		if err != nil || !again {
			return err
		}
	}
}

// graceful is how long requests under way may take once a signal has come.
const graceful = 5 * time.Second

// waitForSignal returns when the server has ended; again says that it shall begin anew.
func waitForSignal(ctx context.Context, signals <-chan os.Signal, sv *sim.Server) (again bool, err error) {
	select {
	case sig := <-signals:
		again = sig == syscall.SIGHUP
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceful)
	defer cancel()
	if err := sv.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return again, fmt.Errorf("end the simulator: %w", err)
	}
	return again, nil
}
