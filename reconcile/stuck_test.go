package reconcile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A vector is a step of testdata/vectors/lxc-snapshot-states.json, which Proxmox's own code made.
type vector struct {
	Scenario, Op string
	After        struct {
		Conf    map[string]any
		Running int
		Vols    map[string]struct {
			Snaps []string
			Type  string
		}
	}
}

func (v vector) lock() string { return fmt.Sprint(v.After.Conf["lock"]) }

// halves are the snapshots that are not whole.
func (v vector) halves() (out []string) {
	for name, s := range v.snapshots() {
		if s.(map[string]any)["snapstate"] != nil {
			out = append(out, name)
		}
	}
	return out
}

func (v vector) snapshots() map[string]any {
	s, _ := v.After.Conf["snapshots"].(map[string]any)
	return s
}

// leftovers are the vectors that leave a lock, or a snapshot that is not whole.
func leftovers(t *testing.T) (out []vector) {
	t.Helper()
	raw, err := os.ReadFile("../testdata/vectors/lxc-snapshot-states.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	raw = bytes.ReplaceAll(raw, []byte("z:subvol"), []byte("zz:subvol")) // names of storages have two letters
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.After.Conf["lock"] != nil || len(v.halves()) > 0 {
			out = append(out, v)
		}
	}
	return out
}

// config is the text of the container's configuration file, with the owner's tag.
func (v vector) config() string {
	section := func(values map[string]any) string {
		var b strings.Builder
		for _, key := range slices.Sorted(maps.Keys(values)) {
			value := strings.Replace(fmt.Sprint(values[key]), "<time>", "1700000000", 1)
			switch key {
			case "snapshots":
			case "description":
				b.WriteString("#" + strings.TrimSpace(value) + "\n")
			default:
				b.WriteString(key + ": " + value + "\n")
			}
		}
		return b.String() + "arch: amd64\nostype: debian\nswap: 0\n" // which the vectors leave out, and every container has
	}
	out := section(v.After.Conf) + "tags: tend\n"
	for _, name := range slices.Sorted(maps.Keys(v.snapshots())) {
		out += "\n[" + name + "]\n" + section(v.snapshots()[name].(map[string]any))
	}
	return out
}

// on is a node with the container. Which volumes have the snapshots is what the next step began with.
func (v vector) on(t *testing.T, snaps map[string][]string) *node {
	return newNode(t, sim.Options{}, func(st *sim.State) {
		st.Containers[100] = &sim.Container{Node: "pve1", Running: v.After.Running == 1, Config: v.config()}
		for volid, vol := range v.After.Vols {
			storage, _, _ := strings.Cut(volid, ":")
			st.Storages[storage] = &sim.Storage{Type: vol.Type, Content: []string{"rootdir"}, Pool: "tank"}
			st.Volumes[volid] = &sim.Volume{Size: 8 << 30, Snapshots: slices.Clone(snaps[volid])}
		}
	})
}

// spec declares the container as it is.
func (v vector) spec(power spec.Power) *spec.State {
	root, mount := setting.Record{}, setting.Record{}
	setting.Storage.Set(root, "zz")
	setting.Size.Set(root, 8*setting.GiB)
	setting.Storage.Set(mount, "zz")
	setting.Size.Set(mount, 8*setting.GiB)
	r := setting.Record{setting.Mounts.Path: setting.Members{"/data": mount}}
	setting.RootFS.Set(r, root)
	setting.Hostname.Set(r, "ct")
	setting.Memory.Set(r, 512*setting.MiB)
	setting.Swap.Set(r, 0)
	setting.Description.Set(r, "cur")
	setting.Unprivileged.Set(r, false)
	return state(&spec.Container{Name: "ct", ID: 100, Node: "pve1", Settings: r, Power: power, Restart: spec.RestartNow})
}

// TestLeftoversOfSnapshots walks the states that Proxmox's own code leaves: the plan names each, prints what a person
// does about it, and with consent the run converges.
func TestLeftoversOfSnapshots(t *testing.T) {
	list := leftovers(t)
	if len(list) < 15 {
		t.Fatalf("only %d left-overs are in the vectors", len(list))
	}
	for i, v := range list {
		// The vectors do not tell which volume has a snapshot: each possibility is tried.
		for n, snaps := range v.volumes() {
			t.Run(fmt.Sprintf("%d %s: %s/%d", i, v.Scenario, v.Op, n), func(t *testing.T) { v.recover(t, snaps) })
		}
	}
}

