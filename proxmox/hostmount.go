package proxmox

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A HostMount is a file system of a node that is mounted for its containers. Proxmox knows nothing of it: it is a mount
// unit of systemd on the node.
type HostMount struct {
	Name       string   // of the spec; it stands in the unit
	Device     string   // "UUID=…", "LABEL=…", or a link below /dev/disk/by-id
	Path       string   // absolute path of the mount point
	Filesystem string   // its type, as in ext4; empty: what is found
	Options    []string // of the mount, besides those that it always gets
}

// Check says everything that is wrong with a host mount by itself. Where it stands in a spec and where root carries it
// out, this one rule holds.
func (m HostMount) Check() error {
	var errs []error
	add := func(what, value string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %.80q %w", what, value, err))
		}
	}
	if !mountName.MatchString(m.Name) {
		errs = append(errs, fmt.Errorf("%.80q is not the name of a host mount", m.Name))
	}
	add("device", m.Device, CheckMountDevice(m.Device))
	add("path", m.Path, CheckMountPoint(m.Path))
	if m.Filesystem != "" {
		add("filesystem", m.Filesystem, CheckFilesystem(m.Filesystem))
	}
	for _, o := range m.Options {
		add("option", o, CheckMountOption(o))
	}
	return errors.Join(errs...)
}

// MountNameExpr is what a host mount may be called.
const MountNameExpr = `[A-Za-z0-9][-\w.]{0,63}`

var (
	mountName   = regexp.MustCompile(`^` + MountNameExpr + `$`)
	mountByTag  = regexp.MustCompile(`^(?:UUID|LABEL|PARTUUID|PARTLABEL)=[\w.:+-]{1,128}$`)
	mountByLink = regexp.MustCompile(`^/dev/disk/by-(?:id|uuid|label|partuuid)/[\w:+@-][\w.:+@-]{0,254}$`)
	mountWord   = regexp.MustCompile(`^[a-z0-9_][\w.:=/-]{0,127}$`)
	fsType      = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,31}$`)
)

// CheckMountDevice says what is wrong with the device of a host mount: only what stays the same when disks are plugged
// in another way names one.
func CheckMountDevice(device string) error {
	switch {
	case mountByTag.MatchString(device), mountByLink.MatchString(device):
		return nil
	case strings.HasPrefix(device, "/dev/") && !strings.HasPrefix(device, "/dev/disk/"):
		return errors.New("is a name that another disk may have tomorrow: write UUID=…, as blkid shows it, LABEL=… or a path below /dev/disk/by-id")
	}
	return errors.New("names no file system: write UUID=…, LABEL=… or a path below /dev/disk/by-id")
}

// CheckMountPoint says what is wrong with the mount point of a host mount. It must lie below one of the places that are
// meant for them (Filesystem Hierarchy Standard 3.0, 3.11, 3.12 and 3.17), and not where Proxmox mounts its storages
// (pve-storage CIFSPlugin.pm and NFSPlugin.pm; pve-manager API2/Disks/Directory.pm): the node needs the rest itself.
func CheckMountPoint(where string) error {
	below := func(top string) bool { return strings.HasPrefix(where, top+"/") }
	switch {
	case !strings.HasPrefix(where, "/"):
		return errors.New("is not an absolute path: it begins with /")
	case path.Clean(where) != where:
		return fmt.Errorf("is not a plain path: write %s", path.Clean(where))
	case strings.ContainsFunc(where, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`,"'\%$`, r) }):
		return errors.New("holds a character that units or settings cannot carry: letters, digits and - _ . are good")
	case where == "/mnt/pve" || below("/mnt/pve"):
		return errors.New("is where Proxmox mounts its storages: mount elsewhere below /mnt, /media or /srv")
	case !InMountPlaces(where):
		return errors.New("is not below /mnt, /media or /srv: all else is the node's own")
	}
	return nil
}

// InMountPlaces reports whether a path lies below one of the places for host mounts.
func InMountPlaces(where string) bool {
	return slices.ContainsFunc([]string{"/mnt/", "/media/", "/srv/"}, func(top string) bool { return strings.HasPrefix(where, top) })
}

// CheckFilesystem says what is wrong with the type of a file system.
func CheckFilesystem(kind string) error {
	if !fsType.MatchString(kind) {
		return errors.New("is not a type of file systems, as in ext4")
	}
	return nil
}

// otherMounts are options of mount(8) that mount something else than the device, or make no mount at all.
var otherMounts = []string{
	"bind", "rbind", "move", "remount", "loop", "shared", "rshared", "private", "rprivate", "slave", "rslave", "unbindable", "runbindable",
}

// CheckMountOption says what is wrong with an option of a host mount.
func CheckMountOption(option string) error {
	name, _, _ := strings.Cut(option, "=")
	switch {
	case slices.Contains(otherMounts, name):
		return errors.New("would mount something else than the device: remove it")
	case name == "noauto":
		return errors.New("would keep it from being mounted when the node starts: remove it")
	case strings.HasPrefix(strings.ToLower(name), "x-"), name == "helper":
		return errors.New("tells others what to do with the mount, which is tend's business: remove it")
	case !mountWord.MatchString(option):
		return errors.New("is not an option of a mount, as in noatime or commit=30")
	}
	return nil
}
