package reconcile_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// careful is the spec of container 301 with a change that restarts it, before which its policy wants a snapshot.
func careful() *spec.State {
	s := web()
	fields := setting.Record{}
	spec.PolicyBeforeChange.Set(fields, true)
	s.Policies = []*spec.SnapshotPolicy{spec.NewSnapshotPolicy("p", fields, s.Cluster, spec.Place{})}
	c := s.Containers[0]
	c.Snapshots = setting.Record{}
	spec.UsePolicy.Set(c.Snapshots, "p")
	setting.TimeZone.Set(c.Settings, "host")
	return s
}

// savedBefore are the snapshots that were taken before changes and are whole.
func savedBefore(t *testing.T, n *node) (out []string) {
	t.Helper()
	have, err := n.root.Snapshots(t.Context(), proxmox.Ref{Node: "pve1", ID: 301})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range have.List {
		if m, _ := retention.ParseMarker(s.Description); m.Kind == retention.BeforeChange && s.State == "" {
			out = append(out, s.Name)
		}
	}
	return out
}

// TestBeforeChange: the snapshot is there before the change is sent; whatever call fails, and however often it is begun
// anew, there is one and not two; and where it cannot be taken the container stays as it is.
func TestBeforeChange(t *testing.T) {
	faults := map[string]sim.Fault{
		"refused": {Status: 500, Reason: "no"}, "unreachable": {Status: 595, Reason: "Connection refused"}, "cut": {Cut: true},
		"cut after": {Cut: true, After: true}, "task fails": {TaskError: "no"}, "worker killed": {TaskKill: true},
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			calls(func(i int) bool { return checkBeforeChange(t, i, f) })
		})
	}
	t.Run("the storage takes none", func(t *testing.T) {
		n := rolled(t, func(op string) error {
			if strings.HasPrefix(op, "snapshot ") {
				return sim.ErrKill
			}
			return nil
		})
		out := once(t, n.reconciler(nil), careful())
		if got := n.mutations(); len(got) != 1 || out.Worst() != reconcile.Blocked {
			t.Errorf("%s; sent %v", summary(out), got)
		}
		n.reset(nil)
		out = once(t, n.reconciler(nil), careful())
		if got := n.mutations(); got != nil || out.Worst() != reconcile.Blocked || !strings.Contains(summary(out), "it is stuck: snapshot tend-p-") {
			t.Errorf("stuck: %s; sent %v", summary(out), got)
		}
	})
}

// checkBeforeChange lets the i-th call fail, and begins anew until all is done; false once there are fewer calls.
func checkBeforeChange(t *testing.T, i int, f sim.Fault) bool {
	n := rolled(t, nil)
	changed := func(c sim.Call) {
		if c.Method != "GET" && !strings.HasSuffix(c.Path, "/snapshot") && len(savedBefore(t, n)) == 0 {
			t.Errorf("call %d: %s %s before the snapshot", i, c.Method, c.Path)
		}
	}
	n.reset(func(count int, c sim.Call) sim.Fault {
		changed(c)
		if count == i {
			return f
		}
		return sim.Fault{}
	})
	path := filepath.Join(t.TempDir(), "journal")
	log := openJournal(t, path)
	_, _ = n.reconciler(log).Once(t.Context(), careful()) // what became of it is looked at below
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	reached := n.requests() >= i
	n.reset(func(_ int, c sim.Call) sim.Fault { changed(c); return sim.Fault{} })
	repairBefore(t, n)
	converged(t, once(t, n.reconciler(openJournal(t, path)), careful()))
	if got := savedBefore(t, n); len(got) != 1 {
		t.Errorf("call %d: snapshots %v, want one", i, got)
	}
	if got := n.mutations(); slices.ContainsFunc(got, func(c string) bool { return strings.HasPrefix(c, "DELETE") }) {
		t.Errorf("call %d: sent %v", i, got)
	}
	return reached
}

// repairBefore sees to it that a container which is stuck is left alone, and is then the person who does what the plan says.
func repairBefore(t *testing.T, n *node) {
	t.Helper()
	ref := proxmox.Ref{Node: "pve1", ID: 301}
	cfg, err := n.root.Config(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Current["lock"] != "snapshot" {
		return
	}
	out := once(t, n.reconciler(nil), careful())
	if got := n.mutations(); got != nil || !strings.Contains(summary(out), "it is stuck: snapshot tend-p-") {
		t.Errorf("stuck: %s; sent %v", summary(out), got)
	}
	if err := n.Unlock(301); err != nil {
		t.Fatal(err)
	}
	have, err := n.root.Snapshots(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range have.List {
		if s.State == "" {
			continue
		}
		if _, err := n.root.DeleteSnapshot(t.Context(), ref, s.Name, true); err != nil {
			t.Fatal(err)
		}
	}
}
