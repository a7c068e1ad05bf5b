package snapshot_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/snapshot"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
)

var day = flag.Bool("day", false, "TestDayOfHours: a whole day, as in docs/performance.md")

// fleet is a node with containers from 1000 on, all with an hourly policy, and counts of what is asked of it.
type fleet struct {
	*sim.Sim
	client *proxmox.Client
	want   *spec.State

	mu    sync.Mutex // guards what is below
	count map[string]int
}

func newFleet(t *testing.T, n int) *fleet {
	t.Helper()
	text, err := os.ReadFile("../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	st.Storages["tank"] = &sim.Storage{Type: "zfspool", Content: []string{"rootdir"}, Total: 1 << 42}
	st.Containers = map[proxmox.VMID]*sim.Container{}
	var declared strings.Builder
	for i := range n {
		id := 1000 + i
		disk := fmt.Sprintf("tank:subvol-%d-disk-0", id)
		st.Volumes[disk] = &sim.Volume{Size: 1 << 30, Node: "pve1"}
		st.Containers[proxmox.VMID(id)] = &sim.Container{Node: "pve1", Config: fmt.Sprintf("arch: amd64\nhostname: ct%d\nmemory: 512\nostype: debian\n"+
			"rootfs: %s,size=1G\nswap: 512\ntags: tend\nunprivileged: 1\n", id, disk)}
		fmt.Fprintf(&declared, "  ct%d: {id: %d, node: pve1, rootfs: {storage: tank, size: 1GiB}, snapshots: hourly}\n", id, id)
	}
	f := &fleet{count: map[string]int{}}
	if f.Sim, err = sim.New(st, sim.Options{Seed: 1, TaskTime: time.Second, Fault: f.observe}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	f.client = proxmox.NewClient(f.As(agent))
	f.want, err = load.Load(fstest.MapFS{"home.yaml": {Data: []byte("cluster: {name: lab, owner: tend}\nsnapshotPolicies:\n" +
		"  hourly: {schedule: \"*:00\", keep: {last: 6}}\ncontainers:\n" + declared.String())}}, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// observe counts a request by what it is for.
func (f *fleet) observe(c sim.Call) sim.Fault {
	what := "other"
	switch {
	case c.User != agent:
		return sim.Fault{}
	case c.Path == "/nodes", strings.HasSuffix(c.Path, "/lxc"):
		what = "where containers are"
	case c.Method == "GET" && strings.HasSuffix(c.Path, "/snapshot"):
		what = "list"
	case c.Method == "POST" && strings.HasSuffix(c.Path, "/snapshot"):
		what = "create"
	case c.Method == "DELETE":
		what = "delete"
	case strings.Contains(c.Path, "/tasks"):
		what = "poll"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count[what]++
	return sim.Fault{}
}

// TestDayOfHours takes hourly snapshots of 200 containers and counts the requests: of each container and run one create,
// at most one delete and one list, but for the first look at each, and at most three polls a task. A run takes longer than the
// clocks may differ: what was taken last is not from the future for it. The figures stand in docs/performance.md.
func TestDayOfHours(t *testing.T) {
	containers, hours := 200, 8
	switch {
	case *day:
		hours = 24
	case testing.Short():
		containers = 20
	}
	begin := time.Now()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, containers)
		k := &snapshot.Keeper{Client: f.client, Memory: memory(t)}
		next := run200(t, k, f.want, containers) // sees them for the first time: nothing is due
		f.count = map[string]int{}
		worked := time.Duration(0)
		for range hours {
			time.Sleep(time.Until(next))
			start := time.Now()
			next = run200(t, k, f.want, containers)
			worked = max(worked, time.Since(start))
		}
		runs := containers * hours
		drops := containers * (hours - 6)
		for what, most := range map[string]int{
			"where containers are": 2 * hours, "create": runs, "delete": drops, "list": runs + containers, "poll": 3 * (runs + drops), "other": 0,
		} {
			if f.count[what] > most {
				t.Errorf("%s: %d requests, want at most %d", what, f.count[what], most)
			}
		}
		if f.count["create"] != runs || f.count["delete"] != drops {
			t.Errorf("%d creates and %d deletes, want %d and %d", f.count["create"], f.count["delete"], runs, drops)
		}
		if worked > 30*time.Minute {
			t.Errorf("a run took %s of its hour", worked)
		}
		t.Logf("%d runs of containers: %v; the longest run of all took %s, with tasks of 1 s", runs, f.count, worked)
	})
	t.Logf("the test took %s", time.Since(begin))
}

// run200 runs once and returns when the next snapshot is due.
func run200(t *testing.T, k *snapshot.Keeper, want *spec.State, n int) time.Time {
	t.Helper()
	r, err := k.Run(t.Context(), want, snapshot.Options{})
	if err != nil || len(r.Containers) != n || r.Worst() != nil {
		t.Fatalf("%d containers: %v, %v", len(r.Containers), err, r.Worst())
	}
	return r.At.Truncate(time.Hour).Add(time.Hour)
}
