package doctor_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/cmd/internal/doctor"
	"github.com/felhom/tend/cmd/internal/sandbox"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
)

// node is the sandbox's start state with texts replaced, old and new in turn.
func node(t *testing.T, o sim.Options, pairs ...string) *sim.Sim {
	t.Helper()
	text := string(sandbox.Start())
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%q stands nowhere in the start state", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	st, err := sim.ParseState([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sim.New(st, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func report(found []doctor.Finding) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%s %s: %s → %s\n", f.Level, f.Area, f.Text, f.Hint)
	}
	return b.String()
}

func TestExamine(t *testing.T) {
	tests := []struct {
		name, user string
		opts       sim.Options
		state      []string
		worst      doctor.Level
		want       []string
	}{
		{name: "all is well", user: "root@pam!sandbox", worst: doctor.Note, want: []string{"ok privileges: all that tend uses are there", "ok node pve1: online", "ok clock of pve1"}},
		{name: "just enough", user: "tend@pve!apply", worst: doctor.Note, want: []string{"note privileges: Sys.Modify on / is missing: needed to create privileged containers"}},
		{name: "a privilege is missing", user: "tend@pve!apply", state: []string{"VM.PowerMgmt, ", ""}, worst: doctor.Blocking, want: []string{"blocks privileges: VM.PowerMgmt on /vms is missing: needed to start, stop and restart"}},
		{name: "privileges on one container", user: "tend@pve!apply", state: []string{"{path: /, role: Tend, user: tend@pve}", "{path: /vms/101, role: Tend, user: tend@pve}\n  - {path: /storage, role: Tend, user: tend@pve}\n  - {path: /sdn, role: Tend, user: tend@pve}\n  - {path: /nodes, role: Tend, user: tend@pve}"}, worst: doctor.Warning, want: []string{"note privileges: VM.Allocate is there on /vms/101 only"}},
		{name: "nothing is allowed", user: "tend@pve!apply", state: []string{"acl:\n  - {path: /, role: Tend, user: tend@pve}", "acl: []"}, worst: doctor.Failed, want: []string{"failed privileges: VM.Audit on /vms is missing: needed to see containers at all"}},
		{name: "another version", user: "root@pam!sandbox", state: []string{"{version: 9.2.11", "{version: 8.4.1"}, worst: doctor.Warning, want: []string{"warning version: Proxmox VE 8.4.1 is none of 9.x"}},
		{name: "no quorum", user: "root@pam!sandbox", state: []string{"{name: null, quorate: true}", "{name: house, quorate: false}"}, worst: doctor.Blocking, want: []string{"blocks cluster: cluster house has no quorum"}},
		{name: "a node is gone", user: "root@pam!sandbox", state: []string{"storages:", "  pve2: {ip: 192.168.1.11, cpus: 2, memory: 4G, offline: true}\nstorages:"}, worst: doctor.Warning, want: []string{"warning node pve2: is offline"}},
		{name: "storage is full", user: "root@pam!sandbox", state: []string{"total: 4T", "total: 4T, used: 4090G"}, worst: doctor.Warning, want: []string{"warning storage tank: zfspool, only 6 GiB of 4 TiB free"}},
		{name: "no storage for containers", user: "root@pam!sandbox", state: []string{"pool: tank, content: [rootdir, images]", "pool: tank, content: [images]", "pool: rpool/data, content: [rootdir, images]", "pool: rpool/data, content: [images]"}, worst: doctor.Blocking, want: []string{"blocks storages of pve1: none that the token may see takes volumes of containers"}},
		{name: "a clock is behind", user: "root@pam!sandbox", opts: sim.Options{Now: func() time.Time { return time.Now().Add(-time.Minute) }}, worst: doctor.Warning, want: []string{"warning clock of pve1: is about 1m0s behind this machine's"}},
		{name: "no answer", user: "root@pam!sandbox", opts: sim.Options{Fault: func(sim.Call) sim.Fault { return sim.Fault{Status: 595, Reason: "No route to host"} }}, worst: doctor.Failed, want: []string{"failed connection: ", "No route to host", "is the endpoint right"}},
		{name: "parts cannot be read", user: "root@pam!sandbox", opts: sim.Options{Fault: func(c sim.Call) sim.Fault {
			if c.Path == "/version" || c.Path == "/nodes" {
				return sim.Fault{}
			}
			return sim.Fault{Status: 500, Reason: "boom"}
		}}, worst: doctor.Warning, want: []string{"warning cluster: ", "warning privileges: cannot be read", "warning clock of pve1: cannot be read", "warning storages of pve1: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the clocks are compared: no time passes
				d := doctor.Doctor{Transport: node(t, tt.opts, tt.state...).As(tt.user), Now: time.Now}
				found := d.Examine(t.Context())
				if got := doctor.Worst(found); got != tt.worst {
					t.Errorf("worst is %s, want %s", got, tt.worst)
				}
				for _, want := range tt.want {
					if !strings.Contains(report(found), want) {
						t.Errorf("%q is missing in:\n%s", want, report(found))
					}
				}
			})
		})
	}
}

