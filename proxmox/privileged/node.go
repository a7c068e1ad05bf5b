package privileged

import (
	"fmt"

	"github.com/felhom/tend/proxmox"
)

// Mount makes a file system of the node present at a place, or absent from it. Nothing is ever formatted, and a mount
// that is not tend's own is left alone.
type Mount struct {
	Node   string
	Owner  string // tag of the spec that it is from
	Mount  proxmox.HostMount
	Absent bool // take it away
}

// PutSnippet puts a hook script in place, executable, in the snippets of a storage.
type PutSnippet struct {
	Node    string
	Volume  string // "local:snippets/hook.sh"
	Content []byte // at most [MaxSnippet]
	SHA256  string // of the content, in hex: what the plan was made with
}

// MaxSnippet is the size in bytes that a snippet may have.
const MaxSnippet = proxmox.MaxSnippet

// ReadHealth reads the health of a disk, all sensors, or which disks there are with what lies on them. It changes
// nothing.
type ReadHealth struct {
	Node    string
	Disk    string // "/dev/sda": what smartctl prints; or
	Sensors bool   // temperatures and fans: what sensors prints; or
	Disks   bool   `json:",omitempty"` // all disks: a [proxmox.NodeDisks]
}

// Row is [RowHostMounts].
func (Mount) Row() Row { return RowHostMounts }

// Row is [RowSnippets].
func (PutSnippet) Row() Row { return RowSnippets }

// Row is [RowDiskHealth].
func (ReadHealth) Row() Row { return RowDiskHealth }

// Target is the node.
func (r Mount) Target() proxmox.Ref { return proxmox.Ref{Node: r.Node} }

// Target is the node.
func (r PutSnippet) Target() proxmox.Ref { return proxmox.Ref{Node: r.Node} }

// Target is the node.
func (r ReadHealth) Target() proxmox.Ref { return proxmox.Ref{Node: r.Node} }

func (Mount) kind() string      { return "mount" }
func (PutSnippet) kind() string { return "put-snippet" }
func (ReadHealth) kind() string { return "read-health" }

// String is "mount usb at /mnt/usb on pve1".
func (r Mount) String() string {
	verb := "mount"
	if r.Absent {
		verb = "unmount"
	}
	return fmt.Sprintf("%s %s at %s on %s", verb, r.Mount.Name, r.Mount.Path, r.Node)
}

// String is "put snippet local:snippets/hook.sh on pve1".
func (r PutSnippet) String() string { return fmt.Sprintf("put snippet %s on %s", r.Volume, r.Node) }

// String is "read health of /dev/sda on pve1".
func (r ReadHealth) String() string {
	what := "health of " + r.Disk
	switch {
	case r.Sensors:
		what = "sensors"
	case r.Disks:
		what = "disks"
	}
	return fmt.Sprintf("read %s on %s", what, r.Node)
}
