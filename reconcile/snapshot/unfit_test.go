package snapshot_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/reconcile/snapshot"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
)

// mounted is the spec with a mount more.
func mounted(t *testing.T, mount string) *spec.State {
	t.Helper()
	text := `{"cluster": {"name": "lab", "owner": "tend"}, "snapshotPolicies": {"p": ` + atOnce + `},
	"containers": {"web": {"id": 101, "node": "pve1", "rootfs": {"storage": "tank", "size": "1GiB"}, "snapshots": "p", "mounts": {"/m": ` + mount + `}}}}`
	s, err := load.Load(fstest.MapFS{"web.yaml": {Data: []byte(text)}}, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestUnfit: a policy that Proxmox would not carry out is told with the mount, and what a spec alone tells is not tried.
func TestUnfit(t *testing.T) {
	for _, tc := range []struct {
		name, extra, mount string
		says               string
		sent               []string
		took               bool
	}{
		{"a bind mount", "mp0: /srv,mp=/m\n", `{"hostPath": "/srv"}`, "/m, a directory or device of the node (write keepSnapshots: true for mount /m", nil, false},
		{"one that is not there yet", "", `{"hostPath": "/srv"}`, "", []string{"POST /snapshot"}, true},
		{"a storage", "mp0: local:101/vm-101-disk-1.raw,mp=/m,size=1G\n", `{"storage": "local", "size": "1GiB"}`, "/m on storage local (dir)", []string{"POST /snapshot"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, w := newBox(t, tc.extra), mounted(t, tc.mount)
			k := b.keeper(memory(t))
			if c := run(t, k, w, snapshot.Options{DryRun: true}); len(c.Unfit) != 1 || c.Drops.Name != "" || b.changes() != nil {
				t.Errorf("unfit: %v; goes next: %q; sent %v", c.Unfit, c.Drops.Name, b.changes())
			}
			b.reset(nil, nil)
			c := run(t, k, w, snapshot.Options{})
			if (c.Taken != "") != tc.took || (c.Err == nil) != tc.took || !tc.took && !strings.Contains(c.Err.Error(), tc.says) {
				t.Errorf("took %q: %v", c.Taken, c.Err)
			}
			if d := cmp.Diff(tc.sent, b.changes()); d != "" {
				t.Errorf("sent (-want +got):\n%s", d)
			}
			if again := run(t, k, w, snapshot.Options{}); again.Due {
				t.Error("it is tried again at once")
			}
		})
	}
}

// TestBeforeChangeExpires: a snapshot that was taken before a change goes when its time is over, and not before.
func TestBeforeChangeExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, "")
		w := want(t, `{"schedule": "daily", "keep": {"last": 9}, "beforeChange": true, "changeAge": "48h"}`)
		k := b.keeper(memory(t))
		p, _ := retention.For(w, w.Containers[0])
		name := p.SnapshotName(time.Now())
		if _, err := b.root.Snapshot(t.Context(), web, name, p.Description(retention.BeforeChange)+"\nchange 0123456789ab"); err != nil {
			t.Fatal(err)
		}
		for hour := range 73 {
			c := run(t, k, w, snapshot.Options{})
			if len(c.Dropped) > 0 && (c.Dropped[0] != name || hour <= 48) || c.Err != nil {
				t.Fatalf("after %d hours: dropped %v, %v", hour, c.Dropped, c.Err)
			}
			if len(c.Dropped) > 0 {
				return
			}
			time.Sleep(time.Hour)
		}
		t.Errorf("it is still there: %v", b.names(t))
	})
}
