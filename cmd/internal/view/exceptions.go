package view

import (
	"io"
	"strings"

	"github.com/felhom/tend/proxmox/privileged"
)

// Exceptions shows the closed list of what tend has done as root, and what it leaves out.
func Exceptions(w io.Writer, s Style) error {
	out := &printer{w: w}
	l := layout{Style: s}
	note := func(label, text string) {
		const at = 11
		for i, line := range wrap(text, s.width()-at) {
			if i > 0 {
				label = ""
			}
			out.line("  %s%s", pad(label, at-2), line)
		}
	}
	l.below(out, wrap("Only root@pam itself may do these, and no API token, not even one of root's. Where the setting lane says so, tend has "+
		"them done as root on the node: these and nothing else.", s.width()), 0, plain)
	for _, e := range privileged.Exceptions() {
		out.line("")
		out.line("%s", s.paint(bold, string(e.Name))+"  "+e.Title)
		note("why", e.Why)
		for _, r := range e.Refusals {
			note("refused", refusal(r))
		}
		if len(e.Runs) > 0 {
			note("runs", strings.Join(e.Runs, ", "))
		}
		if len(e.Writes) > 0 {
			note("writes", strings.Join(e.Writes, ", "))
		}
		note("before", e.Before)
		note("after", e.After)
		note("undo", e.Undo)
	}
	out.line("")
	out.line("%s", s.paint(bold, "Left out"))
	for _, o := range privileged.LeftOut() {
		note("", refusal(o.Refusal))
		note("", o.Why)
	}
	return out.err
}

// refusal is a call and what Proxmox answers to a token, where there is one.
func refusal(r privileged.Refusal) string {
	if r.Text == "" {
		return r.Call + " (" + r.Source + ")"
	}
	return r.Call + ": " + r.Text + " (" + r.Source + ")"
}
