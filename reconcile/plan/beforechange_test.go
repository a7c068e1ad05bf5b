package plan_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// withPolicy gives the containers of a spec a snapshot policy.
func withPolicy(s *spec.State, fields setting.Record) *spec.State {
	s.Policies = []*spec.SnapshotPolicy{spec.NewSnapshotPolicy("p", fields, s.Cluster, spec.Place{})}
	for _, c := range s.Containers {
		c.Snapshots = setting.Record{}
		spec.UsePolicy.Set(c.Snapshots, "p")
	}
	return s
}

func beforeChange(s *spec.State) *spec.State {
	r := setting.Record{}
	spec.PolicyBeforeChange.Set(r, true)
	return withPolicy(s, r)
}

var saveTime = time.Date(2026, 11, 21, 1, 30, 0, 0, time.UTC)

var markOf = regexp.MustCompile(`change [0-9a-f]{12}`)

// TestBeforeChange takes a snapshot before what restarts a container, once, and leaves the change where there can be none.
func TestBeforeChange(t *testing.T) {
	const take = `  1. take snapshot tend-p-20261121T013000Z (before the change; it may be dropped after 72h)` + "\n"
	online := `"cores": 2`
	restart := `"timezone": "host"`
	taken := func(mark string, ago time.Duration, edit ...func(*proxmox.Snapshot)) []proxmox.Snapshot {
		s := proxmox.Snapshot{
			Name: "tend-p-20261121T010000Z", Time: saveTime.Add(-ago),
			Description: retention.Marker{Owner: "tend", Policy: "p", Kind: retention.BeforeChange}.String() + "\n" + mark + "\n",
		}
		for _, f := range edit {
			f(&s)
		}
		return []proxmox.Snapshot{s}
	}
	mark := markOf.FindString(describe(t, beforeChange(declare(t, restart, restartNow)), func(*plan.Live) {}))
	other := markOf.FindString(describe(t, beforeChange(declare(t, restart+`, "startOnBoot": true`, restartNow)), func(*plan.Live) {}))
	for _, tc := range []struct {
		name, want string
		stopped    bool
		never      bool // restart: never
		plain      bool // no policy
		edit       func(*plan.Live)
		takes      bool
		says       string // part of the plan
	}{
		{name: "a restart", want: restart, takes: true, says: take},
		{name: "what waits for a restart", want: restart, never: true, takes: true, says: take},
		{name: "online", want: online},
		{name: "of a stopped container", want: restart, stopped: true},
		{name: "no policy", want: restart, plain: true},
		{name: "taken already", want: restart, edit: func(l *plan.Live) { l.Containers[101].Snapshots = taken(mark, time.Hour) }},
		{name: "long ago", want: restart, takes: true, edit: func(l *plan.Live) { l.Containers[101].Snapshots = taken(mark, 7*time.Hour) }},
		{name: "before another change", want: restart, takes: true, edit: func(l *plan.Live) { l.Containers[101].Snapshots = taken(other, time.Hour) }},
		{name: "an incomplete one", want: restart, takes: true, edit: func(l *plan.Live) {
			l.Containers[101].Snapshots = taken(mark, time.Hour, func(s *proxmox.Snapshot) { s.State = "delete" })
		}},
		{name: "another's", want: restart, takes: true, edit: func(l *plan.Live) {
			l.Containers[101].Snapshots = taken(mark, time.Hour, func(s *proxmox.Snapshot) { s.Description = strings.Replace(s.Description, "tend/", "they/", 1) })
		}},
		{
			name: "a storage that takes none", want: restart + ", " + online,
			edit: func(l *plan.Live) { l.Storages = storagesWith("local-btrfs", "nfs", 1<<40) },
			says: "policy p wants a snapshot before it, and there can be none: Proxmox takes no snapshot of a container with / on storage local-btrfs (nfs)",
		},
		{
			name: "a token that may not", want: restart,
			edit: func(l *plan.Live) { l.Permissions = all("VM.Snapshot") },
			says: "there can be none: the token lacks VM.Snapshot on /vms/101",
		},
		{
			name: "a failing disk", want: restart + ", " + online,
			edit: func(l *plan.Live) { l.Disks = map[string]*health.Node{"pve1": failing("local-btrfs")} },
			says: "there can be none: storage local-btrfs lies on a failing disk: /dev/sda (serial S1)",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := declare(t, tc.want, func(c *spec.Container) {
				if !tc.never {
					c.Restart = spec.RestartNow
				}
			})
			if !tc.plain {
				beforeChange(s)
			}
			have := observe(t, !tc.stopped, proxmox.Config{Current: webValues()})
			if tc.edit != nil {
				tc.edit(have)
			}
			p := plan.Compute(s, have, plan.Policy{Now: saveTime})
			text := p.String()
			l := p.Lane(101)
			if takes := l != nil && takesFirst(*l); takes != tc.takes || !strings.Contains(text, tc.says) {
				t.Errorf("takes %t:\n%s", takes, text)
			}
			if tc.says != "" && !tc.takes && l != nil && l.Effect > setting.Online {
				t.Errorf("it is changed all the same:\n%s", text)
			}
		})
	}
}

func takesFirst(l plan.Lane) bool {
	_, ok := l.Steps[0].Op.(plan.TakeSnapshot)
	return ok
}

// describe is the description of the snapshot that a plan takes.
func describe(t *testing.T, s *spec.State, edit func(*plan.Live)) string {
	t.Helper()
	have := observe(t, true, proxmox.Config{Current: webValues()})
	edit(have)
	op, _ := plan.Compute(s, have, plan.Policy{Now: saveTime}).Lane(101).Steps[0].Op.(plan.TakeSnapshot)
	m, ok := retention.ParseMarker(op.Description)
	if d := cmp.Diff(retention.Marker{Owner: "tend", Policy: "p", Kind: retention.BeforeChange}, m); !ok || d != "" || retention.HeldBy(op.Description) {
		t.Fatalf("marker (-want +got): %s, held %t", d, retention.HeldBy(op.Description))
	}
	return op.Description
}

// TestBeforeChangeText: a plan that is made anew is the same one, though the name of the snapshot has another time. Else no
// approval of it would hold, and no saved plan.
func TestBeforeChangeText(t *testing.T) {
	text := func(now time.Time) []string {
		s := beforeChange(declare(t, `"timezone": "host"`, restartNow))
		return plan.Compute(s, observe(t, true, proxmox.Config{Current: webValues()}), plan.Policy{Now: now}).Lane(101).Text("")
	}
	if d := cmp.Diff(text(saveTime), text(saveTime.Add(time.Hour))); d != "" || !strings.Contains(text(saveTime)[1], "tend-p-TIME") {
		t.Errorf("%s\n%q", d, text(saveTime))
	}
}
