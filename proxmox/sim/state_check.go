package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// check looks for what would make the simulator fail later on, and names the place of each fault.
func (st *State) check() error {
	var c stateChecker
	if len(st.Nodes) == 0 {
		c.add("nodes", "there is none; write at least one")
	}
	if len(st.Nodes) > 0 && st.Nodes[st.Cluster.Local] == nil {
		c.add("cluster.local", "%q is not among the nodes", st.Cluster.Local)
	}
	c.nodes(st)
	c.storages(st)
	c.guests(st)
	c.volumes(st)
	c.access(st)
	return errors.Join(c.errs...)
}

type stateChecker struct{ errs []error }

func (c *stateChecker) add(where, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

// keys walks a map in order.
func sortedKeys[K interface{ ~string | ~int }, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}

func (c *stateChecker) nodes(st *State) {
	for _, name := range sortedKeys(st.Nodes) {
		where := "nodes." + name
		if formats["pve-node"](name) != nil {
			c.add(where, "the name may hold letters, digits and dashes")
		}
		n := st.Nodes[name]
		if n == nil {
			c.add(where, "is empty; write cpus, memory and bridges")
			continue
		}
		if n.CPUs < 1 || n.Memory < 1 {
			c.add(where, "needs cpus and memory above 0")
		}
		c.drives(where, n)
		for _, b := range sortedKeys(n.Bridges) {
			if n.Bridges[b] == nil {
				n.Bridges[b] = &Bridge{}
			}
			if n.Bridges[b].MTU == 0 {
				n.Bridges[b].MTU = 1500
			}
		}
	}
}

func (c *stateChecker) storages(st *State) {
	for _, id := range sortedKeys(st.Storages) {
		where, s := "storages."+id, st.Storages[id]
		switch {
		case storageID(id) != nil:
			c.add(where, "%s", strings.TrimSpace(storageID(id).Error()))
		case s == nil:
			c.add(where, "is empty; write type and content")
		case storageKinds[s.Type] == nil:
			c.add(where, "type %q is not one of %s", s.Type, strings.Join(sortedKeys(storageKinds), ", "))
		default:
			for _, t := range s.Content {
				if !contentTypes[t] {
					c.add(where, "content %q is not known", t)
				}
			}
			for _, n := range s.Nodes {
				if st.Nodes[n] == nil {
					c.add(where, "node %q is not among the nodes", n)
				}
			}
		}
	}
	for _, volid := range sortedKeys(st.Templates) {
		if st.Templates[volid] == nil {
			c.add("templates."+volid, "is empty; write size and ostype")
			continue
		}
		for _, n := range st.Templates[volid].Nodes {
			if st.Nodes[n] == nil {
				c.add("templates."+volid+".nodes", "node %q is not among the nodes", n)
			}
		}
		c.volumeID(st, "templates."+volid, volid)
	}
	for _, file := range sortedKeys(st.Appliances) {
		if st.Appliances[file] == nil {
			c.add("appliances."+file, "is empty; write package, version and size")
		} else if !templateName.MatchString(file) {
			c.add("appliances."+file, "is not the name of a template, which ends in .tar.zst or the like")
		}
	}
	for _, url := range sortedKeys(st.Downloads) {
		if st.Downloads[url] == nil {
			c.add("downloads."+url, "is empty; write size")
		}
	}
}

func (c *stateChecker) volumeID(st *State, where, volid string) {
	m := volidText.FindStringSubmatch(volid)
	if m == nil {
		c.add(where, "%q is not of the form storage:volume", volid)
	} else if st.Storages[m[1]] == nil {
		c.add(where, "storage %q is not among the storages", m[1])
	}
}

func (c *stateChecker) guests(st *State) {
	for _, id := range sortedKeys(st.Containers) {
		where, g := fmt.Sprintf("containers.%d", id), st.Containers[id]
		c.guest(st, where, id, g != nil, func() string { return g.Node })
		if st.VMs[id] != nil {
			c.add(where, "is a virtual machine too")
		}
		if g == nil {
			continue
		}
		parseConf(g.Config, func(text string) { c.add(where+".config", "%s", text) })
	}
	for _, id := range sortedKeys(st.VMs) {
		g := st.VMs[id]
		c.guest(st, fmt.Sprintf("vms.%d", id), id, g != nil, func() string { return g.Node })
	}
	for _, id := range sortedKeys(st.HA) {
		if st.Containers[id] == nil && st.VMs[id] == nil {
			c.add(fmt.Sprintf("ha.%d", id), "is not among the guests")
		}
		if s := st.HA[id]; s != "started" && s != "stopped" && s != "ignored" && s != "disabled" && s != "error" {
			c.add(fmt.Sprintf("ha.%d", id), "state %q is not one of started, stopped, ignored, disabled, error", s)
		}
	}
	for _, name := range sortedKeys(st.Pools) {
		if st.Pools[name] == nil {
			st.Pools[name] = &Pool{}
		}
	}
}

func (c *stateChecker) guest(st *State, where string, id proxmox.VMID, set bool, node func() string) {
	switch {
	case id < proxmox.MinVMID || id > proxmox.MaxVMID:
		c.add(where, "the id is not between %d and %d", proxmox.MinVMID, proxmox.MaxVMID)
	case !set:
		c.add(where, "is empty; write node")
	case st.Nodes[node()] == nil:
		c.add(where+".node", "%q is not among the nodes", node())
	}
}

func (c *stateChecker) volumes(st *State) {
	for _, volid := range sortedKeys(st.Volumes) {
		where := "volumes." + volid
		c.volumeID(st, where, volid)
		v := st.Volumes[volid]
		if v == nil {
			c.add(where, "is empty; write size")
			continue
		}
		if v.Node != "" && st.Nodes[v.Node] == nil {
			c.add(where+".node", "%q is not among the nodes", v.Node)
		}
	}
	for _, volid := range sortedKeys(st.Backups) {
		where := "backups." + volid
		c.volumeID(st, where, volid)
		if st.Backups[volid] == nil {
			c.add(where, "is empty; write size, ctime and config")
		}
	}
}

func (c *stateChecker) access(st *State) {
	for _, role := range sortedKeys(st.Roles) {
		for _, p := range st.Roles[role] {
			if !validPrivileges()[p] {
				c.add("roles."+role, "%q is not a privilege", p)
			}
		}
	}
	for _, id := range sortedKeys(st.Users) {
		if st.Users[id] == nil {
			st.Users[id] = &User{}
		}
		if !strings.Contains(id, "@") {
			c.add("users."+id, "is not of the form name@realm")
		}
	}
	for i, a := range st.ACL {
		where := fmt.Sprintf("acl[%d]", i)
		if st.Roles[a.Role] == nil && builtinRoles()[a.Role] == nil {
			c.add(where+".role", "%q is not a role", a.Role)
		}
		if !strings.HasPrefix(a.Path, "/") {
			c.add(where+".path", "%q does not begin with a slash", a.Path)
		}
		n := 0
		for _, who := range []string{a.User, a.Group, a.Token} {
			if who != "" {
				n++
			}
		}
		if n != 1 {
			c.add(where, "needs exactly one of user, group and token")
		}
	}
}
