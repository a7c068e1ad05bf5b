package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
)

var volumeKeys = slices.Concat(mountKeys(), unusedKeys())

var volumeRoutes = []route{
	{
		method: "PUT", path: "/nodes/{node}/lxc/{vmid}/resize", onNode: true, protected: true, perm: needAny("/vms/{vmid}", privDisk),
		props: props{
			"disk": enum(mountKeys()...).need(), "size": matching(`\+?[0-9]+(\.[0-9]+)?[KMGT]?`).need(),
			"digest": str().atMost(40),
		}, handler: resizeVolume,
	},
	{
		method: "POST", path: "/nodes/{node}/lxc/{vmid}/move_volume", onNode: true, protected: true, perm: need("/vms/{vmid}", privDisk),
		props: props{
			"target-vmid": vmidParam(), "volume": enum(volumeKeys...).need(), "storage": format("pve-storage-id"),
			"delete": boolean(), "digest": str().atMost(40), "bwlimit": number().from("0"),
			"target-volume": enum(volumeKeys...), "target-digest": str().atMost(40),
		}, handler: moveVolume,
	},
}

// A resize is a volume on its way to a new size.
type resize struct {
	call    *call
	grow    bool // the size is added
	request int64
}

// resizeVolume is pve-container API2/LXC.pm, resize_vm.
func resizeVolume(c *call) (any, error) {
	text, grow := strings.CutPrefix(c.str("size"), "+")
	size, ok := parseSize(strings.TrimSpace(text))
	if !ok {
		return nil, dieAt("API2/LXC.pm", 2364, "invalid size string")
	}
	r := resize{c, grow, size}
	if _, _, _, err := r.check(); err != nil {
		return nil, err
	}
	return c.fork("resize", c.vmid().String(), r.work), nil
}

// check runs before the task and in it.
func (r resize) check() (*guest, *mount, int64, error) {
	c, s := r.call, r.call.sim
	fail := func(err error) (*guest, *mount, int64, error) { return nil, nil, 0, err }
	g, err := c.container()
	if err != nil {
		return fail(err)
	}
	if err := checkLock(g.conf); err != nil {
		return fail(err)
	}
	// Proxmox asks for the right to set "disk", which is no key: VM.Config.Options
	mod := modification{call: c, id: g.id, old: g.conf, unprivileged: g.conf.on("unprivileged")}
	if err := mod.checkSet(map[string]string{"disk": ""}); err != nil {
		return fail(err)
	}
	if err := checkDigest(c.str("digest"), g.conf); err != nil {
		return fail(err)
	}
	m, err := parseMount(c.str("disk"), g.conf.values[c.str("disk")])
	if err != nil {
		return fail(err)
	}
	n, err := s.parseVolume(m.volume)
	if err != nil {
		return fail(err)
	}
	if n.owner != g.id {
		return fail(dieAt("API2/LXC.pm", 2385, "can't resize mount point owned by another container (%d)", n.owner))
	}
	if err := c.need("/storage/"+n.storage, "Datastore.AllocateSpace"); err != nil {
		return fail(err)
	}
	size, ok := s.volumeSize(m.volume)
	if !ok {
		return fail(dief("Could not determine current size of volume '%s'", m.volume))
	}
	next := r.request
	if r.grow {
		next += size
	}
	switch {
	case next < size:
		return fail(dief("unable to shrink disk size"))
	case next == size:
		return fail(dief("disk is already at specified size"))
	}
	return g, m, next, nil
}

func (r resize) work(t *task) error {
	if err := t.lockGuest(r.call.vmid()); err != nil {
		return err
	}
	_, m, next, err := r.check()
	if err != nil {
		return err
	}
	if err := t.work(); err != nil {
		return err
	}
	g, err := r.call.container()
	if err != nil {
		return err
	}
	v := t.sim.st.Volumes[m.volume]
	id, name, _ := strings.Cut(m.volume, ":")
	if err := t.sim.checkSpace(id, name, next-int64(v.Size)); err != nil {
		return err
	}
	v.resize(Bytes(next))
	t.sim.store.touch()
	m.size, m.sized = next, true
	c := g.conf.clone()
	c.values[m.key] = m.print()
	if err := t.sim.write(g, c); err != nil {
		return err
	}
	t.print(t.sim.resizeLog(m.volume, next)...)
	return nil
}

func (s *Sim) resizeLog(volid string, size int64) []string {
	n, err := s.parseVolume(volid)
	if err != nil || n.format != "raw" {
		return nil
	}
	path, blocks := s.volumePath(volid), size/ext4Block
	return []string{
		"Image resized.", "e2fsck 1.47.2 (1-Jan-2025)", "Pass 1: Checking inodes, blocks, and sizes",
		"Pass 2: Checking directory structure", "Pass 3: Checking directory connectivity", "Pass 4: Checking reference counts",
		"Pass 5: Checking group summary information", "resize2fs 1.47.2 (1-Jan-2025)",
		fmt.Sprintf("Resizing the filesystem on %s to %d (4k) blocks.", path, blocks),
		fmt.Sprintf("The filesystem on %s is now %d (4k) blocks long.", path, blocks), "",
	}
}

