package view

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// A Revision says which spec a plan was made of.
type Revision struct {
	Hash   string `json:"hash,omitempty"`   // of the commit, or of the files where they are in no repository
	Branch string `json:"branch,omitempty"` // empty outside of a repository and where no branch is checked out
	// Changed says that the files are not as in the commit.
	Changed bool `json:"changed,omitempty"`
}

// String is "4f2c91e (main)", or "4f2c91e+changes (main)".
func (r Revision) String() string {
	text := r.Hash
	if r.Changed {
		text += "+changes"
	}
	if r.Branch != "" {
		text += " (" + r.Branch + ")"
	}
	return text
}

// A Plan is a plan and the revision of its spec.
type Plan struct {
	*plan.Plan
	Spec Revision
}

// A row is one line below a container: what changes, how, and at what cost.
type row struct {
	mark, label, text, effect string   // without a label, the text begins in its place
	more                      []string // lines below: notes, reasons, ways out
	colour                    colour
}

// A block is everything that a plan shows of one container.
type block struct {
	subject       plan.Subject
	name          string
	mark          string // "!" where nothing of it can be done
	title, effect string
	rows          []row
	reason        string // why the whole container is blocked
	ways          []string
	colour        colour
	destroys      bool
}

// Text writes the plan for people.
func (p Plan) Text(w io.Writer, s Style) error {
	out := &printer{w: w}
	for _, l := range wrap(p.header(), s.width()) {
		out.line("%s", s.paint(bold, l))
	}
	blocks := p.blocks()
	if len(blocks) > 0 {
		out.line("")
		layoutOf(blocks, s).print(out, blocks)
	}
	if len(p.Unclaimed) > 0 {
		out.line("")
		p.unclaimed(out, s)
	}
	if len(p.Unused) > 0 {
		out.line("")
		p.unused(out, s)
	}
	if len(p.Warnings) > 0 {
		out.line("")
		l := layout{Style: s}
		for _, text := range p.Warnings {
			l.hanging(out, "Warning: "+Clean(text), 0)
		}
	}
	out.line("")
	for _, l := range wrap(p.Summary(), s.width()) {
		out.line("%s", s.paint(p.colour(), l))
	}
	return out.err
}

func (p Plan) colour() colour {
	if p.Synced() {
		return green
	}
	return bold
}

// differing counts the containers that are not as they shall be.
func (p Plan) differing() int {
	ids := map[plan.Subject]bool{}
	for _, l := range p.Lanes {
		ids[l.Subject()] = true
	}
	for _, b := range p.Blocked {
		ids[b.Subject()] = true
	}
	maps.DeleteFunc(ids, func(s plan.Subject, _ bool) bool { return s.Kind != plan.ContainerKind })
	return len(ids)
}

func (p Plan) header() string {
	parts := []string{"cluster " + Clean(p.Cluster)}
	if p.Spec.Hash != "" {
		parts = append(parts, "spec "+Clean(p.Spec.String()))
	}
	synced := fmt.Sprintf("%d in sync", p.InSync)
	switch n := p.differing(); {
	case n == 0:
		synced = count(p.InSync, "container") + " in sync"
	case n == 1:
		synced = "1 container differs, " + synced
	default:
		synced = count(n, "container") + " differ, " + synced
	}
	return strings.Join(append(parts, synced), " · ")
}

// waiting and refused count what is blocked, by whether it will be done later by itself.
func (p Plan) waiting() (n int) {
	for _, b := range p.Blocked {
		if b.Waiting {
			n++
		}
	}
	return n
}

// restarts and stops count the containers that are interrupted, by whether they run again afterwards.
func (p Plan) restarts() int { return p.Restarts() - p.stops() }

func (p Plan) stops() (n int) {
	for _, l := range p.Lanes {
		stops, starts := false, false
		for _, s := range l.Steps {
			switch s.Op.(type) {
			case plan.Shutdown:
				stops = true
			case plan.Start, plan.Reboot:
				starts = true
			}
		}
		if l.Action == plan.Change && stops && !starts {
			n++
		}
	}
	return n
}

