package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

var (
	errUnsafe  = errors.New("unsafe: root would act on what others can change")
	errSymlink = errors.New("is a symbolic link, and root follows none here")
)

// maxRead is how large a file may be that is read, in bytes: twice what any of them has.
const maxRead = 2 << 20

// made are the directories that are made where they are missing: tend's own, and Proxmox's after a boot
// (pve-container LXC/Config.pm makes it likewise).
var made = map[string]fs.FileMode{"/run/tend": 0o755, "/run/lock/lxc": 0o755}

// directory opens the directory that a path is in, one step after the other, each of which must be a directory and no
// symbolic link. Where strict, none may be writable by others than root: whoever can write to a directory can put
// another file in place of any in it.
func (h *Host) directory(name string, strict bool) (*os.Root, string, error) {
	if !path.IsAbs(name) || path.Clean(name) != name || name == "/" {
		return nil, "", fmt.Errorf("%.200q is not a plain absolute path", name)
	}
	dir, err := os.OpenRoot(h.root)
	if err != nil {
		return nil, "", err
	}
	at := ""
	for step := range strings.SplitSeq(strings.TrimPrefix(path.Dir(name), "/"), "/") {
		if step == "" {
			continue
		}
		at += "/" + step
		next, err := enter(dir, step, at, strict)
		_ = dir.Close() // it was only read
		if err != nil {
			return nil, "", err
		}
		dir = next
	}
	return dir, path.Base(name), nil
}

// enter opens a directory in another.
func enter(dir *os.Root, step, at string, strict bool) (*os.Root, error) {
	info, err := dir.Lstat(step)
	if mode, ok := made[at]; ok && errors.Is(err, fs.ErrNotExist) {
		if err := dir.Mkdir(step, mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		info, err = dir.Lstat(step)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", at, unwrapped(err))
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%s %w", at, errSymlink)
	case !info.IsDir():
		return nil, fmt.Errorf("%s: %w", at, syscall.ENOTDIR)
	case strict && (info.Mode().Perm()&0o022 != 0 || !byRoot(info)):
		return nil, fmt.Errorf("%s can be written to by others than root (%v): %w", at, info.Mode(), errUnsafe)
	}
	next, err := dir.OpenRoot(step)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, unwrapped(err))
	}
	if same, err := next.Stat("."); err != nil || !os.SameFile(info, same) {
		_ = next.Close()
		return nil, fmt.Errorf("%s was changed while it was opened: %w", at, errUnsafe)
	}
	return next, nil
}

// written opens the directory of a file that is to be written: one that a row writes.
func (h *Host) written(name string) (*os.Root, string, error) {
	dir, base, err := h.directory(name, true)
	if err == nil && !privileged.MayWrite(name) {
		_ = dir.Close() // it was only read
		return nil, "", fmt.Errorf("%.200q %w", name, ErrNotListed)
	}
	return dir, base, err
}

// unwrapped takes the path off an error, which names only its last step.
func unwrapped(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// open opens a regular file that is no symbolic link.
func open(dir *os.Root, base string) (*os.File, fs.FileInfo, error) {
	info, err := dir.Lstat(base)
	switch {
	case err != nil:
		return nil, nil, unwrapped(err)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, nil, fmt.Errorf("it %w", errSymlink)
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("it is no regular file (%v)", info.Mode())
	}
	f, err := dir.Open(base)
	if err != nil {
		return nil, nil, unwrapped(err)
	}
	if same, err := f.Stat(); err != nil || !os.SameFile(info, same) {
		_ = f.Close()
		return nil, nil, fmt.Errorf("it was changed while it was opened: %w", errUnsafe)
	}
	return f, info, nil
}

func read(dir *os.Root, base string) ([]byte, fs.FileMode, error) {
	f, info, err := open(dir, base)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxRead+1))
	if err == nil && len(data) > maxRead {
		err = fmt.Errorf("it is larger than %d bytes", maxRead)
	}
	return data, info.Mode(), err
}

// ReadFile reads a file (see lane.Files).
func (h *Host) ReadFile(name string) ([]byte, fs.FileMode, error) {
	dir, base, err := h.directory(name, false)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = dir.Close() }()
	data, mode, err := read(dir, base)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, err)
	}
	return data, mode, nil
}

