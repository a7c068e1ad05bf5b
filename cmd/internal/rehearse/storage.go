package rehearse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/spec/setting"
)

// simulated are the types of storages that hold files or volumes of containers.
var simulated = []string{"dir", "nfs", "cifs", "cephfs", "btrfs", "zfspool", "lvm", "lvmthin", "rbd", "pbs"}

// contents are those of interest.
var contents = []string{"rootdir", "images", "vztmpl", "backup", "snippets"}

// storages copies what the storages are and how much room they have.
func (c *copier) storages(ctx context.Context) error {
	configs := map[string]proxmox.StorageConfig{}
	list, err := c.client.StorageConfigs(ctx)
	if err = c.hidden(err, "the storage configuration is not shown to the token"); err != nil {
		return err
	}
	for _, s := range list {
		configs[s.Name] = s
	}
	seen := map[string][]string{}
	for _, node := range c.nodes {
		list, err := c.client.Storages(ctx, node)
		if err != nil {
			return err
		}
		for _, s := range list {
			c.storage(node, s, configs[s.Name])
			if s.Enabled {
				seen[s.Name] = append(seen[s.Name], node)
			}
		}
	}
	for name, nodes := range seen {
		if s := c.State.Storages[name]; s != nil && len(nodes) < len(c.nodes) {
			s.Nodes = nodes
		}
	}
	return nil
}

func (c *copier) storage(node string, s proxmox.Storage, cfg proxmox.StorageConfig) {
	if !slices.Contains(simulated, s.Type) {
		c.strange = append(c.strange, s.Name)
		if slices.Contains(s.Content, "rootdir") {
			c.unsure("storage %s is of a type that is not simulated (%s): what lies on it is left out", s.Name, s.Type)
		}
		return
	}
	known := c.State.Storages[s.Name]
	if known == nil {
		known = &sim.Storage{
			Type: s.Type, Path: cfg.Path, Pool: cfg.Pool, VGName: cfg.VGName, Thin: cfg.ThinPool, Shared: s.Shared, Disable: cfg.Disabled,
		}
		for _, k := range s.Content {
			if slices.Contains(contents, string(k)) {
				known.Content = append(known.Content, string(k))
			}
		}
		c.State.Storages[s.Name] = known
	}
	if !s.Enabled || !s.Active {
		if s.Enabled {
			known.Disable = true
			c.unsure("storage %s is not active on node %s: it is taken for disabled", s.Name, node)
		}
		return
	}
	free, again := c.free[s.Name]
	switch {
	case !again:
		known.Total, c.free[s.Name] = sim.Bytes(s.Total), s.Avail
	case s.Avail != free && !s.Shared:
		c.unsure("storage %s has not the same room on each node: the least of them, %s, is assumed for all", s.Name, readable(min(free, s.Avail)))
		c.free[s.Name] = min(free, s.Avail)
	}
}

