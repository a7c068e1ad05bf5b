package notify

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile/plan"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A world is what an agent would report, one pass a minute unless said otherwise.
type world struct {
	report.Report
	now time.Time
}

func newWorld() *world {
	w := &world{now: start}
	w.Agent = report.Agent{Started: start.Add(-time.Minute), Cluster: "home", Host: "pve1"}
	w.Source = report.Source{Looked: start}
	w.Containers = []report.Container{{ContainerState: view.ContainerState{ID: 101, Name: "web", Sync: view.Synced, Healthy: true}}}
	w.Disks = []report.Disk{{Node: "pve1", Device: "/dev/sda", Serial: "S1", Health: report.Healthy}}
	w.pass()
	return w
}

// pass is a look at the node, now.
func (w *world) pass() {
	w.Loop.Observed = w.now
	w.Loop.Last = &report.Run{Ended: w.now, Result: report.Quiet}
}

// A step changes the world; then the memory looks at it, and tells what is wanted.
type step struct {
	after time.Duration
	do    func(*world)
	want  []string
}

func sick(w *world)    { w.Containers[0].Healthy = false; w.pass() }
func healthy(w *world) { w.Containers[0].Healthy = true; w.pass() }
func same(w *world)    { w.pass() }
func idle(*world)      {}
func restart(w *world) { w.Agent.Started, w.Loop, w.Source = w.now, report.Loop{}, report.Source{} }

func follows(w *world) { w.Agent.Lead = &report.Lead{Role: report.Follows, Node: "pve2"}; w.pass() }
func leads(w *world)   { w.Agent.Lead = &report.Lead{Role: report.Leads}; w.pass() }

func refuse(commit string) func(*world) {
	return func(w *world) {
		w.Source.Class, w.Source.Error, w.Source.Refused.ID, w.Source.Looked = "invalid", "bad yaml", commit, w.now
	}
}

func unreachable(w *world) {
	w.Source.Class, w.Source.Error = "unreachable", "no route"
	if w.Source.Failing.IsZero() {
		w.Source.Failing = w.now
	}
}

func followed(w *world) { w.Source = report.Source{Looked: w.now} }

