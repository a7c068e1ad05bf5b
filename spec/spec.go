// Package spec is what people commit: the state that a cluster's containers shall have.
//
// A [State] is decoded from YAML by package load; what may be written stands in [Document], the table from
// which the JSON Schema and the reference are made too. What a container can be told stands in package
// setting and only there.
//
// The package does no I/O.
package spec

import (
	"fmt"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// A State is a whole spec, with profiles and defaults merged into its containers.
type State struct {
	Cluster    Cluster
	Containers []*Container      // by VMID
	Templates  []*Template       // by name
	Jobs       []*BackupJob      // by name
	Policies   []*SnapshotPolicy // by name
	HostMounts []*HostMount      // by name
	Snippets   []*Snippet        // by name
	// ManagesJobs says that backup jobs are written about, if only that there shall be none.
	ManagesJobs bool
	// ManagesHostMounts says the same of host mounts.
	ManagesHostMounts bool
}

// Template returns the template with a name, or nil.
func (s *State) Template(name string) *Template {
	for _, t := range s.Templates {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// ManagesPools reports whether any container says in which pool it shall be.
func (s *State) ManagesPools() bool {
	return slices.ContainsFunc(s.Containers, func(c *Container) bool { return c.Pool != nil })
}

// A Cluster says which cluster a spec is for and what marks the containers it manages.
type Cluster struct {
	Name     string   // shown in plans
	Owner    string   // tag put on each managed container
	Nodes    []string // refuse to run against a cluster without these
	TimeZone string   // of snapshot policies that say none; empty: UTC
}

// A Container is one declared container.
type Container struct {
	Name      string
	ID        proxmox.VMID
	Node      string
	From      From
	Settings  setting.Record // values of the rows of setting.Container, as written
	Power     Power
	Restart   RestartPolicy
	Lifecycle Lifecycle
	Init      Init
	Adopt     bool
	Snapshots setting.Record // values of the row Snapshots; nil: nothing is said. See State.PolicyOf
	Holds     []string       // names of snapshots that are never dropped
	Pool      *string        // pool that it is in, "" for none; nil: it is left as it is
	DependsOn []string       // names of containers that are started before
	Place     Place          // where its name stands
}

// Label is the container's VMID and name, for messages: "120 media".
func (c *Container) Label() string { return fmt.Sprintf("%d %s", c.ID, c.Name) }

// A Place is a position in a file of a spec.
type Place struct {
	File         string
	Line, Column int
}

// String is "file:line:column", or the file alone where a fault is about the whole of it.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// From says what a container is made from: one of its fields is set.
type From struct {
	Template string // volume of a template, "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"
	Image    string // volume of an OCI image, "local:vztmpl/caddy_2.tar"
	Backup   string // volume of a backup, "local:backup/vzdump-lxc-120-2026_11_01-02_30_00.tar.zst"
	Clone    Clone
}

// IsZero reports whether nothing is said.
func (f From) IsZero() bool { return f == From{} }

// A Clone is a copy of another container.
type Clone struct {
	ID       proxmox.VMID // of the source; 0 where none
	Snapshot string       // copied in place of the present
	Kind     CloneKind
}

// A CloneKind says how volumes are copied.
type CloneKind string

// The kinds of clones. Where none is said, a template is cloned linked and anything else in full.
const (
	FullClone   CloneKind = "full"
	LinkedClone CloneKind = "linked"
)

// Power is whether a container shall run.
type Power string

// The states of power.
const (
	Running Power = "running"
	Stopped Power = "stopped"
	Any     Power = "any" // left as it is
)

// A RestartPolicy says when a change that needs a restart may have one.
type RestartPolicy string

// The restart policies.
const (
	RestartNever  RestartPolicy = "never"  // by hand only
	RestartWindow RestartPolicy = "window" // in a maintenance window
	RestartNow    RestartPolicy = "now"    // with the change
)

// A Lifecycle limits what may happen to a container.
type Lifecycle struct {
	ForbidDestroy bool
	AllowRecreate bool
	BackupTo      string   // storage of the backup that a recreate makes first
	Ignore        []string // paths of settings that are left alone
}

// Init is what a container is given at create and never again.
type Init struct {
	SSHKeys  []string
	Password SecretRef
}

// A SecretRef says where a secret is found; the secret itself is never part of a spec.
type SecretRef struct{ File, Env string }

// IsZero reports whether there is no secret.
func (r SecretRef) IsZero() bool { return r == SecretRef{} }

// A Fault is something wrong in a spec.
type Fault struct {
	At    setting.Path // what it is about
	Place Place        // where it stands
	Err   error
	// With are the other values that it was judged by: where one of them is at fault itself, this fault may be
	// none.
	With []setting.Path
}

// Error is "file:line:column: field: what is wrong".
func (f Fault) Error() string {
	if len(f.At) == 0 {
		return fmt.Sprintf("%s: %v", f.Place, f.Err)
	}
	return fmt.Sprintf("%s: %s: %v", f.Place, f.At, f.Err)
}

// Unwrap returns the error without its place.
func (f Fault) Unwrap() error { return f.Err }
