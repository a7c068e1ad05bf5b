package sim

import (
	"fmt"
	"strings"

	"github.com/felhom/tend/proxmox"
)

var cloneRoutes = []route{
	{
		method: "POST", path: "/nodes/{node}/lxc/{vmid}/clone", onNode: true, protected: true,
		perm: both(need("/vms/{vmid}", "VM.Clone"),
			either(need("/vms/{newid}", "VM.Allocate"), need("/pool/{pool}", "VM.Allocate"), "pool")),
		props: props{
			"newid": vmidParam().need(), "hostname": format("dns-name"), "description": str(), "pool": format("pve-poolid"),
			"snapname": format("pve-configid").atMost(40), "storage": format("pve-storage-id"), "full": boolean(),
			"target": format("pve-node"), "bwlimit": number().from("0"),
		}, handler: cloneContainer,
	},
	{
		method: "POST", path: "/nodes/{node}/lxc/{vmid}/template", onNode: true, protected: true, perm: need("/vms/{vmid}", "VM.Allocate"),
		handler: makeTemplate,
	},
}

// A cloning is a container on its way to become a copy of another.
type cloning struct {
	call    *call
	from    proxmox.VMID
	to      proxmox.VMID
	full    bool
	running bool
	target  string // the node it goes to, where that is another
	storage string
	mounts  []*mount
	linked  map[string]bool
	conf    *conf
}

// cloneContainer is pve-container API2/LXC.pm, clone_vm.
func cloneContainer(c *call) (any, error) {
	cl := &cloning{call: c, from: c.vmid(), to: proxmox.VMID(c.integer("newid", 0)), storage: c.str("storage")}
	if err := cl.checkPlaces(); err != nil {
		return nil, err
	}
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	if err := c.sim.setLock(g, "disk"); err != nil {
		return nil, err
	}
	if err := cl.reserve(); err != nil {
		_ = c.sim.removeLock(g, "disk") // it is ours
		return nil, err
	}
	if err := cl.prepare(g); err != nil {
		_ = c.sim.removeLock(g, "disk")
		c.sim.remove(cl.to)
		return nil, err
	}
	return c.fork("vzclone", cl.from.String(), cl.work), nil
}

func (cl *cloning) checkPlaces() error {
	c, s := cl.call, cl.call.sim
	if c.given("pool") && s.st.Pools[c.str("pool")] == nil {
		return forbidden(fmt.Sprintf("pool '%s' does not exist", c.str("pool")))
	}
	if t := c.str("target"); t != "" && t != c.node && t != "localhost" {
		if s.st.Nodes[t] == nil {
			return dief("no such cluster node '%s'", t)
		}
		cl.target = t
	}
	if cl.storage != "" {
		cfg, err := s.enabledStorage(cl.storage, c.node)
		if err != nil {
			return err
		}
		if cl.target != "" {
			if _, err := s.enabledStorage(cl.storage, cl.target); err != nil {
				return err
			}
			if !cfg.isShared() {
				return dief("can't clone to non-shared storage '%s'", cl.storage)
			}
		}
	}
	if !s.st.Cluster.Quorate {
		return dief("cluster not ready - no quorum?")
	}
	return nil
}

func (cl *cloning) reserve() error {
	s := cl.call.sim
	if err := s.checkUnused(cl.to, false); err != nil {
		return err
	}
	g := &guest{id: cl.to, node: cl.call.node, conf: newConf(), created: s.opts.Now()}
	s.guests[cl.to] = g
	return s.setLock(g, "create")
}

// prepare decides what is copied and how, and writes the new config without its volumes.
func (cl *cloning) prepare(g *guest) error {
	c := cl.call
	cl.running, cl.full = g.running, !g.conf.on("template")
	if c.given("full") {
		cl.full = c.on("full")
	}
	if cl.storage != "" && !cl.full {
		return dief("parameter 'storage' not allowed for linked clones")
	}
	from := g.conf.section
	if name := c.str("snapname"); name != "" {
		snap, ok := g.conf.snaps[name]
		if !ok {
			return dief("snapshot '%s' does not exist", name)
		}
		from = snap
	}
	cl.conf, cl.linked = newConf(), map[string]bool{}
	cl.conf.lxc = from.lxc
	shared := true
	for _, k := range sortedKeys(from.values) {
		v := from.values[k]
		switch {
		case isFamily(k, "unused"):
		case isMountKey(k):
			isShared, err := cl.addMount(k, v)
			if err != nil {
				return err
			}
			shared = shared && isShared
		case isFamily(k, "net"):
			if err := cl.addNetwork(k, v); err != nil {
				return err
			}
		default:
			cl.conf.values[k] = v
		}
	}
	if cl.target != "" && !shared {
		return dief("can't clone CT to node '%s' (CT uses local storage)", cl.target)
	}
	for _, k := range []string{"parent", "snaptime", "snapstate", "template"} {
		delete(cl.conf.values, k)
	}
	cl.conf.values["lock"] = "create"
	for _, k := range []string{"hostname", "description"} {
		if truthy(c.str(k)) {
			cl.conf.values[k] = c.str(k)
		}
	}
	return c.sim.write(c.sim.guests[cl.to], cl.conf.clone())
}

