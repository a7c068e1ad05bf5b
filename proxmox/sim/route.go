package sim

import (
	"maps"
	"strings"
	"sync"

	"github.com/felhom/tend/proxmox"
)

// A route is one method of one path: what it takes, who may call it, and what it does.
type route struct {
	method    string
	path      string // {name} stands for one element, {name...} for the rest
	perm      permission
	props     props
	onNode    bool // carried out by the node in the path
	protected bool // carried out by pvedaemon: the connection ends with the answer
	noToken   bool // not for API tokens
	handler   func(*call) (any, error)
}

// A permission says who may call a route. The zero value is root@pam alone.
type permission struct {
	world bool // nobody need be authenticated
	all   bool // everybody who is
	check func(*call) error
}

var (
	everybody = permission{all: true}
	anybody   = permission{world: true}
)

// need asks for all of the privileges on a path, in which {name} is a parameter.
func need(path string, privs ...string) permission {
	return permission{check: func(c *call) error { return c.sim.access.check(c.user, c.fill(path), privs...) }}
}

// needAny asks for one of the privileges.
func needAny(path string, privs ...string) permission {
	return permission{check: func(c *call) error { return c.sim.access.checkAny(c.user, c.fill(path), privs...) }}
}

// both asks for two permissions; the first that is missing is told.
func both(a, b permission) permission {
	return permission{check: func(c *call) error {
		if err := a.check(c); err != nil {
			return err
		}
		return b.check(c)
	}}
}

// either asks for one of two permissions; which is not told. The second counts only where its parameter is given.
func either(a, b permission, param string) permission {
	return permission{check: func(c *call) error {
		if a.check(c) == nil || c.given(param) && b.check(c) == nil {
			return nil
		}
		return forbidden("")
	}}
}

// fill puts parameters into a path.
func (c *call) fill(path string) string {
	for {
		before, rest, ok := strings.Cut(path, "{")
		if !ok {
			return path
		}
		name, after, _ := strings.Cut(rest, "}")
		path = before + c.params[name].text + after
	}
}

// A node of the route tree is one element of a path.
type node struct {
	children map[string]*node
	param    string // name of the parameter that any other element is
	rest     bool   // the parameter takes all elements that follow
	any      *node
	methods  map[string]*route
}

func (n *node) add(r *route) {
	for _, e := range strings.Split(strings.Trim(r.path, "/"), "/") {
		if name, ok := strings.CutPrefix(e, "{"); ok {
			if n.any == nil {
				n.any = &node{}
			}
			n.param, n.rest = strings.TrimSuffix(strings.TrimSuffix(name, "}"), "..."), strings.HasSuffix(name, "...}")
			n = n.any
			continue
		}
		if n.children == nil {
			n.children = map[string]*node{}
		}
		if n.children[e] == nil {
			n.children[e] = &node{}
		}
		n = n.children[e]
	}
	if n.methods == nil {
		n.methods = map[string]*route{}
	}
	n.methods[r.method] = r
}

// find gives the methods of a path and the parameters in it (RESTHandler.pm, map_path_to_methods).
func (n *node) find(path string) (map[string]*route, map[string]string) {
	vars := map[string]string{}
	elems := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	for i, e := range elems {
		if next := n.children[e]; next != nil {
			n = next
			continue
		}
		if n.any == nil {
			return nil, nil
		}
		if n.rest {
			vars[n.param] = strings.Join(elems[i:], "/")
			return n.any.methods, vars
		}
		vars[n.param] = e
		n = n.any
	}
	return n.methods, vars
}

// routeTree is the table of all routes. All simulators of a process share it, and only read it.
var routeTree = sync.OnceValue(func() *node {
	root := &node{}
	for _, group := range [][]route{
		clusterRoutes, nodeRoutes, accessRoutes, ticketRoutes, userRoutes, lxcRoutes, lxcCreateRoutes, lxcConfigRoutes,
		volumeRoutes, powerRoutes, snapshotRoutes, cloneRoutes, migrateRoutes, storageRoutes, contentRoutes, poolRoutes,
		vzdumpRoutes, jobRoutes, taskRoutes, downloadRoutes, diskRoutes,
	} {
		for _, r := range group {
			r.props = withPathParams(r.path, r.props)
			root.add(&r)
		}
	}
	return root
})

// withPathParams adds the schemas of the parameters in a path.
func withPathParams(path string, own props) props {
	out := maps.Clone(own)
	if out == nil {
		out = props{}
	}
	for e := range strings.SplitSeq(path, "/") {
		name, ok := strings.CutPrefix(e, "{")
		name = strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")
		if s := pathParams[name]; ok && out[name] == nil && s != nil {
			out[name] = s
		}
	}
	return out
}

var pathParams = map[string]*schema{
	"node":     format("pve-node").need(),
	"vmid":     vmidParam().need(),
	"snapname": format("pve-configid").atMost(40).need(),
	"storage":  format("pve-storage-id").need(),
	"volume":   str().need(),
	"upid":     str().need(),
	"poolid":   format("pve-poolid").need(),
	"id":       format("pve-configid").atMost(50).need(),
	"userid":   format("pve-userid").atMost(64).need(),
	"tokenid":  matching(`[A-Za-z][A-Za-z0-9.\-_]+`).need(),
	"roleid":   format("pve-roleid").need(),
	"iface":    matching(unitText).need(),
}

// vmPath is where the privileges on a guest are.
func vmPath(id proxmox.VMID) string { return "/vms/" + id.String() }
