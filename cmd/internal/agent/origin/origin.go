// Package origin makes the source of specs that a configuration describes: it reads the files of keys, passwords and
// signers that the source itself does not, and connects to nothing.
package origin

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/dir"
	"github.com/felhom/tend/reconcile/source/git"
	"github.com/felhom/tend/reconcile/source/git/sign"
	"github.com/felhom/tend/reconcile/source/hook"
)

// Secrets reads a file that holds a secret.
type Secrets func(path string) (proxmox.Secret, error)

// An Origin is a source, and what a report says of it.
type Origin struct {
	Source source.Source
	Watch  source.Watcher // nil: it notices nothing by itself
	Report report.Source  // of which kind it is, and whether it must be signed

	ref git.Ref
	url string // empty for a folder
}

// Open makes the source.
func Open(c config.Source, secrets Secrets) (*Origin, error) {
	if c.Git == "" {
		path, err := filepath.Abs(c.Dir)
		if err != nil {
			return nil, err
		}
		s, err := dir.New(dir.Options{Path: path})
		if err != nil {
			return nil, err
		}
		return &Origin{Source: s, Watch: s, Report: report.Source{Kind: "folder", Place: s.String()}}, nil
	}
	o := git.Options{
		URL: c.Git, Ref: git.Ref{Branch: c.Branch, Tag: c.Tag, Semver: c.Semver}, Path: c.Path,
		AllowRewrite: c.AllowRewrite, Limits: git.Limits{Time: time.Duration(c.Timeout)},
	}
	err := errors.Join(authorize(&o, c.Auth, secrets), trust(&o, c), demand(&o, c.Signers))
	if err != nil {
		return nil, err
	}
	s, err := git.New(o)
	if err != nil {
		return nil, err
	}
	return &Origin{
		Source: s, Report: report.Source{Kind: "git", Place: s.String(), Signed: o.Signers != nil}, ref: o.Ref, url: c.Git,
	}, nil
}

// authorize reads who asks.
func authorize(o *git.Options, a config.Auth, secrets Secrets) error {
	o.Auth.User, o.Auth.KnownHosts = a.User, a.KnownHosts
	var faults []error
	for _, f := range []struct {
		path, what string
		to         *proxmox.Secret
	}{
		{a.PasswordFile, "password", &o.Auth.Password},
		{a.BearerFile, "token", &o.Auth.Bearer},
		{a.KeyFile, "key", &o.Auth.Key},
		{a.PassphraseFile, "passphrase of the key", &o.Auth.Passphrase},
	} {
		if f.path == "" {
			continue
		}
		text, err := secrets(f.path)
		if err != nil {
			faults = append(faults, fmt.Errorf("read the %s of the source: %w", f.what, err))
		}
		*f.to = text
	}
	return errors.Join(faults...)
}

// trust reads whom to trust for https.
func trust(o *git.Options, c config.Source) error {
	if c.CAFile == "" {
		return nil
	}
	text, err := os.ReadFile(c.CAFile)
	if err != nil {
		return fmt.Errorf("read the certificates of the source: %w", err)
	}
	o.CAs = x509.NewCertPool()
	if !o.CAs.AppendCertsFromPEM(text) {
		return fmt.Errorf("read the certificates of the source: %s holds none in PEM", c.CAFile)
	}
	return nil
}

// demand reads who may sign.
func demand(o *git.Options, s config.Signers) error {
	if s.AllowedFile == "" && s.KeyRing == "" {
		if s.Signed != "" {
			return fmt.Errorf("signatures are asked for (signed: %s), and nobody may sign: write allowedSignersFile or keyRing", s.Signed)
		}
		return nil
	}
	signers := &sign.Signers{}
	var faults []error
	for _, f := range []struct {
		path string
		add  func([]byte) error
	}{
		{s.AllowedFile, func(text []byte) error { return signers.AddAllowedSigners(text, time.Local) }},
		{s.KeyRing, signers.AddKeyRing},
	} {
		if f.path == "" {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err == nil {
			err = f.add(text)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("read who may sign: %s: %w", f.path, err))
		}
	}
	if len(faults) == 0 && signers.Empty() {
		faults = append(faults, errors.New("read who may sign: the files name nobody"))
	}
	o.Signers = signers
	o.Signed = map[config.Signed]git.Object{config.SignedCommit: git.Commit, config.SignedTag: git.Tag, config.SignedBoth: git.Both}[s.Signed]
	return errors.Join(faults...)
}

// Hooks takes the webhooks of forges with a secret, and calls for a look where one is about the source. That one is about
// something else is logged, since whoever set it up at the forge sees an answer as if all were well.
func (o *Origin) Hooks(secret proxmox.Secret, call func(), log *slog.Logger) http.Handler {
	r := hook.NewReceiver(secret)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		event, err := r.Receive(req)
		if err != nil {
			http.Error(w, err.Error(), hook.Status(err))
			return
		}
		switch {
		case o.url == "" || !event.Concerns(o.url):
			log.Info("a webhook is about another repository, and nothing comes of it",
				slog.String("repository", named(event)), slog.String("event", quoted(event.Name)), slog.String("source", o.Report.Place))
		case event.Pushed() && o.ref.Concerns(event.Ref):
			call()
			w.WriteHeader(http.StatusAccepted)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// named is the repository that a webhook is about.
func named(e hook.Event) string {
	if len(e.Paths) == 0 {
		return "none"
	}
	return quoted(e.Paths[0])
}

// quoted is what somebody else has sent, for the log: in quotes, and no longer than a line.
func quoted(text string) string {
	const most = 100
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return strconv.Quote(text)
}