// TestTask lets each step of the proof fail, and wants nothing to be left behind.
func TestTask(t *testing.T) {
	tests := []struct {
		name  string
		fails string // end of the path of the call whose task fails
		state []string
		want  string
		left  bool // a task that dies leaves its lock, which no token can lift
	}{
		{name: "all is well", want: "ok tasks: snapshot, rollback, delete on container 100"},
		{name: "create fails", fails: "/lxc", want: "failed tasks: create a scratch container: task vzcreate 100 failed: unable to create CT 100 - no more"},
		{name: "snapshot fails", fails: "/snapshot", want: "failed tasks: take a snapshot: task vzsnapshot 100 failed: no more", left: true},
		{name: "rollback fails", fails: "/rollback", want: "failed tasks: roll back: task vzrollback 100 failed: no more", left: true},
		{name: "no template", state: []string{"  \"local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst\": {size: 129710398, ostype: debian}\n  \"local:vztmpl/alpine-3.22-default_20250617_amd64.tar.xz\": {size: 3275240, ostype: alpine}\n", ""}, want: "no node has both a template and a storage with snapshots"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := node(t, sim.Options{Fault: func(c sim.Call) sim.Fault {
				if c.Method == "POST" && tt.fails != "" && strings.HasSuffix(c.Path, tt.fails) {
					return sim.Fault{TaskError: "no more"}
				}
				return sim.Fault{}
			}}, tt.state...)
			found := doctor.TaskTest{Client: proxmox.NewClient(s.As("root@pam!sandbox"))}.Run(t.Context())
			if !strings.Contains(report(found), tt.want) {
				t.Errorf("%q is missing in:\n%s", tt.want, report(found))
			}
			if st := s.State(); (len(st.Containers) > 0 || len(st.Volumes) > 0) != tt.left {
				t.Errorf("left behind: %v, %v\n%s", st.Containers, st.Volumes, report(found))
			}
			if told := strings.Contains(report(found), "is left behind"); told != tt.left {
				t.Errorf("told of what is left behind: %v, want %v:\n%s", told, tt.left, report(found))
			}
		})
	}
}

// TestNeeds holds the privileges that are looked at against those that plans ask for, and shows that what is missing
// is never called well.
func TestNeeds(t *testing.T) {
	source, err := os.ReadFile("../../../reconcile/plan/privileges.go")
	if err != nil {
		t.Fatal(err)
	}
	nobody := node(t, sim.Options{}, "acl:\n  - {path: /, role: Tend, user: tend@pve}", "acl: []").As("tend@pve!apply")
	d := doctor.Doctor{Transport: nobody, Now: time.Now}
	missing := map[string]bool{}
	for _, f := range d.Examine(t.Context()) {
		privilege, _, told := strings.Cut(f.Text, " on ")
		missing[privilege] = told
		if told && f.Level == doctor.OK && strings.Contains(f.Text, "missing") {
			t.Errorf("%q is called %s", f.Text, f.Level)
		}
	}
	for _, m := range regexp.MustCompile(`"((?:VM|SDN|Sys|Datastore)\.[A-Za-z.]*[A-Za-z])"`).FindAllSubmatch(source, -1) {
		// one of several is enough, of which the other is looked at
		if p := string(m[1]); !missing[p] && p != "Datastore.Allocate" {
			t.Errorf("doctor does not look at %s", p)
		}
	}
}
