package write

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// set returns the text with a value at a path, which is replaced where it stands and added where it does
// not. order tells in which order the keys of the mapping at a path are written.
func (t *text) set(path []string, value any, order func([]string) []string) (string, error) {
	m := t.root
	for i, name := range path {
		key, v := entry(m, name)
		switch {
		case key == nil:
			return t.insert(m, name, nest(path[i+1:], value), order(path[:i]))
		case i == len(path)-1:
			return t.replace(key, v, value)
		case v.Kind == yaml.MappingNode:
			m = v
		case v.Kind == yaml.ScalarNode && v.ShortTag() == "!!null":
			return t.replace(key, v, nest(path[i+1:], value))
		default:
			return "", errByHand
		}
	}
	return "", errByHand
}

// nest wraps a value in mappings.
func nest(path []string, value any) any {
	for _, name := range slices.Backward(path) {
		value = fields{{key: name, value: value}}
	}
	return value
}

// splice replaces a part of the text.
func (t *text) splice(from, to int, with string) string { return t.src[:from] + with + t.src[to:] }

// newlines gives lines the ends that the file has.
func (t *text) newlines(s string) string {
	if strings.Contains(t.src, "\r\n") {
		return strings.ReplaceAll(s, "\n", "\r\n")
	}
	return s
}

// insert adds a key to a mapping, after the last of those that stand before it in the order.
func (t *text) insert(m *yaml.Node, name string, value any, order []string) (string, error) {
	last := len(m.Content) - 2
	if rank := slices.Index(order, name); rank >= 0 {
		for i := len(m.Content) - 2; i >= 0; i -= 2 {
			if r := slices.Index(order, m.Content[i].Value); r >= 0 && r < rank {
				last = i
				break
			}
		}
	}
	if m.Style&yaml.FlowStyle != 0 {
		return t.insertFlow(m, last, scalar(name)+": "+inline(value))
	}
	if last < 0 {
		return "", errByHand
	}
	at, err := t.end(m.Content[last+1])
	if err != nil {
		return "", err
	}
	indent := m.Content[0].Column - 1
	f := field{key: name, value: value}
	_, nested := value.(fields)
	f.block = nested && m.Content[last+1].Kind == yaml.MappingNode && m.Content[last+1].Style&yaml.FlowStyle == 0 && len(order) == 0
	p := &printer{}
	p.field(indent, f)
	at = t.afterEntry(at, indent)
	made := t.newlines(p.b.String())
	if at > 0 && t.src[at-1] != '\n' {
		made = t.newlines("\n") + strings.TrimRight(made, "\r\n")
	}
	return t.splice(at, at, made), nil
}

func (t *text) insertFlow(m *yaml.Node, last int, made string) (string, error) {
	end, err := t.end(m)
	if err != nil {
		return "", err
	}
	if last < 0 {
		start := t.start(m)
		if comments, err := t.comments(start, end, m); err != nil || len(comments) > 0 {
			return "", errByHand
		}
		return t.splice(start+1, end-1, made), nil
	}
	at, err := t.end(m.Content[last+1])
	if err != nil {
		return "", err
	}
	return t.splice(at, at, ", "+made), nil
}

// afterEntry is the offset after the lines of an entry that ends at an offset: comments that are indented
// deeper than its key belong to it.
func (t *text) afterEntry(end, indent int) int {
	at := min(t.lineEnd(end)+1, len(t.src))
	for next := at; next < len(t.src); {
		stop := min(t.lineEnd(next)+1, len(t.src))
		line := strings.TrimSpace(t.src[next:stop])
		if line != "" && (line[0] != '#' || t.indent(next) <= indent) {
			break
		}
		if line != "" {
			at = stop
		}
		next = stop
	}
	return at
}

// remove returns the text without the key at a path. Comments within stay. A mapping that would be left
// empty goes too, down to a number of elements of the path that stay.
func (t *text) remove(path []string, stay int) (string, error) {
	m := t.root
	var parent *yaml.Node // the key whose value m is
	for i, name := range path {
		key, v := entry(m, name)
		switch {
		case key == nil:
			return "", errByHand
		case i < len(path)-1 && v.Kind != yaml.MappingNode:
			return "", errByHand
		case i < len(path)-1:
			parent, m = key, v
		case len(m.Content) == 2 && i > stay:
			return t.remove(path[:i], stay)
		case m.Style&yaml.FlowStyle != 0:
			return t.removeFlow(m, key)
		default:
			return t.removeBlock(m, key, v, parent)
		}
	}
	return "", errByHand
}

