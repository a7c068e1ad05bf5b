package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A schema says what a parameter or a part of a property string may be. The rules and their order are those
// of pve-common JSONSchema.pm, check_prop.
type schema struct {
	typ        string // string, integer, number, boolean or array
	required   bool
	format     string // a name in formats, with -list for lists
	props      props  // the parts, where the value is a property string
	pattern    *regexp.Regexp
	maxLen     int
	minLen     int
	max        string // as it stands in the message; empty: none
	min        string
	enum       []string
	requires   string // another parameter that must be given too
	defaultKey bool   // in a property string: the part written without its key
	items      *schema
}

// props are the properties of an object by name.
type props map[string]*schema

// pat compiles a pattern as check_prop applies it: the whole value, where Perl's $ lets one newline pass.
func pat(re string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + re + `)\n?$`) }

// The constructors below keep the tables of parameters to one line each.

func str() *schema               { return &schema{typ: "string"} }
func integer() *schema           { return &schema{typ: "integer"} }
func number() *schema            { return &schema{typ: "number"} }
func boolean() *schema           { return &schema{typ: "boolean"} }
func format(name string) *schema { return &schema{typ: "string", format: name} }
func enum(v ...string) *schema   { return &schema{typ: "string", enum: v} }
func matching(re string) *schema { return &schema{typ: "string", pattern: pat(re)} }
func parts(p props) *schema      { return &schema{typ: "string", props: p} }
func vmidParam() *schema {
	return &schema{typ: "integer", format: "pve-vmid", min: "100", max: "999999999"}
}

func (s *schema) need() *schema             { s.required = true; return s }
func (s *schema) from(min string) *schema   { s.min = min; return s }
func (s *schema) to(max string) *schema     { s.max = max; return s }
func (s *schema) atMost(n int) *schema      { s.maxLen = n; return s }
func (s *schema) atLeast(n int) *schema     { s.minLen = n; return s }
func (s *schema) with(other string) *schema { s.requires = other; return s }
func (s *schema) isDefault() *schema        { s.defaultKey = true; return s }

// A value is one parameter as it came over the wire: a text, or what JSON or repetition made of it.
type value struct {
	text string
	list []value
	kind valueKind
}

type valueKind int

const (
	textValue   valueKind = iota
	undefValue            // given without "=", or JSON null
	boolValue             // JSON true or false; text is 1 or 0
	listValue             // JSON array, or a key that stood more than once
	objectValue           // JSON object, never allowed
)

// perlRef is the name Perl has for a value that is not a text.
func (v value) perlRef() string {
	switch v.kind {
	case boolValue:
		return "JSON::PP::Boolean"
	case listValue:
		return "ARRAY"
	case objectValue:
		return "HASH"
	}
	return ""
}

// params are the parameters of a call by name.
type params map[string]value

// normalise joins arrays given for a list, and makes arrays of texts given for an array
// (pve-common RESTHandler.pm, normalize_legacy_param_formats).
func (p params) normalise(schemas props) {
	for k, v := range p {
		s := schemas[k]
		if s == nil {
			continue
		}
		switch {
		case v.kind == listValue && s.typ == "string" && strings.HasSuffix(s.format, "-list"):
			var texts []string
			for _, e := range v.list {
				texts = append(texts, e.text)
			}
			p[k] = value{text: strings.Join(texts, ",")}
		case v.kind == textValue && s.typ == "array" && truthy(v.text):
			p[k] = value{kind: listValue, list: []value{v}}
		}
	}
}

