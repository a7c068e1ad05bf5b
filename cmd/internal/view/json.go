package view

import (
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// JSONVersion is the version of every JSON document. It is raised when a field goes or changes its meaning, never
// when one is added. docs/plan-json.md describes the fields.
const JSONVersion = 1

// Status says in a word how a plan or a result leaves the cluster.
type Status string

// The statuses, which the exit codes tell, too.
const (
	InSync  Status = "in sync"
	Pending Status = "changes pending"
	Blocked Status = "blocked"
	Failed  Status = "failed"
)

// Status is that of the plan: blocked where a person must change something, pending where apply or the passing of
// time is enough.
func (p Plan) Status() Status {
	switch {
	case p.Synced():
		return InSync
	case len(p.Blocked) > p.waiting():
		return Blocked
	}
	return Pending
}

type planJSON struct {
	Version    int             `json:"version"`
	Kind       string          `json:"kind"`
	Cluster    string          `json:"cluster"`
	Spec       Revision        `json:"spec"`
	Status     Status          `json:"status"`
	Summary    summaryJSON     `json:"summary"`
	Containers []containerJSON `json:"containers"`
	Templates  []otherJSON     `json:"templates"`
	BackupJobs []otherJSON     `json:"backupJobs"`
	HostMounts []otherJSON     `json:"hostMounts"`
	Snippets   []otherJSON     `json:"snippets"`
	Unclaimed  []unclaimedJSON `json:"unclaimed"`
	Unused     []unusedJSON    `json:"unused"`
	Policies   []policyJSON    `json:"policies,omitempty"`
	Warnings   []string        `json:"warnings,omitempty"`
	Notes      []string        `json:"notes,omitempty"`
}

type policyJSON struct {
	ID     proxmox.VMID `json:"id"`
	Name   string       `json:"name"`
	Policy string       `json:"policy"`
	Mounts []unfitJSON  `json:"mounts"`
	Reason string       `json:"reason"`
	Ways   []string     `json:"ways"`
}

type unfitJSON struct {
	Mount   string `json:"mount"`
	Storage string `json:"storage,omitempty"`
	Type    string `json:"type,omitempty"`
}

type summaryJSON struct {
	Create         int `json:"create"`
	Change         int `json:"change"`
	Destroy        int `json:"destroy"`
	Retire         int `json:"retire"`
	Volumes        int `json:"volumesDestroyed"`
	Templates      int `json:"templates"`
	BackupJobs     int `json:"backupJobs"`
	HostMounts     int `json:"hostMounts"`
	Snippets       int `json:"snippets"`
	Restarts       int `json:"restarts"`
	Stops          int `json:"stops"`
	RootOperations int `json:"rootOperations"`
	Blocked        int `json:"blocked"`
	Waiting        int `json:"waiting"`
	InSync         int `json:"inSync"`
}

type containerJSON struct {
	ID      proxmox.VMID  `json:"id"`
	Name    string        `json:"name"`
	Node    string        `json:"node,omitempty"`
	Action  string        `json:"action"`
	Effect  string        `json:"effect,omitempty"`
	Changes []changeJSON  `json:"changes"`
	Steps   []stepJSON    `json:"steps"`
	Blocked []blockedJSON `json:"blocked"`
}

type changeJSON struct {
	Path     string `json:"path"`
	Identity string `json:"identity,omitempty"`
	Label    string `json:"label"`
	Old      any    `json:"old"`
	New      any    `json:"new"`
	Effect   string `json:"effect"`
	Root     bool   `json:"root"`
	// Exception is the row of the closed list by which root makes it.
	Exception privileged.Row `json:"exception,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	Note      string         `json:"note,omitempty"`
}

type stepJSON struct {
	Do     string   `json:"do"`
	Effect string   `json:"effect"`
	Root   bool     `json:"root"`
	For    []string `json:"for,omitempty"`
	Cause  string   `json:"cause,omitempty"`
	Frees  []string `json:"frees,omitempty"`
}

type blockedJSON struct {
	What    string      `json:"what"`
	Change  *changeJSON `json:"change,omitempty"`
	Reason  string      `json:"reason"`
	Ways    []string    `json:"ways"`
	Waiting bool        `json:"waiting"`
}

type unclaimedJSON struct {
	ID     proxmox.VMID `json:"id"`
	Name   string       `json:"name"`
	Node   string       `json:"node"`
	Status string       `json:"status"`
}

type unusedJSON struct {
	ID     proxmox.VMID `json:"id"`
	Name   string       `json:"name"`
	Volume string       `json:"volume"`
}

// JSON writes the plan for programs.
func (p Plan) JSON(w io.Writer) error { return writeJSON(w, p.document()) }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (p Plan) document() planJSON {
	doc := planJSON{
		Version: JSONVersion, Kind: "plan", Cluster: p.Cluster, Spec: p.Spec, Status: p.Status(),
		Summary: summaryJSON{
			Create: p.Count(plan.Create), Change: p.Count(plan.Change), Destroy: p.Count(plan.Destroy), Retire: p.Count(plan.Retire), Volumes: p.Frees(),
			Templates: p.CountKind(plan.TemplateKind), BackupJobs: p.CountKind(plan.JobKind),
			HostMounts: p.CountKind(plan.HostMountKind), Snippets: p.CountKind(plan.SnippetKind),
			Restarts: p.restarts(), Stops: p.stops(), RootOperations: p.RootOperations(),
			Blocked: len(p.Blocked) - p.waiting(), Waiting: p.waiting(), InSync: p.InSync,
		},
		Containers: []containerJSON{}, Templates: []otherJSON{}, BackupJobs: []otherJSON{},
		HostMounts: []otherJSON{}, Snippets: []otherJSON{},
		Unclaimed: []unclaimedJSON{}, Unused: []unusedJSON{}, Warnings: p.Warnings, Notes: p.Notes,
	}
	for _, f := range p.Policies {
		x := policyJSON{ID: f.ID, Name: f.Name, Policy: f.Policy, Reason: f.Reason, Ways: f.Ways}
		for _, u := range f.Mounts {
			x.Mounts = append(x.Mounts, unfitJSON(u))
		}
		doc.Policies = append(doc.Policies, x)
	}
	blocked := map[plan.Subject][]blockedJSON{}
	names := map[plan.Subject]string{}
	for _, b := range p.Blocked {
		s := b.Subject()
		blocked[s], names[s] = append(blocked[s], blockedOf(b)), b.Name
	}
	for _, l := range p.Lanes {
		c := laneJSON(l)
		c.Blocked = append(c.Blocked, blocked[l.Subject()]...)
		delete(blocked, l.Subject())
		doc.add(l.Subject(), c)
	}
	for _, s := range slices.SortedFunc(maps.Keys(blocked), plan.Subject.Compare) {
		doc.add(s, containerJSON{
			ID: s.ID, Name: names[s], Action: "none", Changes: []changeJSON{}, Steps: []stepJSON{}, Blocked: blocked[s],
		})
	}
	for _, u := range p.Unclaimed {
		doc.Unclaimed = append(doc.Unclaimed, unclaimedJSON{u.Ref.ID, u.Name, u.Ref.Node, u.Status})
	}
	for _, u := range p.Unused {
		doc.Unused = append(doc.Unused, unusedJSON(u))
	}
	return doc
}

func laneJSON(l plan.Lane) containerJSON {
	c := containerJSON{
		ID: l.Ref.ID, Name: l.Name, Node: l.Ref.Node, Action: l.Action.String(), Effect: l.Effect.String(),
		Changes: []changeJSON{}, Steps: []stepJSON{}, Blocked: []blockedJSON{},
	}
	for _, ch := range l.Changes {
		c.Changes = append(c.Changes, changeOf(ch))
	}
	for _, s := range l.Steps {
		step := stepJSON{Do: s.Op.Verb(), Effect: s.Effect.String(), Root: s.Access.Root, Cause: s.Cause}
		switch op := s.Op.(type) {
		case plan.DestroyContainer:
			step.Frees = op.Volumes
		case plan.RemoveRemnant:
			step.Frees = op.Volumes
		case plan.DestroyVolume:
			step.Frees = []string{op.Volume}
		}
		for _, ch := range s.Why {
			step.For = append(step.For, ch.Label())
		}
		c.Steps = append(c.Steps, step)
	}
	return c
}

func changeOf(ch setting.Change) changeJSON {
	old, new := ch.Shown()
	return changeJSON{
		Path: ch.Row.Info().Path, Identity: ch.Identity, Label: ch.Label(), Old: old, New: new,
		Effect: ch.Effect.String(), Root: ch.Access.Root, Exception: exceptionOf(ch.Access), Reason: ch.Access.Reason, Note: ch.Note,
	}
}

func blockedOf(b plan.Blocked) blockedJSON {
	out := blockedJSON{What: b.What, Reason: b.Reason, Ways: b.Ways, Waiting: b.Waiting}
	if out.Ways == nil {
		out.Ways = []string{}
	}
	if b.Change != nil {
		ch := changeOf(*b.Change)
		out.Change = &ch
	}
	return out
}
