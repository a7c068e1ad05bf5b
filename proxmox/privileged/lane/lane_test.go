package lane_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/proxmox/sim"
)

const template = "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst"

var ref = proxmox.Ref{Node: "pve1", ID: 900}

// node is a lane over the simulator's root, and what it takes to look behind it.
type node struct {
	lane.Lane
	root *sim.Root
	sim  *sim.Sim
}

func start(t *testing.T, o sim.Options, edits ...func(*sim.State)) node {
	t.Helper()
	raw, err := os.ReadFile("../../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(raw)
	if err != nil {
		t.Fatal(err)
	}
	st.Snippets = append(st.Snippets, "local:snippets/hook.sh")
	for _, edit := range edits {
		edit(st)
	}
	s, err := sim.New(st, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	root := s.Root("pve1")
	return node{lane.Lane{Backend: root}, root, s}
}

func (n node) do(t *testing.T, r privileged.Request) privileged.Result {
	t.Helper()
	out, err := n.Do(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// file is the configuration file, and config what it says.
func (n node) file(t *testing.T) string {
	t.Helper()
	data, _, err := n.root.ReadFile(privileged.ConfigFile(ref))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (n node) config(t *testing.T) proxmox.Config {
	t.Helper()
	return conffile.Parse([]byte(n.file(t))).Config()
}

func (n node) client() *proxmox.Client { return proxmox.NewClient(n.sim.As("root@pam!lab")) }

func create(values proxmox.Values) privileged.Create {
	all := proxmox.Values{"rootfs": "local-btrfs:1", "hostname": "ct900", "unprivileged": "1"}
	for k, v := range values {
		all[k] = v
	}
	return privileged.Create{Node: "pve1", Params: proxmox.CreateParams{ID: 900, Template: template, Values: all}}
}

func set(t *testing.T, n node, values proxmox.Values, remove ...string) privileged.SetConfig {
	return privileged.SetConfig{Ref: ref, Update: proxmox.Update{Set: values, Delete: remove, Digest: n.config(t).Digest}}
}

// TestCreate makes a container with all that a token may not give it, in one create; a token is refused the same.
func TestCreate(t *testing.T) {
	n := start(t, sim.Options{})
	r := create(proxmox.Values{
		"features": "nesting=1,keyctl=1", "mp0": "/srv,mp=/srv", "dev0": "/dev/null,mode=0666", "hookscript": "local:snippets/hook.sh",
		"cores": "2", "description": "two\nlines ä",
	})
	r.Params.Password, r.Params.SSHKeys = proxmox.NewSecret("geheim1"), []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHKuUUdpPu+1ZzJxKbN4sAYZ8Zs5Z0Dq1p8nZ9aN3tmB me"}
	if _, err := n.client().Create(t.Context(), "pve1", r.Params); !errors.Is(err, proxmox.ErrForbidden) {
		t.Fatalf("a token may do it: %v", err)
	}
	out := n.do(t, r)
	if out.Task.Type != "vzcreate" || out.Task.ID != "900" || out.Task.User != "root@pam" || !out.Changed {
		t.Errorf("got %+v", out)
	}
	c := n.config(t).Current
	for key, value := range r.Params.Values {
		if key == "description" {
			value += "\n" // Proxmox keeps one line a comment
		}
		if key != "rootfs" && c[key] != value {
			t.Errorf("%s: want %q, got %q", key, value, c[key])
		}
	}
	if _, _, err := n.root.ReadFile(privileged.KeysFile(900)); err == nil {
		t.Error("the file of the SSH keys is still there")
	}
}

func TestCreateFails(t *testing.T) {
	n := start(t, sim.Options{StorageFault: func(op string) error {
		if strings.HasPrefix(op, "alloc ") {
			return errors.New(`lvcreate 'x' error: Insufficient free space`)
		}
		return nil
	}})
	out, err := n.Do(t.Context(), create(proxmox.Values{"dev0": "/dev/null"}))
	failed := (*proxmox.TaskError)(nil)
	if !errors.As(err, &failed) || failed.UPID != out.Task || out.Task.IsZero() || !strings.Contains(failed.ExitStatus, "Insufficient free space") {
		t.Errorf("want the error of the task, got %+v, %v", out, err)
	}
}

func TestCreateRefused(t *testing.T) {
	n := start(t, sim.Options{})
	n.do(t, create(proxmox.Values{"dev0": "/dev/null"}))
	out, err := n.Do(t.Context(), create(proxmox.Values{"dev0": "/dev/null"}))
	if !errors.Is(err, proxmox.ErrExists) || !out.Task.IsZero() {
		t.Errorf("want ErrExists and no task, got %+v, %v", out, err)
	}
	r := create(proxmox.Values{"dev0": "/dev/nix"})
	r.Params.ID = 901
	if _, err := n.Do(t.Context(), r); err == nil {
		t.Error("a device that is not there is taken")
	}
}

func TestSetConfig(t *testing.T) {
	n := start(t, sim.Options{})
	n.do(t, create(proxmox.Values{"dev0": "/dev/null"}))
	stale := set(t, n, proxmox.Values{"features": "keyctl=1"})
	n.do(t, set(t, n, proxmox.Values{"features": "nesting=1,keyctl=1", "mp1": "/opt,mp=/opt", "hookscript": "local:snippets/hook.sh"}, "dev0"))
	c := n.config(t).Current
	if c["features"] != "nesting=1,keyctl=1" || c["mp1"] != "/opt,mp=/opt" || c["hookscript"] == "" || c["dev0"] != "" {
		t.Errorf("got %v", c)
	}
	refused := []struct {
		name  string
		r     privileged.Request
		class error
	}{
		{"moved digest", stale, proxmox.ErrModified},
		{"nesting alone, which a token may change", set(t, n, proxmox.Values{"features": "keyctl=1,nesting=0"}), privileged.ErrNotNeeded},
		{"a key of tokens", set(t, n, proxmox.Values{"cores": "2"}), privileged.ErrNotNeeded},
		{"another node", privileged.SetRaw{Ref: proxmox.Ref{Node: "pve2", ID: 900}, Digest: n.config(t).Digest}, lane.ErrWrongNode},
		{"no container", privileged.Unlock{Ref: proxmox.Ref{Node: "pve1", ID: 999}, Lock: "backup"}, proxmox.ErrNoGuest},
	}
	for _, tt := range refused {
		if _, err := n.Do(t.Context(), tt.r); !errors.Is(err, tt.class) {
			t.Errorf("%s: want %v, got %v", tt.name, tt.class, err)
		}
	}
	n.lock(t, "backup")
	if _, err := n.Do(t.Context(), set(t, n, proxmox.Values{"dev0": "/dev/null"})); !errors.Is(err, proxmox.ErrLocked) {
		t.Errorf("want ErrLocked, got %v", err)
	}
}

// lock gives the container a lock, as a task that was killed leaves it.
func (n node) lock(t *testing.T, name string) {
	t.Helper()
	if err := n.sim.EditConfig(900, func(raw string) string { return "lock: " + name + "\n" + raw }); err != nil {
		t.Fatal(err)
	}
}

func raw(t *testing.T, n node, lines ...string) privileged.SetRaw {
	r := privileged.SetRaw{Ref: ref, Digest: n.config(t).Digest}
	for _, l := range lines {
		key, value, _ := strings.Cut(l, ": ")
		r.Lines = append(r.Lines, proxmox.RawLine{Key: key, Value: value})
	}
	return r
}

// TestSetRaw writes a directory of the node as a raw line: the container can still be snapshotted, and the snapshots
// that are there do not change.
func TestSetRaw(t *testing.T) {
	n := start(t, sim.Options{})
	n.do(t, create(proxmox.Values{"dev0": "/dev/null"}))
	for _, name := range []string{"one", "two"} {
		if _, err := n.client().Snapshot(t.Context(), ref, name, ""); err != nil {
			t.Fatal(err)
		}
	}
	before := n.file(t)
	entry := "lxc.mount.entry: /srv/media media none bind,ro,create=dir 0 0"
	if out := n.do(t, raw(t, n, entry)); !out.Changed {
		t.Error("nothing was changed")
	}
	want := strings.Replace(before, "\n\n[one]\n", "\n"+entry+"\n\n[one]\n", 1)
	if d := cmp.Diff(want, n.file(t)); d != "" {
		t.Error(d)
	}
	if out := n.do(t, raw(t, n, entry)); out.Changed {
		t.Error("it is written again")
	}
	if _, err := n.client().Snapshot(t.Context(), ref, "three", ""); err != nil {
		t.Error(err)
	}
	if ok, err := n.client().HasFeature(t.Context(), ref, proxmox.FeatureSnapshot); err != nil || !ok {
		t.Errorf("no more snapshots: %v", err)
	}
	live, err := n.client().LiveConfig(t.Context(), ref)
	if err != nil || len(live.Raw) != 1 || live.Raw[0].String() != entry {
		t.Errorf("the API shows %v, %v", live.Raw, err)
	}
	n.lock(t, "snapshot")
	if _, err := n.Do(t.Context(), raw(t, n)); !errors.Is(err, proxmox.ErrLocked) {
		t.Errorf("want ErrLocked, got %v", err)
	}
}

// race changes the file after it was read and before it is written, as an editor does that asks for no lock.
type race struct {
	lane.Backend
	between func()
}

func (r race) ReadFile(name string) ([]byte, os.FileMode, error) {
	data, mode, err := r.Backend.ReadFile(name)
	r.between()
	return data, mode, err
}

func TestSetRawRace(t *testing.T) {
	n := start(t, sim.Options{})
	n.do(t, create(proxmox.Values{"dev0": "/dev/null"}))
	r := raw(t, n, "lxc.cap.drop: sys_time")
	l := lane.Lane{Backend: race{n.root, func() {
		if err := n.sim.EditConfig(900, func(raw string) string { return "#by hand\n" + raw }); err != nil {
			t.Error(err)
		}
	}}}
	_, err := l.Do(t.Context(), r)
	if !errors.Is(err, proxmox.ErrModified) || !strings.Contains(err.Error(), "somebody else wrote it") {
		t.Errorf("want ErrModified and who, got %v", err)
	}
	if c := n.config(t).Current; c["description"] != "by hand\n" || strings.Contains(n.file(t), "lxc.cap") {
		t.Errorf("the other's change is lost:\n%s", n.file(t))
	}
}

func TestSetRawBusy(t *testing.T) {
	n := start(t, sim.Options{})
	n.do(t, create(proxmox.Values{"dev0": "/dev/null"}))
	unlock, err := n.root.Lock(t.Context(), privileged.LockFile(900), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Do(ctx, raw(t, n, "lxc.cap.drop: x")); !errors.Is(err, context.Canceled) {
		t.Errorf("it does not wait for the lock: %v", err)
	}
	unlock()
	n.do(t, raw(t, n, "lxc.cap.drop: x"))
}

func TestUnlock(t *testing.T) {
	n := start(t, sim.Options{WorkerTime: func(worker string) time.Duration {
		if worker == "vzdump" {
			return time.Hour
		}
		return 0
	}})
	n.do(t, create(proxmox.Values{"dev0": "/dev/null"}))
	task, err := n.client().Backup(t.Context(), "pve1", proxmox.BackupParams{Guests: []proxmox.VMID{900}, Storage: "local", Mode: proxmox.BackupStop})
	if err != nil {
		t.Fatal(err)
	}
	for n.config(t).Current["lock"] == "" { // until it has begun
		if s, err := n.client().TaskStatus(t.Context(), task); err != nil || !s.Running {
			t.Fatalf("%v: %+v", err, s)
		}
	}
	r := privileged.Unlock{Ref: ref, Lock: "backup", Task: task}
	if _, err := n.Do(t.Context(), r); !errors.Is(err, lane.ErrUnproven) {
		t.Errorf("want ErrUnproven, got %v", err)
	}
	r.Task = proxmox.UPID{}
	if _, err := n.Do(t.Context(), r); !errors.Is(err, lane.ErrUnproven) {
		t.Errorf("without the task: want ErrUnproven, got %v", err)
	}
	if err := n.sim.KillTask(task.String()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Do(t.Context(), privileged.Unlock{Ref: ref, Lock: "snapshot"}); !errors.Is(err, proxmox.ErrModified) {
		t.Errorf("another lock: want ErrModified, got %v", err)
	}
	r.Task = task
	n.do(t, r)
	if lock := n.config(t).Current["lock"]; lock != "" {
		t.Errorf("it is still locked (%s)", lock)
	}
	if _, err := n.Do(t.Context(), r); !errors.Is(err, proxmox.ErrModified) {
		t.Errorf("a second unlock: want ErrModified, got %v", err)
	}
}

func TestPutSnippet(t *testing.T) {
	n := start(t, sim.Options{})
	n.do(t, create(proxmox.Values{"dev0": "/dev/null"}))
	text := []byte("#!/bin/sh\nexit 0\n")
	sum := sha256.Sum256(text)
	r := privileged.PutSnippet{Node: "pve1", Volume: "local:snippets/new.sh", Content: text, SHA256: hex.EncodeToString(sum[:])}
	if _, err := n.Do(t.Context(), set(t, n, proxmox.Values{"hookscript": r.Volume})); err == nil {
		t.Error("a script that is not there is taken")
	}
	for _, changed := range []bool{true, false} {
		if out := n.do(t, r); out.Changed != changed {
			t.Errorf("want changed %v", changed)
		}
	}
	n.do(t, set(t, n, proxmox.Values{"hookscript": r.Volume}))
	where := "/var/lib/vz/snippets/new.sh"
	if data, mode, err := n.root.ReadFile(where); err != nil || mode != 0o755 || !bytes.Equal(data, text) {
		t.Errorf("got %q, %v, %v", data, mode, err)
	}
}

func TestExec(t *testing.T) {
	n := start(t, sim.Options{})
	n.root.Guest = func(_ context.Context, id proxmox.VMID, argv []string) (stdout, stderr []byte, exit int) {
		return []byte(fmt.Sprintf("%d %q", id, argv)), []byte("no"), 3
	}
	n.do(t, create(proxmox.Values{"dev0": "/dev/null"}))
	r := privileged.Exec{Ref: ref, Argv: []string{"fsfreeze", "--freeze", "/a b"}, Timeout: time.Minute}
	if _, err := n.Do(t.Context(), r); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("a container that does not run: %v", err)
	}
	if _, err := n.client().Start(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	out := n.do(t, r)
	if want := `900 ["fsfreeze" "--freeze" "/a b"]`; string(out.Output) != want || out.Exit != 3 || string(out.Errors) != "no" {
		t.Errorf("want %s, got %+v", want, out)
	}
}

func TestReadHealth(t *testing.T) {
	n := start(t, sim.Options{})
	n.root.Programs = map[string]sim.Program{"/usr/sbin/smartctl": func(_ context.Context, args []string, _ []byte) (stdout, stderr []byte, exit int) {
		if !slices.Equal(args, []string{"--json", "--all", "/dev/sda"}) {
			return nil, []byte("bad"), 1
		}
		return []byte(`{"smart_status":{"passed":false}}`), nil, 8
	}}
	out := n.do(t, privileged.ReadHealth{Node: "pve1", Disk: "/dev/sda"})
	if string(out.Output) != `{"smart_status":{"passed":false}}` || out.Exit != 8 {
		t.Errorf("got %+v", out)
	}
	if _, err := n.Do(t.Context(), privileged.ReadHealth{Node: "pve1", Disk: "/dev/sdb"}); err == nil {
		t.Error("no JSON and no error")
	}
	if _, err := n.Do(t.Context(), privileged.ReadHealth{Node: "pve1", Sensors: true}); err == nil || !strings.Contains(err.Error(), "No sensors found!") {
		t.Errorf("no sensors and no error that says so: %v", err)
	}
}

// TestReadDisks reads which disks there are, with what the API does not tell, and what the tools print of them.
func TestReadDisks(t *testing.T) {
	n := start(t, sim.Options{}, func(st *sim.State) {
		st.Nodes["pve1"].Drives = []*sim.Drive{{Device: "/dev/sda", Type: "hdd", Serial: "S1", Size: 1 << 40, Health: "FAILED!", Parts: []*sim.DrivePart{{Device: "/dev/sda1", UUID: "1-2", Mount: "/mnt/usb"}}}}
		st.Nodes["pve1"].Sensors = map[string]map[string]sim.SensorFeatures{"cpu": {"Package": {"temp1_input": 47}}}
	})
	a := lane.NewActor(map[string]lane.Doer{"pve1": n.Lane})
	disks, err := a.Disks(t.Context(), "pve1")
	if err != nil || len(disks.Disks) != 2 || disks.Disks[0].Health != "FAILED!" || len(disks.Storages) == 0 ||
		!slices.Contains(disks.Mounts, proxmox.NodeMount{Source: "/dev/sda1", Path: "/mnt/usb", Type: "ext4"}) ||
		!slices.ContainsFunc(disks.FileSystems, func(f proxmox.FileSystem) bool { return f.Is("UUID=1-2") && f.Device == "/dev/sda1" }) {
		t.Errorf("got %+v, %v", disks, err)
	}
	if raw, err := a.Smart(t.Context(), "pve1", "/dev/sda"); err != nil || !strings.Contains(string(raw), `"passed": false`) {
		t.Errorf("%s, %v", raw, err)
	}
	if raw, err := a.Sensors(t.Context(), "pve1"); err != nil || !strings.Contains(string(raw), `"temp1_input": 47`) {
		t.Errorf("%s, %v", raw, err)
	}
	if _, err := a.Smart(t.Context(), "pve1", "/etc/shadow"); err == nil {
		t.Error("any path is a disk")
	}
}
