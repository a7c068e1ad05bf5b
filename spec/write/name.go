package write

import (
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// name gives each container its name in the spec: the first label of its host name, unless another one has
// it already. Who has that label as the whole host name comes first.
func (w *writer) name() {
	taken := map[string]bool{}
	for _, n := range w.o.Taken {
		taken[strings.ToLower(n)] = true
	}
	order := slices.Clone(w.guests)
	slices.SortStableFunc(order, func(a, b *guest) int { return nameRank(a) - nameRank(b) })
	for _, g := range order {
		label, _, _ := strings.Cut(setting.Hostname.Or(g.live, ""), ".")
		name := label
		if !nameable(name) {
			name = fmt.Sprintf("ct%d", g.src.Ref.ID)
		}
		if taken[strings.ToLower(name)] {
			name = fmt.Sprintf("%s-%d", strings.TrimRight(name[:min(len(name), 50)], "-"), g.src.Ref.ID)
		}
		for n := 2; taken[strings.ToLower(name)]; n++ {
			name = fmt.Sprintf("ct%d-%d", g.src.Ref.ID, n)
		}
		g.name = name
		taken[strings.ToLower(name)] = true
	}
}

// nameRank orders containers by how well their host name suits as a name.
func nameRank(g *guest) int {
	label, _, dotted := strings.Cut(setting.Hostname.Or(g.live, ""), ".")
	switch {
	case !nameable(label):
		return 2
	case dotted:
		return 1
	}
	return 0
}

// nameable reports whether a text can be a name in the spec.
func nameable(s string) bool {
	_, ok := spec.Containers.DecodeSpec(map[string]any{s: map[string]any{}}, nil, func(setting.Path, error) {})
	return ok
}
