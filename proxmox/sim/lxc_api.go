package sim

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
)

var lxcRoutes = []route{
	{method: "GET", path: "/nodes/{node}/lxc", onNode: true, protected: true, perm: everybody, handler: listContainers},
	{method: "GET", path: "/nodes/{node}/lxc/{vmid}", onNode: true, perm: everybody, handler: index("subdir",
		"config", "pending", "status", "vncproxy", "termproxy", "vncwebsocket", "spiceproxy", "migrate", "clone",
		"rrd", "rrddata", "firewall", "snapshot", "resize", "interfaces")},
	{method: "GET", path: "/nodes/{node}/lxc/{vmid}/status", onNode: true, perm: everybody, handler: index("subdir",
		"current", "start", "stop", "shutdown", "reboot", "migrate")},
	{
		method: "GET", path: "/nodes/{node}/lxc/{vmid}/status/current", onNode: true, protected: true,
		perm: need("/vms/{vmid}", "VM.Audit"), handler: containerStatus,
	},
	{
		method: "GET", path: "/nodes/{node}/lxc/{vmid}/interfaces", onNode: true, protected: true,
		perm: need("/vms/{vmid}", "VM.Audit"), handler: containerInterfaces,
	},
	{
		method: "GET", path: "/nodes/{node}/lxc/{vmid}/feature", onNode: true, protected: true,
		perm: need("/vms/{vmid}", "VM.Audit"), props: props{
			"feature": enum("snapshot", "clone", "copy").need(), "snapname": format("pve-configid").atMost(40),
		}, handler: containerFeature,
	},
	{
		method: "GET", path: "/nodes/{node}/lxc/{vmid}/rrddata", protected: true, perm: need("/vms/{vmid}", "VM.Audit"),
		props: props{
			"timeframe": enum("hour", "day", "week", "month", "year", "decade").need(), "cf": enum("AVERAGE", "MAX"),
		}, handler: emptyList,
	},
	{
		method: "GET", path: "/nodes/{node}/lxc/{vmid}/firewall/options", onNode: true,
		perm: need("/vms/{vmid}", "VM.Audit"), handler: emptyObject,
	},
	{
		method: "GET", path: "/nodes/{node}/lxc/{vmid}/firewall/rules", onNode: true,
		perm: need("/vms/{vmid}", "VM.Audit"), handler: emptyList,
	},
	{
		method: "GET", path: "/nodes/{node}/qemu", onNode: true, protected: true, perm: everybody,
		props: props{"full": boolean()}, handler: listVMs,
	},
}

func emptyList(*call) (any, error)   { return []any{}, nil }
func emptyObject(*call) (any, error) { return map[string]any{}, nil }

// index answers the list of names below a path.
func index(key string, names ...string) func(*call) (any, error) {
	return func(*call) (any, error) {
		rows := make([]map[string]string, len(names))
		for i, n := range names {
			rows[i] = map[string]string{key: n}
		}
		return rows, nil
	}
}

// A status is one container in GET lxc and GET status/current (pve-container LXC.pm, vmstatus).
type status struct {
	Type      string       `json:"type"`
	VMID      proxmox.VMID `json:"vmid"`
	Status    string       `json:"status"`
	Name      string       `json:"name"`
	Tags      *string      `json:"tags,omitempty"`
	Lock      string       `json:"lock,omitempty"`
	Template  int          `json:"template,omitempty"`
	PID       int          `json:"pid,omitempty"`
	CPUs      any          `json:"cpus"`
	CPU       float64      `json:"cpu"`
	Disk      int64        `json:"disk"`
	MaxDisk   int64        `json:"maxdisk"`
	Mem       int64        `json:"mem"`
	MaxMem    int64        `json:"maxmem"`
	Swap      int64        `json:"swap"`
	MaxSwap   int64        `json:"maxswap"`
	Uptime    int64        `json:"uptime"`
	NetIn     int64        `json:"netin"`
	NetOut    int64        `json:"netout"`
	DiskRead  int64        `json:"diskread"`
	DiskWrite int64        `json:"diskwrite"`
	*pressure
	HA *haStatus `json:"ha,omitempty"`
}

type haStatus struct {
	Managed int    `json:"managed"`
	State   string `json:"state,omitempty"`
}

// A pressure is how long tasks of a running container waited, as texts.
type pressure struct {
	CPUSome    string `json:"pressurecpusome"`
	CPUFull    string `json:"pressurecpufull"`
	IOSome     string `json:"pressureiosome"`
	IOFull     string `json:"pressureiofull"`
	MemorySome string `json:"pressurememorysome"`
	MemoryFull string `json:"pressurememoryfull"`
}

const (
	mebibyte       = 1 << 20
	defaultMemory  = 512     // MiB, where a config names none
	defaultMaxDisk = 4 << 30 // of a config without rootfs
	idleMemory     = 860 << 10
	idleDisk       = 2360 << 10
)

func listContainers(c *call) (any, error) {
	out := []status{}
	for _, g := range c.sim.guests {
		if g.vm == nil && g.node == c.node && c.sim.access.has(c.user, vmPath(g.id), "VM.Audit") {
			out = append(out, c.sim.status(g))
		}
	}
	return out, nil
}

