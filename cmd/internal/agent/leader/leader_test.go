package leader_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/leader"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/proxmox/sim"
)

// A node is one that agents run on.
type node struct {
	leader.Lock
	name   string
	broken atomic.Bool // root is not there
}

var errBroken = errors.New("tend helper is unreachable")

func (n *node) KeepLead(ctx context.Context, owner string) (proxmox.Leadership, error) {
	if n.broken.Load() {
		return proxmox.Leadership{}, errBroken
	}
	return n.Lock.KeepLead(ctx, owner)
}

// cluster is one of some nodes.
func cluster(t *testing.T, names ...string) []*node {
	t.Helper()
	text, err := os.ReadFile("../../../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names[1:] {
		n := *st.Nodes["pve1"]
		st.Nodes[name] = &n
	}
	s, err := sim.New(st, sim.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	var out []*node
	for _, name := range names {
		root := lane.NewActor(map[string]lane.Doer{name: lane.Lane{Backend: s.Root(name)}})
		out = append(out, &node{Lock: leader.AsRoot(root, name), name: name})
	}
	return out
}

// agents are leaders of a cluster's agents, one on each node.
func agents(t *testing.T, nodes []*node, changed func(*node)) []*leader.Leader {
	var out []*leader.Leader
	for _, n := range nodes {
		l := leader.New(leader.Options{
			Dir: t.TempDir(), Cluster: "here:8006", About: "process 1", Lock: n, Log: slog.New(slog.DiscardHandler),
			Nodes:   func(context.Context) (int, error) { return len(nodes), nil },
			Changed: func() { changed(n) },
		})
		ctx, cancel := context.WithCancel(context.Background())
		go l.Run(ctx)
		t.Cleanup(cancel)
		out = append(out, l)
	}
	return out
}

func is(t *testing.T, s leader.Standing, role report.Role, by string) {
	t.Helper()
	if s.Role != role || s.Node != by {
		t.Errorf("at %s: %+v, want %s by %q", time.Now().Format("15:04:05"), s.Lead, role, by)
	}
}

func ended(s leader.Standing) bool {
	select {
	case <-s.Lost:
		return true
	default:
		return false
	}
}

// TestCluster passes the lead from node to node, and never has two that act.
func TestCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := cluster(t, "pve1", "pve2", "pve3")
		var mu sync.Mutex
		changes := map[string]int{}
		a := agents(t, nodes, func(n *node) {
			mu.Lock()
			defer mu.Unlock()
			changes[n.name]++
		})
		ctx := t.Context()
		first := a[0].Stand(ctx, "tend")
		is(t, first, report.Leads, "")
		is(t, a[1].Stand(ctx, "tend"), report.Follows, "pve1")
		is(t, a[2].Stand(ctx, "other"), report.Leads, "") // of another owner
		time.Sleep(time.Hour)                             // a pass may take long
		is(t, a[0].Stand(ctx, "tend"), report.Leads, "")
		if ended(first) {
			t.Error("the lead was lost though it was renewed")
		}

		// A leader that cannot renew stops before another can begin.
		nodes[0].broken.Store(true)
		begin := time.Now()
		<-first.Lost
		if d := time.Since(begin); d < 30*time.Second || d > 90*time.Second {
			t.Errorf("it stopped acting after %v", d)
		}
		is(t, a[0].Stand(ctx, "tend"), report.Waits, "")
		is(t, a[1].Stand(ctx, "tend"), report.Follows, "pve1")
		time.Sleep(2 * time.Minute)
		is(t, a[1].Stand(ctx, "tend"), report.Leads, "")
		mu.Lock()
		if changes["pve1"] != 1 || changes["pve2"] != 1 {
			t.Errorf("told of changes: %v", changes)
		}
		mu.Unlock()
		nodes[0].broken.Store(false)
		time.Sleep(time.Minute)
		is(t, a[0].Stand(ctx, "tend"), report.Follows, "pve2")

		// Who ends gives the lead back, and the next has it at its next look.
		a[1].Close(ctx)
		time.Sleep(30 * time.Second)
		is(t, a[0].Stand(ctx, "tend"), report.Leads, "")
		is(t, a[1].Stand(ctx, "tend"), report.Follows, "pve1")

		// Another owner is another lead, and what was held is given back.
		is(t, a[0].Stand(ctx, "lab"), report.Leads, "")
		is(t, a[1].Stand(ctx, "tend"), report.Leads, "")
	})
}

