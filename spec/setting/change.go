package setting

import (
	"maps"
	"slices"
	"strings"
)

// A Line is one line that a plan shows of a change.
type Line struct {
	Mark  string // "+", "-" or "~"
	Label string // what changes: "mount /data"
	Text  string // how: "read only no → yes"
}

// Label is what changes, in words: "cores", "mount /data".
func (c Change) Label() string {
	if c.Row.SpecPath() == Raw.Path {
		return c.rawLabel()
	}
	if c.Identity != "" {
		return c.Row.Info().Label + " " + c.Identity
	}
	return c.Row.Info().Label
}

// Lines are the lines that a plan shows of the change.
func (c Change) Lines() []Line {
	rows := c.Row.Info().Rows
	old, isRecord := c.Old.(Record)
	new, isNew := c.New.(Record)
	fam, isMember := c.Row.(*Family)
	switch {
	case isMember && c.Old == nil:
		return []Line{{"+", c.Label(), fam.Member.Text(new)}}
	case isMember && c.New == nil:
		return []Line{{"-", c.Label(), fam.Member.Text(removed(old))}}
	case c.Row.SpecPath() == Raw.Path:
		return c.rawLines()
	case !isRecord && !isNew:
		return []Line{c.scalarLine()}
	case c.Row.SpecPath() == Features.Path:
		return featureLines(old, new)
	case c.Old == nil && len(new) > 0:
		return []Line{{"+", c.Label(), c.Row.Text(new)}}
	}
	text := parts(rows, old, new)
	if c.Renamed != "" {
		text = append([]string{fam.Identity.Doc + " " + c.Renamed + " → " + c.Identity}, text...)
	}
	return []Line{{"~", c.Label(), strings.Join(text, ", ")}}
}

// removed is what a plan tells of a member that goes: names that Proxmox made up say nothing there.
func removed(r Record) Record {
	out := maps.Clone(r)
	if _, sized := Size.Get(r); sized {
		delete(out, Volume.Path)
	}
	delete(out, MAC.Path)
	return out
}

// rawLabel names the mounts, where raw lines change for nothing else.
func (c Change) rawLabel() string {
	old, _ := c.Old.([]string)
	new, _ := c.New.([]string)
	_, restOld, restNew := rawMountLines(old, new)
	changed := slices.Sorted(maps.Keys(RawMountsChanged(old, new)))
	if len(changed) == 0 || !slices.Equal(restOld, restNew) {
		return c.Row.Info().Label
	}
	return Mounts.Label + " " + strings.Join(changed, " and ")
}

func (c Change) scalarLine() Line {
	old, new := c.text(c.Old), c.text(c.New)
	switch {
	case c.Old == nil && (old == "none" || old == new):
		return Line{"+", c.Label(), new}
	case new == "none":
		return Line{"-", c.Label(), old}
	}
	a, isVars := c.Old.(map[string]string)
	b, areVars := c.New.(map[string]string)
	switch {
	case isVars && areVars:
		return Line{"~", c.Label(), variablesText(a, b)}
	case old == new:
		return Line{"~", c.Label(), new + ", in what is not shown"}
	}
	return Line{"~", c.Label(), old + " → " + new}
}

// text is a value on one line. Notes alone are cut, since they do nothing.
func (c Change) text(v any) string {
	s := strings.ReplaceAll(c.Row.Text(v), "\n", "⏎")
	if r := []rune(s); len(r) > longestNote && c.Row.SpecPath() == Description.Path {
		return string(r[:longestNote-1]) + "…"
	}
	return s
}

const longestNote = 60

// rawLines shows each line for LXC that comes or goes.
func (c Change) rawLines() []Line {
	before, _ := c.Old.([]string)
	after, _ := c.New.([]string)
	out, old, new := rawMountLines(before, after)
	for _, line := range beyond(old, new) {
		out = append(out, Line{"-", c.Row.Info().Label, c.text([]string{line})})
	}
	for _, line := range beyond(new, old) {
		text := c.text([]string{line})
		if i := slices.Index(out, Line{"-", c.Row.Info().Label, text}); i >= 0 {
			out[i] = Line{"~", c.Row.Info().Label, text + ", in what is not shown"}
			continue
		}
		out = append(out, Line{"+", c.Row.Info().Label, text})
	}
	if len(out) == 0 {
		return []Line{{"~", c.Row.Info().Label, "other order of " + c.text(before)}}
	}
	return out
}

// beyond are the elements of a list that another one has not, or not as often.
func beyond(list, other []string) []string {
	rest := slices.Clone(other)
	var out []string
	for _, s := range list {
		if i := slices.Index(rest, s); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
			continue
		}
		out = append(out, s)
	}
	return out
}

// parts are the differences of two records, part by part.
func parts(rows []Row, old, new Record) []string {
	var out []string
	for _, row := range rows {
		i := row.Info()
		if a, b := old[i.Path], new[i.Path]; !row.Equal(a, b) {
			out = append(out, i.Label+" "+row.Text(a)+" → "+row.Text(b))
		}
	}
	return out
}

// featureLines shows features that are switched on and off as what appears and goes.
func featureLines(old, new Record) []Line {
	var out []Line
	for _, row := range features.Rows {
		i := row.Info()
		a, b := old[i.Path], new[i.Path]
		_, isBool := row.(Key[bool])
		switch {
		case row.Equal(a, b):
		case isBool && b == true:
			out = append(out, Line{"+", "feature " + i.Label, ""})
		case isBool:
			out = append(out, Line{"-", "feature " + i.Label, ""})
		case row.Equal(a, nil):
			out = append(out, Line{"+", "feature " + i.Label, row.Text(b)})
		case row.Equal(b, nil):
			out = append(out, Line{"-", "feature " + i.Label, row.Text(a)})
		default:
			out = append(out, Line{"~", "feature " + i.Label, row.Text(a) + " → " + row.Text(b)})
		}
	}
	return out
}
