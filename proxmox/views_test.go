package proxmox_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
)

// data answers every request with one body.
func data(body string) *proxmox.Client {
	return proxmox.NewClient(fake(func(context.Context, proxmox.Request) (json.RawMessage, error) { return json.RawMessage(body), nil }))
}

var guest = proxmox.Ref{Node: "pve1", ID: 812}

func TestConfigViews(t *testing.T) {
	got, err := data(`[
		{"key":"memory","value":300},{"key":"cpulimit","value":"1"},{"key":"arch","value":"amd64","pending":"i386"},
		{"key":"mp1","value":"local:812/d.raw,mp=/hot","delete":1},{"key":"tty","pending":1},
		{"key":"description","value":"live\n"},{"key":"onboot","value":0},{"key":"swap","value":"64","delete":"2"},
		{"key":"digest","value":"9c1e"},{"key":"lxc","value":[["lxc.a","b"]]}]`).Config(t.Context(), guest)
	want := proxmox.Config{
		Current: proxmox.Values{
			"memory": "300", "cpulimit": "1", "arch": "amd64", "mp1": "local:812/d.raw,mp=/hot",
			"description": "live\n", "onboot": "0", "swap": "64",
		},
		Pending: proxmox.Values{"arch": "i386", "tty": "1"},
		Deleted: map[string]bool{"mp1": true, "swap": true},
		Digest:  "9c1e",
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestLiveConfig(t *testing.T) {
	got, err := data(`{"memory":300,"digest":"9c1e","lxc":[["lxc.b","2"],["lxc.a","1"]]}`).LiveConfig(t.Context(), guest)
	want := proxmox.ConfigSection{
		Values: proxmox.Values{"memory": "300"}, Digest: "9c1e",
		Raw: []proxmox.RawLine{{Key: "lxc.b", Value: "2"}, {Key: "lxc.a", Value: "1"}},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
}

// The types that Proxmox mixes up: lxc-semantics, section 3.5.
func TestMixedTypes(t *testing.T) {
	want := proxmox.ContainerStatus{
		ID: 101, Name: "web", Status: proxmox.Running, Tags: []string{"a", "b"}, Template: true, PID: 8709,
		Uptime: 90 * time.Second, CPUs: 1.5, CPU: 0.25, MaxMemory: 1 << 40, HA: proxmox.HAStatus{Managed: true, State: "started"},
	}
	for _, body := range []string{
		`{"vmid":101,"name":"web","status":"running","tags":"a;b","template":1,"pid":8709,"uptime":90,"cpus":1.5,"cpu":0.25,
		  "maxmem":1099511627776,"ha":{"managed":1,"state":"started"},"pressurecpufull":"0.00","lock":null}`,
		`{"vmid":"101","name":"web","status":"running","tags":"a,b","template":"1","pid":"8709","uptime":"90","cpus":"1.5","cpu":"2.5e-1",
		  "maxmem":"1099511627776","ha":{"managed":true,"state":"started"}}`,
		`{"vmid":101.0,"name":"web","status":"running","tags":["a","b"],"template":true,"pid":8709,"uptime":90,"cpus":1.5,"cpu":0.25,
		  "maxmem":1.099511627776e12,"ha":{"managed":"yes","state":"started"}}`,
	} {
		got, err := data(body).Status(t.Context(), guest)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Error(d, err)
		}
	}
	_, err := data(`[{"vmid":1},{"vmid":2,"ha":{"managed":"maybe"}}]`).Containers(t.Context(), "pve1")
	if err == nil || !strings.Contains(err.Error(), `GET /nodes/pve1/lxc: decode answer: data[1].ha.managed: "maybe" is not a boolean`) {
		t.Errorf("error is %v", err)
	}
	for _, bad := range []string{`null`, `[]`, `{"vmid":"x"}`, `{"vmid":[1]}`, `{"template":"maybe"}`, `{"cpus":""}`, `{`} {
		if got, err := data(bad).Status(t.Context(), guest); err == nil {
			t.Errorf("%s is taken as %+v", bad, got)
		}
	}
}

func TestClusterOptions(t *testing.T) {
	want := proxmox.ClusterOptions{
		TagStyle: proxmox.TagStyle{CaseSensitive: true, Ordering: "config"}, NextID: proxmox.IDRange{Lower: 200, Upper: 300},
		AllowedTags: []string{"a"},
	}
	for _, body := range []string{
		`{"tag-style":{"case-sensitive":1,"ordering":"config"},"next-id":{"lower":"200","upper":300},"allowed-tags":["a"]}`,
		`{"tag-style":"case-sensitive=1,ordering=config","next-id":"lower=200,upper=300","allowed-tags":["a"]}`,
	} {
		got, err := data(body).ClusterOptions(t.Context())
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Error(d, err)
		}
	}
}

func TestClusterStatus(t *testing.T) {
	got, err := data(`[{"type":"cluster","name":"home","quorate":0,"nodes":2},
		{"type":"node","name":"pve1","nodeid":1,"ip":"10.0.0.1","online":1,"local":1},
		{"type":"node","name":"pve2","nodeid":2,"ip":"10.0.0.2","online":0,"local":0}]`).ClusterStatus(t.Context())
	want := proxmox.ClusterStatus{Name: "home", Nodes: []proxmox.ClusterNode{
		{Name: "pve1", ID: 1, IP: "10.0.0.1", Online: true, Local: true}, {Name: "pve2", ID: 2, IP: "10.0.0.2"},
	}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestBackupWithNothingToDo(t *testing.T) {
	u, err := data(`"OK"`).Backup(t.Context(), "pve1", proxmox.BackupParams{})
	if !errors.Is(err, proxmox.ErrNothing) || errors.Is(err, proxmox.ErrOutcomeUnknown) || !u.IsZero() {
		t.Errorf("got %v, %v", u, err)
	}
}

// An empty list is [] with Proxmox; null is something else that went wrong, which is not to be read as "no nodes".
func TestNoList(t *testing.T) {
	c := data(`null`)
	if nodes, err := c.Nodes(t.Context()); err == nil {
		t.Errorf("nodes are %v", nodes)
	}
	if list, err := c.Containers(t.Context(), "pve1"); err == nil {
		t.Errorf("containers are %v", list)
	}
	if list, err := c.Interfaces(t.Context(), guest); err != nil || len(list) > 0 { // Proxmox's answer for one that is stopped
		t.Errorf("interfaces are %v, %v", list, err)
	}
}

// What was accepted without a task may have been carried out.
func TestMutationWithoutTask(t *testing.T) {
	for _, body := range []string{`null`, `"OK"`, `{}`} {
		if _, err := data(body).Start(t.Context(), guest); !errors.Is(err, proxmox.ErrOutcomeUnknown) {
			t.Errorf("%s: error is %v", body, err)
		}
	}
}

func TestConvertToTemplate(t *testing.T) {
	const (
		old = `{"upid":"UPID:pve1:00000001:00000001:6B03F5C2:vztemplate:812:root@pam:","status":"boom","endtime":1795421634}`
		new = `{"upid":"UPID:pve1:00000002:00000001:6B03F5C2:vztemplate:812:root@pam:","status":"RUNNING"}`
	)
	converted := false
	c := proxmox.NewClient(fake(func(_ context.Context, r proxmox.Request) (json.RawMessage, error) {
		switch {
		case r.Method == "POST":
			converted = true
			return json.RawMessage(`null`), nil
		case converted:
			return json.RawMessage("[" + old + "," + new + "]"), nil
		}
		return json.RawMessage("[" + old + "]"), nil
	}))
	u, err := c.ConvertToTemplate(t.Context(), guest)
	if err != nil || u.PID != 2 {
		t.Errorf("got %v, %v", u, err)
	}
	if _, err := data(`[`+old+`]`).ConvertToTemplate(t.Context(), guest); !errors.Is(err, proxmox.ErrOutcomeUnknown) {
		t.Errorf("error is %v", err)
	}
}

func TestTasks(t *testing.T) {
	got, err := data(`[
		{"upid":"UPID:pve1:00000001:00000001:6B03F5C2:vzcreate:1:root@pam:","status":"RUNNING","starttime":1795421634},
		{"upid":"UPID:pve1:00000001:00000001:6B03F5C2:vzcreate:1:root@pam:","status":"WARNINGS: 2","endtime":"1795421700"},
		{"upid":"UPID:pve1:00000001:00000001:6B03F5C2:vzcreate:1:root@pam:","status":"RUNNING","endtime":1795421700},
		{"upid":"garbage","status":"OK","endtime":1}]`).Tasks(t.Context(), "pve1", proxmox.TaskFilter{})
	end := time.Unix(1795421700, 0).UTC()
	want := []proxmox.TaskStatus{
		{UPID: anyUPID, Running: true},
		{UPID: anyUPID, ExitStatus: "WARNINGS: 2", End: end},
		{UPID: anyUPID, ExitStatus: "RUNNING", End: end}, // an error of this text
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if got[0].OK() || !got[1].OK() || got[1].Warnings() != 2 || got[2].OK() {
		t.Errorf("outcomes of %+v", got)
	}
}

// The inventory of a large cluster is the largest answer there is.
func BenchmarkResources(b *testing.B) {
	row := `{"id":"lxc/101","type":"lxc","node":"pve1","vmid":101,"name":"web","status":"running","tags":"a;b","template":0,` +
		`"uptime":90,"maxcpu":2,"maxmem":536870912,"maxdisk":1073741824,"disk":1,"mem":2,"cpu":0.1,"netin":3,"netout":4}`
	c := data("[" + strings.Repeat(row+",", 9999) + row + "]")
	b.ReportAllocs()
	for b.Loop() {
		if list, err := c.Resources(b.Context(), proxmox.KindGuests); err != nil || len(list) != 10000 {
			b.Fatal(len(list), err)
		}
	}
}

// No answer makes the client panic, whatever it reads it as.
func FuzzAnswers(f *testing.F) {
	for _, sc := range loadScenarios(f) {
		for _, st := range sc.Steps {
			var body struct {
				Data json.RawMessage `json:"data"`
			}
			if json.Unmarshal(st.Response.Body, &body) == nil && len(body.Data) > 4 && st.Method == "GET" {
				f.Add(string(body.Data))
			}
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		c := data(body)
		for _, rt := range routes {
			if rt.method == "GET" {
				_, _ = rt.call(t.Context(), c, []string{"pve1", "101", "s"}, nil)
			}
		}
	})
}
