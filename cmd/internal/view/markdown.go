package view

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/felhom/tend/reconcile/plan"
)

// Markdown writes the plan for a comment on a pull request: the summary, a line a container, and the whole plan
// folded away.
func (p Plan) Markdown(w io.Writer) error {
	out := &printer{w: w}
	out.line("### %s", escapeMarkdown(p.header()))
	out.line("")
	out.line("**%s**", escapeMarkdown(p.Summary()))
	if blocks := p.blocks(); len(blocks) > 0 {
		out.line("")
		out.line("| container | action | effect | changes |")
		out.line("|---|---|---|---|")
		for _, b := range blocks {
			out.line("%s", b.markdown())
		}
	}
	if len(p.Unclaimed) > 0 {
		out.line("")
		var names []string
		for _, u := range p.Unclaimed {
			names = append(names, escapeMarkdown(fmt.Sprintf("%d %s", u.Ref.ID, Clean(u.Name))))
		}
		out.line("Unclaimed, left alone: %s", strings.Join(names, ", "))
	}
	if len(p.Unused) > 0 {
		out.line("")
		var names []string
		for _, u := range p.Unused {
			names = append(names, escapeMarkdown(fmt.Sprintf("%d %s", u.ID, Clean(u.Volume))))
		}
		out.line("Unused volumes, kept: %s", strings.Join(names, ", "))
	}
	if out.err != nil {
		return out.err
	}
	if p.Synced() && len(p.Unclaimed)+len(p.Policies) == 0 {
		return nil
	}
	return p.details(out)
}

// details is the text of the plan in a fence that none of its lines can end.
func (p Plan) details(out *printer) error {
	var text bytes.Buffer
	if err := p.Text(&text, Style{Width: 120}); err != nil {
		return err
	}
	fence := "```"
	for strings.Contains(text.String(), fence) {
		fence += "`"
	}
	out.line("")
	out.line("<details><summary>The whole plan</summary>")
	out.line("")
	out.line("%stext", fence)
	out.line("%s", strings.TrimRight(text.String(), "\n"))
	out.line("%s", fence)
	out.line("")
	out.line("</details>")
	return out.err
}

func (b Block) markdown() string {
	action, effect := b.Title, b.Effect
	var changes []string
	for _, r := range b.Rows {
		text := r.Mark + " " + r.Label
		switch {
		case r.Label == "":
			text += r.Text
		case r.Text != "":
			text += ": " + r.Text
		}
		if r.Mark == "!" {
			text += " (" + r.Effect + ")"
		}
		changes = append(changes, escapeMarkdown(text))
	}
	if b.Reason != "" {
		action, changes = "blocked", []string{escapeMarkdown(strings.TrimPrefix(b.Reason, "blocked: "))}
	}
	if b.Title == plan.Destroy.String() {
		action = "**destroy**"
	}
	name := escapeMarkdown(title(b.Subject, b.Name))
	return fmt.Sprintf("| %s | %s | %s | %s |", name, action, effect, strings.Join(changes, "<br>"))
}

// escapeMarkdown keeps text from being read as markup, and from ending a cell of a table.
func escapeMarkdown(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '<':
			b.WriteString("&lt;")
			continue
		case '>':
			b.WriteString("&gt;")
			continue
		case '@':
			b.WriteString("&#64;") // else a name would be notified
			continue
		case '\\', '`', '*', '_', '[', ']', '|', '#', '~', '$':
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
