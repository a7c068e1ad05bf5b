// Package setting holds the table of everything that a container can be told: one row per setting, and each
// setting in this one place.
//
// A row says how authors write the setting, how Proxmox VE writes it, what its absence means on either side,
// what a change of it costs a running container and who may make that change. Decoding specs and live
// configurations, the JSON Schema, the reference, plans and what is sent to Proxmox are all made by walking
// the rows: adding a setting is adding a row.
//
// Rows are typed: a [Key] carries the Go type of its value and is the only way to read one from a [Record].
// Property strings (rootfs, features) are rows whose value is a Record with a table of its own, an [Object];
// indexed keys (net0, mp0, dev0) are a [Family], whose members are known by what identifies them for a
// person, such as the interface's name, never by their index.
//
// The package does no I/O and asks no clock.
package setting

import (
	"slices"
	"strings"
)

// A Record holds values by the path of their row: what a spec says or what a node has. Absent rows are
// absent from the map. Values are read with [Key.Get].
type Record map[string]any

// A Path leads to a value in a spec: container and mount names and field names, from the root.
type Path []string

// Join returns the path with further elements.
func (p Path) Join(elems ...string) Path {
	return slices.Concat(p, elems)
}

// String joins the elements with dots.
func (p Path) String() string { return strings.Join(p, ".") }

// A Report receives the faults found while decoding, each with its place.
type Report func(at Path, err error)

// An Effect is what a change costs a container. They are ordered: a plan shows the largest.
type Effect int

// The effects, from none to impossible.
const (
	Online   Effect = iota // takes effect at once and interrupts nothing
	LinkFlap               // takes effect at once; a network link is cut for a moment
	Restart                // waits until the container stops and starts
	Recreate               // only a new container can have it
	Refused                // Proxmox cannot do it
)

// String is the word that plans show.
func (e Effect) String() string {
	return [...]string{"online", "link flap", "restart", "recreate", "refused"}[e]
}

// MarshalText encodes the word of String.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// An Access says who may make a change. The zero value is: an API token may.
type Access struct {
	Root    bool   // only root@pam may, no API token
	Reason  string // why, in a few words
	Refusal string // what Proxmox answers to a token
}

// A TagStyle is how the datacenter normalises tags (datacenter.cfg, tag-style).
type TagStyle struct {
	CaseSensitive bool // else tags are lower-cased
	KeepOrder     bool // ordering=config; else tags are sorted
}

// Facts are what the rules of a row need to know about the container besides the value.
type Facts struct {
	Creating     bool // the container does not exist yet
	Running      bool
	Unprivileged bool
	TagStyle     TagStyle
}

// A Change is a change of one row, or of one member of a family.
type Change struct {
	Row      Row
	Identity string // the member of a family: interface, guest path, device; else empty
	Renamed  string // what the member was known by before; empty where that does not change
	Old, New any    // nil: absent
	Effect   Effect
	Access   Access
	Note     string // what a person should know besides, may be empty
}

// A Row is one setting, without its Go type: what walks of the table see. [Key] and [*Family] are the rows.
type Row interface {
	SpecPath() string // where it stands in a spec, below its object: "dns.servers"
	PVEKey() string   // Proxmox's key or sub-key, "net" for a family; empty where it has none
	Info() Info       // what a person reads about it
	// DecodeSpec reads the value as authors write it, as encoding/json decodes it with UseNumber. ok is false
	// after a fault; value is then what could be read of a mapping all the same, and nil of anything else.
	DecodeSpec(in any, at Path, report Report) (value any, ok bool)
	// EncodeSpec is the inverse: what an author would write.
	EncodeSpec(value any) any
	// ParseWire and FormatWire convert from and to Proxmox's text.
	ParseWire(text string) (any, error)
	FormatWire(value any) string
	// Text is the value as plans show it.
	Text(value any) string
	// Equal compares two values, either of which may be nil for absent.
	Equal(a, b any) bool
	// Want is the value that the row shall have: what the spec says, what absence means, or what Proxmox
	// generated. have is the live value, nil where there is none. ok is false where it shall be absent.
	Want(spec, have any, f Facts) (value any, ok bool)
	// Effect, Access and Note are the rules of a change; nil stands for absent.
	Effect(old, new any, f Facts) Effect
	Access(old, new any, f Facts) Access
	Note(old, new any, f Facts) string
	// Schema is the JSON Schema of the value in a spec.
	Schema() Schema
}

// Info describes a row for people and for walks of the table.
type Info struct {
	Path     string // in the spec, below its object: "dns.servers"
	PVE      string // Proxmox's key or sub-key, "net" for a family; empty where it has none
	Label    string // in plans: "read only"
	Doc      string // a sentence or more
	Type     string // what kind of value, in words
	Default  string // what absence in a spec means, in words
	Example  string // a value as authors write it
	Required bool
	Fixed    bool // cannot be deleted, only set
	Create   bool // sent at create only
	Virtual  bool // stands for a part of another key
	Rows     []Row
	Groups   map[string]Group
	Running  string // what a change of a running container costs, in words
	Lane     string // who may change it, in words
}

// Schema is a JSON Schema as encoding/json prints it.
type Schema map[string]any
