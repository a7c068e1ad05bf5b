package backup_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/execute"
)

// drilled makes a drill of the archive.
func drilled(ctx context.Context, x *execute.Executor) (backup.Drill, error) {
	found, err := backup.Find(ctx, x.Client, nodes)
	if err != nil {
		return backup.Drill{}, err
	}
	a := found.Archive(archive)
	if a == nil {
		return backup.Drill{}, errors.New("the archive is not seen")
	}
	return backup.RunDrill(ctx, x, backup.DrillWish{Owner: "tend", Archive: *a, Nodes: nodes})
}

// A foreign container that looks like the scratch of a drill and does not carry its mark.
func decoy(t *testing.T, s *sim.Sim) {
	t.Helper()
	root := proxmox.NewClient(s.As("root@pam"))
	task, err := root.Create(t.Context(), "pve1", proxmox.CreateParams{
		ID: 100, Template: "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst",
		Values: proxmox.Values{"rootfs": "local-zfs:1", "tags": "tend-drill", "description": "[other drill 101 from " + archive + "]"},
	})
	if err == nil {
		_, err = root.WaitTask(t.Context(), task, proxmox.WaitOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// left are the containers that are there.
func left(s *sim.Sim) (ids []proxmox.VMID) {
	for id := range s.State().Containers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// TestDrill restores into a container without network that is gone in the end, and touches nothing else.
func TestDrill(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var calls []string
	s := lab(t, sim.Options{Fault: func(c sim.Call) sim.Fault {
		mu.Lock()
		defer mu.Unlock()
		if c.User == agent && c.Method != "GET" {
			calls = append(calls, c.Method+" "+c.Path+" "+c.Params.Get("delete"))
		}
		return sim.Fault{}
	}})
	decoy(t, s)
	d, err := drilled(t.Context(), executorOn(s.As(agent), openJournal(t, filepath.Join(t.TempDir(), "journal"))))
	if err != nil || d.Failed != "" || d.Archive != archive {
		t.Fatalf("%+v, %v", d, err)
	}
	kept(t, s)
	if got := left(s); !slices.Equal(got, []proxmox.VMID{100, 101}) {
		t.Errorf("containers %v are left, want 100 and 101", got)
	}
	want := []string{
		"POST /nodes/pve1/lxc ", "PUT /nodes/pve1/lxc/102/config net0", "POST /nodes/pve1/lxc/102/status/start ",
		"POST /nodes/pve1/lxc/102/status/shutdown ", "DELETE /nodes/pve1/lxc/102 ",
	}
	if !slices.Equal(calls, want) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(calls, "\n"), strings.Join(want, "\n"))
	}
}

// A backup that cannot be restored fails the drill, and nothing is left of it.
func TestDrillFails(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]sim.Fault{
		"/lxc": {TaskError: "tar: Unexpected EOF in archive"}, "/status/start": {TaskError: "startup failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := lab(t, sim.Options{Fault: func(c sim.Call) sim.Fault {
				if c.Method == "POST" && strings.HasSuffix(c.Path, name) {
					return f
				}
				return sim.Fault{}
			}})
			d, err := drilled(t.Context(), executorOn(s.As(agent), nil))
			if err != nil || !strings.Contains(d.Failed, f.TaskError) {
				t.Errorf("failed %q, %v, want %q", d.Failed, err, f.TaskError)
			}
			if got := left(s); !slices.Equal(got, []proxmox.VMID{101}) {
				t.Errorf("containers %v are left, want 101", got)
			}
		})
	}
}

// TestDrillEveryFault lets each request of a drill fail in turn: nothing but its own scratch container is ever gone, and
// the next drill removes what is left.
func TestDrillEveryFault(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]sim.Fault{"refused": {Status: 500, Reason: "something is wrong"}, "cut after": {Cut: true, After: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls(func(i int) bool { return drillFaulty(t, i, f) })
		})
	}
}

func drillFaulty(t *testing.T, i int, f sim.Fault) bool {
	t.Helper()
	var mu sync.Mutex
	n, armed := 0, false
	s := lab(t, sim.Options{Fault: func(c sim.Call) sim.Fault {
		mu.Lock()
		defer mu.Unlock()
		if !armed || c.User != agent {
			return sim.Fault{}
		}
		if n++; n == i {
			return f
		}
		return sim.Fault{}
	}})
	decoy(t, s)
	path := filepath.Join(t.TempDir(), "journal")
	j := openJournal(t, path)
	mu.Lock()
	armed = true
	mu.Unlock()
	_, _ = drilled(t.Context(), executorOn(s.As(agent), j))
	mu.Lock()
	armed = false
	reached := n >= i
	mu.Unlock()
	_ = j.Close()
	lostNothing(t, s)
	if d, err := drilled(t.Context(), executorOn(s.As(agent), openJournal(t, path))); err != nil || d.Failed != "" {
		t.Fatalf("call %d: begun anew: %q, %v", i, d.Failed, err)
	}
	if got := left(s); !slices.Equal(got, []proxmox.VMID{100, 101}) {
		t.Fatalf("call %d: containers %v are left, want 100 and 101", i, got)
	}
	return reached
}

// What is remembered of drills is there for the next process, and a damaged file is told and begun anew.
func TestDrills(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "x.drills")
	d, err := backup.OpenDrills(path)
	if err != nil || d.Of(101) != nil {
		t.Fatal(d.Of(101), err)
	}
	if err := d.Note(101, backup.Drill{Archive: archive, Failed: "no"}); err != nil {
		t.Fatal(err)
	}
	if d, err = backup.OpenDrills(path); err != nil || d.Of(101) == nil || d.Of(101).Failed != "no" || d.Of(102) != nil {
		t.Error(d.Of(101), err)
	}
}
