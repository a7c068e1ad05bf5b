package view_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// beside is a plan with nothing but what lies beside the containers.
func beside() view.Plan {
	change := setting.Change{Row: spec.JobMode, Old: "stop", New: "snapshot"}
	return view.Plan{Plan: &plan.Plan{
		Cluster: "home", InSync: 2,
		Lanes: []plan.Lane{
			{Kind: plan.TemplateKind, Name: "base", Ref: proxmox.Ref{Node: "pve1"}, Action: plan.Create, Steps: []plan.Step{
				{Op: plan.DownloadURL{Storage: "local", File: "base.tar.zst", URL: "https://example.com/base.tar.zst"}},
			}},
			{Kind: plan.TemplateKind, Name: "caddy\x1b", Ref: proxmox.Ref{Node: "pve2"}, Action: plan.Create, Steps: []plan.Step{
				{Op: plan.PullImage{Storage: "local", File: "caddy_2.tar", Reference: "docker.io/library/caddy:2"}},
			}},
			{Kind: plan.JobKind, Name: "weekly", Action: plan.Change, Changes: []setting.Change{change}, Steps: []plan.Step{
				{Op: plan.UpdateJob{ID: "tend-weekly", Delete: []string{"mode"}}, Why: []setting.Change{change}},
			}},
			{Kind: plan.JobKind, Name: "tend-old", Action: plan.Destroy, Steps: []plan.Step{
				{Op: plan.DeleteJob{ID: "tend-old"}, Cause: "not in the spec; its backups are kept"},
			}},
		},
		Blocked: []plan.Blocked{
			{Kind: plan.TemplateKind, Name: "base", Node: "pve2", What: "download", Reason: "storage local is not active on node pve2", Ways: []string{"activate it"}},
			{Kind: plan.JobKind, Name: "nightly", What: "change", Reason: "no container has a tag of x"},
		},
	}}
}

func TestOtherText(t *testing.T) {
	var b bytes.Buffer
	if err := beside().Text(&b, view.Style{Width: 100}); err != nil {
		t.Fatal(err)
	}
	want := `cluster home · 2 containers in sync

  template base          download
      + base.tar.zst to local on pve1, from https://example.com/base.tar.zst
  ! template base        blocked: storage local is not active on node pve2
                         → activate it
  template caddy�        download
      + caddy_2.tar to local on pve2, from docker.io/library/caddy:2
  ! backup job nightly   blocked: no container has a tag of x
  backup job tend-old    delete
      - not in the spec; its backups are kept
  backup job weekly      change
      ~ mode  stop → snapshot

Plan: 0 create, 0 change, 0 destroy · 2 templates, 2 backup jobs · 2 blocked
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestOtherJSON(t *testing.T) {
	var b bytes.Buffer
	if err := beside().JSON(&b); err != nil {
		t.Fatal(err)
	}
	type other struct {
		Name, Node, Action string
		Steps              []struct{ Do string }
		Blocked            []struct{ Reason string }
	}
	var doc struct {
		Containers            []any
		Templates, BackupJobs []other
		Summary               struct{ Templates, BackupJobs, Change, Destroy int }
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Containers) != 0 || len(doc.Templates) != 3 || len(doc.BackupJobs) != 3 || doc.Summary.Templates != 2 ||
		doc.Summary.BackupJobs != 2 || doc.Summary.Change != 0 || doc.Summary.Destroy != 0 {
		t.Errorf("%s", b.String())
	}
	if o := doc.Templates[2]; o.Name != "base" || o.Node != "pve2" || o.Action != "none" || len(o.Blocked) != 1 {
		t.Errorf("blocked template is %+v", o)
	}
	if o := doc.BackupJobs[0]; o.Action != "change" || o.Steps[0].Do != "change backup job tend-weekly: delete mode" {
		t.Errorf("job is %+v", o)
	}
}

func TestOtherResult(t *testing.T) {
	out := &reconcile.Outcome{
		Containers: []reconcile.Container{{Ref: proxmox.Ref{Node: "pve1", ID: 101}, Name: "web", State: reconcile.Unchanged}},
		Others: []reconcile.Container{
			{Kind: plan.TemplateKind, Ref: proxmox.Ref{Node: "pve1"}, Name: "base", State: reconcile.Failed, Err: errors.New("checksum mismatch")},
			{Kind: plan.JobKind, Name: "weekly", State: reconcile.Changed},
		},
	}
	r := view.Result{Plan: beside(), Outcome: out}
	if r.Status() != view.Failed {
		t.Errorf("status is %s", r.Status())
	}
	var b bytes.Buffer
	if err := r.Text(&b, view.Style{Width: 80}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  template base      failed\n", "checksum mismatch", "  101 web            unchanged\n", "  backup job weekly  changed\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Containers, Templates, BackupJobs []struct {
			Name, State string
			ID          *int
		}
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Containers) != 1 || len(doc.Templates) != 1 || doc.Templates[0].State != "failed" || doc.Templates[0].ID != nil ||
		len(doc.BackupJobs) != 1 || doc.BackupJobs[0].Name != "weekly" {
		t.Errorf("%s", b.String())
	}
}
