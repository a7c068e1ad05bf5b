package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// A Kind is what sort of thing a lane is about.
type Kind int

// The kinds. Host mounts, templates and snippets are made present before the containers that need them, and backup
// jobs are written last.
const (
	ContainerKind Kind = iota
	TemplateKind
	JobKind
	HostMountKind
	SnippetKind
)

// String is the word that plans show; that of a container is empty, since its VMID says it.
func (k Kind) String() string { return kinds[k] }

var kinds = [...]string{ContainerKind: "", TemplateKind: "template", JobKind: "backup job", HostMountKind: "host mount", SnippetKind: "snippet"}

// MarshalText encodes the word of String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText decodes the word of String.
func (k *Kind) UnmarshalText(text []byte) error {
	i := slices.Index(kinds[:], string(text))
	if i < 0 {
		return fmt.Errorf("%q is no kind of thing that a plan is about", text)
	}
	*k = Kind(i)
	return nil
}

// A Subject is what a lane, or something that is blocked, is about: a container by its VMID, a template, host mount
// or snippet on a node, or a backup job.
type Subject struct {
	Kind Kind         `json:"kind,omitzero"`
	ID   proxmox.VMID `json:"id,omitzero"`   // of a container
	Name string       `json:"name,omitzero"` // of anything else
	Node string       `json:"node,omitzero"` // of a template, host mount or snippet
}

// String is "101", "template debian-13 on pve1" or "backup job weekly".
func (s Subject) String() string {
	switch s.Kind {
	case ContainerKind:
		return s.ID.String()
	case TemplateKind, HostMountKind, SnippetKind:
		return fmt.Sprintf("%s %s on %s", s.Kind, s.Name, s.Node)
	}
	return s.Kind.String() + " " + s.Name
}

// Compare orders subjects as plans show them: host mounts, templates, snippets, containers by VMID, backup jobs.
func (s Subject) Compare(t Subject) int {
	rank := [...]int{HostMountKind: 0, TemplateKind: 1, SnippetKind: 2, ContainerKind: 3, JobKind: 4}
	return cmp.Or(
		cmp.Compare(rank[s.Kind], rank[t.Kind]), cmp.Compare(s.ID, t.ID), strings.Compare(s.Name, t.Name), strings.Compare(s.Node, t.Node),
	)
}

func subject(k Kind, ref proxmox.Ref, name string) Subject {
	if k == ContainerKind {
		return Subject{ID: ref.ID}
	}
	s := Subject{Kind: k, Name: name}
	if k != JobKind {
		s.Node = ref.Node
	}
	return s
}

// Subject is what the lane is about.
func (l Lane) Subject() Subject { return subject(l.Kind, l.Ref, l.Name) }

// Subject is what is blocked.
func (b Blocked) Subject() Subject {
	return subject(b.Kind, proxmox.Ref{Node: b.Node, ID: b.ID}, b.Name)
}

// Of returns the lane of a subject, or nil.
func (p *Plan) Of(s Subject) *Lane {
	for i := range p.Lanes {
		if p.Lanes[i].Subject() == s {
			return &p.Lanes[i]
		}
	}
	return nil
}