func (t *text) removeFlow(m, key *yaml.Node) (string, error) {
	i := slices.Index(m.Content, key)
	from, to := t.start(key), 0
	var err error
	if i+2 < len(m.Content) {
		to = t.start(m.Content[i+2])
	} else if to, err = t.end(m.Content[i+1]); err != nil {
		return "", err
	} else if i > 0 {
		if from, err = t.end(m.Content[i-1]); err != nil {
			return "", err
		}
	}
	if comments, err := t.comments(from, to, m); err != nil || len(comments) > 0 {
		return "", errByHand
	}
	return t.splice(from, to, ""), nil
}

func (t *text) removeBlock(m, key, value, parent *yaml.Node) (string, error) {
	end, err := t.end(value)
	if err != nil {
		return "", err
	}
	from, to := t.lineStart(t.start(key)), min(t.lineEnd(end)+1, len(t.src))
	kept, err := t.kept(from, to, key.Column-1, m)
	if err != nil {
		return "", err
	}
	out := t.splice(from, to, kept)
	if len(m.Content) == 2 && parent != nil { // nothing is left: say so
		at, err := t.colon(parent)
		if err != nil {
			return "", err
		}
		out = out[:at] + " {}" + out[at:]
	}
	return out, nil
}

// kept is the comments of a part of the text, each in a line of its own.
func (t *text) kept(from, to, indent int, nodes ...*yaml.Node) (string, error) {
	comments, err := t.comments(from, to, nodes...)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, c := range comments {
		b.WriteString(strings.Repeat(" ", indent) + c + "\n")
	}
	return t.newlines(b.String()), nil
}

// colon is the offset after the colon of a key.
func (t *text) colon(key *yaml.Node) (int, error) {
	at, err := t.end(key)
	if err != nil {
		return 0, err
	}
	for at < len(t.src) && strings.IndexByte(" \t", t.src[at]) >= 0 {
		at++
	}
	if !strings.HasPrefix(t.src[at:], ":") {
		return 0, errByHand
	}
	return at + 1, nil
}

// replace returns the text with another value of a key.
func (t *text) replace(key, v *yaml.Node, value any) (string, error) {
	if v.Kind == yaml.ScalarNode && v.Value == "" && v.ShortTag() == "!!null" {
		at, err := t.colon(key)
		if err != nil {
			return "", err
		}
		return t.splice(at, at, " "+inline(value)), nil
	}
	from := t.start(v)
	end, err := t.end(v)
	if err != nil {
		return "", err
	}
	list, isList := value.([]any)
	switch {
	case v.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return t.replaceBlock(from, end, value), nil
	case v.Kind == yaml.SequenceNode && isList && len(list) > 0:
		return t.replaceList(v, list)
	case v.Kind == yaml.ScalarNode || v.Kind == yaml.AliasNode:
		s, isText := value.(string)
		if isText && v.Style&yaml.DoubleQuotedStyle != 0 {
			return t.splice(from, end, quote(s)), nil
		}
		return t.splice(from, end, inline(value)), nil
	case v.Style&yaml.FlowStyle != 0:
		if comments, err := t.comments(from, end, v); err != nil || len(comments) > 0 {
			return "", errByHand
		}
		return t.splice(from, end, inline(value)), nil
	}
	at, err := t.colon(key)
	if err != nil {
		return "", err
	}
	kept, err := t.kept(at, end, key.Column-1, v)
	if err != nil {
		return "", err
	}
	out := t.splice(at, end, " "+inline(value))
	line := t.lineStart(t.start(key))
	return out[:line] + kept + out[line:], nil
}

// replaceBlock replaces a literal or folded text, whose header may have a comment.
func (t *text) replaceBlock(from, end int, value any) string {
	header := from
	for header < len(t.src) && strings.IndexByte(" \t\r\n", t.src[header]) < 0 {
		header++
	}
	stop := t.lineEnd(from)
	s, isText := value.(string)
	indent := t.indent(from) + 2
	if body := stop + 1; body < end {
		for body < end && strings.TrimSpace(t.src[body:t.lineEnd(body)]) == "" {
			body = t.lineEnd(body) + 1
		}
		indent = max(indent, t.indent(body))
	}
	if isText {
		if body, mark, ok := literal(s, indent); ok {
			return t.src[:from] + mark + t.src[header:stop] + t.newlines("\n"+strings.TrimSuffix(body, "\n")) + t.src[end:]
		}
	}
	return t.src[:from] + inline(value) + t.src[header:stop] + t.src[max(end, stop):]
}
