package rehearse_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/rehearse"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/live"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

const (
	token    = "tend@pve!apply"
	template = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"
)

// privileges are those that applying may take.
var privileges = []string{
	"Datastore.AllocateSpace", "Datastore.Audit", "SDN.Use", "Sys.Audit", "VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone",
	"VM.Config.CPU", "VM.Config.Disk", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.PowerMgmt",
}

// cluster is a node with storages of several kinds.
func cluster() *sim.State {
	debian := "debian"
	const gib = 1 << 30
	return &sim.State{
		Version: sim.Version{Version: "9.2.11", Release: "9.2"},
		Cluster: sim.Cluster{Quorate: true},
		Nodes: map[string]*sim.Node{"pve1": {
			CPUs: 8, Memory: 32 * gib, Bridges: map[string]*sim.Bridge{"vmbr0": {MTU: 1500}, "vmbr1": {MTU: 1500}},
		}},
		Storages: map[string]*sim.Storage{
			"local": {Type: "dir", Path: "/var/lib/vz", Content: []string{"vztmpl", "backup", "rootdir"}, Total: 100 * gib},
			"thick": {Type: "lvm", VGName: "vg", Content: []string{"rootdir", "images"}, Total: 60 * gib},
			"thin":  {Type: "lvmthin", VGName: "vt", Thin: "data", Content: []string{"rootdir", "images"}, Total: 200 * gib},
			"tank":  {Type: "zfspool", Pool: "tank", Content: []string{"rootdir", "images"}, Total: 200 * gib},
		},
		Templates: map[string]*sim.Template{template: {Size: 129710398, OSType: &debian}},
		Users:     map[string]*sim.User{"tend@pve": {Tokens: map[string]*sim.Token{"apply": {PrivSep: true, Secret: proxmox.NewSecret("x")}}}},
		Roles:     map[string][]string{"Tend": slices.Clone(privileges)},
		ACL: []sim.ACL{
			{Path: "/", Role: "Tend", User: "tend@pve"}, {Path: "/", Role: "Tend", Token: token},
		},
	}
}

// A chance makes random specs and troubles.
type chance struct{ *rand.Rand }

func (g chance) percent(n int) bool { return g.IntN(100) < n }

func one[T any](g chance, from ...T) T { return from[g.IntN(len(from))] }

func (g chance) spec(ids ...proxmox.VMID) *spec.State {
	var list []*spec.Container
	for _, id := range ids {
		list = append(list, g.container(id))
	}
	return spec.NewState(spec.Cluster{Name: "home", Owner: "tend"}, list)
}

func (g chance) container(id proxmox.VMID) *spec.Container {
	r := setting.Record{}
	root := setting.Record{}
	setting.Storage.Set(root, one(g, "local", "thick", "thin", "tank"))
	setting.Size.Set(root, setting.Bytes(2+g.IntN(5))*setting.GiB)
	setting.RootFS.Set(r, root)
	if g.percent(50) {
		m := setting.Record{}
		setting.Storage.Set(m, one(g, "local", "thick", "thin", "tank"))
		setting.Size.Set(m, setting.Bytes(1+g.IntN(4))*setting.GiB)
		setting.Backup.Set(m, g.percent(50))
		r[setting.Mounts.Path] = setting.Members{one(g, "/data", "/srv"): m}
	}
	if g.percent(70) {
		nic := setting.Record{}
		setting.Bridge.Set(nic, one(g, "vmbr0", "vmbr0", "vmbr1"))
		if g.percent(30) {
			setting.VLAN.Set(nic, int64(one(g, 10, 30)))
		}
		r[setting.Network.Path] = setting.Members{"eth0": nic}
	}
	if g.percent(50) {
		setting.Cores.Set(r, int64(1+g.IntN(4)))
	}
	if g.percent(50) {
		setting.Memory.Set(r, setting.Bytes(1+g.IntN(3))*setting.GiB)
	}
	if g.percent(30) {
		setting.Description.Set(r, one(g, "zwei\nZeilen: 100%", "x"))
	}
	if g.percent(20) {
		f := setting.Record{}
		setting.Nesting.Set(f, true)
		setting.Features.Set(r, f)
	}
	setting.Protection.Set(r, g.percent(10))
	return &spec.Container{
		Name: "ct" + id.String(), ID: id, Node: "pve1", From: spec.From{Template: template}, Settings: r,
		Power: one(g, spec.Running, spec.Running, spec.Stopped, spec.Any), Restart: one(g, spec.RestartNow, spec.RestartNow, spec.RestartNever),
		Lifecycle: spec.Lifecycle{AllowRecreate: g.percent(20), BackupTo: "local"},
	}
}

