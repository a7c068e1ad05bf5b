package sim

import (
	"fmt"
	"slices"
	"strings"
)

var accessRoutes = []route{
	{method: "GET", path: "/access/permissions", perm: everybody, props: props{
		"userid": matching(`[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+(?:![A-Za-z][A-Za-z0-9.\-_]+)?`), "path": str(),
	}, handler: getPermissions},
	{method: "GET", path: "/access/domains", perm: anybody, handler: listRealms},
	{method: "GET", path: "/access/acl", perm: everybody, handler: listACL},
	{
		method: "PUT", path: "/access/acl", protected: true, perm: permission{check: func(c *call) error { return c.mayModify(c.str("path")) }},
		props: props{
			"path": str().need(), "roles": format("pve-roleid-list").need(), "users": format("pve-userid-list"),
			"groups": format("pve-groupid-list"), "tokens": format("pve-tokenid-list"), "propagate": boolean(), "delete": boolean(),
		}, handler: putACL,
	},
	{method: "GET", path: "/access/roles", perm: everybody, handler: listRoles},
	{method: "GET", path: "/access/roles/{roleid}", perm: everybody, handler: getRole},
	{
		method: "POST", path: "/access/roles", protected: true, perm: need("/access", "Sys.Modify"),
		props: props{"roleid": format("pve-roleid").need(), "privs": format("pve-priv-list")}, handler: postRole,
	},
	{
		method: "PUT", path: "/access/roles/{roleid}", protected: true, perm: need("/access", "Sys.Modify"),
		props: props{"privs": format("pve-priv-list"), "append": boolean().with("privs")}, handler: putRole,
	},
	{method: "DELETE", path: "/access/roles/{roleid}", protected: true, perm: need("/access", "Sys.Modify"), handler: deleteRole},
}

// getPermissions is pve-access-control API2/AccessControl.pm, permissions.
func getPermissions(c *call) (any, error) {
	a, who := c.sim.access, c.str("userid")
	if who == "" {
		who = c.user
	}
	if owner, _, _ := splitToken(who); who != c.user && owner != c.user {
		if err := c.need("/access", "Sys.Audit"); err != nil {
			return nil, err
		}
	}
	out := map[string]map[string]int{}
	if path := c.str("path"); path != "" {
		out[path] = flags(a.privileges(who, path))
		return out, nil
	}
	for path := range a.effectivePaths() {
		if privs := a.privileges(who, path); len(privs) > 0 {
			out[path] = flags(privs)
		}
	}
	return out, nil
}

func flags(privs map[string]bool) map[string]int {
	out := make(map[string]int, len(privs))
	for p, propagate := range privs {
		out[p] = 0
		if propagate {
			out[p] = 1
		}
	}
	return out
}

func listRealms(*call) (any, error) {
	return []map[string]any{
		{"realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication"},
		{"realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server"},
	}, nil
}

// mayModify is RPCEnvironment.pm, check_perm_modify.
func (c *call) mayModify(path string) error {
	if path == "" {
		return c.need("/access", "Permissions.Modify")
	}
	privs := []string{"Permissions.Modify"}
	for prefix, p := range map[string]string{"/storage/": "Datastore.Allocate", "/vms/": "VM.Allocate", "/pool/": "Pool.Allocate"} {
		if strings.HasPrefix(path, prefix) {
			privs = append(privs, p)
		}
	}
	return c.sim.access.checkAny(c.user, path, privs...)
}

func listACL(c *call) (any, error) {
	audit := c.sim.access.has(c.user, "/access", "Sys.Audit")
	rows := []map[string]any{}
	for _, e := range c.sim.st.ACL {
		if !audit && c.mayModify(e.Path) != nil {
			continue
		}
		kind, who := "user", e.User
		switch {
		case e.Group != "":
			kind, who = "group", e.Group
		case e.Token != "":
			kind, who = "token", e.Token
		}
		rows = append(rows, map[string]any{
			"path": e.Path, "type": kind, "ugid": who, "roleid": e.Role,
			"propagate": flag(e.Propagate == nil || *e.Propagate),
		})
	}
	return rows, nil
}

