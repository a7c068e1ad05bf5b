package write

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// rawKey is Proxmox's name, in the answers of its API, of the lines for LXC itself.
const rawKey = "lxc"

// A guest is one container on its way into the spec.
type guest struct {
	src     Source
	o       Options
	name    string
	facts   setting.Facts
	current setting.Live
	live    setting.Record // what the spec shall say: what is in force once nothing is pending
	owned   bool           // carries the owner's tag
	own     setting.Record // what is written at the container
	ignored []ignoredSetting
	notes   []string
	broken  error
}

// ignoredSetting is a setting that is left alone, with the reason.
type ignoredSetting struct{ path, why, text string }

func newGuest(s Source, o Options) *guest {
	g := &guest{src: s, o: o, own: setting.Record{}}
	var next setting.Live
	if g.current, next, g.broken = understand(s); g.broken != nil {
		return g
	}
	g.facts = setting.Facts{
		Running:      s.Power == spec.Running,
		Unprivileged: setting.Unprivileged.Or(g.current.Record, false), TagStyle: o.TagStyle,
	}
	g.live = maps.Clone(next.Record)
	g.ignoreDoubles(next)
	g.ignoreDoubles(g.current)
	g.keepSizes()
	if !g.ignores(setting.Mounts.Path) {
		g.live = setting.FromRaw(g.live)
	}
	g.setTags()
	if s.Template != "" {
		g.facts.Creating = true
		g.live = asCreated(g.live)
	}
	return g
}

// unread reports whether nobody knows what a row's live value is: lines for LXC itself take a request of
// their own.
func (g *guest) unread(row setting.Row) bool { return row.PVEKey() == rawKey && g.src.Raw == nil }

// ignoreDoubles leaves families alone in which two members have one identity: a spec can name only one of
// them.
func (g *guest) ignoreDoubles(view setting.Live) {
	for _, row := range setting.Container.Rows {
		fam, ok := row.(*setting.Family)
		if !ok {
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(view.Slots[fam.Path])) {
			slot := view.Slots[fam.Path][id]
			if real, double := strings.CutSuffix(id, " ("+slot+")"); double && !g.ignores(fam.Path) {
				g.ignore(fam, fmt.Sprintf("there is a second %s %s, %s", fam.Label, real, slot))
			}
		}
	}
}

// understand decodes both views of a configuration: what is in force, and what will be once the container
// has stopped.
func understand(s Source) (current, next setting.Live, err error) {
	values := maps.Clone(s.Config.Current)
	if len(s.Raw) > 0 {
		values[rawKey] = rawText(s.Raw)
	}
	if current, err = setting.Container.ParseValues(values); err != nil {
		return current, next, err
	}
	for key := range s.Config.Deleted {
		delete(values, key)
	}
	maps.Copy(values, s.Config.Pending)
	next, err = setting.Container.ParseValues(values)
	return current, next, err
}

func rawText(lines []proxmox.RawLine) string {
	var out []string
	for _, l := range lines {
		out = append(out, l.Key+": "+l.Value)
	}
	return strings.Join(out, "\n")
}

// keepSizes takes the sizes of volumes from what is in force: what is pending does not follow when a volume
// grows.
func (g *guest) keepSizes() {
	sized := func(next, current any) setting.Record {
		out, _ := next.(setting.Record)
		now, ok := current.(setting.Record)
		if !ok || out == nil {
			return out
		}
		out = maps.Clone(out)
		delete(out, setting.Size.Path)
		if size, ok := setting.Size.Get(now); ok {
			setting.Size.Set(out, size)
		}
		return out
	}
	if r, ok := g.live[setting.RootFS.Path]; ok {
		g.live[setting.RootFS.Path] = sized(r, g.current.Record[setting.RootFS.Path])
	}
	if next, ok := g.live[setting.Mounts.Path].(setting.Members); ok {
		now, _ := g.current.Record[setting.Mounts.Path].(setting.Members)
		next = maps.Clone(next)
		for id := range next {
			if r, ok := now[id]; ok {
				next[id] = sized(next[id], r)
			}
		}
		g.live[setting.Mounts.Path] = next
	}
}

