package lane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

// ErrNotOurs is the error of a mount that tend did not make.
var ErrNotOurs = errors.New("it is not tend's, and stays as it is")

// ErrNoDevice is the error of a host mount whose file system is not there, or cannot be mounted as it is.
var ErrNoDevice = errors.New("nothing was changed")

// ErrInUse is the error of a host mount that shall be taken away, or changed, while somebody uses it.
var ErrInUse = errors.New("it is in use")

// unitMode is that of units: everybody may read them, as systemd expects.
const unitMode = 0o644

// mount makes a host mount present or absent.
func (l Lane) mount(ctx context.Context, r privileged.Mount) (privileged.Result, error) {
	unit, err := l.unit(r.Mount.Path)
	if err != nil {
		return privileged.Result{}, err
	}
	if unit.text != nil && (!unit.ours || unit.owner != r.Owner) {
		return privileged.Result{}, fmt.Errorf("%s is a unit of %s: %w", privileged.UnitFile(r.Mount.Path), unit.whose(), ErrNotOurs)
	}
	if r.Absent {
		return l.unmount(ctx, r.Mount, unit)
	}
	if err := l.untaken(ctx, r.Mount.Path, unit); err != nil {
		return privileged.Result{}, err
	}
	if err := l.mountable(ctx, r.Mount); err != nil {
		return privileged.Result{}, err
	}
	return l.present(ctx, r, unit)
}

// A unit is the mount unit of a path.
type unit struct {
	text  []byte // nil: there is none
	mount proxmox.HostMount
	owner string
	ours  bool
}

func (u unit) whose() string {
	if u.ours {
		return "the owner " + u.owner
	}
	return "somebody else"
}

func (l Lane) unit(where string) (unit, error) {
	text, _, err := l.Backend.ReadFile(privileged.UnitFile(where))
	if errors.Is(err, fs.ErrNotExist) {
		return unit{}, nil
	}
	if err != nil {
		return unit{}, fmt.Errorf("read unit of %s: %w", where, err)
	}
	u := unit{text: text}
	u.mount, u.owner, u.ours = privileged.ParseUnit(text)
	return u, nil
}

// untaken refuses a mount point that somebody else has: a line of /etc/fstab, or a mount without a unit of tend.
func (l Lane) untaken(ctx context.Context, where string, u unit) error {
	fstab, err := l.fstab()
	if err != nil {
		return err
	}
	if what, ok := fstab[where]; ok {
		return fmt.Errorf("/etc/fstab mounts %s at %s: take the line out first: %w", what, where, ErrNotOurs)
	}
	at, err := l.mounted(ctx, where, "")
	if err == nil && at != nil && u.text == nil {
		err = fmt.Errorf("%v is mounted at %s: unmount it first: %w", at, where, ErrNotOurs)
	}
	return err
}

func (l Lane) fstab() (map[string]string, error) {
	text, _, err := l.Backend.ReadFile("/etc/fstab")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read /etc/fstab: %w", err)
	}
	return privileged.ParseFstab(text), nil
}

// mounted is what is mounted at a place, the latest where there are several; nil where nothing is. Where a device is
// named, only what is from it counts.
func (l Lane) mounted(ctx context.Context, where, device string) (*privileged.MountedFS, error) {
	out, err := l.run(ctx, privileged.MountedCommand(where, device))
	if err != nil {
		return nil, err
	}
	list, err := privileged.ParseMounted(out.stdout)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[len(list)-1], nil
}

// fileSystems are those that the node has, or the one of a device.
func (l Lane) fileSystems(ctx context.Context, device string) ([]proxmox.FileSystem, error) {
	c := privileged.FileSystemsCommand(device)
	out, err := l.run(ctx, c)
	if err == nil && out.exit != 0 && out.exit != privileged.NoFileSystem {
		err = privileged.Refused(c, out.exit, out.stderr)
	}
	return privileged.ParseFileSystems(out.stdout), err
}

