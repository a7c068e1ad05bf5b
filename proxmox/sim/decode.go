package sim

import (
	"encoding/json"
	"fmt"
	"strings"
)

// decodeForm splits a query or form as pve-http-server does (AnyEvent.pm, decode_urlencoded): pairs are separated
// by "&" and ";", and a value ends at the next raw "=".
func decodeForm(raw string, into params) {
	for _, pair := range dropTrailingEmpty(strings.FieldsFunc(raw, func(r rune) bool { return r == '&' || r == ';' })) {
		key, rest, found := strings.Cut(pair, "=")
		v := value{kind: undefValue}
		if found {
			text, _, _ := strings.Cut(rest, "=")
			v = value{text: strings.ToValidUTF8(decodePlus(text), "\uFFFD")}
		}
		key = decodePlus(key)
		if old, ok := into[key]; ok && old.kind != undefValue && v.kind != undefValue {
			if old.kind != listValue {
				old = value{kind: listValue, list: []value{old}}
			}
			old.list = append(old.list, v)
			v = old
		}
		into[key] = v
	}
}

func decodePlus(s string) string { return unescape(strings.ReplaceAll(s, "+", " ")) }

// decodeJSON reads a JSON body.
func decodeJSON(raw []byte) (params, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, dieAt("APIServer/AnyEvent.pm", 934, "malformed JSON string: %s", err)
	}
	out := params{}
	for k, r := range fields {
		v, err := jsonParam(r)
		if err != nil {
			return nil, err
		}
		out[k] = v
	}
	return out, nil
}

func jsonParam(raw json.RawMessage) (value, error) {
	text := strings.TrimSpace(string(raw))
	switch {
	case text == "null":
		return value{kind: undefValue}, nil
	case text == "true":
		return value{kind: boolValue, text: "1"}, nil
	case text == "false":
		return value{kind: boolValue, text: "0"}, nil
	case strings.HasPrefix(text, `"`):
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return value{}, fmt.Errorf("read parameter: %w", err)
		}
		return value{text: s}, nil
	case strings.HasPrefix(text, "{"):
		return value{kind: objectValue}, nil
	case strings.HasPrefix(text, "["):
		var elems []json.RawMessage
		if err := json.Unmarshal(raw, &elems); err != nil {
			return value{}, fmt.Errorf("read parameter: %w", err)
		}
		v := value{kind: listValue}
		for _, e := range elems {
			p, err := jsonParam(e)
			if err != nil {
				return value{}, err
			}
			v.list = append(v.list, p)
		}
		return v, nil
	}
	return value{text: text}, nil
}