// setTags takes the owner's tag out: tend adds it.
func (g *guest) setTags() {
	tags, ok := setting.Tags.Get(g.live)
	if !ok {
		return
	}
	if v, ok := setting.Tags.Want(tags, nil, g.facts); ok {
		tags = v.([]string)
	}
	g.owned = slices.ContainsFunc(tags, func(t string) bool { return strings.EqualFold(t, g.o.Owner) })
	setting.Tags.Set(g.live, slices.DeleteFunc(slices.Clone(tags), func(t string) bool {
		return t == g.o.Owner || !g.o.TagStyle.CaseSensitive && strings.EqualFold(t, g.o.Owner)
	}))
}

// asCreated turns the parameters of a create into what the container shall be: "storage:8" is a new volume of
// 8 GiB, and what is not given gets what Proxmox gives to new containers.
func asCreated(r setting.Record) setting.Record {
	created := func(r setting.Record) setting.Record {
		storage, text, _ := strings.Cut(setting.Volume.Or(r, ""), ":")
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return r
		}
		out := maps.Clone(r)
		delete(out, setting.Volume.Path)
		setting.Storage.Set(out, storage)
		setting.Size.Set(out, setting.Bytes(n*float64(setting.GiB)))
		return out
	}
	out := setting.Record{}
	for _, row := range setting.Container.Rows {
		path := row.SpecPath()
		v, given := r[path]
		switch v := v.(type) {
		case setting.Record:
			out[path] = created(v)
			continue
		case setting.Members:
			m := setting.Members{}
			for id, r := range v {
				m[id] = created(r)
			}
			out[path] = m
			continue
		}
		if given {
			out[path] = v
		} else if v, ok := row.Want(nil, nil, setting.Facts{Creating: true}); ok {
			out[path] = v
		}
	}
	return out
}

// label names a container that may have no name in the spec.
func (g *guest) label() string {
	if g.name != "" {
		return g.name
	}
	return strings.ToValidUTF8(g.src.Config.Current[setting.Hostname.PVE], "?")
}

func (g *guest) ignores(path string) bool {
	return slices.ContainsFunc(g.ignored, func(n ignoredSetting) bool { return n.path == path })
}

func (g *guest) ignore(row setting.Row, why string) {
	text := row.Text(g.live[row.SpecPath()])
	if fam, ok := row.(*setting.Family); ok {
		text = membersText(fam, g.live[fam.Path])
	}
	g.ignored = append(g.ignored, ignoredSetting{row.SpecPath(), why, text})
}

func membersText(fam *setting.Family, v any) string {
	m, _ := v.(setting.Members)
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, id+" "+fam.Member.Text(m[id]))
	}
	return strings.Join(parts, "; ")
}

// express makes the container's own settings anew, over what lies under them.
func (g *guest) express(under setting.Record) {
	use := spec.Use.Or(g.own, nil)
	g.own = setting.Record{}
	spec.ID.Set(g.own, int64(g.src.Ref.ID))
	if spec.Node.Or(under, "") != g.src.Ref.Node {
		spec.Node.Set(g.own, g.src.Ref.Node)
	}
	if len(use) > 0 {
		spec.Use.Set(g.own, use)
	}
	if g.src.Template != "" {
		if _, err := readable(spec.FromTemplate, g.src.Template); err == nil {
			spec.FromTemplate.Set(g.own, g.src.Template)
		}
	} else if !g.owned && !g.o.NoAdopt {
		spec.Adopt.Set(g.own, true)
	}
	if p := string(g.src.Power); p != spec.PowerState.Or(under, *spec.PowerState.Default) {
		spec.PowerState.Set(g.own, p)
	}
	for _, row := range setting.Container.Rows {
		if g.ignores(row.SpecPath()) {
			continue
		}
		v, err := g.row(row, under)
		switch {
		case err != nil:
			g.ignore(row, err.Error())
		case v != nil:
			g.own[row.SpecPath()] = v
		}
	}
	if len(g.ignored) > 0 {
		var paths []string
		for _, n := range g.ignored {
			paths = append(paths, n.path)
		}
		spec.Ignore.Set(g.own, paths)
	}
}

