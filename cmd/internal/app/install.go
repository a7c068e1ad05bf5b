package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/install"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/load"
)

type installOptions struct {
	settings                         install.Settings
	spec, user, token                string
	renew, enable, yes, dryRun, bare bool
}

// generalPrivileges are enough for most specs: no clones, migrations, backups, pools or downloads of templates.
func generalPrivileges() []string {
	return []string{
		"Datastore.AllocateSpace", "Datastore.Audit", "SDN.Use", "Sys.Audit", "VM.Allocate", "VM.Audit", "VM.Config.CPU",
		"VM.Config.Disk", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.PowerMgmt", "VM.Snapshot", "VM.Snapshot.Rollback",
	}
}

func newInstall(s *Streams) *cobra.Command {
	o := installOptions{}
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Set tend up on this node",
		Long: `Set tend up on this node, as root: make a role with the fewest privileges, a user and a
token; write /etc/tend/tend.yaml and the token's file; and, where that is wanted, enable the
units. All of it is shown first, each command as a person would type it, and done only after
a yes. What is there already is left: a second run has nothing to do. On a terminal it asks
for what the flags do not say. At the end tend doctor proves it.
The role is the smallest for a spec (--spec, or --source where that is a folder with one);
without a spec it is one that does for most. A configuration that exists is never changed.` + exits(
			"0  done, or there was nothing to do",
			"1  error, or tend doctor found one",
			"2  --dry-run, or no consent: there is something to do",
			"3  tend doctor: something is missing that blocks a part of the work"),
		Example: `  tend install
  tend install --dry-run --source /etc/tend/spec
  tend install --source https://git.example.com/anna/home.git --branch main --spec ./home --enable --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return setUp(cmd, s, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.settings.Source, "source", "", "where specs come from: a `folder`, or the address of a git repository")
	f.StringVar(&o.settings.Branch, "branch", "", "`branch` of the repository (default: its own)")
	f.StringVar(&o.settings.Path, "path", "", "`folder` within the repository")
	f.StringVar(&o.settings.Lane, "lane", "", "who does what only root may: `off`, or helper (default off)")
	f.StringVar(&o.settings.Endpoint, "endpoint", "", "`host` or URL of a node (default: this node, trusted by the cluster's own authority)")
	f.StringVar(&o.settings.Fingerprint, "fingerprint", "", "SHA-256 `fingerprint` of the node's certificate")
	f.StringVar(&o.settings.CAFile, "ca-file", "", "`file` with the authorities to trust")
	f.StringVar(&o.spec, "spec", "", "`folder` or file with the spec that the role is made for")
	f.StringVar(&o.user, "user", roleUser, "`user` of Proxmox that is made, in its own realm")
	f.StringVar(&o.token, "token-name", roleToken, "`name` of the token")
	f.BoolVar(&o.renew, "renew-token", false, "make the token anew where its file is lost")
	f.BoolVar(&o.enable, "enable", false, "enable and start the units")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be done, and do nothing")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&o.bare, "no-doctor", false, "do not run tend doctor at the end")
	return cmd
}

// setUp asks, looks, shows, and does it after a yes.
func setUp(cmd *cobra.Command, s *Streams, o installOptions) error {
	node, root, err := s.installNode()
	if err != nil {
		return fmt.Errorf("tend install %w", err)
	}
	q := newQuestions(s)
	asks := s.InTerminal && !o.yes && !o.dryRun
	if err := o.complete(q, asks, root); err != nil {
		return err
	}
	roles, err := o.roles(s)
	if err != nil {
		return err
	}
	wish := install.Options{
		Root: root, Roles: roles, User: o.user, Token: o.token, RenewToken: o.renew, Settings: o.settings, Enable: o.enable,
	}
	steps, err := install.Look(cmd.Context(), node, wish)
	if err != nil {
		return err
	}
	if err := (view.Install{Steps: steps}).Text(s.Out, s.style()); err != nil {
		return err
	}
	switch {
	case !install.Open(steps):
		return nil
	case o.dryRun:
		return exit(exitPending)
	case !o.yes && !asks:
		return errors.New("nobody can be asked, as the standard input is no terminal: look at what would be done, then give --yes")
	case !o.yes:
		if ok, err := q.yes("\nDo this? [y/N] "); err != nil || !ok {
			return cmp.Or(err, error(exit(exitPending)))
		}
	}
	tell := func(step install.Step) { _ = view.Installing(s.Err, step) }
	if err := install.Do(cmd.Context(), node, wish, steps, tell); err != nil {
		return err
	}
	if o.bare {
		return nil
	}
	return s.prove(cmd.Context(), root)
}

// complete fills in what the flags leave open: from the configuration that exists, from answers, or by default.
func (o *installOptions) complete(q *questions, asks bool, root string) error {
	file := filepath.Join(root, "/", install.ConfigFile)
	if _, err := os.Stat(file); err == nil {
		c, err := config.Load(config.Sources{File: file, Env: func(string) string { return "" }})
		if c == nil {
			return err
		}
		o.settings.Lane = cmp.Or(string(c.Lane), "off")
		o.settings.Source = cmp.Or(o.settings.Source, c.Agent.Source.Git, c.Agent.Source.Dir)
	} else if asks {
		q.fill(&o.settings.Source, "Where do specs come from, a folder or the address of a git repository?", "/etc/tend/spec")
		if o.settings.IsGit() {
			q.fill(&o.settings.Branch, "Which branch?", "main")
			q.fill(&o.spec, "A folder here with the spec, for the smallest role (nothing: a role for most specs)?", "")
		}
		q.fill(&o.settings.Lane, "Who does what only root may, off or helper?", "off")
		if !o.enable {
			ok, err := q.yes("Enable and start tend at the end? [y/N] ")
			o.enable = ok && err == nil
		}
	}
	o.settings.Lane = cmp.Or(o.settings.Lane, "off")
	if info, err := os.Stat(o.settings.Source); err == nil && info.IsDir() { // a folder here, and no address
		if o.settings.Source, err = filepath.Abs(o.settings.Source); err != nil {
			return err
		}
	}
	switch {
	case o.settings.Source == "":
		return errors.New("where specs come from is not said: --source, with a folder or the address of a git repository")
	case o.settings.Lane != "off" && o.settings.Lane != "helper":
		return fmt.Errorf("--lane %q is none of off, helper: tend install sets up nothing that runs as root itself", o.settings.Lane)
	}
	return errors.Join(q.err, hidden(o.settings.Source))
}

// hidden refuses a folder that the agent's unit does not see (ProtectHome=).
func hidden(folder string) error {
	for _, place := range []string{"/home", "/root", "/run/user"} {
		if rel, err := filepath.Rel(place, folder); err == nil && filepath.IsAbs(folder) && filepath.IsLocal(rel) {
			return fmt.Errorf("the agent does not see %s, where %s is: put the specs elsewhere, as in /etc/tend/spec or /srv", place, folder)
		}
	}
	return nil
}

// roles are the smallest ones for the spec, if there is one, or one for most specs.
func (o *installOptions) roles(s *Streams) ([]install.Role, error) {
	path := o.spec
	if path == "" && !o.settings.IsGit() {
		if _, err := load.Path(o.settings.Source, load.Options{}); err == nil {
			path = o.settings.Source
		}
	}
	if path == "" {
		return []install.Role{{Name: "Tend", Privileges: generalPrivileges(), Paths: []string{"/"}}}, nil
	}
	want, err := loadSpec(s, path)
	if err != nil {
		return nil, err
	}
	var out []install.Role
	for _, e := range (view.Role{Grants: plan.Role(want), User: o.user, Token: o.token}).Entries() {
		out = append(out, install.Role{Name: e.Name, Privileges: e.Privileges, Paths: e.Paths})
	}
	return out, nil
}

// prove runs tend doctor with what was written.
func (s *Streams) prove(ctx context.Context, root string) error {
	then, env := *s, s.Env
	then.Env = func(key string) string {
		switch key {
		case "TEND_CONFIG":
			return filepath.Join(root, "/", install.ConfigFile)
		case "TEND_TOKEN_FILE":
			return filepath.Join(root, "/", install.TokenFile)
		case "TEND_TOKEN", "TEND_ENDPOINT", "TEND_FINGERPRINT", "TEND_CA_FILE", "TEND_INSECURE", "TEND_LANE":
			return ""
		}
		return env(key)
	}
	cmd := newDoctor(&then)
	cmd.SetArgs([]string{})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	return cmd.ExecuteContext(ctx)
}

// installNode is this machine, unless the streams say otherwise, and the directory that its files are below.
func (s *Streams) installNode() (install.Node, string, error) {
	if s.Install != nil {
		n, root := s.Install()
		return n, root, nil
	}
	h, err := thisHost()
	return h, "", err
}