func (cl *cloning) addMount(k, v string) (shared bool, err error) {
	c := cl.call
	m, err := parseMount(k, v)
	if err != nil {
		return false, err
	}
	if m.kind != volumeMount {
		return false, dief("unable to clone mountpoint '%s' (type %s)", k, m.kind)
	}
	id, _, err := splitVolid(m.volume)
	if err != nil {
		return false, err
	}
	if cl.storage != "" {
		id = cl.storage
	}
	cfg, err := c.sim.storage(id)
	if err != nil {
		return false, err
	}
	if err := c.need("/storage/"+id, "Datastore.AllocateSpace"); err != nil {
		return false, err
	}
	switch {
	case cl.full && cl.running && c.str("snapname") == "":
		return false, dief("Full clone of a running container is only possible from a snapshot")
	case !cl.full && !c.sim.hasFeature("clone", m.volume, c.str("snapname")):
		return false, dief("Linked clone feature for '%s' is not available", m.volume)
	}
	cl.linked[k] = !cl.full
	cl.mounts = append(cl.mounts, m)
	return cfg.isShared(), nil
}

func (cl *cloning) addNetwork(k, v string) error {
	net, err := netProps.parse(v, "")
	if err != nil {
		return err
	}
	net["hwaddr"], net["type"] = cl.call.sim.newMAC(cl.to), "veth" // always a new one
	cl.conf.values[k] = network(net).print()
	return cl.call.checkBridge(cl.conf.values[k])
}

// work copies the volumes. Source and copy stay locked meanwhile, and the source is unlocked in any case.
func (cl *cloning) work(t *task) error {
	s := t.sim
	t.term = "interrupted by signal"
	t.print(fmt.Sprintf("creating a clone of container %d with ID %d", cl.from, cl.to))
	var made []string
	err := cl.copy(t, &made)
	if g := s.guests[cl.from]; g != nil {
		if lerr := s.removeLock(g, "disk"); lerr != nil {
			t.warnErr(lerr)
		}
	}
	if err != nil {
		for _, v := range made {
			if ferr := s.freeVolume(v); ferr != nil {
				t.warnErr(ferr)
			}
		}
		s.remove(cl.to)
		return prefixed("clone failed:", err)
	}
	g := s.guests[cl.to]
	if g == nil || g.conf.values["lock"] != "create" {
		return dief("Lost 'create' config lock, aborting.")
	}
	if err := s.removeLock(g, "create"); err != nil {
		return err
	}
	if cl.target != "" {
		g.node = cl.target
		s.changed(g)
	}
	return nil
}

func (cl *cloning) copy(t *task, made *[]string) error {
	s := t.sim
	for i, m := range cl.mounts {
		var volid string
		var err error
		if cl.linked[m.key] {
			t.print(fmt.Sprintf("create linked clone of mount point %s (%s)", m.key, m.volume))
			volid, err = s.linkVolume(m.volume, cl.to)
		} else {
			t.print(fmt.Sprintf("create full clone of mountpoint %s (%s)", m.key, m.volume))
			volid, err = s.copyVolume(t, m, cl.storage, cl.to)
		}
		if err != nil {
			return err
		}
		*made = append(*made, volid)
		if err := s.storageOp(t, "fill "+volid); err != nil {
			return err
		}
		if i == 0 {
			if err := t.work(); err != nil {
				return err
			}
		}
		m.volume = volid
		g := s.guests[cl.to]
		if g == nil || g.conf.values["lock"] != "create" {
			return dief("Lost 'create' config lock, aborting.")
		}
		c := g.conf.clone()
		c.values[m.key] = m.print()
		if err := s.write(g, c); err != nil {
			return err
		}
	}
	if p := cl.call.str("pool"); p != "" {
		s.addToPool(p, cl.to)
	}
	return nil
}

