package proxmox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/property"
)

// A fake answers requests with a function.
type fake func(ctx context.Context, r proxmox.Request) (json.RawMessage, error)

func (f fake) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) { return f(ctx, r) }

// replay answers one request as a step was answered, and keeps it.
type replay struct {
	step step
	got  []proxmox.Request
}

func (p *replay) Do(_ context.Context, r proxmox.Request) (json.RawMessage, error) {
	p.got = append(p.got, r)
	if p.step.Response.Status != 200 {
		return nil, proxmox.NewAPIError(r, p.step.Response.Status, p.step.Response.Reason, p.step.Response.Body)
	}
	var body struct {
		Data json.RawMessage `json:"data"`
	}
	return body.Data, json.Unmarshal(p.step.Response.Body, &body)
}

// A route makes the call of the client that a recorded request stands for. m holds the elements of its path.
type route struct {
	method, path string
	call         func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error)
}

var anyUPID = proxmox.UPID{
	Node: "pve1", PID: 1, PStart: 1, Start: time.Unix(1795421634, 0).UTC(), Type: "vzcreate", ID: "1", User: "root@pam",
}

// ref is the container of a path.
func ref(m []string) proxmox.Ref {
	id := proxmox.VMID(0)
	for _, d := range m[1] {
		id = id*10 + proxmox.VMID(d-'0')
	}
	return proxmox.Ref{Node: m[0], ID: id}
}

func vmid(s string) proxmox.VMID { return ref([]string{"", s}).ID }

// settings are the parameters of a request but those that have a field of their own.
func settings(f url.Values, own ...string) proxmox.Values {
	v := proxmox.Values{}
	for key := range f {
		v[key] = f.Get(key)
	}
	for _, key := range own {
		delete(v, key)
	}
	return v
}

