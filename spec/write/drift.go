package write

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// differences takes two values of a row apart into what must be written where.
func (m *merger) differences(g *guest, row setting.Row, old, new any) []drift {
	path := setting.Path(split(row.SpecPath()))
	fam, isFamily := row.(*setting.Family)
	switch {
	case isFamily:
		a, _ := old.(setting.Members)
		b, _ := new.(setting.Members)
		return m.memberDifferences(g, fam, a, b)
	case isRecord(old):
		b, _ := new.(setting.Record)
		return m.partDifferences(g, row.Info().Rows, path, old.(setting.Record), b)
	}
	a, isEnv := old.(map[string]string)
	b, _ := new.(map[string]string)
	if isEnv {
		var out []drift
		for _, k := range slices.Sorted(maps.Keys(setting.OverlayValue(a, b).(map[string]string))) {
			v, ok := b[k]
			switch was, had := a[k]; {
			case !ok:
				out = append(out, m.stand(g, drift{path: path.Join(k)}))
			case !had || was != v:
				out = append(out, m.stand(g, drift{path: path.Join(k), value: v}))
			}
		}
		return out
	}
	return []drift{m.valueDrift(g, row, path, old, new)}
}

// valueDrift is the drift of a value that is written as a whole.
func (m *merger) valueDrift(g *guest, row setting.Row, path setting.Path, old, new any) drift {
	d := drift{path: path}
	if new != nil {
		d.value, _ = arrangeValue(row, row.EncodeSpec(new))
		if list, ok := d.value.([]any); ok && old != nil {
			was, _ := row.EncodeSpec(old).([]any)
			kept := keepOrder(was, list)
			if v, ok := row.DecodeSpec(kept, nil, func(setting.Path, error) {}); ok && row.Equal(v, new) {
				d.value = kept
			}
		}
	} else if v, err := valueOf(row, nil); err == nil {
		d.override, _ = arrangeValue(row, row.EncodeSpec(v))
	}
	return m.stand(g, d)
}

func (m *merger) partDifferences(g *guest, rows []setting.Row, path setting.Path, old, new setting.Record) []drift {
	var out []drift
	for _, row := range rows {
		p := row.SpecPath()
		a, had := old[p]
		b, has := new[p]
		if !had && !has || had && has && row.Equal(a, b) {
			continue
		}
		out = append(out, m.valueDrift(g, row, path.Join(split(p)...), a, b))
	}
	return out
}

func (m *merger) memberDifferences(g *guest, fam *setting.Family, old, new setting.Members) []drift {
	var out []drift
	path := setting.Path(split(fam.Path))
	for _, id := range slices.Sorted(maps.Keys(old)) {
		if _, ok := new[id]; !ok {
			out = append(out, m.stand(g, drift{path: path.Join(id)}))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(new)) {
		if r, ok := old[id]; ok {
			out = append(out, m.partDifferences(g, fam.Member.Rows, path.Join(id), r, new[id])...)
			continue
		}
		value := arrange(fam.Member.Rows, fam.Member.Encode(new[id]), "")
		out = append(out, m.stand(g, drift{path: path.Join(id), value: value}))
	}
	return out
}

// stand finds the layers in which a drift stands.
func (m *merger) stand(g *guest, d drift) drift {
	d.container = g.name
	text, err := json.Marshal(d.path)
	if err == nil {
		d.key = string(text) + "\x00" + inlineOrNothing(d.value)
	}
	for _, name := range m.stack(g.name) {
		if says(m.layer(m.written, g.name, name).Record, d.path) {
			d.layers = append(d.layers, name)
		}
	}
	return d
}

func inlineOrNothing(v any) string {
	if v == nil {
		return "\x00"
	}
	return inline(v)
}

// says reports whether a layer says something at a path.
func says(r setting.Record, path []string) bool {
	var at any = spec.ContainerFields.Encode(r)
	for _, name := range path {
		m, ok := at.(map[string]any)
		if !ok {
			return false
		}
		if at, ok = m[name]; !ok {
			return false
		}
	}
	return true
}

func split(path string) []string { return strings.Split(path, ".") }