// copyVolume allocates a volume of the same size and fills it (LXC.pm, copy_volume).
func (s *Sim) copyVolume(t *task, m *mount, storage string, owner proxmox.VMID) (string, error) {
	if storage == "" {
		storage, _, _ = splitVolid(m.volume)
	}
	size, ok := s.volumeSize(m.volume)
	if !ok {
		return "", dief("volume '%s' does not exist", m.volume)
	}
	m.size, m.sized = size, true
	used := s.written(m.volume)
	volid, err := s.allocate(storage, t.UPID.Node, owner, size/1024, t.print)
	if err != nil {
		return "", err
	}
	if err := s.writeBytes(volid, used, "rsync error: error in file IO (code 11)"); err != nil {
		t.print(`rsync: [receiver] write failed on "usr/share/i18n/charmaps": No space left on device (28)`)
		if ferr := s.freeVolume(volid); ferr != nil {
			t.warnErr(ferr)
		}
		return "", err
	}
	t.print("", fmt.Sprintf("Total file size: %d bytes", used), "total size is "+fmt.Sprint(used)+"  speedup is 1.00")
	return volid, nil
}

// linkVolume makes a volume that shares what it has in common with its origin (Storage.pm, vdisk_clone).
func (s *Sim) linkVolume(volid string, owner proxmox.VMID) (string, error) {
	n, err := s.parseVolume(volid)
	if err != nil {
		return "", err
	}
	origin := s.st.Volumes[volid]
	if origin == nil {
		return "", dief("volume '%s' does not exist", volid)
	}
	name := s.freeName(n.storage, owner, n.format)
	if storageKinds[s.st.Storages[n.storage].Type].linked {
		name = n.name[strings.LastIndexByte(n.name, '/')+1:] + "/" + name
	}
	clone := n.storage + ":" + name
	s.putVolume(clone, &Volume{Size: origin.Size, CTime: s.opts.Now().Unix(), Node: origin.Node, Parent: volid})
	return clone, nil
}

// makeTemplate is API2/LXC.pm, template. It starts a task and answers without its id.
func makeTemplate(c *call) (any, error) {
	id := c.vmid()
	if err := c.lockGuest(id, lockTimeout); err != nil {
		return nil, err
	}
	defer c.sim.unlockGuest(id)
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	switch err := checkLock(g.conf); {
	case err != nil:
		return nil, err
	case len(g.conf.snaps) > 0:
		return nil, dief("unable to create template, because CT contains snapshots")
	case g.conf.on("template"):
		return nil, dief("you can't convert a template to a template")
	case g.running:
		return nil, dief("you can't convert a CT to template if the CT is running")
	}
	c.fork("vztemplate", id.String(), func(t *task) error {
		cf := g.conf.clone()
		if err := t.work(); err != nil {
			return err
		}
		if err := t.sim.makeBase(cf); err != nil {
			return err
		}
		cf.values["template"] = "1"
		return t.sim.write(g, cf)
	})
	return nil, nil
}

// makeBase renames the volumes of a config to base volumes (LXC.pm, template_create).
func (s *Sim) makeBase(c *conf) error {
	for m := range c.mounts() {
		if !s.hasFeature("template", m.volume, "") {
			return dief("Template feature is not available for '%s'", m.volume)
		}
	}
	for m := range c.mounts() {
		v := s.st.Volumes[m.volume]
		if v == nil {
			return dief("volume '%s' does not exist", m.volume)
		}
		base := baseName(m.volume)
		s.dropVolume(m.volume)
		s.putVolume(base, v)
		m.volume = base
		c.values[m.key] = m.print()
	}
	return nil
}

// baseName is the name of a volume once it is a base.
func baseName(volid string) string {
	i := strings.LastIndexAny(volid, ":/") + 1
	dir, name := volid[:i], volid[i:]
	switch {
	case strings.HasPrefix(name, "vm-"):
		name = "base-" + name[len("vm-"):]
	case strings.HasPrefix(name, "subvol-") && !strings.HasSuffix(name, ".subvol"):
		name = "basevol-" + name[len("subvol-"):]
	}
	return dir + name
}
