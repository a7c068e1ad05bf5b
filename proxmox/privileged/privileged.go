// Package privileged is the closed list of what root on a node may do for tend because an API token cannot.
//
// Each row of [Exceptions] is one exception: what the API refuses and in which words, what is run instead, what is
// looked at before and after, and how it is undone. What may be asked for is a closed set of typed [Request]s, each of
// one row, which say themselves whether they are well formed ([Request.Validate]) and whether a token could have
// done it ([CheckNeeded]). [Commands] gives the argument vectors of a request, [Edit] the new text of a container's
// configuration file, and [Refused] the error of what a command printed.
//
// The package is pure. It runs nothing and opens nothing: package lane carries requests out, on the node itself
// (package host) or on the simulator. It knows no shell, no network and no spec, and it never makes a command out of
// text: what is run is a vector whose first word is an absolute path of the row.
package privileged

import (
	"regexp"
	"slices"
)

// A Row names an exception, as plans and the audit log write it.
type Row string

// The rows.
const (
	RowSettings       Row = "settings"
	RowRawLines       Row = "raw-lines"
	RowSnapshotMounts Row = "snapshot-mounts"
	RowHostMounts     Row = "host-mounts"
	RowDiskHealth     Row = "disk-health"
	RowUnlock         Row = "unlock"
	RowSnippets       Row = "snippets"
	RowGuestCommands  Row = "guest-commands"
	RowLeader         Row = "leader"
)

// A Refusal is something that the API does not do for a token.
type Refusal struct {
	Call   string // method and path: "PUT /nodes/{node}/lxc/{vmid}/config"; what has no call says so
	Text   string // what Proxmox answers; empty where there is no call that could answer
	Source string // where Proxmox decides it: package, file and sub
}

// An Exception is a row of the closed list.
type Exception struct {
	Name     Row
	Title    string    // what it is, in a few words
	Why      string    // why the API cannot do it
	Refusals []Refusal // what it answers
	Runs     []string  // the executables that the row may run, by absolute path
	Writes   []string  // the places that it may write to itself
	Before   string    // what is checked first
	After    string    // what is checked at the end
	Undo     string    // how it is undone
}

// Exceptions returns the whole list, in the order in which people read it.
func Exceptions() []Exception { return slices.Clone(table) }

// Lookup returns the row of a name.
func Lookup(name Row) (Exception, bool) {
	i := slices.IndexFunc(table, func(e Exception) bool { return e.Name == name })
	if i < 0 {
		return Exception{}, false
	}
	return table[i], true
}

// Explain returns the row that lifts a refusal, by the text in which Proxmox refuses; a status before it and what
// stands around it do not matter. It is how a plan names the exception of a change.
func Explain(text string) (Exception, bool) {
	for _, e := range table {
		for _, r := range e.Refusals {
			if r.Text != "" && r.Text == text {
				return e, true
			}
		}
	}
	return Exception{}, false
}

// LeftOut are the things that only root@pam may do and that tend has no use for.
func LeftOut() []Omission { return slices.Clone(leftOut) }

// An Omission is something that only root may do and that stands on no row.
type Omission struct {
	Refusal
	Why string // why tend has no use for it
}

// writable are the files that rows write themselves: configuration files of containers, snippets, the units of host
// mounts, what a command reads while it runs, and who leads.
var writable = regexp.MustCompile(`^(?:/etc/pve/nodes/[a-zA-Z0-9-]+/lxc/[0-9]+\.conf|/.+/snippets/[\w.+@-]+|` +
	`/etc/systemd/system/[\w.:@\\-]+\.mount|/run/tend/create-[0-9]+\.pub|` + leadDir + `/[\w+.-]+\.leader)$`)

// MayWrite reports whether a row writes a file of this path, which is plain and absolute.
func MayWrite(path string) bool { return writable.MatchString(path) }
