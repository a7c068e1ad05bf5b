// Package lane carries out requests of the closed list of package privileged: it looks, runs, and looks again.
//
// The sequence of each request stands here once, over a [Backend]: the node itself (package host) or the simulator's
// root backend. So what is tested on the simulator are the very commands and edits that a node gets. The package
// decides nothing and is reached by no network: whoever calls it has decided, and it checks the rules of the list
// again.
package lane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/proxmox/privileged"
)

// Commands runs executables on a node as root.
type Commands interface {
	// Node is the name of the node.
	Node() string
	// Run runs a vector of arguments, whose first word is an absolute path, with the input and a clean environment.
	// What it prints is cut off at [privileged.MaxOutput]. An exit status other than 0 is no error. When ctx ends the
	// command is told to end, and killed if it does not.
	Run(ctx context.Context, argv []string, stdin []byte) (stdout, stderr []byte, exit int, err error)
}

// Files reads and replaces files of a node as root. Paths are absolute, and one with a symbolic link in it is refused.
type Files interface {
	// ReadFile returns a file and its mode; the error of one that is absent matches [fs.ErrNotExist].
	ReadFile(path string) ([]byte, fs.FileMode, error)
	// ReplaceFile puts data in place of a file whole or not at all, whatever happens in between. Where old is not nil,
	// it is refused with an error that matches [proxmox.ErrModified] unless the file holds old at the last moment.
	// A directory on the way in which others than root can write is refused.
	ReplaceFile(path string, old, data []byte, mode fs.FileMode) error
	// RemoveFile removes a file; one that is absent is no error.
	RemoveFile(path string) error
}

// Locks takes locks of files as Proxmox does.
type Locks interface {
	// Lock locks a file, which is made if it is absent, against all others that lock it, and waits for that at most
	// so long; then the error matches [proxmox.ErrBusy].
	Lock(ctx context.Context, path string, wait time.Duration) (unlock func(), err error)
}

// A Backend is where requests are carried out.
type Backend interface {
	Commands
	Files
	Locks
	Places
}

// A Lane carries out requests on one node. Its caller sees to it that there is one at a time for each container.
type Lane struct{ Backend Backend }

// ErrWrongNode is the error of a request for another node than this.
var ErrWrongNode = errors.New("root work for a container is done on the node that has it")

// ErrUnproven is the error of an unlock whose lock may be held by a task that lives.
var ErrUnproven = errors.New("the lock may be held by a task that runs")

// Do carries out one request: it is validated, what must be so before is checked, the command is run or the file
// edited, and what must be so afterwards is read back.
//
// What Proxmox refuses is an [*proxmox.APIError], a task that failed a [*proxmox.TaskError], of the same classes as
// over the API. After any error the configuration is to be read again.
func (l Lane) Do(ctx context.Context, r privileged.Request) (privileged.Result, error) {
	if err := r.Validate(); err != nil {
		return privileged.Result{}, fmt.Errorf("refuse to %v: %w", r, err)
	}
	if node := r.Target().Node; node != l.Backend.Node() {
		return privileged.Result{}, fmt.Errorf("%v: this node is %s: %w", r, l.Backend.Node(), ErrWrongNode)
	}
	result, err := l.dispatch(ctx, r)
	if err != nil {
		return result, fmt.Errorf("%v: %w", r, err)
	}
	return result, nil
}

func (l Lane) dispatch(ctx context.Context, r privileged.Request) (privileged.Result, error) {
	switch r := r.(type) {
	case privileged.Create:
		return l.create(ctx, r)
	case privileged.SetConfig:
		return l.setConfig(ctx, r)
	case privileged.SetRaw:
		return l.setRaw(ctx, r)
	case privileged.Unlock:
		return l.unlock(ctx, r)
	case privileged.PutSnippet:
		return l.putSnippet(ctx, r)
	case privileged.ReadHealth:
		return l.readHealth(ctx, r)
	case privileged.Exec:
		return l.exec(ctx, r)
	case privileged.Mount:
		return l.mount(ctx, r)
	case privileged.ReadMounts:
		return l.readMounts(ctx, r)
	case privileged.ReadSnippets:
		return l.readSnippets(ctx, r)
	case privileged.Lead:
		return l.lead(r)
	case privileged.KeepLead:
		return l.keepLead(r)
	}
	return privileged.Result{}, errors.New("this row is not carried out yet")
}

// A reply is what a command printed.
type reply struct {
	stdout, stderr []byte
	exit           int
}