// TestLook shows what is told, and when.
func TestLook(t *testing.T) {
	const min = time.Minute
	degraded, over := "new danger: 101 web is degraded", "over danger: 101 web is degraded"
	for _, tt := range []struct {
		name  string
		p     policy
		steps []step
	}{
		{name: "all is well", steps: []step{{0, same, nil}, {min, same, nil}}},
		{name: "told once it has stood", steps: []step{
			{0, sick, nil}, {min, same, nil}, {min, same, []string{degraded}}, {min, same, nil}, {time.Hour, same, nil},
		}},
		{name: "told at no sooner than the pass that saw it again", steps: []step{
			{0, sick, nil}, {3 * min, idle, nil}, {min, same, []string{degraded}},
		}},
		{name: "what was over before it was told is not told", steps: []step{
			{0, sick, nil}, {min, healthy, nil}, {min, sick, nil}, {min, same, nil}, {min, same, []string{degraded}},
		}},
		{name: "an agent that follows tells of itself and its node alone", steps: []step{
			{0, sick, nil},
			{min, same, nil},
			{min, same, []string{degraded}},
			{min, follows, nil},
			{min, healthy, nil},
			{time.Hour, same, nil},
			{min, func(w *world) {
				w.Disks = append(w.Disks, report.Disk{Node: "pve1", Device: "/dev/sdb", Serial: "S2", Health: report.Degraded}, report.Disk{Node: "pve2", Device: "/dev/sda", Serial: "S3", Health: report.Degraded})
				w.pass()
			}, []string{"new danger: Disk /dev/sdb on pve1 is failing"}},
			{min, func(w *world) { w.Disks[1].Health, w.Disks[2].Health = report.Healthy, report.Healthy; w.pass() }, []string{"over danger: Disk /dev/sdb on pve1 is failing"}},
			{min, leads, nil},
			{min, same, nil},
			{min, same, []string{over}},
		}},
		{name: "over", steps: []step{
			{0, sick, nil},
			{2 * min, same, []string{degraded}},
			{min, healthy, nil},
			{2 * min, same, []string{over}},
			{min, same, nil},
		}},
		{name: "back before it was over is nothing", steps: []step{
			{0, sick, nil},
			{2 * min, same, []string{degraded}},
			{min, healthy, nil},
			{min, sick, nil},
			{min, healthy, nil},
			{min, sick, nil},
			{9 * min, same, nil},
		}},
		{name: "what comes back is over later", steps: []step{
			{0, sick, nil},
			{2 * min, same, []string{degraded}},
			{min, healthy, nil},
			{2 * min, same, []string{over}},
			{min, sick, nil},
			{2 * min, same, []string{degraded}},
			{min, healthy, nil},
			{3 * min, same, nil},
			{min, same, []string{over}},
			{min, sick, nil},
			{2 * min, same, []string{degraded}},
			{min, healthy, nil},
			{7 * min, same, nil},
			{min, same, []string{over}},
			{2 * time.Hour, same, nil},
			{0, sick, nil},
			{2 * min, same, []string{degraded}},
			{min, healthy, nil},
			{2 * min, same, []string{over}},
		}},
		{name: "a person's mistake at once, and each one", steps: []step{
			{0, refuse("aa"), []string{"new danger: The source is not followed: invalid"}},
			{min, refuse("aa"), nil},
			{min, refuse("bb"), []string{"changed danger: The source is not followed: invalid"}},
			{min, followed, []string{"over danger: The source is not followed: invalid"}},
		}},
		{name: "a source out of reach, if it stays so", steps: []step{
			{0, unreachable, nil},
			{min, followed, nil},
			{min, unreachable, nil},
			{2 * min, unreachable, []string{"new warning: The source is not followed: unreachable"}},
			{13 * min, unreachable, nil},
			{2 * min, unreachable, []string{"worse danger: The source is not followed: unreachable"}},
			{min, followed, nil},
			{2 * min, idle, []string{"over danger: The source is not followed: unreachable"}},
		}},
		{name: "out of reach in between says nothing of what is refused", steps: []step{
			{0, refuse("aa"), []string{"new danger: The source is not followed: invalid"}},
			{min, unreachable, nil},
			{5 * min, unreachable, nil},
			{min, refuse("aa"), nil},
		}},
		{name: "a disk at once; no news of it is not good news", steps: []step{
			{0, func(w *world) { w.Disks[0].Health = report.Degraded }, []string{"new danger: Disk /dev/sda on pve1 is failing"}},
			{min, func(w *world) { w.Disks = nil; w.pass() }, nil},
			{9 * min, same, nil},
			{min, func(w *world) {
				w.Disks = []report.Disk{{Node: "pve1", Device: "/dev/sda", Serial: "S2", Health: report.Healthy}}
				w.pass()
			}, []string{"over danger: Disk /dev/sda on pve1 is failing"}},
		}},
		{name: "a snapshot grows too old with time alone", steps: []step{
			{0, func(w *world) {
				w.Containers[0].Snapshots = &report.Copies{Last: w.now, MaxAge: report.Duration(time.Hour)}
			}, nil},
			{time.Hour, same, nil},
			{min, idle, []string{"new warning: 101 web has no snapshot of the last 1h"}},
			{min, func(w *world) { w.Containers[0].Snapshots.Last = w.now; w.pass() }, []string{"over warning: 101 web has no snapshot of the last 1h"}},
		}},
		{name: "an approval, by its hash", steps: []step{
			{0, func(w *world) { w.Approvals = []report.Approval{{Hash: "a"}} }, []string{"new warning: A plan waits for your yes"}},
			{min, same, nil},
			{min, func(w *world) { w.Approvals[0].Hash = "b"; w.pass() }, []string{"new warning: A plan waits for your yes", "over warning: A plan waits for your yes"}},
		}},
		{name: "what the node does not say is not over", steps: []step{
			{0, sick, nil},
			{2 * min, same, []string{degraded}},
			{min, func(w *world) { w.Loop.Error = "no route"; healthy(w) }, nil},
			{2 * min, same, []string{"new danger: Proxmox cannot be asked"}},
			{9 * min, same, nil},
			{min, func(w *world) { w.Loop.Error = ""; w.pass() }, nil},
			{2 * min, same, []string{over, "over danger: Proxmox cannot be asked"}},
		}},
		{name: "a container out of sight is not well", steps: []step{
			{0, sick, nil},
			{2 * min, same, []string{degraded}},
			{min, func(w *world) { w.Containers[0].Unknown = "pve2 is off"; healthy(w) }, nil},
			{2 * min, same, []string{"new warning: 101 web cannot be seen"}},
			{9 * min, same, nil},
			{min, func(w *world) { w.Containers[0].Unknown = ""; w.pass() }, nil},
			{2 * min, same, []string{over, "over warning: 101 web cannot be seen"}},
		}},
		{name: "a restart neither repeats nor recovers", steps: []step{
			{0, sick, nil},
			{2 * min, same, []string{degraded}},
			{min, refuse("aa"), []string{"new danger: The source is not followed: invalid"}},
			{min, func(w *world) { w.Containers[0].Healthy = true; restart(w) }, nil},
			{9 * min, idle, nil},
			{min, func(w *world) { sick(w); refuse("aa")(w) }, nil},
			{9 * min, same, nil},
			{min, func(w *world) { healthy(w); followed(w) }, []string{"over danger: The source is not followed: invalid"}},
			{2 * min, same, []string{over}},
		}},
		{name: "what runs changed, once, and not what they changed before", steps: []step{
			{0, func(w *world) {
				w.Runs = []report.Run{{Ended: start.Add(-time.Hour), Changed: []plan.Subject{{ID: 101}}}}
			}, nil},
			{min, func(w *world) {
				w.Runs = append([]report.Run{
					{Ended: w.now, Summary: "1 changed", Revision: report.Revision{ID: "0123456789", Author: "Anna"}, Changed: []plan.Subject{{ID: 101}, {ID: 7}}},
					{Ended: w.now.Add(-time.Second)},
				}, w.Runs...)
			}, []string{"done note: changed 101 web, 7 (1 changed, 0123456 by Anna)"}},
			{min, same, nil},
		}},
		{name: "no reminders unless asked for", steps: []step{{0, sick, nil}, {2 * min, same, []string{degraded}}, {48 * time.Hour, same, nil}}},
		{name: "reminders", p: policy{remind: 24 * time.Hour}, steps: []step{
			{0, sick, nil},
			{2 * min, same, []string{degraded}},
			{23 * time.Hour, same, nil},
			{time.Hour, same, []string{"still danger: 101 web is degraded"}},
			{min, same, nil},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.p.settle = 2 * min
			m, w := newMemory(), newWorld()
			for i, s := range tt.steps {
				w.now = w.now.Add(s.after)
				s.do(w)
				if diff := cmp.Diff(s.want, words(m.look(&w.Report, w.now, tt.p))); diff != "" {
					t.Errorf("step %d, %s after the start (-want +got):\n%s", i, w.now.Sub(start), diff)
				}
				m = reload(t, m)
			}
		})
	}
}

