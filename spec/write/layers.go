package write

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// shared is how many containers must have a setting in common for it to be factored out.
const shared = 3

// A leaf is the smallest thing that layers tell apart: a setting, or one part of it.
type leaf struct {
	row  setting.Row
	id   string // of a member
	part string // of a record
	key  string // all of them and the value, to compare by
	v    any
}

// record is the leaf as a layer that holds nothing else.
func (l leaf) record() setting.Record {
	v := l.v
	if l.part != "" {
		v = setting.Record{l.part: v}
	}
	if l.id != "" {
		v = setting.Members{l.id: v.(setting.Record)}
	}
	return setting.Record{l.row.SpecPath(): v}
}

// leavesOf takes a record apart, in the order of the table.
func leavesOf(r setting.Record) []leaf {
	var out []leaf
	add := func(row setting.Row, id, part string, encoded, v any) {
		text, err := json.Marshal(encoded)
		if err != nil {
			return // every value of the table is one of JSON
		}
		out = append(out, leaf{row, id, part, row.SpecPath() + "\x00" + id + "\x00" + part + "\x00" + string(text), v})
	}
	parts := func(row setting.Row, id string, r setting.Record) {
		for _, part := range row.Info().Rows {
			if v, ok := r[part.SpecPath()]; ok {
				add(row, id, part.SpecPath(), part.EncodeSpec(v), v)
			}
		}
	}
	for _, row := range spec.LayerFields.Rows {
		switch v := r[row.SpecPath()].(type) {
		case nil:
		case setting.Record:
			parts(row, "", v)
		case setting.Members:
			for _, id := range slices.Sorted(maps.Keys(v)) {
				parts(row, id, v[id])
			}
		default:
			add(row, "", "", row.EncodeSpec(v), v)
		}
	}
	return out
}

// personal are settings, and parts of them, that say what one container is: they stay with it, however many
// have them in common.
var personal = []string{
	setting.Hostname.Path, setting.Description.Path, setting.Tags.Path, setting.Template.Path, setting.Mounts.Path,
	setting.EntryPoint.Path, setting.Env.Path, setting.Startup.Path, spec.FromTemplate.Path, spec.PowerState.Path, spec.Ignore.Path,
	setting.RootFS.Path + "." + setting.Volume.Path, setting.Network.Path + "." + setting.MAC.Path,
}

// common reports whether a leaf may stand in a layer.
func (l leaf) common() bool {
	path := l.row.SpecPath()
	if slices.Contains(personal, path) || l.part != "" && slices.Contains(personal, path+"."+l.part) {
		return false
	}
	s, _ := l.v.(string)
	return !strings.Contains(s, "/") || path != setting.Network.Path // an address is one container's
}

// factor moves what containers have in common to defaults and profiles.
func (w *writer) factor() {
	if len(w.guests) < shared {
		return
	}
	w.defaults = setting.Record{}
	for _, l := range w.candidates() {
		w.tryDefault(l)
	}
	w.expressAll()
	w.makeProfiles()
	w.expressAll()
	if len(spec.Validate(w.state())) > 0 { // a layer said more than its containers did
		w.defaults, w.profiles = nil, map[string]setting.Record{}
		for _, g := range w.guests {
			delete(g.own, spec.Use.Path)
		}
		w.expressAll()
	}
}

func (w *writer) expressAll() {
	for _, g := range w.guests {
		g.express(w.under(g))
	}
}

// candidates are the leaves that enough containers have, the most frequent value of each, in the order of the
// table.
func (w *writer) candidates() []leaf {
	count := map[string]int{}
	var order []leaf
	for _, g := range w.guests {
		for _, l := range leavesOf(g.own) {
			if count[l.key]++; count[l.key] == 1 && l.common() {
				order = append(order, l)
			}
		}
	}
	order = slices.DeleteFunc(order, func(l leaf) bool { return count[l.key] < shared || count[l.key]*2 <= len(w.guests) })
	rank := map[string]int{}
	for i, row := range spec.LayerFields.Rows {
		rank[row.SpecPath()] = i
	}
	slices.SortStableFunc(order, func(a, b leaf) int { return rank[a.row.SpecPath()] - rank[b.row.SpecPath()] })
	return order
}

