package view_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/load"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; go test -update accepts it):\n%s", path, diff)
	}
}

const everything = `
cluster: {name: home, owner: tend}
defaults:
  node: pve1
  from: {template: "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"}
  memory: 1GiB
  rootfs: {storage: local-zfs, size: 8GiB}
containers:
  media:
    id: 120
    description: Jellyfin
    tags: [media]
    cores: 4
    memory: 4GiB
    rootfs: {size: 12GiB}
    features: {nesting: true}
    mounts: {/var/lib/jellyfin: {storage: local-zfs, size: 64GiB, backup: true}}
    network: {eth0: {bridge: vmbr0, ipv4: 192.168.1.20/24, gateway4: 192.168.1.1, vlan: 30}}
  web:
    id: 101
    cores: 4
    description: |
      two lines
      of text
    network: {eth0: {bridge: vmbr0, ipv4: 192.168.1.21/24, vlan: 30}}
    mounts:
      /srv: {hostPath: /mnt/usb/srv, readOnly: true}
  db:
    id: 104
    restart: window
    mounts:
      /data: {storage: local-zfs, size: 4GiB, readOnly: true}
  now:
    id: 105
    restart: now
    features: {nesting: true}
  idle: {id: 106, state: stopped}
  synced: {id: 108}
  lost: {id: 109, node: pve9}
  privileged: {id: 110, unprivileged: false}
`

func observed(id proxmox.VMID, running bool, values proxmox.Values) *plan.Observed {
	all := proxmox.Values{
		"arch": "amd64", "ostype": "debian", "memory": "1024", "swap": "512", "tags": "tend", "unprivileged": "1",
		"rootfs": "local-zfs:subvol-" + id.String() + "-disk-0,size=8G",
	}
	for k, v := range values {
		all[k] = v
	}
	return &plan.Observed{
		Ref: proxmox.Ref{Node: "pve1", ID: id}, Name: all["hostname"], Tags: []string{"tend"}, Running: running, Managed: true,
		Config: proxmox.Config{Current: all, Digest: strings.Repeat("a", 40)},
	}
}

// examplePlan is a plan with an example of everything that a plan can hold.
func examplePlan(t *testing.T, pol plan.Policy) view.Plan {
	t.Helper()
	want, err := load.Load(fstest.MapFS{"spec.yaml": {Data: []byte(everything)}}, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	have := &plan.Live{Nodes: map[string]bool{"pve1": true}, Containers: map[proxmox.VMID]*plan.Observed{}}
	for _, o := range []*plan.Observed{
		observed(101, true, proxmox.Values{"hostname": "web", "cores": "2", "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:01:01,ip=192.168.1.21/24,type=veth"}),
		observed(104, true, proxmox.Values{"hostname": "db", "mp0": "local-zfs:subvol-104-disk-1,mp=/data,size=8G", "mp1": "local-zfs:subvol-104-disk-2,mp=/old,size=8G"}),
		observed(105, true, proxmox.Values{"hostname": "now"}),
		observed(106, true, proxmox.Values{"hostname": "idle"}),
		observed(108, true, proxmox.Values{"hostname": "synced"}),
		observed(110, true, proxmox.Values{"hostname": "privileged"}),
		observed(130, true, proxmox.Values{"hostname": "gone", "unused0": "local-zfs:subvol-130-disk-1"}),
		observed(131, false, proxmox.Values{"hostname": "gone-too"}),
	} {
		if err := o.Understand(); err != nil {
			t.Fatal(err)
		}
		have.Containers[o.Ref.ID] = o
	}
	return view.Plan{Plan: plan.Compute(want, have, pol), Spec: view.Revision{Hash: "4f2c91e", Branch: "main"}}
}

func text(t *testing.T, p view.Plan, s view.Style) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Text(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPlanText(t *testing.T) {
	p := examplePlan(t, plan.Policy{})
	golden(t, "plan-80.txt", []byte(text(t, p, view.Style{})))
	golden(t, "plan-120.txt", []byte(text(t, p, view.Style{Width: 120})))
	pruning := examplePlan(t, plan.Policy{Prune: true})
	golden(t, "plan-prune.txt", []byte(text(t, pruning, view.Style{})))
	golden(t, "plan-colour.txt", []byte(text(t, pruning, view.Style{Colour: true})))
}

// TestWidth proves that no line is wider than asked for, whatever the width, and that nothing but spaces is lost
// by it: a plan that hides a part of what it does is none.
func TestWidth(t *testing.T) {
	p := examplePlan(t, plan.Policy{Prune: true})
	words := func(s string) string { return strings.Join(strings.Fields(s), "") }
	for width := 40; width <= 160; width++ {
		got := text(t, p, view.Style{Width: width})
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("width %d: a line takes %d columns: %q", width, n, line)
			}
			if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
				t.Errorf("width %d: a line ends in blanks: %q", width, line)
			}
		}
		for _, must := range []string{"subvol-130-disk-1", "192.168.1.20/24", "write one of the cluster's nodes: pve1"} {
			if !strings.Contains(words(got), words(must)) {
				t.Errorf("width %d: %q is missing:\n%s", width, must, got)
			}
		}
	}
}

