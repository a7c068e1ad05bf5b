package view

import (
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/rest"
	"github.com/felhom/tend/spec"
)

// Error writes what went wrong, to whoever called the program: each of several errors on a line of its own, the
// log of a task that failed below it, and what to do where that is known.
func Error(w io.Writer, s Style, err error) {
	out := &printer{w: w}
	for _, e := range split(err) {
		out.line("%s %s", s.paint(red, "tend:"), cleanLines(e.Error()))
		if t, ok := errors.AsType[*proxmox.TaskError](e); ok {
			for _, l := range t.Log {
				out.line("      %s", s.paint(dim, Clean(l)))
			}
		}
		if h := Hint(e); h != "" {
			out.line("      → %s", h)
		}
	}
}

// cleanLines cleans each line; errors of parsers have several.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Clean(lines[i])
	}
	return strings.Join(lines, "\n      ")
}

// split takes joined errors apart.
func split(err error) []error {
	if _, isClass := err.(interface{ Unwrap() error }); isClass {
		return []error{err}
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || !strings.Contains(err.Error(), "\n") {
		return []error{err}
	}
	return joined.Unwrap()
}

// Hint is what a person can do about an error; empty where the error says it itself.
func Hint(err error) string {
	var api *proxmox.APIError
	var task *proxmox.TaskError
	var cert *rest.TLSError
	missing := proxmox.Privileges{}
	if errors.As(err, &api) {
		missing = api.Missing
	}
	if errors.As(err, &task) {
		missing = task.Missing
	}
	switch {
	case errors.As(err, &cert):
		return config.Trust(cert.Presented)
	case errors.Is(err, proxmox.ErrUnauthorized):
		return "Proxmox does not know the token: look at its id, its secret and its expiry (tend doctor shows where it was found)"
	case missing.RootOnly:
		return "only root@pam itself may do this, and no API token: do it by hand, or leave it out of the spec"
	case !missing.IsZero():
		return "give the token the privilege: " + missing.String() + " (tend doctor lists all that are missing)"
	case errors.Is(err, proxmox.ErrNoQuorum):
		return "bring the cluster's other nodes back; without quorum it takes no changes"
	case errors.Is(err, proxmox.ErrOutcomeUnknown):
		return "run it again: what was done is looked up before anything is repeated"
	case errors.Is(err, proxmox.ErrUnreachable):
		return "is the endpoint right, the node up, and its port reachable from here? (tend doctor shows what was tried)"
	}
	return ""
}

// Faults writes what is wrong with a spec, a line each.
func Faults(w io.Writer, s Style, faults []spec.Fault) error {
	out := &printer{w: w}
	for _, f := range faults {
		place, rest, ok := strings.Cut(f.Error(), ": ")
		if !ok {
			place, rest = "", f.Error()
		}
		out.line("%s: %s", s.paint(bold, Clean(place)), cleanLines(rest))
	}
	out.line("%s", s.paint(red, count(len(faults), "problem")))
	return out.err
}

// Validated says that a spec is good.
func Validated(w io.Writer, s Style, state *spec.State) error {
	out := &printer{w: w}
	out.line("%s", s.paint(green, "The spec is good: "+count(len(state.Containers), "container")))
	return out.err
}

// Raw writes a text as it is, with a line end.
func Raw(w io.Writer, text []byte) error {
	_, err := w.Write([]byte(strings.TrimRight(string(text), "\n") + "\n"))
	return err
}

// Saved says that a plan was saved, and which command carries it out.
func Saved(w io.Writer, s Style, command []string) error {
	out := &printer{w: w}
	words := make([]string, len(command))
	for i, word := range command {
		words[i] = shellWord(Clean(word))
	}
	out.line("%s", s.paint(dim, "Saved: "+strings.Join(words, " ")+" carries it out, as long as the containers are as they were."))
	return out.err
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shellWord is a word as it is typed into a shell.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