var routes = []route{
	{"GET", "/version", func(ctx context.Context, c *proxmox.Client, _ []string, _ url.Values) (any, error) {
		return c.Version(ctx)
	}},
	{"GET", "/nodes", func(ctx context.Context, c *proxmox.Client, _ []string, _ url.Values) (any, error) {
		return c.Nodes(ctx)
	}},
	{"GET", "/cluster/status", func(ctx context.Context, c *proxmox.Client, _ []string, _ url.Values) (any, error) {
		return c.ClusterStatus(ctx)
	}},
	{"GET", "/cluster/options", func(ctx context.Context, c *proxmox.Client, _ []string, _ url.Values) (any, error) {
		return c.ClusterOptions(ctx)
	}},
	{"GET", "/cluster/resources", func(ctx context.Context, c *proxmox.Client, _ []string, f url.Values) (any, error) {
		return c.Resources(ctx, proxmox.ResourceKind(f.Get("type")))
	}},
	{"GET", "/cluster/nextid", func(ctx context.Context, c *proxmox.Client, _ []string, _ url.Values) (any, error) {
		return c.NextID(ctx)
	}},
	{"GET", "/access/permissions", func(ctx context.Context, c *proxmox.Client, _ []string, f url.Values) (any, error) {
		return c.Permissions(ctx, f.Get("path"))
	}},
	{"GET", "/nodes/*/lxc", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.Containers(ctx, m[0])
	}},
	{"GET", "/nodes/*/lxc/*/status/current", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.Status(ctx, ref(m))
	}},
	{"GET", "/nodes/*/lxc/*/pending", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.Config(ctx, ref(m))
	}},
	{"GET", "/nodes/*/lxc/*/config", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.LiveConfig(ctx, ref(m))
	}},
	{"GET", "/nodes/*/lxc/*/feature", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		return c.HasFeature(ctx, ref(m), proxmox.Feature(f.Get("feature")))
	}},
	{"GET", "/nodes/*/lxc/*/interfaces", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.Interfaces(ctx, ref(m))
	}},
	{"GET", "/nodes/*/lxc/*/snapshot", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.Snapshots(ctx, ref(m))
	}},
	{"GET", "/nodes/*/lxc/*/snapshot/*/config", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.SnapshotConfig(ctx, ref(m), m[2])
	}},
	{"GET", "/nodes/*/storage", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.Storages(ctx, m[0])
	}},
	{"GET", "/nodes/*/storage/*/content", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		return c.StorageContent(ctx, m[0], m[1], proxmox.ContentFilter{Content: proxmox.Content(f.Get("content")), Guest: vmid(f.Get("vmid"))})
	}},
	{"GET", "/nodes/*/tasks", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		return c.Tasks(ctx, m[0], proxmox.TaskFilter{
			Source: proxmox.TaskSource(f.Get("source")), Guest: vmid(f.Get("vmid")), Type: f.Get("typefilter"),
		})
	}},
	{"GET", "/nodes/*/tasks/*/status", func(ctx context.Context, c *proxmox.Client, _ []string, _ url.Values) (any, error) {
		return c.TaskStatus(ctx, anyUPID)
	}},
	{"GET", "/nodes/*/tasks/*/log", func(ctx context.Context, c *proxmox.Client, _ []string, f url.Values) (any, error) {
		return c.TaskLog(ctx, anyUPID, int(vmid(f.Get("start"))), int(vmid(f.Get("limit"))))
	}},
	{"POST", "/nodes/*/lxc", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		if f.Get("restore") == "1" {
			return c.Restore(ctx, m[0], proxmox.RestoreParams{
				ID: vmid(f.Get("vmid")), Archive: f.Get("ostemplate"), Storage: f.Get("storage"), Force: f.Get("force") == "1",
				Values: settings(f, "vmid", "ostemplate", "storage", "force", "restore"),
			})
		}
		return c.Create(ctx, m[0], proxmox.CreateParams{
			ID: vmid(f.Get("vmid")), Template: f.Get("ostemplate"), Storage: f.Get("storage"), Pool: f.Get("pool"),
			Password: proxmox.NewSecret(f.Get("password")), SSHKeys: strings.FieldsFunc(f.Get("ssh-public-keys"), func(r rune) bool { return r == '\n' }),
			Values: settings(f, "vmid", "ostemplate", "storage", "pool", "password", "ssh-public-keys"),
		})
	}},
	{"POST", "/nodes/*/lxc/*/clone", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		modes := map[string]proxmox.CloneMode{"": proxmox.CloneDefault, "0": proxmox.CloneLinked, "1": proxmox.CloneFull}
		return c.Clone(ctx, ref(m), proxmox.CloneParams{
			ID: vmid(f.Get("newid")), Mode: modes[f.Get("full")], Snapshot: f.Get("snapname"),
			Hostname: f.Get("hostname"), Description: f.Get("description"), Storage: f.Get("storage"),
		})
	}},
	{"PUT", "/nodes/*/lxc/*/config", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		list := func(key string) []string {
			return strings.FieldsFunc(f.Get(key), func(r rune) bool { return r == ',' })
		}
		return nil, c.SetConfig(ctx, ref(m), proxmox.Update{
			Set: settings(f, "delete", "revert", "digest"), Delete: list("delete"), Revert: list("revert"), Digest: f.Get("digest"),
		})
	}},
	{"PUT", "/nodes/*/lxc/*/resize", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		text, grow := strings.CutPrefix(f.Get("size"), "+")
		size, _ := property.Size{}.Parse(text) // one recording sends no size at all
		return c.Resize(ctx, ref(m), proxmox.ResizeParams{Disk: f.Get("disk"), Size: size, Grow: grow, Digest: f.Get("digest")})
	}},
	{"POST", "/nodes/*/lxc/*/snapshot", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		return c.Snapshot(ctx, ref(m), f.Get("snapname"), f.Get("description"))
	}},
	{"PUT", "/nodes/*/lxc/*/snapshot/*/config", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		return nil, c.DescribeSnapshot(ctx, ref(m), m[2], f.Get("description"))
	}},
	{"POST", "/nodes/*/lxc/*/snapshot/*/rollback", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.Rollback(ctx, ref(m), m[2])
	}},
	{"DELETE", "/nodes/*/lxc/*/snapshot/*", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		return c.DeleteSnapshot(ctx, ref(m), m[2], f.Get("force") == "1")
	}},
	{"POST", "/nodes/*/lxc/*/status/start", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.Start(ctx, ref(m))
	}},
	{"POST", "/nodes/*/lxc/*/status/stop", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.Stop(ctx, ref(m))
	}},
	{"POST", "/nodes/*/lxc/*/status/shutdown", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		return c.Shutdown(ctx, ref(m), proxmox.ShutdownParams{Timeout: time.Duration(vmid(f.Get("timeout"))) * time.Second, ForceStop: f.Get("forceStop") == "1"})
	}},
	{"POST", "/nodes/*/lxc/*/status/reboot", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		return c.Reboot(ctx, ref(m), time.Duration(vmid(f.Get("timeout")))*time.Second)
	}},
	{"DELETE", "/nodes/*/lxc/*", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		return c.Destroy(ctx, ref(m), proxmox.DestroyParams{
			Force: f.Get("force") == "1", Purge: f.Get("purge") == "1", DestroyUnreferenced: f.Get("destroy-unreferenced-disks") == "1",
		})
	}},
	{"POST", "/nodes/*/vzdump", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		return c.Backup(ctx, m[0], proxmox.BackupParams{
			Guests: []proxmox.VMID{vmid(f.Get("vmid"))}, Storage: f.Get("storage"), Mode: proxmox.BackupMode(f.Get("mode")),
			Compress: proxmox.Compression(f.Get("compress")), Notes: f.Get("notes-template"),
		})
	}},
	{"GET", "/pools", func(ctx context.Context, c *proxmox.Client, _ []string, f url.Values) (any, error) {
		if name := f.Get("poolid"); name != "" {
			return c.Pool(ctx, name)
		}
		return c.Pools(ctx)
	}},
	{"POST", "/pools", func(ctx context.Context, c *proxmox.Client, _ []string, f url.Values) (any, error) {
		return nil, c.CreatePool(ctx, f.Get("poolid"), f.Get("comment"))
	}},
	{"PUT", "/pools", func(ctx context.Context, c *proxmox.Client, _ []string, f url.Values) (any, error) {
		if f.Get("delete") == "1" {
			return nil, c.RemoveFromPool(ctx, f.Get("poolid"), vmid(f.Get("vms")))
		}
		return nil, c.AddToPool(ctx, f.Get("poolid"), vmid(f.Get("vms")))
	}},
	{"DELETE", "/pools", func(ctx context.Context, c *proxmox.Client, _ []string, f url.Values) (any, error) {
		return nil, c.DeletePool(ctx, f.Get("poolid"))
	}},
	{"GET", "/cluster/backup", func(ctx context.Context, c *proxmox.Client, _ []string, _ url.Values) (any, error) {
		return c.BackupJobs(ctx)
	}},
	{"POST", "/cluster/backup", func(ctx context.Context, c *proxmox.Client, _ []string, f url.Values) (any, error) {
		return nil, c.CreateBackupJob(ctx, f.Get("id"), settings(f, "id"))
	}},
	{"GET", "/cluster/backup/*", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return c.BackupJob(ctx, m[0])
	}},
	{"PUT", "/cluster/backup/*", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		var remove []string
		if f.Get("delete") != "" {
			remove = strings.Split(f.Get("delete"), ",")
		}
		return nil, c.UpdateBackupJob(ctx, m[0], settings(f, "delete"), remove)
	}},
	{"DELETE", "/cluster/backup/*", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		return nil, c.DeleteBackupJob(ctx, m[0])
	}},
	{"GET", "/nodes/*/storage/*/prunebackups", func(ctx context.Context, c *proxmox.Client, m []string, f url.Values) (any, error) {
		return c.PrunePreview(ctx, m[0], m[1], proxmox.PruneParams{
			Guest: vmid(f.Get("vmid")), Type: f.Get("type"), Keep: f.Get("prune-backups"),
		})
	}},
	{"DELETE", "/nodes/*/storage/*/content/*", func(ctx context.Context, c *proxmox.Client, m []string, _ url.Values) (any, error) {
		volume, err := url.PathUnescape(m[2])
		if err != nil {
			return nil, err
		}
		return c.DeleteVolume(ctx, m[0], m[1], volume)
	}},
}

