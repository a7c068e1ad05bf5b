package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// destroyContainer is pve-container API2/LXC.pm, destroy_vm.
func destroyContainer(c *call) (any, error) {
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	d := destruction{call: c, id: g.id}
	if err := d.check(g); err != nil {
		return nil, err
	}
	if g.running && !c.on("force") {
		return nil, d.runningError()
	}
	return c.fork("vzdestroy", g.id.String(), d.work), nil
}

type destruction struct {
	call *call
	id   proxmox.VMID
}

func (d destruction) runningError() error {
	return dief("unable to destroy CT %d - container is running", d.id)
}

func (d destruction) check(g *guest) error {
	if err := checkProtection(g.conf, fmt.Sprintf("can't remove CT %d", d.id)); err != nil {
		return err
	}
	if err := checkLock(g.conf); err != nil {
		return err
	}
	if _, used := d.call.sim.st.HA[d.id]; used && !d.call.on("purge") {
		return dief("unable to remove CT %d - used in HA resources and purge parameter not set.", d.id)
	}
	return nil
}

func (d destruction) work(t *task) error {
	if err := t.lockGuest(d.id); err != nil {
		return err
	}
	g, err := d.call.container()
	if err != nil {
		return err
	}
	if err := d.check(g); err != nil {
		return err
	}
	if g.running {
		if !d.call.on("force") {
			return d.runningError()
		}
		t.print(fmt.Sprintf("forced to stop CT %d before destroying!", d.id))
		t.sim.stopped(g)
	}
	if err := t.work(); err != nil {
		return err
	}
	if err := t.sim.freeAll(g, t); err != nil {
		return err
	}
	if d.call.on("destroy-unreferenced-disks") {
		t.sim.freeUnreferenced(d.id, t)
	}
	zombie := newConf()
	zombie.values["lock"] = "destroyed"
	if err := t.sim.write(g, zombie); err != nil {
		return err
	}
	t.sim.removeAccess(d.id)
	if d.call.on("purge") {
		t.print(fmt.Sprintf("purging CT %d from related configurations..", d.id))
		t.sim.removeFromJobs(d.id)
		delete(t.sim.st.HA, d.id)
	}
	t.sim.remove(d.id)
	return nil
}

// freeAll frees the volumes of a container: those in force, unused and pending; not those only a snapshot has
// (LXC.pm, destroy_lxc_container).
func (s *Sim) freeAll(g *guest, t *task) error {
	done := map[string]bool{}
	free := func(volume string) error {
		if done[volume] {
			return nil
		}
		done[volume] = true
		return s.freeOwned(g.id, volume, func(text string) { t.print(text) })
	}
	for _, sec := range []section{g.conf.section, g.conf.pending} {
		for m := range sec.mounts() {
			if err := free(m.volume); err != nil {
				return err
			}
		}
		for _, k := range sortedKeys(sec.values) {
			if isFamily(k, "unused") {
				if err := free(sec.values[k]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// freeUnreferenced frees what else has the id in its name, on storages for containers.
func (s *Sim) freeUnreferenced(id proxmox.VMID, t *task) {
	for _, volid := range sortedKeys(s.owned[id]) {
		storage, _, _ := strings.Cut(volid, ":")
		if cfg := s.st.Storages[storage]; cfg != nil && cfg.holds("rootdir") && !cfg.Disable {
			if err := s.freeVolume(volid); err != nil {
				t.warnErr(err)
			}
		}
	}
}

// removeAccess takes a guest out of access control and pools (pve-access-control AccessControl.pm,
// remove_vm_access).
func (s *Sim) removeAccess(id proxmox.VMID) {
	s.st.ACL = slices.DeleteFunc(s.st.ACL, func(e ACL) bool { return e.Path == vmPath(id) })
	for _, p := range s.st.Pools {
		p.VMs = slices.DeleteFunc(p.VMs, func(v proxmox.VMID) bool { return v == id })
	}
	s.accessChanged()
}

// accessChanged makes the next question about privileges read the state anew.
func (s *Sim) accessChanged() {
	s.access = newAccess(s.st)
	s.store.touch()
}