// Summary is the last line of a plan.
func (p Plan) Summary() string {
	if p.Synced() {
		return "Plan: nothing to do, everything is in sync"
	}
	text := fmt.Sprintf("Plan: %d create, %d change, %d destroy",
		p.Count(plan.Create), p.Count(plan.Change), p.Count(plan.Destroy))
	if n := p.Count(plan.Retire); n > 0 {
		text += fmt.Sprintf(" · %d retire", n)
	}
	if n := p.Frees(); n > 0 {
		text += " · " + count(n, "volume") + " destroyed"
	}
	waiting := p.waiting()
	if others := p.others(); others != "" {
		text += " · " + others
	}
	for _, part := range []struct {
		n    int
		noun string
	}{{p.restarts(), "restart"}, {p.stops(), "stop"}, {p.RootOperations(), "root operation"}} {
		if part.n > 0 {
			text += " · " + count(part.n, part.noun)
		}
	}
	if n := len(p.Blocked) - waiting; n > 0 {
		text += fmt.Sprintf(" · %d blocked", n)
	}
	if waiting > 0 {
		text += fmt.Sprintf(" · %d waiting", waiting)
	}
	return text
}

func (p Plan) unused(out *printer, s Style) {
	for _, l := range wrap("Unused volumes: nothing mounts them, and they keep their data. --destroy-volume ID:VOLUME destroys one.", s.width()) {
		out.line("%s", s.paint(yellow, l))
	}
	for _, u := range p.Unused {
		out.line("  %s", cut(fmt.Sprintf("%d %s  %s", u.ID, Clean(u.Name), Clean(u.Volume)), s.width()-2))
	}
}

func (p Plan) unclaimed(out *printer, s Style) {
	for _, l := range wrap("Unclaimed: these carry the owner's tag and are not in the spec. They are left alone; --prune destroys them.", s.width()) {
		out.line("%s", s.paint(yellow, l))
	}
	for _, u := range p.Unclaimed {
		out.line("  %s", cut(fmt.Sprintf("%d %s (%s on %s)", u.Ref.ID, Clean(u.Name), u.Status, u.Ref.Node), s.width()-2))
	}
}

// blocks are what the plan is about, in its order: destroys first, then templates, containers by VMID and backup
// jobs.
func (p Plan) blocks() []block {
	blocked := map[plan.Subject][]plan.Blocked{}
	for _, b := range p.Blocked {
		blocked[b.Subject()] = append(blocked[b.Subject()], b)
	}
	var out []block
	for _, l := range p.Lanes {
		b := laneBlock(l, blocked[l.Subject()])
		delete(blocked, l.Subject())
		out = append(out, b)
	}
	for _, s := range slices.SortedFunc(maps.Keys(blocked), plan.Subject.Compare) {
		out = append(out, blockedBlock(blocked[s]))
	}
	slices.SortStableFunc(out, func(a, b block) int {
		if a.destroys != b.destroys {
			if a.destroys {
				return -1
			}
			return 1
		}
		return a.subject.Compare(b.subject)
	})
	return out
}

func laneBlock(l plan.Lane, blocked []plan.Blocked) block {
	if l.Kind != plan.ContainerKind {
		b := otherBlock(l)
		for _, bl := range blocked {
			b.rows = append(b.rows, blockedRows(bl)...)
		}
		return b
	}
	b := block{
		subject: l.Subject(), name: l.Name, title: l.Action.String(), effect: laneEffect(l, blocked),
		destroys: l.Action == plan.Destroy || l.Effect == setting.Recreate || len(l.Frees) > 0,
	}
	switch l.Action {
	case plan.Destroy:
		b.colour, b.rows = red, destroyRows(l)
	case plan.Retire:
		b.colour, b.rows = red, changeRows(l)
	case plan.Create:
		b.colour, b.rows = green, createRows(l)
		if starts(l) {
			b.title = "create and start"
		}
	default:
		b.colour, b.rows = yellow, changeRows(l)
		if l.Adopts {
			b.title = adoption(l)
		}
		if l.Effect == setting.Recreate || len(l.Frees) > 0 {
			b.colour = red
		}
	}
	for _, bl := range blocked {
		b.rows = append(b.rows, blockedRows(bl)...)
	}
	return b
}

