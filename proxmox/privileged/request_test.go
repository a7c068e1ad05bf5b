package privileged_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

const digest = "0123456789abcdef0123456789abcdef01234567"

var (
	ref      = proxmox.Ref{Node: "pve1", ID: 101}
	template = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"
	task     = proxmox.UPID{Node: "pve1", PID: 7, PStart: 9, Start: time.Unix(1795422237, 0).UTC(), Type: "vzdump", ID: "101", User: "root@pam"}
)

func create(values proxmox.Values) privileged.Create {
	return privileged.Create{Node: "pve1", Params: proxmox.CreateParams{ID: 101, Template: template, Values: values}}
}

func set(values proxmox.Values) privileged.SetConfig {
	return privileged.SetConfig{Ref: ref, Update: proxmox.Update{Set: values, Digest: digest}}
}

func take(keys ...string) privileged.SetConfig {
	return privileged.SetConfig{Ref: ref, Update: proxmox.Update{Delete: keys, Digest: digest}}
}

func snippet(volume, text string) privileged.PutSnippet {
	sum := sha256.Sum256([]byte(text))
	return privileged.PutSnippet{Node: "pve1", Volume: volume, Content: []byte(text), SHA256: hex.EncodeToString(sum[:])}
}

// samples is a good request of each kind, and more where kinds differ.
func samples() []privileged.Request {
	whole := create(proxmox.Values{"features": "nesting=1,keyctl=1", "hostname": "web", "mp0": "/srv/a b,mp=/srv,ro=1", "description": "two\nlines"})
	whole.Params.Password = proxmox.NewSecret("geheim$1")
	whole.Params.SSHKeys = []string{"ssh-ed25519 AAAA me"}
	whole.Params.Storage, whole.Params.Pool, whole.Params.IgnoreUnpackErrors = "local-zfs", "customers/acme", true
	change := set(proxmox.Values{"dev0": "/dev/dri/renderD128,gid=104,mode=0660", "features": "nesting=1,keyctl=1"})
	change.Update.Delete, change.Update.Revert = []string{"hookscript"}, []string{"dev1"}
	return []privileged.Request{
		whole, change,
		privileged.SetRaw{Ref: ref, Digest: digest, Lines: []proxmox.RawLine{{Key: "lxc.mount.entry", Value: "/srv media none bind 0 0"}}},
		privileged.SetRaw{Ref: ref, Digest: digest},
		privileged.Unlock{Ref: ref, Lock: "backup", Task: task},
		privileged.Unlock{Ref: ref, Lock: "snapshot-delete"},
		privileged.Exec{Ref: ref, Argv: []string{"fsfreeze", "--freeze", "/a b; rm -rf /"}, Timeout: time.Minute},
		snippet("local:snippets/hook.sh", "#!/bin/sh\n"),
		privileged.ReadHealth{Node: "pve1", Disk: "/dev/sda"},
		privileged.ReadHealth{Node: "pve1", Sensors: true},
		privileged.ReadHealth{Node: "pve1", Disks: true},
		privileged.Mount{Node: "pve1", Owner: "tend", Mount: proxmox.HostMount{Name: "usb", Device: "UUID=ab-cd", Path: "/mnt/usb", Filesystem: "ext4", Options: []string{"noatime"}}},
		privileged.ReadMounts{Node: "pve1", Devices: []string{"/dev/disk/by-id/usb-x"}},
		privileged.ReadSnippets{Node: "pve1", Volumes: []string{"local:snippets/hook.sh"}},
		privileged.Lead{Node: "pve1", Owner: "tend"},
		privileged.Lead{Node: "pve1", Owner: "tend", Resign: true},
		privileged.KeepLead{Node: "pve1", Owner: "a+b.c"},
	}
}

