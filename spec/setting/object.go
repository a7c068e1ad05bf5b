package setting

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/felhom/tend/proxmox/property"
)

// An Object is a table of rows: a container's settings, or the parts of a property string.
type Object struct {
	Name       string // what it describes, for error messages: "mount"
	Rows       []Row
	DefaultKey string // the sub-key that Proxmox writes without its name
	Needs      string // the sub-key without which Proxmox's text means nothing; empty where there is none
	// FromWire and ToWire convert between the parts as Proxmox writes them and as authors do, where one part
	// says what authors say with several; nil where they are the same.
	FromWire, ToWire func(Record) Record
	// Settle puts a merged record right where parts depend on each other; nil where none do.
	Settle func(spec, merged Record) Record
	// Groups explain the mappings that rows with dotted paths form, by their path: "dns".
	Groups map[string]Group
	// Elsewhere are names that authors look for here and that belong elsewhere, with what to write.
	Elsewhere map[string]string
	// Summary is a record in one line, for plans; nil joins the parts.
	Summary func(Record) string
}

// A Group is what people read about a mapping that is only there to hold rows together.
type Group struct{ Doc, Example string }

// Row returns the row with a path, or nil.
func (o Object) Row(path string) Row {
	for _, r := range o.Rows {
		if r.SpecPath() == path {
			return r
		}
	}
	return nil
}

// Decode reads a mapping as authors write it. Every fault is reported; what could be read is returned.
func (o Object) Decode(in any, at Path, report Report) (Record, bool) {
	out, good := Record{}, true
	o.decodeGroup(in, "", at, func(at Path, err error) { good = false; report(at, err) }, out)
	return out, good
}

// decodeGroup reads the mapping of all rows whose path begins with prefix.
func (o Object) decodeGroup(in any, prefix string, at Path, report Report, out Record) {
	m, ok := in.(map[string]any)
	if !ok {
		report(at, fmt.Errorf("%s is not a mapping of %s settings", kindOf(in), o.Name))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		path, here := prefix+name, at.Join(name)
		row := o.Row(path)
		group := row == nil && slices.ContainsFunc(o.Rows, func(r Row) bool { return strings.HasPrefix(r.Info().Path, path+".") })
		switch {
		case (row != nil || group) && m[name] == nil:
			report(here, errors.New("has no value: write one, or remove the line"))
		case row != nil:
			if v, _ := row.DecodeSpec(m[name], here, report); v != nil {
				out[path] = v
			}
		case slices.ContainsFunc(o.Rows, func(r Row) bool { return strings.HasPrefix(r.SpecPath(), path+".") }):
			o.decodeGroup(m[name], path+".", here, report, out)
		case o.Elsewhere[path] != "":
			report(here, errors.New(o.Elsewhere[path]))
		default:
			known := o.Names(prefix)
			report(here, UnknownField{Nearest(name, known), known})
		}
	}
}