// verify checks p against the schemas and answers 400 with a text for each bad parameter.
func (p params) verify(schemas props) error {
	errs := map[string]string{}
	checkObject("", schemas, p, errs)
	if len(errs) > 0 {
		return paramErrors(errs)
	}
	return nil
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// addError adds a text; several for one path are joined by a backslash and an n, as Proxmox does.
func addError(errs map[string]string, path, text string) {
	if path == "" {
		path = "_root"
	}
	if old := errs[path]; old != "" {
		text = old + `\n` + text
	}
	errs[path] = text
}

func checkObject(path string, schemas props, p params, errs map[string]string) {
	for k, s := range schemas {
		v, ok := p[k]
		if !ok && !s.required { // as most of the hundreds of keys of a container
			continue
		} else if !ok {
			v.kind = undefValue
		}
		s.check(joinPath(path, k), v, errs)
	}
	for k := range p {
		s := schemas[k]
		if s == nil {
			addError(errs, joinPath(path, k),
				"property is not defined in schema and the schema does not allow additional properties")
			continue
		}
		if s.requires == "" {
			continue
		}
		if other, ok := p[s.requires]; !ok || other.kind == undefValue {
			addError(errs, joinPath(path, s.requires), fmt.Sprintf("missing property required by '%s'", joinPath(path, k)))
		}
	}
}

func (s *schema) check(path string, v value, errs map[string]string) {
	if v.kind == undefValue {
		if s.required {
			addError(errs, path, "property is missing and it is not optional")
		}
		return
	}
	if text := s.typeError(v); text != "" {
		addError(errs, path, text)
		return
	}
	if v.kind == listValue {
		for i, e := range v.list {
			if s.items != nil {
				s.items.check(fmt.Sprintf("%s[%d]", path, i), e, errs)
			}
		}
		return
	}
	if err := s.checkFormat(path, v.text); err != nil {
		addError(errs, path, "invalid format - "+perlString(err))
		return
	}
	if text := s.limitError(v.text); text != "" {
		addError(errs, path, text)
	}
}

// typeError is JSONSchema.pm, check_type.
func (s *schema) typeError(v value) string {
	if s.typ == "array" {
		if v.kind != listValue {
			return "type check ('array') failed"
		}
		return ""
	}
	if ref := v.perlRef(); ref != "" {
		if s.typ == "boolean" && v.kind == boolValue {
			return ""
		}
		return fmt.Sprintf("type check ('%s') failed - got %s", s.typ, ref)
	}
	ok := true
	switch s.typ {
	case "boolean":
		ok = v.text == "1" || v.text == "0"
	case "integer":
		ok = integerText.MatchString(v.text)
	case "number":
		ok = numberText.MatchString(v.text)
	}
	if !ok {
		return fmt.Sprintf("type check ('%s') failed - got '%s'", s.typ, v.text)
	}
	return ""
}

func (s *schema) checkFormat(path, text string) error {
	if s.props != nil {
		_, err := s.props.parse(text, path)
		return err
	}
	if s.format == "" {
		return nil
	}
	return checkFormat(s.format, text)
}

// limitError checks what comes after the format; the first rule that is broken gives the text.
func (s *schema) limitError(text string) string {
	if s.pattern != nil && !s.pattern.MatchString(text) {
		return "value does not match the regex pattern"
	}
	if s.maxLen > 0 && runes(text) > s.maxLen {
		return fmt.Sprintf("value may only be %d characters long", s.maxLen)
	}
	if s.minLen > 0 && runes(text) < s.minLen {
		return fmt.Sprintf("value must be at least %d characters long", s.minLen)
	}
	if numberText.MatchString(text) {
		n, _ := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if s.max != "" && n > mustFloat(s.max) {
			return "value must have a maximum value of " + s.max
		}
		if s.min != "" && n < mustFloat(s.min) {
			return "value must have a minimum value of " + s.min
		}
	}
	if s.enum != nil && !slices.Contains(s.enum, text) {
		return fmt.Sprintf("value '%s' does not have a value in the enumeration '%s'", text, strings.Join(s.enum, ", "))
	}
	return ""
}

// mustFloat reads a limit of the tables; a test parses them all.
func mustFloat(s string) float64 {
	n, _ := strconv.ParseFloat(s, 64)
	return n
}
