package sim

import (
	"crypto/rand"
	"fmt"

	"github.com/felhom/tend/proxmox"
)

// userModify asks whether the caller may change the account in the path (RPCEnvironment.pm, userid-group).
var userModify = permission{check: func(c *call) error {
	return c.sim.access.checkAny(c.user, "/access/groups", "User.Modify")
}}

// selfOrModify also lets the user himself.
var selfOrModify = permission{check: func(c *call) error {
	if c.user == c.str("userid") {
		return nil
	}
	return userModify.check(c)
}}

var tokenProps = props{"comment": str(), "expire": integer().from("0"), "privsep": boolean()}

var userRoutes = []route{
	{
		method: "GET", path: "/access/users", protected: true, perm: everybody, props: props{"enabled": boolean(), "full": boolean()},
		handler: listUsers,
	},
	{method: "GET", path: "/access/users/{userid}", perm: permission{check: func(c *call) error {
		return c.sim.access.checkAny(c.user, "/access/groups", "User.Modify", "Sys.Audit")
	}}, handler: getUser},
	{method: "POST", path: "/access/users", protected: true, perm: userModify, props: props{
		"userid": format("pve-userid").atMost(64).need(), "password": str().atLeast(8).atMost(64),
		"groups": format("pve-groupid-list"), "firstname": str().atMost(1024), "lastname": str().atMost(1024),
		"email": format("email-opt").atMost(254), "comment": str().atMost(2048), "keys": str(), "enable": boolean(),
		"expire": integer().from("0"),
	}, handler: postUser},
	{method: "DELETE", path: "/access/users/{userid}", protected: true, perm: userModify, handler: deleteUser},
	{method: "GET", path: "/access/users/{userid}/token", perm: selfOrModify, handler: listTokens},
	{method: "GET", path: "/access/users/{userid}/token/{tokenid}", perm: selfOrModify, handler: getToken},
	{
		method: "POST", path: "/access/users/{userid}/token/{tokenid}", protected: true, perm: selfOrModify, props: tokenProps,
		handler: postToken,
	},
	{method: "DELETE", path: "/access/users/{userid}/token/{tokenid}", protected: true, perm: selfOrModify, handler: deleteToken},
}

func listUsers(c *call) (any, error) {
	audit := c.sim.access.checkAny(c.user, "/access/groups", "User.Modify", "Sys.Audit") == nil
	rows := []map[string]any{}
	for _, id := range sortedKeys(c.sim.st.Users) {
		u := c.sim.st.Users[id]
		if !audit && id != c.user || c.given("enabled") && c.on("enabled") == u.Disabled {
			continue
		}
		row := userRow(u)
		row["userid"], row["realm-type"] = id, after(id, "@")
		if c.on("full") {
			tokens := []map[string]any{}
			for _, t := range sortedKeys(u.Tokens) {
				info := tokenInfo(u.Tokens[t])
				info["tokenid"] = t
				tokens = append(tokens, info)
			}
			row["tokens"] = tokens
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func userRow(u *User) map[string]any {
	row := map[string]any{"enable": flag(!u.Disabled), "expire": 0}
	if u.Comment != "" {
		row["comment"] = u.Comment
	}
	return row
}

func getUser(c *call) (any, error) {
	u, err := c.account(c.str("userid"))
	if err != nil {
		return nil, err
	}
	row, tokens := userRow(u), map[string]any{}
	for name, t := range u.Tokens {
		tokens[name] = tokenInfo(t)
	}
	row["groups"] = []string{}
	if len(tokens) > 0 {
		row["tokens"] = tokens
	}
	return row, nil
}

func postUser(c *call) (any, error) {
	id := c.str("userid")
	if c.sim.st.Users[id] != nil {
		return nil, dief("create user failed: user '%s' already exists", id)
	}
	c.sim.st.Users[id] = &User{
		Password: proxmox.NewSecret(c.str("password")), Comment: c.str("comment"),
		Disabled: c.given("enable") && !c.on("enable"),
	}
	for _, g := range splitList(c.str("groups")) {
		c.sim.st.Groups[g] = append(c.sim.st.Groups[g], id)
	}
	c.sim.accessChanged()
	return nil, nil
}

func deleteUser(c *call) (any, error) {
	id := c.str("userid")
	if _, err := c.account(id); err != nil {
		return nil, err
	}
	if id == rootUser {
		return nil, dief("unable to delete user '%s'", id)
	}
	delete(c.sim.st.Users, id)
	kept := c.sim.st.ACL[:0]
	for _, e := range c.sim.st.ACL {
		if e.User != id && before(e.Token, "!") != id {
			kept = append(kept, e)
		}
	}
	c.sim.st.ACL = kept
	c.sim.accessChanged()
	return nil, nil
}

func listTokens(c *call) (any, error) {
	u, err := c.account(c.str("userid"))
	if err != nil {
		return nil, err
	}
	rows := []map[string]any{}
	for _, name := range sortedKeys(u.Tokens) {
		row := tokenInfo(u.Tokens[name])
		row["tokenid"] = name
		rows = append(rows, row)
	}
	return rows, nil
}

// theToken is the token of the call.
func (c *call) theToken() (*User, *Token, error) {
	u, err := c.account(c.str("userid"))
	if err != nil {
		return nil, nil, err
	}
	t := u.Tokens[c.str("tokenid")]
	if t == nil {
		return nil, nil, dief("no such token '%s' for user '%s'", c.str("tokenid"), c.str("userid"))
	}
	return u, t, nil
}

func getToken(c *call) (any, error) {
	_, t, err := c.theToken()
	if err != nil {
		return nil, err
	}
	return tokenInfo(t), nil
}

func postToken(c *call) (any, error) {
	u, err := c.account(c.str("userid"))
	if err != nil {
		return nil, err
	}
	name := c.str("tokenid")
	if u.Tokens[name] != nil {
		return nil, paramError("tokenid", "Token already exists.")
	}
	secret, err := newSecret()
	if err != nil {
		return nil, err
	}
	t := &Token{PrivSep: !c.given("privsep") || c.on("privsep"), Secret: secret, Comment: c.str("comment"), Expire: c.integer("expire", 0)}
	if u.Tokens == nil {
		u.Tokens = map[string]*Token{}
	}
	u.Tokens[name] = t
	c.sim.accessChanged()
	return map[string]any{"full-tokenid": fullTokenID(c.str("userid"), name), "value": secret.Reveal(), "info": tokenInfo(t)}, nil
}

// newSecret makes a token's secret, a random UUID.
func newSecret() (proxmox.Secret, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return proxmox.Secret{}, fmt.Errorf("make secret: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return proxmox.NewSecret(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])), nil
}

func deleteToken(c *call) (any, error) {
	u, _, err := c.theToken()
	if err != nil {
		return nil, err
	}
	delete(u.Tokens, c.str("tokenid"))
	c.sim.accessChanged()
	return nil, nil
}
