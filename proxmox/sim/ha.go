package sim

import (
	"fmt"

	"github.com/felhom/tend/proxmox"
)

// Of the high availability manager, the simulator has what a client of containers meets: who is under it, requests
// in place of power actions and migrations, and that it acts on them. Nodes do not fail here.

// underHA gives the state that is requested of a guest; managed is false where its power state is nobody's, or
// anybody's (pve-ha-manager, Config.pm vm_is_ha_managed).
func (s *Sim) underHA(id proxmox.VMID) (state string, managed bool) {
	state, managed = s.st.HA[id]
	return state, managed && state != "ignored"
}

// requestHA is a power action on a container that the manager rules: the task only hands the request in, and is over
// then (Status.pm, the branches for HA). The manager acts at once here, as its own daemon, which asks for no
// privileges.
func (c *call) requestHA(worker, text, state string, act func(*task, *guest) error) (any, error) {
	id := c.vmid()
	return c.fork(worker, id.String(), func(t *task) error {
		t.print(fmt.Sprintf(text, id))
		g, err := c.container()
		if err != nil {
			return err
		}
		if state != "" {
			t.sim.st.HA[id] = state
		}
		if err := act(t, g); err != nil {
			t.sim.warn("service 'ct:%d': %s", id, err)
		}
		t.sim.store.touch()
		return nil
	}), nil
}

func (c *call) startByHA() (any, error) {
	return c.requestHA("hastart", "Requesting HA start for CT %d", "started", func(t *task, g *guest) error {
		if g.running {
			return nil
		}
		return t.sim.start(t, g)
	})
}

// stopByHA is a stop and a shutdown: either makes "stopped" the state that is requested from then on.
func (c *call) stopByHA() (any, error) {
	return c.requestHA("hastop", "Requesting HA stop for CT %d", "stopped", func(t *task, g *guest) error {
		if g.running {
			t.sim.stopped(g)
		}
		return t.work()
	})
}

func (c *call) migrateByHA(target string) (any, error) {
	return c.requestHA("hamigrate", "Requesting HA migration for CT %d to node "+target, "", func(t *task, _ *guest) error {
		restart := *c
		restart.params = params{"vmid": {text: c.vmid().String()}, "restart": {text: "1"}}
		return migrateWork(t, &restart, target)
	})
}

// haResources is pve-manager API2/HA/Resources.pm, index.
func haResources(c *call) (any, error) {
	rows := []map[string]any{}
	for _, id := range sortedKeys(c.sim.st.HA) {
		g := c.sim.guests[id]
		kind := map[bool]string{true: "vm", false: "ct"}[g != nil && g.vm != nil]
		if c.given("type") && c.str("type") != kind {
			continue
		}
		rows = append(rows, map[string]any{"sid": kind + ":" + id.String(), "type": kind, "state": c.sim.st.HA[id]})
	}
	return rows, nil
}
