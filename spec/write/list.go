package write

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// keepOrder puts a list into the order in which another one has the same elements; what is new takes the
// places of what is gone.
func keepOrder(old, new []any) []any {
	fresh := slices.DeleteFunc(slices.Clone(new), func(v any) bool { return slices.Contains(old, v) })
	var out []any
	for _, v := range old {
		switch {
		case slices.Contains(new, v):
			out = append(out, v)
		case len(fresh) > 0:
			out = append(out, fresh[0])
			fresh = fresh[1:]
		}
	}
	return append(out, fresh...)
}

// A script turns one list into another: elements that stay, are replaced or removed, and those that are added
// after one of them.
type script struct {
	replace map[int]any
	remove  map[int]bool
	add     []any
	after   int // index in the old list
}

// scriptOf leaves alone what both lists begin and end with.
func scriptOf(old, new []any) script {
	s := script{replace: map[int]any{}, remove: map[int]bool{}}
	head := 0
	for head < len(old) && head < len(new) && old[head] == new[head] {
		head++
	}
	tail := 0
	for tail < len(old)-head && tail < len(new)-head && old[len(old)-1-tail] == new[len(new)-1-tail] {
		tail++
	}
	for i := head; i < len(old)-tail; i++ {
		if j := i; j < len(new)-tail {
			s.replace[i] = new[j]
		} else {
			s.remove[i] = true
		}
	}
	s.after = len(old) - tail - 1
	if n := len(new) - tail; n > s.after+1 {
		s.add = new[s.after+1 : n]
	}
	return s
}

// replaceList changes the elements of a list that differ.
func (t *text) replaceList(n *yaml.Node, list []any) (string, error) {
	var old []any
	for _, e := range n.Content {
		if e.Kind != yaml.ScalarNode {
			return "", errByHand
		}
		old = append(old, e.Value)
	}
	s := scriptOf(old, list)
	if n.Style&yaml.FlowStyle == 0 && s.after >= 0 {
		return t.replaceLines(n, s)
	}
	from := t.start(n)
	end, err := t.end(n)
	if err != nil {
		return "", err
	}
	if comments, err := t.comments(from, end, n); err != nil || len(comments) > 0 {
		return "", errByHand
	}
	var parts []string
	for i, e := range n.Content {
		stop, err := t.end(e)
		if err != nil {
			return "", err
		}
		if v, ok := s.replace[i]; ok {
			parts = append(parts, inline(v))
		} else if !s.remove[i] {
			parts = append(parts, t.src[t.start(e):stop])
		}
		if i == s.after {
			for _, v := range s.add {
				parts = append(parts, inline(v))
			}
		}
	}
	if s.after < 0 {
		var first []string
		for _, v := range s.add {
			first = append(first, inline(v))
		}
		parts = append(first, parts...)
	}
	return t.splice(from, end, "["+strings.Join(parts, ", ")+"]"), nil
}

// replaceLines changes a list that stands in lines, from its end to its beginning.
func (t *text) replaceLines(n *yaml.Node, s script) (string, error) {
	out := t.src
	indent := strings.Repeat(" ", n.Column-1)
	for i := len(n.Content) - 1; i >= 0; i-- {
		e := n.Content[i]
		from := t.start(e)
		end, err := t.end(e)
		if err != nil {
			return "", err
		}
		line, next := t.lineStart(from), min(t.lineEnd(end)+1, len(t.src))
		if i == s.after && len(s.add) > 0 {
			made := ""
			for _, v := range s.add {
				made += indent + "- " + inline(v) + "\n"
			}
			if next > 0 && t.src[next-1] != '\n' {
				made = "\n" + strings.TrimSuffix(made, "\n")
			}
			out = out[:next] + t.newlines(made) + out[next:]
		}
		if v, ok := s.replace[i]; ok {
			out = out[:from] + inline(v) + out[end:]
		}
		if s.remove[i] {
			kept, err := t.kept(line, next, n.Column-1, e)
			if err != nil {
				return "", err
			}
			out = out[:line] + kept + out[next:]
		}
	}
	return out, nil
}