func starts(l plan.Lane) bool {
	_, ok := l.Steps[len(l.Steps)-1].Op.(plan.Start)
	return ok
}

// adoption tells a container that is only taken over from one that is changed, too.
func adoption(l plan.Lane) string {
	if len(l.Steps) == 1 && len(l.Changes) == 1 && l.Changes[0].Row.Info().Path == setting.Tags.Path {
		return "adopt"
	}
	return "adopt and change"
}

// laneEffect is what a lane costs as a whole.
func laneEffect(l plan.Lane, blocked []plan.Blocked) string {
	if l.Action != plan.Change {
		return ""
	}
	text := l.Effect.String()
	for _, s := range l.Steps {
		switch s.Op.(type) {
		case plan.Reboot:
			return "restart 1×"
		case plan.Shutdown:
			return "stop"
		case plan.Start:
			text = "start"
		}
	}
	for _, b := range blocked {
		if b.Waiting && b.Change == nil {
			return "restart waits"
		}
	}
	return text
}

func destroyRows(l plan.Lane) []row {
	var rows []row
	for _, s := range l.Steps {
		switch op := s.Op.(type) {
		case plan.Shutdown:
			rows = append(rows, row{mark: "-", label: "stop", text: "within " + op.Timeout.String() + ", then by force", colour: red})
		case plan.DestroyContainer:
			for _, v := range op.Volumes {
				rows = append(rows, row{mark: "-", label: "volume", text: Clean(v), effect: "data is lost", colour: red})
			}
		}
	}
	return rows
}

// createRows condense what every container has into the first line and list the rest.
func createRows(l plan.Lane) []row {
	var head []string
	var rows []row
	for _, s := range l.Steps {
		switch op := s.Op.(type) {
		case plan.CreateContainer:
			head = append(head, Clean(op.Template))
			rows = append(rows, initRows(op)...)
		case plan.RestoreContainer:
			head = append(head, "backup "+Clean(op.Archive))
		case plan.CloneContainer:
			head = append(head, Clean(strings.TrimPrefix(op.Verb(), "clone ")))
			rows = append(rows, row{mark: "+", label: "clone", text: Clean(s.Cause), colour: green})
			continue
		default:
			continue
		}
		if s.Cause != "" {
			rows = append(rows, row{mark: "+", label: "source", text: Clean(s.Cause), colour: green})
		}
	}
	for _, ch := range l.Changes {
		text := Clean(ch.Row.Text(ch.New))
		switch ch.Row.Info().Path {
		case setting.Hostname.Path:
			if text == l.Name {
				continue
			}
		case setting.Cores.Path:
			n, _ := strconv.Atoi(text)
			head = append(head, count(n, "core"))
			continue
		case setting.Memory.Path:
			head = append(head, text)
			continue
		case setting.RootFS.Path:
			head = append(head, "rootfs "+text)
			continue
		}
		for _, r := range changeRow(ch, green) {
			r.effect = "" // a create interrupts nothing
			if r.mark == "~" && ch.Row.Info().Rows == nil {
				r.mark, r.text = "+", text
			}
			rows = append(rows, r)
		}
	}
	return append([]row{{mark: "+", text: "from " + strings.Join(head, ", "), colour: green}}, rows...)
}

