package sim

import (
	"fmt"
	"slices"
	"time"
)

var clusterRoutes = []route{
	{method: "GET", path: "/version", perm: everybody, handler: getVersion},
	{
		method: "GET", path: "/cluster/resources", perm: everybody, props: props{"type": enum("vm", "storage", "node", "sdn")},
		handler: clusterResources,
	},
	{method: "GET", path: "/cluster/status", protected: true, perm: need("/", "Sys.Audit"), handler: clusterStatus},
	{method: "GET", path: "/cluster/options", perm: everybody, handler: clusterOptions},
	{method: "GET", path: "/cluster/nextid", perm: everybody, props: props{"vmid": vmidParam()}, handler: nextID},
	{
		method: "GET", path: "/cluster/ha/resources", perm: need("/", "Sys.Audit"), props: props{"type": enum("ct", "vm")},
		handler: haResources,
	},
	{method: "GET", path: "/cluster/ha/status/current", perm: need("/", "Sys.Audit"), handler: emptyList},
	{method: "GET", path: "/cluster/replication", perm: everybody, handler: emptyList},
	{method: "GET", path: "/cluster/log", perm: everybody, props: props{"max": integer().from("1")}, handler: emptyList},
}

func getVersion(c *call) (any, error) {
	v := c.sim.st.Version
	return map[string]string{"version": v.Version, "release": v.Release, "repoid": v.RepoID}, nil
}

// nextID is pve-manager API2/Cluster.pm, nextid.
func nextID(c *call) (any, error) {
	if c.given("vmid") {
		id := c.vmid()
		if c.sim.guests[id] != nil {
			return nil, paramError("vmid", fmt.Sprintf("VM %d already exists", id))
		}
		return c.str("vmid"), nil
	}
	limits := propertyOption(c.sim.st.Datacenter, "next-id")
	lower, upper := int(number64(limits["lower"], 100)), int(number64(limits["upper"], 1000000))
	for id := lower; id < upper; id++ {
		if c.sim.guests[vmidOf(id)] == nil {
			return fmt.Sprint(id), nil
		}
	}
	return nil, dief("unable to get any free VMID in range [%d, %d]", lower, upper)
}

// clusterOptions is API2/Cluster.pm, get_options.
func clusterOptions(c *call) (any, error) {
	out := map[string]any{}
	dc := c.sim.st.Datacenter
	if c.sim.access.has(c.user, "/", "Sys.Audit") {
		out["mac_prefix"], out["description"] = defaultMACPrefix, ""
		for k, v := range dc {
			out[k] = optionValue(k, v)
		}
	} else {
		for _, k := range []string{"console", "tag-style"} {
			if v, ok := dc[k]; ok {
				out[k] = optionValue(k, v)
			}
		}
	}
	tags := sortedKeys(c.tagRules().allowed)
	out["allowed-tags"] = append([]string{}, tags...)
	return out, nil
}

// optionValue gives an option the form in which it is answered: property strings as objects, lists as lists.
func optionValue(k string, v any) any {
	text, ok := v.(string)
	switch {
	case ok && k == "registered-tags":
		return splitList(text)
	case ok && slices.Contains([]string{"tag-style", "user-tag-access", "next-id", "migration", "ha", "bwlimit"}, k):
		return propertyOption(map[string]any{k: v}, k)
	}
	return v
}

func clusterStatus(c *call) (any, error) {
	st := c.sim.st
	rows := []map[string]any{}
	if st.Cluster.Name != nil && *st.Cluster.Name != "" {
		rows = append(rows, map[string]any{
			"type": "cluster", "id": "cluster", "name": *st.Cluster.Name,
			"nodes": len(st.Nodes), "version": len(st.Nodes), "quorate": flag(st.Cluster.Quorate),
		})
	}
	for i, name := range sortedKeys(st.Nodes) {
		n := st.Nodes[name]
		id := i + 1
		if len(rows) == 0 {
			id = 0
		}
		rows = append(rows, map[string]any{
			"type": "node", "id": "node/" + name, "name": name, "nodeid": id, "ip": n.IP,
			"local": flag(name == st.Cluster.Local), "online": flag(!n.Offline), "level": "",
		})
	}
	return rows, nil
}