// device finds the file systems that a device of a host mount names, and all that the node has.
func (l Lane) device(ctx context.Context, name string) (found, all []proxmox.FileSystem, err error) {
	all, err = l.fileSystems(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	if strings.HasPrefix(name, "/") {
		found, err = l.fileSystems(ctx, name)
		return found, all, err
	}
	for _, f := range all {
		if f.Is(name) {
			found = append(found, f)
		}
	}
	return found, all, nil
}

// mountable refuses a host mount whose file system is not there, is not clear, or is another than was named.
func (l Lane) mountable(ctx context.Context, m proxmox.HostMount) error {
	found, all, err := l.device(ctx, m.Device)
	if err != nil {
		return err
	}
	if why := proxmox.CannotMount(m, found, all); why != "" {
		return fmt.Errorf("%s: %w", why, ErrNoDevice)
	}
	return nil
}

// present writes the unit and mounts, where that is not so already.
func (l Lane) present(ctx context.Context, r privileged.Mount, old unit) (privileged.Result, error) {
	where, text := r.Mount.Path, privileged.Unit(r.Mount, r.Owner)
	right, err := l.right(ctx, r.Mount)
	if err != nil {
		return privileged.Result{}, err
	}
	enabled, err := l.run(ctx, privileged.UnitCommand(privileged.UnitIsEnabled, where))
	if err != nil || right && enabled.exit == 0 && bytes.Equal(old.text, text) {
		return privileged.Result{}, err
	}
	at, err := l.mounted(ctx, where, "")
	if err != nil {
		return privileged.Result{}, err
	}
	if at != nil && !right {
		if err := l.unused(ctx, where, at.Device); err != nil {
			return privileged.Result{}, fmt.Errorf("%v is mounted at %s, and %s shall be: %w", at, where, r.Mount.Device, err)
		}
	}
	result := privileged.Result{Changed: true}
	if at == nil {
		note, err := l.place(ctx, where)
		if err != nil {
			return privileged.Result{}, err
		}
		if note != "" {
			result.Notes = append(result.Notes, note)
		}
	}
	if err := l.putUnit(ctx, r, old, text, at != nil && right); err != nil {
		return result, errors.Join(err, l.restoreUnit(ctx, where, old))
	}
	return result, nil
}

// right reports whether a host mount is mounted from its device, with its type.
func (l Lane) right(ctx context.Context, m proxmox.HostMount) (bool, error) {
	top, err := l.mounted(ctx, m.Path, "")
	if err != nil || top == nil {
		return false, err
	}
	at, err := l.mounted(ctx, m.Path, m.Device)
	if err != nil || at == nil {
		return false, err
	}
	return *at == *top && (m.Filesystem == "" || m.Filesystem == at.Type), nil
}

// place makes the mount point, if it is absent: a directory that nobody can write to while nothing is mounted there. One
// that was there stays as it is, and must be empty: what it holds would not be seen any more.
func (l Lane) place(ctx context.Context, where string) (note string, err error) {
	made, err := l.Backend.MakeDir(where, 0)
	if err != nil {
		return "", fmt.Errorf("make mount point %s: %w", where, err)
	}
	if !made {
		names, err := l.Backend.ListDir(where)
		if err == nil && len(names) > 0 {
			err = fmt.Errorf("%s is not empty, and what it holds (%s) would not be seen any more: move it away first: %w", where, few(names), ErrNotOurs)
		}
		return "", err
	}
	c := privileged.ProtectCommand(where)
	out, err := l.run(ctx, c)
	if err == nil && out.exit != 0 {
		note = fmt.Sprintf("%s could not be made immutable, so that root can write into it while the disk is away: %.200s", where, bytes.TrimSpace(out.stderr))
	}
	return note, err
}

func few(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// putUnit writes a unit and brings it into force. remount says that what is mounted stays, with other options.
func (l Lane) putUnit(ctx context.Context, r privileged.Mount, old unit, text []byte, remount bool) error {
	where := r.Mount.Path
	if old.text != nil && !remount {
		if err := l.stop(ctx, where); err != nil {
			return err
		}
	}
	if !bytes.Equal(old.text, text) {
		if err := l.Backend.ReplaceFile(privileged.UnitFile(where), old.text, text, unitMode); err != nil {
			return fmt.Errorf("write unit: %w", err)
		}
	}
	verb := privileged.UnitStart
	if remount {
		verb = privileged.UnitRemount
	}
	for _, c := range []privileged.Command{
		privileged.ReloadCommand(), privileged.UnitCommand(privileged.UnitEnable, where), privileged.UnitCommand(verb, where),
	} {
		if _, err := l.must(ctx, c); err != nil {
			return err
		}
	}
	right, err := l.right(ctx, r.Mount)
	if err == nil && !right {
		at, _ := l.mounted(ctx, where, "")
		err = fmt.Errorf("systemd says that it is mounted, and findmnt shows %v at %s", shown(at), where)
	}
	return err
}

func shown(at *privileged.MountedFS) string {
	if at == nil {
		return "nothing"
	}
	return at.String()
}

// restoreUnit puts back what was there before a unit that could not be brought into force.
func (l Lane) restoreUnit(ctx context.Context, where string, old unit) error {
	var err error
	if old.text == nil {
		_, err = l.run(ctx, privileged.UnitCommand(privileged.UnitDisable, where))
		err = errors.Join(err, l.Backend.RemoveFile(privileged.UnitFile(where)))
	} else {
		err = l.Backend.ReplaceFile(privileged.UnitFile(where), nil, old.text, unitMode)
	}
	_, reload := l.run(ctx, privileged.ReloadCommand())
	if err = errors.Join(err, reload); err != nil {
		return fmt.Errorf("put the old unit back: %w", err)
	}
	return nil
}

// unmount takes a host mount away, with its unit. The mount point stays.
func (l Lane) unmount(ctx context.Context, m proxmox.HostMount, old unit) (privileged.Result, error) {
	if old.text == nil {
		return privileged.Result{}, nil
	}
	at, err := l.mounted(ctx, m.Path, "")
	if err != nil {
		return privileged.Result{}, err
	}
	device := ""
	if at != nil {
		device = at.Device
	}
	if err := l.unused(ctx, m.Path, device); err != nil {
		return privileged.Result{}, err
	}
	if err := l.stop(ctx, m.Path); err != nil {
		return privileged.Result{}, err
	}
	if _, err := l.must(ctx, privileged.UnitCommand(privileged.UnitDisable, m.Path)); err != nil {
		return privileged.Result{}, err
	}
	if err := l.Backend.RemoveFile(privileged.UnitFile(m.Path)); err != nil {
		return privileged.Result{}, fmt.Errorf("remove unit: %w", err)
	}
	_, err = l.must(ctx, privileged.ReloadCommand())
	return privileged.Result{Changed: true}, err
}

// stop unmounts. What a process of the node has open keeps the kernel from it.
func (l Lane) stop(ctx context.Context, where string) error {
	c := privileged.UnitCommand(privileged.UnitStop, where)
	out, err := l.run(ctx, c)
	if err != nil {
		return err
	}
	at, err := l.mounted(ctx, where, "")
	switch {
	case err != nil:
		return err
	case at != nil:
		return fmt.Errorf("%v stays mounted at %s, since something on the node works with it (fuser -vm %s shows what): %w: %w",
			at, where, where, ErrInUse, privileged.Refused(c, max(out.exit, 1), out.stderr))
	}
	return privileged.Refused(c, out.exit, out.stderr)
}

// unused refuses where a container or storage uses a path below a mount point. device is the number of what is mounted.
func (l Lane) unused(ctx context.Context, where, device string) error {
	uses, err := l.uses(ctx, map[string]string{where: device})
	if err != nil {
		return err
	}
	if by := (proxmox.NodeMounts{Uses: uses}).UsesBelow(where); len(by) > 0 {
		var words []string
		for _, u := range by {
			words = append(words, u.String())
		}
		return fmt.Errorf("%s: %w", strings.Join(words, "; "), ErrInUse)
	}
	return nil
}

// uses are those who use paths of the node: containers by their configuration, running or not, containers that run by
// what they see, and storages. devices are the numbers of what is mounted, by mount point.
func (l Lane) uses(ctx context.Context, devices map[string]string) ([]proxmox.PathUse, error) {
	var out []proxmox.PathUse
	add := func(u proxmox.PathUse) {
		if proxmox.InMountPlaces(u.Path) && !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	ids, err := l.containers()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		_, file, err := l.config(proxmox.Ref{Node: l.Backend.Node(), ID: id})
		if errors.Is(err, proxmox.ErrNoGuest) { // gone meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, p := range privileged.ContainerPaths(file) {
			add(proxmox.PathUse{Path: path.Clean(p), Guest: id})
		}
	}
	text, _, err := l.Backend.ReadFile(storageConfig)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", storageConfig, err)
	}
	for name, p := range privileged.StoragePaths(text, l.Backend.Node()) {
		add(proxmox.PathUse{Path: p, Storage: name})
	}
	running, err := l.runningUses(ctx, devices)
	for _, u := range running {
		add(u)
	}
	slices.SortFunc(out, comparePathUse)
	return out, err
}

const storageConfig = "/etc/pve/storage.cfg"
