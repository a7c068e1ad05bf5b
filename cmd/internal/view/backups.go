package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/backup"
)

// Backups are the backups of containers, measured by what the declared jobs promise.
type Backups struct {
	backup.Report
	Cluster string
	Spec    Revision
	Zone    *time.Location
}

// Status is what the exit code says: pending where a backup is overdue, absent or not known.
func (v Backups) Status() Status {
	for _, c := range v.Containers {
		if c.State() != backup.Good {
			return Pending
		}
	}
	if len(v.Faults) > 0 {
		return Pending
	}
	return InSync
}

// Text writes them for people.
func (v Backups) Text(w io.Writer, s Style) error {
	out, l := &printer{w: w}, layout{Style: s}
	head := "cluster " + Clean(v.Cluster)
	if v.Spec.Hash != "" {
		head += " · spec " + Clean(v.Spec.String())
	}
	n := 0
	for _, c := range v.Containers {
		n += len(c.Archives)
	}
	out.line("%s", s.paint(bold, cut(head+" · "+count(len(v.Containers), "container")+" · "+count(n, "backup"), s.width())))
	for _, f := range v.Faults {
		out.line("")
		l.hanging(out, s.paint(red, "! ")+fmt.Sprintf("storage %s of node %s could not be read: %s", Clean(f.Storage), Clean(f.Node), Clean(f.Err.Error())), 2)
	}
	for _, c := range v.Containers {
		out.line("")
		v.container(out, l, c)
	}
	return out.err
}

func (v Backups) container(out *printer, l layout, c backup.Container) {
	title := fmt.Sprint(c.ID)
	if c.Name != "" {
		title += " " + Clean(c.Name)
	}
	tone, state := v.state(c)
	out.line("  %s  %s", l.paint(bold, title), l.paint(tone, state))
	for _, p := range c.Promises {
		l.hanging(out, v.promise(p), rowIndent)
	}
	if c.Covers != nil && (c.Declared || len(c.Archives) > 0) && len(c.Covers.Out) > 0 {
		l.hanging(out, "a backup "+Clean(c.Covers.String()), rowIndent)
	}
	for _, a := range c.Archives {
		l.hanging(out, v.archive(a), rowIndent)
	}
	if c.Drill != nil {
		l.hanging(out, DrillText(*c.Drill, v.At), rowIndent)
	}
}

func (v Backups) state(c backup.Container) (Tone, string) {
	var parts []string
	tone := plain
	roles := map[backup.Role]string{
		backup.Restored: "a copy that a restore made, not in its place",
		backup.Replaced: "kept: a restored copy is in its place",
		backup.Scratch:  "left by a drill: the next one removes it",
	}
	switch {
	case c.Role != "":
		parts, tone = append(parts, roles[c.Role]), yellow
	case !c.Exists && !c.Declared:
		parts, tone = append(parts, "no such container"), dim
	case !c.Declared:
		parts, tone = append(parts, "not in the spec"), dim
	case len(c.Promises) == 0:
		parts, tone = append(parts, "no job of the spec backs it up"), yellow
	default:
		parts = append(parts, c.State().String())
		tone = map[backup.State]Tone{backup.Good: green, backup.Unknown: yellow, backup.Overdue: red, backup.Absent: red}[c.State()]
	}
	if len(c.Archives) > 0 {
		parts = append(parts, "newest "+v.age(c.Archives[0].Created))
	} else if len(c.Promises) == 0 {
		parts = append(parts, "none")
	}
	return tone, strings.Join(parts, ", ")
}

// age is "3 h old", or says that a time lies ahead.
// BackupText says in a line whether the backups of a container are as new as its jobs promise; "" where no job is for it.
func BackupText(c backup.Container, now time.Time, zone *time.Location) string {
	if len(c.Promises) == 0 {
		return ""
	}
	v := Backups{Report: backup.Report{At: now}, Zone: zone}
	_, text := v.state(c)
	var limit time.Time
	for _, p := range c.Promises {
		if limit.IsZero() || !p.Limit.IsZero() && p.Limit.Before(limit) {
			limit = p.Limit
		}
	}
	if !limit.IsZero() {
		text += ", limit " + limit.In(zone).Format("2006-01-02 15:04 MST")
	}
	return "backups: " + text
}