// TestComeBack: an agent that died and is begun anew on its node leads again at once.
func TestComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := cluster(t, "pve1", "pve2")
		a := agents(t, nodes, func(*node) {})
		is(t, a[0].Stand(t.Context(), "tend"), report.Leads, "")
		is(t, a[1].Stand(t.Context(), "tend"), report.Follows, "pve1")
		time.Sleep(10 * time.Second)
		again := agents(t, nodes, func(*node) {}) // with a lock file of its own, as the old process is gone
		is(t, again[0].Stand(t.Context(), "tend"), report.Leads, "")
	})
}

// TestNoCluster: one node needs no lock of a cluster, and what cannot be asked is not taken for free.
func TestNoCluster(t *testing.T) {
	n := cluster(t, "pve1")[0]
	n.broken.Store(true)
	count, fault := 1, error(nil)
	o := leader.Options{Log: slog.New(slog.DiscardHandler), Lock: n, Nodes: func(context.Context) (int, error) { return count, fault }}
	ctx := t.Context()
	is(t, leader.New(o).Stand(ctx, "tend"), report.Sole, "")
	count = 2
	is(t, leader.New(o).Stand(ctx, "tend"), report.Waits, "")
	fault = errors.New("proxmox is unreachable")
	l := leader.New(o)
	for range 3 { // as long as it is not known
		is(t, l.Stand(ctx, "tend"), report.Waits, "")
	}
	fault, count = nil, 1
	is(t, l.Stand(ctx, "tend"), report.Sole, "")
	fault = errors.New("proxmox is unreachable")
	is(t, l.Stand(ctx, "tend"), report.Sole, "") // it was one node a moment ago
	o.Lock = nil
	is(t, leader.New(o).Stand(ctx, "tend"), report.Sole, "")
}

// TestMachine: of two agents of a machine for an owner one waits, whoever it is, until the other ends.
func TestMachine(t *testing.T) {
	dir := t.TempDir()
	open := func(cluster string) *leader.Leader {
		return leader.New(leader.Options{Dir: dir, Cluster: cluster, About: "process 77, state folder /a", Log: slog.New(slog.DiscardHandler)})
	}
	ctx := t.Context()
	a, b := open("here:8006"), open("here:8006")
	is(t, a.Stand(ctx, "tend"), report.Sole, "")
	s := b.Stand(ctx, "tend")
	is(t, s, report.Waits, "")
	if !strings.Contains(s.Why, "process 77, state folder /a") {
		t.Errorf("it does not say which other: %q", s.Why)
	}
	is(t, b.Stand(ctx, "other"), report.Sole, "")
	is(t, open("pve.example.com:8006").Stand(ctx, "tend"), report.Sole, "")
	is(t, b.Stand(ctx, "tend"), report.Waits, "")
	a.Close(ctx)
	is(t, b.Stand(ctx, "tend"), report.Sole, "")
	is(t, a.Stand(ctx, "tend"), report.Waits, "")
	names, err := filepath.Glob(filepath.Join(dir, "*.lock"))
	if err != nil || len(names) != 3 {
		t.Errorf("lock files: %v, %v", names, err)
	}
	for _, name := range names { // everybody can lock them
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// TestNoFile goes on where no lock file can be had, says so, and writes into no file of another.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := errors.Join(os.WriteFile(victim, []byte("mine"), 0o600), os.Symlink(victim, filepath.Join(dir, "tend-agent-tend-here.lock"))); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{dir, filepath.Join(dir, "nosuch")} {
		s := leader.New(leader.Options{Dir: where, Cluster: "here", About: "x", Log: slog.New(slog.DiscardHandler)}).Stand(t.Context(), "tend")
		is(t, s, report.Sole, "")
		if !strings.Contains(s.Why, "would not be noticed") {
			t.Errorf("in %s: %q", where, s.Why)
		}
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "mine" {
		t.Errorf("another's file is %q, %v", text, err)
	}
}