// content copies what lies on the storages.
func (c *copier) content(ctx context.Context) error {
	for _, node := range c.nodes {
		for _, name := range slices.Sorted(maps.Keys(c.State.Storages)) {
			s := c.State.Storages[name]
			if s.Disable || len(s.Nodes) > 0 && !slices.Contains(s.Nodes, node) || len(s.Content) == 0 {
				continue
			}
			list, err := c.client.StorageContent(ctx, node, name, proxmox.ContentFilter{})
			if err = c.hidden(err, "what lies on storage %s is not shown to the token", name); err != nil {
				return err
			}
			for _, v := range list {
				if err := c.volume(ctx, node, s, v); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *copier) volume(ctx context.Context, node string, s *sim.Storage, v proxmox.Volume) error {
	switch v.Content {
	case "vztmpl":
		if c.State.Templates[v.ID] == nil {
			c.State.Templates[v.ID] = c.template(v)
		}
	case "snippets":
		if !slices.Contains(c.State.Snippets, v.ID) {
			c.State.Snippets = append(c.State.Snippets, v.ID)
		}
	case "rootdir", "images":
		if c.State.Containers[v.Guest] == nil {
			return nil // of a virtual machine: it only takes room
		}
		vol := &sim.Volume{Size: sim.Bytes(v.Size), Used: sim.Bytes(v.Used), CTime: v.Created.Unix(), Node: node}
		if s.Shared {
			vol.Node = ""
		}
		if v.Used > 0 {
			c.told[v.ID] = v.Used
		}
		c.State.Volumes[v.ID] = vol
	case "backup":
		return c.backup(ctx, node, v)
	}
	return nil
}

// backup copies a backup from which the spec makes a container. Others only take room.
func (c *copier) backup(ctx context.Context, node string, v proxmox.Volume) error {
	wanted := false
	for _, w := range c.want.Containers {
		wanted = wanted || w.From.Backup == v.ID
	}
	if !wanted || c.State.Backups[v.ID] != nil {
		return nil
	}
	config, err := c.client.BackupConfig(ctx, node, v.ID)
	if errors.Is(err, proxmox.ErrForbidden) {
		return c.hidden(err, "the configuration in backup %s is not shown to the token", v.ID)
	}
	if err != nil {
		return err
	}
	c.State.Backups[v.ID] = &sim.Backup{Size: sim.Bytes(v.Size), CTime: v.Created.Unix(), Notes: v.Notes, Config: config}
	return nil
}

// distributions are the names with which templates begin, and what Proxmox detects in them.
var distributions = []string{
	"debian", "devuan", "ubuntu", "centos", "fedora", "opensuse", "archlinux", "alpine", "gentoo", "nixos",
}

// template copies a template. What is in it cannot be read: the distribution is guessed by its name, and where that
// tells nothing, by what the spec says of containers that are made from it.
func (c *copier) template(v proxmox.Volume) *sim.Template {
	t := &sim.Template{Size: sim.Bytes(v.Size), CTime: v.Created.Unix()}
	name := strings.ToLower(path.Base(strings.ReplaceAll(v.ID, ":", "/")))
	for _, w := range c.want.Containers {
		if w.From.Image == v.ID && t.OCI == nil {
			t.OCI = &sim.OCI{}
			c.unsure("what image %s says of its process and environment cannot be read before a container is made of it: nothing is assumed", v.ID)
		}
	}
	for _, arch := range []string{"amd64", "arm64", "armhf", "i386"} {
		if strings.Contains(name, "_"+arch+".") {
			t.Arch = arch
		}
	}
	for _, d := range distributions {
		if strings.HasPrefix(name, d) {
			t.OSType = &d
			return t
		}
	}
	assumed := "debian"
	for _, w := range c.want.Containers {
		if w.From.Template != v.ID && w.From.Image != v.ID {
			continue
		}
		if text, ok := setting.OSType.Get(w.Settings); ok && text != "unmanaged" {
			assumed = text
			continue
		}
		c.unsure("which distribution template %s holds its name does not tell: that Proxmox knows it is taken for granted", v.ID)
	}
	t.OSType = &assumed
	return t
}

// guess makes a storage that the token does not see, of the type that the name of a volume tells.
func (c *copier) guess(storage, volume string) {
	if c.State.Storages[storage] != nil || slices.Contains(c.strange, storage) {
		return
	}
	s := &sim.Storage{Type: "lvmthin", VGName: storage, Content: []string{"rootdir", "images"}, Total: assumedMemory}
	switch {
	case strings.Contains(volume, "/"):
		s.Type, s.Path = "dir", "/mnt/"+storage
	case strings.Contains(volume, ":subvol-"), strings.Contains(volume, ":basevol-"):
		s.Type, s.Pool = "zfspool", storage
	}
	c.State.Storages[storage] = s
	c.unsure("storage %s is not shown to the token: that it works, is of type %s and has room is assumed", storage, s.Type)
	c.hiddenThings = append(c.hiddenThings, coin{
		fmt.Sprintf("whether storage %s works is not shown to the token (it takes Datastore.Audit on /storage/%s)", storage, storage),
		func(w *world) { w.Storages[storage].Disable = true },
	})
}

// volumesOfConfigs adds the volumes that configurations name and no storage has shown.
func (c *copier) volumesOfConfigs(context.Context) error {
	var added []string
	for id, volumes := range c.size {
		for volume, size := range volumes {
			storage, _, _ := strings.Cut(volume, ":")
			c.guess(storage, volume)
			if c.State.Volumes[volume] != nil || c.State.Storages[storage] == nil {
				continue
			}
			v := &sim.Volume{Size: sim.Bytes(size)}
			if g := c.State.Containers[id]; g != nil && !c.State.Storages[storage].Shared {
				v.Node = g.Node
			}
			c.State.Volumes[volume] = v
			added = append(added, volume)
		}
	}
	if len(added) > 0 {
		slices.Sort(added)
		c.unsure("the storages do not show these volumes to the token, so that they are taken as the configurations say: %s", strings.Join(added, ", "))
	}
	return nil
}

func readable(n int64) string { return (setting.Bytes(n) / setting.MiB * setting.MiB).String() }
