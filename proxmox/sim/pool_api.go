package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

var (
	poolAllocate  = need("/pool/{poolid}", "Pool.Allocate")
	poolListProps = props{"poolid": format("pve-poolid"), "type": enum("qemu", "lxc", "storage").with("poolid")}
	poolProps     = props{
		"poolid": format("pve-poolid").need(), "comment": str(), "vms": format("pve-vmid-list"),
		"storage": format("pve-storage-id-list"), "allow-move": boolean(), "delete": boolean(),
	}
	poolIDProps = props{"poolid": format("pve-poolid").need()}
)

var poolRoutes = []route{
	{method: "GET", path: "/pools", perm: everybody, props: poolListProps, handler: listPools},
	{method: "POST", path: "/pools", protected: true, perm: poolAllocate, props: props{
		"poolid": format("pve-poolid").need(), "comment": str(),
	}, handler: locked("create pool failed", createPool)},
	{method: "PUT", path: "/pools", protected: true, perm: poolAllocate, props: poolProps, handler: locked("update pools failed", updatePool)},
	{method: "DELETE", path: "/pools", protected: true, perm: poolAllocate, props: poolIDProps, handler: locked("delete pool failed", deletePool)},
	{
		method: "GET", path: "/pools/{poolid}", perm: need("/pool/{poolid}", "Pool.Audit"), props: props{"type": enum("qemu", "lxc", "storage")},
		handler: getPool,
	},
	{method: "PUT", path: "/pools/{poolid}", protected: true, perm: poolAllocate, props: poolProps, handler: locked("update pools failed", updatePool)},
	{method: "DELETE", path: "/pools/{poolid}", protected: true, perm: poolAllocate, handler: locked("delete pool failed", deletePool)},
}

// locked runs what changes users and pools under their lock; its errors lose their status and get a prefix
// (pve-access-control AccessControl.pm, lock_user_config).
func locked(what string, fn func(*call) error) func(*call) (any, error) {
	return func(c *call) (any, error) {
		if err := fn(c); err != nil {
			return nil, prefixed(what+":", err)
		}
		c.sim.accessChanged()
		return nil, nil
	}
}

func (c *call) pool() (*Pool, error) {
	p := c.sim.st.Pools[c.str("poolid")]
	if p == nil {
		return nil, dief("pool '%s' does not exist", c.str("poolid"))
	}
	return p, nil
}

