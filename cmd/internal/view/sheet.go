package view

import (
	"fmt"
	"io"

	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
)

// A Row is one line below a container: what changes, how, and at what cost.
type Row struct {
	Mark   string   `json:"mark,omitempty"`   // "+", "-", "~", or "!" where it is not done
	Label  string   `json:"label,omitempty"`  // what changes; without one, the text begins in its place
	Text   string   `json:"text,omitempty"`   // "2 → 4"
	Effect string   `json:"effect,omitempty"` // "online", "restart", "data is lost", "blocked", "waits"
	Root   bool     `json:"root,omitempty"`   // only root@pam may make it
	More   []string `json:"more,omitempty"`   // lines below: notes, reasons, ways out
	Tone   Tone     `json:"tone,omitempty"`
}

// A Block is everything that a plan shows of one container, template or backup job.
type Block struct {
	Subject  plan.Subject `json:"subject"`
	Name     string       `json:"name"`
	Mark     string       `json:"mark,omitempty"` // "!" where nothing of it can be done
	Title    string       `json:"title,omitempty"`
	Effect   string       `json:"effect,omitempty"`
	Rows     []Row        `json:"rows,omitempty"`
	Reason   string       `json:"reason,omitempty"` // why the whole container is blocked
	Ways     []string     `json:"ways,omitempty"`
	Tone     Tone         `json:"tone,omitempty"`
	Destroys bool         `json:"destroys,omitempty"` // data or the container itself is lost
}

// Heading names what the block is about: "120 media", "backup job weekly".
func (b Block) Heading() string { return title(b.Subject, b.Name) }

// A Sheet is a plan as people see it, in every form that they see it in. It can be kept and shown later, when there
// is no plan any more: in the history, and on the agent's page.
type Sheet struct {
	Header    string   `json:"header"`
	Blocks    []Block  `json:"blocks,omitempty"`
	Unclaimed []string `json:"unclaimed,omitempty"`
	Unused    []string `json:"unused,omitempty"`
	Policies  []string `json:"policies,omitempty"` // snapshot policies that cannot be carried out, with what helps
	Warnings  []string `json:"warnings,omitempty"`
	Notes     []string `json:"notes,omitempty"`
	Summary   string   `json:"summary"`
	Status    Status   `json:"status"`

	Voice plan.Voice `json:"voice,omitempty"`
}

// Sheet is what the plan shows.
func (p Plan) Sheet() Sheet {
	s := Sheet{Header: p.header(), Blocks: p.blocks(), Summary: p.Summary(), Status: p.Status(), Voice: p.Voice}
	for _, u := range p.Unclaimed {
		s.Unclaimed = append(s.Unclaimed, fmt.Sprintf("%d %s (%s on %s)", u.Ref.ID, Clean(u.Name), u.Status, u.Ref.Node))
	}
	for _, u := range p.Unused {
		s.Unused = append(s.Unused, fmt.Sprintf("%d %s  %s", u.ID, Clean(u.Name), Clean(u.Volume)))
	}
	for _, f := range p.Policies {
		s.Policies = append(s.Policies, fmt.Sprintf("%d %s  policy %s: %s", f.ID, Clean(f.Name), Clean(f.Policy), Clean(f.Reason)))
		for _, w := range f.Ways {
			s.Policies = append(s.Policies, "  "+way(w))
		}
	}
	for _, text := range p.Warnings {
		s.Warnings = append(s.Warnings, Clean(text))
	}
	for _, text := range p.Notes {
		s.Notes = append(s.Notes, Clean(text))
	}
	return s
}

// Text writes the sheet for people.
func (p Sheet) Text(w io.Writer, s Style) error {
	out := &printer{w: w}
	for _, l := range wrap(p.Header, s.width()) {
		out.line("%s", s.paint(bold, l))
	}
	if len(p.Blocks) > 0 {
		out.line("")
		layoutOf(p.Blocks, s).print(out, p.Blocks)
	}
	list(out, s, "Unclaimed: these carry the owner's tag and are not in the spec. They are left alone; "+p.Voice.Prune()+".", p.Unclaimed)
	list(out, s, "Unused volumes: nothing mounts them, and they keep their data. "+p.Voice.DestroyVolume("ID:VOLUME")+" destroys one.", p.Unused)
	p.policies(out, s)
	hangAll(out, s, "Warning: ", p.Warnings)
	hangAll(out, s, "Note: ", p.Notes)
	out.line("")
	c := bold
	if p.Status == InSync {
		c = green
	}
	for _, l := range wrap(p.Summary, s.width()) {
		out.line("%s", s.paint(c, l))
	}
	return out.err
}

