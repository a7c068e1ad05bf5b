package plan

import (
	"encoding/json"

	"github.com/felhom/tend/proxmox"
)

// MountHost mounts a file system of the lane's node, for as long as the owner's spec wants it. Root alone can.
type MountHost struct {
	Owner string
	Mount proxmox.HostMount
}

// UnmountHost takes a host mount away; what is on the disk stays.
type UnmountHost struct {
	Owner string
	Mount proxmox.HostMount
}

// PutSnippet puts a hook script in place, executable.
type PutSnippet struct {
	Volume  string
	SHA256  string // of the content, in hex
	Content []byte
}

func (MountHost) op()   {}
func (UnmountHost) op() {}
func (PutSnippet) op()  {}

// Verb implements [Op].
func (o MountHost) Verb() string { return "mount " + o.Mount.Device + " at " + o.Mount.Path }

// Verb implements [Op].
func (o UnmountHost) Verb() string { return "unmount " + o.Mount.Path }

// Verb implements [Op].
func (o PutSnippet) Verb() string { return "put snippet " + o.Volume }

// MarshalJSON leaves the content out, for which its checksum stands.
func (o PutSnippet) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct{ Volume, SHA256 string }{o.Volume, o.SHA256})
}
