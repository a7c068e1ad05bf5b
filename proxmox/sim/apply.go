package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// errSkip leaves a key pending.
var errSkip = errors.New("skip")

// carryOut brings what is pending into force: all of it on a stopped container, on a running one what it takes
// without a restart.
func (ch *change) carryOut() {
	if ch.running {
		ch.hotplug()
	} else {
		ch.applyPending()
	}
}

func (ch *change) chosen(k string) bool { return ch.modified == nil || ch.modified[k] }

func (ch *change) fail(text, k string, err error) {
	ch.errs[k] = fmt.Sprintf(text, k) + perlString(err)
}

// applyPending is LXC/Config.pm, vmconfig_apply_pending.
func (ch *change) applyPending() {
	const text = "unable to apply pending change %s : "
	for _, k := range slices.Sorted(maps.Keys(ch.conf.pendingDelete())) {
		if !ch.chosen(k) {
			continue
		}
		if err := ch.applyDelete(k); err != nil {
			ch.fail(text, k, err)
			continue
		}
		delete(ch.conf.values, k)
		ch.conf.dropPendingDelete(k)
	}
	ch.conf.cleanPending()
	for _, k := range ch.pendingKeys() {
		if !ch.chosen(k) {
			continue
		}
		if err := ch.applySet(k); err != nil {
			ch.fail(text, k, err)
			continue
		}
		ch.moveToLive(k, ch.conf.pending.values[k])
	}
}

func (ch *change) pendingKeys() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(ch.conf.pending.values)), func(k string) bool { return k == "delete" })
}

func (ch *change) moveToLive(k, v string) {
	ch.conf.values[k] = v
	delete(ch.conf.pending.values, k)
}

func (ch *change) applyDelete(k string) error {
	switch {
	case isFamily(k, "mp"):
		m, err := parseMount(k, ch.conf.values[k])
		if err != nil {
			return err
		}
		if m.kind == volumeMount {
			// Proxmox asks with the whole property string whether the volume is in use, which it never is
			return ch.conf.addUnused(m.volume)
		}
	case isFamily(k, "unused"):
		return ch.freeUnused(k)
	}
	return nil
}

// freeUnused destroys the data of an unused volume, unless something still refers to it.
func (ch *change) freeUnused(k string) error {
	volid := ch.conf.values[k]
	if ch.conf.usesAnywhere(volid) {
		return nil
	}
	return ch.sim.freeOwned(ch.id(), volid, ch.warn)
}

func (ch *change) applySet(k string) error {
	switch {
	case isFamily(k, "mp"):
		return ch.applyMount(k)
	case isFamily(k, "net"):
		net, err := parseNetwork(ch.conf.pending.values[k], ch.mac)
		if err != nil {
			return err
		}
		ch.conf.pending.values[k] = net.print()
	}
	return nil
}

// applyMount allocates a new volume, or reads the size of one that is there; the volume that was mounted before
// becomes unused (LXC/Config.pm, apply_pending_mountpoint).
func (ch *change) applyMount(k string) error {
	old, had := ch.conf.values[k]
	m, err := parseMount(k, ch.conf.pending.values[k])
	if err != nil {
		return err
	}
	switch {
	case m.kind == volumeMount && newDiskText.MatchString(m.volume):
		if err := ch.allocate(m); err != nil {
			return err
		}
	case ch.running && had:
		return errSkip
	case m.kind == volumeMount:
		if size, ok := ch.sim.volumeSize(m.volume); ok {
			m.size, m.sized = size, true
		} else {
			ch.warn("Could not rescan volume size - " + m.volume)
		}
	}
	if ch.running && m.kind == bindMount && !ch.sim.directoryExists(ch.guest.node, m.volume) {
		return dief("directory '%s' does not exist", m.volume)
	}
	ch.conf.pending.values[k] = m.print()
	if !had {
		return nil
	}
	om, err := parseMount(k, old)
	if err == nil && om.kind == volumeMount {
		return ch.conf.addUnused(om.volume)
	}
	return err
}

// allocate makes the volume that "storage:size" asks for (LXC.pm, create_disks).
func (ch *change) allocate(m *mount) error {
	parts := newDiskText.FindStringSubmatch(m.volume)
	sizeKB := int64(mustFloat(parts[2])*1024) * 1024
	volid, err := ch.sim.allocate(parts[1], ch.guest.node, ch.id(), sizeKB, ch.print)
	if err != nil {
		return err
	}
	m.volume, m.size, m.sized = volid, sizeKB*1024, true
	return nil
}

