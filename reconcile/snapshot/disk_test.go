package snapshot_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/live"
	"github.com/felhom/tend/reconcile/snapshot"
)

// TestFailingDisk takes nothing on a failing disk, drops what may go, and takes it all the same where a person agreed.
func TestFailingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, "", func(st *sim.State) {
			st.Storages["tank"].Pool = "tank"
			st.Nodes["pve1"].Drives = []*sim.Drive{{
				Device: "/dev/sda", Type: "hdd", Serial: "S0001", Size: 1 << 40, Health: "FAILED!",
				Parts: []*sim.DrivePart{{Device: "/dev/sda1", Pool: "tank"}},
			}}
		})
		w := want(t, `{"schedule": "02:30", "keep": {"last": 1}}`)
		keeper := func(allow ...string) *snapshot.Keeper {
			k := b.keeper(nil)
			k.Disks, k.AllowDisks = &live.Disks{Client: b.root}, allow
			return k
		}
		for range 3 { // with consent
			time.Sleep(time.Hour)
			if c := run(t, keeper("pve1:sda"), w, snapshot.Options{Take: snapshot.TakeNow, Keep: true}); c.Err != nil || c.Taken == "" {
				t.Fatalf("%+v", c)
			}
		}
		time.Sleep(time.Hour)
		if c := run(t, keeper(), w, snapshot.Options{DryRun: true, Take: snapshot.TakeNow}); c.Refused == nil || c.Err != nil {
			t.Errorf("a dry run does not tell, or fails: %+v", c)
		}
		b.reset(nil, nil)
		c := run(t, keeper("sdb"), w, snapshot.Options{Take: snapshot.TakeNow, Consent: true})
		var refused *snapshot.FailingDisk
		if !errors.As(c.Err, &refused) || c.Refused == nil || c.Taken != "" {
			t.Fatalf("a snapshot is taken: %+v", c)
		}
		for _, part := range []string{"no snapshot of container 101 is taken: storage tank lies on a failing disk: /dev/sda (serial S0001)", "--allow-failing-disk pve1:sda"} {
			if !strings.Contains(refused.Error(), part) {
				t.Errorf("%q is missing in %q", part, refused)
			}
		}
		if len(c.Dropped) != 2 || len(b.names(t)) != 1 {
			t.Errorf("what may go stays: %v of %v", c.Dropped, b.names(t))
		}
		if c := run(t, b.keeper(nil), w, snapshot.Options{Take: snapshot.TakeNow}); c.Err != nil || c.Taken == "" {
			t.Errorf("disks are in the way of who does not look at them: %+v", c)
		}
	})
}

// failingBelow is a node whose disk below a storage is failing.
type failingBelow string

func (f failingBelow) Check(_ context.Context, node string) *health.Node {
	return &health.Node{
		Name:     node,
		Disks:    []health.Disk{{Device: "/dev/sda", Serial: "S0001", Level: health.Failing, Reasons: []string{"its own health check failed (FAILED!)"}}},
		Storages: []health.Backing{{Storage: string(f), Disks: []string{"/dev/sda"}}},
	}
}

// TestFailingFallback makes no backup on a failing disk in place of a snapshot, and makes it where a person agreed. What
// lies below the container itself is only read.
func TestFailingFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, bindMount)
		k, w := b.keeper(memory(t)), want(t, fallback)
		k.Disks = failingBelow("local")
		if c := run(t, k, w, snapshot.Options{DryRun: true, Take: snapshot.TakeNow}); c.Refused == nil || c.Err != nil {
			t.Errorf("a dry run does not tell, or fails: %+v", c)
		}
		c := run(t, k, w, snapshot.Options{Take: snapshot.TakeNow})
		if c.Refused == nil || c.Taken != "" || len(b.dumps(t)) != 0 || c.Err == nil ||
			!strings.Contains(c.Err.Error(), "no backup of container 101 is taken: storage local lies on a failing disk") {
			t.Fatalf("a backup is made: %+v", c)
		}
		k.AllowDisks = []string{"pve1:sda"}
		if c := run(t, k, w, snapshot.Options{Take: snapshot.TakeNow}); c.Err != nil || c.Taken == "" {
			t.Errorf("none is made though a person agreed: %+v", c)
		}
		time.Sleep(time.Hour)
		k.Disks, k.AllowDisks = failingBelow("tank"), nil
		if c := run(t, k, w, snapshot.Options{Take: snapshot.TakeNow}); c.Err != nil || c.Taken == "" {
			t.Errorf("none is made though the failing disk is only read: %+v", c)
		}
	})
}
