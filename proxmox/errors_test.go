package proxmox_test

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
)

var update = flag.Bool("update", false, "write the golden files anew")

var classes = []struct {
	name string
	err  error
}{
	{"no-guest", proxmox.ErrNoGuest},
	{"no-volume-snapshot", proxmox.ErrNoVolumeSnapshot},
	{"not-found", proxmox.ErrNotFound},
	{"unauthorized", proxmox.ErrUnauthorized},
	{"forbidden", proxmox.ErrForbidden},
	{"locked", proxmox.ErrLocked},
	{"modified", proxmox.ErrModified},
	{"exists", proxmox.ErrExists},
	{"protected", proxmox.ErrProtected},
	{"busy", proxmox.ErrBusy},
	{"no-quorum", proxmox.ErrNoQuorum},
	{"already", proxmox.ErrAlready},
	{"invalid", proxmox.ErrInvalid},
	{"outcome-unknown", proxmox.ErrOutcomeUnknown},
	{"unreachable", proxmox.ErrUnreachable},
}

func className(err error) string {
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return "-"
}

// verdict is the class of an error with the lock or the privileges that it names.
func verdict(e *proxmox.APIError) string {
	return strings.TrimSpace(className(e) + " " + e.Lock + e.Missing.String())
}

// The golden file is the table: two lines for each recorded answer other than 200 and each task that failed.
func TestRecordedErrors(t *testing.T) {
	var b strings.Builder
	for _, sc := range loadScenarios(t) {
		for i, st := range sc.Steps {
			if st.Task != nil && st.Task.ExitStatus != "OK" {
				e := proxmox.NewTaskError(proxmox.TaskStatus{ExitStatus: st.Task.ExitStatus}, nil)
				fmt.Fprintf(&b, "%s#%d %s\n\t%s\n", sc.Name, i+1, e, strings.TrimSpace(className(e)+" "+e.Lock+e.Missing.String()))
			}
			if st.Response.Status == 200 {
				continue
			}
			e := proxmox.NewAPIError(st.request(), st.Response.Status, st.Response.Reason, st.Response.Body)
			fmt.Fprintf(&b, "%s#%d %s\n\t%s\n", sc.Name, i+1, e, verdict(e))
		}
	}
	golden(t, "testdata/errors.golden", b.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got); after a look, run with -update:\n%s", file, d)
	}
}

