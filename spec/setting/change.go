package setting

import "strings"

// A Line is one line that a plan shows of a change.
type Line struct {
	Mark  string // "+", "-" or "~"
	Label string // what changes: "mount /data"
	Text  string // how: "read only no → yes"
}

// Label is what changes, in words: "cores", "mount /data".
func (c Change) Label() string {
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
		return []Line{{"-", c.Label(), fam.Member.Text(old)}}
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

func (c Change) scalarLine() Line {
	old, new := c.Row.Text(c.Old), c.Row.Text(c.New)
	switch {
	case c.Old == nil && (old == "none" || old == new):
		return Line{"+", c.Label(), oneLine(new)}
	case new == "none":
		return Line{"-", c.Label(), oneLine(old)}
	}
	a, isVars := c.Old.(map[string]string)
	b, areVars := c.New.(map[string]string)
	switch {
	case isVars && areVars:
		return Line{"~", c.Label(), variablesText(a, b)}
	case old == new:
		return Line{"~", c.Label(), oneLine(new) + ", in what is not shown"}
	}
	return Line{"~", c.Label(), oneLine(old) + " → " + oneLine(new)}
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
		default:
			out = append(out, Line{"~", "feature " + i.Label, row.Text(a) + " → " + row.Text(b)})
		}
	}
	return out
}

// oneLine keeps a value on one line of a plan.
func oneLine(s string) string {
	s = strings.ReplaceAll(s, "\n", "⏎")
	if r := []rune(s); len(r) > 60 {
		return string(r[:59]) + "…"
	}
	return s
}