// reload is a memory after it went through its file, with what may pass kept: a memory that is written down is as good
// as one that is not.
func reload(t *testing.T, m *memory) *memory {
	t.Helper()
	raw, err := json.Marshal(m.told)
	if err != nil {
		t.Fatal(err)
	}
	out := newMemory()
	out.until, out.came, out.gone = m.until, m.came, m.gone
	if err := json.Unmarshal(raw, &out.told); err != nil {
		t.Fatal(err)
	}
	return out
}

func words(events []Event) []string {
	var out []string
	for _, e := range events {
		text := fmt.Sprintf("%s %s: %s", e.Change, e.Level, e.What)
		if e.Change == Done {
			text += " (" + e.Why + ")"
		}
		out = append(out, text)
	}
	return out
}

// TestLookProperties lets a world change at random and restarts the memory at random, and holds that: a second look
// at once tells nothing; of each thing, what is told begins with new, and new and over take turns; and when the world
// has been quiet for long, what was told to stand is what stands.
func TestLookProperties(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 7))
		m, w := newMemory(), newWorld()
		p := policy{settle: 2 * time.Minute}
		stands := map[string]bool{}
		look := func() {
			for _, e := range m.look(&w.Report, w.now, p) {
				key := report.Item{Kind: e.Kind, ID: e.ID}.Key()
				if e.Kind == report.KindApproval || e.Kind == report.KindApplied {
					continue // several have one key here
				}
				if (e.Change == Begun) == stands[key] {
					t.Fatalf("seed %d: %s of %s, which stood: %v", seed, e.Change, key, stands[key])
				}
				stands[key] = e.Change != Over
			}
			if again := m.look(&w.Report, w.now, p); len(again) > 0 {
				t.Fatalf("seed %d: a second look tells %v", seed, words(again))
			}
		}
		for range 60 {
			w.now = w.now.Add(time.Duration(r.IntN(300)) * time.Second)
			moves := []func(*world){sick, healthy, same, same, idle, refuse("aa"), refuse("bb"), unreachable, followed, restart}
			moves[r.IntN(len(moves))](w)
			if r.IntN(8) == 0 {
				m = reload(t, m)
				m.came, m.gone = map[string]sight{}, map[string]sight{}
			}
			look()
		}
		for range 4 {
			w.now = w.now.Add(2 * time.Hour)
			w.Source.Looked = w.now
			w.pass()
			look()
		}
		var got, want []string
		for k, s := range stands {
			if s {
				got = append(got, k)
			}
		}
		for _, i := range w.Attention(w.now) {
			want = append(want, i.Key())
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: in the end (-stands +told):\n%s", seed, diff)
		}
	}
}

