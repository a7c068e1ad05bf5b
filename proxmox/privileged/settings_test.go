package privileged_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/spec/setting"
)

// access asks the table of settings who may make a change.
func access(t *testing.T, key, old, value string, f setting.Facts) setting.Access {
	t.Helper()
	record := func(row setting.Object, text string) *setting.Record {
		if text == "" {
			return nil
		}
		v, err := row.Type().Parse(text)
		if err != nil {
			t.Fatalf("%s=%s: %v", key, text, err)
		}
		return &v
	}
	switch {
	case key == "features":
		parse := func(text string) any {
			if text == "" {
				return nil
			}
			v, err := setting.Features.ParseWire(text)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		return setting.Features.Access(parse(old), parse(value), f)
	case key == "hookscript":
		return setting.HookScript.Access(nil, nil, f)
	case strings.HasPrefix(key, "dev"):
		return setting.Devices.MayEdit(nil, nil, f)
	default:
		return setting.Mounts.MayEdit(record(setting.Mounts.Member, without(old)), record(setting.Mounts.Member, without(value)), f)
	}
}

// without takes the path in the container off a mount: it is its name in the table.
func without(text string) string { return strings.Replace(text, ",mp=/a", "", 1) }

// TestNeeded holds the rule of who needs the lane against that of the table of settings, by which plans choose it, and
// the refusal that the table tells against the row that lifts it.
func TestNeeded(t *testing.T) {
	features := []string{"", "nesting=1", "nesting=0", "nesting=1,keyctl=1", "keyctl=1", "keyctl=0", "nesting=1,keyctl=0", "keyctl=1,nesting=0", "fuse=1,mount=nfs;cifs", "mount=nfs"}
	mounts := []string{"", "local:101/vm-101-disk-1.raw,mp=/a", "local:8,mp=/a", "/srv,mp=/a", "/dev/sdb1,mp=/a", "/srv,mp=/a,ro=1"}
	values := map[string][]string{
		"features": features, "mp3": mounts, "dev0": {"", "/dev/null", "/dev/fuse,mode=0666"}, "hookscript": {"", "local:snippets/a.sh"},
	}
	for key, texts := range values {
		for _, unprivileged := range []bool{true, false} {
			for _, old := range texts {
				for _, value := range texts {
					if old != value {
						checkNeeded(t, key, old, value, unprivileged)
					}
				}
			}
		}
	}
}

func checkNeeded(t *testing.T, key, old, value string, unprivileged bool) {
	t.Helper()
	have := proxmox.Config{Current: proxmox.Values{"unprivileged": "0"}}
	if unprivileged {
		have.Current["unprivileged"] = "1"
	}
	if old != "" {
		have.Current[key] = old
	}
	r := set(proxmox.Values{key: value})
	if value == "" {
		r = take(key)
	}
	err := privileged.CheckNeeded(r, have)
	a := access(t, key, old, value, setting.Facts{Unprivileged: unprivileged})
	if errors.Is(err, privileged.ErrNotNeeded) == a.Root {
		t.Errorf("%s from %q to %q, unprivileged %v: the table of settings says root %v, the lane says %v", key, old, value, unprivileged, a.Root, err)
	}
	if !a.Root {
		return
	}
	if e, ok := privileged.Explain(a.Refusal); !ok || e.Name != privileged.RowSettings {
		t.Errorf("%s: %q stands on no row", key, a.Refusal)
	}
}

// TestRawRefusal: the table of settings tells the refusal of raw lines in the words of their row.
func TestRawRefusal(t *testing.T) {
	a := setting.Raw.Access(nil, []string{"lxc.cap.drop: x"}, setting.Facts{})
	if e, ok := privileged.Explain(a.Refusal); !ok || e.Name != privileged.RowRawLines {
		t.Errorf("%q stands on %v", a.Refusal, e.Name)
	}
}

// TestExamples: what the table of settings gives as an example passes the lane's own rules, if it is sent in a create.
func TestExamples(t *testing.T) {
	for _, row := range setting.Container.Rows {
		key := row.PVEKey()
		if f, ok := row.(*setting.Family); ok {
			key = f.PVE + "0"
		}
		r := create(proxmox.Values{"hookscript": "local:snippets/x.sh"})
		r.Params.Values[key] = map[string]string{
			"mp0": "local:8,mp=/a", "dev0": "/dev/null", "features": "nesting=1", "hookscript": "local:snippets/x.sh",
		}[key]
		if r.Params.Values[key] == "" {
			r.Params.Values[key] = "1"
		}
		err := r.Validate()
		apart := key == "lxc" || key == "env" || key == "unused0" || key == "template" || key == ""
		if (err != nil) != apart {
			t.Errorf("%s in a create: %v", key, err)
		}
	}
}

func TestMayHold(t *testing.T) {
	backup := privileged.Unlock{Ref: ref, Lock: "backup"}
	made := privileged.Unlock{Ref: ref, Lock: "create"}
	tests := []struct {
		r          privileged.Unlock
		worker, id string
		want       bool
	}{
		{backup, "vzdump", "101", true},
		{backup, "vzdump", "", true}, // of several
		{backup, "vzdump", "102", true},
		{backup, "vzstart", "101", true},
		{backup, "vzstart", "102", false},
		{backup, "vzsnapshot", "1101", false},
		{made, "vzclone", "100", true}, // the id is that of the source
		{made, "vzcreate", "102", false},
		{made, "move_volume", "100-mp0>101-mp0", true},
		{privileged.Unlock{Ref: ref, Lock: "later"}, "vzstart", "102", true},
	}
	for _, tt := range tests {
		if got := privileged.MayHold(tt.r, proxmox.UPID{Type: tt.worker, ID: tt.id}); got != tt.want {
			t.Errorf("%s by %s %s: got %v", tt.r.Lock, tt.worker, tt.id, got)
		}
	}
}

func TestRefused(t *testing.T) {
	c := privileged.Commands(set(proxmox.Values{"dev0": "/dev/null"}))[0]
	tests := []struct {
		stderr, want string
		class        error
	}{
		{"CT is locked (backup)\n", "pct set 101: 500 CT is locked (backup)", proxmox.ErrLocked},
		{"detected modified configuration - file changed by other user? Try again.\n", "pct set 101: 500 detected modified", proxmox.ErrModified},
		{"trying to acquire lock...\n OK\nConfiguration file 'nodes/pve1/lxc/101.conf' does not exist\n", "pct set 101: 500 Configuration file", proxmox.ErrNoGuest},
		{"trying to acquire lock...\ncan't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout\n", "can't lock file", proxmox.ErrBusy},
		{"400 Parameter verification failed.\ndev0: invalid format - missing\npct set <vmid> [OPTIONS]\n", "pct set 101: 400 Parameter verification failed. dev0: invalid format - missing", proxmox.ErrInvalid},
		{"Device /dev/nix does not exist\n", "500 Device /dev/nix does not exist", nil},
		{"", "exit status 255 and said nothing", nil},
	}
	for _, tt := range tests {
		err := privileged.Refused(c, 255, []byte(tt.stderr))
		if err == nil || !strings.Contains(err.Error(), tt.want) || tt.class != nil && !errors.Is(err, tt.class) {
			t.Errorf("%q: want %q of class %v, got %v", tt.stderr, tt.want, tt.class, err)
		}
	}
	if err := privileged.Refused(c, 0, []byte("WARN: x\n")); err != nil {
		t.Error(err)
	}
}