func TestValidate(t *testing.T) {
	bad := snippet("local:snippets/hook.sh", "a")
	bad.Content = []byte("b")
	tests := []struct {
		name string
		r    privileged.Request
		want string
	}{
		{"a token can create it", create(proxmox.Values{"features": "nesting=1", "mp0": "local:8,mp=/a"}), "an API token may do this"},
		{"a create of nothing special", create(nil), "an API token may do this"},
		{"privileged with nesting", create(proxmox.Values{"unprivileged": "0", "features": "nesting=1"}), ""},
		{"a template by path", privileged.Create{Node: "pve1", Params: proxmox.CreateParams{ID: 101, Template: "/etc/shadow", Values: proxmox.Values{"dev0": "/dev/null"}}}, "not a template on a storage"},
		{"a template from stdin", privileged.Create{Node: "pve1", Params: proxmox.CreateParams{ID: 101, Template: "-", Values: proxmox.Values{"dev0": "/dev/null"}}}, "not a template on a storage"},
		{"an option that is no setting", create(proxmox.Values{"dev0": "/dev/null", "force": "1"}), "force: is not a setting"},
		{"a restore", create(proxmox.Values{"dev0": "/dev/null", "restore": "1"}), "restore: is not a setting"},
		{"a lock", create(proxmox.Values{"dev0": "/dev/null", "lock": "backup"}), "lock: is not a setting"},
		{"a key that is an option", create(proxmox.Values{"dev0": "/dev/null", "-x": "1"}), "is not a setting"},
		{"an environment", create(proxmox.Values{"dev0": "/dev/null", "env": "A=1"}), "set by a call afterwards"},
		{"a zero byte", create(proxmox.Values{"dev0": "/dev/null", "hostname": "a\x00b"}), "hostname: has a value"},
		{"a line break", create(proxmox.Values{"dev0": "/dev/null", "hostname": "a\nb"}), "hostname: holds a control"},
		{"an index that Proxmox does not write", create(proxmox.Values{"dev00": "/dev/null"}), "is not a setting"},
		{"an index too large", create(proxmox.Values{"dev256": "/dev/null"}), "is not a setting"},
		{"a VMID too small", privileged.Unlock{Ref: proxmox.Ref{Node: "pve1", ID: 99}, Lock: "backup"}, "99 is not a VMID"},
		{"a node that is a path", privileged.Unlock{Ref: proxmox.Ref{Node: "../pve1", ID: 101}, Lock: "backup"}, "not the name of a node"},
		{"cores", set(proxmox.Values{"cores": "2"}), "cores: an API token may do this"},
		{"cores beside a device", set(proxmox.Values{"cores": "2", "dev0": "/dev/null"}), "cores: an API token may do this"},
		{"a volume", set(proxmox.Values{"mp0": "local:8,mp=/a"}), "mp0: an API token may do this"},
		{"a directory", set(proxmox.Values{"mp0": "/srv,mp=/srv"}), ""},
		{"a directory by name", set(proxmox.Values{"mp0": "mp=/srv,volume=/srv"}), ""},
		{"a directory up", set(proxmox.Values{"mp0": "/srv/../etc,mp=/srv"}), "write \"/etc\""},
		{"a directory mounted up", set(proxmox.Values{"mp0": "/srv,mp=/a/../b"}), "write \"/b\""},
		{"a mount with a part that there is not", set(proxmox.Values{"mp0": "/srv,mp=/srv,exec=1"}), "\"exec\" is no part of it"},
		{"the root file system", set(proxmox.Values{"rootfs": "/srv"}), "rootfs: is not changed by a setting"},
		{"a device elsewhere", set(proxmox.Values{"dev0": "/etc/shadow"}), "not below /dev/"},
		{"a device up", set(proxmox.Values{"dev0": "/dev/../etc/shadow"}), "write \"/etc/shadow\""},
		{"a feature that there is not", set(proxmox.Values{"features": "all=1"}), "\"all\" is no part of it"},
		{"a hook script by path", set(proxmox.Values{"hookscript": "/tmp/x.sh"}), "not a snippet"},
		{"a hook script up", set(proxmox.Values{"hookscript": "local:snippets/../../x.sh"}), "not a snippet"},
		{"a hook script that is a directory", set(proxmox.Values{"hookscript": "local:snippets/.."}), "not a snippet"},
		{"a mount is taken away", take("mp0"), "mp0: an API token may do this"},
		{"a device is taken away", take("dev0"), ""},
		{"an option is taken away", take("dev0,memory"), "an API token may do this"},
		{"no digest", privileged.SetConfig{Ref: ref, Update: proxmox.Update{Delete: []string{"dev0"}}}, "is not a digest"},
		{"nothing", privileged.SetConfig{Ref: ref, Update: proxmox.Update{Digest: digest}}, "nothing is to be changed"},
		{"set and deleted", privileged.SetConfig{Ref: ref, Update: proxmox.Update{Set: proxmox.Values{"dev0": "/dev/null"}, Delete: []string{"dev0"}, Digest: digest}}, "at once"},
		{"a raw line of two lines", privileged.SetRaw{Ref: ref, Digest: digest, Lines: []proxmox.RawLine{{Key: "lxc.cap.drop", Value: "a\nrootfs: x"}}}, "line 1: holds a control"},
		{"a raw key that is a setting", privileged.SetRaw{Ref: ref, Digest: digest, Lines: []proxmox.RawLine{{Key: "rootfs", Value: "x"}}}, "is not a key of LXC"},
		{"a raw key that hides one", privileged.SetRaw{Ref: ref, Digest: digest, Lines: []proxmox.RawLine{{Key: "lxc.net.0\nrootfs", Value: "x"}}}, "is not a key"},
		{"a raw root file system", privileged.SetRaw{Ref: ref, Digest: digest, Lines: []proxmox.RawLine{{Key: "lxc.rootfs.path", Value: "/"}}}, "refused by Proxmox"},
		{"the environment as raw lines", privileged.SetRaw{Ref: ref, Digest: digest, Lines: []proxmox.RawLine{{Key: "lxc.environment.runtime", Value: "A=1"}}}, "written as env"},
		{"a lock with a blank", privileged.Unlock{Ref: ref, Lock: "backup x"}, "not the name of a lock"},
		{"a lock of a person", privileged.Unlock{Ref: ref, Lock: "mounted"}, "pct unmount"},
		{"a task of another node", privileged.Unlock{Ref: proxmox.Ref{Node: "pve2", ID: 101}, Lock: "backup", Task: task}, "on another node"},
		{"no program", privileged.Exec{Ref: ref, Timeout: time.Minute}, "no program"},
		{"an option as program", privileged.Exec{Ref: ref, Argv: []string{"--keep-env"}, Timeout: time.Minute}, "no program"},
		{"no time limit", privileged.Exec{Ref: ref, Argv: []string{"true"}}, "no time limit"},
		{"a snippet of another content", bad, "and not"},
		{"a snippet up", snippet("local:snippets/../x", "a"), "not a snippet"},
		{"a snippet of no content", snippet("local:snippets/x", ""), "from 1 to"},
		{"a disk that is a file", privileged.ReadHealth{Node: "pve1", Disk: "/etc/shadow"}, "not the path of a disk"},
		{"a disk up", privileged.ReadHealth{Node: "pve1", Disk: "/dev/../etc/shadow"}, "not the path of a disk"},
		{"a disk and sensors", privileged.ReadHealth{Node: "pve1", Disk: "/dev/sda", Sensors: true}, "not about several"},
		{"sensors and all disks", privileged.ReadHealth{Node: "pve1", Disks: true, Sensors: true}, "not about several"},
		{"no health at all", privileged.ReadHealth{Node: "pve1"}, "or none"},
		{"a mount over the system", privileged.Mount{Node: "pve1", Owner: "tend", Mount: proxmox.HostMount{Name: "x", Device: "UUID=1", Path: "/etc"}}, "the node's own"},
		{"a mount by device", privileged.Mount{Node: "pve1", Owner: "tend", Mount: proxmox.HostMount{Name: "x", Device: "/dev/sdb1", Path: "/mnt/x"}}, "another disk may have"},
		{"a mount of nobody", privileged.Mount{Node: "pve1", Mount: proxmox.HostMount{Name: "x", Device: "UUID=1", Path: "/mnt/x"}}, "tag of an owner"},
		{"a reading of any device", privileged.ReadMounts{Node: "pve1", Devices: []string{"/dev/mem"}}, "another disk may have"},
		{"a reading of any file", privileged.ReadSnippets{Node: "pve1", Volumes: []string{"local:snippets/../../etc/shadow"}}, "not a snippet"},
		{"a lead up", privileged.Lead{Node: "pve1", Owner: "../authkey"}, "tag of an owner"},
		{"a lead of nobody", privileged.KeepLead{Node: "pve1"}, "tag of an owner"},
		{"a lead nowhere", privileged.KeepLead{Node: "..", Owner: "tend"}, "not the name of a node"},
		{"an option with a comma", privileged.Mount{Node: "pve1", Owner: "tend", Mount: proxmox.HostMount{Name: "x", Device: "UUID=1", Path: "/mnt/x", Options: []string{"ro,suid"}}}, "not an option"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.r.Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("want an error with %q, got %v", tt.want, err)
			}
		})
	}
}

