package sim

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// backup makes a backup of a container and gives its volume.
func backup(t *testing.T, s *Sim, id string) string {
	t.Helper()
	must(t, s, "POST", "/nodes/pve1/vzdump", map[string]string{"vmid": id, "storage": "local", "compress": "zstd"})
	for volid := range s.st.Backups {
		if strings.Contains(volid, "-"+id+"-") {
			return volid
		}
	}
	t.Fatal("no backup")
	return ""
}

// A token's restore leaves raw lxc lines out, and says so by a warning; a bind mount makes it fail in the task.
func TestRestoreByToken(t *testing.T) {
	s := start(t, lab(t), Options{})
	create(t, s, "101", map[string]string{"features": "nesting=1,keyctl=1", "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01"})
	if err := s.EditConfig(101, func(raw string) string { return raw + "lxc.mount.entry: /srv srv none bind 0 0\n" }); err != nil {
		t.Fatal(err)
	}
	volid := backup(t, s, "101")
	restore := func(user, id string, more map[string]string) string {
		form := map[string]string{"vmid": id, "ostemplate": volid, "restore": "1", "storage": "local-btrfs"}
		for k, v := range more {
			form[k] = v
		}
		data, err := request(s, user, "POST", "/nodes/pve1/lxc", form)
		if err != nil {
			t.Fatal(err)
		}
		return taskEnd(s, strings.Trim(string(data), `"`))
	}
	if got := restore(rootToken, "102", nil); got != "WARNINGS: 1" {
		t.Errorf("status %q", got)
	}
	c := s.guests[102].conf
	if len(c.lxc) != 0 || c.values["features"] != "nesting=1,keyctl=1" || !strings.Contains(c.values["net0"], "BC:24:11:00:00:01") {
		t.Errorf("restored:\n%s", s.guests[102].raw)
	}
	if got := restore(rootUser, "103", map[string]string{"unique": "1", "hostname": "other"}); got != "OK" {
		t.Errorf("status %q", got)
	}
	c = s.guests[103].conf
	if len(c.lxc) != 1 || c.values["hostname"] != "other" || strings.Contains(c.values["net0"], "BC:24:11:00:00:01") {
		t.Errorf("restored:\n%s", s.guests[103].raw)
	}
	must(t, s, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"mp0": "/srv,mp=/srv"})
	for id := range s.st.Backups {
		delete(s.st.Backups, id)
	}
	volid = backup(t, s, "101")
	if got := restore(rootToken, "104", nil); got != "unable to restore CT 104 - restoring 'mp0' to bind mount is only possible for root" {
		t.Errorf("status %q", got)
	}
	if s.guests[104] != nil {
		t.Error("the config is left")
	}
}

// A linked clone holds its base: the template can be destroyed only after it, and its config is whole meanwhile.
func TestTemplateWithLinkedClone(t *testing.T) {
	st := lab(t)
	st.Storages["zfs"] = &Storage{Type: "zfspool", Pool: "tank", Content: []string{"rootdir"}}
	s := start(t, st, Options{})
	create(t, s, "101", map[string]string{"rootfs": "zfs:1"})
	if got := refused(t, s, rootUser, "POST", "/nodes/pve1/lxc/101/clone", map[string]string{"newid": "102", "full": "0"}); !strings.Contains(got, "Linked clone feature for 'zfs:subvol-101-disk-0' is not available") {
		t.Errorf("linked clone of no template: %q", got)
	}
	if s.guests[102] != nil || s.guests[101].conf.on("lock") {
		t.Error("a refused clone leaves something")
	}
	must(t, s, "POST", "/nodes/pve1/lxc/101/template", nil)
	must(t, s, "POST", "/nodes/pve1/lxc/101/clone", map[string]string{"newid": "102"})
	if got := config(t, s, "102")["rootfs"]; got != "zfs:basevol-101-disk-0/subvol-102-disk-0,size=1G" {
		t.Errorf("rootfs %q", got)
	}
	if got := refused(t, s, rootUser, "DELETE", "/nodes/pve1/lxc/101", nil); got != "base volume 'basevol-101-disk-0' is still in use by linked clones" {
		t.Errorf("destroy: %q", got)
	}
	if got := config(t, s, "101"); got["template"] != 1.0 || got["lock"] != nil {
		t.Errorf("config %v", got)
	}
	must(t, s, "DELETE", "/nodes/pve1/lxc/102", nil)
	must(t, s, "DELETE", "/nodes/pve1/lxc/101", nil)
}

