package backup_test

import (
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
)

const home = `
cluster: {name: home, owner: tend, timeZone: UTC}
backupJobs:
  weekly: {schedule: "sun 03:00", storage: local, select: {ids: [101]}}
containers:
  web:
    id: 101
    node: pve1
    from: {template: "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"}
    rootfs: {storage: local-zfs, size: 2GiB}
    mounts: {/srv: {storage: local-zfs, size: 1GiB, backup: true}}
    network: {eth0: {bridge: vmbr0, mac: "BC:24:11:00:01:01", ipv4: 192.168.1.20/24}}
    startOnBoot: true
`

func loaded(t *testing.T, text string) *spec.State {
	t.Helper()
	want, err := load.Load(fstest.MapFS{"home.yaml": {Data: []byte(text)}}, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// What is not seen is not called absent, and what is old is called overdue.
func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) // a tuesday
	may := proxmox.Permissions{"/": {"Datastore.AllocateSpace": true, "VM.Backup": true}}
	archive := func(storage string, age time.Duration) backup.Archive {
		return backup.Archive{Storage: storage, Volume: proxmox.Volume{ID: storage + ":backup/x", Guest: 101, Created: now.Add(-age)}}
	}
	const day = 24 * time.Hour
	for _, tc := range []struct {
		name  string
		found backup.Found
		want  backup.State
	}{
		{"a new one", backup.Found{Permissions: may, Storages: map[string]bool{"local": true}, Archives: []backup.Archive{archive("local", 2*day)}}, backup.Good},
		{"an old one", backup.Found{Permissions: may, Storages: map[string]bool{"local": true}, Archives: []backup.Archive{archive("local", 9*day)}}, backup.Overdue},
		{"none", backup.Found{Permissions: may, Storages: map[string]bool{"local": true}}, backup.Absent},
		{"a new one elsewhere is not the job's", backup.Found{Permissions: may, Storages: map[string]bool{"local": true, "usb": true}, Archives: []backup.Archive{archive("usb", day)}}, backup.Absent},
		{"a storage that is away", backup.Found{Permissions: may, Faults: []backup.Fault{{Storage: "local", Err: errors.New("away")}}}, backup.Unknown},
		{"a token that is not shown any", backup.Found{Permissions: proxmox.Permissions{"/": {"Datastore.AllocateSpace": true}}, Storages: map[string]bool{"local": true}}, backup.Unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := backup.Judge(loaded(t, home), &plan.Live{}, tc.found, now)
			if len(r.Containers) != 1 || r.Containers[0].State() != tc.want {
				t.Errorf("got %+v, want one container that is %s", r.Containers, tc.want)
			}
		})
	}
}
