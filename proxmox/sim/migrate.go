package sim

import (
	"fmt"
)

var migrateRoutes = []route{
	{
		method: "GET", path: "/nodes/{node}/lxc/{vmid}/migrate", onNode: true, perm: need("/vms/{vmid}", "VM.Migrate"),
		props: props{"target": format("pve-node")}, handler: migrateInfo,
	},
	{
		method: "POST", path: "/nodes/{node}/lxc/{vmid}/migrate", onNode: true, protected: true, perm: need("/vms/{vmid}", "VM.Migrate"),
		props: props{
			"target": format("pve-node").need(), "target-storage": str(), "online": boolean(), "restart": boolean(),
			"timeout": integer(), "bwlimit": number().from("0"),
		}, handler: migrateContainer,
	},
}

func migrateInfo(c *call) (any, error) {
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	if err := checkLock(g.conf); err != nil {
		return nil, err
	}
	allowed := []string{}
	for _, n := range sortedKeys(c.sim.st.Nodes) {
		if n != c.node {
			allowed = append(allowed, n)
		}
	}
	return map[string]any{"running": flag(g.running), "allowed-nodes": allowed, "not-allowed-nodes": map[string]any{}}, nil
}

// migrateContainer is pve-container API2/LXC.pm, migrate_vm.
func migrateContainer(c *call) (any, error) {
	target := c.str("target")
	if target == c.node {
		return nil, paramError("target", "target is local node.")
	}
	if !c.sim.st.Cluster.Quorate {
		return nil, dief("cluster not ready - no quorum?")
	}
	n := c.sim.st.Nodes[target]
	if n == nil {
		return nil, dief("no such cluster node '%s'", target)
	}
	if n.Offline {
		return nil, dief("node '%s' is not online", target)
	}
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	if g.running && !c.on("online") && !c.on("restart") {
		return nil, dief("can't migrate running container without --online or --restart")
	}
	if _, managed := c.sim.underHA(g.id); managed {
		return c.migrateByHA(target)
	}
	return c.fork("vzmigrate", g.id.String(), func(t *task) error {
		if err := migrateWork(t, c, target); err != nil {
			t.print("ERROR: " + err.Error())
			return dief("migration aborted")
		}
		return nil
	}), nil
}

// migrateWork is LXC/Migrate.pm, from prepare to the end.
func migrateWork(t *task, c *call, target string) error {
	s := t.sim
	if err := t.lockGuest(c.vmid()); err != nil {
		return err
	}
	g, err := c.container()
	if err != nil {
		return err
	}
	if err := checkLock(g.conf); err != nil {
		return err
	}
	wasRunning := g.running
	if wasRunning && c.on("online") {
		return dief("lxc live migration is currently not implemented")
	}
	local, err := s.checkMigration(g, target)
	if err != nil {
		return err
	}
	if wasRunning {
		t.print(fmt.Sprintf("shutdown CT %d", g.id))
		s.stopped(g)
	}
	if err := s.setLock(g, "migrate"); err != nil {
		return err
	}
	t.print(fmt.Sprintf("starting migration of CT %d to node '%s' (%s)", g.id, target, s.st.Nodes[target].IP))
	if err := t.work(); err != nil {
		_ = s.removeLock(g, "migrate") // it is ours
		return err
	}
	for _, volid := range local {
		s.st.Volumes[volid].Node = target
	}
	g.node = target
	if err := s.removeLock(g, "migrate"); err != nil {
		return err
	}
	if wasRunning {
		t.print("start container on target node")
		return s.start(t, g)
	}
	return nil
}

// checkMigration refuses what cannot go to another node, and gives the volumes that must be copied.
func (s *Sim) checkMigration(g *guest, target string) ([]string, error) {
	var local []string
	check := func(key string, m *mount) error {
		if m.kind != volumeMount {
			if m.on("shared") {
				return nil
			}
			return dief("cannot migrate local %s mount point '%s'", m.kind, key)
		}
		id, _, err := splitVolid(m.volume)
		if err != nil {
			return err
		}
		cfg, err := s.enabledStorage(id, target)
		if err != nil {
			return err
		}
		if cfg.isShared() {
			return nil
		}
		if len(s.st.Volumes[m.volume].snapshots()) > 0 && cfg.Type != "zfspool" && cfg.Type != "btrfs" {
			return dief("can't migrate local volume '%s': non-migratable snapshot exists", m.volume)
		}
		local = append(local, m.volume)
		return nil
	}
	for m := range g.conf.mounts() {
		if err := check(m.key, m); err != nil {
			return nil, err
		}
	}
	for _, k := range sortedKeys(g.conf.values) {
		if isFamily(k, "unused") {
			if err := check(k, &mount{key: k, volume: g.conf.values[k]}); err != nil {
				return nil, err
			}
		}
	}
	return local, nil
}

func (v *Volume) snapshots() []string {
	if v == nil {
		return nil
	}
	return v.Snapshots
}
