package reconcile_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// agent is the token with few privileges that tend has in lab.yaml; strong is one that may all that a token
// may.
const (
	agent  = "felhom@pve!agent"
	strong = "root@pam!lab"
)

// A node is a simulated node with what it was asked to do.
type node struct {
	*sim.Sim
	root *proxmox.Client // somebody who works by hand

	mu    sync.Mutex // guards what is below
	calls []sim.Call
	fault func(n int, c sim.Call) sim.Fault // n counts the agent's calls from 1
}

func newNode(t testing.TB, o sim.Options, edit ...func(*sim.State)) *node {
	t.Helper()
	text, err := os.ReadFile("../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	st.Nodes["pve1"].Missing = nil // this one can limit the rate of interfaces
	for _, f := range edit {
		f(st)
	}
	n := nodeOf(t, st, o)
	t.Cleanup(n.Close)
	return n
}

// nodeOf makes a node from a state, which the caller closes.
func nodeOf(t testing.TB, st *sim.State, o sim.Options) *node {
	t.Helper()
	n := &node{}
	o.Seed, o.Fault = 1, n.observe
	var err error
	if n.Sim, err = sim.New(st, o); err != nil {
		t.Fatal(err)
	}
	n.root = proxmox.NewClient(n.As("root@pam"))
	return n
}

func (n *node) observe(c sim.Call) sim.Fault {
	if c.User != agent && c.User != strong {
		return sim.Fault{} // by hand
	}
	n.mu.Lock()
	n.calls = append(n.calls, c)
	fault, count := n.fault, len(n.calls)
	n.mu.Unlock()
	if fault == nil {
		return sim.Fault{}
	}
	return fault(count, c)
}

// reset forgets the calls so far and sets the fault for those to come.
func (n *node) reset(fault func(n int, c sim.Call) sim.Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls, n.fault = nil, fault
}

// mutations are the agent's calls that change something, as "POST /nodes/pve1/lxc/200/status/start".
func (n *node) mutations() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, c := range n.calls {
		if c.Method != "GET" {
			out = append(out, c.Method+" "+c.Path)
		}
	}
	return out
}

func (n *node) requests() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.calls)
}

// reconciler acts on the node as the agent. Tasks of the simulator have mostly ended when they are first
// looked at.
func (n *node) reconciler(j *journal.Journal) *reconcile.Reconciler { return n.reconcilerAs(agent, j) }

func (n *node) reconcilerAs(user string, j *journal.Journal) *reconcile.Reconciler {
	c := proxmox.NewClient(n.As(user))
	o := proxmox.WatchOptions{Delay: -1, WaitOptions: proxmox.WaitOptions{First: time.Millisecond, Max: time.Second}}
	return &reconcile.Reconciler{
		Client:   c,
		Executor: execute.Executor{Watcher: proxmox.NewTaskWatcher(c, o), Journal: j},
	}
}

// openLane lets a reconciler act as root on the node, through the lane that a real node has.
func (n *node) openLane(r *reconcile.Reconciler) {
	actor := lane.NewActor(map[string]lane.Doer{"pve1": lane.Lane{Backend: n.Root("pve1")}})
	r.Executor.Root, r.Policy.RootNodes = actor, actor.Nodes()
}

// volumes are the volumes of all containers.
func (n *node) volumes(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, storage := range []string{"local", "local-btrfs"} {
		list, err := n.root.StorageContent(t.Context(), "pve1", storage, proxmox.ContentFilter{Content: "rootdir"})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			out = append(out, v.ID)
		}
	}
	slices.Sort(out)
	return out
}

func container(id proxmox.VMID, edit func(*spec.Container)) *spec.Container {
	root, mount, nic := setting.Record{}, setting.Record{}, setting.Record{}
	setting.Storage.Set(root, "local")
	setting.Size.Set(root, 4*setting.GiB)
	setting.Storage.Set(mount, "local")
	setting.Size.Set(mount, setting.GiB)
	setting.Bridge.Set(nic, "vmbr0")
	r := setting.Record{
		setting.Mounts.Path:  setting.Members{"/data": mount},
		setting.Network.Path: setting.Members{"eth0": nic},
	}
	setting.RootFS.Set(r, root)
	c := &spec.Container{
		Name: "ct" + id.String(), ID: id, Node: "pve1", From: spec.From{Template: template}, Settings: r,
		Power: spec.Running, Restart: spec.RestartNow,
	}
	if edit != nil {
		edit(c)
	}
	return c
}

func state(list ...*spec.Container) *spec.State {
	return spec.NewState(spec.Cluster{Name: "home", Owner: "tend"}, list)
}

// five are five containers of which some run.
func five(edit func(*spec.Container)) *spec.State {
	var list []*spec.Container
	for id := proxmox.VMID(201); id <= 205; id++ {
		list = append(list, container(id, func(c *spec.Container) {
			if id%2 == 0 {
				c.Power = spec.Stopped
			}
			if edit != nil {
				edit(c)
			}
		}))
	}
	return state(list...)
}

func once(t *testing.T, r *reconcile.Reconciler, want *spec.State) reconcile.Outcome {
	t.Helper()
	out, err := r.Once(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// converged fails the test unless all is as it shall be.
func converged(t *testing.T, out reconcile.Outcome) {
	t.Helper()
	if !out.Converged() {
		t.Errorf("not converged: %s", summary(out))
	}
}

func summary(out reconcile.Outcome) string {
	var b strings.Builder
	for _, c := range out.Containers {
		b.WriteString("\n" + c.Ref.String() + ": " + c.State.String())
		for _, s := range c.Done {
			b.WriteString("; done: " + s.Op.Verb())
		}
		for _, s := range c.NotDone {
			b.WriteString("; not done: " + s.Op.Verb())
		}
		for _, blocked := range c.Blocked {
			b.WriteString("; blocked: " + blocked.What + ": " + blocked.Reason)
		}
		if c.Err != nil {
			b.WriteString("; error: " + c.Err.Error())
		}
	}
	return b.String()
}

func states(out reconcile.Outcome) []string {
	var list []string
	for _, c := range out.Containers {
		list = append(list, c.Ref.ID.String()+" "+c.State.String())
	}
	return list
}

func prune(n int) plan.Policy { return plan.Policy{Prune: true, PruneMax: n} }

func openJournal(t *testing.T, path string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// byHand changes a container past tend.
func (n *node) byHand(t *testing.T, id proxmox.VMID, u proxmox.Update) {
	t.Helper()
	if err := n.root.SetConfig(context.WithoutCancel(t.Context()), proxmox.Ref{Node: "pve1", ID: id}, u); err != nil {
		t.Fatal(err)
	}
}