// moveVolume is API2/LXC.pm, move_volume.
func moveVolume(c *call) (any, error) {
	storage, target := c.str("storage"), c.given("target-vmid")
	switch {
	case storage != "" && target:
		return nil, dief("either set storage or target-vmid, but not both")
	case target:
		return reassignVolume(c)
	case storage != "":
		return moveToStorage(c, storage)
	}
	text := "both 'storage' and 'target-vmid' missing, either needs to be set"
	return nil, paramErrors(map[string]string{"target-vmid": text, "storage": text})
}

func moveToStorage(c *call, storage string) (any, error) {
	if err := c.need("/storage/"+storage, "Datastore.AllocateSpace"); err != nil {
		return nil, err
	}
	id, key := c.vmid(), c.str("volume")
	if err := c.lockGuest(id, lockTimeout); err != nil {
		return nil, err
	}
	defer c.sim.unlockGuest(id)
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	if err := checkLock(g.conf); err != nil {
		return nil, err
	}
	if g.running {
		return nil, dief("cannot move volumes of a running container")
	}
	if isFamily(key, "unused") {
		return nil, dief("cannot move volume '%s', only configured volumes can be moved to another storage", key)
	}
	m, err := parseMount(key, g.conf.values[key])
	if err != nil {
		return nil, err
	}
	if c.on("delete") && g.conf.usedBySnapshot(m.volume) {
		return nil, dief("you can't move a volume with snapshots and delete the source")
	}
	if err := checkDigest(c.str("digest"), g.conf); err != nil {
		return nil, err
	}
	if err := c.sim.setLock(g, "disk"); err != nil {
		return nil, err
	}
	return c.fork("move_volume", id.String(), func(t *task) error {
		err := moveWork(t, c, m, storage)
		if lerr := t.sim.removeLock(g, "disk"); lerr != nil {
			t.warnErr(lerr)
		}
		return err
	}), nil
}

func moveWork(t *task, c *call, m *mount, storage string) error {
	if m.kind != volumeMount {
		return dief("cannot copy volumes of type %s", m.kind)
	}
	g, err := c.container()
	if err != nil {
		return err
	}
	digest, old := g.conf.digest, m.volume
	made, err := t.sim.copyVolume(t, m, storage, g.id)
	if err != nil {
		return err
	}
	err = t.work()
	if err == nil {
		err = checkDigest(digest, g.conf)
	}
	if err != nil {
		if ferr := t.sim.freeVolume(made); ferr != nil {
			t.warnErr(ferr)
		}
		return err
	}
	if g.conf.on("template") {
		v := t.sim.st.Volumes[made]
		t.sim.dropVolume(made)
		made = baseName(made)
		t.sim.putVolume(made, v)
	}
	m.volume = made
	cf := g.conf.clone()
	cf.values[m.key] = m.print()
	if !c.on("delete") {
		if err := cf.addUnused(old); err != nil {
			return err
		}
	}
	if err := t.sim.write(g, cf); err != nil {
		return err
	}
	if !c.on("delete") {
		return nil
	}
	if err := t.sim.freeVolume(old); err != nil {
		t.warnErr(err)
		cf = g.conf.clone()
		if err := cf.addUnused(old); err != nil {
			return err
		}
		return t.sim.write(g, cf)
	}
	return nil
}

// A reassignment is a volume on its way to another container.
type reassignment struct {
	call       *call
	from, to   proxmox.VMID
	key, toKey string
}

func reassignVolume(c *call) (any, error) {
	r := reassignment{call: c, from: c.vmid(), to: proxmox.VMID(c.integer("target-vmid", 0)), key: c.str("volume"), toKey: c.str("target-volume")}
	if r.toKey == "" {
		r.toKey = r.key
	}
	if !c.isRoot() {
		if err := c.need(vmPath(r.to), privDisk); err != nil {
			return nil, err
		}
	}
	_, _, m, err := r.check()
	if err != nil {
		return nil, err
	}
	id, _, err := splitVolid(m.volume)
	if err != nil {
		return nil, err
	}
	if err := c.need("/storage/"+id, "Datastore.AllocateSpace"); err != nil {
		return nil, err
	}
	return c.fork("move_volume", fmt.Sprintf("%d-%s>%d-%s", r.from, r.key, r.to, r.toKey), r.work), nil
}

