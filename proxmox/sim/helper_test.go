package sim

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"testing"

	"github.com/felhom/tend/proxmox"
)

// lab is the recorded node at rest.
func lab(t testing.TB) *State {
	t.Helper()
	raw, err := os.ReadFile("../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := ParseState(raw)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// start runs a simulator until the test ends.
func start(t testing.TB, st *State, o Options) *Sim {
	t.Helper()
	s, err := New(st, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// request sends one request as a user.
func request(s *Sim, user, method, path string, form map[string]string) (json.RawMessage, error) {
	params := url.Values{}
	for k, v := range form {
		params.Set(k, v)
	}
	return s.As(user).Do(context.Background(), proxmox.Request{Method: method, Path: path, Params: params})
}

const rootToken = "root@pam!lab"

// must sends a request that has to succeed, waits for its task if it starts one, and gives the data.
func must(t testing.TB, s *Sim, method, path string, form map[string]string) json.RawMessage {
	t.Helper()
	data, err := request(s, rootUser, method, path, form)
	if err != nil {
		t.Fatalf("%s %s %v: %v", method, path, form, err)
	}
	var upid string
	if json.Unmarshal(data, &upid) == nil {
		if status := taskEnd(s, upid); status != "" && status != "OK" {
			t.Fatalf("%s %s %v: task: %s", method, path, form, status)
		}
	}
	return data
}

// taskEnd waits for a task and gives its status; empty for what is no task.
func taskEnd(s *Sim, upid string) string {
	s.mu.RLock()
	tk := s.tasks.byUPID[upid]
	s.mu.RUnlock()
	if tk == nil {
		return ""
	}
	<-tk.done
	return tk.Status
}

// refused sends a request that has to fail, and gives its text.
func refused(t testing.TB, s *Sim, user, method, path string, form map[string]string) string {
	t.Helper()
	data, err := request(s, user, method, path, form)
	if err == nil {
		var upid string
		if json.Unmarshal(data, &upid) == nil {
			if status := taskEnd(s, upid); status != "OK" {
				return status
			}
		}
		t.Fatalf("%s %s %v succeeded: %s", method, path, form, data)
	}
	return err.Error()
}

// create makes a container on the lab node.
func create(t testing.TB, s *Sim, id string, more map[string]string) {
	t.Helper()
	form := map[string]string{
		"vmid": id, "ostemplate": "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst",
		"rootfs": "local-btrfs:1", "hostname": "ct" + id,
	}
	for k, v := range more {
		form[k] = v
	}
	must(t, s, "POST", "/nodes/pve1/lxc", form)
}

// config reads a container's configuration in force.
func config(t testing.TB, s *Sim, id string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(must(t, s, "GET", "/nodes/pve1/lxc/"+id+"/config", map[string]string{"current": "1"}), &out); err != nil {
		t.Fatal(err)
	}
	return out
}
