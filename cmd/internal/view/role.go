package view

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/felhom/tend/reconcile/plan"
)

// A Role is the privileges that a spec needs, and how a token gets them.
type Role struct {
	Grants []plan.Grant
	User   string // "tend@pve"
	Token  string // name of the token, "apply"
}

// A RoleEntry is a role and the paths on which it is given.
type RoleEntry struct {
	Name       string   `json:"name"`
	Privileges []string `json:"privileges"`
	Paths      []string `json:"paths"`
}

// Entries gives the grants names: one role for each set of privileges.
func (r Role) Entries() []RoleEntry {
	var out []RoleEntry
	for _, g := range r.Grants {
		i := slices.IndexFunc(out, func(e RoleEntry) bool { return slices.Equal(e.Privileges, g.Privileges) })
		if i < 0 {
			i = len(out)
			out = append(out, RoleEntry{Name: roleName(g), Privileges: g.Privileges})
			for n := 2; slices.ContainsFunc(out[:i], func(e RoleEntry) bool { return e.Name == out[i].Name }); n++ {
				out[i].Name = fmt.Sprintf("%s%d", roleName(g), n)
			}
		}
		out[i].Paths = append(out[i].Paths, g.Path)
	}
	return out
}

// roleName is a name by the kind of things on which a role is given.
func roleName(g plan.Grant) string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(g.Path, "/"), "/")
	if slices.Equal(g.Privileges, []string{"Datastore.Audit"}) {
		return "TendTemplates"
	}
	switch kind {
	case "":
		return "TendCluster"
	case "vms":
		return "TendGuests"
	case "storage":
		return "TendVolumes"
	case "sdn":
		return "TendNetwork"
	case "nodes":
		return "TendNodes"
	case "pool":
		return "TendPool"
	}
	return "Tend"
}

// Commands are the lines that make the roles, the user, the token and the entries, to be run by root on a node.
func (r Role) Commands() []string {
	var out []string
	for _, e := range r.Entries() {
		out = append(out, fmt.Sprintf("pveum role add %s --privs %q", e.Name, strings.Join(e.Privileges, " ")))
	}
	out = append(out,
		fmt.Sprintf("pveum user add %s --comment \"tend\"", r.User),
		fmt.Sprintf("pveum user token add %s %s --privsep 1", r.User, r.Token),
	)
	for _, e := range r.Entries() {
		for _, path := range e.Paths {
			out = append(out, fmt.Sprintf("pveum acl modify %s --roles %s --users %s --tokens '%s!%s'", path, e.Name, r.User, r.User, r.Token))
		}
	}
	return out
}

// Text writes the roles and the commands.
func (r Role) Text(w io.Writer, s Style) error {
	out := &printer{w: w}
	l := layout{Style: s}
	out.line("%s", s.paint(bold, "What a token needs for this spec:"))
	for _, e := range r.Entries() {
		out.line("  %s on %s", s.paint(bold, e.Name), Clean(strings.Join(e.Paths, ", ")))
		l.hanging(out, strings.Join(e.Privileges, ", "), 6)
	}
	out.line("")
	out.line("%s", s.paint(bold, "As root, on a node; \"token add\" shows the secret, once:"))
	for _, c := range r.Commands() {
		out.line("  %s", c)
	}
	return out.err
}

type roleJSON struct {
	Version  int         `json:"version"`
	Kind     string      `json:"kind"`
	User     string      `json:"user"`
	Token    string      `json:"token"`
	Roles    []RoleEntry `json:"roles"`
	Commands []string    `json:"commands"`
}

// JSON writes the same for programs.
func (r Role) JSON(w io.Writer) error {
	return writeJSON(w, roleJSON{JSONVersion, "role", r.User, r.Token, append([]RoleEntry{}, r.Entries()...), r.Commands()})
}