// trouble puts one to three things into the way.
func (g chance) trouble(st *sim.State, want *spec.State) (kinds []string, full map[string]int64) {
	full = map[string]int64{}
	for range 1 + g.IntN(3) {
		kind := one(g, "privilege", "denied", "full", "lock", "bridge", "taken", "template", "gone storage")
		kinds = append(kinds, kind)
		w := want.Containers[g.IntN(len(want.Containers))]
		switch kind {
		case "privilege":
			gone := one(g, privileges...)
			if gone == "VM.Audit" {
				gone = "VM.Config.Options" // without VM.Audit there is nothing to plan
			}
			st.Roles["Tend"] = slices.DeleteFunc(slices.Clone(st.Roles["Tend"]), func(p string) bool { return p == gone })
		case "denied":
			path := one(g, "/storage/tank", "/storage/thick", "/storage/thin", "/sdn/zones/localnetwork/vmbr0", "/vms/"+w.ID.String())
			st.ACL = append(st.ACL, sim.ACL{Path: path, Role: one(g, "NoAccess", "PVEAuditor"), Token: token})
		case "full":
			name := one(g, "local", "thick", "thin", "tank")
			full[name] = int64(g.IntN(300)) << 20
			if name == "thick" { // room for some, and not for all
				full[name] = int64(g.IntN(8 << 30))
			}
		case "lock":
			if c := st.Containers[w.ID]; c != nil {
				c.Config = "lock: " + one(g, "backup", "snapshot", "disk") + "\n" + c.Config
			}
		case "bridge":
			delete(st.Nodes["pve1"].Bridges, one(g, "vmbr0", "vmbr1"))
		case "taken":
			if st.Containers[w.ID] == nil {
				st.VMs[w.ID] = &sim.VM{Node: "pve1", Name: "mail"}
			}
		case "template":
			delete(st.Templates, template)
		case "gone storage":
			st.Storages["tank"].Disable = true
		}
	}
	return kinds, full
}

// reconciler acts on a simulated cluster as tend's token.
func reconciler(s *sim.Sim, user string, shown bool) *reconcile.Reconciler {
	client := proxmox.NewClient(s.As(user))
	return &reconcile.Reconciler{
		Client: client, Policy: plan.Policy{Prune: true},
		Observer: func() *live.Observer { return &live.Observer{Client: client, Shown: shown} },
		Executor: execute.Executor{
			Parallel: 1, LockTimeout: time.Millisecond, Watcher: proxmox.NewTaskWatcher(client, proxmox.WatchOptions{Delay: -1, WaitOptions: proxmox.WaitOptions{First: time.Millisecond}}),
		},
	}
}

