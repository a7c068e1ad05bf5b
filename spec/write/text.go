package write

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A text is a file of YAML that is edited in place: the nodes say where things stand, the bytes stay.
type text struct {
	src   string
	root  *yaml.Node // the top mapping
	lines []int      // offsets of the beginnings of lines
}

// errByHand is the error of what is written in a way that is not edited.
var errByHand = errors.New("is written in a way that is not edited automatically")

func parseText(src string) (*text, error) {
	doc := new(yaml.Node)
	if err := yaml.NewDecoder(bytes.NewReader([]byte(src))).Decode(doc); err != nil {
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errByHand
	}
	t := &text{src: src, root: doc.Content[0], lines: []int{0}}
	for i := range len(src) {
		if src[i] == '\n' {
			t.lines = append(t.lines, i+1)
		}
	}
	return t, nil
}

// start is the offset at which a node begins.
func (t *text) start(n *yaml.Node) int {
	if n.Line < 1 || n.Line > len(t.lines) {
		return len(t.src)
	}
	at := t.lines[n.Line-1]
	if n.Line == 1 && strings.HasPrefix(t.src, "\ufeff") {
		at += len("\ufeff")
	}
	for range n.Column - 1 { // columns count characters
		_, size := utf8.DecodeRuneInString(t.src[at:])
		at += size
	}
	return at
}

// end is the offset at which a node ends, without comments and line ends after it.
func (t *text) end(n *yaml.Node) (int, error) {
	at := t.start(n)
	if n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return 0, errByHand
	}
	switch n.Kind {
	case yaml.AliasNode:
		return at + 1 + len(n.Value), nil
	case yaml.ScalarNode:
		return t.scalarEnd(n, at)
	case yaml.MappingNode, yaml.SequenceNode:
		if len(n.Content) > 0 {
			var err error
			if at, err = t.end(n.Content[len(n.Content)-1]); err != nil {
				return 0, err
			}
		}
		if n.Style&yaml.FlowStyle == 0 {
			return at, nil
		}
		if len(n.Content) == 0 {
			at++ // the bracket
		}
		return t.closing(at)
	}
	return 0, errByHand
}

// closing finds the end of a flow collection after its last value.
func (t *text) closing(at int) (int, error) {
	for at < len(t.src) {
		switch c := t.src[at]; c {
		case ']', '}':
			return at + 1, nil
		case '#':
			at = t.lineEnd(at)
		case ' ', '\t', '\r', '\n', ',', ':': // a colon stands before an empty value
			at++
		default:
			return 0, errByHand
		}
	}
	return 0, errByHand
}

func (t *text) scalarEnd(n *yaml.Node, at int) (int, error) {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := at + 1; i < len(t.src); i++ {
			switch t.src[i] {
			case '\\':
				i++
			case '"':
				return i + 1, nil
			}
		}
		return 0, errByHand
	case n.Style&yaml.SingleQuotedStyle != 0:
		for i := at + 1; i < len(t.src); i++ {
			if t.src[i] == '\'' {
				if !strings.HasPrefix(t.src[i+1:], "'") {
					return i + 1, nil
				}
				i++
			}
		}
		return 0, errByHand
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return t.blockEnd(at), nil
	}
	return t.plainEnd(n.Value, at)
}

// plainEnd follows a plain scalar, in which a line end and the indentation after it are one blank.
func (t *text) plainEnd(value string, at int) (int, error) {
	for i := 0; i < len(value); {
		if value[i] != ' ' && value[i] != '\n' {
			if at >= len(t.src) || t.src[at] != value[i] {
				return 0, errByHand
			}
			at++
			i++
			continue
		}
		for i < len(value) && (value[i] == ' ' || value[i] == '\n') {
			i++
		}
		for at < len(t.src) && strings.IndexByte(" \t\r\n", t.src[at]) >= 0 {
			at++
		}
	}
	return at, nil
}

// blockEnd is the end of a block scalar whose header begins at an offset: of its last line that is not blank.
func (t *text) blockEnd(at int) int {
	indent := t.indent(at)
	end := t.lineEnd(at)
	for next := end + 1; next < len(t.src); {
		stop := t.lineEnd(next)
		line := t.src[next:stop]
		if strings.TrimSpace(line) != "" {
			if len(line)-len(strings.TrimLeft(line, " ")) <= indent {
				break
			}
			end = stop
		}
		next = stop + 1
	}
	return end
}

// lineStart and lineEnd are the bounds of the line with an offset; the line end is not part of it.
func (t *text) lineStart(at int) int { return strings.LastIndexByte(t.src[:at], '\n') + 1 }

func (t *text) lineEnd(at int) int {
	if i := strings.IndexByte(t.src[at:], '\n'); i >= 0 {
		return at + i
	}
	return len(t.src)
}

// indent is the number of blanks before the first character of the line with an offset.
func (t *text) indent(at int) int {
	line := t.src[t.lineStart(at):]
	return len(line) - len(strings.TrimLeft(line, " "))
}

// comments are the comments between two offsets that belong to no scalar of the given nodes.
func (t *text) comments(from, to int, nodes ...*yaml.Node) ([]string, error) {
	covered := make([]bool, to-from)
	for _, n := range nodes {
		if err := t.cover(n, from, covered); err != nil {
			return nil, err
		}
	}
	var out []string
	for i := from; i < to; i++ {
		if t.src[i] != '#' || covered[i-from] || i > 0 && strings.IndexByte(" \t\n", t.src[i-1]) < 0 {
			continue
		}
		end := min(t.lineEnd(i), to)
		out = append(out, strings.TrimRight(t.src[i:end], " \t\r"))
		i = end
	}
	return out, nil
}

// cover marks the characters that belong to scalars.
func (t *text) cover(n *yaml.Node, from int, covered []bool) error {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		for _, c := range n.Content {
			if err := t.cover(c, from, covered); err != nil {
				return err
			}
		}
		return nil
	}
	start := t.start(n)
	end, err := t.end(n)
	if err != nil {
		return err
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 { // its header may have a comment
		start = t.lineEnd(start)
	}
	for i := max(start, from); i < min(end, from+len(covered)); i++ {
		covered[i-from] = true
	}
	return nil
}

// entry finds a key of a mapping.
func entry(m *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if k := m.Content[i]; k.Kind == yaml.ScalarNode && k.Value == name && name != "<<" {
			return k, m.Content[i+1]
		}
	}
	return nil, nil
}