func (v vector) volumes() []map[string][]string {
	names := slices.Sorted(maps.Keys(v.snapshots()))
	none, one, all := map[string][]string{}, map[string][]string{}, map[string][]string{}
	for n, volid := range slices.Sorted(maps.Keys(v.After.Vols)) {
		all[volid] = names
		if n > 0 {
			one[volid] = names
		}
	}
	if len(v.halves()) == 0 { // whole snapshots are on all volumes
		return []map[string][]string{all}
	}
	return []map[string][]string{none, one, all}
}

func (v vector) recover(t *testing.T, snaps map[string][]string) {
	n := v.on(t, snaps)
	r := n.reconciler(nil)
	want := v.spec(spec.Any)
	consent := ""
	if v.lock() == "rollback" {
		consent = "a1"
	}

	p, _, err := r.Plan(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	locked := v.After.Conf["lock"] != nil
	if !locked { // nothing shows it until consent names the container, since no list of snapshots is read
		r.Policy.Unlock = map[proxmox.VMID]string{100: ""}
		if p, _, err = r.Plan(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	v.named(t, p)

	n.openLane(r)
	r.Policy.Unlock = map[proxmox.VMID]string{100: consent}
	out := once(t, r, want)
	converged(t, out)
	r.Policy.Unlock = nil
	n.healthy(t, r, want)
	s, err := n.root.Snapshots(t.Context(), ref(100))
	if err != nil {
		t.Fatal(err)
	}
	for _, snap := range s.List {
		if snap.State != "" {
			t.Errorf("snapshot %s is left in the state %s", snap.Name, snap.State)
		}
	}
}

// named checks that a plan without consent, or without anybody to act as root, says what is the matter and what to do.
func (v vector) named(t *testing.T, p *plan.Plan) {
	t.Helper()
	state, commands := map[string]string{
		"backup": "a backup that was not finished", "rollback": "a rollback that was not finished",
		"snapshot": "snapshot a1 was not finished", "snapshot-delete": "the delete of snapshot a1 was not finished",
	}[v.lock()], []string{"pct unlock 100"}
	switch v.lock() {
	case "rollback":
		commands = append(commands, "pct rollback 100 a1")
	case "snapshot", "snapshot-delete":
		commands = append(commands, "pct delsnapshot 100 a1", "only if that says that a volume has no such snapshot: pct unlock 100", "pct delsnapshot 100 a1 --force 1")
	case "<nil>": // without a lock the token can do it, and the plan shows the step
		if len(p.Lanes) != 1 || p.Lanes[0].Steps[0].Op.Verb() != "delete snapshot a1" {
			t.Errorf("plan:\n%s", p)
		}
		return
	}
	if len(p.Lanes) != 0 || len(p.Blocked) != 1 || !strings.Contains(p.Blocked[0].Reason, state) {
		t.Fatalf("the plan does not name %q:\n%s", state, p)
	}
	ways := strings.Join(p.Blocked[0].Ways, "\n")
	for _, c := range append(commands, "--unlock 100") {
		if !strings.Contains(ways, c) {
			t.Errorf("the runbook lacks %q:\n%s", c, ways)
		}
	}
}

// healthy fails the test unless nothing is left to do, and nothing is locked.
func (n *node) healthy(t *testing.T, r *reconcile.Reconciler, want *spec.State) {
	t.Helper()
	p, have, err := r.Plan(t.Context(), want)
	if err != nil || !p.Synced() {
		t.Fatalf("not in sync: %v\n%s", err, p)
	}
	for id, c := range have.Containers {
		if c.Lock != "" {
			t.Errorf("%d carries the lock %s", id, c.Lock)
		}
	}
	if len(p.Warnings) > 0 {
		t.Errorf("warnings: %q", p.Warnings)
	}
}

// A making is a way in which a container comes into being.
type making struct {
	name  string
	state string // how the plan names what is left
	edit  func(*spec.Container)
	// volumes are those of all containers once all is done.
	volumes int
	source  bool // it locks its source
	root    bool // the root lane makes it
}

func makings() []making {
	clone := func(kind spec.CloneKind) func(*spec.Container) {
		return func(c *spec.Container) {
			c.From = spec.From{Clone: spec.Clone{ID: 201, Kind: kind}}
			c.Power = spec.Stopped
		}
	}
	return []making{
		{"create", "a create that was not finished", nil, 4, false, false},
		{"create as root", "a create that was not finished", func(c *spec.Container) {
			setting.Features.Set(c.Settings, setting.Record{"nesting": true, "keyctl": true})
		}, 4, false, true},
		{"restore", "a restore that was not finished", func(c *spec.Container) {
			c.From = spec.From{Backup: "BACKUP"}
		}, 4, false, false},
		{"full clone", "a clone that was not finished", clone(spec.FullClone), 4, true, false},
		{"clone", "a clone that was not finished", clone(""), 4, true, false},
		{"linked clone", "a clone that was not finished", clone(spec.LinkedClone), 4, true, false},
	}
}

// TestLeftoversOfCreates kills the worker of every kind of create and clone at each operation on a storage, and in
// the middle of its work.
func TestLeftoversOfCreates(t *testing.T) {
	for _, m := range makings() {
		first := 0
		if m.root { // the calls of the lane take no fault
			first = 1
		}
		for stage := first; ; stage++ {
			reached := false
			t.Run(fmt.Sprintf("%s/%d", m.name, stage), func(t *testing.T) { reached = m.killedAt(t, stage) })
			if !reached {
				if stage < 3 {
					t.Errorf("%s: it was killed at %d stages only", m.name, stage)
				}
				break
			}
		}
	}
}

// killedAt kills the worker at one of its stages: 0 is in the middle of its work, the others are the volumes that it
// fills. It reports whether the stage was reached.
func (m making) killedAt(t *testing.T, stage int) bool {
	ops, armed := 0, false
	n := newNode(t, sim.Options{StorageFault: func(op string) error {
		if armed && strings.HasPrefix(op, "fill ") {
			if ops++; ops == stage {
				return sim.ErrKill
			}
		}
		return nil
	}})
	r := n.reconciler(nil)
	n.openLane(r)
	source := container(201, func(c *spec.Container) {
		c.Power = spec.Stopped
		setting.Size.Set(setting.RootFS.Or(c.Settings, nil), setting.GiB) // the storage that links is small
		if m.name == "linked clone" {
			onBtrfs(c)
			setting.Template.Set(c.Settings, true)
		}
	})
	converged(t, once(t, r, state(source)))
	target := container(202, m.edit)
	setting.Size.Set(setting.RootFS.Or(target.Settings, nil), setting.GiB)
	if m.name == "linked clone" {
		onBtrfs(target)
	}
	if target.From.Backup != "" {
		target.From.Backup = n.backupOf(t, 201)
	}
	want := state(source, target)

	armed = true
	n.reset(func(_ int, c sim.Call) sim.Fault {
		return sim.Fault{TaskKill: stage == 0 && c.Method == "POST" && (strings.HasSuffix(c.Path, "/lxc") || strings.HasSuffix(c.Path, "/clone"))}
	})
	first := once(t, r, want)
	armed = false
	n.reset(nil)
	if ops < stage {
		converged(t, first)
		return false
	}
	m.named(t, n, want)

	r.Policy.Unlock = map[proxmox.VMID]string{202: ""}
	if m.source {
		out := once(t, r, want)
		c := find(t, out, 202)
		if len(c.Blocked) == 0 || !strings.Contains(c.Blocked[0].Reason, "is stuck") {
			t.Errorf("its source is locked still: %s", summary(out))
		}
		r.Policy.Unlock[201] = ""
	}
	out := once(t, r, want)
	converged(t, out)
	r.Policy.Unlock = nil
	n.healthy(t, r, want)
	if v := n.volumes(t); len(v) != m.volumes {
		t.Errorf("%d volumes, want %d: %v", len(v), m.volumes, v)
	}
	return true
}

// named checks the plan without consent.
func (m making) named(t *testing.T, n *node, want *spec.State) {
	t.Helper()
	p, _, err := n.reconciler(nil).Plan(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	said := map[proxmox.VMID]string{}
	for _, b := range p.Blocked {
		said[b.ID] += b.Reason + "\n" + strings.Join(b.Ways, "\n")
	}
	for _, part := range []string{m.state, "lock create", "pct unlock 202", "pct destroy 202", "--unlock 202"} {
		if !strings.Contains(said[202], part) {
			t.Errorf("the plan lacks %q:\n%s", part, said[202])
		}
	}
	if m.source && (!strings.Contains(said[201], "lock disk") || !strings.Contains(said[201], "pct unlock 201")) {
		t.Errorf("the source: %s", said[201])
	}
	if len(p.Lanes) > 0 {
		t.Errorf("it does something:\n%s", p)
	}
}

// TestRemnantKeepsOldVolume kills a create of a VMID of which a volume is left from before: it is not touched.
func TestRemnantKeepsOldVolume(t *testing.T) {
	const old = "local:202/vm-202-disk-0.raw"
	n := newNode(t, sim.Options{}, func(st *sim.State) {
		st.Volumes[old] = &sim.Volume{Size: 1 << 30, CTime: 1700000000, Node: "pve1"}
	})
	r := n.reconciler(nil)
	n.openLane(r)
	want := state(container(202, nil))
	n.reset(func(_ int, c sim.Call) sim.Fault { return sim.Fault{TaskKill: isCreate(c)} })
	once(t, r, want)
	n.reset(nil)
	r.Policy.Unlock = map[proxmox.VMID]string{202: ""}
	p, _, err := r.Plan(t.Context(), want)
	if err != nil || !slices.ContainsFunc(p.Warnings, func(w string) bool { return strings.Contains(w, "volume "+old+" stays") }) {
		t.Errorf("%v: %q\n%s", err, p.Warnings, p)
	}
	converged(t, once(t, r, want))
	if v := n.volumes(t); !slices.Contains(v, old) {
		t.Errorf("the old volume is gone: %v", v)
	}
}

// TestUnlockIsProved starts a task between the plan and the unlock: nothing is taken from under it.
func TestUnlockIsProved(t *testing.T) {
	n := newNode(t, sim.Options{WorkerTime: func(worker string) time.Duration {
		if worker == "vzdump" {
			return time.Hour
		}
		return 0
	}})
	r := n.reconciler(nil)
	n.openLane(r)
	want := state(container(202, nil))
	converged(t, once(t, r, want))
	if err := n.EditConfig(202, func(raw string) string { return "lock: backup\n" + raw }); err != nil {
		t.Fatal(err)
	}
	r.Policy.Unlock = map[proxmox.VMID]string{202: ""}
	run := r.NewRun(want)
	if p, _, err := run.Plan(t.Context()); err != nil || p.Empty() {
		t.Fatalf("%v:\n%s", err, p)
	}
	if err := n.Unlock(202); err != nil {
		t.Fatal(err)
	}
	task, err := n.root.Backup(t.Context(), "pve1", proxmox.BackupParams{Guests: []proxmox.VMID{202}, Storage: "local", Mode: proxmox.BackupStop})
	if err != nil {
		t.Fatal(err)
	}
	for { // until it has locked the container
		if c, err := n.root.Config(t.Context(), ref(202)); err != nil || c.Current["lock"] == "backup" {
			break
		}
	}
	out, err := run.Apply(t.Context())
	if c := find(t, out, 202); err != nil || c.Err == nil || !strings.Contains(c.Err.Error(), task.String()+" runs") {
		t.Errorf("%v: %s", err, summary(out))
	}
	if c, err := n.root.Config(t.Context(), ref(202)); err != nil || c.Current["lock"] != "backup" {
		t.Errorf("the lock is gone: %v, %v", c.Current, err)
	}
}

// TestSavedRecovery saves a plan that recovers a container, and carries it out.
func TestSavedRecovery(t *testing.T) {
	n := newNode(t, sim.Options{})
	r := n.reconciler(nil)
	n.openLane(r)
	want := state(container(202, nil))
	converged(t, once(t, r, want))
	if err := n.EditConfig(202, func(raw string) string { return "lock: backup\n" + raw }); err != nil {
		t.Fatal(err)
	}
	r.Policy.Unlock = map[proxmox.VMID]string{202: ""}
	run := r.NewRun(want)
	if _, _, err := run.Plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	saved, err := run.Save("")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(saved)
	if err != nil {
		t.Fatal(err)
	}
	if saved, err = reconcile.ParseSaved(text); err != nil {
		t.Fatal(err)
	}
	r.Policy.Unlock = nil
	if run, err = r.Resume(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	out, err := run.Apply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	converged(t, out)
	n.healthy(t, r, want)
}
