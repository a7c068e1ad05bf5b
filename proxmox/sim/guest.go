package sim

import (
	"strconv"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

// A guest is a container, or a virtual machine that only occupies its id.
type guest struct {
	id      proxmox.VMID
	node    string
	vm      *VM // set for a virtual machine
	conf    *conf
	raw     string // the config file; conf is what it parses to
	running bool
	frozen  bool
	pid     int
	started time.Time
	created time.Time // zero for guests that were there at the start
	text    []byte    // its part of the state file; nil after a change
}

func (g *guest) container() *Container {
	return &Container{Node: g.node, Running: g.running, Frozen: g.frozen, Config: g.raw}
}

// name is what listings call the container.
func (g *guest) name() string {
	if g.vm != nil {
		return g.vm.Name
	}
	if h := g.conf.values["hostname"]; truthy(h) {
		return strings.Join(strings.Fields(h), "")
	}
	return "CT" + g.id.String()
}

func (g *guest) kind() string {
	if g.vm != nil {
		return "qemu"
	}
	return "lxc"
}

func parseVMID(s string) (proxmox.VMID, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	return proxmox.VMID(n), err
}

// container finds a container on a node (AbstractConfig.pm, load_config).
func (s *Sim) container(node string, id proxmox.VMID) (*guest, error) {
	g := s.guests[id]
	if g == nil || g.vm != nil || g.node != node {
		return nil, dief("Configuration file 'nodes/%s/lxc/%d.conf' does not exist", node, id)
	}
	return g, nil
}

// checkUnused is pve-cluster Cluster.pm, check_vmid_unused.
func (s *Sim) checkUnused(id proxmox.VMID, allowExisting bool) error {
	g := s.guests[id]
	if g == nil {
		return nil
	}
	if allowExisting {
		return nil
	}
	kind := "CT"
	if g.vm != nil {
		kind = "VM"
	}
	return dief("%s %d already exists on node '%s'", kind, id, g.node)
}

// write renders a config and puts it in force: the next reader parses what was written, as on a node.
func (s *Sim) write(g *guest, c *conf) error {
	raw, err := c.render()
	if err != nil {
		return err
	}
	g.raw = raw
	g.conf = parseConf(raw, func(text string) { s.warn("vm %d - %s", g.id, text) })
	s.changed(g)
	return nil
}

// changed marks a guest as to be written to the state file.
func (s *Sim) changed(g *guest) {
	g.text = nil
	s.store.touch()
}

// remove takes a config file away.
func (s *Sim) remove(id proxmox.VMID) {
	delete(s.guests, id)
	s.store.touch()
}

// checkLock is AbstractConfig.pm, check_lock.
func checkLock(c *conf) error {
	if l := c.values["lock"]; truthy(l) {
		return dief("CT is locked (%s)", l)
	}
	return nil
}

// setLock locks the config under a name, if it carries no lock (AbstractConfig.pm, set_lock).
func (s *Sim) setLock(g *guest, name string) error {
	if err := checkLock(g.conf); err != nil {
		return err
	}
	c := g.conf.clone()
	c.values["lock"] = name
	return s.write(g, c)
}

// removeLock is AbstractConfig.pm, remove_lock.
func (s *Sim) removeLock(g *guest, name string) error {
	switch l := g.conf.values["lock"]; {
	case !truthy(l):
		return dief("no lock found trying to remove '%s' lock", name)
	case l != name:
		return dief("found lock '%s' trying to remove '%s' lock", l, name)
	}
	c := g.conf.clone()
	delete(c.values, "lock")
	return s.write(g, c)
}

// checkProtection is AbstractConfig.pm, check_protection.
func checkProtection(c *conf, text string) error {
	if c.on("protection") {
		return dief("%s - protection mode enabled", text)
	}
	return nil
}

// checkDigest is pve-common Tools.pm, assert_if_modified.
func checkDigest(want string, c *conf) error {
	if truthy(want) && c.digest != "" && want != c.digest {
		return dief("detected modified configuration - file changed by other user? Try again.")
	}
	return nil
}
