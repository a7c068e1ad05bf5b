package setting

import (
	"errors"
	"fmt"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// Slots are the Proxmox keys of family members: by the family's path, then by identity.
type Slots map[string]map[string]string

// A Live is the configuration of a container as the table reads it.
type Live struct {
	Record  Record
	Slots   Slots
	Unused  map[string]string // unused0 → volume
	Lock    string
	Unknown []string // keys that no row describes: left alone, and shown
}

// leftOut are Proxmox's keys that are no settings, with the reason.
var leftOut = map[string]string{
	"digest":    "of the configuration file; sent back with each change",
	"lock":      "held by a running task; never set by tend",
	"parent":    "bookkeeping of snapshots",
	"snaptime":  "bookkeeping of snapshots",
	"snapstate": "bookkeeping of snapshots",
	"unused":    "volumes that are no longer mounted: shown in plans, freed only with consent",
}

// LeftOut says why a Proxmox key has no row; "" where it has one or is not known.
func LeftOut(key string) string { return leftOut[strings.TrimRight(key, "0123456789")] }

// ParseValues reads a configuration in Proxmox's text. Values that cannot be read are errors that name the
// key and the text.
func (o Object) ParseValues(values proxmox.Values) (Live, error) {
	out := Live{Record: Record{}, Slots: Slots{}, Unused: map[string]string{}, Lock: values["lock"]}
	var errs []error
	for _, key := range values.Keys() {
		row, fam, index := o.find(key)
		switch {
		case fam != nil:
			if err := out.addMember(fam, index, values[key]); err != nil {
				errs = append(errs, fmt.Errorf("%s: %q %w", key, shorten(values[key]), err))
			}
		case row != nil:
			v, err := row.ParseWire(values[key])
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %q %w", key, shorten(values[key]), err))
				continue
			}
			out.Record[row.SpecPath()] = v
		case strings.HasPrefix(key, "unused"):
			out.Unused[key] = values[key]
		case LeftOut(key) == "":
			out.Unknown = append(out.Unknown, key)
		}
	}
	return out, errors.Join(errs...)
}

// find returns the row of a Proxmox key; for a family also the index.
func (o Object) find(key string) (row Row, fam *Family, index int) {
	for _, r := range o.Rows {
		if fam, ok := r.(*Family); ok {
			if i, ok := fam.Index(key); ok {
				return r, fam, i
			}
			continue
		}
		if r.PVEKey() == key {
			return r, nil, 0
		}
	}
	return nil, nil, 0
}

// addMember puts a member under its identity. Proxmox allows two members with one identity; the second is
// known by its key too, so that it is seen and matches nothing that a spec can say.
func (l *Live) addMember(fam *Family, index int, text string) error {
	id, r, err := fam.ParseMember(text)
	if err != nil {
		return err
	}
	all, ok := l.Record[fam.Path].(Members)
	if !ok {
		all = Members{}
		l.Record[fam.Path] = all
		l.Slots[fam.Path] = map[string]string{}
	}
	if _, taken := all[id]; taken {
		id += " (" + fam.Key(index) + ")"
	}
	all[id] = r
	l.Slots[fam.Path][id] = fam.Key(index)
	return nil
}
