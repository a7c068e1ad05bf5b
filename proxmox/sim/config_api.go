package sim

import (
	"slices"
	"strings"
)

var lxcConfigRoutes = []route{
	{
		method: "GET", path: "/nodes/{node}/lxc/{vmid}/config", onNode: true, perm: need("/vms/{vmid}", "VM.Audit"),
		props: props{"current": boolean(), "snapshot": format("pve-configid").atMost(40)}, handler: getConfig,
	},
	{
		method: "PUT", path: "/nodes/{node}/lxc/{vmid}/config", onNode: true, protected: true,
		perm: needAny("/vms/{vmid}", privDisk, privCPU, privMemory, privNetwork, privOptions),
		props: confProps(props{
			"delete": format("pve-configid-list"), "revert": format("pve-configid-list"), "digest": str().atMost(40),
		}), handler: putConfig,
	},
	{
		method: "GET", path: "/nodes/{node}/lxc/{vmid}/pending", onNode: true, perm: need("/vms/{vmid}", "VM.Audit"),
		handler: getPending,
	},
}

// restrictedKeys may not be read with VM.Audit alone (LXC.pm, delete_read_restricted_options).
func (c *call) hides(g *guest, key string) bool {
	return key == "env" && c.sim.access.check(c.user, vmPath(g.id), privOptions) != nil
}

// getConfig is pve-container API2/LXC/Config.pm, vm_config.
func getConfig(c *call) (any, error) {
	if c.given("snapshot") && c.on("current") {
		text := "cannot use 'snapshot' parameter with 'current'"
		return nil, paramErrors(map[string]string{"snapshot": text, "current": text})
	}
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	if name := c.str("snapshot"); name != "" {
		snap, ok := g.conf.snaps[name]
		if !ok {
			return nil, dief("snapshot '%s' does not exist", name)
		}
		return c.configData(g, snap), nil
	}
	view := g.conf.section
	if !c.on("current") {
		view = g.conf.merged()
	}
	return c.configData(g, view), nil
}

// merged is what will be in force when the container next stops (AbstractConfig.pm, load_current_config). A key
// that is to be deleted stays where its value is 0, as in Proxmox.
func (c *conf) merged() section {
	if len(c.pending.values) == 0 {
		return c.section
	}
	out := c.section.clone()
	for k, v := range c.pending.values {
		if k != "delete" {
			out.values[k] = v
		}
	}
	for k := range parsePendingDelete(c.pending.values["delete"]) {
		if truthy(out.values[k]) {
			delete(out.values, k)
		}
	}
	return out
}

func (c *call) configData(g *guest, sec section) map[string]any {
	out := make(map[string]any, len(sec.values)+2)
	for k, v := range sec.values {
		if !c.hides(g, k) {
			out[k] = jsonValue(k, v)
		}
	}
	if len(sec.lxc) > 0 {
		out["lxc"] = sec.lxc
	}
	out["digest"] = g.conf.digest
	return out
}

// A pendingRow is one key of GET pending.
type pendingRow struct {
	Key     string `json:"key"`
	Value   any    `json:"value,omitempty"`
	Pending any    `json:"pending,omitempty"`
	Delete  int    `json:"delete,omitempty"`
}

// getPending is pve-guest-common GuestHelpers.pm, config_with_pending_array.
func getPending(c *call) (any, error) {
	g, err := c.container()
	if err != nil {
		return nil, err
	}
	deleted := parsePendingDelete(g.conf.pending.values["delete"])
	rows := []pendingRow{{Key: "digest", Value: g.conf.digest}}
	for _, k := range sortedKeys(g.conf.values) {
		if c.hides(g, k) {
			continue
		}
		row := pendingRow{Key: k, Value: jsonValue(k, g.conf.values[k])}
		if p, ok := g.conf.pending.values[k]; ok {
			row.Pending = jsonValue(k, p)
		}
		if force, ok := deleted[k]; ok {
			row.Delete = deleteMark(force)
		}
		rows = append(rows, row)
	}
	for _, k := range sortedKeys(g.conf.pending.values) {
		if _, live := g.conf.values[k]; !live && k != "delete" && !c.hides(g, k) {
			rows = append(rows, pendingRow{Key: k, Pending: jsonValue(k, g.conf.pending.values[k])})
		}
	}
	for _, k := range sortedKeys(deleted) {
		if _, live := g.conf.values[k]; !live {
			rows = append(rows, pendingRow{Key: k, Delete: deleteMark(deleted[k])})
		}
	}
	return rows, nil
}

func deleteMark(force bool) int {
	if force {
		return 2
	}
	return 1
}

// clampShares is what control groups of version 2 take for cpuunits (pve-common CGroup.pm, clamp_cpu_shares).
func clampShares(p params) {
	v, ok := p["cpuunits"]
	if !ok || v.kind != textValue {
		return
	}
	if n := mustFloat(strings.TrimSpace(v.text)); n > maxShares {
		p["cpuunits"] = value{text: maxSharesText}
	}
}

const (
	maxShares     = 10000
	maxSharesText = "10000"
)

// putConfig is pve-container API2/LXC/Config.pm, update_vm.
func putConfig(c *call) (any, error) {
	set := c.settings("node", "vmid", "digest")
	if len(set) == 0 {
		return nil, dief("no options specified")
	}
	clampShares(c.params)
	set = c.settings("node", "vmid", "digest", "delete", "revert")
	u := update{
		call: c, set: set, delete: splitList(c.str("delete")), revert: splitList(c.str("revert")),
	}
	id := c.vmid()
	if err := c.lockGuest(id, lockTimeout); err != nil {
		return nil, err
	}
	defer c.sim.unlockGuest(id)
	return nil, u.apply(c.str("digest"))
}

// settings are the parameters that are settings of the container, as texts.
func (c *call) settings(without ...string) map[string]string {
	out := map[string]string{}
	for k, v := range c.params {
		if v.kind != undefValue && !slices.Contains(without, k) {
			out[k] = v.text
		}
	}
	return out
}
