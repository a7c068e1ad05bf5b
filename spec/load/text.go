package load

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/spec"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// checkText finds what cannot be in a text of YAML, which the parsers would report without a place.
func checkText(file string, data []byte) (spec.Place, error) {
	at := func(offset int) spec.Place { return placeOf(file, data, offset) }
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return at(0), errors.New("is UTF-16: save it as UTF-8")
	case len(bytes.TrimSpace(data)) == 0:
		return spec.Place{File: file}, errors.New("is empty: remove it, or write the spec into it (a file that was cut off looks the same)")
	}
	if n := values(data); n > maxValues {
		return spec.Place{File: file}, fmt.Errorf("holds more than %d values: split it into several files", maxValues)
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return at(i), fmt.Errorf("byte %#02x is not UTF-8: save the file as UTF-8", data[i])
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return at(i), fmt.Errorf("control character %U is not allowed: remove it, or write it as an escape in double quotes", r)
		}
		i += size
	}
	return spec.Place{}, nil
}

// values is how many values a text holds at most: one for each mark that can begin one. Parsers take hundreds
// of bytes for each, so that a small file of commas would take gigabytes.
func values(data []byte) int {
	n := bytes.Count(data, []byte("- "))
	for _, mark := range ",:[{?" {
		n += bytes.Count(data, []byte(string(mark)))
	}
	return n
}

// placeOf counts lines and columns, in characters, from 1.
func placeOf(file string, data []byte, offset int) spec.Place {
	head := data[:offset]
	start := bytes.LastIndexByte(head, '\n') + 1
	return spec.Place{
		File: file, Line: 1 + bytes.Count(head, []byte("\n")), Column: 1 + utf8.RuneCount(head[start:]),
	}
}

var (
	syntaxRE = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	anchorRE = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	parserRE = regexp.MustCompile(`^did not find expected (',' or|'-' indicator|key|node content|<)|^found undefined tag handle`)
)

// syntax turns the parser's error into a fault: it knows the line, and calls a tab a character that cannot
// start any token.
func syntax(file string, data []byte, err error) (spec.Place, error) {
	m := syntaxRE.FindStringSubmatch(strings.TrimSpace(err.Error()))
	if m == nil {
		return spec.Place{File: file}, fmt.Errorf("is not YAML: %w", err)
	}
	if anchor := anchorRE.FindStringSubmatch(m[2]); anchor != nil {
		use := regexp.MustCompile(`\*` + regexp.QuoteMeta(anchor[1]) + `(?:[\s,\]}:]|$)`)
		return placeOf(file, data, max(0, slices.Min(append(use.FindIndex(data), len(data)-1)))), fmt.Errorf("there is no anchor &%s above: write it, or the value", anchor[1])
	}
	line, _ := strconv.Atoi(m[1])
	if line > 0 && parserRE.MatchString(m[2]) {
		line++ // these errors count lines from 0
	}
	if line == 0 {
		return spec.Place{File: file, Line: 1, Column: 1}, fmt.Errorf("is not YAML: %s", m[2])
	}
	lines := bytes.Split(data, []byte("\n"))
	// The parser is at times a line early or late about a tab.
	for n := max(line-1, 1); n <= min(line+1, len(lines)); n++ {
		indent := len(lines[n-1]) - len(bytes.TrimLeft(lines[n-1], " \t"))
		if tab := bytes.IndexByte(lines[n-1][:indent], '\t'); tab >= 0 {
			return spec.Place{File: file, Line: n, Column: tab + 1}, errors.New("a tab indents this line: use blanks")
		}
	}
	column := 1
	if line <= len(lines) {
		column += len(lines[line-1]) - len(bytes.TrimLeft(lines[line-1], " "))
	}
	return spec.Place{File: file, Line: line, Column: column}, fmt.Errorf("is not YAML: %s", m[2])
}

// errInternal is the error of a parser that lost its way.
var errInternal = errors.New("yaml: the parser gave up on this file")

// guard runs a parser. Parsers of YAML have been known to panic over hostile texts; a spec that comes from a
// repository must never end the agent.
func guard(parse func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errInternal
		}
	}()
	return parse()
}

// parseNodes reads the only document of a file. second is where another one begins, if there is one.
func parseNodes(data []byte) (doc, second *yaml.Node, err error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	doc, second = new(yaml.Node), new(yaml.Node)
	if err := guard(func() error { return d.Decode(doc) }); err != nil {
		return nil, nil, err
	}
	if err := guard(func() error { return d.Decode(second) }); err != nil {
		// The end of the file, mostly; other errors lie behind a document that is refused anyway or are
		// found by the next reader.
		return doc, nil, ignoreEnd(err)
	}
	return doc, second, nil
}
