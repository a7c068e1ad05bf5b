package setting

import "maps"

// Overlay lays one record over another: mappings are merged, all else is replaced. Neither is changed.
func Overlay(low, high Record) Record {
	out := make(Record, len(low)+len(high))
	maps.Copy(out, low)
	for path, v := range high {
		out[path] = OverlayValue(low[path], v)
	}
	return out
}

// OverlayValue lays one value over another, as [Overlay] does with the values of a record.
func OverlayValue(low, high any) any {
	switch v := high.(type) {
	case Record:
		if under, ok := low.(Record); ok {
			return Overlay(under, v)
		}
	case Members:
		if under, ok := low.(Members); ok {
			all := maps.Clone(under)
			for id, r := range v {
				all[id] = Overlay(under[id], r)
			}
			return all
		}
	case map[string]string:
		if under, ok := low.(map[string]string); ok {
			all := maps.Clone(under)
			maps.Copy(all, v)
			return all
		}
	}
	return high
}

// Missing is what absence of the key means to Proxmox, as a value that can be written; ok is false where
// nothing that could be written means the same.
func (k Key[T]) Missing() (value any, ok bool) {
	if k.Absent == nil {
		return nil, false
	}
	return *k.Absent, true
}

// Missing says that nothing stands for a family without members: they are simply not written.
func (*Family) Missing() (value any, ok bool) { return nil, false }
