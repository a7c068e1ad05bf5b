package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

// ListDir names what is in a directory (see lane.Places).
func (h *Host) ListDir(name string) ([]string, error) {
	dir, base, err := h.directory(name, false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	here, err := enter(dir, base, name, false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = here.Close() }()
	f, err := here.Open(".")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, unwrapped(err))
	}
	defer func() { _ = f.Close() }()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, unwrapped(err))
	}
	slices.Sort(names)
	return names, nil
}

// parentMode is that of the directories that a new one lies in.
const parentMode = 0o755

// MakeDir makes a directory (see lane.Places). None on the way may be writable by others than root.
func (h *Host) MakeDir(name string, mode fs.FileMode) (made bool, err error) {
	if err := h.clustered(name); err != nil {
		return false, err
	}
	steps := strings.Split(strings.TrimPrefix(name, "/"), "/")
	for i, step := range steps {
		at := "/" + strings.Join(steps[:i+1], "/")
		last := i == len(steps)-1
		want := fs.FileMode(parentMode)
		if last {
			want = mode
		}
		dir, _, err := h.directory(at, true)
		if err != nil {
			return false, err
		}
		made, err = makeStep(dir, step, at, want)
		_ = dir.Close() // it was only read
		if err != nil {
			return false, err
		}
	}
	return made, nil
}

func makeStep(dir *os.Root, step, at string, mode fs.FileMode) (made bool, err error) {
	info, err := dir.Lstat(step)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err := dir.Mkdir(step, mode)
		if errors.Is(err, fs.ErrExist) { // somebody else was faster, which is how cluster locks are told apart
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", at, unwrapped(err))
		}
		return true, nil
	case err != nil:
		return false, fmt.Errorf("%s: %w", at, unwrapped(err))
	case info.Mode()&fs.ModeSymlink != 0:
		return false, fmt.Errorf("%s %w", at, errSymlink)
	case !info.IsDir():
		return false, fmt.Errorf("%s: %w", at, syscall.ENOTDIR)
	}
	return false, nil
}

// SetTime sets the times of a cluster lock (see lane.Places).
func (h *Host) SetTime(name string, t time.Time) error {
	return h.lockDir(name, func(dir *os.Root, base string) error { return dir.Chtimes(base, t, t) })
}

// RemoveDir removes a cluster lock (see lane.Places). It removes an empty directory and nothing else.
func (h *Host) RemoveDir(name string) error {
	err := h.lockDir(name, (*os.Root).Remove)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// lockDir does something to a directory that is a cluster lock of a row.
func (h *Host) lockDir(name string, do func(dir *os.Root, base string) error) error {
	if !privileged.MayLock(name) {
		return fmt.Errorf("%.200q %w", name, ErrNotListed)
	}
	if err := h.clustered(name); err != nil {
		return err
	}
	dir, base, err := h.directory(name, true)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	info, err := dir.Lstat(base)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err == nil {
		err = do(dir, base)
	}
	if errors.Is(err, fs.ErrPermission) && info.Mode().Perm()&0o200 == 0 {
		return fmt.Errorf("%s: %w", name, proxmox.ErrNoQuorum)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, unwrapped(err))
	}
	return nil
}

// errNotMounted is why nothing is made where the file system of the cluster should be: it would be on the disk of this
// node, where no other sees it, and in the way of the mount (pve-cluster Cluster.pm, cfs_lock, looks likewise).
var errNotMounted = errors.New("the file system of the cluster is not mounted at /etc/pve: systemctl status pve-cluster")

// clustered refuses a path of the cluster's file system where that is not mounted.
func (h *Host) clustered(name string) error {
	if !strings.HasPrefix(name, "/etc/pve/") || h.mounted(filepath.Join(h.root, "/etc/pve")) {
		return nil
	}
	return fmt.Errorf("%s: %w", name, errNotMounted)
}