// row is what must be written for a row; nil where nothing must.
func (g *guest) row(row setting.Row, under setting.Record) (any, error) {
	path := row.SpecPath()
	low := under[path]
	if path == setting.Hostname.Path {
		low = g.name // what absence means
	}
	return express(row, low, g.live[path], g.facts)
}

// express returns what must be written over low so that a row wants what is live; nil where nothing must be.
func express(row setting.Row, low, live any, f setting.Facts) (any, error) {
	if fam, ok := row.(*setting.Family); ok {
		return expressFamily(fam, low, live, f)
	}
	if isRecord(live) || isRecord(low) {
		return expressRecord(row, low, live, f)
	}
	if meets(row, low, live, f) {
		return nil, nil
	}
	v, err := valueOf(row, live)
	if err != nil {
		return nil, err
	}
	if v, err = readable(row, v); err != nil {
		return nil, err
	}
	if !meets(row, setting.OverlayValue(low, v), live, f) {
		return nil, errUnsayable
	}
	return v, nil
}

var (
	errUnsayable = errors.New("has a value that a spec cannot say")
	errNothing   = errors.New("is not set, and nothing that could be written means that")
)

// meets reports whether a spec's value makes the row want what is live. A container that is yet to be made
// has nothing that could be kept.
func meets(row setting.Row, value, live any, f setting.Facts) bool {
	have := live
	if f.Creating {
		have = nil
	}
	want, ok := row.Want(value, have, f)
	if !ok {
		want = nil
	}
	return row.Equal(want, live)
}

// valueOf is what says what is live: the value, or one that means the same as its absence.
func valueOf(row setting.Row, live any) (any, error) {
	if live != nil {
		return live, nil
	}
	if m, ok := row.(interface{ Missing() (any, bool) }); ok {
		if v, ok := m.Missing(); ok {
			return v, nil
		}
	}
	return nil, errNothing
}

func isRecord(v any) bool {
	_, ok := v.(setting.Record)
	return ok
}

// readable returns a value as it will be read again, or why it cannot be written. Texts lose a line end at
// their end where that means the same.
func readable(row setting.Row, v any) (any, error) {
	in := row.EncodeSpec(v)
	if s, ok := in.(string); ok && strings.HasSuffix(s, "\n") {
		short := strings.TrimRight(s, "\n")
		if strings.Contains(short, "\n") {
			short += "\n"
		}
		if row.Equal(any(short), v) {
			in = short
		}
	}
	if err := writable(in); err != nil {
		return nil, err
	}
	var errs []error
	out, ok := row.DecodeSpec(in, nil, func(at setting.Path, err error) {
		if len(at) > 0 {
			err = fmt.Errorf("%s: %w", at, err)
		}
		errs = append(errs, err)
	})
	if err := errors.Join(errs...); err != nil || !ok {
		return nil, fmt.Errorf("a spec cannot say it: %w", err)
	}
	return out, nil
}

// writable finds what cannot stand in a file.
func writable(in any) error {
	switch v := in.(type) {
	case string:
		if !utf8.ValidString(v) {
			return errors.New("is not UTF-8, which a file of a spec must be")
		}
	case []any:
		for _, e := range v {
			if err := writable(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, e := range v {
			if k == "<<" || len(k) > 1000 {
				return fmt.Errorf("%q cannot be a key of YAML", k)
			}
			if err := errors.Join(writable(k), writable(e)); err != nil {
				return err
			}
		}
	}
	return nil
}
