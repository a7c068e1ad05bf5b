package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/proxmox"
)

// The state file is put together of parts: containers and tasks are written once after each change of theirs and
// kept, so that a change in a cluster of thousands costs little more than copying bytes.

// render writes the state as it is now.
func (s *Sim) render() ([]byte, error) {
	raw, _, err := s.renderState()
	return raw, err
}

func (s *Sim) renderState() ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := s.store.seq.Load()
	var b bytes.Buffer
	rest := *s.st
	rest.Volumes, rest.Auth = nil, s.st.Auth
	head, err := rest.Marshal()
	if err != nil {
		return nil, 0, err
	}
	b.Write(bytes.Replace(head, []byte("containers: {}\n"), nil, 1))
	if err := s.renderGuests(&b); err != nil {
		return nil, 0, err
	}
	s.renderVolumes(&b)
	if err := s.renderTasks(&b); err != nil {
		return nil, 0, err
	}
	return b.Bytes(), seq, nil
}

func (s *Sim) renderGuests(b *bytes.Buffer) error {
	var vms []*guest
	b.WriteString("containers:")
	if len(s.guests) == 0 {
		b.WriteString(" {}")
	}
	b.WriteByte('\n')
	for _, id := range slices.Sorted(maps.Keys(s.guests)) {
		g := s.guests[id]
		if g.vm != nil {
			vms = append(vms, g)
			continue
		}
		if g.text == nil {
			text, err := indentedYAML(map[proxmox.VMID]*Container{id: g.container()})
			if err != nil {
				return err
			}
			g.text = text
		}
		b.Write(g.text)
	}
	if len(vms) > 0 {
		b.WriteString("vms:\n")
	}
	for _, g := range vms {
		text, err := indentedYAML(map[proxmox.VMID]*VM{g.id: g.vm})
		if err != nil {
			return err
		}
		b.Write(text)
	}
	return nil
}

func (s *Sim) renderVolumes(b *bytes.Buffer) {
	if len(s.st.Volumes) == 0 {
		return
	}
	b.WriteString("volumes:\n")
	for _, volid := range slices.Sorted(maps.Keys(s.st.Volumes)) {
		b.WriteString(volumeLine(volid, s.st.Volumes[volid]))
	}
}

// volumeLine writes a volume as one line. Names of volumes, nodes and snapshots hold nothing that YAML would not
// read back between double quotes.
func volumeLine(volid string, v *Volume) string {
	var l strings.Builder
	fmt.Fprintf(&l, "  %q: {size: %s", volid, plainSize(v.Size))
	if v.Used != 0 {
		l.WriteString(", used: " + plainSize(v.Used))
	}
	if v.CTime != 0 {
		l.WriteString(", ctime: " + strconv.FormatInt(v.CTime, 10))
	}
	if v.Node != "" {
		fmt.Fprintf(&l, ", node: %q", v.Node)
	}
	if v.Parent != "" {
		fmt.Fprintf(&l, ", parent: %q", v.Parent)
	}
	if len(v.Snapshots) > 0 {
		names := make([]string, len(v.Snapshots))
		for i, n := range v.Snapshots {
			names[i] = strconv.Quote(n)
		}
		l.WriteString(", snapshots: [" + strings.Join(names, ", ") + "]")
	}
	if len(v.Sizes) > 0 {
		var sizes []string
		for _, n := range slices.Sorted(maps.Keys(v.Sizes)) {
			sizes = append(sizes, strconv.Quote(n)+": "+plainSize(v.Sizes[n]))
		}
		l.WriteString(", sizes: {" + strings.Join(sizes, ", ") + "}")
	}
	l.WriteString("}\n")
	return l.String()
}

func plainSize(b Bytes) string {
	if b == 0 {
		return "0"
	}
	return formatSize(int64(b))
}

func (s *Sim) renderTasks(b *bytes.Buffer) error {
	all := s.tasks.all()
	if len(all) > 0 {
		b.WriteString("tasks:\n")
	}
	for _, t := range all {
		if t.text == nil {
			text, err := indentedYAML([]Task{t.Task})
			if err != nil {
				return err
			}
			t.text = text
		}
		b.Write(t.text)
	}
	return nil
}

// indentedYAML writes a part of the file, two columns in.
func indentedYAML(v any) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write state: %w", err)
	}
	var out bytes.Buffer
	for line := range bytes.Lines(b.Bytes()) {
		if len(bytes.TrimSpace(line)) > 0 {
			out.WriteString("  ")
		}
		out.Write(line)
	}
	return out.Bytes(), nil
}
