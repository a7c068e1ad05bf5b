package sim

import (
	"fmt"
	"slices"

	"github.com/felhom/tend/proxmox"
)

var nodeRoutes = []route{
	{method: "GET", path: "/nodes", perm: everybody, handler: listNodes},
	{method: "GET", path: "/nodes/{node}", onNode: true, perm: everybody, handler: index("name", "lxc", "qemu", "storage",
		"tasks", "vzdump", "status", "network", "version", "disks")},
	{method: "GET", path: "/nodes/{node}/status", onNode: true, perm: need("/nodes/{node}", "Sys.Audit"), handler: nodeStatus},
	{method: "GET", path: "/nodes/{node}/version", onNode: true, perm: everybody, handler: getVersion},
	{method: "GET", path: "/nodes/{node}/time", onNode: true, perm: need("/nodes/{node}", "Sys.Audit"), handler: nodeTime},
	{method: "GET", path: "/nodes/{node}/dns", onNode: true, perm: need("/nodes/{node}", "Sys.Audit"), handler: emptyObject},
	{method: "GET", path: "/nodes/{node}/network", onNode: true, perm: everybody, props: props{
		"type": enum("bridge", "bond", "eth", "alias", "vlan", "fabric", "OVSBridge", "OVSBond", "OVSPort", "OVSIntPort",
			"vnet", "any_bridge", "any_local_bridge", "include_sdn"),
	}, handler: nodeNetwork},
	{method: "GET", path: "/nodes/{node}/network/{iface}", onNode: true, perm: need("/nodes/{node}", "Sys.Audit"), handler: nodeInterface},
}

func vmidOf(n int) proxmox.VMID { return proxmox.VMID(n) }

// nodeUptime is what every node says of the time before the simulator started.
const nodeUptime = 4725

func listNodes(c *call) (any, error) {
	rows := []map[string]any{}
	for _, n := range sortedKeys(c.sim.st.Nodes) {
		row := c.sim.nodeStats(n, c.sim.access.has(c.user, "/nodes/"+n, "Sys.Audit"))
		row["ssl_fingerprint"] = c.sim.fingerprintText()
		rows = append(rows, row)
	}
	return rows, nil
}

// nodeStats is API2Tools.pm, extract_node_stats.
func (s *Sim) nodeStats(name string, audit bool) map[string]any {
	n := s.st.Nodes[name]
	row := map[string]any{"id": "node/" + name, "node": name, "type": "node", "status": "online", "level": ""}
	if n.Offline {
		row["status"] = "offline"
	}
	if !audit {
		return row
	}
	if !n.Offline {
		row["uptime"] = nodeUptime + int64(s.opts.Now().Sub(s.boot).Seconds())
		row["cpu"], row["mem"], row["disk"] = 0.02, s.usedMemory(name), n.disk()/12
	}
	row["maxcpu"], row["maxmem"], row["maxdisk"] = n.CPUs, int64(n.Memory), n.disk()
	return row
}

func (n *Node) disk() int64 {
	if n.Disk > 0 {
		return int64(n.Disk)
	}
	return defaultTotal
}

// hostMemory is what a node without guests uses.
const hostMemory = 1283 * mebibyte

func (s *Sim) usedMemory(name string) int64 {
	used := int64(hostMemory)
	for _, g := range s.guests {
		if g.node == name && g.running {
			used += idleMemory
		}
	}
	return used
}

func nodeStatus(c *call) (any, error) {
	n, s := c.sim.st.Nodes[c.node], c.sim
	used := s.usedMemory(c.node)
	return map[string]any{
		"uptime": nodeUptime + int64(s.opts.Now().Sub(s.boot).Seconds()), "cpu": 0.02, "wait": 0, "idle": 0,
		"loadavg": []string{"0.10", "0.08", "0.05"}, "kversion": "Linux 6.17.2-1-pve",
		"pveversion":     "pve-manager/" + s.st.Version.Version + "/" + s.st.Version.RepoID,
		"current-kernel": map[string]string{"sysname": "Linux", "release": "6.17.2-1-pve", "machine": "x86_64", "version": "#1 SMP"},
		"boot-info":      map[string]any{"mode": "efi", "secureboot": 0},
		"cpuinfo":        map[string]any{"cpus": n.CPUs, "cores": n.CPUs, "sockets": 1, "model": "simulated", "mhz": "2400.000", "hvm": "1", "flags": "", "user_hz": 100},
		"memory":         map[string]int64{"total": int64(n.Memory), "used": used, "free": int64(n.Memory) - used, "available": int64(n.Memory) - used},
		"swap":           map[string]int64{"total": 0, "used": 0, "free": 0},
		"rootfs":         map[string]int64{"total": n.disk(), "used": n.disk() / 12, "free": n.disk() / 12 * 11, "avail": n.disk() / 12 * 11},
		"ksm":            map[string]int64{"shared": 0},
	}, nil
}

func nodeTime(c *call) (any, error) {
	now := c.sim.opts.Now()
	_, offset := now.Zone()
	return map[string]any{"timezone": now.Location().String(), "time": now.Unix(), "localtime": now.Unix() + int64(offset)}, nil
}

func nodeNetwork(c *call) (any, error) {
	rows := []map[string]any{}
	if t := c.str("type"); t != "" && t != "bridge" && t != "any_bridge" && t != "any_local_bridge" && t != "include_sdn" {
		return rows, nil
	}
	bridges := c.sim.st.Nodes[c.node].Bridges
	for _, name := range sortedKeys(bridges) {
		if c.sim.access.checkAny(c.user, "/sdn/zones/localnetwork/"+name, "SDN.Audit", "SDN.Use") != nil {
			continue
		}
		row := bridgeRow(bridges, name)
		row["iface"], row["active"] = name, 1
		rows = append(rows, row)
	}
	return rows, nil
}

// nodeInterface is API2/Network.pm, network_config: it asks for no right to the bridge.
func nodeInterface(c *call) (any, error) {
	bridges, name := c.sim.st.Nodes[c.node].Bridges, c.str("iface")
	if bridges[name] == nil {
		return nil, paramError("iface", "interface does not exist")
	}
	return bridgeRow(bridges, name), nil
}

// bridgeRow is what a node's configuration says of a bridge.
func bridgeRow(bridges map[string]*Bridge, name string) map[string]any {
	b := bridges[name]
	row := map[string]any{
		"type": "bridge", "autostart": 1, "priority": slices.Index(sortedKeys(bridges), name) + 3,
		"method": "manual", "method6": "manual", "families": []string{"inet"}, "bridge_fd": "0", "bridge_stp": "off",
		"bridge_ports": "", "mtu": fmt.Sprint(b.MTU),
	}
	if b.Address != "" {
		row["method"], row["cidr"] = "static", b.Address
	}
	return row
}
