package load

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// Limits of a document.
const (
	maxDepth   = 100     // mappings and lists within one another
	maxValues  = 1 << 20 // values of a file
	maxAliased = 1 << 18 // values that come about by aliases, beyond those that are written
)

// A node is a value of a document. Aliases share the node of their anchor, so that the tree is never larger
// than the text.
type node struct {
	scalar *yaml.Node // or nil
	fields map[string]entry
	items  []entry
	depth  int
	size   int // of the value with all aliases written out
}

// An entry is a node and where it stands: at its key, or in its list.
type entry struct {
	*node
	place spec.Place
}

// find follows a path as far as it goes and returns the place of the last entry and how many elements were
// followed.
func (e entry) find(path setting.Path) (place spec.Place, depth int) {
	place = e.place
	for _, name := range path {
		if e.node == nil {
			break
		}
		next, ok := e.fields[name]
		if !ok {
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(e.items) {
				break
			}
			next = e.items[i]
		}
		e, place, depth = next, next.place, depth+1
	}
	return place, depth
}

// forget lets go of the texts, once they are compared: the places are all that is still needed.
func (e entry) forget() {
	e.scalar = nil
	for _, f := range e.fields {
		f.forget()
	}
	for _, i := range e.items {
		i.forget()
	}
}

// A trail leads to a value, as the path does that is made from it where there is a fault.
type trail struct {
	up    *trail
	name  string
	depth int
}

// to leads on; from nil, which is the document.
func (t *trail) to(name string) *trail {
	if t == nil {
		return &trail{nil, name, 1}
	}
	return &trail{t, name, t.depth + 1}
}

func (t *trail) path() setting.Path {
	if t == nil {
		return nil
	}
	out := make(setting.Path, t.depth)
	for ; t != nil; t = t.up {
		out[t.depth-1] = t.name
	}
	return out
}

// A tree makes nodes. A fault that leaves no sense in the rest of the document, or no safe way to read it,
// is fatal.
type tree struct {
	file   string
	fault  func(p spec.Place, at setting.Path, err error)
	done   map[*yaml.Node]*node // those with an anchor; nil while one is being made
	shared int                  // values written, without those that aliases repeat
	merged int                  // fields that merge keys repeat
	fatal  bool
}

func (t *tree) place(n *yaml.Node) spec.Place {
	return spec.Place{File: t.file, Line: n.Line, Column: n.Column}
}

func (t *tree) fail(n *yaml.Node, at *trail, err error) *node {
	t.fatal = true
	t.fault(t.place(n), at.path(), err)
	return nil
}

// make returns the node of a value, or nil after a fatal fault.
func (t *tree) make(n *yaml.Node, at *trail) *node {
	if n.Kind == yaml.AliasNode {
		made, begun := t.done[n.Alias]
		switch {
		case !begun: // the anchor of a key
			return t.make(n.Alias, at)
		case made == nil:
			return t.fail(n, at, fmt.Errorf("the anchor &%s contains itself: write the value out", n.Value))
		}
		return made
	}
	if n.Anchor != "" {
		t.done[n] = nil
	}
	t.shared++
	out := &node{depth: 1, size: 1}
	if at != nil && at.depth > maxDepth {
		return t.fail(n, nil, fmt.Errorf("is nested more than %d levels deep", maxDepth))
	}
	if n.Style&yaml.TaggedStyle != 0 {
		return t.fail(n, at, fmt.Errorf("the tag %s is not part of the format: remove it; texts go in quotes", n.Tag))
	}
	switch n.Kind {
	case yaml.ScalarNode:
		out.scalar = n
		if f := strings.ToLower(strings.TrimLeft(n.Value, "+-")); n.ShortTag() == "!!float" && (f == ".inf" || f == ".nan") {
			return t.fail(n, at, fmt.Errorf("%s is not a number that can be set: put it in quotes if it is a text", n.Value))
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			if e := (entry{t.make(item, at.to(strconv.Itoa(i))), t.place(item)}); e.node != nil {
				out.items = append(out.items, e)
				out.grow(e.node)
			}
		}
	case yaml.MappingNode:
		t.fields(out, n, at)
	}
	if n.Anchor != "" {
		t.done[n] = out
	}
	if out.depth > maxDepth {
		return t.fail(n, at, fmt.Errorf("is nested more than %d levels deep", maxDepth))
	}
	return out
}

// grow counts a part of a value.
func (n *node) grow(part *node) {
	n.depth = max(n.depth, part.depth+1)
	n.size = min(n.size+part.size, 1<<40)
}

// fields adds the keys of a mapping and their values.
func (t *tree) fields(out *node, n *yaml.Node, at *trail) {
	out.fields = make(map[string]entry, len(n.Content)/2)
	var inherited map[string]bool
	for i := 0; i+1 < len(n.Content) && !t.fatal; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		place, here := t.place(key), at.to(key.Value)
		switch tag := key.ShortTag(); {
		case key.Kind == yaml.ScalarNode && key.Value == "<<":
			t.merge(out, key, value, i, at)
			inherited = make(map[string]bool, len(out.fields))
			for name := range out.fields {
				inherited[name] = true
			}
			continue
		case key.Kind != yaml.ScalarNode, key.Style&yaml.TaggedStyle != 0, tag == "!!null":
			t.fail(key, at, errors.New("a key must be a text: write a name before the colon"))
			return
		case tag != "!!str" && tag != "!!timestamp":
			t.fault(place, here.path(), fmt.Errorf("the key %s is not a text: put it in quotes", key.Value))
			continue
		}
		made := t.make(value, here)
		if made == nil {
			return
		}
		if old, ok := out.fields[key.Value]; ok && !inherited[key.Value] {
			t.fault(place, here.path(), fmt.Errorf("is written twice, first in line %d, column %d: remove one", old.place.Line, old.place.Column))
		}
		delete(inherited, key.Value)
		out.fields[key.Value] = entry{made, place}
		out.grow(made)
	}
}

// merge adds the fields of other mappings (<<: *anchor). Readers differ in what wins if it does not stand
// first.
func (t *tree) merge(out *node, key, value *yaml.Node, i int, at *trail) {
	if i != 0 || key.Style != 0 {
		t.fail(key, at, errors.New("the merge key << stands first in its mapping, once and without quotes"))
		return
	}
	from := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		from = value.Content
	}
	for _, n := range from {
		made := t.make(n, at)
		switch {
		case made == nil:
			return
		case made.fields == nil:
			t.fail(n, at, errors.New("the merge key << takes the alias of a mapping, or a list of such aliases"))
			return
		}
		if t.merged += len(made.fields); t.merged > maxAliased {
			t.fail(n, at, errAliases)
			return
		}
		for name, e := range made.fields {
			if _, ok := out.fields[name]; !ok {
				out.fields[name] = e
				out.grow(e.node)
			}
		}
	}
}

var errAliases = errors.New("aliases repeat too much: use profiles in place of anchors")

// ignoreEnd returns nil for the end of a file.
func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