// putACL is API2/ACL.pm, update_acl.
func putACL(c *call) (any, error) {
	if !c.given("users") && !c.given("groups") && !c.given("tokens") {
		return nil, paramErrors(map[string]string{"users": "either 'users', 'groups' or 'tokens' is required."})
	}
	path := "/" + strings.Trim(c.str("path"), "/")
	var entries []ACL
	propagate := !c.given("propagate") || c.on("propagate")
	for _, role := range splitList(c.str("roles")) {
		if c.sim.st.Roles[role] == nil && builtinRoles()[role] == nil {
			return nil, dief("update ACL failed: role '%s' does not exist", role)
		}
		for _, u := range splitList(c.str("users")) {
			if c.sim.st.Users[u] == nil {
				return nil, dief("update ACL failed: user '%s' does not exist", u)
			}
			entries = append(entries, ACL{Path: path, Role: role, User: u, Propagate: &propagate})
		}
		for _, g := range splitList(c.str("groups")) {
			entries = append(entries, ACL{Path: path, Role: role, Group: g, Propagate: &propagate})
		}
		for _, t := range splitList(c.str("tokens")) {
			if c.sim.access.token(t) == nil {
				return nil, dief("update ACL failed: no such token '%s' for user '%s'", after(t, "!"), before(t, "!"))
			}
			entries = append(entries, ACL{Path: path, Role: role, Token: t, Propagate: &propagate})
		}
	}
	for _, e := range entries {
		c.sim.st.ACL = slices.DeleteFunc(c.sim.st.ACL, func(o ACL) bool {
			return o.Path == e.Path && o.Role == e.Role && o.User == e.User && o.Group == e.Group && o.Token == e.Token
		})
		if !c.on("delete") {
			c.sim.st.ACL = append(c.sim.st.ACL, e)
		}
	}
	c.sim.accessChanged()
	return nil, nil
}

func before(s, sep string) string { a, _, _ := strings.Cut(s, sep); return a }
func after(s, sep string) string  { _, b, _ := strings.Cut(s, sep); return b }

func listRoles(c *call) (any, error) {
	rows := []map[string]any{}
	for _, r := range sortedKeys(builtinRoles()) {
		rows = append(rows, map[string]any{"roleid": r, "special": 1, "privs": strings.Join(sortedKeys(builtinRoles()[r]), ",")})
	}
	for _, r := range sortedKeys(c.sim.st.Roles) {
		privs := slices.Sorted(slices.Values(c.sim.st.Roles[r]))
		rows = append(rows, map[string]any{"roleid": r, "special": 0, "privs": strings.Join(privs, ",")})
	}
	return rows, nil
}

func getRole(c *call) (any, error) {
	role := c.str("roleid")
	if c.sim.st.Roles[role] == nil && builtinRoles()[role] == nil {
		return nil, dief("role '%s' does not exist", role)
	}
	out := map[string]int{}
	for p := range c.sim.access.rolePrivileges(role) {
		out[p] = 1
	}
	return out, nil
}

func postRole(c *call) (any, error) {
	role := c.str("roleid")
	if strings.HasPrefix(strings.ToLower(role), "pve") {
		return nil, paramError("roleid", "cannot use role ID starting with the (case-insensitive) 'PVE' namespace")
	}
	if c.sim.st.Roles[role] != nil || builtinRoles()[role] != nil {
		return nil, dief("create role failed: role '%s' already exists", role)
	}
	c.sim.st.Roles[role] = append([]string{}, splitList(c.str("privs"))...)
	c.sim.accessChanged()
	return nil, nil
}

// myRole is the role of the call, if it may be changed.
func (c *call) myRole(what string) (string, error) {
	role := c.str("roleid")
	if builtinRoles()[role] != nil {
		return "", dief("auto-generated role '%s' cannot be %s", role, what)
	}
	if c.sim.st.Roles[role] == nil {
		return "", dief("role '%s' does not exist", role)
	}
	return role, nil
}

func putRole(c *call) (any, error) {
	role, err := c.myRole("modified")
	if err != nil {
		return nil, err
	}
	privs := splitList(c.str("privs"))
	if c.on("append") {
		privs = append(slices.Clone(c.sim.st.Roles[role]), privs...)
	}
	slices.Sort(privs)
	c.sim.st.Roles[role] = append([]string{}, slices.Compact(privs)...)
	c.sim.accessChanged()
	return nil, nil
}

func deleteRole(c *call) (any, error) {
	role, err := c.myRole("deleted")
	if err != nil {
		return nil, err
	}
	delete(c.sim.st.Roles, role)
	c.sim.st.ACL = slices.DeleteFunc(c.sim.st.ACL, func(e ACL) bool { return e.Role == role })
	c.sim.accessChanged()
	return nil, nil
}

// account finds a user; this is AccessControl.pm, check_user_exist.
func (c *call) account(id string) (*User, error) {
	u := c.sim.st.Users[id]
	if u == nil {
		return nil, dief("no such user ('%s')", id)
	}
	return u, nil
}

func tokenInfo(t *Token) map[string]any {
	row := map[string]any{"privsep": flag(t.PrivSep), "expire": t.Expire}
	if t.Comment != "" {
		row["comment"] = t.Comment
	}
	return row
}

func fullTokenID(user, token string) string { return fmt.Sprintf("%s!%s", user, token) }
