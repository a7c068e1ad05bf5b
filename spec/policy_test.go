package spec_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/proxmox/prune"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/setting"
)

func snapshots(t *testing.T) *spec.State {
	t.Helper()
	s, err := load.Path("../testdata/spec/good/snapshots.yaml", load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPolicyOf shows what each way to write snapshots of a container comes to.
func TestPolicyOf(t *testing.T) {
	s := snapshots(t)
	got := map[string]string{}
	for _, c := range s.Containers {
		p := s.PolicyOf(c)
		if p == nil {
			got[c.Name] = "none"
			continue
		}
		got[c.Name] = strings.Join([]string{p.Name, p.Schedule.String(), p.Keep.String(), p.Times.Location.String(), p.MaxAge.String()}, " ")
		if p.BeforeChange {
			got[c.Name] += " before changes"
		}
	}
	nightly := "nightly 02:30 keep-last=2,keep-daily=7,keep-weekly=4,keep-monthly=6 Europe/Vienna 26h0m0s"
	want := map[string]string{
		"plain":   nightly,
		"named":   "hourly *:00 keep-hourly=24 UTC 0s",
		"changed": "nightly 02:30 keep-last=2,keep-daily=7,keep-weekly=4,keep-monthly=6,keep-yearly=1 Europe/Vienna 26h0m0s before changes",
		"both":    "db mon..fri 22:00 keep-daily=6 Europe/Vienna 80h0m0s", // a layer that names a policy replaces the others
		"layered": "nightly 02:30 keep-last=2,keep-daily=14,keep-weekly=4,keep-monthly=6 Europe/Vienna 26h0m0s",
		"without": "none",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	if h := s.Containers[1].Holds; len(h) != 2 || h[1] != "by-hand" {
		t.Errorf("holds %q", h)
	}
	own := &spec.Container{Name: "web", Snapshots: setting.Record{spec.PolicySchedule.Path: "daily"}}
	if p := s.PolicyOf(own); p.Name != spec.OwnPolicy || p.Schedule.String() != "00:00" {
		t.Errorf("%+v", p)
	}
	if p := s.PolicyOf(&spec.Container{Snapshots: setting.Record{spec.UsePolicy.Path: "nosuch"}}); p != nil {
		t.Errorf("%+v", p)
	}
}

func TestPolicy(t *testing.T) {
	s := snapshots(t)
	p := s.Policy("hourly")
	if p.Times.DST != calendar.Upstream || p.CatchUp || !p.AtOnce || p.LockWait != time.Minute || p.Prefix != "auto" || p.MaxDeletions != 3 ||
		p.Keep != (prune.Keep{Hourly: 24}) || !p.Scheduled() || p.DropUnused {
		t.Errorf("hourly is %+v", p)
	}
	if p := s.Policy("changes"); p.Scheduled() || !p.BeforeChange || p.ChangeAge != 168*time.Hour || !p.CatchUp || p.Times.DST != calendar.Shift {
		t.Errorf("changes is %+v", p)
	}
	want := spec.Hook{Command: []string{"systemctl", "stop", "db"}, Timeout: 2 * time.Minute, OnFailure: spec.HookContinue}
	if p := s.Policy("db"); !cmp.Equal(p.Before, want) || p.Fallback != "backups" || !p.DropUnused {
		t.Errorf("db is %+v", p)
	}
	for _, p := range s.Policies {
		r := p.Record()
		decoded, ok := spec.PolicyFields.Decode(jsonLike(spec.PolicyFields.Encode(r)), nil, func(at setting.Path, err error) { t.Errorf("%s: %v", at, err) })
		if again := spec.NewSnapshotPolicy(p.Name, decoded, s.Cluster, p.Place); !ok || !again.Equal(p) || again.Schedule.String() != p.Schedule.String() {
			t.Errorf("%s is read as %+v", p.Name, again)
		}
		if other := spec.NewSnapshotPolicy("other", decoded, s.Cluster, p.Place); other.Equal(p) || p.Equal(nil) {
			t.Errorf("%s equals others", p.Name)
		}
	}
	at := time.Date(2026, 11, 21, 2, 30, 0, 0, p.Times.Location)
	if name := p.SnapshotName(at); name != "auto-hourly-20261121T023000Z" {
		t.Errorf("name %s", name)
	}
}

// TestSnapshotNames holds the rule of names against Proxmox's own answers.
func TestSnapshotNames(t *testing.T) {
	raw, err := os.ReadFile("../testdata/vectors/snapname.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name    string
		Allowed bool `json:"create_allowed"`
		Note    string
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		want := v.Allowed && !strings.HasSuffix(v.Name, "\n") // which is never sent
		if got := spec.ValidSnapshotName(v.Name); got != want {
			t.Errorf("%q: %t, want %t", v.Name, got, want)
		}
	}
	if len(vectors) == 0 {
		t.Error("no vectors")
	}
	t.Logf("%d names agree", len(vectors))
}
