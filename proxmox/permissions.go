package proxmox

import "strings"

// Allows reports whether a privilege is there on a path, listed or not: what is not listed has what reaches down
// to it. An entry that denies everything on a path (role NoAccess) is not listed by Proxmox, so that the answer
// may be too good for a path that was not asked for by name (pve-access-control RPCEnvironment.pm,
// get_effective_permissions and AccessControl.pm, roles).
func (p Permissions) Allows(path, privilege string) bool {
	if privs, ok := p[path]; ok {
		_, has := privs[privilege]
		return has
	}
	for path != "/" && path != "" {
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
		if path == "" {
			path = "/"
		}
		reach := false
		for _, propagates := range p[path] {
			reach = reach || propagates
		}
		if reach { // entries that do not reach down leave those above in force
			return p[path][privilege]
		}
	}
	return false
}

// Lacks are the needs that the permissions do not meet.
func (p Permissions) Lacks(needs []Privileges) []Privileges {
	var out []Privileges
	for _, n := range needs {
		if !p.meets(n) {
			out = append(out, n)
		}
	}
	return out
}

func (p Permissions) meets(n Privileges) bool {
	for _, priv := range n.AnyOf {
		if p.Allows(n.Path, priv) || p.inOtherZone(n.Path, priv) {
			return true
		}
	}
	return false
}

// localZone is the zone of the bridges that belong to no virtual network.
const localZone = "/sdn/zones/localnetwork/"

// inOtherZone reports whether a privilege on a bridge may come from another zone: which zone a virtual network
// belongs to is not told with its name.
func (p Permissions) inOtherZone(path, privilege string) bool {
	bridge, ok := strings.CutPrefix(path, localZone)
	if !ok {
		return false
	}
	for other := range p {
		rest, isZone := strings.CutPrefix(other, "/sdn/zones/")
		zone, _, _ := strings.Cut(rest, "/")
		if isZone && zone != "localnetwork" && p.Allows("/sdn/zones/"+zone+"/"+bridge, privilege) {
			return true
		}
	}
	return false
}
