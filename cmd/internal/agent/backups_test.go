package agent_test

import (
	"strings"
	"testing"

	"github.com/felhom/tend/cmd/internal/agent/report"
)

// The agent makes no backups, and tells where one that is promised is not there.
func TestBackups(t *testing.T) {
	t.Parallel()
	r, _ := inFolder(t, web("cores: 1")+"backupJobs:\n  weekly: {schedule: \"sun 03:00\", storage: local, select: {ids: [300]}}\n")
	r.start()
	rep := r.await("looked at backups", func(x *report.Report) bool {
		return waiting(x) && x.Container(300) != nil && x.Container(300).Backups != nil
	})
	if b := rep.Container(300).Backups; b.Policy != "weekly" || !strings.Contains(b.Error, "none on local") {
		t.Errorf("%+v", b)
	}
}