// TestFlapping: whatever toggles for a day gives few messages.
func TestFlapping(t *testing.T) {
	for _, period := range []time.Duration{time.Minute, 3 * time.Minute, 5 * time.Minute, 15 * time.Minute, 25 * time.Minute} {
		m, w := newMemory(), newWorld()
		n, ill := 0, false
		for at := time.Duration(0); at < 24*time.Hour; at += time.Minute {
			w.now = start.Add(at)
			if at%period == 0 {
				ill = !ill
			}
			w.Containers[0].Healthy = !ill
			w.pass()
			n += len(m.look(&w.Report, w.now, policy{settle: 2 * time.Minute}))
		}
		if n > 12 {
			t.Errorf("what changes every %s is told %d times a day", period, n)
		}
	}
}

// TestTitles shows a message in a line.
func TestTitles(t *testing.T) {
	e := func(c Change, l report.Level, what string) Event { return Event{Change: c, Level: l, What: what} }
	for _, tt := range []struct {
		want string
		in   []Event
	}{
		{"home: 101 web is degraded", []Event{e(Begun, report.Danger, "101 web is degraded")}},
		{"home: over: 101 web is degraded", []Event{e(Over, report.Danger, "101 web is degraded")}},
		{"home: still: 101 web is degraded", []Event{e(Still, report.Danger, "101 web is degraded")}},
		{"home: 1 new, 2 over, 1 done", []Event{e(Over, 2, ""), e(Done, 1, ""), e(Over, 2, ""), e(Begun, 2, "")}},
	} {
		w := newWorld()
		m := newMessage(&w.Report, tt.in, start)
		if got := m.Title(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		if m.Events[0].Change == Over && len(tt.in) > 1 {
			t.Error("what is over comes first")
		}
	}
	if long := brief(strings.Repeat("ä\n", 500)); len([]rune(long)) != maxWhy || strings.Contains(long, "\n") {
		t.Errorf("brief leaves %d characters", len([]rune(long)))
	}
}
