package agent_test

import (
	"testing"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/proxmox/sim"
)

// A call whose answer was lost is told as such, until it is known what became of it.
func TestOpenCalls(t *testing.T) {
	t.Parallel()
	r, _ := inFolder(t, web("cores: 1"))
	r.fault = func(c sim.Call) sim.Fault {
		return sim.Fault{Cut: c.Method == "POST" || c.Path == "/nodes/pve1/tasks", After: true}
	}
	r.start()
	rep := r.await("the first pass", waiting)
	if rep.Loop.Last.Result != report.Failed {
		t.Fatalf("result %q", rep.Loop.Last.Result)
	}
	r.end()
	r.start()
	rep = r.await("the next start", waiting)
	if len(rep.Journal) != 1 || rep.Journal[0].Subject != "300" {
		t.Errorf("open: %+v, last %+v", rep.Journal, rep.Loop.Last)
	}
	r.end()
	r.fault = nil
	r.start()
	rep = r.await("well", func(x *report.Report) bool { return waiting(x) && x.Loop.Last.Result != report.Failed })
	if len(rep.Journal) != 0 {
		t.Errorf("open: %+v", rep.Journal)
	}
}
