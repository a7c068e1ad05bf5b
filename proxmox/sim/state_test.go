package sim

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/felhom/tend/proxmox"
)

// busy fills a simulator with everything a state file can hold.
func busy(t *testing.T, o Options) *Sim {
	st := lab(t)
	name := "lab"
	st.Cluster.Name = &name
	st.VMs[900] = &VM{Node: "pve1", Name: "desktop", Status: "running"}
	st.Nodes["pve2"] = &Node{IP: "192.168.77.11", CPUs: 4, Memory: 1 << 30, Bridges: map[string]*Bridge{"vmbr0": {MTU: 9000}}}
	s := start(t, st, o)
	create(t, s, "101", map[string]string{"mp0": "local-btrfs:0.5,mp=/data", "description": "a: b\n\n# c\u00e4", "tags": "x;y"})
	must(t, s, "POST", "/nodes/pve1/lxc/101/snapshot", map[string]string{"snapname": "one", "description": "two\nlines"})
	must(t, s, "POST", "/nodes/pve1/lxc/101/status/start", nil)
	must(t, s, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"timezone": "UTC", "env": "A=1\x00B=\"quoted\""})
	must(t, s, "POST", "/pools", map[string]string{"poolid": "home", "comment": "c: d"})
	must(t, s, "PUT", "/pools", map[string]string{"poolid": "home", "vms": "101", "storage": "local"})
	must(t, s, "POST", "/nodes/pve1/vzdump", map[string]string{"vmid": "101", "notes-template": "{{guestname}}", "storage": "local"})
	must(t, s, "POST", "/cluster/backup", map[string]string{"id": "weekly", "schedule": "sun 3:00", "vmid": "101", "exclude-path": "/tmp"})
	return s
}

func TestStateRoundTrip(t *testing.T) {
	s := busy(t, Options{})
	raw, err := s.render()
	if err != nil {
		t.Fatal(err)
	}
	st, err := ParseState(raw)
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	again := start(t, st, Options{})
	second, err := again.render()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(raw), string(second)); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(st, s.State(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("State differs from the state file (-file +state):\n%s", diff)
	}
	marshalled, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	third, err := ParseState(marshalled)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(st, third, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("a state differs after Marshal and ParseState (-want +got):\n%s", diff)
	}
}

// Secrets live in the state file, and are masked everywhere else.
func TestStateKeepsSecrets(t *testing.T) {
	st := lab(t)
	raw, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte("labpassword")) || !bytes.Contains(raw, []byte("22222222-2222-4222-8222-222222222222")) {
		t.Errorf("secrets are lost:\n%s", raw)
	}
	if text := fmt.Sprintf("%+v", *st.Users["root@pam"]); strings.Contains(text, "labpassword") {
		t.Errorf("a password shows: %s", text)
	}
}

func TestParseStateTellsWhere(t *testing.T) {
	for _, tt := range []struct{ name, yaml, want string }{
		{"unknown field", "nodes: {n: {cpus: 1, memory: 1G, colour: red}}", "line 1: field colour not found"},
		{"unknown field of a user", "nodes: {n: {cpus: 1, memory: 1G}}\nusers:\n  a@pam: {passwort: x}", "line 3:"},
		{"unknown field of a volume", "nodes: {n: {cpus: 1, memory: 1G}}\nvolumes:\n  \"st:v\": {sise: 1G}", "line 3: field sise not found"},
		{"volume twice", "nodes: {n: {cpus: 1, memory: 1G}}\nvolumes:\n  \"st:v\": {size: 1G}\n  \"st:v\": {size: 1G}", "line 4: mapping key \"st:v\" already defined"},
		{"containers are a list", "nodes: {n: {cpus: 1, memory: 1G}}\ncontainers: [101]", "line 2: must be a mapping"},
		{"no nodes", "version: {version: 9.2.11}", "nodes: there is none"},
		{"size", "nodes: {n: {cpus: 1, memory: much}}", `line 1: "much" is not a size`},
		{"storage type", "nodes: {n: {cpus: 1, memory: 1G}}\nstorages: {st: {type: tape, content: []}}", `storages.st: type "tape" is not one of btrfs`},
		{"container on no node", "nodes: {n: {cpus: 1, memory: 1G}}\ncontainers: {101: {node: m, config: \"\"}}", `containers.101.node: "m" is not among the nodes`},
		{"bad config", "nodes: {n: {cpus: 1, memory: 1G}}\ncontainers: {101: {node: n, config: \"cores: many\"}}", "containers.101.config: unable to parse value of 'cores'"},
		{"small id", "nodes: {n: {cpus: 1, memory: 1G}}\ncontainers: {7: {node: n, config: \"\"}}", "containers.7: the id is not between 100 and 999999999"},
		{"volume on no storage", "nodes: {n: {cpus: 1, memory: 1G}}\nvolumes: {\"st:vm-1-disk-0\": {size: 1G}}", `storage "st" is not among the storages`},
		{"privilege", "nodes: {n: {cpus: 1, memory: 1G}}\nroles: {r: [VM.Fly]}", `roles.r: "VM.Fly" is not a privilege`},
		{"role", "nodes: {n: {cpus: 1, memory: 1G}}\nacl: [{path: /, role: Boss, user: a@pam}]", `acl[0].role: "Boss" is not a role`},
		{"UPID", "nodes: {n: {cpus: 1, memory: 1G}}\ntasks: [{upid: x}]", "not a task id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseState([]byte(tt.yaml))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestParseStateReportsAll(t *testing.T) {
	_, err := ParseState([]byte("nodes: {n: {cpus: 0, memory: 1G}}\nroles: {r: [VM.Fly]}\nacl: [{path: x, role: r}]"))
	if err == nil || strings.Count(err.Error(), "\n") < 3 {
		t.Errorf("not all faults at once: %v", err)
	}
}

// What is answered is on disk, and what is on disk is a whole state.
func TestStateFileIsDurable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.yaml")
	s := busy(t, Options{File: file})
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.render()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(raw)); diff != "" {
		t.Errorf("(-memory +disk):\n%s", diff)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".state-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v (%v)", left, err)
	}
}