// policies prints the snapshot policies that cannot be carried out. The lines hold what is to be written, so that they are
// wrapped and not cut.
func (p Sheet) policies(out *printer, s Style) {
	if len(p.Policies) == 0 {
		return
	}
	out.line("")
	out.line("%s", s.paint(yellow, "Blocked snapshot policies: no snapshots can be taken of these containers."))
	l := layout{Style: s}
	for _, text := range p.Policies {
		l.hanging(out, text, 2)
	}
}

// hangAll prints sentences, each with a word before it.
func hangAll(out *printer, s Style, word string, texts []string) {
	if len(texts) == 0 {
		return
	}
	out.line("")
	l := layout{Style: s}
	for _, text := range texts {
		l.hanging(out, word+text, 0)
	}
}

// list prints a sentence and what it is about.
func list(out *printer, s Style, head string, items []string) {
	if len(items) == 0 {
		return
	}
	out.line("")
	for _, l := range wrap(head, s.width()) {
		out.line("%s", s.paint(yellow, l))
	}
	for _, item := range items {
		out.line("  %s", cut(item, s.width()-2))
	}
}

// A Became is what became of one container, template or backup job, as people see it.
type Became struct {
	Subject plan.Subject    `json:"subject"`
	Name    string          `json:"name"`
	State   reconcile.State `json:"state"`
	Tone    Tone            `json:"tone,omitempty"`
	Notes   []string        `json:"notes,omitempty"` // why it is not as it should be, and what was not done
}

// Heading names what it is about: "120 media".
func (b Became) Heading() string { return title(b.Subject, b.Name) }

// An Account is what became of a plan as people see it; like a [Sheet], it can be kept.
type Account struct {
	Became  []Became `json:"became,omitempty"`
	Running []string `json:"runningTasks,omitempty"` // UPIDs of tasks that were not waited for
	Summary string   `json:"summary"`
	Status  Status   `json:"status"`
}

// Account is what the result shows below the plan; its zero value where nothing was done.
func (r Result) Account() Account {
	if r.Outcome == nil {
		return Account{Status: r.Status()}
	}
	out := Account{Summary: r.Summary(), Status: r.Status()}
	for _, c := range r.Outcome.All() {
		out.Became = append(out.Became, Became{c.Subject(), c.Name, c.State, stateTone(c.State), resultNotes(c)})
	}
	for _, t := range r.Outcome.Running {
		out.Running = append(out.Running, t.String())
	}
	return out
}

// Text writes what became of each container.
func (r Account) Text(w io.Writer, s Style) error {
	out := &printer{w: w}
	if r.Summary == "" {
		return nil
	}
	name := 0
	for _, c := range r.Became {
		name = max(name, cells(c.Heading()))
	}
	name = min(name, s.width()/2)
	out.line("")
	l := layout{Style: s}
	for _, c := range r.Became {
		out.line("  %s  %s", pad(cut(c.Heading(), name), name), s.paint(c.Tone, c.State.String()))
		for _, note := range c.Notes {
			l.hanging(out, note, rowIndent)
		}
	}
	if len(r.Running) > 0 {
		out.line("")
		out.line("%s", s.paint(yellow, "Still running on the nodes:"))
		for _, t := range r.Running {
			out.line("  %s", t)
		}
	}
	out.line("")
	for _, line := range wrap(r.Summary, s.width()) {
		out.line("%s", s.paint(r.Status.colour(), line))
	}
	return out.err
}

// stateTone sets off what became of a container.
func stateTone(s reconcile.State) Tone {
	switch s {
	case reconcile.Unchanged:
		return dim
	case reconcile.Created, reconcile.Changed, reconcile.Restarted:
		return green
	case reconcile.Destroyed, reconcile.Failed, reconcile.Stuck, reconcile.Interrupted:
		return red
	}
	return yellow
}
