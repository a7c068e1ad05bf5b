package history

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
)

// A List is runs as tend history shows them, newest first.
type List struct{ Runs []report.Run }

// Text writes a line a run.
func (l List) Text(w io.Writer, _ view.Style) error {
	if len(l.Runs) == 0 {
		_, err := fmt.Fprintln(w, "No run is in the history.")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range l.Runs {
		result := string(r.Result)
		if r.Times > 1 {
			result += fmt.Sprintf(" (%d times)", r.Times)
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", r.ID, stamp(r), result, revision(r.Revision), view.Clean(r.Trigger))
	}
	return t.Flush()
}

// JSON writes the runs for programs.
func (l List) JSON(w io.Writer) error {
	if l.Runs == nil {
		l.Runs = []report.Run{}
	}
	return writeJSON(w, struct {
		Version int          `json:"version"`
		Kind    string       `json:"kind"`
		Runs    []report.Run `json:"runs"`
	}{view.JSONVersion, "history", l.Runs})
}

// Text writes the run with its plan and what became of it.
func (r Record) Text(w io.Writer, s view.Style) error {
	_, err := fmt.Fprintf(w, "Run %d: %s\n%s, took %s, of %s, because: %s\n", r.ID, r.Result, stamp(r.Run), r.Took().Round(time.Millisecond), revision(r.Revision), view.Clean(r.Trigger))
	if err == nil && r.Error != "" {
		_, err = fmt.Fprintln(w, view.Clean(r.Error))
	}
	if err == nil && r.Cut {
		_, err = fmt.Fprintln(w, "Its plan and results were too large to be kept.")
	}
	if err == nil && r.Sheet != nil {
		if _, err = fmt.Fprintln(w); err == nil {
			err = r.Sheet.Text(w, s)
		}
	}
	if err == nil && r.Account != nil {
		err = r.Account.Text(w, s)
	}
	return err
}

// JSON writes all that is kept of the run, for programs.
func (r Record) JSON(w io.Writer) error {
	type plain Record // without these methods
	return writeJSON(w, struct {
		Version int    `json:"version"`
		Kind    string `json:"kind"`
		plain
	}{view.JSONVersion, "run", plain(r)})
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func stamp(r report.Run) string { return r.Ended.Local().Format("2006-01-02 15:04:05") }

func revision(r report.Revision) string {
	if r.ID == "" {
		return "no revision"
	}
	text := r.ID[:min(7, len(r.ID))]
	if r.Ref != "" {
		text += " (" + view.Clean(r.Ref) + ")"
	}
	return strings.TrimSpace(text)
}