func TestUnwritableStateFails(t *testing.T) {
	s := start(t, lab(t), Options{File: filepath.Join(t.TempDir(), "no", "such", "dir", "state.yaml")})
	text := refused(t, s, rootUser, "POST", "/pools", map[string]string{"poolid": "home"})
	if !strings.Contains(text, "write state file") {
		t.Errorf("error %q", text)
	}
}

// After a power loss in the middle of a create the id is taken, the config holds its lock alone, the volume is
// unreferenced, and the task has an unexpected end; root has to unlock it.
func TestCrashInTheMiddleOfACreate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.yaml")
	st := lab(t)
	s, err := New(st, Options{File: file, TaskTime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := request(s, rootToken, "POST", "/nodes/pve1/lxc", map[string]string{
		"vmid":       "101",
		"ostemplate": "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst", "rootfs": "local-btrfs:1",
	}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the volume on disk", func() bool {
		raw, err := os.ReadFile(file)
		return err == nil && bytes.Contains(raw, []byte("vm-101-disk-0"))
	})
	crashed, err := os.ReadFile(file) // SIGKILL: nothing more is written
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	back, err := ParseState(crashed)
	if err != nil {
		t.Fatal(err)
	}
	again := start(t, back, Options{})
	if diff := cmp.Diff("lock: create\n", again.guests[101].raw); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if got := again.tasks.all()[0].Status; got != "unexpected status" {
		t.Errorf("task status %q", got)
	}
	if text := refused(t, again, rootToken, "DELETE", "/nodes/pve1/lxc/101", nil); !strings.Contains(text, "CT is locked (create)") {
		t.Errorf("destroy: %q", text)
	}
	if err := again.Unlock(101); err != nil {
		t.Fatal(err)
	}
	must(t, again, "DELETE", "/nodes/pve1/lxc/101", map[string]string{"destroy-unreferenced-disks": "1"})
	if len(again.st.Volumes) != 0 {
		t.Errorf("left: %v", again.st.Volumes)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// With a task time the state is that of the middle until the time has passed.
func TestTaskTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(lab(t), Options{TaskTime: 30 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		data, err := request(s, rootUser, "POST", "/nodes/pve1/lxc", map[string]string{
			"vmid":       "101",
			"ostemplate": "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst", "rootfs": "local-btrfs:1",
		})
		if err != nil {
			t.Fatal(err)
		}
		upid := strings.Trim(string(data), `"`)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		status := func() string {
			return string(must(t, s, "GET", "/nodes/pve1/tasks/"+strings.ReplaceAll(upid, ":", "%3A")+"/status", nil))
		}
		if got := status(); !strings.Contains(got, `"status":"running"`) || strings.Contains(got, "exitstatus") {
			t.Errorf("after 10 s: %s", got)
		}
		if got := config(t, s, "101"); got["lock"] != "create" || len(got) != 2 {
			t.Errorf("config after 10 s: %v", got)
		}
		// the file is locked for as long as the create runs
		_, err = request(s, rootUser, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"cores": "2"})
		if err == nil || !strings.Contains(err.Error(), "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout") {
			t.Errorf("change during the create: %v", err)
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if got := status(); !strings.Contains(got, `"exitstatus":"OK"`) {
			t.Errorf("after 35 s: %s", got)
		}
		if got := config(t, s, "101"); got["lock"] != nil || got["hostname"] != "CT101" {
			t.Errorf("config at the end: %v", got)
		}
	})
}

// A task that is asked to stop cleans up after itself.
func TestStopTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(lab(t), Options{TaskTime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		data, err := request(s, rootUser, "POST", "/nodes/pve1/lxc", map[string]string{
			"vmid":       "101",
			"ostemplate": "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst", "rootfs": "local-btrfs:1",
		})
		if err != nil {
			t.Fatal(err)
		}
		upid := strings.Trim(string(data), `"`)
		synctest.Wait()
		must(t, s, "DELETE", "/nodes/pve1/tasks/"+upid, nil)
		synctest.Wait()
		if got := taskEnd(s, upid); got != "unable to create CT 101 - received interrupt" {
			t.Errorf("status %q", got)
		}
		if s.guests[101] != nil || len(s.st.Volumes) != 0 {
			t.Errorf("left: %v %v", s.guests[101], s.st.Volumes)
		}
	})
}

var _ proxmox.Transport = (*transport)(nil)
