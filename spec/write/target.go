package write

import (
	"fmt"
	"maps"
	"slices"

	"github.com/felhom/tend/spec/setting"
)

// satisfied reports whether a spec's value makes a row want what is live.
func satisfied(row setting.Row, value, live any, f setting.Facts) bool {
	fam, ok := row.(*setting.Family)
	if !ok {
		return meets(row, value, live, f)
	}
	want, _ := value.(setting.Members)
	have, _ := live.(setting.Members)
	return maps.EqualFunc(want, have, func(a, b setting.Record) bool { return fam.Member.Equal(fam.Member.Merge(a, b, f), b) })
}

// target is what the layers shall say of a row together: what they say now, as far as it is right. nil: nothing.
func target(row setting.Row, now, live any, f setting.Facts) (any, error) {
	fam, isFamily := row.(*setting.Family)
	switch {
	case isFamily:
		return targetMembers(fam, now, live, f)
	case isRecord(now) || isRecord(live):
		old, _ := now.(setting.Record)
		record, _ := live.(setting.Record)
		v, err := targetParts(row.Info().Rows, old, record, f)
		if err != nil {
			return nil, err
		}
		if len(v) > 0 && !meets(row, v, live, f) {
			return express(row, nil, live, f)
		}
		if len(v) == 0 {
			return nil, nil
		}
		return v, nil
	case live == nil && meets(row, nil, nil, f):
		return nil, nil
	}
	return valueOf(row, live)
}

func targetParts(rows []setting.Row, now, live setting.Record, f setting.Facts) (setting.Record, error) {
	out := setting.Record{}
	for _, row := range rows {
		path := row.SpecPath()
		old, written := now[path]
		v, present := live[path]
		switch {
		case meets(row, old, v, f):
			if written {
				out[path] = old
			}
		case present:
			out[path] = v
		case meets(row, nil, nil, f): // leave it out
		default:
			v, err := valueOf(row, nil)
			if err != nil {
				return nil, fmt.Errorf("%s %w", path, err)
			}
			out[path] = v
		}
	}
	return out, nil
}

func targetMembers(fam *setting.Family, now, live any, f setting.Facts) (any, error) {
	old, _ := now.(setting.Members)
	have, _ := live.(setting.Members)
	out := setting.Members{}
	for _, id := range slices.Sorted(maps.Keys(have)) {
		r, err := targetMember(fam, old[id], have[id], f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		out[id] = r
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

func targetMember(fam *setting.Family, now, live setting.Record, f setting.Facts) (setting.Record, error) {
	if now != nil {
		r, err := targetParts(fam.Member.Rows, now, live, f)
		if err == nil && fam.Member.Equal(fam.Member.Merge(r, live, f), live) && decodes(fam, r) == nil {
			return r, nil
		}
	}
	return expressMember(fam, nil, live, f)
}
