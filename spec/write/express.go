package write

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/felhom/tend/spec/setting"
)

// ways are the ways of writing a volume, the one that reads best first: what it lies on and how large it is,
// its name, nothing. What is not shown is kept.
func ways(live setting.Record, member bool) [][]string {
	_, volume := setting.Volume.Get(live)
	_, storage := setting.Storage.Get(live)
	size := setting.Size.Or(live, 0) > 0
	switch {
	case !volume && !storage:
		return [][]string{nil}
	case member && size: // a mount needs a source
		return [][]string{{setting.Storage.Path, setting.Size.Path}, {setting.Volume.Path}}
	case member:
		return [][]string{{setting.Volume.Path}}
	}
	return [][]string{{setting.Storage.Path, setting.Size.Path}, {setting.Volume.Path}, nil}
}

// sound refuses volumes whose name means another thing in a spec: "local:8" asks for a new one.
func sound(live setting.Record) error {
	v, ok := setting.Volume.Get(live)
	if !ok {
		return nil
	}
	_, err := readable(setting.Volume, v)
	return err
}

// expressRecord is express for a setting of several parts.
func expressRecord(row setting.Row, low, live any, f setting.Facts) (any, error) {
	lowRecord, _ := low.(setting.Record)
	record, _ := live.(setting.Record)
	if err := sound(record); err != nil {
		return nil, err
	}
	var first error
	for _, show := range ways(record, false) {
		own, err := expressParts(row.Info().Rows, lowRecord, record, show, f)
		switch {
		case err != nil:
		case len(own) == 0:
			if meets(row, low, live, f) {
				return nil, nil
			}
			err = errUnsayable
		default:
			var v any
			if v, err = readable(row, own); err == nil && !meets(row, setting.OverlayValue(low, v), live, f) {
				err = errUnsayable
			}
			if err == nil {
				return v, nil
			}
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// expressParts returns the parts that must be written over low; those to show are, wherever low does not.
func expressParts(rows []setting.Row, low, live setting.Record, show []string, f setting.Facts) (setting.Record, error) {
	own := setting.Record{}
	var errs []error
	for _, row := range rows {
		path := row.SpecPath()
		v, present := live[path]
		shown := present && slices.Contains(show, path)
		switch {
		case shown && low[path] != nil && row.Equal(low[path], v):
			continue
		case !shown && meets(row, low[path], v, f):
			continue
		}
		v, err := valueOf(row, v)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %w", path, err))
			continue
		}
		own[path] = v
	}
	return own, errors.Join(errs...)
}

// expressFamily is express for the members of an indexed key.
func expressFamily(fam *setting.Family, low, live any, f setting.Facts) (any, error) {
	lowMembers, _ := low.(setting.Members)
	members, _ := live.(setting.Members)
	for _, id := range slices.Sorted(maps.Keys(lowMembers)) {
		if _, ok := members[id]; !ok {
			return nil, fmt.Errorf("%s %s is not there, and only not writing it can say so", fam.Label, id)
		}
	}
	own := setting.Members{}
	for _, id := range slices.Sorted(maps.Keys(members)) {
		under, written := lowMembers[id]
		r, err := expressMember(fam, under, members[id], f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		if len(r) > 0 || !written {
			own[id] = r
		}
	}
	if len(own) == 0 {
		return nil, nil
	}
	return readable(fam, own)
}

func expressMember(fam *setting.Family, low, live setting.Record, f setting.Facts) (setting.Record, error) {
	have := live
	if f.Creating {
		have = nil
	}
	if err := sound(live); err != nil {
		return nil, err
	}
	var first error
	for _, show := range ways(live, true) {
		own, err := expressParts(fam.Member.Rows, low, live, show, f)
		if err == nil {
			err = decodes(fam, own)
		}
		if err == nil && !fam.Member.Equal(fam.Member.Merge(setting.Overlay(low, own), have, f), live) {
			err = errUnsayable
		}
		if err == nil {
			return own, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// decodes reports why the parts of a member could not be read again.
func decodes(fam *setting.Family, r setting.Record) error {
	in := fam.Member.Encode(r)
	if err := writable(in); err != nil {
		return err
	}
	var errs []error
	fam.Member.Decode(in, nil, func(at setting.Path, err error) { errs = append(errs, fmt.Errorf("%s: %w", at, err)) })
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("a spec cannot say it: %w", err)
	}
	return nil
}
