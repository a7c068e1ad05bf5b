package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/view"
)

// A Shown is a report as tend status --agent shows it.
type Shown struct {
	*Report
	Now time.Time
}

// Text writes what needs somebody first, then the source, and then each container.
func (s Shown) Text(w io.Writer, style view.Style) error {
	v := s.Verdict(s.Now)
	var b strings.Builder
	which := ""
	if s.Agent.Lead.AmongOthers() {
		which = " " + view.Clean(s.Agent.Lead.Words()) + " and"
	}
	fmt.Fprintf(&b, "%s, says the agent on %s, which%s last looked %s\n", v.Text, view.Clean(s.Agent.Host), which, ago(s.Now, s.Loop.Observed))
	for _, i := range v.Items {
		fmt.Fprintf(&b, "  %-8s %s\n", i.Level, view.Clean(i.What))
		for _, more := range []string{i.Why, i.Do} {
			if more != "" {
				fmt.Fprintf(&b, "           %s\n", view.Clean(more))
			}
		}
	}
	fmt.Fprintf(&b, "source: %s\n", view.Clean(s.Source.Place))
	switch r := s.Source.InForce; {
	case r.ID == "":
		b.WriteString("in force: nothing yet\n")
	default:
		subject, _, _ := strings.Cut(r.Message, "\n")
		fmt.Fprintf(&b, "in force: %s %s, since %s\n", r.ID[:min(7, len(r.ID))], view.Clean(subject), s.Source.Since.Local().Format(time.DateTime))
	}
	if !s.Loop.Next.IsZero() {
		fmt.Fprintf(&b, "next pass: %s at the latest\n", s.Loop.Next.Local().Format(time.DateTime))
	}
	if _, err := io.WriteString(w, b.String()+"\n"); err != nil {
		return err
	}
	return s.state().Text(w, style)
}

// state are the containers, as tend status shows them.
func (s Shown) state() view.ClusterState {
	out := view.ClusterState{Cluster: s.Agent.Cluster, Spec: view.Revision{Hash: s.Source.InForce.ID[:min(7, len(s.Source.InForce.ID))], Branch: s.Source.InForce.Ref}}
	for _, c := range s.Containers {
		x := c.ContainerState
		if c.Suspended != nil {
			x.Problems = append(x.Problems[:len(x.Problems):len(x.Problems)], c.Suspended.words())
		}
		out.Containers = append(out.Containers, x)
	}
	for _, o := range s.Others {
		out.Others = append(out.Others, o.Subject.String())
	}
	return out
}

// words say who left a container alone, and why.
func (s Suspension) words() string {
	text := "left alone by " + s.By
	if !s.Until.IsZero() {
		text += " until " + s.Until.Local().Format(time.DateTime)
	}
	return text + ": " + s.Reason
}

func ago(now, then time.Time) string {
	if then.IsZero() {
		return "never"
	}
	return now.Sub(then).Round(time.Second).String() + " ago"
}

// JSON writes the report for programs.
func (s Shown) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(s.Report)
}
