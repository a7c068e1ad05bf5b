package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox/privileged/helper"
	"github.com/felhom/tend/proxmox/privileged/host"
	"github.com/felhom/tend/proxmox/privileged/lane"
)

// defaultAudit is where the helper writes down what it did.
const defaultAudit = "/var/log/tend/audit.log"

type helperOptions struct {
	socket, user, audit string
	idle                time.Duration
}

func newHelper(s *Streams) *cobra.Command {
	o := helperOptions{}
	cmd := &cobra.Command{
		Use:   "helper",
		Short: "Do as root what only root@pam may, for an agent that is not root",
		Long: `Run as root on a node and do what only root@pam may do, for an agent that runs as a user
without rights: what stands on a closed list (tend explain root), and nothing else. It
listens on a unix socket, asks the kernel who calls, and takes requests of one user and of
root. Each request is held against the rules of the list whatever the caller says, one at a
time for a container, and written into an audit log, a line of JSON each.

systemd starts it by its socket (tend-helper.socket); then --socket does not matter. SIGINT
and SIGTERM end it, once what is under way is done. It needs no endpoint and no token.` + exits(
			"0  ended by a signal, or nobody called for the idle time",
			"1  error: not root, no node of Proxmox VE, another helper is there"),
		Example: `  tend helper
  tend helper --user tend --idle-timeout 5m
  tend helper --socket /run/tend/helper.sock --audit-log /var/log/tend/audit.log`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return help(cmd, s, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.socket, "socket", config.DefaultHelper, "listen on this `socket`, unless systemd hands one over")
	f.StringVar(&o.user, "user", "tend", "take requests of this `user`, a name or a number, and of root")
	f.StringVar(&o.audit, "audit-log", defaultAudit, "write each request into this `file`, which is put aside at 8 MiB")
	f.DurationVar(&o.idle, "idle-timeout", 0, "end when nobody was connected for so long (0: never)")
	return cmd
}

// help runs the helper.
func help(cmd *cobra.Command, s *Streams, o helperOptions) error {
	backend, err := s.backend()
	if err != nil {
		return fmt.Errorf("tend helper %w", err)
	}
	log := s.logger(logging(cmd, s), s.Err)
	audit, err := helper.OpenLog(o.audit, helper.LogOptions{})
	if err != nil {
		return err
	}
	l, err := listen(o.socket, o.user)
	if err != nil {
		return errors.Join(err, audit.Close())
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	signals, stop := s.signals()
	defer stop()
	go func() {
		select {
		case <-signals:
			_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) // systemd sees the end without it, only later
			cancel()
		case <-ctx.Done():
		}
	}()
	server := helper.NewServer(helper.Options{
		Doer: lane.Lane{Backend: backend}, Node: backend.Node(), Version: programVersion(), Audit: audit, Log: log, Idle: o.idle,
		Allow: func() (uint32, error) { return helper.Lookup(o.user) },
	})
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return errors.Join(fmt.Errorf("tell systemd that it is ready: %w", err), l.Close(), audit.Close())
	}
	return errors.Join(server.Serve(ctx, l), audit.Close())
}

// logging is what says how to log. The helper shares no other setting with the agent: a fault in those is not its own.
func logging(cmd *cobra.Command, s *Streams) *config.Config {
	c, err := s.settings(cmd)
	if c == nil || err != nil {
		return &config.Config{LogFormat: "text"}
	}
	return c
}

// backend is where root acts: this machine, unless the streams say otherwise.
func (s *Streams) backend() (lane.Backend, error) {
	if s.Backend != nil {
		return s.Backend()
	}
	return thisNode()
}

// thisNode is [thisHost] as the lane has it.
func thisNode() (lane.Backend, error) {
	h, err := thisHost()
	if err != nil {
		return nil, err
	}
	return h, nil
}

// thisHost is this machine, if it is a node of Proxmox VE and tend is root on it.
func thisHost() (*host.Host, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs to run as root")
	}
	if _, err := os.Stat("/etc/pve/local"); err != nil {
		return nil, fmt.Errorf("acts on this machine, which is no node of Proxmox VE: %w", err)
	}
	return host.New(host.Options{})
}

// listen takes the socket that systemd hands over, or makes one.
func listen(path, user string) (net.Listener, error) {
	given, err := activation.Listeners()
	switch {
	case err != nil:
		return nil, fmt.Errorf("take the socket of systemd: %w", err)
	case len(given) == 1 && given[0] != nil && given[0].Addr().Network() == "unix":
		return given[0], nil
	case len(given) > 0:
		return nil, errors.New("systemd hands over something other than one unix socket: look at ListenStream= in tend-helper.socket")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the socket: %w", err)
	}
	if err := clearSocket(path); err != nil {
		return nil, fmt.Errorf("make the socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("make the socket: %w", err)
	}
	if err := admit(path, user); err != nil {
		return nil, errors.Join(fmt.Errorf("make the socket: %w", err), l.Close())
	}
	return l, nil
}

// clearSocket removes the socket of a helper that is gone: nobody answers there.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is there and no socket", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("another tend helper listens on %s", path), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// admit lets the user connect, and nobody else but root. A user that is not there yet, as one of systemd's may be, could
// not be named: then everyone may connect, and whoever is another is refused by the server.
func admit(path, user string) error {
	uid, err := helper.Lookup(user)
	if err != nil {
		return os.Chmod(path, 0o666)
	}
	return errors.Join(os.Chmod(path, 0o600), os.Chown(path, int(uid), -1))
}
