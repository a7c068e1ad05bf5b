package snapshot_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