// flag is how Proxmox answers a boolean.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// statsDelay is how long it takes until a node's statistics tell of a new guest (pvestatd).
const statsDelay = 10 * time.Second

// clusterResources is API2/Cluster.pm, resources.
func clusterResources(c *call) (any, error) {
	rows := []map[string]any{}
	want := func(kind string) bool { return !c.given("type") || c.str("type") == kind }
	if want("pool") {
		for _, p := range sortedKeys(c.sim.st.Pools) {
			if c.sim.access.has(c.user, "/pool/"+p, "Pool.Audit") {
				rows = append(rows, map[string]any{"id": "/pool/" + p, "pool": p, "type": "pool"})
			}
		}
	}
	if want("vm") {
		for _, id := range sortedKeys(c.sim.guests) {
			if c.sim.access.has(c.user, vmPath(id), "VM.Audit") {
				rows = append(rows, c.guestResource(c.sim.guests[id]))
			}
		}
	}
	if want("node") {
		for _, n := range sortedKeys(c.sim.st.Nodes) {
			rows = append(rows, c.sim.nodeStats(n, c.sim.access.has(c.user, "/nodes/"+n, "Sys.Audit")))
		}
	}
	if want("storage") {
		rows = append(rows, c.storageResources()...)
	}
	if want("network") && c.sim.access.has(c.user, "/sdn/zones/localnetwork", "SDN.Audit") {
		for _, n := range sortedKeys(c.sim.st.Nodes) {
			rows = append(rows, map[string]any{
				"id": "network/" + n + "/zone/localnetwork", "type": "network",
				"network-type": "zone", "network": "localnetwork", "node": n, "status": "ok",
			})
		}
	}
	return rows, nil
}

func (c *call) guestResource(g *guest) map[string]any {
	row := c.sim.guestStats(g)
	if p := c.sim.access.poolOf[g.id]; p != "" && c.sim.access.has(c.user, "/pool/"+p, "Pool.Audit") {
		row["pool"] = p
	}
	if state, ok := c.sim.st.HA[g.id]; ok {
		row["hastate"] = state
	}
	for _, k := range []string{"lock", "tags"} {
		if v, ok := g.conf.values[k]; ok {
			row[k] = v
		}
	}
	return row
}

// guestStats is what the statistics know of a guest: nothing but that it is there, at first
// (pve-manager API2Tools.pm, extract_vm_stats).
func (s *Sim) guestStats(g *guest) map[string]any {
	row := map[string]any{"id": g.kind() + "/" + g.id.String(), "vmid": g.id, "node": g.node, "type": g.kind(), "status": "unknown"}
	if !g.created.IsZero() && s.opts.Now().Sub(g.created) < statsDelay || s.st.Nodes[g.node].Offline {
		return row
	}
	row["name"], row["template"] = g.name(), flag(g.conf.on("template"))
	if g.vm != nil {
		row["status"] = g.vmStatus()
		return row
	}
	st := s.status(g)
	for k, v := range map[string]any{
		"status": st.Status, "uptime": st.Uptime, "maxcpu": number64(fmt.Sprint(st.CPUs), 1), "cpu": st.CPU,
		"maxmem": st.MaxMem, "mem": st.Mem, "memhost": st.Mem, "maxdisk": st.MaxDisk, "disk": st.Disk,
		"netin": st.NetIn, "netout": st.NetOut, "diskread": st.DiskRead, "diskwrite": st.DiskWrite,
	} {
		row[k] = v
	}
	if text, ok := st.CPUs.(string); ok {
		row["maxcpu"] = mustFloat(text)
	}
	return row
}
