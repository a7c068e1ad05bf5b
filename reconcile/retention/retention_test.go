package retention_test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/proxmox/prune"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func event(t testing.TB, text string) calendar.Event {
	t.Helper()
	e, err := calendar.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// nightly is a policy of every night, in Vienna, at 02:30.
func nightly(t testing.TB) retention.Policy {
	return retention.Policy{Owner: "tend", SnapshotPolicy: &spec.SnapshotPolicy{
		Name: "nightly", Prefix: "tend", Schedule: event(t, "2:30"), Times: calendar.Options{Location: zone(t, "Europe/Vienna")},
		Keep: prune.Keep{Last: 2, Daily: 3, Weekly: 2}, MaxDeletions: 100, ChangeAge: 72 * time.Hour, CatchUp: true,
	}}
}

// at is a time in Vienna in November 2026.
func at(t testing.TB, day, hour, minute int) time.Time {
	return time.Date(2026, 11, day, hour, minute, 0, 0, zone(t, "Europe/Vienna"))
}

// taken is a snapshot as the policy takes it.
func taken(p retention.Policy, when time.Time, kind retention.Kind) proxmox.Snapshot {
	return proxmox.Snapshot{
		Name: retention.Name{Prefix: p.Prefix, Policy: p.Name, At: when}.String(), Time: when,
		Description: p.Description(kind) + "\n",
	}
}

// nights are snapshots of the nights of November, the last one first.
func nights(t testing.TB, p retention.Policy, last, n int) []proxmox.Snapshot {
	var out []proxmox.Snapshot
	for i := range n {
		out = append(out, taken(p, at(t, last-i, 2, 30), retention.Scheduled))
	}
	return out
}