func (v Backups) age(at time.Time) string {
	if d := v.At.Sub(at); d >= 0 {
		return about(d) + " old"
	}
	return "from the future"
}

func (v Backups) promise(p backup.Promise) string {
	text := fmt.Sprintf("job %s on %s: %s", Clean(p.Job), Clean(p.Storage), p.State)
	if p.Why != "" {
		text += ", " + Clean(p.Why)
	}
	if !p.Limit.IsZero() {
		text += ", limit " + p.Limit.In(v.Zone).Format("2006-01-02 15:04 MST")
	}
	return text
}

func (v Backups) archive(a backup.Archive) string {
	parts := []string{a.Created.In(v.Zone).Format("2006-01-02 15:04"), Clean(a.ID), roughly(a.Size)}
	if a.Protected {
		parts = append(parts, "protected")
	}
	if a.OnServer() {
		parts = append(parts, map[string]string{"": "not verified", "ok": "verified"}[a.Verification.State])
		if parts[len(parts)-1] == "" {
			parts[len(parts)-1] = "verification " + Clean(a.Verification.State)
		}
		if a.Encrypted != "" {
			parts = append(parts, "encrypted")
		}
	}
	if a.Notes != "" {
		parts = append(parts, `"`+Clean(a.Notes)+`"`)
	}
	return strings.Join(parts, "  ")
}

// DrillText is what came of a drill, in a line.
func DrillText(d backup.Drill, now time.Time) string {
	when := Backups{Report: backup.Report{At: now}}.age(d.At)
	if d.Failed != "" {
		return fmt.Sprintf("backup drill %s: failed with %s: %s", when, Clean(d.Archive), Clean(d.Failed))
	}
	return fmt.Sprintf("backup drill %s: %s was restored and ran (%s)", when, Clean(d.Archive), d.Took.Round(time.Second))
}

// roughly is a size in three digits: "1.05 MiB".
func roughly(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	x, unit := float64(n)/step, 0
	for x >= step && unit < 3 {
		x, unit = x/step, unit+1
	}
	return fmt.Sprintf("%.3g %s", x, [...]string{"KiB", "MiB", "GiB", "TiB"}[unit])
}

type backupsJSON struct {
	Version    int                    `json:"version"`
	Kind       string                 `json:"kind"`
	Cluster    string                 `json:"cluster"`
	Spec       Revision               `json:"spec"`
	Status     Status                 `json:"status"`
	At         time.Time              `json:"at"`
	Containers []backupsContainerJSON `json:"containers"`
	Faults     []backupFaultJSON      `json:"faults"`
}

type backupsContainerJSON struct {
	ID       proxmox.VMID  `json:"id"`
	Name     string        `json:"name"`
	Declared bool          `json:"declared"`
	Exists   bool          `json:"exists"`
	Role     backup.Role   `json:"role,omitempty"`
	State    backup.State  `json:"state"`
	Jobs     []promiseJSON `json:"jobs"`
	Holds    []string      `json:"holds,omitempty"`
	Leaves   []leftJSON    `json:"leavesOut,omitempty"`
	Backups  []archiveJSON `json:"backups"`
	Drill    *backup.Drill `json:"drill,omitempty"`
}

type promiseJSON struct {
	Job     string       `json:"job"`
	Storage string       `json:"storage"`
	State   backup.State `json:"state"`
	Newest  time.Time    `json:"newest,omitzero"`
	Limit   time.Time    `json:"limit,omitzero"`
	Why     string       `json:"why,omitempty"`
}

type leftJSON struct {
	Mount string `json:"mount"`
	Why   string `json:"why"`
}

type archiveJSON struct {
	Volume    string    `json:"volume"`
	Storage   string    `json:"storage"`
	Nodes     []string  `json:"nodes"`
	Time      time.Time `json:"time"`
	Age       int64     `json:"age"` // seconds
	Size      int64     `json:"size"`
	Notes     string    `json:"notes,omitempty"`
	Protected bool      `json:"protected"`
	Verified  string    `json:"verification,omitempty"`
	Encrypted bool      `json:"encrypted,omitempty"`
}

type backupFaultJSON struct {
	Node    string `json:"node"`
	Storage string `json:"storage"`
	Error   string `json:"error"`
}