// A volume that a snapshot has is not freed with its unused entry, and comes back when the snapshot goes.
func TestUnusedVolumeOfASnapshot(t *testing.T) {
	s := start(t, lab(t), Options{})
	create(t, s, "101", map[string]string{"mp0": "local-btrfs:1,mp=/data"})
	path := "/nodes/pve1/lxc/101"
	must(t, s, "POST", path+"/snapshot", map[string]string{"snapname": "one"})
	must(t, s, "PUT", path+"/config", map[string]string{"delete": "mp0"})
	must(t, s, "PUT", path+"/config", map[string]string{"delete": "unused0"})
	const volid = "local-btrfs:101/vm-101-disk-1.raw"
	if s.st.Volumes[volid] == nil || s.guests[101].conf.values["unused0"] != "" {
		t.Fatalf("volume %v, config:\n%s", s.st.Volumes[volid], s.guests[101].raw)
	}
	must(t, s, "DELETE", path+"/snapshot/one", nil)
	// Proxmox notes rootfs as unused0 first, and drops that again when it writes
	if got := s.guests[101].conf.values["unused1"]; got != volid {
		t.Errorf("unused1 %q", got)
	}
	must(t, s, "PUT", path+"/config", map[string]string{"delete": "unused1"})
	if s.st.Volumes[volid] != nil {
		t.Error("the volume is left")
	}
}

func TestMoveVolume(t *testing.T) {
	s := start(t, lab(t), Options{})
	create(t, s, "101", map[string]string{"mp0": "local-btrfs:1,mp=/data,backup=1"})
	create(t, s, "102", nil)
	path := "/nodes/pve1/lxc/101"
	must(t, s, "POST", path+"/move_volume", map[string]string{"volume": "mp0", "storage": "local"})
	got := config(t, s, "101")
	if got["mp0"] != "local:101/vm-101-disk-0.raw,mp=/data,backup=1,size=1G" || got["unused0"] != "local-btrfs:101/vm-101-disk-1.raw" || got["lock"] != nil {
		t.Errorf("config %v", got)
	}
	must(t, s, "POST", path+"/move_volume", map[string]string{"volume": "mp0", "target-vmid": "102", "target-volume": "mp3"})
	if got := config(t, s, "102")["mp3"]; got != "local:102/vm-102-disk-0.raw,mp=/data,backup=1,size=1G" {
		t.Errorf("mp3 %q", got)
	}
	for _, tt := range []struct {
		form map[string]string
		want string
	}{
		{map[string]string{"volume": "rootfs", "target-vmid": "102"}, "Cannot move to/from 'rootfs'"},
		{map[string]string{"volume": "mp0", "target-vmid": "102"}, "volume 'mp0' for container '101' does not exist"},
		{map[string]string{"volume": "unused0", "storage": "local"}, "cannot move volume 'unused0', only configured volumes"},
		{map[string]string{"volume": "rootfs"}, "both 'storage' and 'target-vmid' missing"},
		{map[string]string{"volume": "rootfs", "storage": "local", "digest": "1"}, "detected modified configuration"},
	} {
		if got := refused(t, s, rootUser, "POST", path+"/move_volume", tt.form); !strings.Contains(got, tt.want) {
			t.Errorf("%v: %q, want %q", tt.form, got, tt.want)
		}
	}
}

// Only root himself starts a container past its lock, and a mounted one starts anyway.
func TestStartWithLock(t *testing.T) {
	s := start(t, lab(t), Options{})
	create(t, s, "101", map[string]string{"mp0": "/srv,mp=/srv"})
	path := "/nodes/pve1/lxc/101/"
	must(t, s, "PUT", path+"config", map[string]string{"lock": "backup"})
	if got := refused(t, s, rootUser, "POST", path+"status/start", nil); got != "CT is locked (backup)" {
		t.Errorf("status %q", got)
	}
	must(t, s, "POST", path+"status/start", map[string]string{"skiplock": "1"})
	must(t, s, "POST", path+"status/stop", map[string]string{"skiplock": "1"})
	if err := s.EditConfig(101, func(raw string) string { return strings.Replace(raw, "lock: backup", "lock: mounted", 1) }); err != nil {
		t.Fatal(err)
	}
	must(t, s, "POST", path+"status/start", nil)
	must(t, s, "POST", path+"status/reboot", nil) // asks for no lock at all
	if err := s.Unlock(101); err != nil {
		t.Fatal(err)
	}
	must(t, s, "POST", path+"status/shutdown", nil)
	if err := s.EditConfig(101, func(raw string) string { return strings.Replace(raw, "/srv,", "/nosuch,", 1) }); err != nil {
		t.Fatal(err)
	}
	if got := refused(t, s, rootUser, "POST", path+"status/start", nil); got != "startup for container '101' failed" {
		t.Errorf("status %q", got)
	}
}