// Texts of Proxmox that no recording holds, and texts of users that look like them.
func TestTexts(t *testing.T) {
	tests := []struct{ text, want string }{
		{"can't lock file '/run/lock/lxc/pve-config-100.lock' - got timeout", "busy"},
		{"unable to create CT 100 - can't lock file '/run/lock/lxc/pve-config-100.lock' - got timeout", "busy"},
		{"error with cfs lock 'storage-local': got lock request timeout", "busy"},
		{"cfs-lock 'storage-local' error: got lock timeout - aborting command", "busy"},
		{"cfs-lock 'file-user_cfg' error: no quorum!", "no-quorum"},
		{"cluster not ready - no quorum?", "no-quorum"},
		{"Failed to obtain guest migration lock - replication running?", "busy"},
		{"VM is locked (migrate)", "locked migrate"},
		{"CT is locked (snapshot-delete)", "locked snapshot-delete"},
		{"TASK ERROR: CT is locked (rollback)", "locked rollback"},
		{"clone failed: CT is locked (disk)", "locked disk"},
		{"Container 101: detected modified configuration - file changed by other user? Try again.", "modified"},
		{"Permission check failed (user != root@pam)", "forbidden root@pam"},
		{"Permission check failed (URI '/api2/json/access/password' not available with API token, need proper ticket.\n)", "forbidden root@pam"},
		{"403 Permission check failed (/vms/100, VM.Backup)", "forbidden VM.Backup on /vms/100"},
		{"unable to restore CT 100 - 403 Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)", "forbidden SDN.Use on /sdn/zones/localnetwork/vmbr0"},
		{"Permission check failed", "forbidden"},
		{"Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.", "forbidden root@pam"},
		{"unable to restore CT 100 - restoring 'mp0' to bind mount is only possible for root", "forbidden root@pam"},
		{"unable to apply pending change mp0 : storage 'usb' does not exist", "not-found"},
		{"400 Parameter verification failed. vmid: VM 100 already exists", "exists"},
		{"400 Parameter verification failed. vmid: property is missing", "invalid"},
		{"no such cluster node 'pve9'", "not-found"},
		{"zfs error: could not find any snapshots to destroy; check snapshot names.", "no-volume-snapshot"},
		{"lvremove snapshot 'pve/snap_vm-100-disk-0_a1' error:   Failed to find logical volume \"pve/snap_vm-100-disk-0_a1\"", "no-volume-snapshot"},
		{"snapshot 'a1' does not exist on 'local-btrfs:100/vm-100-disk-0.raw'", "no-volume-snapshot"},
		{"snapshot 'a1' does not exist", "not-found"},
		{"zfs error: cannot destroy snapshot: dataset is busy", "-"},
		{"volume 'local:100/vm-100-disk-0.raw' does not exist", "not-found"},
		{"unable to find configuration file for CT 100 on node 'pve1'", "no-guest"},
		{"Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist", "no-guest"},
		{"refusing to override existing file 'alpine.tar'", "exists"},
		{"unable to hotplug net0: command failed: CT is locked (backup)", "-"},
		{"invalid name 'CT is locked (backup)'", "-"},
		{"type check ('integer') failed - got 'storage 'x' does not exist'", "-"},
		{"received interrupt", "-"},
		{"", "-"},
	}
	for _, tt := range tests {
		e := proxmox.NewTaskError(proxmox.TaskStatus{ExitStatus: tt.text}, nil)
		if got := strings.TrimSpace(className(e) + " " + e.Lock + e.Missing.String()); got != tt.want {
			t.Errorf("task: %q is %q, want %q", tt.text, got, tt.want)
		}
		a := proxmox.NewAPIError(proxmox.Request{Method: "PUT"}, 500, tt.text, nil)
		if got := verdict(a); got != tt.want {
			t.Errorf("answer: %q is %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestStatus(t *testing.T) {
	tests := []struct {
		method string
		status int
		body   string
		want   string
	}{
		{"GET", 401, "", "unauthorized"},
		{"POST", 401, `{"message":"CT is locked (backup)"}`, "unauthorized"},
		{"GET", 403, "<html>", "forbidden"},
		{"GET", 595, "", "unreachable"},
		{"POST", 595, "", "unreachable"}, // nothing was sent on
		{"GET", 596, "", "unreachable"},
		{"POST", 596, `{"data":null,"message":"Connection timed out\n"}`, "outcome-unknown"},
		{"DELETE", 599, "", "outcome-unknown"},
		{"PUT", 504, "<html>", "outcome-unknown"},
		{"GET", 502, "<html>", "unreachable"},
		{"PUT", 501, "", "-"},
		{"PUT", 400, `{"errors":{"a":"bad","b":"VM 1 already exists"}}`, "invalid"},
		{"PUT", 400, `{"errors":{"a":"bad","b":"unable to hotplug b: no"}}`, "-"},
		{"PUT", 500, `{"errors":7,"message":{"x":1}}`, "-"},
	}
	for _, tt := range tests {
		e := proxmox.NewAPIError(proxmox.Request{Method: tt.method, Path: "/x"}, tt.status, "reason", []byte(tt.body))
		if got := verdict(e); got != tt.want {
			t.Errorf("%s %d %s is %q, want %q", tt.method, tt.status, tt.body, got, tt.want)
		}
	}
}

func FuzzAPIError(f *testing.F) {
	for _, sc := range loadScenarios(f) {
		for _, st := range sc.Steps {
			if st.Response.Status != 200 {
				f.Add(st.Method, st.Response.Status, st.Response.Reason, []byte(st.Response.Body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, method string, status int, reason string, body []byte) {
		r := proxmox.Request{Method: method, Path: "/x", Params: url.Values{"password": {"hunter2-hunter2"}}}
		e := proxmox.NewAPIError(r, status, reason, body)
		if strings.Contains(e.Error(), "hunter2-hunter2") {
			t.Errorf("tells the password: %q", e)
		}
		if strings.ContainsAny(e.Text, "\r\n") && strings.ContainsAny(e.Error(), "\r\n") {
			t.Errorf("more than one line: %q", e)
		}
		if (e.Lock != "") && !errors.Is(e, proxmox.ErrLocked) || !e.Missing.IsZero() && !errors.Is(e, proxmox.ErrForbidden) {
			t.Errorf("lock %q and privileges %v with class %s", e.Lock, e.Missing, className(e))
		}
	})
}