func TestColour(t *testing.T) {
	p := examplePlan(t, plan.Policy{Prune: true})
	plain, coloured := text(t, p, view.Style{}), text(t, p, view.Style{Colour: true})
	if strings.Contains(plain, "\x1b") {
		t.Error("a plain plan holds escape sequences")
	}
	if got := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(coloured, ""); got != plain {
		t.Errorf("colours change the text:\n%s", cmp.Diff(plain, got))
	}
}

func TestPlanJSON(t *testing.T) {
	var b bytes.Buffer
	if err := examplePlan(t, plan.Policy{Prune: true}).JSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", b.Bytes())
}

// TestJSONDocumented holds the fields of the documents against their description.
func TestJSONDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/plan-json.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plan.json", "result.json", "status.json"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		fields(v, func(field string) {
			if !bytes.Contains(doc, []byte("`"+field+"`")) {
				t.Errorf("docs/plan-json.md does not describe %q of %s", field, name)
			}
		})
	}
}

// fields calls f with the names of all fields, but for those within values of settings.
func fields(v any, f func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			f(key)
			if key != "old" && key != "new" {
				fields(value, f)
			}
		}
	case []any:
		for _, value := range v {
			fields(value, f)
		}
	}
}

func TestPlanMarkdown(t *testing.T) {
	var b bytes.Buffer
	if err := examplePlan(t, plan.Policy{Prune: true}).Markdown(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.md", b.Bytes())
}

func TestStatus(t *testing.T) {
	waiting := plan.Blocked{What: "restart", Waiting: true}
	tests := []struct {
		name string
		p    plan.Plan
		want view.Status
	}{
		{"nothing", plan.Plan{}, view.InSync},
		{"unclaimed containers are nobody's fault", plan.Plan{Unclaimed: []plan.Unclaimed{{}}}, view.InSync},
		{"something to do", plan.Plan{Lanes: []plan.Lane{{}}}, view.Pending},
		{"a restart waits", plan.Plan{Blocked: []plan.Blocked{waiting}}, view.Pending},
		{"blocked", plan.Plan{Lanes: []plan.Lane{{}}, Blocked: []plan.Blocked{waiting, {}}}, view.Blocked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (view.Plan{Plan: &tt.p}).Status(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestHostile shows that a name from elsewhere commands neither the terminal nor a comment.
func TestHostile(t *testing.T) {
	p := view.Plan{Plan: &plan.Plan{
		Cluster:   "a\x1b]0;title\x07\nb",
		Unclaimed: []plan.Unclaimed{{Name: "x\x1b[2J\u202e", Status: "running"}},
		Blocked:   []plan.Blocked{{ID: 100, Name: "<img src=x>|@everyone", Reason: "```\n# title"}},
	}}
	got := text(t, p, view.Style{})
	if strings.ContainsAny(got, "\x1b\x07\u202e") {
		t.Errorf("control characters come through: %q", got)
	}
	var b bytes.Buffer
	if err := p.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(b.String(), "<details>")
	if strings.Contains(table, "<img") || strings.Contains(table, "@everyone") || strings.Contains(table, "|@") {
		t.Errorf("markup comes through:\n%s", table)
	}
	if !strings.Contains(b.String(), "````text") {
		t.Errorf("the fence can be ended from within:\n%s", b.String())
	}
}
