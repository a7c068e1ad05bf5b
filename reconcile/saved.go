package reconcile

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/setting"
)

// savedVersion is that of the files that are written.
const savedVersion = 2

// A Saved is a plan in a file, to be carried out later and only as it was shown.
//
// It holds what the plan was made of and what it says, not what the executor runs: to carry it out, the plan
// is made anew from the spec in the file, and must be the same. So a file that was tampered with, or written
// by a version that plans otherwise, runs nothing that was not shown.
type Saved struct {
	Version  int         `json:"version"`
	Made     time.Time   `json:"made"`
	Revision string      `json:"revision,omitempty"` // of the spec, where it comes from a repository
	Target   string      `json:"target"`             // the cluster that it was made against, as [Reconciler.Target]
	Nodes    []string    `json:"nodes"`              // of that cluster
	Policy   savedPolicy `json:"policy"`
	// Plan is what is done, a step a line, and what is blocked. Digests stand for secrets, made with Salt.
	Plan []string `json:"plan"`
	Salt string   `json:"salt"`
	// Guests are the containers that the plan changes, as they were; Absent those that did not exist.
	Guests map[proxmox.VMID]SavedGuest `json:"guests"`
	Absent []proxmox.VMID              `json:"absent"`
	// Spec is the spec with all layers merged, as a file of a spec could say it.
	Spec json.RawMessage `json:"spec"`
	// Files are those that the spec names, by their paths.
	Files map[string][]byte `json:"files,omitempty"`
}

// A SavedGuest is a container at the time of a plan.
type SavedGuest struct {
	Node    string `json:"node"`
	Name    string `json:"name"`
	Digest  string `json:"digest"`
	Running bool   `json:"running"`
}

type savedPolicy struct {
	Voice        plan.Voice    `json:"-"` // that of the command line: no agent saves plans
	Prune        bool          `json:"prune"`
	PruneMax     int           `json:"pruneMax"`
	PrunePercent int           `json:"prunePercent"`
	PruneGrace   time.Duration `json:"pruneGrace"`
	Now          time.Time     `json:"now"`
	Adopt        bool          `json:"adopt"`

	WindowOpen   bool      `json:"windowOpen"`
	WindowOpens  time.Time `json:"-"` // known to agents alone
	RestartAll   bool      `json:"restartAll"`
	HoldRestarts bool      `json:"holdRestarts,omitempty"`

	DestroyVolumes map[proxmox.VMID][]string `json:"destroyVolumes,omitempty"`
	Unlock         map[proxmox.VMID]string   `json:"unlock,omitempty"`
	RollBackTo     map[proxmox.VMID]string   `json:"-"` // no plan that is saved has it
	Recover        bool                      `json:"recover,omitempty"`
	RootNodes      []string                  `json:"rootNodes,omitempty"`
	FailingDisks   []string                  `json:"failingDisks,omitempty"`
}

// Why a saved plan is refused.
var (
	// ErrMoved: what it was made on is not what there is.
	ErrMoved = errors.New("make a new plan")
	// ErrElsewhere: it was made against another cluster.
	ErrElsewhere = errors.New("a saved plan holds only where it was made")
)

// Save puts the plan of a run into a form that can be written to a file. revision names the spec and may be
// empty.
func (run *Run) Save(revision string) (*Saved, error) {
	s := &Saved{
		Version: savedVersion, Made: run.readAt.UTC().Truncate(time.Second), Revision: revision, Target: run.reconciler.Target,
		Nodes: slices.Sorted(maps.Keys(run.have.Nodes)), Policy: savedPolicy(run.reconciler.Policy), Salt: rand.Text(),
		Guests: map[proxmox.VMID]SavedGuest{}, Absent: []proxmox.VMID{},
	}
	s.Plan = planText(run.plan, s.Salt)
	for _, l := range run.plan.Lanes {
		if l.Kind != plan.ContainerKind {
			continue // what was there stands in its steps
		}
		if h := run.have.Containers[l.Ref.ID]; h != nil {
			s.Guests[l.Ref.ID] = SavedGuest{Node: h.Ref.Node, Name: h.Name, Digest: h.Config.Digest, Running: h.Running}
		} else {
			s.Absent = append(s.Absent, l.Ref.ID)
		}
	}
	var err error
	s.Files = filesOf(run.want)
	if s.Spec, err = encodeState(run.want); err != nil {
		return nil, fmt.Errorf("save plan: %w", err)
	}
	again, err := s.State()
	if err != nil {
		return nil, fmt.Errorf("save plan: %w", err)
	}
	if d := difference(s.Plan, planText(plan.Compute(again, run.have, run.reconciler.Policy), s.Salt)); d != nil {
		return nil, fmt.Errorf("save plan: the spec does not survive being saved: %w", d)
	}
	return s, nil
}

// ParseSaved reads a saved plan.
func ParseSaved(data []byte) (*Saved, error) {
	s := &Saved{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("read saved plan: %w", err)
	}
	if s.Version != savedVersion {
		return nil, fmt.Errorf("read saved plan: it has format %d, this version of tend knows %d: %w", s.Version, savedVersion, ErrMoved)
	}
	return s, nil
}

// State is the spec that the plan was made from.
func (s *Saved) State() (*spec.State, error) {
	fsys := fstest.MapFS{"spec.yaml": &fstest.MapFile{Data: s.Spec}}
	for name, data := range s.Files {
		fsys[name] = &fstest.MapFile{Data: data}
	}
	return load.Load(fsys, load.Options{Prefix: "saved plan: ", MaxFile: int64(len(s.Spec))})
}