func (r reassignment) check() (from, to *guest, m *mount, err error) {
	s := r.call.sim
	fail := func(format string, args ...any) (*guest, *guest, *mount, error) {
		return nil, nil, nil, dief(format, args...)
	}
	if r.key == "rootfs" || r.toKey == "rootfs" {
		return fail("Cannot move to/from 'rootfs'")
	}
	if isFamily(r.key, "unused") && !isFamily(r.toKey, "unused") {
		return fail("Moving an unused volume to a used one is not possible")
	}
	from, to = s.guests[r.from], s.guests[r.to]
	if from == nil {
		return fail("could not find CT %d", r.from)
	}
	if to == nil {
		return fail("could not find CT %d", r.to)
	}
	if from.node != to.node {
		return fail("Both containers need to be on the same node (%s != %s)", from.node, to.node)
	}
	for _, g := range []*guest{from, to} {
		if _, err := s.container(g.node, g.id); err != nil {
			return nil, nil, nil, err
		}
		if err := checkLock(g.conf); err != nil {
			return nil, nil, nil, err
		}
	}
	if from.conf.on("template") || to.conf.on("template") {
		return fail("Can't move volumes from or to template CT")
	}
	if err := checkDigest(r.call.str("digest"), from.conf); err != nil {
		return nil, nil, nil, prefixed(fmt.Sprintf("Container %d:", r.from), err)
	}
	if err := checkDigest(r.call.str("target-digest"), to.conf); err != nil {
		return nil, nil, nil, prefixed(fmt.Sprintf("Container %d:", r.to), err)
	}
	return r.checkVolume(from, to)
}

func (r reassignment) checkVolume(from, to *guest) (*guest, *guest, *mount, error) {
	s := r.call.sim
	fail := func(format string, args ...any) (*guest, *guest, *mount, error) {
		return nil, nil, nil, dief(format, args...)
	}
	text, ok := from.conf.values[r.key]
	if !ok {
		return fail("volume '%s' for container '%d' does not exist", r.key, r.from)
	}
	if _, taken := to.conf.values[r.toKey]; taken {
		return fail("Target volume key '%s' is already in use for container '%d'", r.toKey, r.to)
	}
	m, err := parseMount(r.key, text)
	switch {
	case err != nil:
		return nil, nil, nil, err
	case from.conf.usedBySnapshot(m.volume):
		return fail("Cannot move volume used by a snapshot to another container")
	case !s.hasFeature("rename", m.volume, ""):
		return fail("Storage does not support moving of this disk to another container")
	case from.running && !isFamily(r.key, "unused"):
		return fail("Cannot move in-use volume while the source CT is running - detach or shutdown first")
	}
	return from, to, m, nil
}

func (r reassignment) work(t *task) error {
	for _, id := range []proxmox.VMID{r.from, r.to} {
		if !slices.Contains(t.locks, id) {
			if err := t.lockGuest(id); err != nil {
				return err
			}
		}
	}
	from, to, m, err := r.check()
	if err != nil {
		return err
	}
	t.print(fmt.Sprintf("moving volume '%s' from container '%d' to '%d'", r.key, r.from, r.to))
	if err := t.work(); err != nil {
		return err
	}
	n, err := t.sim.parseVolume(m.volume)
	if err != nil {
		return err
	}
	v := t.sim.st.Volumes[m.volume]
	if v == nil {
		return t.sim.missingVolume(m.volume, n)
	}
	renamed := n.storage + ":" + t.sim.freeName(n.storage, r.to, n.format)
	t.sim.dropVolume(m.volume)
	t.sim.putVolume(renamed, v)
	cf := from.conf.clone()
	delete(cf.values, r.key)
	t.print(fmt.Sprintf("removing volume '%s' from container '%d' config", r.key, r.from))
	if err := t.sim.write(from, cf); err != nil {
		return err
	}
	m.volume, m.key = renamed, r.toKey
	return r.attach(t, to, m)
}

func (r reassignment) attach(t *task, to *guest, m *mount) error {
	cf := to.conf.clone()
	if isFamily(r.toKey, "unused") {
		cf.values[r.toKey] = m.volume
	} else {
		ch := &change{
			sim: t.sim, guest: to, conf: cf, running: to.running, modified: map[string]bool{}, errs: map[string]string{},
			warn: func(text string) { t.print(text) },
		}
		if err := ch.stage(map[string]string{r.toKey: m.print()}, nil, nil); err != nil {
			return err
		}
		ch.carryOut()
		for _, k := range sortedKeys(ch.errs) {
			t.logWarn(ch.errs[k])
		}
	}
	if err := t.sim.write(to, cf); err != nil {
		return err
	}
	t.print(fmt.Sprintf("target container '%s' updated with '%s'", strconv.Itoa(int(r.to)), r.toKey))
	return nil
}
