// Package install gives tend its way to Proxmox on a node: a role, a user and a token, their entries in the access
// list, the configuration, and the units. It looks first, says what it would do, and does what is missing; what is
// there already is left. It asks nobody, takes nothing away but a token whose secret is lost (where that is wanted), and
// never overwrites a configuration.
package install

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

// A Node is where commands of setup are run, as root.
type Node interface {
	Setup(ctx context.Context, c privileged.Setup) (stdout, stderr []byte, exit int, err error)
}

// A Role is a set of privileges and the paths of the access list on which the token gets it.
type Role struct {
	Name       string
	Privileges []string
	Paths      []string
}

// Options are what is wanted. Root is the directory that the files are below; empty: /.
type Options struct {
	Root       string
	Roles      []Role
	User       string // "tend@pve"
	Token      string // "apply"
	RenewToken bool   // make the token anew where its file is lost
	Settings   Settings
	Enable     bool // the units
}

// The files that are written.
const (
	ConfigFile = "/etc/tend/tend.yaml"
	TokenFile  = "/etc/tend/token"
	CAFile     = "/etc/tend/pve-root-ca.pem"
)

// A Step is one thing that is done, or that is there already.
type Step struct {
	What    string // "role TendGuests"
	Done    bool   // it is as it should be
	Note    string // what a person should know of it, besides
	Command privileged.Setup
	File    *File
}

// A File is one that is written. Where the step has a command, too, the file is the secret that it prints.
type File struct {
	Path string
	Mode os.FileMode
	Text string
}

// Look says what there is to do, in order; it changes nothing.
func Look(ctx context.Context, n Node, o Options) ([]Step, error) {
	l := looker{ctx, n, o}
	var out []Step
	for _, part := range []func() ([]Step, error){l.roles, l.access, l.files, l.units} {
		steps, err := part()
		if err != nil {
			return nil, err
		}
		out = append(out, steps...)
	}
	return out, nil
}

// Open reports whether a step is still to be done.
func Open(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return !s.Done })
}

// Do carries out what is not done yet, and tells of each step before it is begun. It ends at the first that goes wrong; a
// second run goes on there.
func Do(ctx context.Context, n Node, o Options, steps []Step, tell func(Step)) error {
	for _, s := range steps {
		if s.Done {
			continue
		}
		tell(s)
		if err := o.do(ctx, n, s); err != nil {
			return fmt.Errorf("%s: %w", s.What, err)
		}
	}
	return nil
}

func (o Options) do(ctx context.Context, n Node, s Step) error {
	if len(s.Command.Argv()) == 0 {
		return o.write(*s.File, []byte(s.File.Text))
	}
	out, err := run(ctx, n, s.Command)
	if err != nil || s.File == nil {
		return err
	}
	var made struct {
		Value string `json:"value"`
	}
	if err := json.Unmarshal(out, &made); err != nil || made.Value == "" {
		return errors.New("pveum printed no secret; remove the token (pveum user token remove " + o.User + " " + o.Token + ") and try again")
	}
	secret := proxmox.NewSecret(o.User + "!" + o.Token + "=" + made.Value + "\n")
	if err := o.write(*s.File, []byte(secret.Reveal())); err != nil {
		return fmt.Errorf("the token was made, and its secret is lost, since %w; try again with --renew-token", err)
	}
	return nil
}

// write puts a file in place whole, with its mode from the beginning.
func (o Options) write(f File, text []byte) error {
	path := filepath.Join(o.Root, "/", f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".tend-") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Chmod(f.Mode), temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// run runs a command that must end well.
func run(ctx context.Context, n Node, c privileged.Setup) ([]byte, error) {
	stdout, stderr, exit, err := n.Setup(ctx, c)
	switch {
	case err != nil:
		return nil, fmt.Errorf("run %s: %w", c, err)
	case exit != 0:
		return nil, fmt.Errorf("%s ended with %d: %s", c, exit, strings.TrimSpace(string(bytes.TrimSpace(stderr))))
	}
	return stdout, nil
}

// ask runs a command that prints JSON.
func ask[T any](ctx context.Context, n Node, c privileged.Setup) ([]T, error) {
	out, err := run(ctx, n, c)
	if err != nil {
		return nil, err
	}
	var rows []T
	if err := json.Unmarshal(out, &rows); err != nil {
		return nil, fmt.Errorf("read what %s prints: %w", c, err)
	}
	return rows, nil
}