// leftOut are recorded requests that the client does not make, with the reason.
var leftOut = map[string]string{
	"GET /storage":                       "the definition of storages; the client reads them by node",
	"GET /cluster/backup-info/*":         "which guests no job covers is told by the jobs",
	"PUT /nodes/*/storage/*/content/*":   "notes of backups are no business of a spec",
	"DELETE /nodes/*/tasks/*":            "tasks are never killed",
	"POST /nodes/*/lxc/*/status/suspend": "experimental in Proxmox",
	"POST /nodes/*/lxc/*/template":       "several requests: see TestConvertToTemplate",
	"GET /no/such/path":                  "on purpose wrong",
	"POST /version":                      "on purpose wrong",
	"PUT /version":                       "on purpose wrong",
	"GET /nodes/*/lxc/abc/config":        "on purpose wrong: the client's VMID is a number",
}

// Every recorded answer passes through the method that makes its request, and every request that the method
// makes is the recorded one.
func TestRecordedExchanges(t *testing.T) {
	used := map[string]bool{}
	for _, sc := range loadScenarios(t) {
		for i, st := range sc.Steps {
			r := st.request()
			rt, m := findRoute(r)
			if rt == nil {
				name, ok := isLeftOut(r)
				if !ok {
					t.Errorf("%s#%d %s: no method of the client makes this request", sc.Name, i+1, r)
				}
				used[name] = true
				continue
			}
			used[rt.method+" "+rt.path] = true
			if st.Method == "PUT" && len(r.Params) == 0 {
				continue // the client does not send an empty update
			}
			p := &replay{step: st}
			out, err := rt.call(t.Context(), proxmox.NewClient(p), m, r.Params)
			if want := st.Response.Status == 200; (err == nil) != want {
				t.Errorf("%s#%d %s: error is %v", sc.Name, i+1, r, err)
			}
			if u, ok := out.(proxmox.UPID); ok && err == nil && u.Node != "pve1" {
				t.Errorf("%s#%d %s: task is %v", sc.Name, i+1, r, u)
			}
			checkRequest(t, fmt.Sprintf("%s#%d", sc.Name, i+1), r, p.got)
		}
	}
	for _, rt := range routes {
		if name := rt.method + " " + rt.path; !used[name] {
			t.Errorf("%s is in no recording", name)
		}
	}
}

