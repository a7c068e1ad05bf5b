package view

import (
	"io"

	"github.com/felhom/tend/cmd/internal/byhand"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/spec/setting"
)

// ByHand shows what a person can do as root where tend may not. The lines are meant to be copied, so that they are
// neither wrapped nor coloured.
func ByHand(w io.Writer, s Style, work []byhand.Work) error {
	out := &printer{w: w}
	if len(work) == 0 {
		out.line("")
		out.line("%s", s.paint(dim, "Nothing of it is for root."))
		return out.err
	}
	for _, x := range work {
		out.line("")
		out.line("%s", s.paint(dim, "# as root on "+Clean(x.Node)+", for "+Clean(x.About)))
		for _, line := range x.Lines {
			out.line("%s", Clean(line))
		}
	}
	return out.err
}

// rootNote says why a change is for root, and by which exception it is made.
func rootNote(a setting.Access) string {
	if name := exceptionOf(a); name != "" {
		return "root (" + string(name) + "): " + a.Reason
	}
	return "root: " + a.Reason
}

// exceptionOf is the row of the closed list by which a change is made as root; empty for what a token may.
func exceptionOf(a setting.Access) privileged.Row {
	if !a.Root {
		return ""
	}
	e, _ := privileged.Explain(a.Refusal)
	return e.Name
}
