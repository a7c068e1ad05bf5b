package report_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
)

// TestLead shows what an agent does beside others, and warns where it does nothing.
func TestLead(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		lead  *report.Lead
		acts  bool
		level report.Level
		want  string
	}{
		{nil, true, report.Well, "says the agent on pve1, which last looked"},
		{&report.Lead{Role: report.Sole}, true, report.Well, "says the agent on pve1, which last looked"},
		{&report.Lead{Role: report.Leads}, true, report.Well, "which leads and last looked"},
		{&report.Lead{Role: report.Follows, Node: "pve2"}, false, report.Well, "which follows pve2 and last looked"},
		{&report.Lead{Role: report.Follows}, false, report.Well, "which follows another agent and last looked"},
		{&report.Lead{Role: report.Waits, Why: "no quorum"}, false, report.Warn, "This agent changes nothing\n           no quorum"},
	} {
		r := &report.Report{Agent: report.Agent{Host: "pve1", Lead: tt.lead}, Loop: report.Loop{Observed: now, Last: &report.Run{Result: report.Quiet}}}
		var b bytes.Buffer
		if err := (report.Shown{Report: r, Now: now}).Text(&b, view.Style{}); err != nil {
			t.Fatal(err)
		}
		if level := r.Verdict(now).Level; level != tt.level || !strings.Contains(b.String(), tt.want) {
			t.Errorf("%+v is %v:\n%s", tt.lead, level, b.String())
		}
		if tt.lead != nil && (tt.lead.Acts() != tt.acts || r.Follows() != (tt.lead.Role == report.Follows)) {
			t.Errorf("%+v: acts %v, follows %v", tt.lead, tt.lead.Acts(), r.Follows())
		}
	}
}