// listPools is pve-manager API2/Pool.pm, index. With a pool named it asks for no privilege, as in Proxmox.
func listPools(c *call) (any, error) {
	if c.str("poolid") != "" {
		row, err := c.poolRow()
		if err != nil {
			return nil, err
		}
		return []any{row}, nil
	}
	rows := []map[string]any{}
	for _, name := range sortedKeys(c.sim.st.Pools) {
		if !c.sim.access.has(c.user, "/pool/"+name, "Pool.Audit") {
			continue
		}
		row := map[string]any{"poolid": name}
		if p := c.sim.st.Pools[name]; p.Comment != "" {
			row["comment"] = p.Comment
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func getPool(c *call) (any, error) { return c.poolRow() }

func (c *call) poolRow() (map[string]any, error) {
	p, err := c.pool()
	if err != nil {
		return nil, err
	}
	kind := c.str("type")
	members := []map[string]any{}
	for _, id := range p.VMs {
		if g := c.sim.guests[id]; g != nil && (kind == "" || kind == g.kind()) {
			members = append(members, c.sim.guestStats(g))
		}
	}
	for _, id := range p.Storage {
		if cfg := c.sim.st.Storages[id]; cfg != nil && (kind == "" || kind == "storage") {
			members = append(members, map[string]any{
				"id": "storage/" + c.node + "/" + id, "storage": id, "node": c.node,
				"type": "storage", "plugintype": cfg.Type, "status": "available", "shared": flag(cfg.isShared()),
				"content": cfg.contentText(), "maxdisk": cfg.total(), "disk": c.sim.usedBytes(id),
			})
		}
	}
	row := map[string]any{"poolid": c.str("poolid"), "members": members}
	if p.Comment != "" {
		row["comment"] = p.Comment
	}
	return row, nil
}

func createPool(c *call) error {
	name := c.str("poolid")
	if c.sim.st.Pools[name] != nil {
		return dief("pool '%s' already exists", name)
	}
	leaf := name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		if parent := name[:i]; c.sim.st.Pools[parent] == nil {
			return dief("parent '%s' of pool '%s' does not exist", parent, name)
		}
		leaf = name[i+1:]
	}
	if l := strings.ToLower(leaf); l[0] < 'a' || l[0] > 'z' {
		return dief("pool name must start with a letter")
	}
	c.sim.st.Pools[name] = &Pool{Comment: c.str("comment")}
	return nil
}

func updatePool(c *call) error {
	p, err := c.pool()
	if err != nil {
		return err
	}
	next := &Pool{Comment: p.Comment, VMs: slices.Clone(p.VMs), Storage: slices.Clone(p.Storage)}
	if c.given("comment") {
		next.Comment = c.str("comment")
	}
	moved := map[proxmox.VMID]string{}
	for _, text := range splitList(c.str("vms")) {
		id, err := parseVMID(text)
		if err != nil {
			return err
		}
		if err := c.poolGuest(next, id, moved); err != nil {
			return err
		}
	}
	for _, id := range splitList(c.str("storage")) {
		if err := c.poolStorage(next, id); err != nil {
			return err
		}
	}
	for id, from := range moved {
		o := c.sim.st.Pools[from]
		o.VMs = slices.DeleteFunc(o.VMs, func(v proxmox.VMID) bool { return v == id })
	}
	*p = *next
	return nil
}

func (c *call) poolGuest(p *Pool, id proxmox.VMID, moved map[proxmox.VMID]string) error {
	if err := c.mayModify(vmPath(id)); err != nil {
		return err
	}
	member := slices.Index(p.VMs, id)
	if c.on("delete") {
		if member < 0 {
			return dief("VM %d is not a pool member", id)
		}
		p.VMs = slices.Delete(p.VMs, member, member+1)
		return nil
	}
	if member >= 0 {
		return dief("VM %d is already a pool member", id)
	}
	if other := c.sim.access.poolOf[id]; other != "" {
		if !c.on("allow-move") {
			return dief("VM %d belongs already to pool '%s' and 'allow-move' is not set", id, other)
		}
		if err := c.need("/pool/"+other, "Pool.Allocate"); err != nil {
			return err
		}
		moved[id] = other
	}
	p.VMs = append(p.VMs, id)
	slices.Sort(p.VMs)
	return nil
}

func (c *call) poolStorage(p *Pool, id string) error {
	if err := c.mayModify("/storage/" + id); err != nil {
		return err
	}
	member := slices.Index(p.Storage, id)
	switch {
	case c.on("delete") && member < 0:
		return dief("Storage '%s' is not a pool member", id)
	case c.on("delete"):
		p.Storage = slices.Delete(p.Storage, member, member+1)
	case member >= 0:
		return dief("Storage '%s' is already a pool member", id)
	default:
		p.Storage = append(p.Storage, id)
		slices.Sort(p.Storage)
	}
	return nil
}

func deletePool(c *call) error {
	name := c.str("poolid")
	p, err := c.pool()
	if err != nil {
		return err
	}
	for _, other := range sortedKeys(c.sim.st.Pools) {
		if strings.HasPrefix(other, name+"/") {
			return dief("pool '%s' is not empty (contains pool '%s')", name, other)
		}
	}
	for _, id := range p.VMs {
		if c.sim.guests[id] != nil {
			return dief("pool '%s' is not empty (contains VM %d)", name, id)
		}
	}
	for _, id := range p.Storage {
		if c.sim.st.Storages[id] != nil {
			return dief("pool '%s' is not empty (contains storage '%s')", name, id)
		}
	}
	delete(c.sim.st.Pools, name)
	c.sim.st.ACL = slices.DeleteFunc(c.sim.st.ACL, func(e ACL) bool { return e.Path == "/pool/"+name })
	return nil
}

// addToPool makes a new guest a member (AccessControl.pm, add_vm_to_pool).
func (s *Sim) addToPool(name string, id proxmox.VMID) {
	p := s.st.Pools[name]
	if p == nil {
		s.warn("%s", fmt.Sprintf("pool '%s' does not exist", name))
		return
	}
	if !slices.Contains(p.VMs, id) {
		p.VMs = append(p.VMs, id)
		slices.Sort(p.VMs)
	}
	s.accessChanged()
}
