package privileged

import (
	"fmt"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// ReadMounts reads the host mounts of a node, its file systems, and who uses paths below the places for host mounts. It
// changes nothing. Its output is a [proxmox.NodeMounts], as JSON.
type ReadMounts struct {
	Node    string
	Devices []string // of host mounts, to be looked for besides
}

// ReadSnippets reads what a node has in place of snippets. It changes nothing. Its output is a mapping from the volumes
// to [proxmox.SnippetStatus], as JSON.
type ReadSnippets struct {
	Node    string
	Volumes []string // "local:snippets/hook.sh"
}

// maxAsked is how many things one reading may ask for.
const maxAsked = 1000

// Row is [RowHostMounts].
func (ReadMounts) Row() Row { return RowHostMounts }

// Row is [RowSnippets].
func (ReadSnippets) Row() Row { return RowSnippets }

// Target is the node.
func (r ReadMounts) Target() proxmox.Ref { return proxmox.Ref{Node: r.Node} }

// Target is the node.
func (r ReadSnippets) Target() proxmox.Ref { return proxmox.Ref{Node: r.Node} }

func (ReadMounts) kind() string   { return "read-mounts" }
func (ReadSnippets) kind() string { return "read-snippets" }

// String is "read host mounts of pve1".
func (r ReadMounts) String() string { return "read host mounts of " + r.Node }

// String is "read 2 snippets of pve1".
func (r ReadSnippets) String() string {
	return fmt.Sprintf("read %d snippets of %s", len(r.Volumes), r.Node)
}

// Validate says what is wrong with the request.
func (r ReadMounts) Validate() error {
	var f faults
	f.add(nodeName.MatchString(r.Node), "%.80q is not the name of a node", r.Node)
	f.add(len(r.Devices) <= maxAsked, "more than %d devices are asked for", maxAsked)
	for _, d := range r.Devices {
		if err := proxmox.CheckMountDevice(d); err != nil {
			f.add(false, "device %.80q %w", d, err)
		}
	}
	return f.join()
}

// Validate says what is wrong with the request.
func (r ReadSnippets) Validate() error {
	var f faults
	f.add(nodeName.MatchString(r.Node), "%.80q is not the name of a node", r.Node)
	f.add(len(r.Volumes) <= maxAsked, "more than %d snippets are asked for", maxAsked)
	for _, v := range r.Volumes {
		if err := proxmox.CheckSnippet(v); err != nil {
			f.add(false, "%.80q %w", v, err)
		}
	}
	return f.join()
}

// Validate says what is wrong with the request: the source is named by what stays the same when disks are plugged in
// another way, and the mount point is no directory that the node itself needs ([proxmox.HostMount.Check]).
func (r Mount) Validate() error {
	var f faults
	f.add(nodeName.MatchString(r.Node), "%.80q is not the name of a node", r.Node)
	f.add(ownerName.MatchString(r.Owner), "%.80q is not the tag of an owner", r.Owner)
	f.err("host mount", r.Mount.Check())
	return f.join()
}

// UnitDir is where the units of host mounts lie.
const UnitDir = "/etc/systemd/system"

// mountTime is how long a disk may take to appear and to be mounted, in seconds: a disk that sleeps needs some ten.
const mountTime = 30

// UnitName is the name of the mount unit of a path, which systemd derives from it (systemd-escape --path --suffix=mount;
// systemd basic/unit-name.c, unit_name_from_path).
func UnitName(where string) string {
	var b strings.Builder
	for i, c := range []byte(strings.Trim(where, "/")) {
		switch {
		case c == '/':
			b.WriteByte('-')
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == ':', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String() + ".mount"
}

// UnitFile is where the unit of a path lies.
func UnitFile(where string) string { return UnitDir + "/" + UnitName(where) }

// Unit is the mount unit of a host mount. The section X-Tend, which systemd passes over (systemd.unit(5)), says whose it
// is; without it, a unit is somebody else's and is never touched. It is wanted, and not required, by the start of the
// node, which waits for it no longer than half a minute; what starts containers comes after it (pve-manager
// pve-guests.service).
func Unit(m proxmox.HostMount, owner string) []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Written by tend from the host mount %s of a spec: what is changed here by hand is undone.", m.Name)
	line("[Unit]\nDescription=Host mount %s of tend\nBefore=pve-guests.service\nJobTimeoutSec=%ds\n", m.Name, mountTime)
	line("[Mount]\nWhat=%s\nWhere=%s", m.Device, m.Path)
	if m.Filesystem != "" {
		line("Type=%s", m.Filesystem)
	}
	line("Options=%s\nTimeoutSec=%ds\n", strings.Join(append([]string{"nofail"}, m.Options...), ","), mountTime)
	line("[Install]\nWantedBy=multi-user.target\n")
	line("[X-Tend]\nName=%s\nOwner=%s", m.Name, owner)
	return []byte(b.String())
}

// ParseUnit reads what [Unit] writes. ok is false for a unit that is not tend's. One that somebody has changed by hand
// is read as far as it goes: it differs from what it should be, and is written anew.
func ParseUnit(text []byte) (m proxmox.HostMount, owner string, ok bool) {
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		switch section + key {
		case "[Mount]What":
			m.Device = value
		case "[Mount]Where":
			m.Path = value
		case "[Mount]Type":
			m.Filesystem = value
		case "[Mount]Options":
			m.Options = withoutNofail(value)
		case "[X-Tend]Name":
			m.Name = value
		case "[X-Tend]Owner":
			owner = value
		}
	}
	return m, owner, m.Name != "" && owner != ""
}

func withoutNofail(list string) (out []string) {
	for o := range strings.SplitSeq(list, ",") {
		if o != "nofail" && o != "" {
			out = append(out, o)
		}
	}
	return out
}

// mountRunbook is how a person mounts or unmounts by hand.
func mountRunbook(r Mount) []string {
	where := r.Mount.Path
	file := quote(UnitFile(where))
	if r.Absent {
		return []string{
			"# only if no container uses " + where,
			UnitCommand(UnitStop, where).String(), UnitCommand(UnitDisable, where).String(), "rm " + file, ReloadCommand().String(),
		}
	}
	out := []string{"mkdir -p -m 0 " + quote(where) + " && chattr +i " + quote(where), "cat > " + file + " <<'EOF'"}
	out = append(out, strings.Split(strings.TrimSuffix(string(Unit(r.Mount, r.Owner)), "\n"), "\n")...)
	return append(out, "EOF", ReloadCommand().String(), UnitCommand(UnitEnable, where).String(), UnitCommand(UnitStart, where).String())
}