// tryDefault puts a leaf into the defaults if each container can still say what it has, and if that makes
// the spec clearly shorter.
func (w *writer) tryDefault(l leaf) {
	tentative := setting.Overlay(w.defaults, l.record())
	path := l.row.SpecPath()
	saved, added := 0, 0
	for _, g := range w.guests {
		if path == spec.Node.Path {
			if g.src.Ref.Node == l.v {
				saved++
			}
			continue
		}
		if g.ignores(path) {
			return
		}
		before := size(g.row(l.row, w.defaults))
		after, err := g.row(l.row, tentative)
		if err != nil {
			return
		}
		if n := size(after, nil); n < before {
			saved++
		} else if n > before {
			added++
		}
	}
	if saved >= shared && saved > 2*added {
		w.defaults = tentative
	}
}

// size counts the leaves of what a row writes.
func size(v any, _ error) int {
	switch v := v.(type) {
	case nil:
		return 0
	case setting.Record:
		return len(v)
	case setting.Members:
		n := 0
		for _, r := range v {
			n += 1 + len(r)
		}
		return n
	}
	return 1
}

// A bundle is settings that exactly the same containers write.
type bundle struct {
	record  setting.Record
	members []*guest
}

// makeProfiles finds bundles that at least three containers share and makes profiles of those that say
// something about what the containers are.
func (w *writer) makeProfiles() {
	holders := map[string][]*guest{}
	values := map[string]leaf{}
	for _, g := range w.guests {
		for _, l := range unitsOf(g.own) {
			holders[l.key] = append(holders[l.key], g)
			values[l.key] = l
		}
	}
	bundles := map[string]*bundle{}
	for _, key := range slices.Sorted(maps.Keys(holders)) {
		if len(holders[key]) < shared || len(holders[key]) == len(w.guests) && len(w.guests) > shared {
			continue
		}
		var ids []string
		for _, g := range holders[key] {
			ids = append(ids, g.name)
		}
		who := strings.Join(ids, ",")
		if bundles[who] == nil {
			bundles[who] = &bundle{setting.Record{}, holders[key]}
		}
		b := bundles[who]
		b.record = setting.Overlay(b.record, values[key].record())
	}
	for _, who := range slices.Sorted(maps.Keys(bundles)) {
		w.addProfile(bundles[who])
	}
}

// unitsOf are what profiles are made of: settings as a whole, so that what belongs together stays together,
// but of interfaces the parts, since each has its own address.
func unitsOf(r setting.Record) []leaf {
	var out []leaf
	for _, l := range leavesOf(r) {
		if !l.common() || l.row.SpecPath() == setting.RootFS.Path || l.row.SpecPath() == spec.Node.Path {
			continue
		}
		if l.row.SpecPath() == setting.Network.Path || l.part == "" {
			out = append(out, l)
			continue
		}
		if n := len(out); n > 0 && out[n-1].row.SpecPath() == l.row.SpecPath() && out[n-1].part == "" {
			continue
		}
		path := l.row.SpecPath()
		text, err := json.Marshal(l.row.EncodeSpec(r[path]))
		if err != nil {
			continue
		}
		out = append(out, leaf{row: l.row, key: path + "\x00\x00\x00" + string(text), v: r[path]})
	}
	return out
}

// telling are the settings that are worth a profile by themselves; of others it takes two.
var telling = []string{
	setting.Features.Path, setting.Devices.Path, setting.Unprivileged.Path, setting.HookScript.Path, setting.Protection.Path,
}

// addProfile makes a profile of a bundle, if it reads well and each container still has what it had.
func (w *writer) addProfile(b *bundle) {
	if len(b.record) < 2 && !slices.ContainsFunc(telling, func(p string) bool { return b.record[p] != nil }) {
		return
	}
	for _, g := range b.members {
		under := setting.Overlay(w.under(g), b.record)
		for _, row := range spec.LayerFields.Rows {
			if setting.Container.Row(row.SpecPath()) == nil || b.record[row.SpecPath()] == nil {
				continue
			}
			if _, err := g.row(row, under); err != nil {
				return
			}
		}
	}
	name := w.profileName(b)
	w.profiles[name] = b.record
	for _, g := range b.members {
		spec.Use.Set(g.own, append(slices.Clone(spec.Use.Or(g.own, nil)), name))
	}
}