// run runs a command within its time.
func (l Lane) run(ctx context.Context, c privileged.Command) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	stdout, stderr, exit, err := l.Backend.Run(ctx, c.Argv, []byte(c.Stdin.Reveal()))
	if err != nil {
		return reply{}, fmt.Errorf("run %s: %w", c.Argv[0], err)
	}
	return reply{stdout, stderr, exit}, nil
}

// must runs a command that must end with exit status 0.
func (l Lane) must(ctx context.Context, c privileged.Command) (reply, error) {
	out, err := l.run(ctx, c)
	if err == nil {
		err = privileged.Refused(c, out.exit, out.stderr)
	}
	return out, err
}

// config reads and parses the configuration file of a container.
func (l Lane) config(ref proxmox.Ref) ([]byte, *conffile.File, error) {
	data, _, err := l.Backend.ReadFile(privileged.ConfigFile(ref))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("container %v: %w", ref, proxmox.ErrNoGuest)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration of %v: %w", ref, err)
	}
	return data, conffile.Parse(data), nil
}

// setConfig changes settings with "pct set".
func (l Lane) setConfig(ctx context.Context, r privileged.SetConfig) (privileged.Result, error) {
	_, file, err := l.config(r.Ref)
	if err != nil {
		return privileged.Result{}, err
	}
	have := file.Config()
	if have.Digest != r.Update.Digest { // else the rule would be asked about another file than the one that is changed
		return privileged.Result{}, fmt.Errorf("container %v: %w", r.Ref, proxmox.ErrModified)
	}
	if err := privileged.CheckNeeded(r, have); err != nil {
		return privileged.Result{}, err
	}
	out, err := l.must(ctx, privileged.Commands(r)[0])
	result := privileged.Result{Changed: true, Notes: privileged.Warnings(out.stderr)}
	if err != nil {
		return result, err
	}
	_, file, err = l.config(r.Ref)
	if err != nil {
		return result, err
	}
	return result, settled(r.Update, file.Config())
}

// settled says what of a change does not stand in the configuration, in force or pending.
func settled(u proxmox.Update, have proxmox.Config) error {
	var errs []error
	for _, key := range u.Set.Keys() {
		if have.Current[key] == "" && have.Pending[key] == "" {
			errs = append(errs, fmt.Errorf("%s was set and is not there", key))
		}
	}
	for _, key := range u.Delete {
		if _, there := have.Current[key]; there && !have.Deleted[key] {
			errs = append(errs, fmt.Errorf("%s was deleted and is still there", key))
		}
	}
	return errors.Join(errs...)
}

// exec runs a command in a container that runs.
func (l Lane) exec(ctx context.Context, r privileged.Exec) (privileged.Result, error) {
	status, err := l.must(ctx, privileged.StatusCommand(r.Ref.ID))
	if err != nil {
		return privileged.Result{}, err
	}
	if string(status.stdout) != "status: running\n" {
		return privileged.Result{}, errors.New("it does not run")
	}
	out, err := l.run(ctx, privileged.Commands(r)[0])
	return privileged.Result{Changed: err == nil, Exit: out.exit, Output: out.stdout, Errors: out.stderr}, err
}

// setRaw edits the configuration file under Proxmox's own lock.
func (l Lane) setRaw(ctx context.Context, r privileged.SetRaw) (privileged.Result, error) {
	unlock, err := l.Backend.Lock(ctx, privileged.LockFile(r.Ref.ID), privileged.LockWait)
	if err != nil {
		return privileged.Result{}, err
	}
	defer unlock()
	old, _, err := l.config(r.Ref)
	if err != nil {
		return privileged.Result{}, err
	}
	text, err := privileged.Edit(old, r.Lines, r.Digest)
	if err != nil || slices.Equal(text, old) {
		return privileged.Result{}, err
	}
	if err := l.Backend.ReplaceFile(privileged.ConfigFile(r.Ref), old, text, configMode); err != nil {
		return privileged.Result{}, fmt.Errorf("write configuration of %v: %w", r.Ref, err)
	}
	now, _, err := l.config(r.Ref)
	if err == nil && !slices.Equal(now, text) {
		err = fmt.Errorf("somebody wrote the file right after: %w", proxmox.ErrModified)
	}
	return privileged.Result{Changed: true}, err
}

// configMode is what a file in /etc/pve gets whatever it asks for (pve-cluster pmxcfs.c).
const configMode = 0o640
