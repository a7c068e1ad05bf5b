package sim

import "slices"

var vmSnapshot = need("/vms/{vmid}", "VM.Snapshot")

const snapshotPath = "/nodes/{node}/lxc/{vmid}/snapshot"

var snapshotRoutes = []route{
	{method: "GET", path: snapshotPath, onNode: true, protected: true, perm: need("/vms/{vmid}", "VM.Audit"), handler: listSnapshots},
	{method: "POST", path: snapshotPath, onNode: true, protected: true, perm: vmSnapshot, props: props{
		"snapname": format("pve-configid").atMost(40).need(), "description": str(),
	}, handler: createSnapshot},
	{method: "GET", path: snapshotPath + "/{snapname}", onNode: true, perm: everybody, handler: index("cmd", "rollback", "config")},
	{
		method: "DELETE", path: snapshotPath + "/{snapname}", onNode: true, protected: true, perm: vmSnapshot,
		props: props{"force": boolean()}, handler: deleteSnapshot,
	},
	{
		method: "POST", path: snapshotPath + "/{snapname}/rollback", onNode: true, protected: true,
		perm: needAny("/vms/{vmid}", "VM.Snapshot", "VM.Snapshot.Rollback"), props: props{"start": boolean()}, handler: rollbackSnapshot,
	},
	{
		method: "GET", path: snapshotPath + "/{snapname}/config", onNode: true,
		perm: needAny("/vms/{vmid}", "VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit"), handler: getSnapshotConfig,
	},
	{
		method: "PUT", path: snapshotPath + "/{snapname}/config", onNode: true, protected: true, perm: vmSnapshot,
		props: props{"description": str()}, handler: putSnapshotConfig,
	},
}

// listSnapshots is pve-container API2/LXC/Snapshot.pm, list.
func listSnapshots(c *call) (any, error) {
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	rows := []map[string]any{}
	for _, name := range sortedKeys(g.conf.snaps) {
		v := g.conf.snaps[name].values
		row := map[string]any{"name": name, "snaptime": number64(v["snaptime"], 0), "description": v["description"]}
		for _, k := range []string{"parent", "snapstate"} {
			if v[k] != "" {
				row[k] = v[k]
			}
		}
		rows = append(rows, row)
	}
	current := map[string]any{"name": "current", "digest": g.conf.digest, "running": flag(g.running), "description": "You are here!"}
	if p := g.conf.values["parent"]; p != "" {
		current["parent"] = p
	}
	return append(rows, current), nil
}

// createSnapshot is Snapshot.pm, snapshot. All but the name is checked in the task.
func createSnapshot(c *call) (any, error) {
	name := c.str("snapname")
	if slices.Contains([]string{"current", "vzdump"}, name) {
		return nil, dief("unable to use snapshot name '%s' (reserved name)", name)
	}
	return c.fork("vzsnapshot", c.vmid().String(), func(t *task) error {
		return snapshotter{t: t, call: c, name: name}.create(c.str("description"))
	}), nil
}

func deleteSnapshot(c *call) (any, error) {
	return c.fork("vzdelsnapshot", c.vmid().String(), func(t *task) error {
		return snapshotter{t: t, call: c, name: c.str("snapname")}.delete(c.on("force"), nil)
	}), nil
}

// rollbackSnapshot is Snapshot.pm, rollback.
func rollbackSnapshot(c *call) (any, error) {
	return c.fork("vzrollback", c.vmid().String(), func(t *task) error {
		if err := (snapshotter{t: t, call: c, name: c.str("snapname")}).rollback(); err != nil {
			return err
		}
		if !c.on("start") {
			return nil
		}
		_, err := startContainer(t.subCall(c.vmid()))
		return err
	}), nil
}

// theSnapshot is the snapshot of the call.
func (c *call) theSnapshot() (*guest, section, error) {
	g, err := c.container()
	if err != nil {
		return nil, section{}, err
	}
	snap, ok := g.conf.snaps[c.str("snapname")]
	if !ok {
		return nil, section{}, dief("snapshot '%s' does not exist", c.str("snapname"))
	}
	return g, snap, nil
}

func getSnapshotConfig(c *call) (any, error) {
	_, snap, err := c.theSnapshot()
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for k, v := range snap.values {
		out[k] = jsonValue(k, v)
	}
	return out, nil
}

func putSnapshotConfig(c *call) (any, error) {
	if !c.given("description") {
		return nil, nil
	}
	id := c.vmid()
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
	name := c.str("snapname")
	cf := g.conf.clone()
	snap, ok := cf.snaps[name]
	if !ok {
		return nil, dief("snapshot '%s' does not exist", name)
	}
	snap.values["description"] = c.str("description")
	return nil, c.sim.write(g, cf)
}