// JSON writes them for programs.
func (v Backups) JSON(w io.Writer) error {
	doc := backupsJSON{
		Version: JSONVersion, Kind: "backups", Cluster: v.Cluster, Spec: v.Spec, Status: v.Status(), At: v.At.UTC(),
		Containers: []backupsContainerJSON{}, Faults: []backupFaultJSON{},
	}
	for _, f := range v.Faults {
		doc.Faults = append(doc.Faults, backupFaultJSON{f.Node, f.Storage, f.Err.Error()})
	}
	for _, c := range v.Containers {
		doc.Containers = append(doc.Containers, v.containerJSON(c))
	}
	return writeJSON(w, doc)
}

func (v Backups) containerJSON(c backup.Container) backupsContainerJSON {
	x := backupsContainerJSON{
		ID: c.ID, Name: c.Name, Declared: c.Declared, Exists: c.Exists, Role: c.Role, State: c.State(), Drill: c.Drill,
		Jobs: []promiseJSON{}, Backups: []archiveJSON{},
	}
	for _, p := range c.Promises {
		x.Jobs = append(x.Jobs, promiseJSON{p.Job, p.Storage, p.State, p.Newest.UTC(), p.Limit.UTC(), p.Why})
	}
	if c.Covers != nil {
		x.Holds = c.Covers.In
		for _, l := range c.Covers.Out {
			x.Leaves = append(x.Leaves, leftJSON(l))
		}
	}
	for _, a := range c.Archives {
		x.Backups = append(x.Backups, archiveJSON{
			a.ID, a.Storage, a.Nodes, a.Created.UTC(), int64(v.At.Sub(a.Created).Seconds()), a.Size, a.Notes, a.Protected,
			a.Verification.State, a.Encrypted != "",
		})
	}
	return x
}

// Verdicts are what could be proven of archives.
type Verdicts struct {
	List []backup.Verdict
	Zone *time.Location
}

// Status is what the exit code says: pending where something speaks against an archive.
func (v Verdicts) Status() Status {
	for _, x := range v.List {
		if !x.Sound() {
			return Pending
		}
	}
	return InSync
}

// Text writes them for people.
func (v Verdicts) Text(w io.Writer, s Style) error {
	out, l := &printer{w: w}, layout{Style: s}
	for i, x := range v.List {
		if i > 0 {
			out.line("")
		}
		tone, word := green, "nothing speaks against it"
		if !x.Sound() {
			tone, word = red, "do not rely on it"
		}
		out.line("%s  %s", l.paint(bold, fmt.Sprintf("%d  %s", x.Archive.Guest, Clean(x.Archive.ID))), l.paint(tone, word))
		for _, part := range []struct {
			mark  string
			tone  Tone
			texts []string
		}{{"!", red, x.Wrong}, {"+", green, x.Proven}, {"?", yellow, x.Unproven}} {
			for _, text := range part.texts {
				l.hanging(out, l.paint(part.tone, part.mark)+" "+Clean(text), 2)
			}
		}
	}
	out.line("")
	out.line("+ proven  ? not proven  ! speaks against it")
	return out.err
}

// JSON writes them for programs.
func (v Verdicts) JSON(w io.Writer) error {
	type verdict struct {
		ID       proxmox.VMID `json:"id"`
		Volume   string       `json:"volume"`
		Time     time.Time    `json:"time"`
		Sound    bool         `json:"sound"`
		Proven   []string     `json:"proven"`
		Unproven []string     `json:"unproven"`
		Wrong    []string     `json:"wrong"`
	}
	doc := struct {
		Version  int       `json:"version"`
		Kind     string    `json:"kind"`
		Status   Status    `json:"status"`
		Archives []verdict `json:"backups"`
	}{JSONVersion, "verdicts", v.Status(), []verdict{}}
	for _, x := range v.List {
		doc.Archives = append(doc.Archives, verdict{
			x.Archive.Guest, x.Archive.ID, x.Archive.Created.UTC(), x.Sound(),
			append([]string{}, x.Proven...), append([]string{}, x.Unproven...), append([]string{}, x.Wrong...),
		})
	}
	return writeJSON(w, doc)
}
