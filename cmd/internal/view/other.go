package view

import (
	"fmt"
	"strings"

	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/reconcile/plan"
)

// title names a container, template or backup job: "120 media", "template debian-13", "backup job weekly".
func title(s plan.Subject, name string) string {
	if s.Kind == plan.ContainerKind {
		return fmt.Sprintf("%d %s", s.ID, Clean(name))
	}
	return s.Kind.String() + " " + Clean(name)
}

// otherBlock is what is no container: a template, host mount or snippet that is made present, or a backup job.
func otherBlock(l plan.Lane) Block {
	b := Block{Subject: l.Subject(), Name: l.Name, Title: l.Action.String()}
	switch {
	case l.Kind == plan.HostMountKind || l.Kind == plan.SnippetKind:
		return nodeBlock(l, b)
	case l.Kind == plan.TemplateKind:
		b.Tone, b.Title = green, "download"
		for _, s := range l.Steps {
			b.Rows = append(b.Rows, Row{Mark: "+", Text: Clean(download(s.Op, l.Ref.Node)), Tone: green})
		}
	case l.Action == plan.Destroy:
		b.Tone, b.Title = red, "delete"
		for _, s := range l.Steps {
			b.Rows = append(b.Rows, Row{Mark: "-", Text: Clean(s.Cause), Tone: red})
		}
	default:
		b.Tone = yellow
		paint := plain
		if l.Action == plan.Create {
			b.Tone, paint = green, green
		}
		for _, ch := range l.Changes {
			for _, r := range changeRow(ch, paint) {
				r.Effect = "" // nothing is interrupted
				if l.Action == plan.Create && r.Mark == "~" && ch.Row.Info().Rows == nil {
					r.Mark, r.Text = "+", Clean(ch.Row.Text(ch.New))
				}
				b.Rows = append(b.Rows, r)
			}
		}
	}
	return b
}

// exceptions are the rows of the closed list by which root makes what is no container present.
var exceptions = map[plan.Kind]privileged.Row{
	plan.HostMountKind: privileged.RowHostMounts, plan.SnippetKind: privileged.RowSnippets,
}

// nodeBlock is a host mount or snippet, which root makes present on a node, or absent from it.
func nodeBlock(l plan.Lane, b Block) Block {
	mark := map[plan.Action]string{plan.Create: "+", plan.Change: "~", plan.Destroy: "-"}[l.Action]
	b.Tone = map[plan.Action]Tone{plan.Create: green, plan.Change: yellow, plan.Destroy: red}[l.Action]
	if l.Kind == plan.HostMountKind {
		b.Title = map[plan.Action]string{plan.Create: "mount", plan.Change: "change", plan.Destroy: "unmount"}[l.Action]
	}
	b.Title += " on " + Clean(l.Ref.Node)
	if l.Kind == plan.HostMountKind && l.Action != plan.Destroy {
		for _, ch := range l.Changes {
			for _, r := range changeRow(ch, b.Tone) {
				r.Effect = "" // nothing is interrupted
				b.Rows = append(b.Rows, r)
			}
		}
	}
	for _, s := range l.Steps {
		text := s.Op.Verb()
		if len(b.Rows) > 0 {
			text = "" // the changes say it
		}
		if s.Cause != "" {
			text = strings.TrimPrefix(text+": "+s.Cause, ": ")
		}
		if text != "" {
			b.Rows = append(b.Rows, Row{Mark: mark, Text: Clean(text), Tone: b.Tone})
		}
		last := &b.Rows[len(b.Rows)-1]
		last.More = append(last.More, "root ("+string(exceptions[l.Kind])+"): "+s.Access.Reason)
	}
	return b
}

// download says what is fetched, and from where to where.
func download(op plan.Op, node string) string {
	switch op := op.(type) {
	case plan.DownloadURL:
		return fmt.Sprintf("%s to %s on %s, from %s", op.File, op.Storage, node, op.URL)
	case plan.PullImage:
		return fmt.Sprintf("%s to %s on %s, from %s", op.File, op.Storage, node, op.Reference)
	case plan.DownloadAppliance:
		return fmt.Sprintf("%s to %s on %s", op.File, op.Storage, node)
	}
	return op.Verb()
}

// others counts what a plan does beside the containers: "1 template, 2 backup jobs"; empty where there is nothing.
func (p Plan) others() string {
	var parts []string
	for _, k := range []plan.Kind{plan.HostMountKind, plan.TemplateKind, plan.SnippetKind, plan.JobKind} {
		if n := p.CountKind(k); n > 0 {
			parts = append(parts, count(n, k.String()))
		}
	}
	return strings.Join(parts, ", ")
}

// An otherJSON is a template, host mount, snippet or backup job of a plan.
type otherJSON struct {
	Name    string        `json:"name"`
	Node    string        `json:"node,omitempty"`
	Action  string        `json:"action"`
	Changes []changeJSON  `json:"changes"`
	Steps   []stepJSON    `json:"steps"`
	Blocked []blockedJSON `json:"blocked"`
}

func otherOf(s plan.Subject, c containerJSON) otherJSON {
	return otherJSON{Name: s.Name, Node: s.Node, Action: c.Action, Changes: c.Changes, Steps: c.Steps, Blocked: c.Blocked}
}

// add puts a container, or what else a plan is about, into the document.
func (doc *planJSON) add(s plan.Subject, c containerJSON) {
	switch s.Kind {
	case plan.TemplateKind:
		doc.Templates = append(doc.Templates, otherOf(s, c))
	case plan.HostMountKind:
		doc.HostMounts = append(doc.HostMounts, otherOf(s, c))
	case plan.SnippetKind:
		doc.Snippets = append(doc.Snippets, otherOf(s, c))
	case plan.JobKind:
		doc.BackupJobs = append(doc.BackupJobs, otherOf(s, c))
	default:
		doc.Containers = append(doc.Containers, c)
	}
}
