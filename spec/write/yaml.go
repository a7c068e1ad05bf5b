package write

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/felhom/tend/spec/setting"
)

// fields are a mapping in the order in which it is written.
type fields []field

// A field is a key with its value: fields, a []any of scalars, or a scalar as encoding/json decodes it.
type field struct {
	key   string
	value any
	block bool     // always in lines of its own, never in braces
	head  []string // comments above it
	note  string   // comment at the end of its line
}

// arrange puts what a table encoded in the order of its rows.
func arrange(rows []setting.Row, in map[string]any, prefix string) fields {
	var out fields
	seen := map[string]bool{}
	for _, row := range rows {
		rest, ok := strings.CutPrefix(row.SpecPath(), prefix)
		if !ok {
			continue
		}
		name, _, group := strings.Cut(rest, ".")
		v, ok := in[name]
		if !ok || seen[name] {
			continue
		}
		seen[name] = true
		if group {
			out = append(out, field{key: name, value: arrange(rows, v.(map[string]any), prefix+name+".")})
			continue
		}
		value, block := arrangeValue(row, v)
		out = append(out, field{key: name, value: value, block: block})
	}
	return out
}

// arrangeValue arranges the value of a row. Mappings whose keys are the author's stand in lines of their own.
func arrangeValue(row setting.Row, v any) (value any, block bool) {
	if list, ok := v.([]any); ok {
		return arrangeList(list), false
	}
	m, ok := v.(map[string]any)
	if !ok {
		return v, false
	}
	if fam, ok := row.(*setting.Family); ok {
		var out fields
		for _, id := range slices.Sorted(maps.Keys(m)) {
			member, _ := m[id].(map[string]any)
			out = append(out, field{key: id, value: arrange(fam.Member.Rows, member, "")})
		}
		return out, true
	}
	if rows := row.Info().Rows; rows != nil {
		return arrange(rows, m, ""), false
	}
	var out fields
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, field{key: k, value: m[k]})
	}
	return out, true
}

// arrangeList arranges the mappings in a list, whose keys are the author's.
func arrangeList(list []any) []any {
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = e
		if m, ok := e.(map[string]any); ok {
			var all fields
			for _, k := range slices.Sorted(maps.Keys(m)) {
				all = append(all, field{key: k, value: m[k]})
			}
			out[i] = all
		}
	}
	return out
}

// width is how long a line with a mapping in braces may be.
const width = 100

// A printer writes YAML in the one style of this package.
type printer struct{ b strings.Builder }

func (p *printer) comments(indent int, lines []string) {
	for _, l := range lines {
		p.b.WriteString(strings.TrimRight(strings.Repeat(" ", indent)+"# "+l, " ") + "\n")
	}
}

func (p *printer) fields(indent int, all fields) {
	for _, f := range all {
		p.field(indent, f)
	}
}

func (p *printer) field(indent int, f field) {
	p.comments(indent, f.head)
	line := strings.Repeat(" ", indent) + scalar(f.key) + ":"
	note := ""
	if f.note != "" {
		note = " # " + f.note
	}
	if s, ok := f.value.(string); ok {
		if body, header, ok := literal(s, indent+2); ok {
			p.b.WriteString(line + " " + header + note + "\n" + body)
			return
		}
	}
	if list, ok := f.value.([]any); ok && slices.ContainsFunc(list, isFields) {
		p.b.WriteString(line + note + "\n")
		p.items(indent+2, list)
		return
	}
	sub, nested := f.value.(fields)
	if nested && len(sub) > 0 && (f.block || !flat(sub) || utf8.RuneCountInString(line+inline(sub)) > width) {
		p.b.WriteString(line + note + "\n")
		p.fields(indent+2, sub)
		return
	}
	p.b.WriteString(line + " " + inline(f.value) + note + "\n")
}

func isFields(v any) bool {
	_, ok := v.(fields)
	return ok
}

// items writes a list in lines of their own; a mapping of one key needs no braces there.
func (p *printer) items(indent int, list []any) {
	for _, e := range list {
		text := inline(e)
		if f, ok := e.(fields); ok && len(f) == 1 && !isFields(f[0].value) {
			text = scalar(f[0].key) + ": " + inline(f[0].value)
		}
		p.b.WriteString(strings.Repeat(" ", indent) + "- " + text + "\n")
	}
}

// flat reports whether a mapping holds no mapping and no comment, so that it may stand in braces.
func flat(all fields) bool {
	for _, f := range all {
		list, _ := f.value.([]any)
		if isFields(f.value) || slices.ContainsFunc(list, isFields) || f.note != "" || len(f.head) > 0 {
			return false
		}
	}
	return true
}

// inline is a value on one line.
func inline(v any) string {
	switch v := v.(type) {
	case fields:
		parts := make([]string, len(v))
		for i, f := range v {
			parts[i] = scalar(f.key) + ": " + inline(f.value)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = inline(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		return scalar(v)
	case json.Number:
		return v.String()
	}
	return fmt.Sprint(v)
}

var (
	// plainRE is a text that every reader of YAML takes for that text, inside brackets too.
	plainRE = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./@+-]*(:[A-Za-z0-9_./@+-]+| [A-Za-z0-9_./@+-]+)*$`)
	// addressRE is an address, such as 192.168.1.20/24; three dots make it no number.
	addressRE = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(/[0-9]+)?$`)
	// amountRE is an amount with its unit.
	amountRE = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?([KMGT]iB|[hms]([0-9]+[ms])*)$`)
)

// words are texts that some readers of YAML take for something else.
var words = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}

// scalar is a text as it stands in YAML: plain where no reader could misunderstand it, else in quotes.
func scalar(s string) string {
	plain := plainRE.MatchString(s) && !slices.Contains(words, strings.ToLower(s)) && len(s) < 200
	if plain || addressRE.MatchString(s) || amountRE.MatchString(s) {
		return s
	}
	return quote(s)
}

// quote is a text in double quotes; what could not be read by a person or a parser is escaped.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == ' ' || visible(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02X`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// visible reports whether a character may stand in a file as it is.
func visible(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.IsSpace(r) && r != unicode.ReplacementChar && r != '\ufeff'
}

// literal is a text of several lines as a literal block, where one can hold it.
func literal(s string, indent int) (body, header string, ok bool) {
	text, ended := strings.CutSuffix(s, "\n")
	if header = "|-"; ended {
		header = "|"
	}
	lines := strings.Split(text, "\n")
	if len(lines) < 2 || lines[0] == "" || lines[len(lines)-1] == "" || strings.HasPrefix(lines[0], " ") {
		return "", "", false
	}
	var b strings.Builder
	for _, l := range lines {
		if strings.HasSuffix(l, " ") || strings.ContainsFunc(l, func(r rune) bool { return r != ' ' && !visible(r) }) {
			return "", "", false
		}
		if l != "" {
			b.WriteString(strings.Repeat(" ", indent) + l)
		}
		b.WriteByte('\n')
	}
	return b.String(), header, true
}

// comment is a text that may stand in a comment: on one line, nothing in it invisible.
func comment(s string) string {
	s = quote(strings.ToValidUTF8(s, "\ufffd"))
	s = s[1 : len(s)-1]
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(s)
}