// Resume begins the run of a saved plan. It is refused, with every reason in words, where it was made against
// another cluster, where the containers that it changes are not as they were, or where the plan would now be
// another one.
func (r *Reconciler) Resume(ctx context.Context, s *Saved) (*Run, error) {
	if s.Target != r.Target {
		return nil, fmt.Errorf("the saved plan was made against %s, and this is %s: %w", s.Target, r.Target, ErrElsewhere)
	}
	want, err := s.State()
	if err != nil {
		return nil, err
	}
	with := *r
	with.Policy = plan.Policy(s.Policy)
	run := with.NewRun(want)
	p, have, err := run.Plan(ctx)
	if err != nil {
		return nil, err
	}
	err = s.Verify(have)
	if err == nil {
		err = difference(s.Plan, planText(p, s.Salt))
	}
	if err != nil {
		return nil, fmt.Errorf("the saved plan of %s does not hold any more: %w; %w", s.Made.Local().Format(time.DateTime), err, ErrMoved)
	}
	return run, nil
}

// Verify reports how the nodes and the containers that the plan changes differ from what they were; nil where they
// do not.
func (s *Saved) Verify(have *plan.Live) error {
	var errs []error
	if nodes := slices.Sorted(maps.Keys(have.Nodes)); !slices.Equal(nodes, s.Nodes) {
		errs = append(errs, fmt.Errorf("the nodes were %s and are %s", strings.Join(s.Nodes, ", "), strings.Join(nodes, ", ")))
	}
	for _, id := range slices.Sorted(maps.Keys(s.Guests)) {
		was, is := s.Guests[id], have.Containers[id]
		switch {
		case is == nil:
			errs = append(errs, fmt.Errorf("%d %s is gone", id, was.Name))
		case is.Ref.Node != was.Node:
			errs = append(errs, fmt.Errorf("%d %s has moved from %s to %s", id, was.Name, was.Node, is.Ref.Node))
		case is.Config.Digest != was.Digest:
			errs = append(errs, fmt.Errorf("the configuration of %d %s has changed", id, was.Name))
		case is.Running != was.Running:
			errs = append(errs, fmt.Errorf("%d %s was %s and is %s", id, was.Name, power(was.Running), power(is.Running)))
		}
	}
	for _, id := range s.Absent {
		if is := have.Containers[id]; is != nil {
			errs = append(errs, fmt.Errorf("%d exists by now: %s on %s", id, is.Name, is.Ref.Node))
		}
	}
	return errors.Join(errs...)
}

func power(running bool) string {
	if running {
		return "running"
	}
	return "stopped"
}

// planText is what a plan does and does not do, line by line. Plans are the same where it is.
func planText(p *plan.Plan, salt string) []string {
	out := []string{}
	for _, l := range p.Lanes {
		out = append(out, l.Text(salt)...)
	}
	for _, b := range p.Blocked {
		out = append(out, fmt.Sprintf("%s: blocked: %s: %s", b.Subject(), b.What, b.Reason))
	}
	return out
}

// difference tells the lines of two plans apart.
func difference(was, is []string) error {
	var errs []error
	for _, l := range was {
		if !slices.Contains(is, l) {
			errs = append(errs, fmt.Errorf("no longer planned: %s", l))
		}
	}
	for _, l := range is {
		if !slices.Contains(was, l) {
			errs = append(errs, fmt.Errorf("newly planned: %s", l))
		}
	}
	if len(errs) == 0 && !slices.Equal(was, is) {
		errs = append(errs, errors.New("the steps have another order"))
	}
	return errors.Join(errs...)
}

// filesOf are the files that a spec names, by their paths from its folder.
func filesOf(s *spec.State) map[string][]byte {
	out := map[string][]byte{}
	for _, x := range s.Snippets {
		out[path.Clean(x.File)] = x.Content
	}
	return out
}

// encodeState writes a spec as a file of a spec could say it.
func encodeState(s *spec.State) ([]byte, error) {
	doc, containers := setting.Record{}, setting.Members{}
	spec.ClusterName.Set(doc, s.Cluster.Name)
	spec.Owner.Set(doc, s.Cluster.Owner)
	if len(s.Cluster.Nodes) > 0 {
		spec.Nodes.Set(doc, s.Cluster.Nodes)
	}
	for _, c := range s.Containers {
		containers[c.Name] = c.Record()
	}
	spec.Containers.Set(doc, containers)
	if s.Cluster.TimeZone != "" {
		spec.ClusterTimeZone.Set(doc, s.Cluster.TimeZone)
	}
	templates, jobs, policies := setting.Members{}, setting.Members{}, setting.Members{}
	mounts, snippets := setting.Members{}, setting.Members{}
	for _, p := range s.Policies {
		policies[p.Name] = p.Record()
	}
	if len(policies) > 0 {
		spec.SnapshotPolicies.Set(doc, policies)
	}
	for _, t := range s.Templates {
		templates[t.Name] = t.Record()
	}
	for _, j := range s.Jobs {
		jobs[j.Name] = j.Record()
	}
	for _, m := range s.HostMounts {
		mounts[m.Name] = m.Record()
	}
	for _, x := range s.Snippets {
		snippets[x.Name] = x.Record()
	}
	if len(templates) > 0 {
		spec.Templates.Set(doc, templates)
	}
	if s.ManagesHostMounts {
		spec.HostMounts.Set(doc, mounts)
	}
	if len(snippets) > 0 {
		spec.Snippets.Set(doc, snippets)
	}
	if s.ManagesJobs {
		spec.BackupJobs.Set(doc, jobs)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(spec.Document.Encode(doc)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
