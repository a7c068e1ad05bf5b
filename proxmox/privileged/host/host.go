// Package host is the node itself, as root: it runs the executables of the closed list and reads, replaces and locks
// files.
//
// It is the one package that runs commands. It runs no shell and nothing that stands on no row, follows no symbolic
// link, and writes into no directory that others than root can write to. What is run and written, and in which order,
// is decided by package lane.
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/felhom/tend/proxmox/privileged"
)

// Options are how a host is reached. The zero value is the machine that the program runs on.
type Options struct {
	Root string // directory that all paths are below; empty: /
	Node string // the node's name; empty: the first label of the machine's name, as Proxmox has it
}

// A Host is the node. It is safe for use by many goroutines.
type Host struct {
	root, node string
	// fault is asked at each point of a replacement what goes wrong there, in tests; nil: nothing.
	fault func(point string) error
	// mounted reports whether a file system in user space, as pmxcfs is one, is mounted at a path.
	mounted func(path string) bool
}

// New makes a host. Its error is that the machine has no name.
func New(o Options) (*Host, error) {
	h := &Host{root: o.Root, node: o.Node, mounted: isFUSE}
	if h.root == "" {
		h.root = "/"
	}
	if h.node == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("find the name of this node: %w", err)
		}
		h.node, _, _ = strings.Cut(name, ".") // pve-common INotify.pm, nodename
	}
	return h, nil
}

// Node is the name of the node.
func (h *Host) Node() string { return h.node }

// environment is all that a command sees. Proxmox's tools decode their arguments by the locale (pve-common
// JSONSchema.pm, get_options), and specs are UTF-8.
var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root"}

// grace is how long a command may take to end after it was told to, before it is killed: Proxmox gives its tasks 5 s
// (pve-common RESTEnvironment.pm, kill_process_group).
const grace = 15 * time.Second

// ErrNotListed is the error of an executable or a file that stands on no row.
var ErrNotListed = errors.New("stands on no row of the privileged exceptions")

// Run runs an executable of the closed list (see lane.Commands).
func (h *Host) Run(ctx context.Context, argv []string, stdin []byte) (stdout, stderr []byte, exit int, err error) {
	if len(argv) == 0 || !listed(argv[0]) {
		return nil, nil, 0, fmt.Errorf("%.80q %w", strings.Join(argv[:min(1, len(argv))], ""), ErrNotListed)
	}
	return h.run(ctx, argv, stdin)
}

// Setup runs a command of tend install's, which stands on no row. The lane knows nothing of it.
func (h *Host) Setup(ctx context.Context, c privileged.Setup) (stdout, stderr []byte, exit int, err error) {
	argv := c.Argv()
	if len(argv) == 0 {
		return nil, nil, 0, ErrNotListed
	}
	return h.run(ctx, argv, nil)
}

func (h *Host) run(ctx context.Context, argv []string, stdin []byte) (stdout, stderr []byte, exit int, err error) {
	program := filepath.Join(h.root, argv[0])
	if err := ours(program); err != nil {
		return nil, nil, 0, err
	}
	var out, errs bounded
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.Env, cmd.Dir = environment, "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	err = cmd.Run()
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) && ended.ExitCode() >= 0 && ctx.Err() == nil {
		err = nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("it was ended before it was done: %w", ctx.Err())
	}
	if cmd.ProcessState != nil {
		exit = cmd.ProcessState.ExitCode()
	}
	return out.kept.Bytes(), errs.kept.Bytes(), exit, err
}

// listed reports whether a row names an executable.
func listed(program string) bool {
	return slices.ContainsFunc(privileged.Exceptions(), func(e privileged.Exception) bool { return slices.Contains(e.Runs, program) })
}

// ours refuses an executable that others could have put there. Symbolic links are fine here: /sbin is one, and all of
// them belong to the system's packages.
func ours(program string) error {
	info, err := os.Stat(program)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 || !byRoot(info) {
		return fmt.Errorf("%s can be changed by others than root: %w", program, errUnsafe)
	}
	return nil
}

// bounded keeps the beginning of what is written to it, and takes the rest in silence.
type bounded struct{ kept bytes.Buffer }

// Write never fails and never keeps more than fits.
func (b *bounded) Write(p []byte) (int, error) {
	b.kept.Write(p[:min(len(p), privileged.MaxOutput-b.kept.Len())])
	return len(p), nil
}
