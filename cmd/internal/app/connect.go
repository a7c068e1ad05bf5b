package app

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/doctor"
	"github.com/felhom/tend/cmd/internal/sandbox"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/proxmox/rest"
	"github.com/felhom/tend/reconcile/live"
)

// A session is a connection to a cluster, or to the sandbox.
type session struct {
	transport proxmox.Transport
	client    *proxmox.Client
	config    *config.Config
	log       *slog.Logger
	target    string      // what names the other side wherever it is asked from; a saved plan holds for it alone
	shown     string      // what a person calls it
	endpoint  string      // URL of the node that is asked; empty: the sandbox
	journal   string      // its journal, a file
	root      *lane.Actor // who acts as root there; nil: nobody
	lane      doctor.Lane // how that was found
	shared    *live.Disks // readings of disks that are used again; nil: each is made anew
	close     func()
}

// connectionFlags are those of verbs that talk to a cluster.
func connectionFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	for _, row := range config.Settings() {
		switch {
		case row.Flag == "" || cmd.Root().PersistentFlags().Lookup(row.Flag) != nil:
		case row.Name == config.LogLevel || row.Name == config.LogFormat:
		case row.Name == config.Insecure:
			f.Bool(row.Flag, false, row.Doc+" ("+row.Env+")")
		default:
			f.String(row.Flag, "", row.Doc+" ("+row.Env+")")
		}
	}
}

// sandboxFlag is that of verbs that can do without a cluster.
func sandboxFlag(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("sandbox", "", "use the embedded simulator, with its state in a `file`, in place of a cluster")
	f.Lookup("sandbox").NoOptDefVal = sandbox.DefaultFile
}

// connect opens the session that flags, environment and file describe. It sends nothing to the cluster.
func (s *Streams) connect(cmd *cobra.Command) (*session, error) {
	c, err := s.settings(cmd)
	if err != nil {
		return nil, err
	}
	log := s.logger(c, s.Err)
	if f := cmd.Flags().Lookup("sandbox"); f != nil && f.Changed {
		if cmd.Flags().Changed("endpoint") {
			return nil, errors.New("both --sandbox and --endpoint are given: leave one out")
		}
		return openSandbox(f.Value.String(), c, log)
	}
	if c.Endpoint == "" {
		return nil, errors.New("no endpoint is given: name a node with --endpoint, TEND_ENDPOINT or endpoint: in the " +
			"configuration file, or try things with --sandbox (tend doctor shows what was found where)")
	}
	if c.Token.IsZero() {
		return nil, fmt.Errorf("no API token is given for %s: name its file with --token-file or tokenFile: in the "+
			"configuration file, or set TEND_TOKEN", c.Endpoint)
	}
	if c.Exposed != "" {
		log.Warn("everyone on this machine can use the token's file: chmod 600 it, and make a new token where that matters", "file", c.Exposed)
	}
	root, found, err := rootOf(cmd.Context(), c, c.Endpoint, log)
	if err != nil {
		return nil, err
	}
	t, err := rest.New(rest.Options{
		Endpoint: c.Endpoint, Token: c.Token, Fingerprint: c.Fingerprint, CAFile: c.CAFile, Insecure: c.Insecure, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	return &session{
		transport: t, client: proxmox.NewClient(t), config: c, log: log, target: t.Endpoint(), shown: t.Endpoint(), endpoint: t.Endpoint(),
		journal: filepath.Join(c.StateDir, safeName(t.Endpoint())+".journal"), root: root, lane: found, close: t.Close,
	}, nil
}

func openSandbox(file string, c *config.Config, log *slog.Logger) (*session, error) {
	if file == "" { // as with --sandbox=$FILE where FILE is not set: the cluster is not what was meant
		return nil, errors.New("--sandbox= names no file: write --sandbox=FILE, or --sandbox alone for " + sandbox.DefaultFile)
	}
	b, err := sandbox.Open(file, log)
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(file)
	if err != nil {
		path = file
	}
	root, found := rootOfSandbox(c, b)
	return &session{
		transport: b.Transport(), client: proxmox.NewClient(b.Transport()), config: c, log: log,
		target: "the sandbox " + path, shown: "the sandbox " + file, journal: file + ".journal", root: root, lane: found, close: b.Close,
	}, nil
}

func flagText(cmd *cobra.Command, name string) string {
	if f := cmd.Flags().Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// safeName makes the name of a folder of an endpoint, so that two clusters have two journals.
func safeName(endpoint string) string { return unsafeInName.ReplaceAllString(endpoint, "_") }
