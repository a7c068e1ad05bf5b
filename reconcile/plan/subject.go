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

// The kinds. Templates are made present before the containers that are made from them, and backup jobs are
// written last.
const (
	ContainerKind Kind = iota
	TemplateKind
	JobKind
)

// String is the word that plans show; that of a container is empty, since its VMID says it.
func (k Kind) String() string { return kinds[k] }

var kinds = [...]string{ContainerKind: "", TemplateKind: "template", JobKind: "backup job"}

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

// A Subject is what a lane, or something that is blocked, is about: a container by its VMID, a template on a node,
// or a backup job.
type Subject struct {
	Kind Kind         `json:"kind,omitzero"`
	ID   proxmox.VMID `json:"id,omitzero"`   // of a container
	Name string       `json:"name,omitzero"` // of anything else
	Node string       `json:"node,omitzero"` // of a template
}

// String is "101", "template debian-13 on pve1" or "backup job weekly".
func (s Subject) String() string {
	switch s.Kind {
	case ContainerKind:
		return s.ID.String()
	case TemplateKind:
		return fmt.Sprintf("%s %s on %s", s.Kind, s.Name, s.Node)
	}
	return s.Kind.String() + " " + s.Name
}

// Compare orders subjects as plans show them: templates, containers by VMID, backup jobs.
func (s Subject) Compare(t Subject) int {
	rank := [...]int{ContainerKind: 1, TemplateKind: 0, JobKind: 2}
	return cmp.Or(
		cmp.Compare(rank[s.Kind], rank[t.Kind]), cmp.Compare(s.ID, t.ID), strings.Compare(s.Name, t.Name), strings.Compare(s.Node, t.Node),
	)
}

func subject(k Kind, ref proxmox.Ref, name string) Subject {
	if k == ContainerKind {
		return Subject{ID: ref.ID}
	}
	s := Subject{Kind: k, Name: name}
	if k == TemplateKind {
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
