package reconcile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// length is how many edits a sequence has at least.
const length = 20

// TestSequences carries out 2,000 random sequences of edits, each on a node of its own: of settings of every row, of
// mounts, interfaces, power, sources, dependencies and policies, with containers that go and come back, and with
// what people do by hand in between. After each edit all is as the spec says, or blocked; no volume is gone without
// consent; nothing was stopped or started but as announced; and what is changed and changed back is as it was.
func TestSequences(t *testing.T) {
	sequences := 2_000
	if underRace || testing.Short() {
		sequences = 200
	}
	begin, sum := newBeginning(t), &tally{}
	t.Cleanup(func() { sum.report(t, sequences) })
	sharded(t, sequences, func(t *testing.T, _ int, seeds []uint64) {
		for _, seed := range seeds {
			q := begin.sequence(t, seed)
			q.run()
			sum.add(q.counts)
			q.node.Close() // not in a cleanup, which would keep all nodes until the end
			if t.Failed() {
				return
			}
		}
	})
}

// A beginning is what all sequences start from.
type beginning struct {
	state  *sim.State
	backup string
	values []setting.Record // of testdata/keys.yaml: at least one of every row and of each of its parts
}

// newBeginning is a node with a container and a template of somebody else's to make others of, a backup, an image
// and two pools.
func newBeginning(t *testing.T) beginning {
	t.Helper()
	n := newNode(t, sim.Options{}, withImage, labWithMore, func(st *sim.State) {
		clear(st.Volumes)
		st.Pools = map[string]*sim.Pool{"customers": {}, "lab": {}}
	})
	src := state(source(300, func(c *spec.Container) {
		onBtrfs(c)
		setting.Template.Set(c.Settings, true)
	}), source(301, nil))
	src.Cluster.Owner = "golden"
	converged(t, once(t, n.reconciler(nil), src))
	b := beginning{backup: n.backupOf(t, 301)}
	b.state = n.State()
	b.state.Tasks = nil
	var trials []trial
	readYAML(t, "testdata/keys.yaml", &trials)
	for _, tr := range trials {
		if tr.Refused != "" {
			continue
		}
		with := maps.Clone(tr.With)
		delete(with, "state")
		b.values = append(b.values, decoded(t, with))
	}
	return b
}

// decoded are settings as a spec says them.
func decoded(t *testing.T, in map[string]any) setting.Record {
	t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	clear(in)
	if err := d.Decode(&in); err != nil {
		t.Fatal(err)
	}
	r, _ := setting.Container.Decode(in, nil, func(at setting.Path, err error) { t.Errorf("%s: %v", at, err) })
	return r
}

func (b beginning) sequence(t *testing.T, seed uint64) *sequence {
	t.Helper()
	q := &sequence{
		experiment: experiment{T: t, seed: seed, g: newGenerator(seed), node: nodeOf(t, b.state, sim.Options{})},
		beginning:  b, rooted: seed%2 == 0, counts: counts{},
		want: map[proxmox.VMID]*spec.Container{}, gone: map[proxmox.VMID]*spec.Container{}, before: map[proxmox.VMID]*spec.Container{},
	}
	q.look()
	q.counts.add("sequences")
	return q
}

// A sequence is one case: a spec that is edited, and the node that shall follow.
type sequence struct {
	experiment
	beginning
	rooted  bool                             // somebody acts as root@pam
	want    map[proxmox.VMID]*spec.Container // the spec
	gone    map[proxmox.VMID]*spec.Container // taken out of the spec
	before  map[proxmox.VMID]*spec.Container // as they were before their latest edit
	policy  plan.Policy                      // of the next run
	touched bool                             // by hand, since the last run
	last    *plan.Plan                       // what was left after the last run
	seen    map[proxmox.VMID]config          // as long as nobody changes the node
	runs    map[proxmox.VMID]bool            // nil: not looked at
	history []string
	failed  bool
	counts
}

func (q *sequence) failf(format string, args ...any) {
	q.Helper()
	q.failed = true
	q.experiment.failf("after %s:\n"+format, append([]any{strings.Join(q.history, "; ")}, args...)...)
}

// Failed reports whether this sequence has failed; others may have too.
func (q *sequence) Failed() bool { return q.failed }

func (q *sequence) note(format string, args ...any) {
	q.history = append(q.history, fmt.Sprintf(format, args...))
}

