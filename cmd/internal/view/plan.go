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

// Text writes the plan for people.
func (p Plan) Text(w io.Writer, s Style) error { return p.Sheet().Text(w, s) }

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

// blocks are what the plan is about, in its order: destroys first, then templates, containers by VMID and backup
// jobs.
func (p Plan) blocks() []Block {
	blocked := map[plan.Subject][]plan.Blocked{}
	for _, b := range p.Blocked {
		blocked[b.Subject()] = append(blocked[b.Subject()], b)
	}
	var out []Block
	for _, l := range p.Lanes {
		b := laneBlock(l, blocked[l.Subject()])
		delete(blocked, l.Subject())
		out = append(out, b)
	}
	for _, s := range slices.SortedFunc(maps.Keys(blocked), plan.Subject.Compare) {
		out = append(out, blockedBlock(blocked[s]))
	}
	slices.SortStableFunc(out, func(a, b Block) int {
		if a.Destroys != b.Destroys {
			if a.Destroys {
				return -1
			}
			return 1
		}
		return a.Subject.Compare(b.Subject)
	})
	return out
}

func laneBlock(l plan.Lane, blocked []plan.Blocked) Block {
	if l.Kind != plan.ContainerKind {
		b := otherBlock(l)
		for _, bl := range blocked {
			b.Rows = append(b.Rows, blockedRows(bl)...)
		}
		return b
	}
	b := Block{
		Subject: l.Subject(), Name: l.Name, Title: l.Action.String(), Effect: laneEffect(l, blocked),
		Destroys: l.Action == plan.Destroy || l.Effect == setting.Recreate || len(l.Frees) > 0,
	}
	switch l.Action {
	case plan.Destroy:
		b.Tone, b.Rows = red, destroyRows(l)
	case plan.Retire:
		b.Tone, b.Rows = red, changeRows(l)
	case plan.Create:
		b.Tone, b.Rows = green, createRows(l)
		if starts(l) {
			b.Title = "create and start"
		}
	default:
		b.Tone, b.Rows = yellow, changeRows(l)
		switch {
		case l.RollsBack():
			b.Title, b.Tone = "roll back", red
		case l.Adopts:
			b.Title = adoption(l)
		}
		if l.Effect == setting.Recreate || len(l.Frees) > 0 {
			b.Tone = red
		}
	}
	for _, bl := range blocked {
		b.Rows = append(b.Rows, blockedRows(bl)...)
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
	switch {
	case l.Action != plan.Change:
		return ""
	case l.RollsBack() && l.Effect == setting.Restart:
		return "restart 1×"
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

func destroyRows(l plan.Lane) []Row {
	var rows []Row
	for _, s := range l.Steps {
		switch op := s.Op.(type) {
		case plan.Shutdown:
			rows = append(rows, Row{Mark: "-", Label: "stop", Text: "within " + op.Timeout.String() + ", then by force", Tone: red})
		case plan.DestroyContainer:
			for _, v := range op.Volumes {
				rows = append(rows, Row{Mark: "-", Label: "volume", Text: Clean(v), Effect: "data is lost", Tone: red})
			}
		}
	}
	return rows
}

// createRows condense what every container has into the first line and list the rest.
func createRows(l plan.Lane) []Row {
	var head []string
	var rows []Row
	for _, s := range l.Steps {
		switch op := s.Op.(type) {
		case plan.CreateContainer:
			head = append(head, Clean(op.Template))
			rows = append(rows, initRows(op)...)
		case plan.RestoreContainer:
			head = append(head, "backup "+Clean(op.Archive))
		case plan.CloneContainer:
			head = append(head, Clean(strings.TrimPrefix(op.Verb(), "clone ")))
			rows = append(rows, Row{Mark: "+", Label: "clone", Text: Clean(s.Cause), Tone: green})
			continue
		default:
			continue
		}
		if s.Cause != "" {
			rows = append(rows, Row{Mark: "+", Label: "source", Text: Clean(s.Cause), Tone: green})
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
			r.Effect = "" // a create interrupts nothing
			if r.Mark == "~" && ch.Row.Info().Rows == nil {
				r.Mark, r.Text = "+", text
			}
			rows = append(rows, r)
		}
	}
	rows = append([]Row{{Mark: "+", Text: "from " + strings.Join(head, ", "), Tone: green}}, rows...)
	return append(recoveredFirst(l), rows...)
}

// initRows are what a container is given at create and never again. Of the password only the place is known.
func initRows(op plan.CreateContainer) []Row {
	var rows []Row
	if n := len(op.SSHKeys); n > 0 {
		rows = append(rows, Row{Mark: "+", Label: "SSH keys", Text: fmt.Sprint(n), Tone: green})
	}
	switch {
	case op.Password.File != "":
		rows = append(rows, Row{Mark: "+", Label: "password", Text: "from " + Clean(op.Password.File), Tone: green})
	case op.Password.Env != "":
		rows = append(rows, Row{Mark: "+", Label: "password", Text: "from $" + Clean(op.Password.Env), Tone: green})
	}
	return rows
}

func changeRows(l plan.Lane) []Row {
	rows := recoveredFirst(l)
	for _, ch := range l.Changes {
		rows = append(rows, changeRow(ch, plain)...)
	}
	for _, s := range l.Steps {
		switch op := s.Op.(type) {
		case plan.Start, plan.Shutdown:
			rows = append(rows, Row{Mark: "~", Label: op.Verb(), Text: Clean(s.Cause)})
		case plan.Migrate:
			rows = append(rows, Row{Mark: "~", Label: "migrate", Text: Clean(s.Cause), Effect: s.Effect.String(), Tone: yellow})
		case plan.DestroyVolume:
			rows = append(rows, Row{Mark: "-", Label: "volume", Text: Clean(op.Volume), Effect: "data is lost", Tone: red})
		case plan.Backup:
			rows = append(rows, Row{Mark: "+", Label: "backup", Text: "on " + Clean(op.Storage) + ", kept", Tone: green})
		case plan.SetConfig:
			if l.Action == plan.Retire {
				rows = append(rows, Row{Mark: "-", Label: "destroy", Text: Clean(s.Cause), Tone: red})
			} else if len(s.Why) == 0 {
				rows = append(rows, Row{Mark: "~", Label: op.Verb(), Text: Clean(s.Cause), Effect: s.Effect.String()})
			}
		}
	}
	return rows
}

func changeRow(ch setting.Change, c Tone) []Row {
	effect := ch.Effect.String()
	var notes []string
	if ch.Access.Root {
		notes = append(notes, rootNote(ch.Access))
	}
	if ch.Note != "" {
		notes = append(notes, Clean(ch.Note))
	}
	var rows []Row
	for _, l := range ch.Lines() {
		r := Row{Mark: l.Mark, Label: Clean(l.Label), Text: Clean(l.Text), Effect: effect, Root: ch.Access.Root, Tone: c}
		if c == plain {
			r.Tone = map[string]Tone{"+": green, "-": red, "~": yellow}[l.Mark]
		}
		rows = append(rows, r)
	}
	if len(rows) > 0 {
		rows[len(rows)-1].More = notes
	}
	return rows
}

func blockedRows(b plan.Blocked) []Row {
	word := "blocked"
	if b.Waiting {
		word = "waits"
	}
	rows := []Row{{Mark: "!", Label: Clean(b.What), Effect: word, Tone: yellow}}
	if b.Change != nil {
		if rows = changeRow(*b.Change, yellow); len(rows) == 0 {
			rows = []Row{{Label: Clean(b.What), Tone: yellow}}
		}
		for i := range rows {
			rows[i].Mark, rows[i].Effect, rows[i].More = "!", word, nil
		}
	}
	last := &rows[len(rows)-1]
	last.More = append(last.More, Clean(b.Reason))
	for _, w := range b.Ways {
		last.More = append(last.More, way(w))
	}
	return rows
}

func way(w string) string { return "→ " + Clean(w) }

// blockedBlock is a container of which nothing is done.
func blockedBlock(list []plan.Blocked) Block {
	b := Block{Subject: list[0].Subject(), Name: list[0].Name, Mark: "!", Tone: yellow}
	if len(list) == 1 && list[0].Change == nil && !list[0].Waiting {
		b.Reason = "blocked: " + Clean(list[0].Reason)
		for _, w := range list[0].Ways {
			b.Ways = append(b.Ways, way(w))
		}
		return b
	}
	b.Title, b.Effect = "blocked", ""
	if !slices.ContainsFunc(list, func(x plan.Blocked) bool { return !x.Waiting }) {
		b.Title = "waiting"
	}
	for i, bl := range list {
		rows := blockedRows(bl)
		if i+1 < len(list) && list[i+1].Reason == bl.Reason && slices.Equal(list[i+1].Ways, bl.Ways) {
			rows[len(rows)-1].More = nil // once, below the last that it holds for
		}
		b.Rows = append(b.Rows, rows...)
	}
	return b
}
