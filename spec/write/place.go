package write

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/setting"
)

// place decides for each drift where it is written, and writes it.
func (m *merger) place() {
	has := map[string]bool{} // container and key of each drift
	for name, all := range m.drifts {
		for _, d := range all {
			has[name+"\x00"+d.key] = true
		}
	}
	done := map[string]bool{} // layer and key
	for _, name := range slices.Sorted(maps.Keys(m.drifts)) {
		for _, d := range m.drifts[name] {
			if err := m.placeOne(d, has, done); err != nil {
				m.problems = append(m.problems, Problem{m.idOf(name), name, setting.Path(d.path).String(), err.Error()})
			}
		}
	}
}

func (m *merger) placeOne(d drift, has, done map[string]bool) error {
	agreed := func(layer string) bool { return m.agreed(layer, d.path, d.key, has) }
	where, value := []string{""}, d.value
	switch {
	case d.value != nil && len(d.layers) > 0 && agreed(d.layers[0]):
		where = d.layers[:1]
	case d.value != nil && len(d.layers) == 0:
		// What is new goes where the other parts of the setting stand, on the same condition.
		where = []string{m.home(d, has)}
	case d.value != nil:
	case !slices.ContainsFunc(d.layers, func(l string) bool { return !agreed(l) }):
		where = d.layers
	case d.override != nil:
		value = d.override
	default:
		return errors.New("is gone, but other containers have it from the same profile or defaults, and only not writing it can say so: write it at those")
	}
	for _, layer := range where {
		key := layer + "\x00" + d.key
		if layer != "" && done[key] {
			continue
		}
		done[key] = true
		if err := m.write(layer, d, value); err != nil {
			return fmt.Errorf("%w: write %s by hand", err, inlineOrNothing(value))
		}
	}
	return nil
}

// agreed reports whether all containers for which a layer decides what is at a path have the same drift.
func (m *merger) agreed(layer string, path []string, key string, has map[string]bool) bool {
	if layer == "" {
		return true
	}
	for name := range m.written.Containers {
		if m.decides(layer, name, path) && !has[name+"\x00"+key] {
			return false
		}
	}
	return true
}

// home is the layer that a new part of a setting goes to: the strongest that says something of the setting,
// if all to whom it would come have the same drift, else the container's own.
func (m *merger) home(d drift, has map[string]bool) string {
	parent := d.path[:len(d.path)-1]
	stack := m.stack(d.container)
	i := slices.IndexFunc(stack, func(layer string) bool {
		return len(parent) > 0 && says(m.layer(m.written, d.container, layer).Record, parent)
	})
	if i < 0 {
		return ""
	}
	for name := range m.written.Containers {
		rank := slices.Index(m.stack(name), stack[i])
		stronger := func(layer string) bool { return says(m.layer(m.written, name, layer).Record, d.path) }
		if rank >= 0 && !slices.ContainsFunc(m.stack(name)[:rank], stronger) && !has[name+"\x00"+d.key] {
			return ""
		}
	}
	return stack[i]
}

// decides reports whether a layer is the strongest of a container's that says something at a path.
func (m *merger) decides(layer, container string, path []string) bool {
	for _, l := range m.stack(container) {
		if says(m.layer(m.written, container, l).Record, path) {
			return l == layer
		}
	}
	return false
}

// write changes the text of a layer.
func (m *merger) write(layer string, d drift, value any) error {
	prefix := []string{spec.Profiles.Path, layer}
	switch layer {
	case "":
		prefix = []string{spec.Containers.Path, d.container}
	case defaultsLayer:
		prefix = []string{spec.Defaults.Path}
	}
	path := append(slices.Clone(prefix), d.path...)
	stay := len(prefix)
	if _, ok := setting.Container.Row(d.path[0]).(*setting.Family); ok && len(d.path) > 2 {
		stay += 2 // a member without parts is still one
	}
	err := errByHand
	for _, file := range m.layer(m.written, d.container, layer).Files {
		src, ok := m.texts[file]
		if !ok {
			src = string(m.written.Files[file])
		}
		var t *text
		if t, err = parseText(src); err != nil {
			return err
		}
		var out string
		if value == nil {
			out, err = t.remove(path, stay)
		} else {
			out, err = t.set(path, value, orderBelow(prefix))
		}
		if err == nil {
			m.texts[file] = out
			return nil
		}
	}
	return err
}

// orderBelow tells in which order the keys of a layer's mappings are written.
func orderBelow(prefix []string) func([]string) []string {
	return func(path []string) []string {
		if len(path) < len(prefix) {
			return nil
		}
		path = path[len(prefix):]
		table := setting.Object{Rows: writtenRows()}
		if len(path) == 0 {
			return table.Names("")
		}
		fam, isFamily := setting.Container.Row(path[0]).(*setting.Family)
		row := table.Row(strings.Join(path, "."))
		switch {
		case isFamily && len(path) == 2:
			return fam.Member.Names("")
		case isFamily:
			return nil
		case row != nil:
			return setting.Object{Rows: row.Info().Rows}.Names("")
		}
		return table.Names(strings.Join(path, ".") + ".")
	}
}

func (m *merger) idOf(name string) proxmox.VMID {
	return proxmox.VMID(spec.ID.Or(m.written.Containers[name].Record, 0))
}

// aliased reports whether one of the files has aliases, so that one line may speak for several containers.
func aliased(files map[string][]byte) bool {
	for _, text := range files {
		if bytes.ContainsRune(text, '*') && bytes.ContainsRune(text, '&') {
			return true
		}
	}
	return false
}

// verify reads the changed spec again and fails unless it says what is live, and nothing else has changed.
func (m *merger) verify(files map[string][]byte) error {
	after, err := load.Layers(changedFS{m.fsys, files}, load.Options{})
	if err != nil {
		return fmt.Errorf("merge: the changed spec would not load, nothing was written: %w", err)
	}
	for _, c := range m.written.State.Containers {
		was, is := m.merged(m.written, c.Name), m.merged(after, c.Name)
		g := m.guests[c.Name]
		for _, row := range append([]setting.Row{setting.Hostname}, spec.LayerFields.Rows...) {
			path := row.SpecPath()
			wrong := !row.Equal(was[path], is[path])
			if g != nil && setting.Container.Row(path) != nil {
				wrong = !satisfied(row, m.meant(is, g, row), g.live[path], g.facts) && !m.left(c, path) && !g.unread(row)
			} else if g != nil {
				wrong = false
			}
			if wrong && g == nil && aliased(files) {
				return fmt.Errorf("merge: %s of container %s would change, too, since it has it through a YAML anchor (&, *) from what "+
					"is merged; nothing was written: write it out at %s", path, c.Name, c.Name)
			}
			if wrong {
				return fmt.Errorf("merge: %s of container %s would not be what it shall be, nothing was written: please report this", path, c.Name)
			}
		}
	}
	return nil
}

// left reports whether a setting of a container was left alone.
func (m *merger) left(c *spec.Container, path string) bool {
	return slices.Contains(c.Lifecycle.Ignore, path) || slices.ContainsFunc(m.problems, func(p Problem) bool {
		return p.ID == c.ID && (p.Path == path || strings.HasPrefix(p.Path, path+"."))
	})
}
