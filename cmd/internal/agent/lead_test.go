package agent_test

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/leader"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/proxmox/sim"
)

// two is a spec with a container on each of two nodes, of which that on the second has something that only root may set.
func two(cores string) string {
	each := `
    from: {template: "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst"}
    rootfs: {storage: local-btrfs, size: 1GiB}
    restart: now
    cores: ` + cores
	return "cluster: {name: lab, owner: tend}\ncontainers:\n  web:\n    id: 300\n    node: pve1" + each +
		"\n  db:\n    id: 301\n    node: pve2" + each + "\n    features: {keyctl: true}\n"
}

// pair makes two agents on a cluster of two nodes, which follow one folder. Changes are noted by the node whose agent asks.
func pair(t *testing.T, task time.Duration) (dir string, rigs [2]*rig, changes func() map[string][]string) {
	dir = t.TempDir()
	var mu sync.Mutex
	done := map[string][]string{}
	note := func(node, what string) {
		mu.Lock()
		defer mu.Unlock()
		done[node] = append(done[node], what)
	}
	text, err := os.ReadFile("../../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	n := *st.Nodes["pve1"]
	st.Nodes["pve2"] = &n
	first := rigOn(t, config.Source{Dir: dir}, st, task)
	rigs = [2]*rig{first, {t: t, sim: first.sim, dir: t.TempDir(), from: first.from, settings: first.settings}}
	for i, r := range rigs {
		name := []string{"pve1", "pve2"}[i]
		r.light = true
		r.lock = func(l leader.Lock) leader.Lock { return l }
		r.settings.Interval = 5 * time.Minute
		r.seen = func(req proxmox.Request) {
			if req.Method != http.MethodGet {
				note(name, req.Method+" "+req.Path)
			}
		}
		root := lane.Lane{Backend: noting{r.sim.Root(name), func(argv []string) {
			if argv[0] == "/usr/sbin/pct" && argv[1] != "status" {
				note(name, strings.Join(argv[:3], " "))
			}
		}}}
		r.root = lane.NewActor(map[string]lane.Doer{name: root})
		r.leader = func(c *proxmox.Client, changed func()) *leader.Leader {
			return leader.New(leader.Options{
				Lock: r.lock(leader.AsRoot(r.root, name)), Log: slog.New(slog.DiscardHandler), Changed: changed,
				Nodes: func(ctx context.Context) (int, error) { list, err := c.Nodes(ctx); return len(list), err },
			})
		}
	}
	return dir, rigs, func() map[string][]string {
		mu.Lock()
		defer mu.Unlock()
		out := maps.Clone(done)
		clear(done)
		return out
	}
}

// noting tells of the commands that root runs.
type noting struct {
	*sim.Root
	note func([]string)
}

func (n noting) Run(ctx context.Context, argv []string, stdin []byte) ([]byte, []byte, int, error) {
	n.note(argv)
	return n.Root.Run(ctx, argv, stdin)
}

// TestTwoAgents: one agent on each node of a cluster is safe: the one that leads does what a token may on both, the other
// root's work on its own node; and it takes over when the first dies.
func TestTwoAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, rigs, changes := pair(t, 0)
		write := func(cores string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, "spec.yaml"), []byte(two(cores)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		root := proxmox.NewClient(rigs[0].sim.As("root@pam"))
		synced := func(what, cores string) {
			t.Helper()
			for id, node := range map[proxmox.VMID]string{300: "pve1", 301: "pve2"} {
				c, err := root.Config(t.Context(), proxmox.Ref{Node: node, ID: id})
				if err != nil || c.Current["cores"] != cores || len(c.Pending) > 0 || id == 301 && !strings.Contains(c.Current["features"], "keyctl=1") {
					t.Errorf("%s: %d on %s is %v, %v", what, id, node, c.Current, err)
				}
			}
		}
		role := func(r *rig) report.Lead {
			rep, _ := r.board.Report()
			if rep.Agent.Lead == nil {
				return report.Lead{}
			}
			return *rep.Agent.Lead
		}
		write("1")
		rigs[0].start()
		time.Sleep(time.Minute)
		rigs[1].start()
		time.Sleep(20 * time.Minute)
		synced("at first", "1")
		if a, b := role(rigs[0]), role(rigs[1]); a.Role != report.Leads || b.Role != report.Follows || b.Node != "pve1" {
			t.Errorf("%+v and %+v", a, b)
		}
		did := changes()
		t.Logf("made by the agents of each node: %v", did)
		if !slices.Contains(did["pve2"], "/usr/sbin/pct create 301") || slices.ContainsFunc(did["pve2"], func(s string) bool { return strings.Contains(s, "300") }) ||
			slices.ContainsFunc(did["pve1"], func(s string) bool {
				return strings.Contains(s, "301") && !strings.HasPrefix(s, "POST /nodes/pve2/lxc/301/status")
			}) {
			t.Errorf("done by the wrong one: %v", did)
		}

		write("2") // a token may do this, on both nodes
		time.Sleep(11 * time.Minute)
		synced("changed", "2")
		if did := changes(); len(did["pve2"]) > 0 || len(did["pve1"]) == 0 {
			t.Errorf("done by the wrong one: %v", did)
		}

		// The one that leads dies: the other leads after two minutes, and not before.
		rigs[0].kill()
		write("3")
		time.Sleep(90 * time.Second)
		if did := changes(); len(did) > 0 {
			t.Errorf("done while another might still act: %v", did)
		}
		time.Sleep(10 * time.Minute)
		synced("taken over", "3")
		if a := role(rigs[1]); a.Role != report.Leads {
			t.Errorf("pve2 %+v", a)
		}
		if did := changes(); len(did["pve2"]) == 0 {
			t.Errorf("done: %v", did)
		}

		// It comes back and follows, until the other ends in peace.
		rigs[0].start()
		time.Sleep(time.Minute)
		if a := role(rigs[0]); a.Role != report.Follows || a.Node != "pve2" {
			t.Errorf("pve1 %+v", a)
		}
		rigs[1].end()
		rigs[1].lead.Close(t.Context())
		time.Sleep(31 * time.Second)
		if a := role(rigs[0]); a.Role != report.Leads {
			t.Errorf("pve1 %+v", a)
		}
		rigs[0].end()
	})
}

