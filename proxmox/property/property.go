// Package property converts the texts in which Proxmox VE writes settings: property strings
// ("name=eth0,bridge=vmbr0"), booleans, numbers, disk sizes and lists.
//
// It knows the form of such texts and nothing of any particular setting. It does no I/O and imports the
// standard library only.
package property

import (
	"fmt"
	"strings"
)

// A Codec converts a T to and from the text that Proxmox uses for it. Parse(Format(v)) is v, and
// Format(Parse(s)) is the canonical text of s.
type Codec[T any] interface {
	Parse(string) (T, error)
	Format(T) string
}

// A Pair is one key and value of a property string. Both are verbatim: Proxmox knows no quoting here, so
// neither may hold a comma.
type Pair struct{ Key, Value string }

// Pairs are the pairs of a property string in their order.
type Pairs []Pair

// ParsePairs splits a property string. An element without "=" is the value of defaultKey; where
// defaultKey is empty or already given, it is an error, as is a key that stands twice, or one without a
// value (pve-common JSONSchema.pm, parse_property_string).
func ParsePairs(s, defaultKey string) (Pairs, error) {
	var out Pairs
	for part := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		key, value, found := strings.Cut(part, "=")
		switch {
		case found && key != "" && value != "":
		case found && key != "":
			return nil, fmt.Errorf("key %q has no value", key)
		case !found && defaultKey != "":
			key, value = defaultKey, part
		case found:
			return nil, fmt.Errorf("%q has no key before %q", part, "=")
		default:
			return nil, fmt.Errorf("%q is not of the form key=value", part)
		}
		if _, ok := out.Get(key); ok {
			return nil, fmt.Errorf("key %q stands twice", key)
		}
		out = append(out, Pair{key, value})
	}
	return out, nil
}

// Get returns the value of key and whether it is there.
func (p Pairs) Get(key string) (string, bool) {
	for _, kv := range p {
		if kv.Key == key {
			return kv.Value, true
		}
	}
	return "", false
}

// Set returns p with key set to value, in its place if it is there and at the end otherwise.
func (p Pairs) Set(key, value string) Pairs {
	out := append(Pairs(nil), p...)
	for i := range out {
		if out[i].Key == key {
			out[i].Value = value
			return out
		}
	}
	return append(out, Pair{key, value})
}

// Delete returns p without key.
func (p Pairs) Delete(key string) Pairs {
	var out Pairs
	for _, kv := range p {
		if kv.Key != key {
			out = append(out, kv)
		}
	}
	return out
}

// Format writes the pairs in their order; the value of defaultKey is written without its key, unless it
// would be taken for a key and value, or for nothing. Proxmox reads no pair back whose value is empty.
func (p Pairs) Format(defaultKey string) string {
	parts := make([]string, len(p))
	for i, kv := range p {
		plain := strings.TrimSpace(kv.Value) != "" && !strings.Contains(kv.Value, "=")
		if kv.Key == defaultKey && defaultKey != "" && plain {
			parts[i] = kv.Value
		} else {
			parts[i] = kv.Key + "=" + kv.Value
		}
	}
	return strings.Join(parts, ",")
}

// SplitList splits a Proxmox list: elements are separated by commas, semicolons, NUL or white space;
// empty ones are dropped (pve-common Tools.pm, split_list).
func SplitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool {
		return r == ',' || r == ';' || r == 0 || r == ' ' || r == '\t' || r == '\n' || r == '\r'
	})
}