// hotplug is LXC/Config.pm, vmconfig_hotplug_pending.
func (ch *change) hotplug() {
	const text = "unable to hotplug %s: "
	for _, k := range ch.pendingKeys() {
		if ch.chosen(k) && confKeys()[k].fast {
			ch.moveToLive(k, ch.conf.pending.values[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(ch.conf.pendingDelete())) {
		if !ch.chosen(k) {
			continue
		}
		switch err := ch.unplug(k); {
		case errors.Is(err, errSkip):
		case err != nil:
			ch.fail(text, k, err)
		default:
			delete(ch.conf.values, k)
			ch.conf.dropPendingDelete(k)
		}
	}
	for _, k := range ch.pendingKeys() {
		if !ch.chosen(k) {
			continue
		}
		switch v, err := ch.plug(k, ch.conf.pending.values[k]); {
		case errors.Is(err, errSkip):
		case err != nil:
			ch.fail(text, k, err)
		default:
			ch.moveToLive(k, v)
		}
	}
}

// unplug says whether a key can be taken from a running container. Of the networks only the first ten can: the
// pattern in Proxmox takes one digit.
func (ch *change) unplug(k string) error {
	switch {
	case confKeys()[k].fast, k == "swap", k == "cpulimit", k == "cpuunits":
		return nil
	case isFamily(k, "unused"):
		return ch.freeUnused(k)
	case isFamily(k, "net") && len(k) == len("net0"):
		return nil
	}
	return errSkip
}

// plug gives a running container a new value, if it takes it, and returns the value that is kept.
func (ch *change) plug(k, v string) (string, error) {
	switch {
	case k == "cpulimit", k == "cpuunits", k == "memory", k == "swap":
		return v, nil
	case isFamily(k, "net"):
		net, err := parseNetwork(v, ch.mac)
		if err != nil {
			return "", err
		}
		return net.print(), ch.plugNetwork(k, net)
	case isFamily(k, "mp"):
		if _, had := ch.conf.values[k]; had {
			return "", errSkip
		}
		if err := ch.applyMount(k); err != nil {
			return "", err
		}
		return ch.conf.pending.values[k], nil
	case isFamily(k, "dev"):
		if _, had := ch.conf.values[k]; had {
			return "", errSkip
		}
		return v, nil
	}
	return "", errSkip
}

// plugNetwork changes an interface of a running container. Proxmox writes the config by itself on the way, so
// that what it got to stays even where the whole change fails (LXC.pm, update_net, hotplug_net).
func (ch *change) plugNetwork(k string, net network) error {
	oldText, had := ch.conf.values[k]
	if !had {
		return ch.newInterface(k, net)
	}
	old, err := parseNetwork(oldText, ch.mac)
	if err != nil {
		return err
	}
	switch {
	case old.differ(net, "hwaddr", "name"):
		delete(ch.conf.values, k)
		if err := ch.persist(); err != nil {
			return err
		}
		if err := ch.newInterface(k, net); err != nil {
			return err
		}
	case old.differ(net, "bridge", "tag", "firewall", "link_down"):
		if err := ch.attach(k, net); err != nil {
			return err
		}
		ch.keep(k, old, net, "bridge", "tag", "firewall", "rate", "link_down")
		return ch.persist()
	case old.differ(net, "rate"):
		if err := ch.limitRate(k, net); err != nil {
			return err
		}
		ch.keep(k, old, net, "rate")
		return ch.persist()
	}
	return nil
}

// keep notes the parts of an interface that are changed already.
func (ch *change) keep(k string, old, net network, parts ...string) {
	now := maps.Clone(old)
	for _, p := range parts {
		if truthy(net[p]) {
			now[p] = net[p]
		}
	}
	ch.conf.values[k] = now.print()
}

func (ch *change) newInterface(k string, net network) error {
	if err := ch.attach(k, net); err != nil {
		return err
	}
	done := network{"type": "veth"}
	for _, p := range []string{"bridge", "tag", "firewall", "hwaddr", "name", "link_down"} {
		if truthy(net[p]) {
			done[p] = net[p]
		}
	}
	ch.conf.values[k] = done.print()
	return ch.persist()
}

// attach connects an interface to its bridge.
func (ch *change) attach(k string, net network) error {
	if net["bridge"] != "" {
		if _, err := ch.sim.bridgeMTU(ch.guest.node, net["bridge"]); err != nil {
			return err
		}
	}
	if net["link_down"] == "1" || !truthy(net["rate"]) {
		return nil
	}
	return ch.limitRate(k, net)
}

// limitRate sets the rate, for which the node's kernel must be able to police traffic
// (pve-common Network.pm, tap_rate_limit).
func (ch *change) limitRate(k string, net network) error {
	if !truthy(net["rate"]) || !slices.Contains(ch.sim.st.Nodes[ch.guest.node].Missing, "tc-police") {
		return nil
	}
	rate := int64(mustFloat(net["rate"]) * 1024 * 1024)
	return dief("command '/sbin/tc filter add dev veth%di%s parent ffff: prio 50 basic police rate %dbps burst %db mtu 64kb drop'"+
		" failed: exit code 2", ch.id(), strings.TrimPrefix(k, "net"), rate, 1024*1024)
}

// persist writes the config in the middle of a change.
func (ch *change) persist() error { return ch.sim.write(ch.guest, ch.conf.clone()) }
