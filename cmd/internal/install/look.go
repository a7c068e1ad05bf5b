package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox/privileged"
)

// A looker finds what of the wishes is there.
type looker struct {
	ctx context.Context
	n   Node
	o   Options
}

// roles compares the roles that there are with those that are wanted: the same privileges, no more and no fewer.
func (l looker) roles() ([]Step, error) {
	type row struct{ RoleID, Privs string }
	have, err := ask[row](l.ctx, l.n, privileged.ListRoles())
	if err != nil {
		return nil, err
	}
	var out []Step
	for _, want := range l.o.Roles {
		s := Step{What: "role " + want.Name}
		i := slices.IndexFunc(have, func(r row) bool { return r.RoleID == want.Name })
		switch {
		case i < 0:
			s.Command, err = privileged.AddRole(want.Name, want.Privileges)
		case sameWords(have[i].Privs, want.Privileges):
			s.Done = true
		default:
			s.Note = "it has other privileges now"
			s.Command, err = privileged.ChangeRole(want.Name, want.Privileges)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// sameWords compares a list with commas, in any order.
func sameWords(list string, want []string) bool {
	have := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	slices.Sort(have)
	return slices.Equal(have, slices.Sorted(slices.Values(want)))
}

// access finds the user, the token with its file, and the entries of both.
func (l looker) access() ([]Step, error) {
	user, err := l.user()
	if err != nil {
		return nil, err
	}
	tokens, err := l.token(user.Done)
	if err != nil {
		return nil, err
	}
	entries, err := l.entries()
	return slices.Concat([]Step{user}, tokens, entries), err
}

func (l looker) user() (Step, error) {
	type row struct{ UserID string }
	have, err := ask[row](l.ctx, l.n, privileged.ListUsers())
	if err != nil {
		return Step{}, err
	}
	s := Step{What: "user " + l.o.User, Done: slices.Contains(have, row{l.o.User})}
	if !s.Done {
		s.Command, err = privileged.AddUser(l.o.User)
	}
	return s, err
}

// token finds the token and its file. A secret is shown once, when the token is made, so that one without its file can
// only be made anew, which whoever else uses it will notice.
func (l looker) token(hasUser bool) ([]Step, error) {
	type row struct{ TokenID string }
	exists := false
	if hasUser {
		list, err := privileged.ListTokens(l.o.User)
		if err != nil {
			return nil, err
		}
		have, err := ask[row](l.ctx, l.n, list)
		if err != nil {
			return nil, err
		}
		exists = slices.Contains(have, row{l.o.Token})
	}
	_, err := os.Stat(l.path(TokenFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	hasFile := err == nil
	name := l.o.User + "!" + l.o.Token
	add := Step{What: "token " + name, File: &File{Path: TokenFile, Mode: 0o600}, Note: "its secret goes into " + TokenFile + ", mode 0600"}
	switch {
	case exists && hasFile && !l.o.RenewToken:
		return []Step{{What: add.What, Done: true}}, nil
	case exists && !l.o.RenewToken:
		return nil, fmt.Errorf("the token %s exists and %s does not: Proxmox shows a secret only once; make the token anew with --renew-token, "+
			"or another one with --token", name, TokenFile)
	case hasFile && !exists && !l.o.RenewToken:
		return nil, fmt.Errorf("%s exists and the token %s does not: is it the secret of another one? Put it aside, or write over it with --renew-token",
			TokenFile, name)
	}
	add.Command, err = privileged.AddToken(l.o.User, l.o.Token)
	if err != nil || !exists {
		return []Step{add}, err
	}
	remove, err := privileged.RemoveToken(l.o.User, l.o.Token)
	return []Step{{What: "old token " + name, Command: remove, Note: "whoever uses it cannot any more"}, add}, err
}

func (l looker) entries() ([]Step, error) {
	type row struct{ Path, RoleID, Type, UGID string }
	have, err := ask[row](l.ctx, l.n, privileged.ListAccess())
	if err != nil {
		return nil, err
	}
	var out []Step
	for _, r := range l.o.Roles {
		for _, path := range r.Paths {
			s := Step{What: fmt.Sprintf("role %s on %s", r.Name, path)}
			s.Done = slices.Contains(have, row{path, r.Name, "user", l.o.User}) &&
				slices.Contains(have, row{path, r.Name, "token", l.o.User + "!" + l.o.Token})
			if !s.Done {
				s.Command, err = privileged.Allow(path, r.Name, l.o.User, l.o.Token)
			}
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// files finds the configuration, and the certificate of the cluster's authority, which the agent's user cannot read where
// Proxmox keeps it.
func (l looker) files() ([]Step, error) {
	var out []Step
	config := File{Path: ConfigFile, Mode: 0o644, Text: l.o.Settings.text()}
	have, err := os.ReadFile(l.path(ConfigFile))
	switch {
	case err == nil:
		s := Step{What: "configuration " + ConfigFile, Done: true}
		if string(have) != config.Text {
			s.Note = "it stays as it is; what these settings would be is shown by --dry-run where there is no such file"
		}
		return []Step{s}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if l.o.Settings.ownAuthority() {
		cert, err := os.ReadFile(l.path("/etc/pve/pve-root-ca.pem"))
		if err != nil {
			return nil, fmt.Errorf("read the certificate of the cluster's authority: %w", err)
		}
		old, _ := os.ReadFile(l.path(CAFile))
		out = append(out, Step{
			What: "authority " + CAFile, Done: string(old) == string(cert),
			Note: "a copy of /etc/pve/pve-root-ca.pem, which only root may read there",
			File: &File{Path: CAFile, Mode: 0o644, Text: string(cert)},
		})
	}
	return append(out, Step{What: "configuration " + ConfigFile, File: &config}), nil
}

// units finds which of the units that are wanted are not enabled.
func (l looker) units() ([]Step, error) {
	if !l.o.Enable {
		return nil, nil
	}
	var out []Step
	for _, unit := range privileged.Units() {
		if unit == "tend-helper.socket" && l.o.Settings.Lane != "helper" {
			continue
		}
		look, err := privileged.IsEnabled(unit)
		if err != nil {
			return nil, err
		}
		stdout, _, _, err := l.n.Setup(l.ctx, look) // its exit code says the same as its output
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", look, err)
		}
		s := Step{What: "unit " + unit, Done: strings.TrimSpace(string(stdout)) == "enabled"}
		if !s.Done {
			s.Command, err = privileged.Enable(unit)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (l looker) path(p string) string { return filepath.Join(l.o.Root, "/", p) }
