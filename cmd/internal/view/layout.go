package view

import "strings"

// A layout holds the columns that all containers of a plan share, so that they can be read downwards.
type layout struct {
	Style
	name   int // width of the id and name
	label  int // width of the label
	effect int // where the effects begin
}

// The columns: "  120 media   create", "      ~ cores  2 → 4".
const (
	rowIndent = 6
	markWidth = 2
	gap       = 2
	maxLabel  = 24
)

func layoutOf(blocks []Block, s Style) layout {
	l := layout{Style: s}
	widest, effect := 0, 0
	for _, b := range blocks {
		l.name = max(l.name, cells(b.head()))
		effect = max(effect, cells(b.Effect))
		for _, r := range b.Rows {
			l.label = max(l.label, min(cells(r.Label), maxLabel))
			effect = max(effect, cells(r.Effect))
		}
	}
	l.name = min(l.name, s.width()/2)
	for _, b := range blocks {
		widest = max(widest, gap+l.name+gap+1+cells(b.Title))
		for _, r := range b.Rows {
			if r.Effect != "" {
				widest = max(widest, l.textColumn()+cells(r.Text))
			}
		}
	}
	l.effect = min(widest+gap, s.width()-effect)
	return l
}

func (l layout) textColumn() int { return rowIndent + markWidth + l.label + gap }

// head is the VMID and name, with a mark before where the container is blocked as a whole.
func (b Block) head() string {
	text := b.Heading()
	if b.Mark != "" {
		return b.Mark + " " + text
	}
	return text
}

func (l layout) print(out *printer, blocks []Block) {
	for _, b := range blocks {
		l.title(out, b)
		for _, r := range b.Rows {
			l.row(out, r)
		}
	}
}

func (l layout) title(out *printer, b Block) {
	head := pad(cut(b.head(), l.name), l.name)
	left := strings.Repeat(" ", gap) + l.paint(bold, head) + strings.Repeat(" ", gap+1)
	at := gap + l.name + gap + 1
	if b.Reason != "" {
		lines := wrap(b.Reason, l.width()-at)
		if l.width()-at < leastText {
			at = rowIndent
			out.line("%s", left)
			lines = append([]string{""}, wrap(b.Reason, l.width()-at)...)
		} else {
			out.line("%s%s", left, l.paint(b.Tone, lines[0]))
		}
		l.below(out, lines[1:], at, b.Tone)
		for _, w := range b.Ways {
			l.hanging(out, w, at)
		}
		return
	}
	end := at + cells(b.Title)
	if end+gap+cells(b.Effect) > l.width() {
		out.line("%s%s", left, l.paint(b.Tone, b.Title))
		out.line("%s%s", strings.Repeat(" ", rowIndent), strings.TrimLeft(l.rightOf(0, b.Effect), " "))
		return
	}
	out.line("%s%s%s", left, l.paint(b.Tone, b.Title), l.rightOf(end, b.Effect))
}

// rightOf is an effect in its column, after something that ends in the given column.
func (l layout) rightOf(end int, effect string) string {
	if effect == "" {
		return ""
	}
	c := plain
	switch {
	case strings.HasPrefix(effect, "restart"), effect == "stop", effect == "link flap", effect == "blocked", effect == "waits":
		c = yellow
	case effect == "data is lost":
		c = red
	}
	return strings.Repeat(" ", max(gap, l.effect-end)) + l.paint(c, effect)
}

func (l layout) row(out *printer, r Row) {
	left := strings.Repeat(" ", rowIndent) + l.paint(r.Tone, r.Mark) + " "
	at := l.textColumn()
	switch {
	case r.Label == "":
		lines := wrap(r.Text, l.width()-rowIndent-markWidth-len("from "))
		out.line("%s%s", left, lines[0])
		l.below(out, lines[1:], rowIndent+markWidth+len("from "), plain)
	case l.narrow() || cells(r.Label) > l.label || longestWord(r.Text) > l.limit(r.Effect)-at:
		if l.narrow() || longestWord(r.Text) > l.width()-at {
			at = rowIndent + markWidth + gap
		}
		l.stacked(out, left, r, at)
	default:
		lines := wrap(r.Text, l.limit(r.Effect)-at)
		end := max(at+cells(lines[0]), rowIndent+markWidth+l.label+gap)
		out.line("%s%s  %s%s", left, pad(r.Label, l.label), lines[0], l.rightOf(end, r.Effect))
		l.below(out, lines[1:], at, plain)
	}
	for _, m := range r.More {
		l.hanging(out, m, at)
	}
}

// stacked prints the text below the label: beside it there is no room.
func (l layout) stacked(out *printer, left string, r Row, at int) {
	lines := wrap(r.Label, l.limit(r.Effect)-rowIndent-markWidth)
	out.line("%s%s%s", left, lines[0], l.rightOf(rowIndent+markWidth+cells(lines[0]), r.Effect))
	l.below(out, lines[1:], rowIndent+markWidth, plain)
	if r.Text != "" {
		l.below(out, wrap(r.Text, l.width()-at), at, plain)
	}
}

// limit is the column where text ends at the latest.
func (l layout) limit(effect string) int {
	if effect == "" {
		return l.width()
	}
	return l.effect - gap
}

func longestWord(s string) (n int) {
	for _, w := range strings.Fields(s) {
		n = max(n, cells(w))
	}
	return n
}

// leastText is the least room for text beside a label.
const leastText = 24

func (l layout) narrow() bool {
	return l.effect-gap-l.textColumn() < leastText && l.width() < defaultWidth
}

// below prints lines that begin in a column.
func (l layout) below(out *printer, lines []string, at int, c Tone) {
	for _, line := range lines {
		out.line("%s%s", strings.Repeat(" ", at), l.paint(c, line))
	}
}

// hanging prints a note; what follows its first line is indented under the words of an arrow.
func (l layout) hanging(out *printer, text string, at int) {
	indent := 0
	if strings.HasPrefix(text, "→ ") {
		indent = 2
	}
	lines := wrap(text, l.width()-at-indent)
	l.below(out, lines[:1], at, dim)
	l.below(out, lines[1:], at+indent, dim)
}
