package backup

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// A Role is what a restore or a drill made of a container. It stands in a line of the container's description; a tag of
// the same name shows it to people. A container that has one does not carry the owner's tag, so that no plan touches it.
type Role string

// The roles.
const (
	Restored Role = "restored" // made from a backup, and not yet in the place of the container that it is of
	Replaced Role = "replaced" // another one is in its place; it is kept, stopped and protected
	Scratch  Role = "drill"    // made by a drill, which destroys it
)

// Tag is the tag that shows a role.
func (r Role) Tag(owner string) string { return owner + "-" + string(r) }

// A Mark is the line in a description that says what a container is.
type Mark struct {
	Role    Role
	Other   proxmox.VMID // the container that a copy is of, or that is in the place of this one
	Archive string       // of a copy
	Ran     bool         // of a replaced one: it ran before
}

// String is the line for an owner: "[tend restored 120 from local:backup/…]".
func (m Mark) line(owner string) string {
	text := "[" + owner + " " + string(m.Role) + " " + m.Other.String()
	if m.Archive != "" {
		text += " from " + m.Archive
	}
	if m.Ran {
		text += " running"
	}
	return text + "]"
}

var markLine = regexp.MustCompile(`^\[(\S+) (restored|replaced|drill) ([0-9]+)(?: from (\S+))?( running)?\]$`)

// markOf finds the owner's mark in a description; ok is false where there is none, or more than one.
func markOf(description, owner string) (m Mark, ok bool) {
	for line := range strings.SplitSeq(description, "\n") {
		f := markLine.FindStringSubmatch(strings.TrimSpace(line))
		if f == nil || f[1] != owner {
			continue
		}
		if ok {
			return Mark{}, false
		}
		id, err := strconv.Atoi(f[3])
		if err != nil {
			return Mark{}, false
		}
		m, ok = Mark{Role: Role(f[2]), Other: proxmox.VMID(id), Archive: f[4], Ran: f[5] != ""}, true
	}
	return m, ok
}

// unmarked is a description without the lines that are marks of the owner.
func unmarked(description, owner string) string {
	var out []string
	for line := range strings.SplitSeq(strings.TrimRight(description, "\n"), "\n") {
		if f := markLine.FindStringSubmatch(strings.TrimSpace(line)); f == nil || f[1] != owner {
			out = append(out, line)
		}
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n")
}

// marked is a description with a mark in place of others of the owner.
func marked(description, owner string, m Mark) string {
	return strings.TrimLeft(unmarked(description, owner)+"\n"+m.line(owner), "\n")
}

// tagged are tags without those of the owner and of roles, and with one more.
func tagged(tags []string, owner, more string) string {
	out := []string{}
	for _, t := range tags {
		own := strings.EqualFold(t, owner) || roleOf([]string{t}, owner) != ""
		if !own && !strings.EqualFold(t, more) {
			out = append(out, t)
		}
	}
	return strings.Join(append(out, more), ";")
}

func hasTag(tags []string, tag string) bool {
	for _, t := range tags {
		if strings.EqualFold(t, tag) {
			return true
		}
	}
	return false
}

// roleOf is the role whose tag is among some; "" where none is.
func roleOf(tags []string, owner string) Role {
	for _, r := range []Role{Restored, Replaced, Scratch} {
		if hasTag(tags, r.Tag(owner)) {
			return r
		}
	}
	return ""
}