func (q *sequence) run() {
	q.addNew(201)
	back := 1 + q.g.IntN(length-1)
	for i := range length + q.g.IntN(5) {
		q.policy = q.anyPolicy()
		if i > 0 {
			q.edit()
		}
		if q.g.chance(25) {
			q.byHand()
		}
		q.apply()
		if i == back && !q.Failed() {
			q.thereAndBack()
		}
		if q.Failed() {
			return
		}
	}
}

// anyPolicy is what somebody may say on the command line.
func (q *sequence) anyPolicy() plan.Policy {
	p := plan.Policy{WindowOpen: q.g.chance(30), RestartAll: q.g.chance(30), Adopt: q.g.chance(50)}
	if q.rooted {
		p.RootNodes = []string{"pve1"}
	}
	return p
}

func (q *sequence) state() *spec.State { return state(slices.Collect(maps.Values(q.want))...) }

func (q *sequence) reconciler() *reconcile.Reconciler {
	r := q.node.reconcilerAs(strong, nil)
	if q.rooted {
		q.node.openLane(r)
	}
	r.Policy = q.policy
	return r
}

// apply makes and carries out a plan and holds it against the properties. What comes to light only then, and would
// restart or destroy something, is left and planned again, as a person would.
func (q *sequence) apply() {
	for range 3 {
		left := q.applyOnce()
		if q.Failed() {
			return
		}
		if !left {
			q.counts.add("runs")
			q.asTheSpecSays()
			q.touched = false
			return
		}
		q.counts.add("runs that left something")
		q.note("left: again")
	}
	q.failf("something is left each time")
}

func (q *sequence) applyOnce() (left bool) {
	r := q.reconciler()
	witness := &witness{Transport: q.node.As(strong)}
	r.Client = proxmox.NewClient(witness)
	run := r.NewRun(q.state())
	p, have, err := run.Plan(q.Context())
	if err != nil {
		q.failf("%v", err)
		return false
	}
	s := shown{plan: p, volumes: q.node.Volumes(), have: have}
	q.node.reset(nil)
	out, err := run.Apply(q.Context())
	q.look()
	if witness.check(q.T); len(witness.refused) > 0 {
		q.failf("what a token may not do was planned:\n%s", p)
	}
	left = out.Worst() == reconcile.Left
	if err != nil || out.Worst() > reconcile.Left || !out.Converged() && !left {
		q.failf("%v: %s\nplan\n%s\nleft\n%s", err, summary(out), p, out.Remaining)
		return false
	}
	q.last = out.Remaining
	q.keptOrFreed(s)
	q.announced(s)
	q.stayed(s, left)
	return left
}

// A config is what a container is told, as the table reads it, with what is pending.
type config struct {
	setting.Live
	proxmox.Config
	there bool
}

// look forgets what was read: somebody has changed the node.
func (q *sequence) look() { q.seen, q.runs = map[proxmox.VMID]config{}, nil }

// live is what a container is told; there is false where it does not exist.
func (q *sequence) live(id proxmox.VMID) config {
	if c, ok := q.seen[id]; ok {
		return c
	}
	var c config
	var err error
	if c.Config, err = q.node.root.Config(q.Context(), ref(id)); err == nil {
		c.there = true
		if c.Live, err = setting.Container.ParseValues(c.Current); err != nil {
			q.failf("%v", err)
		}
	}
	q.seen[id] = c
	return c
}

func (q *sequence) running(id proxmox.VMID) bool {
	if q.runs == nil {
		q.runs = q.node.Running()
	}
	return q.runs[id]
}

// volumeAt is the volume that is mounted somewhere; "" where none is.
func (q *sequence) volumeAt(id proxmox.VMID, at string) string {
	m, _ := q.live(id).Record[setting.Mounts.Path].(setting.Members)
	return setting.Volume.Or(m[at], "")
}

// unusedOf are the volumes of a container that nothing mounts and the spec does not name.
func (q *sequence) unusedOf(id proxmox.VMID) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Values(q.live(id).Unused)), q.named)
}

// named reports whether the spec names a volume.
func (q *sequence) named(volume string) bool {
	for _, c := range q.want {
		for _, r := range mountsIn(c) {
			if setting.Volume.Or(r, "") == volume {
				return true
			}
		}
	}
	return false
}

func mountsIn(c *spec.Container) setting.Members {
	m, _ := c.Settings[setting.Mounts.Path].(setting.Members)
	return m
}
