package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	defaultRootSize = "4" // GiB
	unpackRatio     = 3   // bytes that a byte of an archive unpacks to
	packRatio       = 2   // bytes that make one of a backup
)

// work is the task: volumes, content, operating system, defaults (API2/LXC.pm, create_vm, $code).
func (cr *creation) work(t *task) error {
	err := t.lockGuest(cr.id)
	if err != nil {
		return err
	}
	cr.dirty = cr.existing == nil
	g, err := cr.call.sim.container(cr.call.node, cr.id)
	if err == nil {
		err = cr.build(t, g)
	}
	if err != nil {
		return cr.abort(t, err)
	}
	if cr.pool != "" {
		t.sim.addToPool(cr.pool, cr.id)
	}
	t.unlockGuest(cr.id)
	if cr.call.on("start") {
		if _, err := startContainer(t.subCall(cr.id)); err != nil {
			return err
		}
	}
	if cr.call.on("ha-managed") {
		t.print("Add as HA resource", "command 'ha-manager add ct:"+cr.id.String()+"' failed: HA is not simulated")
	}
	return nil
}

// abort frees what was allocated and takes the config away; where the container of before was not touched yet,
// only its lock.
func (cr *creation) abort(t *task, err error) error {
	for _, v := range cr.volumes {
		if ferr := t.sim.freeVolume(v); ferr != nil {
			t.warnErr(ferr)
		}
	}
	if cr.dirty {
		t.sim.remove(cr.id)
	} else if g := t.sim.guests[cr.id]; g != nil {
		if lerr := t.sim.removeLock(g, "create"); lerr != nil {
			t.warnErr(lerr)
		}
	}
	return prefixed(cr.failText(), err)
}

func (cr *creation) build(t *task, g *guest) error {
	var from *conf
	if cr.restore {
		var err error
		if from, err = cr.recover(t, g); err != nil {
			return err
		}
	} else if !cr.mountsGiven {
		cr.mounts["rootfs"] = cr.storage + ":" + defaultRootSize
	}
	cr.dirty = true
	if err := cr.createDisks(t); err != nil {
		return err
	}
	if len(g.conf.values) > 1 { // more than the lock: the container of before
		if err := t.sim.freeAll(g, t); err != nil {
			return err
		}
	}
	if err := cr.unpack(t); err != nil {
		return err
	}
	if cr.restore {
		if err := cr.merge(t, from); err != nil {
			return err
		}
	}
	cr.setDefaults()
	if cr.wasTemplate {
		t.print("Convert restored container to template...")
		if err := t.sim.makeBase(cr.conf); err != nil {
			return err
		}
		cr.conf.values["template"] = "1"
	}
	return t.sim.write(g, cr.conf)
}

func (cr *creation) setDefaults() {
	v := cr.conf.values
	if !truthy(v["hostname"]) {
		v["hostname"] = "CT" + cr.id.String()
	}
	if !truthy(v["memory"]) {
		v["memory"] = "512"
	}
	if _, ok := v["swap"]; !ok {
		v["swap"] = "512"
	}
	maps.Copy(v, cr.delayed)
}

// createDisks allocates the volumes in their order, and keeps those that are there (LXC.pm, create_disks).
func (cr *creation) createDisks(t *task) error {
	sec := section{values: cr.mounts}
	for m := range sec.mounts() {
		if d := newDiskText.FindStringSubmatch(m.volume); m.kind == volumeMount && d != nil {
			sizeKB := int64(mustFloat(d[2])*1024) * 1024
			volid, err := t.sim.allocate(d[1], cr.call.node, cr.id, sizeKB, t.print)
			if err != nil {
				return err
			}
			cr.volumes = append(cr.volumes, volid)
			if err := t.sim.storageOp(t, "fill "+volid); err != nil {
				return err
			}
			m.volume, m.size, m.sized = volid, sizeKB*1024, true
		}
		cr.conf.values[m.key] = m.print()
	}
	return nil
}

// unpack fills the root file system. Its time is the time of the task.
func (cr *creation) unpack(t *task) error {
	if cr.restore {
		t.print(fmt.Sprintf("restoring '%s' now..", cr.archive))
	}
	size, err := t.sim.archiveSize(cr.archive, cr.call.node)
	if err != nil {
		return err
	}
	t.print(fmt.Sprintf("extracting archive '%s'", t.sim.volumePath(cr.archive)))
	if err := t.work(); err != nil {
		return err
	}
	if len(cr.volumes) > 0 {
		full := fmt.Sprintf("command 'tar xpf - -C /var/lib/lxc/%d/rootfs' failed: exit code 2", cr.id)
		if err := t.sim.writeBytes(cr.volumes[0], size, full); err != nil {
			t.print("tar: ./usr/share/i18n: Cannot write: No space left on device", "tar: Exiting with failure status due to previous errors")
			return err
		}
	}
	t.print(fmt.Sprintf("Total bytes read: %d (%.1fMiB, 160MiB/s)", size, float64(size)/mebibyte))
	if cr.restore {
		return nil
	}
	if err := cr.detect(t); err != nil {
		return err
	}
	return cr.applyImage(t)
}