// RemoveFile removes a file (see lane.Files).
func (h *Host) RemoveFile(name string) error {
	dir, base, err := h.written(name)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if err := dir.Remove(base); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", name, unwrapped(err))
	}
	return nil
}

// suffix is that of the file that is written before it takes the place of another. It is always the same, so that one
// that a power cut left is replaced the next time; in /etc/pve, a file that does not end in .conf is no guest's
// (pve-cluster pmxcfs memdb.c, path_contain_vm_config). Proxmox itself writes ID.conf.tmp.PID.
const suffix = ".tmp.tend"

// ReplaceFile puts data in place of a file (see lane.Files): it is written beside it, brought to disk and renamed, as
// Proxmox does (pve-common File.pm, file_set_contents). /etc/pve is a database behind FUSE that writes through, knows
// no chmod and no sync of a directory, and renames in one transaction.
func (h *Host) ReplaceFile(name string, old, data []byte, mode fs.FileMode) error {
	dir, base, err := h.written(name)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	temp := base + suffix
	err = h.replace(dir, base, old, data, mode)
	if errors.Is(err, errPowerCut) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%s: nothing was changed: %w", name, errors.Join(err, removed(dir, temp)))
	}
	if strings.HasPrefix(name, "/etc/pve/") {
		return nil
	}
	return syncDir(dir)
}

// errPowerCut is what tests use in place of a power cut: nothing is done any more.
var errPowerCut = errors.New("power cut")

func (h *Host) replace(dir *os.Root, base string, old, data []byte, mode fs.FileMode) error {
	temp := base + suffix
	if err := removed(dir, temp); err != nil {
		return err
	}
	if err := h.write(dir, temp, data, mode); err != nil {
		return err
	}
	if old != nil {
		now, _, err := read(dir, base)
		if err == nil && !bytes.Equal(now, old) {
			err = fmt.Errorf("somebody else wrote it meanwhile: %w", proxmox.ErrModified)
		}
		if err != nil {
			return err
		}
	}
	if err := h.at("rename"); err != nil {
		return err
	}
	return unlinked(dir.Rename(temp, base))
}

// write writes a new file and brings it to disk.
func (h *Host) write(dir *os.Root, temp string, data []byte, mode fs.FileMode) error {
	f, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode.Perm())
	if err != nil {
		return unwrapped(err)
	}
	_, err = f.Write(data[:len(data)/2])
	err = errors.Join(err, h.at("write"))
	if err == nil {
		_, err = f.Write(data[len(data)/2:])
	}
	if err == nil && mode.Perm()&0o111 != 0 {
		err = f.Chmod(mode.Perm()) // the umask took bits away that a file needs which is run
	}
	if serr := f.Sync(); err == nil && !errors.Is(serr, syscall.EINVAL) {
		err = serr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return unwrapped(err)
}

// at asks what goes wrong at a point.
func (h *Host) at(point string) error {
	if h.fault == nil {
		return nil
	}
	return h.fault(point)
}

func removed(dir *os.Root, base string) error {
	if err := dir.Remove(base); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwrapped(err)
	}
	return nil
}

func unlinked(err error) error {
	if l := (*os.LinkError)(nil); errors.As(err, &l) {
		return l.Err
	}
	return err
}

// syncDir brings a rename to disk. Not every file system can.
func syncDir(dir *os.Root) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// retry is how often it is tried to take a lock that another holds.
const retry = 50 * time.Millisecond

// Lock takes the lock of a file as Proxmox does, with flock (see lane.Locks; pve-common Tools.pm, lock_file_full).
func (h *Host) Lock(ctx context.Context, name string, wait time.Duration) (unlock func(), err error) {
	dir, base, err := h.directory(name, false)
	if err != nil {
		return nil, err
	}
	info, err := dir.Lstat(base)
	_ = dir.Close() // it was only read
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file (%v): %w", name, info.Mode(), errUnsafe)
	}
	l := flock.New(path.Join(h.root, name), flock.SetPermissions(0o644))
	short, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ok, err := l.TryLockContext(short, retry)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("another operation holds the lock %s of the container for %v: %w", name, wait, proxmox.ErrBusy)
	case err != nil || !ok:
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() { _ = l.Unlock() }, nil // closing the file, which cannot fail in a way that matters, lets go of it
}
