package live_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/live"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A counted transport notes what is asked.
type counted struct {
	proxmox.Transport
	fail func(proxmox.Request) error // nil: nothing fails

	mu    sync.Mutex // guards asked
	asked []string
}

func (c *counted) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	c.mu.Lock()
	c.asked = append(c.asked, r.String())
	c.mu.Unlock()
	if c.fail != nil {
		if err := c.fail(r); err != nil {
			return nil, err
		}
	}
	return c.Transport.Do(ctx, r)
}

func (c *counted) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.asked
	c.asked = nil
	slices.Sort(out)
	return out
}

// node has containers 101 to 104: declared, owned, somebody's, and one with a lock and pending changes.
func node(t *testing.T) (*counted, *sim.Sim) {
	t.Helper()
	text, err := os.ReadFile("../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	conf := func(tags, more string) *sim.Container {
		return &sim.Container{Node: "pve1", Config: "arch: amd64\nhostname: web\nmemory: 512\nostype: debian\nswap: 512\n" +
			"tags: " + tags + "\nunprivileged: 1\n" + more}
	}
	st.Containers = map[proxmox.VMID]*sim.Container{
		101: conf("mine", ""), 102: conf("Tend;media", ""), 103: conf("theirs", ""),
		104: conf("tend", "lock: backup\nunused0: local:104/vm-104-disk-3.raw\n\n[pve:pending]\nmemory: 1024\ndelete: timezone\n"),
	}
	st.Containers[104].Running = true
	st.Containers[104].Config = strings.Replace(st.Containers[104].Config, "unprivileged", "timezone: host\nunprivileged", 1)
	st.VMs = map[proxmox.VMID]*sim.VM{110: {Node: "pve1", Name: "mail"}}
	s, err := sim.New(st, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &counted{Transport: s.As("felhom@pve!agent")}, s
}

func want(ids ...proxmox.VMID) *spec.State {
	var list []*spec.Container
	for _, id := range ids {
		list = append(list, &spec.Container{Name: "ct" + id.String(), ID: id, Node: "pve1"})
	}
	return spec.NewState(spec.Cluster{Owner: "tend"}, list)
}

// TestObserve reads in detail what is declared or owned, and nothing else; what is the same for a whole run it
// reads once.
func TestObserve(t *testing.T) {
	c, _ := node(t)
	o := &live.Observer{Client: proxmox.NewClient(c)}
	have, err := o.Observe(t.Context(), want(101, 105))
	if err != nil {
		t.Fatal(err)
	}
	containers := []string{
		"GET /nodes/pve1/lxc", "GET /nodes/pve1/lxc/101/pending", "GET /nodes/pve1/lxc/102/pending", "GET /nodes/pve1/lxc/104/pending",
		"GET /nodes/pve1/tasks", // for the lock of 104 alone
	}
	if d := cmp.Diff(append([]string{"GET /access/permissions", "GET /cluster/options", "GET /nodes"}, containers...), c.take()); d != "" {
		t.Error(d)
	}
	if _, err := o.Observe(t.Context(), want(101, 105)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(containers, c.take()); d != "" {
		t.Errorf("the second time: %s", d)
	}
	var managed []proxmox.VMID
	for _, id := range slices.Sorted(maps.Keys(have.Containers)) {
		if have.Containers[id].Managed {
			managed = append(managed, id)
		}
	}
	if d := cmp.Diff([]proxmox.VMID{101, 102, 104}, managed); d != "" || len(have.Containers) != 4 {
		t.Errorf("%d containers, managed: %s", len(have.Containers), d)
	}
	got := have.Containers[104]
	if got.Holder == nil || !got.Holder.Task.IsZero() || got.Holder.Blind || have.Containers[101].Holder != nil {
		t.Errorf("the lock of 104 is held by %+v", got.Holder)
	}
	if !got.Running || got.Lock != "backup" || !got.Owned("TEND") || have.Containers[101].Owned("tend") {
		t.Errorf("104 is %+v", got)
	}
	if m, n := setting.Memory.Or(got.Current.Record, 0), setting.Memory.Or(got.Next.Record, 0); m != 512*setting.MiB || n != setting.GiB {
		t.Errorf("memory is %s, will be %s", m, n)
	}
	if _, ok := setting.TimeZone.Get(got.Next.Record); ok || got.Current.Unused["unused0"] == "" {
		t.Errorf("next is %v, unused %v", got.Next.Record, got.Current.Unused)
	}
}

// TestFill reads what a plan needs besides, each thing once.
func TestFill(t *testing.T) {
	c, _ := node(t)
	o := &live.Observer{Client: proxmox.NewClient(c)}
	have, err := o.Observe(t.Context(), want(101))
	if err != nil {
		t.Fatal(err)
	}
	c.take()
	if more, err := o.Fill(t.Context(), have, plan.Needs{}); more || err != nil || len(c.take()) > 0 {
		t.Errorf("no need is %v, %v", more, err)
	}
	all := map[string]bool{"pve1": true}
	more, err := o.Fill(t.Context(), have, plan.Needs{Guests: true, Storages: all, Templates: all})
	if !more || err != nil {
		t.Fatalf("%v, %v", more, err)
	}
	asked := []string{"GET /cluster/resources", "GET /nodes/pve1/storage", "GET /nodes/pve1/storage/local/content"}
	if d := cmp.Diff(asked, c.take()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[proxmox.VMID]string{110: `virtual machine "mail" on node pve1`}, have.Guests); d != "" {
		t.Error(d)
	}
	if !have.Templates["pve1"]["local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst"] || !slices.Contains(have.Storages["pve1"]["local"].Content, "rootdir") {
		t.Errorf("templates %v, storages %v", have.Templates, have.Storages)
	}
	again, err := o.Observe(t.Context(), want(101))
	if err != nil || again.Templates == nil || again.Guests == nil {
		t.Errorf("what was read is forgotten: %v", err)
	}
}

// TestWrongCluster refuses a cluster that lacks a node of the spec, before it reads anything in detail.
func TestWrongCluster(t *testing.T) {
	c, _ := node(t)
	s := want(101)
	s.Cluster.Nodes = []string{"pve1", "pve7"}
	_, err := (&live.Observer{Client: proxmox.NewClient(c)}).Observe(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), "cluster.nodes lists pve7, the endpoint knows pve1") {
		t.Errorf("error is %v", err)
	}
	if n := len(c.take()); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// TestTrouble keeps what concerns one container with it, and fails for what concerns all.
func TestTrouble(t *testing.T) {
	answer := func(status int, text string) func(proxmox.Request) error {
		return func(r proxmox.Request) error {
			return proxmox.NewAPIError(r, status, text, nil)
		}
	}
	tests := []struct {
		name   string
		path   string
		err    func(proxmox.Request) error
		broken string // of 102
		gone   bool   // 102 is
		fails  string
	}{
		{"forbidden", "/lxc/102/pending", answer(403, "Permission check failed (/vms/102, VM.Audit)"), "VM.Audit", false, ""},
		{"destroyed since", "/lxc/102/pending", answer(500, "Configuration file 'nodes/pve1/lxc/102.conf' does not exist"), "", true, ""},
		{"no answer", "/lxc/102/pending", func(r proxmox.Request) error { return fmt.Errorf("%s: %w", r, proxmox.ErrUnreachable) }, "", false, "read configuration of 102 on pve1: "},
		{"no list", "/pve1/lxc", answer(403, "Permission check failed"), "", false, "list containers of node pve1: "},
		{"no nodes", "/nodes", answer(401, "authentication failure"), "", false, "list nodes: "},
		{"no options", "/cluster/options", answer(500, "no"), "", false, "read datacenter options: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := node(t)
			c.fail = func(r proxmox.Request) error {
				if strings.HasSuffix(r.Path, tt.path) {
					return tt.err(r)
				}
				return nil
			}
			have, err := (&live.Observer{Client: proxmox.NewClient(c)}).Observe(t.Context(), want(101))
			if tt.fails != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.fails) {
					t.Errorf("error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			o := have.Containers[102]
			if (o == nil) != tt.gone {
				t.Fatalf("102 is %v", o)
			}
			if tt.broken != "" && (o.Broken == nil || !errors.Is(o.Broken, proxmox.ErrForbidden) || !strings.Contains(o.Broken.Error(), tt.broken)) {
				t.Errorf("102 is broken: %v", o.Broken)
			}
			if have.Containers[104].Broken != nil || !have.Containers[104].Managed {
				t.Errorf("104 is %+v", have.Containers[104])
			}
		})
	}
}

// A garbled transport answers one path with something else.
type garbled struct {
	proxmox.Transport
	path, answer string
}

func (g garbled) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	if r.Path == g.path {
		return json.RawMessage(g.answer), nil
	}
	return g.Transport.Do(ctx, r)
}

// TestBroken names container, key and text of a value that cannot be read; the others are read all the same.
func TestBroken(t *testing.T) {
	c, _ := node(t)
	g := garbled{c, "/nodes/pve1/lxc/102/pending", `[{"key": "net0", "value": "name=eth0,colour=red"}, {"key": "digest", "value": "d"}]`}
	have, err := (&live.Observer{Client: proxmox.NewClient(g)}).Observe(t.Context(), want(101))
	if err != nil {
		t.Fatal(err)
	}
	broken := have.Containers[102].Broken
	if broken == nil {
		t.Fatal("102 is not broken")
	}
	for _, part := range []string{"102 on pve1", "net0", `"name=eth0,colour=red"`, "colour"} {
		if !strings.Contains(broken.Error(), part) {
			t.Errorf("%q does not say %q", broken, part)
		}
	}
	if have.Containers[101].Broken != nil {
		t.Error("101 is broken")
	}
}

// TestRawLines reads raw lines where the spec declares some, with a request of its own.
func TestRawLines(t *testing.T) {
	c, s := node(t)
	st := s.State()
	st.Containers[101].Config += "lxc.cap.drop: sys_admin\nlxc.mount.entry: /srv srv none bind 0 0\n"
	again, err := sim.New(st, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	c.Transport = again.As("felhom@pve!agent")
	w := want(101, 102)
	w.Containers[0].Settings = setting.Record{}
	setting.Raw.Set(w.Containers[0].Settings, []string{})
	have, err := (&live.Observer{Client: proxmox.NewClient(c)}).Observe(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	lines, _ := setting.Raw.Get(have.Containers[101].Current.Record)
	if d := cmp.Diff([]string{"lxc.cap.drop: sys_admin", "lxc.mount.entry: /srv srv none bind 0 0"}, lines); d != "" {
		t.Error(d)
	}
	if have.Containers[102].Raw != nil {
		t.Error("lines of 102 were read, which declares none")
	}
	views := slices.DeleteFunc(c.take(), func(r string) bool { return !strings.Contains(r, "/config") })
	if d := cmp.Diff([]string{"GET /nodes/pve1/lxc/101/config"}, views); d != "" {
		t.Error(d)
	}
}
