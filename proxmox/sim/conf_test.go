package sim

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Files that a real node wrote are written again byte for byte.
func TestConfFilesRoundTrip(t *testing.T) {
	files, err := filepath.Glob("../../testdata/pve/conf/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			c := parseConf(string(raw), func(text string) { t.Errorf("warning: %s", text) })
			got, err := c.render()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(raw), got); diff != "" {
				t.Errorf("(-file +written):\n%s", diff)
			}
		})
	}
}

// A stop of the container in the first file gives the second, as on the node.
func TestStopAppliesPending(t *testing.T) {
	before, err := os.ReadFile("../../testdata/pve/conf/running-pending-snapshots.conf")
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile("../../testdata/pve/conf/stopped-after-pending.conf")
	if err != nil {
		t.Fatal(err)
	}
	st := lab(t)
	st.Containers[711] = &Container{Node: "pve1", Running: true, Config: string(before)}
	for _, v := range []string{"local-btrfs:711/vm-711-disk-0.raw", "local-btrfs:711/vm-711-disk-1.raw", "local:711/vm-711-disk-0.raw"} {
		st.Volumes[v] = &Volume{Size: 1 << 30}
	}
	s := start(t, st, Options{})
	if err := s.PowerOff(711); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(after), s.guests[711].raw); diff != "" {
		t.Errorf("(-node +simulated):\n%s", diff)
	}
}

// The digests that a node computed are those of the files the simulator writes: the recordings are carried out
// again, and each digest in an answer must be the recorded one. Scenarios with generated addresses or times in the
// file are left out.
func TestDigestsAreThoseOfTheNode(t *testing.T) {
	compared := 0
	for _, name := range []string{
		"create-minimal", "config-stopped", "config-errors", "running", "protection", "resize",
		"volumes-stopped", "root-only-token", "limited-privileges",
	} {
		t.Run(name, func(t *testing.T) { compared += replayDigests(t, name) })
	}
	if compared < 50 {
		t.Errorf("only %d digests compared", compared)
	}
}

type recordedStep struct {
	Method, Path, Auth string
	Form               map[string]any
	Save               map[string]string
	Response           struct {
		Status int
		Body   struct{ Data json.RawMessage }
	}
}

func replayDigests(t *testing.T, name string) int {
	t.Helper()
	raw, err := os.ReadFile("../../testdata/pve/exchanges/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var sc struct{ Steps []recordedStep }
	if err := json.Unmarshal(raw, &sc); err != nil {
		t.Fatal(err)
	}
	s := start(t, lab(t), Options{})
	saved, compared := map[string]string{"node": "pve1"}, 0
	for i, step := range sc.Steps {
		data := step.do(t, s, saved)
		want, got := digestOf(step.Response.Body.Data), digestOf(data)
		if want == "" {
			continue
		}
		compared++
		if want != got {
			t.Fatalf("step %d, %s %s: digest %s, want %s", i+1, step.Method, step.Path, got, want)
		}
	}
	return compared
}

func digestOf(data json.RawMessage) string {
	var one struct{ Digest string }
	if json.Unmarshal(data, &one) == nil && one.Digest != "" {
		return one.Digest
	}
	var rows []struct {
		Key   string
		Value any
	}
	if json.Unmarshal(data, &rows) == nil {
		for _, r := range rows {
			if r.Key == "digest" {
				return r.Value.(string)
			}
		}
	}
	return ""
}

var recordedUsers = map[string]string{
	"": "root@pam!lab", "root-token": "root@pam!lab", "limited-token": "felhom@pve!agent",
	"audit-token": "felhom@pve!weak", "no-audit-token": "felhom@pve!none", "root-ticket": rootUser,
}

func (step recordedStep) do(t *testing.T, s *Sim, saved map[string]string) json.RawMessage {
	t.Helper()
	fill := func(text string) string {
		for k, v := range saved {
			text = strings.ReplaceAll(text, "{"+k+"}", v)
		}
		return text
	}
	form := map[string]string{}
	for k, v := range step.Form {
		form[k] = fill(v.(string))
	}
	data, _ := request(s, recordedUsers[step.Auth], step.Method, fill(step.Path), form)
	var obj map[string]any
	_ = json.Unmarshal(data, &obj)
	for name, where := range step.Save {
		if v, ok := obj[strings.TrimPrefix(where, "data.")].(string); ok {
			saved[name] = v
		}
	}
	return data
}

func FuzzConf(f *testing.F) {
	files, _ := filepath.Glob("../../testdata/pve/conf/*.conf")
	for _, name := range files {
		if raw, err := os.ReadFile(name); err == nil {
			f.Add(raw)
		}
	}
	f.Add([]byte("tags:  \nmemory: 007\n[pve:pending]\ndelete: mp0\n[a1]\n#x%3A\nsnapstate: prepare\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 1<<16 || bytes.Contains(raw, []byte("\r")) {
			return
		}
		first, err := parseConf(string(raw), func(string) {}).render()
		if err != nil {
			return
		}
		again := parseConf(first, func(string) {})
		second, err := again.render()
		if err != nil {
			t.Fatalf("cannot write what was read: %v\n%s", err, first)
		}
		third, err := parseConf(second, func(string) {}).render()
		if err != nil || second != third {
			t.Fatalf("not stable:\n%q\n%q (%v)", second, third, err)
		}
	})
}