func TestCommandWords(t *testing.T) {
	all := samples()
	tests := map[int]string{
		0: `/usr/sbin/pct create 101 ` + template + ` '--description=two` + "\n" + `lines' --features=nesting=1,keyctl=1 --hostname=web '--mp0=/srv/a b,mp=/srv,ro=1' ` +
			`--storage=local-zfs --pool=customers/acme --ignore-unpack-errors=1 --ssh-public-keys=/run/tend/create-101.pub --password`,
		1: `/usr/sbin/pct set 101 --dev0=/dev/dri/renderD128,gid=104,mode=0660 --features=nesting=1,keyctl=1 --delete=hookscript --revert=dev1 --digest=` + digest,
		4: `/usr/sbin/pct unlock 101`,
		6: `/usr/sbin/pct exec 101 --keep-env=0 -- fsfreeze --freeze '/a b; rm -rf /'`,
		7: `/usr/sbin/pvesm path local:snippets/hook.sh`,
		8: `/usr/sbin/smartctl --json --all /dev/sda`,
	}
	for i, want := range tests {
		if got := privileged.Commands(all[i])[0].String(); got != want {
			t.Errorf("want %s\n got %s", want, got)
		}
	}
	c := privileged.Commands(all[0])[0]
	if c.Stdin.Reveal() != "geheim$1\ngeheim$1\n" {
		t.Errorf("the password is not read twice")
	}
	if s := fmt.Sprintf("%v %+v %#v %s", c, c, c, all[0]); strings.Contains(s, "geheim") || strings.Contains(strings.Join(c.Argv, " "), "geheim") {
		t.Errorf("the password is shown: %s", s)
	}
}

