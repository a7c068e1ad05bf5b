package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	sigs "sigs.k8s.io/yaml"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A document is the content of a file: values and, beside them, their places.
type document struct {
	file  string
	root  entry
	value map[string]any
}

// add reads the text of a file.
func (l *loader) add(file string, data []byte) {
	if place, err := checkText(file, data); err != nil {
		l.faultAt(place, nil, err)
		return
	}
	data = bytes.TrimPrefix(data, byteOrderMark)
	doc, second, err := parseNodes(data)
	if errors.Is(err, io.EOF) { // comments only
		return
	}
	if err != nil {
		place, err := syntax(file, data, err)
		l.faultAt(place, nil, err)
		return
	}
	t := &tree{file: file, fault: l.faultAt, done: map[*yaml.Node]*node{}}
	if second != nil {
		l.faultAt(t.place(second), nil, errors.New("a second document begins here: put it into a file of its own and remove the ---"))
	}
	top := doc.Content[0]
	root := entry{t.make(top, nil), t.place(top)}
	if !t.fatal && root.size > t.shared+maxAliased {
		t.fail(top, nil, errAliases)
	}
	if t.fatal {
		return
	}
	if top.ShortTag() == "!!null" {
		return
	}
	l.decode(root, data)
}

// decode takes the values from a second reader and keeps those on which both agree.
func (l *loader) decode(root entry, data []byte) {
	var value any
	err := guard(func() error {
		return sigs.Unmarshal(data, &value, func(d *json.Decoder) *json.Decoder { d.UseNumber(); return d })
	})
	if err != nil {
		place, err := syntax(root.place.File, data, errors.New(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")))
		l.faultAt(place, nil, err)
		return
	}
	value, _ = l.agree(root, value, nil)
	root.forget()
	m, ok := value.(map[string]any)
	if !ok {
		l.faultAt(root.place, nil, errors.New("is not a mapping: a spec begins with a key, such as containers"))
		return
	}
	l.docs = append(l.docs, document{root.place.File, root, m})
}

// agree compares what both readers made of a value and returns it without the parts on which they differ. The
// value is changed in place.
func (l *loader) agree(e entry, v any, at *trail) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		if e.fields == nil {
			break
		}
		for name, field := range e.fields {
			if _, ok := v[name]; !ok { // the key became something else: the text "true", for example
				l.ambiguous(field.place, at.to(name), name)
			}
		}
		for name, part := range v {
			field, ok := e.fields[name]
			if ok {
				v[name], ok = l.agree(field, part, at.to(name))
			}
			if !ok {
				delete(v, name)
			}
		}
		return v, true
	case []any:
		if len(e.items) != len(v) {
			break
		}
		for i, item := range e.items {
			// What is wrong keeps its place, so that the others keep their numbers.
			v[i], _ = l.agree(item, v[i], at.to(strconv.Itoa(i)))
		}
		return v, true
	default:
		if e.scalar == nil {
			break
		}
		return l.agreeScalar(e, v, at)
	}
	l.spoil(e.place, at, errors.New("is understood differently by different readers of YAML: write it in a plainer way"))
	return nil, false
}

// decimalRE is a number that looks like what it is.
var decimalRE = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// agreeScalar accepts a scalar that both readers understand the same way, and that a person would, too.
func (l *loader) agreeScalar(e entry, v any, at *trail) (any, bool) {
	text, tag := e.scalar.Value, e.scalar.ShortTag()
	switch v := v.(type) {
	case nil:
		if tag == "!!null" {
			return nil, true
		}
	case bool:
		if tag == "!!bool" {
			return v, true
		}
	case string:
		if v == text && (tag == "!!str" || tag == "!!timestamp") {
			return v, true
		}
	case json.Number:
		if tag != "!!int" && tag != "!!float" {
			break
		}
		if decimalRE.MatchString(text) && sameNumber(text, v.String()) {
			return json.Number(text), true
		}
		l.spoil(e.place, at, fmt.Errorf("%s is the number %s to YAML: put it in quotes if it is a text, or write that number", text, v))
		return nil, false
	}
	l.ambiguous(e.place, at, text)
	return nil, false
}

func (l *loader) ambiguous(p spec.Place, at *trail, text string) {
	l.spoil(p, at, fmt.Errorf("%s is a boolean to some readers of YAML and a text to others: write true or false, or put it in quotes", text))
}

// spoil reports a value that cannot be used: nothing more is said about it.
func (l *loader) spoil(p spec.Place, at *trail, err error) {
	l.faultAt(p, at.path(), err)
	l.spoilt[p] = true
}

// report reports a fault of what was decoded.
func (l *loader) report(p spec.Place, at setting.Path, err error) {
	if !l.spoilt[p] {
		l.faultAt(p, at, err)
	}
}

// sameNumber compares two decimals; whole ones must be the same to the last digit.
func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	x, errA := strconv.ParseFloat(a, 64)
	y, errB := strconv.ParseFloat(b, 64)
	return errA == nil && errB == nil && x == y && strings.Contains(a, ".")
}
