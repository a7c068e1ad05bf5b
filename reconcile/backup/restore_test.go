package backup_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

const (
	agent   = "felhom@pve!agent"
	archive = "local:backup/vzdump-lxc-101-2026_11_22-03_00_04.tar.zst"
	config  = "arch: amd64\nhostname: web\nmemory: 512\nostype: debian\nonboot: 1\n" +
		"net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:01:01,ip=192.168.1.20/24,type=veth\n" +
		"rootfs: local-zfs:subvol-101-disk-0,size=2G\nmp0: local-zfs:subvol-101-disk-1,mp=/srv,backup=1,size=1G\n" +
		"swap: 512\ntags: media;tend\nunprivileged: 1\n"
)

var nodes = map[string]bool{"pve1": true}

// lab is a node with container 101, which runs, and a backup of it.
func lab(t *testing.T, o sim.Options, edit ...func(*sim.State)) *sim.Sim {
	t.Helper()
	text, err := os.ReadFile("../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	st.Storages["local-zfs"] = &sim.Storage{Type: "zfspool", Content: []string{"rootdir", "images"}, Total: 1 << 40}
	for _, v := range []string{"local-zfs:subvol-101-disk-0", "local-zfs:subvol-101-disk-1"} {
		st.Volumes[v] = &sim.Volume{Size: 1 << 30, Node: "pve1"}
	}
	st.Containers = map[proxmox.VMID]*sim.Container{101: {Node: "pve1", Config: config, Running: true}}
	st.Backups[archive] = &sim.Backup{Size: 1 << 20, CTime: 1795316404, Node: "pve1", Config: config}
	for _, f := range edit {
		f(st)
	}
	o.Seed = 1
	s, err := sim.New(st, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func openJournal(t *testing.T, path string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func executorOn(tr proxmox.Transport, j *journal.Journal) *execute.Executor {
	c := proxmox.NewClient(tr)
	o := proxmox.WatchOptions{Delay: -1, WaitOptions: proxmox.WaitOptions{First: time.Millisecond, Max: time.Second}}
	return &execute.Executor{Client: c, Journal: j, Watcher: proxmox.NewTaskWatcher(c, o)}
}

// swap restores 101 and puts the copy in its place, as tend backups restore does.
func swap(ctx context.Context, x *execute.Executor, want *spec.State) error {
	found, err := backup.Find(ctx, x.Client, nodes)
	if err != nil {
		return err
	}
	a := found.Archive(archive)
	if a == nil {
		return errors.New("the archive is not there")
	}
	w, err := backup.Prepare(ctx, x, want, nodes, *a, backup.Asked{Swap: true})
	if err != nil {
		return err
	}
	r := backup.PlanRestore(w)
	if r.Blocked != "" {
		return errors.New("blocked: " + r.Blocked)
	}
	if _, _, err := backup.Run(ctx, x, r.Steps); err != nil {
		return err
	}
	return backup.Confirm(ctx, x.Client, nodes, w)
}

// kept checks that nothing of the old container was lost, and that no copy of it runs beside it.
func kept(t *testing.T, s *sim.Sim) {
	t.Helper()
	lostNothing(t, s)
	st := s.State()
	for id, c := range st.Containers {
		if id != 101 && c.Running && st.Containers[101].Running {
			t.Errorf("%d and 101 run at once", id)
		}
	}
}

func lostNothing(t *testing.T, s *sim.Sim) {
	t.Helper()
	st := s.State()
	old := st.Containers[101]
	if old == nil || !strings.Contains(old.Config, "subvol-101-disk-0") || !strings.Contains(old.Config, "subvol-101-disk-1") {
		t.Fatalf("container 101 has lost something: %+v", old)
	}
	for _, v := range []string{"local-zfs:subvol-101-disk-0", "local-zfs:subvol-101-disk-1"} {
		if st.Volumes[v] == nil {
			t.Errorf("volume %s is gone", v)
		}
	}
	if st.Backups[archive] == nil {
		t.Error("the backup is gone")
	}
}

// swapped checks that the copy is in the place of the container, once.
func swapped(t *testing.T, s *sim.Sim) {
	t.Helper()
	kept(t, s)
	st := s.State()
	var copies []proxmox.VMID
	for id, c := range st.Containers {
		if id == 101 {
			continue
		}
		copies = append(copies, id)
		for _, part := range []string{"tags: media;tend\n", "onboot: 1", "hwaddr=BC:24:11:00:01:01", "size=2G", "mp=/srv"} {
			if !strings.Contains(c.Config, part) {
				t.Errorf("%d lacks %q: %s", id, part, c.Config)
			}
		}
		if !c.Running || strings.Contains(c.Config, "restored") {
			t.Errorf("%d is not in place: running %v, %s", id, c.Running, c.Config)
		}
	}
	old := st.Containers[101]
	if len(copies) != 1 || old.Running || !strings.Contains(old.Config, "tags: media;tend-replaced") || !strings.Contains(old.Config, "protection: 1") {
		t.Errorf("copies %v; 101 runs: %v, %s", copies, old.Running, old.Config)
	}
}

// TestSwapEveryFault lets each request of a restore fail in turn, and then begins it anew.
func TestSwapEveryFault(t *testing.T) {
	t.Parallel()
	want := loaded(t, home)
	for _, f := range []struct {
		name  string
		fault sim.Fault
		only  func(sim.Call) bool
	}{
		{"refused", sim.Fault{Status: 500, Reason: "something is wrong"}, nil},
		{"cut before", sim.Fault{Cut: true}, nil},
		{"cut after", sim.Fault{Cut: true, After: true}, isMutation},
		{"task fails", sim.Fault{TaskError: "something broke"}, startsTask},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			calls(func(i int) bool { return faulty(t, want, i, f.fault, f.only) })
		})
	}
}

// calls tries each call, the first being 1, until there are no more; every fifth under the race detector.
func calls(try func(i int) bool) {
	step := 1
	if underRace || testing.Short() {
		step = 5
	}
	for i := 1; try(i); i += step {
	}
}

func isMutation(c sim.Call) bool { return c.Method != "GET" }

func startsTask(c sim.Call) bool { return isMutation(c) && !strings.HasSuffix(c.Path, "/config") }

func faulty(t *testing.T, want *spec.State, i int, f sim.Fault, only func(sim.Call) bool) bool {
	t.Helper()
	var mu sync.Mutex
	n, hit := 0, ""
	s := lab(t, sim.Options{Fault: func(c sim.Call) sim.Fault {
		mu.Lock()
		defer mu.Unlock()
		n++
		if n != i || only != nil && !only(c) {
			return sim.Fault{}
		}
		hit = c.Method + " " + c.Path
		return f
	}})
	path := filepath.Join(t.TempDir(), "journal")
	j := openJournal(t, path)
	err := swap(t.Context(), executorOn(s.As(agent), j), want)
	mu.Lock()
	reached := n >= i
	n = i // what is begun anew meets no fault
	mu.Unlock()
	_ = j.Close()
	kept(t, s)
	if err == nil && hit != "" && isMutation(sim.Call{Method: strings.Fields(hit)[0]}) && (f.Status == 500 || f.TaskError != "") {
		t.Errorf("call %d, %s: nothing is said of the fault", i, hit)
	}
	if err := swap(t.Context(), executorOn(s.As(agent), openJournal(t, path)), want); err != nil {
		t.Fatalf("call %d, %s: begun anew: %v", i, hit, err)
	}
	swapped(t, s)
	if t.Failed() {
		t.Fatalf("call %d, %s", i, hit)
	}
	return reached
}

// A mortal transport dies at a call, before or after it was carried out: nothing gets through from then on.
type mortal struct {
	proxmox.Transport
	die   int
	after bool
	death func()

	mu    sync.Mutex // guards what is below
	calls int
	dead  bool
}

func (m *mortal) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	killed := fmt.Errorf("%s: %w: killed", r, proxmox.ErrOutcomeUnknown)
	if m.calls == m.die && !m.after && !m.dead {
		m.dead = true
		m.death()
	}
	if m.dead {
		return nil, killed
	}
	data, err := m.Transport.Do(ctx, r)
	if m.calls == m.die {
		m.dead = true
		m.death()
		return nil, killed
	}
	return data, err
}

// TestSwapKilled kills the process before and after each call while tasks take time; a new one finds what is on disk
// alone, and goes on where that one ended.
func TestSwapKilled(t *testing.T) {
	t.Parallel()
	want := loaded(t, home)
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after %v", after), func(t *testing.T) {
			t.Parallel()
			calls(func(i int) bool { return killed(t, want, i, after) })
		})
	}
}