// initRows are what a container is given at create and never again. Of the password only the place is known.
func initRows(op plan.CreateContainer) []row {
	var rows []row
	if n := len(op.SSHKeys); n > 0 {
		rows = append(rows, row{mark: "+", label: "SSH keys", text: fmt.Sprint(n), colour: green})
	}
	switch {
	case op.Password.File != "":
		rows = append(rows, row{mark: "+", label: "password", text: "from " + Clean(op.Password.File), colour: green})
	case op.Password.Env != "":
		rows = append(rows, row{mark: "+", label: "password", text: "from $" + Clean(op.Password.Env), colour: green})
	}
	return rows
}

func changeRows(l plan.Lane) []row {
	var rows []row
	for _, ch := range l.Changes {
		rows = append(rows, changeRow(ch, plain)...)
	}
	for _, s := range l.Steps {
		switch op := s.Op.(type) {
		case plan.Start, plan.Shutdown:
			rows = append(rows, row{mark: "~", label: op.Verb(), text: Clean(s.Cause)})
		case plan.Migrate:
			rows = append(rows, row{mark: "~", label: "migrate", text: Clean(s.Cause), effect: s.Effect.String(), colour: yellow})
		case plan.DestroyVolume:
			rows = append(rows, row{mark: "-", label: "volume", text: Clean(op.Volume), effect: "data is lost", colour: red})
		case plan.Backup:
			rows = append(rows, row{mark: "+", label: "backup", text: "on " + Clean(op.Storage) + ", kept", colour: green})
		case plan.SetConfig:
			if l.Action == plan.Retire {
				rows = append(rows, row{mark: "-", label: "destroy", text: Clean(s.Cause), colour: red})
			} else if len(s.Why) == 0 {
				rows = append(rows, row{mark: "~", label: op.Verb(), text: Clean(s.Cause), effect: s.Effect.String()})
			}
		}
	}
	return rows
}

func changeRow(ch setting.Change, c colour) []row {
	effect := ch.Effect.String()
	var notes []string
	if ch.Access.Root {
		notes = append(notes, rootNote(ch.Access))
	}
	if ch.Note != "" {
		notes = append(notes, Clean(ch.Note))
	}
	var rows []row
	for _, l := range ch.Lines() {
		r := row{mark: l.Mark, label: Clean(l.Label), text: Clean(l.Text), effect: effect, colour: c}
		if c == plain {
			r.colour = map[string]colour{"+": green, "-": red, "~": yellow}[l.Mark]
		}
		rows = append(rows, r)
	}
	if len(rows) > 0 {
		rows[len(rows)-1].more = notes
	}
	return rows
}

func blockedRows(b plan.Blocked) []row {
	word := "blocked"
	if b.Waiting {
		word = "waits"
	}
	rows := []row{{mark: "!", label: Clean(b.What), effect: word, colour: yellow}}
	if b.Change != nil {
		if rows = changeRow(*b.Change, yellow); len(rows) == 0 {
			rows = []row{{label: Clean(b.What), colour: yellow}}
		}
		for i := range rows {
			rows[i].mark, rows[i].effect, rows[i].more = "!", word, nil
		}
	}
	last := &rows[len(rows)-1]
	last.more = append(last.more, Clean(b.Reason))
	for _, w := range b.Ways {
		last.more = append(last.more, way(w))
	}
	return rows
}

func way(w string) string { return "→ " + Clean(w) }

// blockedBlock is a container of which nothing is done.
func blockedBlock(list []plan.Blocked) block {
	b := block{subject: list[0].Subject(), name: list[0].Name, mark: "!", colour: yellow}
	if len(list) == 1 && list[0].Change == nil && !list[0].Waiting {
		b.reason = "blocked: " + Clean(list[0].Reason)
		for _, w := range list[0].Ways {
			b.ways = append(b.ways, way(w))
		}
		return b
	}
	b.title, b.effect = "blocked", ""
	if !slices.ContainsFunc(list, func(x plan.Blocked) bool { return !x.Waiting }) {
		b.title = "waiting"
	}
	for _, bl := range list {
		b.rows = append(b.rows, blockedRows(bl)...)
	}
	return b
}
