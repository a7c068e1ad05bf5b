package privileged

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/proxmox/property"
)

// unitTime is how long systemd may take to mount or unmount: longer than the unit's own time limits together.
const unitTime = (3*mountTime + 30) * time.Second

// A UnitVerb is something that systemd does with a unit.
type UnitVerb string

// The verbs.
const (
	UnitStart     UnitVerb = "start"
	UnitStop      UnitVerb = "stop"
	UnitRemount   UnitVerb = "reload" // with other options (systemd.mount(5))
	UnitEnable    UnitVerb = "enable"
	UnitDisable   UnitVerb = "disable"
	UnitIsEnabled UnitVerb = "is-enabled"
)

// UnitCommand tells systemd to do something with the unit of a path.
func UnitCommand(verb UnitVerb, where string) Command {
	return Command{Argv: []string{systemctl, string(verb), UnitName(where)}, Timeout: unitTime}
}

// ReloadCommand lets systemd read its units again.
func ReloadCommand() Command {
	return Command{Argv: []string{systemctl, "daemon-reload"}, Timeout: unitTime}
}

// ProtectCommand lets nobody, not even root, write into the directory of a mount point while nothing is mounted there
// (chattr(1)).
func ProtectCommand(where string) Command {
	return Command{Argv: []string{chattr, "+i", where}, Timeout: readTime}
}

// FileSystemsCommand lists the file systems of the node, or tells of one device. The cache is left out: it remembers
// disks that are gone (blkid(8)).
func FileSystemsCommand(device string) Command {
	argv := []string{blkid, "--cache-file", "/dev/null", "--output", "export"}
	if device != "" {
		argv = append(argv, device)
	}
	return Command{Argv: argv, Timeout: readTime}
}

// NoFileSystem is the exit status of blkid where there is nothing to tell (blkid(8)).
const NoFileSystem = 2

// ParseFileSystems reads what [FileSystemsCommand] prints: blocks of lines KEY=value. Values are escaped as a shell
// would need it (util-linux blkid.c, print_value).
func ParseFileSystems(text []byte) (out []proxmox.FileSystem) {
	var fs proxmox.FileSystem
	flush := func() {
		if fs.Device != "" {
			out = append(out, fs)
		}
		fs = proxmox.FileSystem{}
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		key, value, _ := strings.Cut(line, "=")
		value = strings.ReplaceAll(value, `\`, "")
		switch key {
		case "":
			flush()
		case "DEVNAME":
			flush()
			fs.Device = value
		case "TYPE":
			fs.Type = value
		case "UUID":
			fs.UUID = value
		case "LABEL":
			fs.Label = value
		case "PARTUUID":
			fs.PartUUID = value
		case "PARTLABEL":
			fs.PartLabel = value
		}
	}
	flush()
	return out
}

// A MountedFS is something that is mounted.
type MountedFS struct {
	Source string `json:"source"`
	Target string `json:"target"`
	Type   string `json:"fstype"`
	Device string `json:"maj:min"`
}

// String is "/dev/sdb1 ext4".
func (m MountedFS) String() string { return m.Source + " " + m.Type }

// MountedCommand lists what is mounted: all, or at a mount point, and there from a device alone where one is named.
// findmnt finds the device of a tag or link itself (findmnt(8)). It ends with 1 where there is none.
func MountedCommand(where, device string) Command {
	argv := []string{findmnt, "--json", "--list", "--output", "SOURCE,TARGET,FSTYPE,MAJ:MIN"}
	if where != "" {
		argv = append(argv, "--mountpoint", where)
	}
	if device != "" {
		argv = append(argv, "--source", device)
	}
	return Command{Argv: argv, Timeout: readTime}
}

// ParseMounted reads what [MountedCommand] prints; nothing is no error.
func ParseMounted(text []byte) ([]MountedFS, error) {
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil, nil
	}
	var v struct {
		FileSystems []MountedFS `json:"filesystems"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("read what findmnt printed: %w", err)
	}
	return v.FileSystems, nil
}

// mountOctal is how mount tables write what parts their fields (getmntent(3)).
var mountOctal = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// ParseFstab reads the mount points of /etc/fstab and what is mounted there.
func ParseFstab(text []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 3 && !strings.HasPrefix(f[0], "#") {
			out[path.Clean(mountOctal.Replace(f[1]))] = f[0] + " " + f[2]
		}
	}
	return out
}

// ContainerPaths are the paths of the node that a container's configuration names, in force or pending: mount points
// and raw lines alike.
func ContainerPaths(f *conffile.File) (out []string) {
	config := f.Config()
	for _, values := range []proxmox.Values{config.Current, config.Pending} {
		for key, text := range values {
			if name, ok := family(key); !ok || name != "mp" && name != "rootfs" {
				continue
			}
			p, err := property.ParsePairs(text, "volume")
			if volume, _ := p.Get("volume"); err == nil && strings.HasPrefix(volume, "/") {
				out = append(out, volume)
			}
		}
	}
	for _, l := range f.Current().Raw() {
		if l.Key != "lxc.mount.entry" && l.Key != "lxc.mount" {
			continue
		}
		if source, _, _ := strings.Cut(l.Value, " "); strings.HasPrefix(source, "/") {
			out = append(out, mountOctal.Replace(source))
		}
	}
	return out
}

// StoragePaths are the paths of a node on which Proxmox has storages, by their name (/etc/pve/storage.cfg).
func StoragePaths(text []byte, node string) map[string]string {
	out, name := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		if _, id, ok := strings.Cut(line, ": "); ok && strings.TrimLeft(line, " \t") == line {
			name = strings.TrimSpace(id)
			continue
		}
		switch f := strings.Fields(line); {
		case len(f) != 2:
		case f[0] == "path":
			out[name] = path.Clean(f[1])
		case f[0] == "nodes" && !slices.Contains(strings.Split(f[1], ","), node): // which stands after the path
			delete(out, name)
			name = "" // and so does what may follow
		}
	}
	delete(out, "")
	return out
}

// GuestOfProcess is the container that a process belongs to, by its /proc/PID/cgroup (pve-container LXC.pm: the cgroup
// of a container is lxc/ID); 0 where it is none.
func GuestOfProcess(cgroup []byte) proxmox.VMID {
	for line := range strings.Lines(string(cgroup)) {
		_, after, ok := strings.Cut(line, ":/lxc/")
		if !ok {
			continue
		}
		first, _, _ := strings.Cut(strings.TrimSpace(after), "/")
		if id, err := strconv.Atoi(first); err == nil {
			return proxmox.VMID(id)
		}
	}
	return 0
}

// HasDevice reports whether a process sees a file system, by its /proc/PID/mountinfo and the file system's device
// number, as in 8:17 (proc_pid_mountinfo(5)).
func HasDevice(mountinfo []byte, device string) bool {
	for line := range strings.Lines(string(mountinfo)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == device {
			return true
		}
	}
	return false
}