// slowLock is a lock whose helper can be taken away.
type slowLock struct {
	leader.Lock
	gone *atomic.Bool
}

func (l slowLock) KeepLead(ctx context.Context, owner string) (proxmox.Leadership, error) {
	if l.gone.Load() {
		return proxmox.Leadership{}, proxmox.ErrUnreachable
	}
	return l.Lock.KeepLead(ctx, owner)
}

// TestLeadLost: an agent whose lead is lost in the middle of a pass finishes the step in flight and begins nothing more,
// until it leads again; and one that runs dry leaves the lead to others.
func TestLeadLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, rigs, changes := pair(t, 3*time.Minute)
		r := rigs[0]
		var gone atomic.Bool
		r.lock = func(l leader.Lock) leader.Lock { return slowLock{l, &gone} }
		if err := os.WriteFile(filepath.Join(dir, "spec.yaml"), []byte(two("1")), 0o600); err != nil {
			t.Fatal(err)
		}
		r.start()
		time.Sleep(time.Minute) // the create of 300 is under way, and its start is to come
		gone.Store(true)
		if did := changes()["pve1"]; !slices.Equal(did, []string{"POST /nodes/pve1/lxc"}) {
			t.Fatalf("done: %v", did)
		}
		time.Sleep(20 * time.Minute)
		if did := changes(); len(did) > 0 {
			t.Errorf("done after the lead was lost: %v", did)
		}
		rep, _ := r.board.Report()
		if rep.Agent.Lead == nil || rep.Agent.Lead.Role != report.Waits || rep.Verdict(time.Now()).Level < report.Warn {
			t.Errorf("told: %+v", rep.Agent.Lead)
		}
		gone.Store(false)
		time.Sleep(10 * time.Minute)
		if did := changes()["pve1"]; !slices.Contains(did, "POST /nodes/pve1/lxc/300/status/start") {
			t.Errorf("done when it leads again: %v", did)
		}

		s := r.settings
		s.Rules.DryRun = true
		r.agent.Set(s)
		rigs[1].start()
		time.Sleep(12 * time.Minute)
		if rep, _ := rigs[1].board.Report(); rep.Agent.Lead == nil || rep.Agent.Lead.Role != report.Leads {
			t.Errorf("beside one that runs dry: %+v", rep.Agent.Lead)
		}
		if rep, _ := r.board.Report(); rep.Agent.Lead != nil {
			t.Errorf("one that runs dry: %+v", rep.Agent.Lead)
		}
		for _, r := range rigs {
			r.end()
		}
	})
}
