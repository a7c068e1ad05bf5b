package sim

import (
	"strings"
	"sync"

	"github.com/felhom/tend/proxmox"
)

const rootUser = "root@pam"

// An acl is the tree of access control entries, with the roles each path gives.
type acl struct {
	children map[string]*acl
	users    map[string]map[string]bool // user → role → propagate
	groups   map[string]map[string]bool
	tokens   map[string]map[string]bool
}

func newACL() *acl {
	return &acl{
		children: map[string]*acl{}, users: map[string]map[string]bool{},
		groups: map[string]map[string]bool{}, tokens: map[string]map[string]bool{},
	}
}

// access answers who may do what. It is built of the state and thrown away when users, roles, entries or
// pools change.
type access struct {
	st     *State
	tree   *acl
	paths  []string // all paths with an entry
	poolOf map[proxmox.VMID]string

	mu    sync.Mutex
	cache map[string]map[string]bool // user, NUL, path → privilege → propagate
}

func newAccess(st *State) *access {
	a := &access{st: st, tree: newACL(), poolOf: map[proxmox.VMID]string{}, cache: map[string]map[string]bool{}}
	for _, e := range st.ACL {
		a.add(e)
	}
	for name, p := range st.Pools {
		for _, id := range p.VMs {
			a.poolOf[id] = name
		}
	}
	return a
}

func (a *access) add(e ACL) {
	n := a.tree
	for part := range strings.SplitSeq(e.Path, "/") {
		if part == "" {
			continue
		}
		if n.children[part] == nil {
			n.children[part] = newACL()
		}
		n = n.children[part]
	}
	a.paths = append(a.paths, e.Path)
	who, name := n.users, e.User
	switch {
	case e.Group != "":
		who, name = n.groups, e.Group
	case e.Token != "":
		who, name = n.tokens, e.Token
	}
	if who[name] == nil {
		who[name] = map[string]bool{}
	}
	who[name][e.Role] = e.Propagate == nil || *e.Propagate
}

// splitToken splits "user@realm!token".
func splitToken(user string) (owner, token string, ok bool) { return strings.Cut(user, "!") }

func (a *access) token(user string) *Token {
	owner, name, ok := splitToken(user)
	if !ok || a.st.Users[owner] == nil {
		return nil
	}
	return a.st.Users[owner].Tokens[name]
}

// privileges gives the privileges of a user or token on a path, each with whether it propagates
// (pve-access-control RPCEnvironment.pm, permissions).
func (a *access) privileges(user, path string) map[string]bool {
	if user == rootUser {
		return validPrivileges()
	}
	if owner, _, isToken := splitToken(user); isToken {
		t := a.token(user)
		if t == nil {
			return nil
		}
		if !t.PrivSep {
			return a.privileges(owner, path)
		}
	}
	key := user + "\x00" + path
	a.mu.Lock()
	privs, ok := a.cache[key]
	a.mu.Unlock()
	if ok {
		return privs
	}
	privs = a.compile(user, path)
	a.mu.Lock()
	a.cache[key] = privs
	a.mu.Unlock()
	return privs
}

// compile is RPCEnvironment.pm, $compile_acl_path.
func (a *access) compile(user, path string) map[string]bool {
	roles := a.roles(user, path)
	a.addPoolRoles(user, path, roles)
	privs := map[string]bool{}
	for role, propagate := range roles {
		for p := range a.rolePrivileges(role) {
			privs[p] = privs[p] || propagate
		}
	}
	owner, _, isToken := splitToken(user)
	if !isToken || owner == rootUser {
		return privs
	}
	ownerPrivs := a.privileges(owner, path)
	both := map[string]bool{}
	for p, propagate := range privs {
		if ownerPropagates, ok := ownerPrivs[p]; ok {
			both[p] = propagate && ownerPropagates
		}
	}
	return both
}

func (a *access) rolePrivileges(role string) map[string]bool {
	if privs, ok := builtinRoles()[role]; ok {
		return privs
	}
	privs := map[string]bool{}
	for _, p := range a.st.Roles[role] {
		privs[p] = true
	}
	return privs
}