// Names are the names that authors may write below a prefix such as "dns.", in the order of the table.
func (o Object) Names(prefix string) []string {
	var out []string
	for _, r := range o.Rows {
		if rest, ok := strings.CutPrefix(r.SpecPath(), prefix); ok {
			name, _, _ := strings.Cut(rest, ".")
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// An UnknownField is the fault of a name that is none of those known.
type UnknownField struct {
	Meant string // the known name that it most likely means; empty where none is near
	Known []string
}

// Error says what to write instead.
func (f UnknownField) Error() string {
	if f.Meant != "" {
		return fmt.Sprintf("unknown field: did you mean %q?", f.Meant)
	}
	return "unknown field: the fields here are " + strings.Join(f.Known, ", ")
}

// Nearest returns the known name that a misspelled one most likely means, or "".
func Nearest(name string, known []string) string {
	best, at := "", len(name)/2+1
	for _, k := range known {
		if d := levenshtein.Distance(strings.ToLower(name), strings.ToLower(k), nil); d < at {
			best, at = k, d
		}
	}
	return best
}

// Encode is the inverse of Decode.
func (o Object) Encode(r Record) map[string]any {
	out := map[string]any{}
	for _, row := range o.Rows {
		v, ok := r[row.SpecPath()]
		if !ok {
			continue
		}
		m, elems := out, strings.Split(row.SpecPath(), ".")
		for _, e := range elems[:len(elems)-1] {
			if m[e] == nil {
				m[e] = map[string]any{}
			}
			m = m[e].(map[string]any)
		}
		m[elems[len(elems)-1]] = row.EncodeSpec(v)
	}
	return out
}

// Parse reads a property string. A sub-key that the table does not know is an error.
func (o Object) Parse(s string) (Record, error) {
	pairs, err := property.ParsePairs(s, o.DefaultKey)
	if err != nil {
		return nil, err
	}
	out := Record{}
	for _, kv := range pairs {
		i := slices.IndexFunc(o.Rows, func(r Row) bool { return r.PVEKey() == kv.Key })
		if i < 0 {
			return nil, fmt.Errorf("unknown part %q", kv.Key)
		}
		v, err := o.Rows[i].ParseWire(kv.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kv.Key, err)
		}
		out[o.Rows[i].SpecPath()] = v
	}
	if value, _ := pairs.Get(o.Needs); o.Needs != "" && value == "" {
		return nil, fmt.Errorf("has no %s", o.Needs)
	}
	if o.FromWire != nil {
		out = o.FromWire(out)
	}
	return out, nil
}

// Format writes a property string in Proxmox's order: the default key, the required ones, then the rest by
// name (pve-common JSONSchema.pm, print_property_string).
func (o Object) Format(r Record) string {
	if o.ToWire != nil {
		r = o.ToWire(r)
	}
	var pairs property.Pairs
	rows := map[string]Row{}
	for _, row := range o.Rows {
		i := row.Info()
		v, ok := r[i.Path]
		if !ok || i.Virtual {
			continue
		}
		// An empty part, such as that of an empty list, is refused by Proxmox.
		if text := row.FormatWire(v); text != "" {
			pairs, rows[i.PVE] = append(pairs, property.Pair{Key: i.PVE, Value: text}), row
		}
	}
	rank := func(p property.Pair) string {
		switch {
		case p.Key == o.DefaultKey:
			return "0"
		case rows[p.Key].Info().Required:
			return "1" + p.Key
		}
		return "2" + p.Key
	}
	slices.SortFunc(pairs, func(a, b property.Pair) int { return strings.Compare(rank(a), rank(b)) })
	text := pairs.Format(o.DefaultKey)
	if text == "0" { // is false in Perl, and refused as if it were not there (pve-common JSONSchema.pm, parse_startup)
		text = o.DefaultKey + "=" + text
	}
	return text
}

// Equal compares records by what Proxmox makes of them: a part that is absent equals its default.
func (o Object) Equal(a, b Record) bool {
	return !slices.ContainsFunc(o.Rows, func(r Row) bool {
		path := r.SpecPath()
		return !r.Equal(a[path], b[path])
	})
}

// Merge makes the wanted record from what the spec says and what there is. A part that would be written
// only to repeat its default is left out, unless it already stands there: for some keys Proxmox treats
// "explicitly off" and "absent" as different (pve-container LXC.pm, check_ct_modify_config_perm).
func (o Object) Merge(spec, have Record, f Facts) Record {
	out := Record{}
	for _, row := range o.Rows {
		path := row.SpecPath()
		v, ok := row.Want(spec[path], have[path], f)
		if !ok {
			continue
		}
		if _, written := have[path]; row.Equal(v, nil) && !(written && row.Equal(have[path], nil)) {
			continue
		}
		out[path] = v
	}
	if o.Settle != nil {
		out = o.Settle(spec, out)
	}
	return out
}

// Text is a record in one line.
func (o Object) Text(r Record) string {
	if o.Summary != nil {
		return o.Summary(r)
	}
	var parts []string
	for _, row := range o.Rows {
		parts = append(parts, partText(row, r))
	}
	return cmp.Or(joinParts(parts), "none")
}

// partText is a part of a record with its label; empty where it is not there, or only says what its absence means.
func partText(row Row, r Record) string {
	i := row.Info()
	switch v := r[i.Path].(type) {
	case nil:
		return ""
	case bool:
		switch {
		case row.Equal(v, nil):
			return ""
		case v:
			return i.Label
		}
		return "not " + i.Label
	case []string:
		if len(v) > 1 { // parts are parted by commas
			return i.Label + " " + strings.Join(v, " and ")
		}
	}
	if row.Equal(r[i.Path], nil) {
		return ""
	}
	return i.Label + " " + row.Text(r[i.Path])
}

// joinParts joins the texts that are not empty.
func joinParts(parts []string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// Schema is the JSON Schema of the mapping; extra properties are refused.
func (o Object) Schema() Schema {
	root := Schema{"type": "object", "additionalProperties": false, "properties": Schema{}}
	for _, row := range o.Rows {
		i := row.Info()
		at, elems := root, strings.Split(i.Path, ".")
		for n, e := range elems[:len(elems)-1] {
			props := at["properties"].(Schema)
			if props[e] == nil {
				props[e] = Schema{
					"type": "object", "additionalProperties": false, "properties": Schema{},
					"description": o.Groups[strings.Join(elems[:n+1], ".")].Doc,
				}
			}
			at = props[e].(Schema)
		}
		at["properties"].(Schema)[elems[len(elems)-1]] = row.Schema()
		if i.Required {
			required, _ := at["required"].([]string)
			at["required"] = append(required, elems[len(elems)-1])
		}
	}
	return root
}

// record is the type of a property string with the object's parts.
func (o Object) Type() Type[Record] {
	return Type[Record]{
		Name:   "mapping",
		Decode: o.Decode,
		Encode: func(r Record) any { return o.Encode(r) },
		Parse:  o.Parse,
		Format: o.Format,
		Text:   o.Text,
		Equal:  o.Equal,
		Schema: o.Schema(),
		Rows:   o.Rows,
		Groups: o.Groups,
		Merge: func(spec, have *Record, f Facts) (Record, bool) {
			var s, h Record
			if spec != nil {
				s = *spec
			}
			if have != nil {
				h = *have
			}
			out := o.Merge(s, h, f)
			return out, len(out) > 0
		},
	}
}