func TestBackupRetention(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.Local)
	s := start(t, lab(t), Options{Now: func() time.Time { return now }})
	create(t, s, "101", nil)
	for range 4 {
		must(t, s, "POST", "/nodes/pve1/vzdump", map[string]string{"vmid": "101", "storage": "local", "prune-backups": "keep-last=2"})
		now = now.Add(24 * time.Hour)
	}
	if got := sortedKeys(s.st.Backups); len(got) != 2 || !strings.Contains(got[0], "2026_01_03") {
		t.Errorf("kept %v", got)
	}
}

// Retention marks what Proxmox marks.
func TestPruneVectors(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/vectors/prune.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Keep      map[string]any
		TZ        string
		Times     []int64
		Protected []int64
		Expect    map[string]string
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	for i, v := range vectors {
		zone, err := time.LoadLocation(v.TZ)
		if err != nil {
			t.Fatal(err)
		}
		keep := map[string]string{}
		for k, n := range v.Keep {
			text, _ := json.Marshal(n)
			keep[k] = strings.Trim(string(text), `"`)
		}
		var rows []*pruneRow
		for _, at := range v.Times {
			r := &pruneRow{CTime: at}
			for _, p := range v.Protected {
				if p == at {
					r.Mark = "protected"
				}
			}
			rows = append(rows, r)
		}
		markGroup(rows, keep, zone)
		got := map[string]string{}
		for _, r := range rows {
			text, _ := json.Marshal(r.CTime)
			got[string(text)] = r.Mark
		}
		if diff := cmp.Diff(v.Expect, got); diff != "" {
			t.Fatalf("%d %v in %s (-want +got):\n%s", i, v.Keep, v.TZ, diff)
		}
	}
}

// What is gone from a directory is only warned of when it is destroyed; a storage that asks for it says no.
func TestDestroyMissing(t *testing.T) {
	for storage, want := range map[string]string{"local": "", "local-btrfs": "does not exist"} {
		s := start(t, lab(t), Options{})
		create(t, s, "101", map[string]string{"mp0": storage + ":1,mp=/data"})
		volume, _, _ := strings.Cut(s.guests[101].conf.values["mp0"], ",")
		must(t, s, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"delete": "mp0"})
		delete(s.st.Volumes, volume)
		_, err := request(s, rootUser, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"delete": "unused0"})
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", volume, err, want)
		}
		if left := s.guests[101].conf.values["unused0"]; (left != "") != (want != "") {
			t.Errorf("unused0 is %q", left)
		}
	}
}

// A volume that has grown since a snapshot is as small again after the rollback, and grows again.
func TestRollbackSize(t *testing.T) {
	s := start(t, lab(t), Options{})
	create(t, s, "101", map[string]string{"rootfs": "local-btrfs:1"})
	const path = "/nodes/pve1/lxc/101"
	size := func() Bytes { return s.State().Volumes["local-btrfs:101/vm-101-disk-0.raw"].Size }
	must(t, s, "POST", path+"/snapshot", map[string]string{"snapname": "one"})
	must(t, s, "PUT", path+"/resize", map[string]string{"disk": "rootfs", "size": "2G"})
	must(t, s, "POST", path+"/snapshot", map[string]string{"snapname": "two"})
	for _, step := range []struct {
		snapshot string
		want     Bytes
	}{{"one", 1 << 30}, {"two", 2 << 30}, {"one", 1 << 30}} {
		text, _, err := s.renderState()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseState(text)
		if err != nil {
			t.Fatal(err)
		}
		s = start(t, again, Options{}) // sizes are part of the state
		must(t, s, "POST", path+"/snapshot/"+step.snapshot+"/rollback", nil)
		if size() != step.want {
			t.Errorf("after a rollback to %s it has %d bytes, want %d", step.snapshot, size(), step.want)
		}
	}
	must(t, s, "PUT", path+"/resize", map[string]string{"disk": "rootfs", "size": "3G"})
	must(t, s, "DELETE", path+"/snapshot/two", nil)
	if v := s.State().Volumes["local-btrfs:101/vm-101-disk-0.raw"]; len(v.Sizes) != 1 || v.Sizes["one"] != 1<<30 {
		t.Errorf("sizes at snapshots are %v", v.Sizes)
	}
}