// archiveSize is what an archive unpacks to; an archive that is not there is an error of the task.
func (s *Sim) archiveSize(volid, node string) (int64, error) {
	if s.hasTemplate(volid, node) {
		return int64(s.st.Templates[volid].Size) * cmp.Or(s.opts.Unpacked, unpackRatio), nil
	}
	if b := s.st.Backups[volid]; b != nil && b.Data > 0 {
		return int64(b.Data), nil
	} else if b != nil {
		return int64(b.Size) * cmp.Or(s.opts.Unpacked, unpackRatio), nil
	}
	return 0, dief("volume '%s' does not exist", volid)
}

// detect finds the distribution and architecture in the template (LXC/Setup.pm, new).
func (cr *creation) detect(t *task) error {
	tpl, v := t.sim.st.Templates[cr.archive], cr.conf.values
	if v["ostype"] != "unmanaged" {
		if tpl.OSType == nil {
			return dief("unable to detect OS distribution")
		}
		if want := v["ostype"]; truthy(want) && want != *tpl.OSType {
			t.print(fmt.Sprintf("got unexpected ostype (%s != %s)", *tpl.OSType, want))
		}
		v["ostype"] = *tpl.OSType
	}
	if truthy(v["arch"]) {
		return nil
	}
	arch := tpl.Arch
	if arch == "" && tpl.OSType != nil {
		arch = "amd64"
	}
	if arch != "" {
		t.print("Detected container architecture: " + arch)
	} else {
		arch = "amd64"
		t.print("Falling back to amd64.", "Use `pct set VMID --arch ARCH` to change.")
	}
	v["arch"] = arch
	return nil
}

// recover reads the config of a backup, and checks what it brings (API2/LXC.pm, create_vm).
func (cr *creation) recover(t *task, g *guest) (*conf, error) {
	c := cr.call
	if g.running {
		return nil, dief("can't overwrite running container")
	}
	t.print(fmt.Sprintf("recovering backed-up configuration from '%s'", cr.archive))
	b := t.sim.st.Backups[cr.archive]
	if b == nil {
		return nil, dief("volume '%s' does not exist", cr.archive)
	}
	if b.Damaged {
		return nil, dief("ERROR: archive contains no configuration file")
	}
	from := parseConf(b.Config, func(string) {})
	for _, k := range sortedKeys(from.values) {
		if _, given := cr.settings[k]; isFamily(k, "net") && !given && !c.isRoot() {
			if err := c.checkBridge(from.values[k]); err != nil {
				return nil, err
			}
		}
	}
	cr.wasTemplate = from.on("template")
	delete(from.values, "template")
	if cr.unprivileged == nil && from.on("unprivileged") {
		cr.conf.values["unprivileged"] = "1"
	}
	if !cr.conf.on("unprivileged") && (cr.existing == nil || g.conf.on("unprivileged")) {
		if err := c.need("/", "Sys.Modify"); err != nil {
			return nil, err
		}
	}
	if cr.mountsGiven {
		return from, nil
	}
	return from, cr.recoverMounts(from)
}

// recoverMounts asks for the volumes of the backup anew, all on one storage.
func (cr *creation) recoverMounts(from *conf) error {
	if _, ok := from.values["rootfs"]; !ok {
		return dief("rootfs configuration could not be recovered, please check and specify manually!")
	}
	for m := range from.mounts() {
		if m.kind != volumeMount {
			if !cr.call.isRoot() {
				return dief("restoring '%s' to %s mount is only possible for root", m.key, m.kind)
			}
			cr.delayed[m.key] = m.print()
			continue
		}
		if !m.sized {
			return dief("unable to detect disk size - please specify %s (size)", m.key)
		}
		m.volume = fmt.Sprintf("%s:%v", cr.storage, float64(m.size)/(1<<30))
		m.sized = false
		cr.mounts[m.key] = m.print()
	}
	return nil
}

// merge takes over what the backup sets and the call does not (LXC/Create.pm, sanitize_and_merge_config).
func (cr *creation) merge(t *task, from *conf) error {
	t.print("merging backed-up and given configuration..")
	restricted := !cr.call.isRoot()
	for _, k := range sortedKeys(from.values) {
		_, given := cr.conf.values[k]
		switch {
		case slices.Contains([]string{"rootfs", "unprivileged", "parent", "lock"}, k), isFamily(k, "mp"), isFamily(k, "unused"):
		case k == "features" && restricted && !cr.conf.on("unprivileged") && from.on("unprivileged"):
			t.print("changing from unprivileged to privileged, skipping features")
		case isFamily(k, "net") && cr.call.on("unique"):
			net, err := netProps.parse(from.values[k], "")
			if err != nil {
				return err
			}
			net["hwaddr"], net["type"] = t.sim.newMAC(cr.id), "veth"
			cr.conf.values[k] = network(net).print()
		case !given:
			cr.conf.values[k] = from.values[k]
		}
	}
	if len(from.lxc) == 0 {
		return nil
	}
	if !restricted {
		cr.conf.lxc = from.lxc
		return nil
	}
	const rule = "--------------------------------"
	lines := []string{"skipping custom lxc options, restore manually as root:", rule}
	for _, e := range from.lxc {
		lines = append(lines, e[0]+": "+e[1])
	}
	t.logWarn(strings.Join(append(lines, rule), "\n"))
	return nil
}
