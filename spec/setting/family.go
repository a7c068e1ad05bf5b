package setting

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Members are the values of a family by what identifies each.
type Members map[string]Record

// A Family is an indexed key of Proxmox: net0 to net31, mp0 to mp255. Authors write a mapping from what
// identifies a member to its settings; the index is tend's business and stays as it is.
type Family struct {
	Path, PVE, Doc string
	Label          string // of a member in plans: "mount"
	Example        string
	Max            int         // highest index
	Identity       Key[string] // the part that identifies a member
	Member         Object      // the other parts

	OnEdit  func(old, new *Record, index int, f Facts) Effect
	MayEdit func(old, new *Record, f Facts) Access
	Hint    func(old, new *Record, f Facts) string

	Running, Lane string
}

// SpecPath implements [Row].
func (fam *Family) SpecPath() string { return fam.Path }

// PVEKey implements [Row].
func (fam *Family) PVEKey() string { return fam.PVE }

// Info implements [Row].
func (fam *Family) Info() Info {
	return Info{
		Path: fam.Path, PVE: fam.PVE, Label: fam.Label, Doc: fam.Doc, Example: fam.Example,
		Type: "mapping from the " + fam.Identity.Doc, Default: "none",
		Rows: fam.Member.Rows, Running: fam.Running, Lane: fam.Lane,
	}
}

// DecodeSpec implements [Row].
func (fam *Family) DecodeSpec(in any, at Path, report Report) (any, bool) {
	m, isMap := in.(map[string]any)
	if !isMap {
		report(at, fmt.Errorf("%s is not a mapping from the %s to its settings", kindOf(in), fam.Identity.Doc))
		return nil, false
	}
	room := len(m) <= fam.Max+1
	if !room {
		report(at, fmt.Errorf("%d members are more than the %d that Proxmox has room for", len(m), fam.Max+1))
	}
	out, ok := decodeMembers(m, fam.Identity.Type, fam.Member, at, report)
	return out, ok && room
}

// A NameFault is the fault of a member's name: its settings are read nevertheless.
type NameFault struct{ Err error }

// Error is the error of the name.
func (f NameFault) Error() string { return f.Err.Error() }

// Unwrap returns the error of the name.
func (f NameFault) Unwrap() error { return f.Err }

// decodeMembers reads a mapping from names to objects; a member without any settings may be left empty.
func decodeMembers(m map[string]any, name Type[string], o Object, at Path, report Report) (Members, bool) {
	out, good := Members{}, true
	for _, id := range slices.Sorted(maps.Keys(m)) {
		_, okName := name.Decode(id, at.Join(id), func(at Path, err error) { report(at, NameFault{err}) })
		value := m[id]
		if value == nil {
			value = map[string]any{}
		}
		r, okMember := o.Decode(value, at.Join(id), report)
		good = good && okName && okMember
		out[id] = r
	}
	return out, good
}

// EncodeSpec implements [Row].
func (fam *Family) EncodeSpec(v any) any {
	out := map[string]any{}
	for id, r := range members(v) {
		out[id] = fam.Member.Encode(r)
	}
	return out
}

// wire is the property string of a member: what identifies it is one of its parts.
func (fam *Family) wire() Object {
	o := fam.Member
	o.Rows = append(slices.Clone(o.Rows), fam.Identity)
	return o
}

// ParseMember reads the property string of one member.
func (fam *Family) ParseMember(s string) (id string, r Record, err error) {
	r, err = fam.wire().Parse(s)
	if err != nil {
		return "", nil, err
	}
	id, ok := fam.Identity.Get(r)
	if !ok {
		return "", nil, fmt.Errorf("has no %s", fam.Identity.PVE)
	}
	delete(r, fam.Identity.Path)
	return id, r, nil
}

// FormatMember writes the property string of one member.
func (fam *Family) FormatMember(id string, r Record) string {
	full := maps.Clone(r)
	fam.Identity.Set(full, id)
	return fam.wire().Format(full)
}

// Key is Proxmox's key of the member with an index.
func (fam *Family) Key(index int) string { return fam.PVE + strconv.Itoa(index) }

// Index is the inverse of Key; ok is false for keys of other rows.
func (fam *Family) Index(key string) (index int, ok bool) {
	if len(key) <= len(fam.PVE) || key[:len(fam.PVE)] != fam.PVE {
		return 0, false
	}
	n, err := strconv.Atoi(key[len(fam.PVE):])
	return n, err == nil && n >= 0 && n <= fam.Max && fam.Key(n) == key
}

// Free returns the lowest index that is not taken.
func (fam *Family) Free(taken map[int]bool) (index int, ok bool) {
	for i := range fam.Max + 1 {
		if !taken[i] {
			return i, true
		}
	}
	return 0, false
}

// Change makes the change of one member, by the family's rules. old and new are nil for absent; a new member
// gets the given index.
func (fam *Family) Change(id string, old, new *Record, index int, f Facts) Change {
	c := Change{Row: fam, Identity: id}
	if old != nil {
		c.Old = *old
	}
	if new != nil {
		c.New = *new
	}
	if fam.OnEdit != nil {
		c.Effect = fam.OnEdit(old, new, index, f)
	}
	if fam.MayEdit != nil {
		c.Access = fam.MayEdit(old, new, f)
	}
	if fam.Hint != nil {
		c.Note = fam.Hint(old, new, f)
	}
	return c
}

// ParseWire implements [Row]: a family has no text of its own, its members have.
func (fam *Family) ParseWire(string) (any, error) {
	return nil, fmt.Errorf("%s is an indexed key: its members have values", fam.PVE)
}

// FormatWire implements [Row]; see ParseWire.
func (*Family) FormatWire(any) string { return "" }

// Text implements [Row]: a member, or all of them.
func (fam *Family) Text(v any) string {
	if r, ok := v.(Record); ok {
		return fam.Member.Text(r)
	}
	return fmt.Sprintf("%d", len(members(v)))
}

// Equal implements [Row].
func (fam *Family) Equal(a, b any) bool {
	if x, ok := a.(Record); ok {
		y, ok := b.(Record)
		return ok && fam.Member.Equal(x, y)
	}
	return maps.EqualFunc(members(a), members(b), fam.Member.Equal)
}

// Want implements [Row].
func (fam *Family) Want(spec, have any, f Facts) (any, bool) {
	out := Members{}
	for id, r := range members(spec) {
		out[id] = fam.Member.Merge(r, members(have)[id], f)
	}
	return out, len(out) > 0
}

// Effect implements [Row] for the family as a whole: nothing.
func (*Family) Effect(_, _ any, _ Facts) Effect { return Online }

// Access implements [Row] for the family as a whole: nothing.
func (*Family) Access(_, _ any, _ Facts) Access { return Access{} }

// Note implements [Row] for the family as a whole: nothing.
func (*Family) Note(_, _ any, _ Facts) string { return "" }

// Schema implements [Row].
func (fam *Family) Schema() Schema {
	member := fam.Member.Schema()
	member["type"] = []string{"object", "null"}
	return Schema{"type": "object", "description": fam.Doc, "additionalProperties": member, "propertyNames": fam.Identity.Type.Schema}
}

func members(v any) Members {
	m, _ := v.(Members)
	return m
}