func listVMs(c *call) (any, error) {
	out := []map[string]any{}
	for _, g := range c.sim.guests {
		if g.vm != nil && g.node == c.node && c.sim.access.has(c.user, vmPath(g.id), "VM.Audit") {
			out = append(out, map[string]any{"vmid": g.id, "name": g.name(), "status": g.vmStatus()})
		}
	}
	return out, nil
}

func (g *guest) vmStatus() string {
	if g.vm.Status == "" {
		return "stopped"
	}
	return g.vm.Status
}

func containerStatus(c *call) (any, error) {
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	st := c.sim.status(g)
	st.HA = &haStatus{}
	if state, ok := c.sim.st.HA[g.id]; ok {
		st.HA.Managed, st.HA.State = 1, state
	}
	return st, nil
}

func (s *Sim) status(g *guest) status {
	v := g.conf.values
	st := status{
		Type: "lxc", VMID: g.id, Status: "stopped", Name: g.name(), CPUs: s.cpus(g), MaxDisk: g.rootSize(),
		MaxMem: number64(v["memory"], defaultMemory) * mebibyte, MaxSwap: number64(v["swap"], 0) * mebibyte,
	}
	if t, ok := v["tags"]; ok {
		st.Tags = &t
	}
	if truthy(v["lock"]) {
		st.Lock = v["lock"]
	}
	if g.conf.on("template") {
		st.Template = 1
	}
	if !g.running {
		return st
	}
	st.Status, st.PID = "running", g.pid
	st.Uptime = int64(s.opts.Now().Sub(g.started).Seconds())
	st.Mem, st.Disk = idleMemory, idleDisk
	if m, err := parseMount("rootfs", v["rootfs"]); err == nil {
		st.MaxDisk = s.dfSize(m)
		if s.st.Volumes[m.volume] != nil {
			st.Disk = max(idleDisk, s.written(m.volume))
		}
	}
	st.pressure = &pressure{"0.00", "0.00", "0.00", "0.00", "0.00", "0.00"}
	return st
}

// dfSize is what df calls the size of a mounted volume: that of the file system in a raw volume, the quota of
// a subvolume.
func (s *Sim) dfSize(m *mount) int64 {
	size, ok := s.volumeSize(m.volume)
	if !ok {
		return m.size
	}
	if n, err := s.parseVolume(m.volume); err == nil && n.format == "raw" {
		return newExt4(size).total()
	}
	return size
}

// cpus is the number of cores, else the limit as the text it is stored as, else all of the node's.
func (s *Sim) cpus(g *guest) any {
	if n := number64(g.conf.values["cores"], 0); n > 0 {
		return n
	}
	if l := g.conf.values["cpulimit"]; truthy(l) {
		return l
	}
	return s.st.Nodes[g.node].CPUs
}

// number64 reads a stored whole number, or gives def where it is absent.
func number64(text string, def int64) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return def
	}
	return n
}

func (g *guest) rootSize() int64 {
	if m, err := parseMount("rootfs", g.conf.values["rootfs"]); err == nil && m.size > 0 {
		return m.size
	}
	return defaultMaxDisk
}

// containerFeature is API2/LXC.pm, vm_feature.
func containerFeature(c *call) (any, error) {
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	sec := g.conf.section
	if name := c.str("snapname"); name != "" {
		snap, ok := g.conf.snaps[name]
		if !ok {
			return nil, dief("snapshot '%s' does not exist", name)
		}
		sec = snap
	}
	has := 0
	if c.sim.sectionHasFeature(c.str("feature"), sec, c.str("snapname"), false) {
		has = 1
	}
	return map[string]int{"hasFeature": has}, nil
}

// sectionHasFeature asks for all volumes of a section (LXC/Config.pm, has_feature).
func (s *Sim) sectionHasFeature(feature string, sec section, snapshot string, backupOnly bool) bool {
	for m := range sec.mounts() {
		if backupOnly && !m.backedUp() {
			continue
		}
		if !s.hasFeature(feature, m.volume, snapshot) {
			return false
		}
	}
	return true
}

// containerInterfaces is LXC.pm, get_interfaces: what ip shows inside the container, null for one that is stopped.
func containerInterfaces(c *call) (any, error) {
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	if !g.running {
		return nil, nil
	}
	out := []map[string]any{interfaceRow("lo", "00:00:00:00:00:00", "127.0.0.1/8", "::1/128")}
	for i := range maxNetworks {
		text, ok := g.conf.values[fmt.Sprintf("net%d", i)]
		if !ok {
			continue
		}
		if net, err := netProps.parse(text, ""); err == nil {
			out = append(out, interfaceRow(net["name"], strings.ToLower(net["hwaddr"]), net["ip"], net["ip6"]))
		}
	}
	return out, nil
}

func interfaceRow(name, mac, ip, ip6 string) map[string]any {
	row := map[string]any{"name": name, "hwaddr": mac, "hardware-address": mac}
	addrs := []map[string]any{}
	for family, cidr := range map[string]string{"inet": ip, "inet6": ip6} {
		addr, bits, ok := strings.Cut(cidr, "/")
		if !ok {
			continue
		}
		row[family] = cidr
		n, _ := strconv.Atoi(bits)
		addrs = append(addrs, map[string]any{"ip-address-type": family, "ip-address": addr, "prefix": n})
	}
	row["ip-addresses"] = addrs
	return row
}
