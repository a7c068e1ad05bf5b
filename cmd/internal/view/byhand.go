package view

import (
	"io"

	"github.com/felhom/tend/cmd/internal/rootlane"
)

// ByHand shows what a person can do as root where tend may not. The lines are meant to be copied, so that they are
// neither wrapped nor coloured.
func ByHand(w io.Writer, s Style, work []rootlane.Work) error {
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
