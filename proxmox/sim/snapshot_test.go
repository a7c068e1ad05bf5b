package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
)

// A vectorState is a container in testdata/vectors/lxc-snapshot-states.json, which Proxmox's own code made.
type vectorState struct {
	Conf    map[string]any
	Running int
	Vols    map[string]struct {
		Snaps []string
		Type  string
	}
}

type vectorStep struct {
	Scenario, Op, Error string
	Args                struct {
		Name, Description string
		Force             int
	}
	Inject *struct {
		At, Msg string
		Kill    int
	}
	Before, After vectorState
	Events        []string
	Warnings      []string
}

// text writes the container's config file.
func (v vectorState) text(t *testing.T) string {
	t.Helper()
	c := newConf()
	fill := func(sec section, vals map[string]any) {
		for k, val := range vals {
			if k != "snapshots" {
				sec.values[k] = strings.Replace(fmt.Sprint(val), "<time>", "1700000000", 1)
			}
		}
	}
	fill(c.section, v.Conf)
	snaps, _ := v.Conf["snapshots"].(map[string]any)
	for name, vals := range snaps {
		sec := newSection()
		fill(sec, vals.(map[string]any))
		c.snaps[name] = sec
	}
	state := c.clone()
	raw, err := state.render()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// plain is the config as the vectors have it, without what they leave open.
func plainConf(raw string) string {
	raw = regexp.MustCompile(`snaptime: \d+`).ReplaceAllString(raw, "snaptime: T")
	return raw
}

func (v vectorState) state(t *testing.T) *State {
	t.Helper()
	st := &State{
		Nodes:      map[string]*Node{"n": {CPUs: 1, Memory: 1 << 30}},
		Storages:   map[string]*Storage{},
		Containers: map[proxmox.VMID]*Container{100: {Node: "n", Running: v.Running == 1, Config: v.text(t)}},
		Volumes:    map[string]*Volume{},
		Cluster:    Cluster{Quorate: true},
	}
	for volid, vol := range v.Vols {
		id, _, _ := strings.Cut(volid, ":")
		st.Storages[id] = &Storage{Type: vol.Type, Content: []string{"rootdir"}}
		st.Volumes[volid] = &Volume{Size: 8 << 30, Snapshots: slices.Clone(vol.Snaps)}
	}
	st.fill()
	return st
}

func TestSnapshotStates(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/vectors/lxc-snapshot-states.json")
	if err != nil {
		t.Fatal(err)
	}
	var steps []vectorStep
	// a storage's name has at least two letters, which Proxmox's own tests do not care about
	raw = bytes.ReplaceAll(raw, []byte("z:subvol"), []byte("zz:subvol"))
	if err := json.Unmarshal(raw, &steps); err != nil {
		t.Fatal(err)
	}
	for i, step := range steps {
		t.Run(fmt.Sprintf("%d %s: %s", i, step.Scenario, step.Op), func(t *testing.T) {
			var next *vectorState
			if i+1 < len(steps) && steps[i+1].Scenario == step.Scenario {
				next = &steps[i+1].Before
			}
			step.run(t, next)
		})
	}
}

func (step vectorStep) run(t *testing.T, next *vectorState) {
	var events []string
	s, err := New(step.Before.state(t), Options{StorageFault: func(op string) error {
		events = append(events, op)
		if step.Inject == nil || step.Inject.At != op {
			return nil
		}
		if step.Inject.Kill == 1 {
			return ErrKill
		}
		return errors.New(step.Inject.Msg)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	status, log := step.do(t, s)
	want := strings.ReplaceAll(strings.TrimSuffix(step.Error, "\n")+step.blank(), "\n", " ")
	switch {
	case step.Error == "(worker killed)":
		want = "unexpected status"
	case want == "":
		want = "OK"
	}
	if status != want {
		t.Errorf("status %q, want %q", status, want)
	}
	for _, w := range step.Warnings {
		if !strings.Contains(log, strings.TrimSpace(w)) {
			t.Errorf("log lacks %q:\n%s", w, log)
		}
	}
	storage := slices.DeleteFunc(slices.Clone(step.Events), func(e string) bool {
		verb, _, _ := strings.Cut(e, " ")
		return !slices.Contains([]string{"snapshot", "destroy", "rollback"}, verb)
	})
	if diff := cmp.Diff(storage, events, cmp.Comparer(func(a, b []string) bool { return slices.Equal(a, b) })); diff != "" {
		t.Errorf("storage operations (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(plainConf(step.After.text(t)), plainConf(s.guests[100].raw)); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if got := s.guests[100].running; got != (step.After.Running == 1) {
		t.Errorf("running: %v", got)
	}
	if next == nil {
		return
	}
	for volid, v := range next.Vols {
		if got := s.st.Volumes[volid].Snapshots; !slices.Equal(got, v.Snaps) {
			t.Errorf("%s has snapshots %q, want %q", volid, got, v.Snaps)
		}
	}
}

// blank is what the second newline of a failed snapshot becomes in the task's status.
func (step vectorStep) blank() string {
	if strings.HasSuffix(step.Error, "\n") {
		return "\n"
	}
	return ""
}

// do carries out the step and gives the status and log of its task.
func (step vectorStep) do(t *testing.T, s *Sim) (status, log string) {
	t.Helper()
	path, method, params := "/nodes/n/lxc/100/snapshot", "POST", url.Values{}
	switch step.Op {
	case "unlock":
		if err := s.Unlock(100); err != nil {
			t.Fatal(err)
		}
		return "OK", ""
	case "create":
		if step.Args.Name == vzdumpSnapshot { // only vzdump itself may use the name
			return step.internal(t, s)
		}
		params.Set("snapname", step.Args.Name)
		if step.Args.Description != "" {
			params.Set("description", step.Args.Description)
		}
	case "delete":
		method, path = "DELETE", path+"/"+step.Args.Name
		if step.Args.Force == 1 {
			params.Set("force", "1")
		}
	case "rollback":
		path += "/" + step.Args.Name + "/rollback"
	default:
		t.Fatalf("unknown operation %q", step.Op)
	}
	data, err := s.As(rootUser).Do(context.Background(), proxmox.Request{Method: method, Path: path, Params: params})
	if err != nil {
		t.Fatal(err)
	}
	var upid string
	if err := json.Unmarshal(data, &upid); err != nil {
		t.Fatal(err)
	}
	tk := s.tasks.byUPID[upid]
	<-tk.done
	return tk.Status, strings.Join(tk.Log, "\n")
}

func (step vectorStep) internal(t *testing.T, s *Sim) (status, log string) {
	t.Helper()
	s.mu.Lock()
	c := &call{ctx: context.Background(), sim: s, user: rootUser, node: "n", params: params{"vmid": {text: "100"}}}
	upid := c.fork("vzdump", "100", func(tk *task) error {
		return snapshotter{t: tk, call: c, name: step.Args.Name}.create(step.Args.Description)
	})
	tk := s.tasks.byUPID[upid]
	s.mu.Unlock()
	<-tk.done
	return tk.Status, strings.Join(tk.Log, "\n")
}
