package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// A secretSource reads what a spec refers to.
type secretSource = func(context.Context, spec.SecretRef) (proxmox.Secret, error)

// secretsOf finds the secrets that a spec refers to: files, from the working folder where they have no absolute
// path, and variables of the environment.
func secretsOf(s *Streams) secretSource {
	return func(_ context.Context, ref spec.SecretRef) (proxmox.Secret, error) {
		if ref.Env != "" {
			v := s.Env(ref.Env)
			if v == "" {
				return proxmox.Secret{}, fmt.Errorf("the variable %s is not set", ref.Env)
			}
			return proxmox.NewSecret(v), nil
		}
		text, err := os.ReadFile(ref.File)
		if err != nil {
			return proxmox.Secret{}, err
		}
		return proxmox.NewSecret(strings.TrimRight(string(text), "\r\n")), nil
	}
}

// minPassword is how long a password must be (pve-container API2/LXC.pm, create_vm).
const minPassword = 5

// checkPasswords reads the passwords that a plan needs and reports all that cannot be had or that Proxmox would
// refuse, so that nothing is begun which must fail halfway.
func checkPasswords(ctx context.Context, read secretSource, p *plan.Plan) error {
	var errs []error
	for _, l := range p.Lanes {
		for _, s := range l.Steps {
			op, ok := s.Op.(plan.CreateContainer)
			if !ok || op.Password.IsZero() {
				continue
			}
			if err := checkPassword(ctx, read, op.Password); err != nil {
				errs = append(errs, fmt.Errorf("%d %s: read the password: %w", l.Ref.ID, l.Name, err))
			}
		}
	}
	if len(errs) > 0 {
		errs = append(errs, errors.New("nothing was changed"))
	}
	return errors.Join(errs...)
}

func checkPassword(ctx context.Context, read secretSource, ref spec.SecretRef) error {
	password, err := read(ctx, ref)
	if err != nil {
		return err
	}
	from := "the variable " + ref.Env
	if ref.Env == "" {
		from = ref.File
	}
	switch {
	case password.IsZero():
		return fmt.Errorf("%s is empty", from)
	case utf8.RuneCountInString(password.Reveal()) < minPassword:
		return fmt.Errorf("%s holds fewer than %d characters, which Proxmox refuses", from, minPassword)
	}
	return nil
}