func TestReadCommand(t *testing.T) {
	c, err := privileged.ReadCommand(proxmox.Request{Method: "GET", Path: "/nodes/pve1/tasks", Params: url.Values{"source": {"active"}, "limit": {"1"}}})
	if want := "/usr/bin/pvesh --noproxy get /nodes/pve1/tasks --limit=1 --source=active --output-format=json"; err != nil || c.String() != want {
		t.Errorf("got %v, %v", c, err)
	}
	for _, r := range []proxmox.Request{
		{Method: "POST", Path: "/nodes/pve1/tasks"},
		{Method: "GET", Path: "/access/users"},
		{Method: "GET", Path: "/nodes/pve1/tasks/../../../access/users"},
		{Method: "GET", Path: "/nodes/pve1/tasks%2f..%2fqemu"},
		{Method: "DELETE", Path: "/nodes/pve1/tasks/UPID:x:/status"},
	} {
		if c, err := privileged.ReadCommand(r); err == nil {
			t.Errorf("%v is read with %v", r, c)
		}
	}
}

func TestMarshal(t *testing.T) {
	for _, r := range samples() {
		text, err := privileged.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := privileged.Unmarshal(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		same := cmp.Comparer(func(a, b proxmox.Secret) bool { return a.Equal(b) })
		if d := cmp.Diff(r, got, same); d != "" {
			t.Errorf("%s:\n%s", text, d)
		}
	}
}

func TestUnmarshal(t *testing.T) {
	for _, text := range []string{
		"", "{}", "null", "[]", `{"version":2,"kind":"unlock","request":{}}`, `{"version":1,"kind":"shell","request":{}}`,
		`{"version":1,"kind":"unlock","request":{"Argv":["sh"]}}`, `{"version":1,"kind":"unlock","request":{},"more":1}`,
		`{"version":1,"kind":"unlock","request":{}} {}`, `{"version":1,"kind":"create","request":{"Node":"a","Force":true}}`,
		`{"version":1,"kind":"unlock"}`, `{"version":1,"kind":"exec","request":{"Argv":"sh"}}`, strings.Repeat(" ", privileged.MaxSize+1),
	} {
		if r, err := privileged.Unmarshal([]byte(text)); !errors.Is(err, privileged.ErrMalformed) {
			t.Errorf("%.80s: want ErrMalformed, got %v, %v", text, r, err)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, r := range samples() {
		text, err := privileged.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := privileged.Unmarshal(text)
		if err != nil {
			return
		}
		if r.Validate() != nil {
			return
		}
		e, ok := privileged.Lookup(r.Row())
		if !ok {
			t.Fatalf("%v is of no row", r)
		}
		for _, c := range privileged.Commands(r) {
			if !strings.Contains(strings.Join(e.Runs, "\n")+"\n", c.Argv[0]+"\n") {
				t.Fatalf("%v runs %v", r, c)
			}
			for _, w := range c.Argv {
				if strings.Contains(w, "\x00") || len(w) > 128<<10 {
					t.Fatalf("%v runs %v", r, c)
				}
			}
		}
		again, err := privileged.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := privileged.Unmarshal(again); err != nil && len(again) <= privileged.MaxSize {
			t.Fatalf("%s is not read back: %v", again, err)
		}
	})
}

func TestRunbook(t *testing.T) {
	r := privileged.SetRaw{Ref: ref, Digest: digest, Lines: []proxmox.RawLine{
		{Key: "lxc.mount.entry", Value: "/srv media none bind 0 0"}, {Key: "lxc.environment", Value: "TOKEN=geheim"},
	}}
	got := strings.Join(privileged.Runbook(r), "\n")
	want := `# edit /etc/pve/lxc/101.conf while nothing else works on the container, and no line lock: stands in it
# the lxc lines before the first [section] shall be these, at the end of that part:
# lxc.mount.entry: /srv media none bind 0 0
# lxc.environment: TOKEN=•••`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, r := range samples() {
		if lines := privileged.Runbook(r); len(lines) == 0 || strings.Contains(strings.Join(lines, " "), "geheim") {
			t.Errorf("%v: %q", r, lines)
		}
	}
}