func TestReasons(t *testing.T) {
	p := nightly(t)
	p.Holds = []string{"tend-nightly-20261112T013000Z"}
	have := nights(t, p, 21, 10)
	have[6].Description = "hold until Monday\n" + have[6].Description
	have[7].State = "delete"
	have = append(have,
		taken(p, at(t, 20, 9, 0), retention.BeforeChange), taken(p, at(t, 17, 9, 0), retention.BeforeChange),
		proxmox.Snapshot{Name: "by-hand", Time: at(t, 1, 0, 0)},
		proxmox.Snapshot{Name: "tend-hourly-20261121T010000Z", Time: at(t, 21, 2, 0), Description: "[tend/hourly]\n"},
		proxmox.Snapshot{Name: "auto-nightly-20261121T010000Z", Time: at(t, 21, 2, 0), Description: "[tend/nightly]\n"},
		proxmox.Snapshot{Name: "tend-nightly-20261101T013000Z", Time: at(t, 1, 2, 30), Description: "[tend2/nightly]\n"},
		proxmox.Snapshot{Name: "tend-nightly-20261102T013000Z", Description: "[tend/nightly]\n"},
	)
	got := retention.Decide(have, p, retention.Moment{Now: at(t, 21, 2, 31), Consent: true}).String()
	want := `keep tend-nightly-20261121T013000Z: keep-last 1 of 2: 2026-11-21 02:30:00
keep tend-nightly-20261120T013000Z: keep-last 2 of 2: 2026-11-20 02:30:00
keep tend-nightly-20261119T013000Z: keep-daily 1 of 3: 2026-11-19
keep tend-nightly-20261118T013000Z: keep-daily 2 of 3: 2026-11-18
keep tend-nightly-20261117T013000Z: keep-daily 3 of 3: 2026-11-17
drop tend-nightly-20261116T013000Z: keep-weekly: 2026-W47 has tend-nightly-20261117T013000Z
keep tend-nightly-20261115T013000Z: held by its description
keep tend-nightly-20261114T013000Z: incomplete (snapstate delete)
keep tend-nightly-20261113T013000Z: keep-weekly 1 of 2: 2026-W46
keep tend-nightly-20261112T013000Z: held by snapshotHolds
keep tend-nightly-20261120T080000Z: before a change, until 2026-11-23 09:00
drop tend-nightly-20261117T080000Z: before a change, older than 72h
keep by-hand: not ours
keep tend-hourly-20261121T010000Z: of another policy
keep auto-nightly-20261121T010000Z: of another policy
keep tend-nightly-20261101T013000Z: not ours
keep tend-nightly-20261102T013000Z: has no time
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
}

// TestGuards shows what stands above the rules, each by itself.
func TestGuards(t *testing.T) {
	now := at(t, 21, 2, 31)
	for _, tt := range []struct {
		name   string
		change func(p *retention.Policy, m *retention.Moment, have []proxmox.Snapshot) []proxmox.Snapshot
		drops  string // days of those that are dropped
		waits  string
		refuse string // a part of it
		reason string // of any verdict
	}{
		{name: "as usual", drops: "15 16"},
		{
			name:  "the limit, the oldest first",
			drops: "15", waits: "16",
			change: func(p *retention.Policy, _ *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				p.MaxDeletions = 1
				return h
			},
		},
		{
			name:  "the limit is the run's",
			waits: "15 16",
			change: func(p *retention.Policy, m *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				p.MaxDeletions, m.Dropped = 1, 2
				return h
			},
		},
		{
			name: "young", drops: "15", reason: "younger than 121h",
			change: func(p *retention.Policy, _ *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				p.MinAge = 121 * time.Hour
				return h
			},
		},
		{
			name: "the last one failed", waits: "15 16", refuse: "the last snapshot could not be taken",
			change: func(_ *retention.Policy, m *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				m.CreateFailed = true
				return h
			},
		},
		{
			name: "overdue by the schedule", waits: "15 16", refuse: "overdue since 2026-11-22 03:30",
			change: func(_ *retention.Policy, m *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				m.Now = at(t, 22, 3, 31)
				return h
			},
		},
		{
			name: "not yet overdue", drops: "15 16",
			change: func(_ *retention.Policy, m *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				m.Now = at(t, 22, 3, 30)
				return h
			},
		},
		{
			name: "overdue by its age", waits: "15 16", refuse: "overdue since 2026-11-21 08:30",
			change: func(p *retention.Policy, m *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				p.MaxAge, m.Now = 6*time.Hour, at(t, 21, 9, 0)
				return h
			},
		},
		{
			name: "one before a change does not make it less overdue", waits: "15 16", refuse: "overdue since 2026-11-22 03:30",
			change: func(p *retention.Policy, m *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				m.Now = at(t, 22, 12, 0)
				return append(h, taken(*p, m.Now, retention.BeforeChange))
			},
		},
		{
			name: "an incomplete one does not, either", waits: "15 16", refuse: "overdue since 2026-11-22 03:30",
			change: func(p *retention.Policy, m *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				m.Now = at(t, 22, 12, 0)
				s := taken(*p, at(t, 22, 2, 30), retention.Scheduled)
				s.State = "prepare"
				return append(h, s)
			},
		},
		{
			name: "the future", waits: "15 16 17", refuse: "2026-11-21 02:37, lies in the future",
			change: func(p *retention.Policy, m *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				s := taken(*p, at(t, 1, 2, 30), retention.Scheduled)
				s.Time = at(t, 21, 2, 37)
				return append(h, s)
			},
		},
		{
			name: "another policy's future", waits: "15 16", refuse: "lies in the future",
			change: func(_ *retention.Policy, _ *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				return append(h, proxmox.Snapshot{Name: "tend-x-20271101T013000Z", Description: "[tend/x]", Time: now.AddDate(1, 0, 0)})
			},
		},
		{
			name: "a little future is none", drops: "15 16",
			change: func(_ *retention.Policy, m *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				m.Now = at(t, 21, 2, 26)
				return h
			},
		},
		{
			name: "more than half", waits: "15 16 17 18 19", refuse: "5 of 7 snapshots would be dropped",
			change: func(p *retention.Policy, _ *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				p.Keep = prune.Keep{Last: 2}
				return h
			},
		},
		{
			name: "more than half, with consent", drops: "15 16 17 18 19",
			change: func(p *retention.Policy, m *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				p.Keep, m.Consent = prune.Keep{Last: 2}, true
				return h
			},
		},
		{
			name: "half", drops: "18 19",
			change: func(p *retention.Policy, _ *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				p.Keep = prune.Keep{Last: 2}
				return h[:4]
			},
		},
		{
			name: "no rule", reason: "no rule drops any",
			change: func(p *retention.Policy, _ *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				p.Keep = prune.Keep{}
				return h
			},
		},
		{
			name: "unused: all but the newest of the owner", drops: "15 16 17 18 19 20", reason: "the newest good snapshot",
			change: func(p *retention.Policy, m *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				p.Unused, m.CreateFailed, m.Now = true, true, at(t, 30, 0, 0)
				return h
			},
		},
		{
			name: "unused: another policy has a newer one", drops: "15 16 17 18 19 20 21",
			change: func(p *retention.Policy, _ *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				p.Unused = true
				return append(h, proxmox.Snapshot{Name: "tend-x-20261121T013000Z", Description: "[tend/x]", Time: now})
			},
		},
		{
			name: "unused: an incomplete one of another policy is none", drops: "15 16 17 18 19 20",
			change: func(p *retention.Policy, _ *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				p.Unused = true
				return append(h, proxmox.Snapshot{Name: "tend-x-20261121T013000Z", Description: "[tend/x]", Time: now, State: "prepare"})
			},
		},
		{
			name: "the last one before a change is kept", reason: "the newest good snapshot",
			change: func(p *retention.Policy, _ *retention.Moment, _ []proxmox.Snapshot) []proxmox.Snapshot {
				return []proxmox.Snapshot{taken(*p, at(t, 1, 0, 0), retention.BeforeChange)}
			},
		},
		{
			name: "a name that is listed twice", drops: "15", reason: "its name is listed twice",
			change: func(_ *retention.Policy, _ *retention.Moment, h []proxmox.Snapshot) []proxmox.Snapshot {
				return append(h, proxmox.Snapshot{Name: h[5].Name})
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, m := nightly(t), retention.Moment{Now: now}
			p.Keep.Weekly = 0
			have := nights(t, p, 21, 7)
			if tt.change != nil {
				have = tt.change(&p, &m, have)
			}
			d := retention.Decide(have, p, m)
			if got := days(d.Drops()); got != tt.drops {
				t.Errorf("drops %q, want %q", got, tt.drops)
			}
			if got := days(d.Waiting()); got != tt.waits {
				t.Errorf("waiting %q, want %q", got, tt.waits)
			}
			if got := d.String(); !strings.Contains(got, tt.reason) || strings.Contains(got, "refused: ") != (tt.refuse != "") || !strings.Contains(got, tt.refuse) {
				t.Errorf("refused %q, because %q; got\n%s", tt.refuse, tt.reason, got)
			}
		})
	}
}

func days(verdicts []retention.Verdict) string {
	var out []string
	for _, v := range verdicts {
		out = append(out, strconv.Itoa(v.Time.Day()))
	}
	return strings.Join(out, " ")
}

// TestVectors decides Proxmox's own cases, with the guards out of the way.
func TestVectors(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/vectors/prune.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Keep      map[string]json.Number
		TZ        string
		Times     []int64
		Protected []int64
		Expect    map[string]string
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	count := 0
	for i, v := range vectors {
		p := nightly(t)
		p.Schedule, p.Keep, p.Times.Location, p.MaxDeletions = calendar.Event{}, prune.Keep{}, zone(t, v.TZ), len(v.Times)
		for _, r := range prune.Rules() {
			n, _ := v.Keep[r.String()].Int64()
			p.Keep.Set(r, int(n))
		}
		p.Keep.All = v.Keep["keep-all"] != "" && v.Keep["keep-all"] != "0"
		var have []proxmox.Snapshot
		for _, at := range v.Times {
			s := taken(p, time.Unix(at, 0), retention.Scheduled)
			if have = append(have, s); slices.Contains(v.Protected, at) {
				p.Holds = append(p.Holds, s.Name)
			}
		}
		m := retention.Moment{Now: time.Unix(slices.Max(v.Times), 0), Consent: true}
		for _, x := range retention.Decide(have, p, m).Verdicts {
			got := map[bool]string{true: "remove", false: "keep"}[x.Action == retention.Drop]
			if x.Why == retention.Held {
				got = "protected"
			}
			if want := v.Expect[strconv.FormatInt(x.Time.Unix(), 10)]; got != want {
				t.Errorf("%d: %s in %s: %s is %s, want %s", i, p.Keep, v.TZ, x.Time, got, want)
			}
			count++
		}
	}
	if len(vectors) == 0 {
		t.Error("no vectors")
	}
	t.Logf("%d vectors with %d snapshots agree", len(vectors), count)
}

func TestFor(t *testing.T) {
	web := &spec.Container{Name: "web", Snapshots: map[string]any{"policy": "a"}, Holds: []string{"x1"}}
	s := &spec.State{
		Cluster:  spec.Cluster{Owner: "us"},
		Policies: []*spec.SnapshotPolicy{{Name: "a", DropUnused: true}, {Name: "b", DropUnused: true}, {Name: "c"}},
	}
	p, ok := retention.For(s, web)
	if !ok || p.Name != "a" || p.Owner != "us" || p.Holds[0] != "x1" || p.Unused {
		t.Errorf("got %+v, %t", p, ok)
	}
	left := retention.Leftover(s, web)
	if len(left) != 1 || left[0].Name != "b" || !left[0].Unused || left[0].Owner != "us" || left[0].Holds[0] != "x1" {
		t.Errorf("left over %+v", left)
	}
	bare := &spec.Container{Name: "bare"}
	if _, ok := retention.For(s, bare); ok || len(retention.Leftover(s, bare)) != 2 {
		t.Error("a container without a policy has one, or not all of the others")
	}
}