// addPoolRoles gives what a pool gives on its members; NoAccess on either side wins.
func (a *access) addPoolRoles(user, path string, roles map[string]bool) {
	for _, pool := range a.poolsOf(path) {
		poolRoles := a.roles(user, "/pool/"+pool)
		if _, denied := roles["NoAccess"]; denied {
			return
		}
		if _, denied := poolRoles["NoAccess"]; denied {
			clear(roles)
			roles["NoAccess"] = false
			return
		}
		for r := range poolRoles {
			if _, ok := roles[r]; !ok {
				roles[r] = false
			}
		}
	}
}

// poolsOf are the pools a guest or storage is a member of.
func (a *access) poolsOf(path string) []string {
	if rest, ok := strings.CutPrefix(path, "/vms/"); ok {
		if id, err := parseVMID(rest); err == nil && a.poolOf[id] != "" {
			return []string{a.poolOf[id]}
		}
	}
	var out []string
	if id, ok := strings.CutPrefix(path, "/storage/"); ok {
		for name, p := range a.st.Pools {
			for _, s := range p.Storage {
				if s == id {
					out = append(out, name)
				}
			}
		}
	}
	return out
}

// roles walks the path from the root; an entry nearer to its end replaces all before it, and one of a user
// those of his groups (AccessControl.pm, roles).
func (a *access) roles(user, path string) map[string]bool {
	roles := map[string]bool{}
	n := a.tree
	elems := []string{""}
	if trimmed := strings.Trim(path, "/"); trimmed != "" {
		elems = append(elems, strings.Split(trimmed, "/")...)
	}
	for i, e := range elems {
		if e != "" {
			n = n.children[e]
		}
		if n == nil {
			break
		}
		if found := a.rolesAt(n, user, i == len(elems)-1); found != nil {
			roles = found
		}
	}
	if p, denied := roles["NoAccess"]; denied {
		return map[string]bool{"NoAccess": p}
	}
	return roles
}

func (a *access) rolesAt(n *acl, user string, final bool) map[string]bool {
	for _, direct := range []map[string]bool{n.tokens[user], n.users[user]} {
		if found := effective(direct, final, nil); found != nil {
			return found
		}
	}
	var found map[string]bool
	for group, roles := range n.groups {
		for _, member := range a.st.Groups[group] {
			if member == user {
				found = effective(roles, final, found)
			}
		}
	}
	return found
}

func effective(roles map[string]bool, final bool, into map[string]bool) map[string]bool {
	for r, propagate := range roles {
		if final || propagate {
			if into == nil {
				into = map[string]bool{}
			}
			into[r] = propagate
		}
	}
	return into
}

// has reports whether the user has all of the privileges on the path.
func (a *access) has(user, path string, privs ...string) bool {
	return a.check(user, path, privs...) == nil
}

// check answers 403 for the first privilege that is missing (RPCEnvironment.pm, check).
func (a *access) check(user, path string, privs ...string) error {
	have := a.privileges(user, path)
	for _, p := range privs {
		if _, ok := have[p]; !ok {
			return forbidden(path + ", " + p)
		}
	}
	return nil
}

// checkAny answers 403 where all of the privileges are missing (RPCEnvironment.pm, check_any).
func (a *access) checkAny(user, path string, privs ...string) error {
	have := a.privileges(user, path)
	for _, p := range privs {
		if _, ok := have[p]; ok {
			return nil
		}
	}
	return forbidden(path + ", " + strings.Join(privs, "|"))
}

// checkGuest checks the pool first, where one is given (RPCEnvironment.pm, check_vm_perm).
func (a *access) checkGuest(user string, id proxmox.VMID, pool string, privs ...string) error {
	if pool != "" && a.has(user, "/pool/"+pool, privs...) {
		return nil
	}
	return a.check(user, "/vms/"+id.String(), privs...)
}

// effectivePaths are the paths of which GET /access/permissions tells.
func (a *access) effectivePaths() map[string]bool {
	paths := map[string]bool{
		"/": true, "/access": true, "/access/groups": true, "/nodes": true, "/pool": true,
		"/sdn": true, "/storage": true, "/vms": true,
	}
	for _, p := range a.paths {
		paths[p] = true
	}
	for _, p := range a.st.Pools {
		for _, id := range p.VMs {
			paths["/vms/"+id.String()] = true
		}
		for _, s := range p.Storage {
			paths["/storage/"+s] = true
		}
	}
	return paths
}
