package write

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/proxmox/pct"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// FromFile is the container of a saved file. Whether it runs is not in it.
func FromFile(ref proxmox.Ref, f *conffile.File) Source {
	s := Source{Ref: ref, Power: spec.Any, Config: f.Config(), Raw: append([]proxmox.RawLine{}, f.Current().Raw()...)}
	if names := f.Snapshots(); len(names) > 0 {
		s.Notes = append(s.Notes, "Snapshots, which stay as they are: "+strings.Join(names, ", ")+".")
	}
	for _, p := range f.Problems() {
		s.Notes = append(s.Notes, "The saved file, "+p.String()+"; Proxmox would leave the line out.")
	}
	return s
}

// FromCommand is the container that commands of pct make, on a node.
func FromCommand(node string, c pct.Container) Source {
	s := Source{
		Ref: proxmox.Ref{Node: node, ID: c.ID}, Power: spec.Stopped, Template: c.Template,
		Config: proxmox.Config{Current: maps.Clone(c.Values)},
	}
	if _, err := readable(spec.FromTemplate, c.Template); err != nil {
		s.Notes = append(s.Notes, fmt.Sprintf("It is made from %s, which is no volume of a storage: upload it, and write from: {template: …}.", c.Template))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Options)) {
		switch value := c.Options[name]; name {
		case "start":
			if on, err := spec.Adopt.Type.Parse(value); err == nil && on {
				s.Power = spec.Running
			}
		case "storage":
			s.defaultStorage(value)
		case "password":
			s.Notes = append(s.Notes, "The command sets a password; write where it is found: init: {password: {file: …}}.")
		case "ssh-public-keys":
			s.Notes = append(s.Notes, fmt.Sprintf("The command adds the SSH keys of %s; write them as init: {sshKeys: […]}.", value))
		default:
			s.Notes = append(s.Notes, fmt.Sprintf("The command's --%s %s is no setting of the container and was left out.", name, value))
		}
	}
	if _, ok := s.Config.Current[setting.RootFS.PVE]; !ok {
		s.Notes = append(s.Notes, "Where the root file system shall lie is not said: write rootfs: {storage: …, size: …}.")
	}
	return s
}

// defaultStorage is where the root file system goes that names no storage: Proxmox makes it with 4 GiB
// where no size is given either (pve-container API2/LXC.pm, create_vm).
func (s *Source) defaultStorage(name string) {
	key := setting.RootFS.PVE
	volume, rest, more := strings.Cut(s.Config.Current[key], ",")
	switch {
	case volume == "":
		volume = "4"
	case strings.Trim(volume, "0123456789.") != "":
		return
	}
	s.Config.Current[key] = name + ":" + volume
	if more {
		s.Config.Current[key] += "," + rest
	}
}