func killed(t *testing.T, want *spec.State, i int, after bool) bool {
	t.Helper()
	s := lab(t, sim.Options{TaskTime: 3 * time.Millisecond})
	path := filepath.Join(t.TempDir(), "journal")
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	m := &mortal{Transport: s.As(agent), die: i, after: after, death: func() {
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path+".copy", text, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
		kill()
	}}
	_ = swap(ctx, executorOn(m, openJournal(t, path)), want)
	if !m.dead {
		swapped(t, s)
		return false
	}
	kept(t, s)
	if err := swap(t.Context(), executorOn(s.As(agent), openJournal(t, path+".copy")), want); err != nil {
		t.Fatalf("killed at call %d: begun anew: %v", i, err)
	}
	swapped(t, s)
	return !t.Failed()
}

// A token with the role that tend doctor --role --backups prints can do all of it.
func TestBackupRole(t *testing.T) {
	t.Parallel()
	want := loaded(t, home)
	s := lab(t, sim.Options{}, func(st *sim.State) {
		st.ACL = nil
		for i, g := range plan.Role(want, plan.BackupPrivileges(want)...) {
			role := fmt.Sprintf("Mini%d", i)
			st.Roles[role] = g.Privileges
			st.ACL = append(st.ACL, sim.ACL{Path: g.Path, Role: role, User: "felhom@pve"}, sim.ACL{Path: g.Path, Role: role, Token: agent})
		}
	})
	x := executorOn(s.As(agent), nil)
	found, err := backup.Find(t.Context(), x.Client, nodes)
	if err != nil || found.Archive(archive) == nil {
		t.Fatalf("%+v, %v", found, err)
	}
	if v := backup.Verify(t.Context(), x.Client, *found.Archive(archive), nil, nil, time.Now()); !v.Sound() {
		t.Errorf("verify: %v", v.Wrong)
	}
	if d, err := drilled(t.Context(), x); err != nil || d.Failed != "" {
		t.Errorf("drill: %q, %v", d.Failed, err)
	}
	if err := swap(t.Context(), x, want); err != nil {
		t.Fatalf("swap: %v", err)
	}
	swapped(t, s)
}