func marshal(t *testing.T, st *sim.State) string {
	t.Helper()
	text, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func start(t *testing.T, st *sim.State) *sim.Sim {
	t.Helper()
	return startWith(t, st, sim.Options{})
}

func startWith(t *testing.T, st *sim.State, o sim.Options) *sim.Sim {
	t.Helper()
	o.Seed = 1
	s, err := sim.New(st, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// told is what became of a container, with the class of its error and what is blocked.
func told(c reconcile.Container) string {
	text := fmt.Sprintf("%s: %s", c.Ref.ID, c.State)
	if class := rehearse.ClassOf(c.Err); class != "" {
		text += ", " + string(class)
	}
	for _, s := range c.Done {
		text += "; done: " + s.Op.Verb()
	}
	for _, b := range c.Blocked {
		text += "; " + b.What + ": " + b.Reason
	}
	return text
}

// A tally counts what the applies of random plans met, for tests that run side by side.
type tally struct {
	mu    sync.Mutex // guards what is below
	met   map[string]int
	said  map[rehearse.Verdict]int
	unmet map[string]int // failures of containers that might fail: met, and not
}

func newTally() *tally {
	return &tally{met: map[string]int{}, said: map[rehearse.Verdict]int{}, unmet: map[string]int{}}
}

// TestRehearsalAgrees: in 1,000 random plans with trouble in their way, what a rehearsal is sure of is what the apply
// then meets, and all else that the apply meets it has said that it may. It is sure of all but few containers.
func TestRehearsalAgrees(t *testing.T) {
	t.Parallel()
	const parts, each = 4, 4 // plans that begin with the same state
	plans, all := 1000, newTally()
	if testing.Short() || underRace {
		plans = 100
	}
	t.Run("plans", func(t *testing.T) {
		for part := range parts {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				for i := part; i < plans/each; i += parts {
					begin := began(t, i)
					for seed := i * each; seed < (i+1)*each; seed++ {
						agree(t, begin, seed, all)
					}
				}
			})
		}
	})
	t.Logf("met: %v; said: %v; of those that may fail: %v", all.met, all.said, all.unmet)
	containers := 0
	for _, n := range all.said {
		containers += n
	}
	if may := all.said[rehearse.MayFail]; may*100 > 2*containers {
		t.Errorf("of %d containers %d may fail, more than 2 %%", containers, may)
	}
	if sure := all.said[rehearse.WouldFail]; sure < 5*all.said[rehearse.MayFail] {
		t.Errorf("%v: of failures most should be sure", all.said)
	}
	for _, class := range []rehearse.Class{rehearse.Privilege, rehearse.Locked, rehearse.Full, rehearse.Missing, rehearse.Taken} {
		if all.met[string(class)] == 0 && plans == 1000 {
			t.Errorf("no apply has met: %s", class)
		}
	}
}

// A beginning is a cluster to which a random spec was applied.
type beginning struct {
	spec  *spec.State
	state *sim.State
}

func began(t *testing.T, seed int) beginning {
	t.Helper()
	s := start(t, cluster())
	defer s.Close()
	b := beginning{spec: chance{rand.New(rand.NewPCG(uint64(seed), 4))}.spec(200, 201, 202)}
	if _, err := reconciler(s, token, false).Once(t.Context(), b.spec); err != nil {
		t.Fatal(err)
	}
	b.state = s.State()
	return b
}

// agree rehearses one random plan, applies it, and compares.
func agree(t *testing.T, begin beginning, seed int, all *tally) {
	t.Helper()
	g := chance{rand.New(rand.NewPCG(uint64(seed), 5))}
	before := start(t, begin.state)
	defer before.Close()
	want, st := g.next(begin.spec), before.State()
	g.live(st)
	kinds, full := g.trouble(st, want)
	real := startWith(t, st, sim.Options{Unpacked: int64(2 + g.IntN(4)), Packed: int64(1 + g.IntN(8))})
	defer real.Close()
	for name, free := range full {
		if err := real.FillStorage(name, free); err != nil {
			t.Fatal(err)
		}
	}
	shown, begun := g.percent(50), ""
	if seed%10 == 0 {
		begun = marshal(t, real.State())
	}
	report, err := rehearse.Run(t.Context(), proxmox.NewClient(real.As(token)), want, rehearse.Options{
		Policy: plan.Policy{Prune: true}, Shown: shown,
	})
	if err != nil {
		t.Fatalf("seed %d, %v: %v", seed, kinds, err)
	}
	if begun != "" {
		if diff := cmp.Diff(begun, marshal(t, real.State())); diff != "" {
			t.Fatalf("seed %d: the rehearsal has changed the cluster: %s", seed, diff)
		}
	}
	ran := running(real)
	out, err := reconciler(real, token, shown).Once(t.Context(), want)
	if err != nil {
		t.Fatalf("seed %d, %v: %v", seed, kinds, err)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	runs := running(real)
	for _, c := range out.Containers {
		i := slices.IndexFunc(want.Containers, func(w *spec.Container) bool { return w.ID == c.Ref.ID })
		f := rehearse.Forecast{Container: c, StaysDown: i >= 0 && want.Containers[i].Power != spec.Stopped && ran[c.Ref.ID] && !runs[c.Ref.ID]}
		all.compare(t, fmt.Sprintf("seed %d, %s", seed, strings.Join(kinds, ", ")), f, report)
	}
}

func running(s *sim.Sim) map[proxmox.VMID]bool {
	out := map[proxmox.VMID]bool{}
	for id, c := range s.State().Containers {
		out[id] = c.Running
	}
	return out
}

// live writes random amounts into the volumes of containers.
func (g chance) live(st *sim.State) {
	for _, volume := range slices.Sorted(maps.Keys(st.Volumes)) {
		v := st.Volumes[volume]
		if room := int64(v.Size - v.Used); room > 0 && g.percent(70) {
			v.Used += sim.Bytes(g.Int64N(room))
		}
	}
}

// compare holds what became of a container against what the rehearsal said.
func (all *tally) compare(t *testing.T, trial string, c rehearse.Forecast, report *rehearse.Report) {
	t.Helper()
	class := rehearse.ClassOf(c.Err)
	all.met[c.State.String()]++
	if class != "" {
		all.met[string(class)]++
	}
	var rehearsed *reconcile.Container
	for i := range report.Outcome.Containers {
		if report.Outcome.Containers[i].Ref.ID == c.Ref.ID {
			rehearsed = &report.Outcome.Containers[i]
		}
	}
	f := rehearse.Forecast{Verdict: rehearse.Fine}
	for _, of := range report.Containers {
		if of.Kind == plan.ContainerKind && of.Ref.ID == c.Ref.ID {
			f = of
		}
	}
	all.said[f.Verdict]++
	failed := c.Failed()
	if rehearsed == nil {
		t.Errorf("%s: nothing is said of %s", trial, told(c.Container))
		return
	}
	diff := cmp.Diff(told(c.Container), told(*rehearsed))
	foreseen := slices.ContainsFunc(f.Doubts, func(d rehearse.Doubt) bool {
		return d.Class == class && d.Step == c.Step()
	})
	switch f.Verdict {
	case rehearse.MayFail:
		all.unmet[fmt.Sprintf("failed: %t", failed)]++
		if failed && !foreseen {
			t.Errorf("%s: %s, at %v; it was said that it may fail, but otherwise: %v", trial, told(c.Container), c.At, f.Doubts)
		}
	case rehearse.WouldFail:
		if !failed || diff != "" && !foreseen {
			t.Errorf("%s: it was said that it would fail: apply, and what was said:\n%s\n%v", trial, diff, f.Doubts)
		}
	default:
		if failed || diff != "" {
			t.Errorf("%s: it was said to be fine: apply, and what was said:\n%s", trial, diff)
		}
	}
}

// next is the spec of the next plan: mostly small changes of what is there, one container less and another more.
func (g chance) next(first *spec.State) *spec.State {
	want := g.spec(200, 201, 203)
	if g.percent(60) {
		for i, w := range want.Containers[:2] {
			small := *first.Containers[i]
			small.Settings, small.Power, small.Restart = mixed(g, first.Containers[i].Settings, w.Settings), w.Power, w.Restart
			want.Containers[i] = &small
		}
	}
	return want
}

// mixed takes most settings of one record and some of another.
func mixed(g chance, most, some setting.Record) setting.Record {
	out := setting.Record{}
	for _, r := range []setting.Record{most, some} {
		for _, path := range slices.Sorted(maps.Keys(r)) {
			if _, have := out[path]; !have || g.percent(30) {
				out[path] = r[path]
			}
		}
	}
	return out
}
