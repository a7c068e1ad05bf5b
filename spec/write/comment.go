package write

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// annotate puts comments at a setting: what only root may change, and what is left alone.
func (g *guest) annotate(f *field) {
	row := setting.Container.Row(f.key)
	if fam, ok := row.(*setting.Family); ok {
		live, _ := g.live[fam.Path].(setting.Members)
		members, _ := f.value.(fields)
		for i, m := range members {
			if r, ok := live[m.key]; ok && fam.MayEdit != nil {
				members[i].note = accessNote(fam.MayEdit(nil, &r, g.facts))
			}
		}
		return
	}
	if row != nil && isRootOnly(row, g.live[f.key], g.facts) {
		f.note = accessNote(row.Access(nil, g.live[f.key], g.facts))
	}
	if group, _, _ := strings.Cut(spec.Ignore.Path, "."); group == f.key {
		for _, n := range g.ignored {
			f.head = append(f.head, comment(n.path+": "+n.why+"."), comment("  It is left as it is: "+n.text))
		}
	}
}

func isRootOnly(row setting.Row, v any, f setting.Facts) bool {
	return v != nil && row.Access(nil, v, f).Root
}

func accessNote(a setting.Access) string {
	if !a.Root {
		return ""
	}
	return comment(a.Reason)
}

// remarks are the comments above a container: what deserves a decision and stands nowhere else.
func (g *guest) remarks() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, comment(fmt.Sprintf(format, args...))) }
	for _, key := range slices.Sorted(maps.Keys(g.current.Unused)) {
		add("Unused volume %s: %s. Mount it with volume:, or destroy it by hand.", key, g.current.Unused[key])
	}
	if pending := g.pending(); len(pending) > 0 {
		add("Pending, in force once the container has stopped; the spec says what it will be then:")
		for _, p := range pending {
			add("  %s", p)
		}
	}
	for _, key := range g.current.Unknown {
		switch {
		case key == rawKey:
			add("Lines for LXC itself, which only root can write on the node; they are left as they are:")
			for _, l := range g.src.Raw {
				add("  %s: %s", l.Key, l.Value)
			}
		default:
			add("%s: %s is a setting that this version of tend does not know; it is left as it is.", key, g.src.Config.Current[key])
		}
	}
	if g.current.Lock != "" {
		add("It was locked (%s) when this was written.", g.current.Lock)
	}
	if len(setting.Env.Or(g.live, nil)) > 0 && !g.ignores(setting.Env.Path) {
		add("env is written in the open: think before you commit secrets.")
	}
	for _, n := range g.src.Notes {
		add("%s", n)
	}
	return out
}

// pending are the settings that are not in force yet, by what changes.
func (g *guest) pending() []string {
	var keys, out []string
	for key := range g.src.Config.Deleted {
		keys = append(keys, key)
	}
	for key := range g.src.Config.Pending {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		old, next := g.src.Config.Current[key], g.src.Config.Pending[key]
		switch {
		case next == "":
			out = append(out, key+" is removed, was "+old)
		case old == "":
			out = append(out, key+" becomes "+next)
		default:
			out = append(out, key+" becomes "+next+", is "+old)
		}
	}
	return out
}