// unsent are parameters of recorded requests that the client has no use for.
var unsent = map[string]bool{
	"create-minimal#11 vmid": true, "transport-errors#13 vmid": true, // whether that one is free
	"discovery#6 enabled": true, "discovery#6 content": true, // the list says both
	"root-only-token#21 skiplock": true, // root@pam only
	"snapshots#26 vmstate":        true, // of virtual machines
	"resize#8 size":               true, // on purpose wrong
	"transport-errors#11 bogus":   true,
}

func checkRequest(t *testing.T, where string, want proxmox.Request, got []proxmox.Request) {
	t.Helper()
	if len(got) != 1 {
		t.Errorf("%s %s: %d requests", where, want, len(got))
		return
	}
	if strings.Contains(want.Path, "/tasks/") {
		return // stands for another task
	}
	if got[0].Method != want.Method || got[0].Path != strings.NewReplacer("!", "%21", "{", "%7B", "}", "%7D").Replace(want.Path) {
		t.Errorf("%s: sent %s, recorded %s", where, got[0], want)
	}
	for key := range want.Params {
		if w, g := want.Params.Get(key), got[0].Params.Get(key); w != g && w != "0" && w != "" && !unsent[where+" "+key] {
			t.Errorf("%s %s: parameter %s is %q, recorded %q", where, want, key, g, w)
		}
	}
}

func findRoute(r proxmox.Request) (*route, []string) {
	for i := range routes {
		if routes[i].method == r.Method {
			if m, ok := match(routes[i].path, r.Path); ok {
				return &routes[i], m
			}
		}
	}
	return nil, nil
}

func isLeftOut(r proxmox.Request) (string, bool) {
	for name := range leftOut {
		method, path, _ := strings.Cut(name, " ")
		if _, ok := match(path, r.Path); ok && method == r.Method {
			return name, true
		}
	}
	return "", false
}

// match compares a path with a pattern and returns the elements that stand for "*".
func match(pattern, path string) ([]string, bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	var m []string
	for i := range want {
		switch {
		case want[i] == "*" && got[i] == "abc": // the one VMID that is none
			return nil, false
		case want[i] == "*":
			m = append(m, got[i])
		case want[i] != got[i]:
			return nil, false
		}
	}
	return m, true
}
