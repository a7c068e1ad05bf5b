package config

import (
	"errors"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/permit"
)

// Modes are what is done about single containers, by VMID.
type Modes map[proxmox.VMID]permit.Mode

// UnmarshalYAML reads them. All faults are told.
func (m *Modes) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return at(n, "modes: is no mapping: write a mode by VMID, as in {101: watch}")
	}
	*m = Modes{}
	var faults []error
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		number, err := strconv.ParseUint(key.Value, 10, 32)
		id, mode := proxmox.VMID(number), permit.Mode(value.Value)
		_, twice := (*m)[id]
		switch {
		case err != nil || id < proxmox.MinVMID || id > proxmox.MaxVMID:
			faults = append(faults, at(key, "modes: %s is no VMID: they are numbers, and begin at %d", shown(key), proxmox.MinVMID))
		case twice:
			faults = append(faults, at(key, "modes: %d: is written twice", id))
		case !slices.Contains(permit.Modes(), mode):
			faults = append(faults, at(value, "modes: %d: %s is none of %s", id, shown(value), words(permit.Modes())))
		default:
			(*m)[id] = mode
		}
	}
	return errors.Join(faults...)
}

// shown is a number as it was written, any other single value in quotes, and of all else what it is.
func shown(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!int":
		return n.Value
	}
	return strconv.Quote(n.Value)
}
