package reconcile_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
)

// cluster is the lab with a second node, something to download, two pools, and what a token needs for these.
func cluster(t *testing.T, edit func(*sim.State), o sim.Options) *node {
	t.Helper()
	text, err := os.ReadFile("../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	debian, second := "debian", *st.Nodes["pve1"]
	st.Nodes["pve2"] = &second
	st.Storages["nas"] = &sim.Storage{Type: "nfs", Path: "/mnt/pve/nas", Content: []string{"vztmpl", "backup"}}
	st.Appliances = map[string]*sim.Appliance{
		"debian-13-standard_13.1-2_amd64.tar.zst": {Package: "debian-13-standard", Version: "13.1-2", Size: 1 << 20, OSType: &debian},
		"debian-13-standard_13.1-10_amd64.tar.zst": {
			Package: "debian-13-standard", Version: "13.1-10", Size: 1 << 20, OSType: &debian,
		},
	}
	st.Downloads = map[string]*sim.Download{
		"https://example.com/base_1.4_amd64.tar.zst": {Size: 1 << 20, OSType: &debian, Content: "base"},
		"docker.io/library/caddy:2":                  {Size: 1 << 20, OSType: &debian},
	}
	st.Pools = map[string]*sim.Pool{"customers": {}, "lab": {}}
	st.Roles["FelhomAgent"] = append(st.Roles["FelhomAgent"], "Sys.Modify", "Sys.AccessNetwork", "Pool.Allocate", "Datastore.Allocate")
	if edit != nil {
		edit(st)
	}
	n := nodeOf(t, st, o)
	t.Cleanup(n.Close)
	return n
}

// read is a spec as an author writes it.
func read(t *testing.T, text string) *spec.State {
	t.Helper()
	s, err := load.Load(fstest.MapFS{"a.yaml": &fstest.MapFile{Data: []byte(text)}}, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func checksum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// whole is a spec with templates of all sorts, pools and jobs.
func whole() string {
	return `
defaults: {node: pve1, rootfs: {storage: local-btrfs, size: 1GiB}, state: stopped}
templates:
  debian-13: {storage: local, appliance: debian-13-standard}
  base: {storage: nas, url: "https://example.com/base_1.4_amd64.tar.zst", checksum: "` + checksum("base") + `"}
  caddy: {storage: local, image: "docker.io/library/caddy:2"}
containers:
  web: {id: 201, from: {template: debian-13}, tags: [media], pool: customers}
  db: {id: 202, node: pve2, from: {template: debian-13}, tags: [Media, b]}
  app: {id: 203, node: pve2, from: {template: base}, pool: ""}
  files: {id: 204, from: {template: base}}
backupJobs:
  weekly: {schedule: "sun 03:00", storage: nas, select: {tags: [media]}, keep: {weekly: 4, last: 2}, compress: zstd, comment: every sunday}
  rest: {schedule: daily, storage: local, select: {all: true, exclude: [201]}, enabled: false, excludePaths: [/tmp/a, "/b c"]}
`
}

// synced fails the test unless the spec says what there is.
func synced(t *testing.T, r *reconcile.Reconciler, want *spec.State) {
	t.Helper()
	p, _, err := r.Plan(t.Context(), want)
	if err != nil || !p.Synced() {
		t.Fatalf("not in sync: %v\n%s", err, p)
	}
}

func (n *node) job(t *testing.T, id string) proxmox.Values {
	t.Helper()
	j, err := n.root.BackupJob(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return j.Values
}

func (n *node) pool(t *testing.T, name string) []proxmox.VMID {
	t.Helper()
	p, err := n.root.Pool(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return p.Guests()
}

func TestClusterConverges(t *testing.T) {
	n := cluster(t, nil, sim.Options{})
	r := n.reconciler(nil)
	want := read(t, whole())
	out := once(t, r, want)
	converged(t, out)
	if out.Passes != 1 {
		t.Errorf("%d passes", out.Passes)
	}
	synced(t, r, want)

	st := n.State()
	templates := map[string][]string{}
	for volume, tpl := range st.Templates {
		templates[volume] = tpl.Nodes
	}
	wantTemplates := map[string][]string{
		"local:vztmpl/debian-13-standard_13.1-10_amd64.tar.zst": {"pve1", "pve2"},
		"nas:vztmpl/base_1.4_amd64.tar.zst":                     nil,
		"local:vztmpl/caddy_2.tar":                              {"pve1", "pve2"},
		"local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst":       nil,
		"local:vztmpl/lab-busybox_1.36-1_amd64.tar.zst":         nil,
	}
	if d := cmp.Diff(wantTemplates, templates); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]proxmox.VMID{201}, n.pool(t, "customers")); d != "" {
		t.Error(d)
	}
	wantJob := proxmox.Values{
		"schedule": "sun 03:00", "storage": "nas", "vmid": "201,202", "prune-backups": "keep-last=2,keep-weekly=4",
		"compress": "zstd", "comment": "every sunday [tend]", "enabled": "1",
	}
	if d := cmp.Diff(wantJob, n.job(t, "tend-weekly")); d != "" {
		t.Error(d)
	}
	wantJob = proxmox.Values{
		"schedule": "daily", "storage": "local", "all": "1", "exclude": "201", "comment": "[tend]", "enabled": "0",
		"exclude-path": "/tmp/a\n/b c",
	}
	if d := cmp.Diff(wantJob, n.job(t, "tend-rest")); d != "" {
		t.Error(d)
	}
	if _, err := n.root.BackupJob(t.Context(), "x1"); err != nil {
		t.Errorf("a foreign job was touched: %v", err)
	}
}

// TestClusterDrift changes by hand what lies beside the containers, and sees it undone.
func TestClusterDrift(t *testing.T) {
	n := cluster(t, nil, sim.Options{})
	r := n.reconciler(nil)
	want := read(t, whole())
	converged(t, once(t, r, want))
	ctx := t.Context()
	for _, tt := range []struct {
		name  string
		drift func() error
		calls []string
	}{
		{"a job is changed", func() error {
			return n.root.UpdateBackupJob(ctx, "tend-weekly", proxmox.Values{"all": "1", "mode": "stop", "prune-backups": "keep-last=0", "enabled": "0"}, nil)
		}, []string{"PUT /cluster/backup/tend-weekly"}},
		{"a job loses options", func() error {
			return n.root.UpdateBackupJob(ctx, "tend-rest", nil, []string{"exclude", "exclude-path"})
		}, []string{"PUT /cluster/backup/tend-rest"}},
		{"a job gets options", func() error {
			return n.root.UpdateBackupJob(ctx, "tend-rest", proxmox.Values{
				"bwlimit": "1000", "performance": "pbs-entries-max=7", "notes-template": "x", "storage": "local", "mailto": "root@pam", "lockwait": "5", "repeat-missed": "1",
			}, nil)
		}, []string{"PUT /cluster/backup/tend-rest"}},
		{"a job is deleted", func() error { return n.root.DeleteBackupJob(ctx, "tend-rest") }, []string{"POST /cluster/backup"}},
		{"a container is moved to another pool", func() error { return n.root.AddToPool(ctx, "lab", 201) }, []string{"PUT /pools"}},
		{"a container is taken out of its pool", func() error { return n.root.RemoveFromPool(ctx, "customers", 201) }, []string{"PUT /pools"}},
		{"a container is put into a pool", func() error { return n.root.AddToPool(ctx, "lab", 203) }, []string{"PUT /pools"}},
		{"one that does not say is left in its pool", func() error { return n.root.AddToPool(ctx, "lab", 204) }, nil},
		{"a template is deleted", func() error {
			_, err := n.root.DeleteVolume(ctx, "pve2", "local", "local:vztmpl/caddy_2.tar")
			return err
		}, []string{"POST /nodes/pve2/storage/local/oci-registry-pull"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.drift(); err != nil {
				t.Fatal(err)
			}
			n.reset(nil)
			converged(t, once(t, r, want))
			if d := cmp.Diff(tt.calls, n.mutations()); d != "" {
				t.Error(d)
			}
			synced(t, r, want)
		})
	}
}

// TestClusterEdits changes the spec.
func TestClusterEdits(t *testing.T) {
	n := cluster(t, nil, sim.Options{})
	r := n.reconciler(nil)
	r.Policy = prune(1)
	text := whole()
	converged(t, once(t, r, read(t, text)))
	for _, tt := range []struct {
		name, from, to string
		calls          []string
	}{
		{"another pool", "pool: customers", "pool: lab", []string{"PUT /pools"}},
		{"no pool", "pool: lab", `pool: ""`, []string{"PUT /pools"}},
		{"a tag more", "files: {id: 204,", "files: {id: 204, tags: [media],", []string{"PUT /cluster/backup/tend-weekly", "PUT /nodes/pve1/lxc/204/config"}},
		{"ids in place of tags", "{tags: [media]}", "{ids: [201]}", []string{"PUT /cluster/backup/tend-weekly"}},
		{"a pool in place of ids", "{ids: [201]}", "{pool: lab}", []string{"PUT /cluster/backup/tend-weekly"}},
		{"all in place of a pool", "{pool: lab}", "{all: true}", []string{"PUT /cluster/backup/tend-weekly"}},
		{"ids again", "select: {all: true}, keep", "select: {ids: [201, 202]}, keep", []string{"PUT /cluster/backup/tend-weekly"}},
		{"notes and protection", "compress: zstd", "notes: \"{{guestname}}\", protected: true, compress: zstd", []string{"PUT /cluster/backup/tend-weekly"}},
		{"no retention", ", keep: {weekly: 4, last: 2}", "", []string{"PUT /cluster/backup/tend-weekly"}},
		{"nothing kept is all kept", "compress: zstd", "keep: {last: 0}", []string{"PUT /cluster/backup/tend-weekly"}},
		{"no exclusion", "{all: true, exclude: [201]}", "{all: true}", []string{"PUT /cluster/backup/tend-rest"}},
		{"a job less", "  rest: {", "  other: {", []string{"DELETE /cluster/backup/tend-rest", "POST /cluster/backup"}},
		{"a version of a template", "appliance: debian-13-standard}", "appliance: debian-13-standard_13.1-2_amd64.tar.zst, nodes: [pve1, pve2]}", []string{"POST /nodes/pve1/aplinfo", "POST /nodes/pve2/aplinfo"}},
		{"no jobs at all", text[strings.Index(text, "backupJobs:"):], "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "no jobs at all" {
				text = text[:strings.Index(text, "backupJobs:")] + "backupJobs: {}\n"
				tt.calls = []string{"DELETE /cluster/backup/tend-other", "DELETE /cluster/backup/tend-weekly"}
			} else {
				if !strings.Contains(text, tt.from) {
					t.Fatalf("the spec has no %q", tt.from)
				}
				text = strings.Replace(text, tt.from, tt.to, 1)
			}
			n.reset(nil)
			want := read(t, text)
			converged(t, once(t, r, want))
			got := n.mutations()
			slices.Sort(got)
			if d := cmp.Diff(tt.calls, got); d != "" {
				t.Error(d)
			}
			synced(t, r, want)
		})
	}
	jobs, err := n.root.BackupJobs(t.Context())
	if err != nil || len(jobs) != 1 || jobs[0].ID != "x1" {
		t.Errorf("jobs are %v, %v", jobs, err)
	}
}

// TestClusterFaults lets each call of a run fail in turn, in every way, and then runs it anew.
func TestClusterFaults(t *testing.T) {
	faults := map[string]sim.Fault{
		"refused": {Status: 500, Reason: "something is wrong"}, "unreachable": {Status: 595, Reason: "Connection refused"},
		"cut before": {Cut: true}, "cut after": {Cut: true, After: true}, "not JSON": {Status: 200, Body: "<html>"},
		"task fails": {TaskError: "something broke"}, "task killed": {TaskKill: true},
		"busy": {Status: 500, Reason: "cfs-lock 'file-jobs_cfg' error: got lock request timeout"},
	}
	drift := func(t *testing.T, n *node) {
		ctx := t.Context()
		converged(t, once(t, n.reconciler(nil), read(t, whole())))
		for _, err := range []error{
			n.root.UpdateBackupJob(ctx, "tend-weekly", proxmox.Values{"all": "1"}, nil),
			n.root.DeleteBackupJob(ctx, "tend-rest"), n.root.AddToPool(ctx, "lab", 201),
			n.root.CreateBackupJob(ctx, "tend-old", proxmox.Values{"schedule": "daily", "all": "1", "comment": "x [tend]"}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, volume := range []string{"local:vztmpl/caddy_2.tar", "local:vztmpl/debian-13-standard_13.1-10_amd64.tar.zst"} {
			if _, err := n.root.DeleteVolume(ctx, "pve1", "local", volume); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := read(t, whole())
			calls(func(i int) bool {
				n := cluster(t, nil, sim.Options{})
				drift(t, n)
				hit := ""
				n.reset(func(count int, c sim.Call) sim.Fault {
					isTask := strings.Contains(c.Path, "aplinfo") || strings.Contains(c.Path, "oci-registry-pull")
					if count != i || strings.HasPrefix(name, "task") && (!isTask || c.Method == "GET") {
						return sim.Fault{}
					}
					hit = c.Method + " " + c.Path
					return faults[name]
				})
				path := filepath.Join(t.TempDir(), "journal")
				log := openJournal(t, path)
				first := n.reconciler(log)
				first.Executor.LockTimeout = time.Millisecond
				out, err := first.Once(t.Context(), want)
				over := n.requests() < i
				n.reset(nil)
				if over {
					return false
				}
				if hit == "" {
					return true
				}
				said := err != nil || out.Converged()
				for _, c := range out.All() {
					said = said || c.Err != nil
				}
				if !said {
					t.Errorf("call %d, %s: nothing is said of the fault", i, hit)
				}
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				r := n.reconciler(openJournal(t, path))
				converged(t, once(t, r, want))
				synced(t, r, want)
				if t.Failed() {
					t.Fatalf("call %d, %s: after a first run with %s: %v", i, hit, summary(reconcile.Outcome{Containers: out.All()}), err)
				}
				return true
			})
		})
	}
}

// TestClusterInterference shows that a backup job which somebody changes meanwhile is looked at again.
func TestClusterInterference(t *testing.T) {
	n := cluster(t, nil, sim.Options{})
	r := n.reconciler(nil)
	text := whole()
	converged(t, once(t, r, read(t, text)))
	text = strings.Replace(text, "compress: zstd", "compress: gzip", 1)
	done := false
	n.reset(func(_ int, c sim.Call) sim.Fault {
		if c.Method == "GET" && c.Path == "/cluster/backup/tend-weekly" && !done {
			done = true
			_, err := n.As("root@pam").Do(context.Background(), proxmox.Request{
				Method: "PUT", Path: "/cluster/backup/tend-weekly", Params: map[string][]string{"mode": {"stop"}},
			})
			if err != nil {
				t.Error(err)
			}
		}
		return sim.Fault{}
	})
	out := once(t, r, read(t, text))
	converged(t, out)
	if out.Passes != 2 {
		t.Errorf("%d passes: %s", out.Passes, summary(reconcile.Outcome{Containers: out.All()}))
	}
	if j := n.job(t, "tend-weekly"); j["compress"] != "gzip" || j["mode"] != "" {
		t.Errorf("job is %v", j)
	}
}

// TestClusterSaved saves a plan with all kinds of lanes and carries it out later, or not, where a job has changed.
func TestClusterSaved(t *testing.T) {
	for _, changed := range []bool{false, true} {
		t.Run(fmt.Sprint(changed), func(t *testing.T) {
			n := cluster(t, nil, sim.Options{})
			r := n.reconciler(nil)
			converged(t, once(t, r, read(t, whole())))
			text := strings.NewReplacer("pool: customers", "pool: lab", "compress: zstd", "compress: gzip", "appliance: debian-13-standard",
				"appliance: debian-13-standard_13.1-2_amd64.tar.zst").Replace(whole())
			run := r.NewRun(read(t, text))
			if _, _, err := run.Plan(t.Context()); err != nil {
				t.Fatal(err)
			}
			saved, err := run.Save("4f2c91e")
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(saved)
			if err != nil {
				t.Fatal(err)
			}
			if saved, err = reconcile.ParseSaved(data); err != nil {
				t.Fatal(err)
			}
			if changed {
				if err := n.root.UpdateBackupJob(t.Context(), "tend-weekly", proxmox.Values{"mode": "stop"}, nil); err != nil {
					t.Fatal(err)
				}
				if _, err := r.Resume(t.Context(), saved); err == nil {
					t.Error("it is carried out though the job has changed")
				}
				return
			}
			again, err := r.Resume(t.Context(), saved)
			if err != nil {
				t.Fatal(err)
			}
			out, err := again.Apply(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			converged(t, out)
			synced(t, r, read(t, text))
		})
	}
}

// TestClusterRequests bounds what templates, pools and jobs cost where nothing is to do.
func TestClusterRequests(t *testing.T) {
	n := cluster(t, nil, sim.Options{})
	r := n.reconciler(nil)
	want := read(t, whole())
	converged(t, once(t, r, want))
	n.reset(nil)
	synced(t, r, want)
	// Nodes, options, two listings, four configurations; guests for pools, jobs, and for templates on each node
	// the storages and the content of local and nas.
	if got, most := n.requests(), 2+2+4+1+1+2*3; got > most {
		t.Errorf("%d requests, want at most %d", got, most)
	}
}
