package setting

import (
	"strings"
	"unicode"
)

// A Type is how values of a Go type are written: by authors, by Proxmox and in plans.
type Type[T any] struct {
	Name   string // what authors are told: "whole number, 1 to 8192"
	Decode func(in any, at Path, report Report) (T, bool)
	Encode func(T) any
	Parse  func(string) (T, error) // from Proxmox's text
	Format func(T) string          // to Proxmox's text
	Text   func(T) string          // in plans
	Equal  func(a, b T) bool
	Schema Schema
	Rows   []Row // of a record
	Groups map[string]Group
	// Merge makes the wanted value of a record from its parts; nil for single values.
	Merge func(spec, have *T, f Facts) (T, bool)
}

// A Key is a row whose value is a T. Pointers in its rules are nil where the value is absent.
type Key[T any] struct {
	Path, PVE, Doc string
	Label          string // in plans, where the path does not read well
	Example        string
	Type           Type[T]

	// Default is what absence in a spec means; nil: the key is removed from the configuration.
	Default *T
	// Absent is what absence of the key means to Proxmox; nil: nothing that could be written.
	Absent *T
	// Keep says that Proxmox generates a value where none is given: absence in a spec keeps what is there.
	Keep bool

	Required bool // authors must give it
	Fixed    bool // Proxmox refuses to delete it: the default is sent
	Virtual  bool // a part of another key on Proxmox's side

	Normal  func(v T, f Facts) T // what Proxmox makes of a value
	OnEdit  func(old, new *T, f Facts) Effect
	MayEdit func(old, new *T, f Facts) Access
	Hint    func(old, new *T, f Facts) string

	Running, Lane string // the rules in words, where the common ones do not fit
}

// Get returns the key's value in a record and whether it is there.
func (k Key[T]) Get(r Record) (T, bool) {
	v, ok := r[k.Path].(T)
	return v, ok
}

// Or returns the key's value in a record, or otherwise v.
func (k Key[T]) Or(r Record, v T) T {
	if have, ok := k.Get(r); ok {
		return have
	}
	return v
}

// Set puts the key's value into a record.
func (k Key[T]) Set(r Record, v T) { r[k.Path] = v }

func (k Key[T]) pointer(v any) *T {
	if t, ok := v.(T); ok {
		return &t
	}
	return nil
}

// SpecPath implements [Row].
func (k Key[T]) SpecPath() string { return k.Path }

// PVEKey implements [Row].
func (k Key[T]) PVEKey() string { return k.PVE }

// Info implements [Row].
func (k Key[T]) Info() Info {
	i := Info{
		Path: k.Path, PVE: k.PVE, Doc: k.Doc, Label: k.Label, Type: k.Type.Name, Example: k.Example,
		Required: k.Required, Fixed: k.Fixed, Virtual: k.Virtual, Rows: k.Type.Rows, Groups: k.Type.Groups,
		Running: k.Running, Lane: k.Lane,
	}
	if i.Label == "" {
		i.Label = words(k.Path)
	}
	switch {
	case k.Default != nil:
		i.Default = k.Type.Text(*k.Default)
	case k.Keep:
		i.Default = "kept as it is; Proxmox chooses at create"
	case k.Absent != nil:
		i.Default = k.Type.Text(*k.Absent)
	}
	if i.Running == "" {
		i.Running = k.Effect(nil, nil, Facts{Running: true, Unprivileged: true}).String()
	}
	if i.Lane == "" {
		i.Lane = "token"
	}
	return i
}

// DecodeSpec implements [Row].
func (k Key[T]) DecodeSpec(in any, at Path, report Report) (any, bool) {
	v, ok := k.Type.Decode(in, at, report)
	if !ok && k.Type.Rows == nil {
		return nil, false
	}
	return v, ok // of a record, what could be read
}

// EncodeSpec implements [Row].
func (k Key[T]) EncodeSpec(v any) any {
	if p := k.pointer(v); p != nil {
		return k.Type.Encode(*p)
	}
	return nil
}

// ParseWire implements [Row].
func (k Key[T]) ParseWire(s string) (any, error) {
	v, err := k.Type.Parse(s)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// FormatWire implements [Row].
func (k Key[T]) FormatWire(v any) string {
	if p := k.pointer(v); p != nil {
		return k.Type.Format(*p)
	}
	return ""
}

// Text implements [Row].
func (k Key[T]) Text(v any) string {
	if p := k.effective(v); p != nil {
		if s := k.Type.Text(*p); s != "" {
			return s
		}
	}
	return "none"
}

// effective is the value that Proxmox works with: v, or what absence means.
func (k Key[T]) effective(v any) *T {
	if p := k.pointer(v); p != nil {
		return p
	}
	return k.Absent
}

// Equal implements [Row].
func (k Key[T]) Equal(a, b any) bool {
	x, y := k.effective(a), k.effective(b)
	if x == nil || y == nil {
		return x == y
	}
	return k.Type.Equal(*x, *y)
}

// Want implements [Row].
func (k Key[T]) Want(spec, have any, f Facts) (any, bool) {
	p := k.pointer(spec)
	old := k.pointer(have)
	switch {
	case k.Type.Merge != nil:
		if p == nil && k.Keep && old != nil {
			return *old, true
		}
		if v, ok := k.Type.Merge(p, old, f); ok {
			return v, true
		}
		return nil, false
	case p != nil:
	case k.Keep:
		p = old
	default:
		p = k.Default
	}
	if p == nil {
		return nil, false
	}
	v := *p
	if k.Normal != nil {
		v = k.Normal(v, f)
	}
	return v, true
}

// Effect implements [Row]. The common rule is that a change takes effect at once; nothing costs a stopped
// container anything.
func (k Key[T]) Effect(old, new any, f Facts) Effect {
	if k.OnEdit == nil {
		return Online
	}
	return k.OnEdit(k.pointer(old), k.pointer(new), f)
}

// Access implements [Row].
func (k Key[T]) Access(old, new any, f Facts) Access {
	if k.MayEdit == nil {
		return Access{}
	}
	return k.MayEdit(k.pointer(old), k.pointer(new), f)
}

// Note implements [Row].
func (k Key[T]) Note(old, new any, f Facts) string {
	if k.Hint == nil {
		return ""
	}
	return k.Hint(k.pointer(old), k.pointer(new), f)
}

// Schema implements [Row].
func (k Key[T]) Schema() Schema {
	s := Schema{"description": k.Doc}
	for key, v := range k.Type.Schema {
		s[key] = v
	}
	if k.Default != nil {
		s["default"] = k.Type.Encode(*k.Default)
	}
	return s
}

// afterStop is the rule of settings that Proxmox keeps pending while the container runs.
func afterStop[T any](_, _ *T, f Facts) Effect {
	if f.Running {
		return Restart
	}
	return Online
}

// onlyNew is the rule of settings that an existing container cannot change.
func onlyNew[T any](_, _ *T, f Facts) Effect {
	if f.Creating {
		return Online
	}
	return Recreate
}

// words turns "memory.readOnly" into "memory read only".
func words(path string) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(path, ".", " ") {
		if unicode.IsUpper(r) {
			b.WriteByte(' ')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}
