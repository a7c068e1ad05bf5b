package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var ticketRoutes = []route{
	{method: "GET", path: "/access/ticket", perm: anybody, handler: func(*call) (any, error) { return nil, nil }},
	{method: "POST", path: "/access/ticket", protected: true, noToken: true, perm: anybody, props: props{
		"username": str().atMost(64).need(), "realm": str().atMost(32), "password": str().need(), "otp": str(),
		"path": str().atMost(64).with("privs"), "privs": format("pve-priv-list").atMost(64).with("path"),
		"new-format": boolean(), "tfa-challenge": str(),
	}, handler: createTicket},
}

// ticketLife is how long a ticket is good (AccessControl.pm, $ticket_lifetime).
const ticketLife = 2 * time.Hour

var errLogin = &fault{status: 401, text: "authentication failure\n"}

// createTicket is pve-access-control API2/AccessControl.pm, create_ticket.
func createTicket(c *call) (any, error) {
	name := c.str("username")
	if r := c.str("realm"); r != "" {
		name += "@" + r
	}
	u := c.sim.st.Users[name]
	if u == nil || u.Disabled {
		return nil, errLogin
	}
	given := c.str("password")
	ok := !u.Password.IsZero() && subtle.ConstantTimeCompare([]byte(given), []byte(u.Password.Reveal())) == 1
	if owner, valid := c.sim.verifyTicket(given); !ok && !(valid && (owner == name || owner == rootUser)) {
		return nil, errLogin
	}
	out := map[string]any{
		"username": name, "ticket": c.sim.sign("PVE", name), "CSRFPreventionToken": c.sim.csrf(name),
		"cap": c.capabilities(name),
	}
	if n := c.sim.st.Cluster.Name; n != nil && *n != "" && c.sim.access.has(name, "/", "Sys.Audit") {
		out["clustername"] = *n
	}
	return out, nil
}

// capabilities is RPCEnvironment.pm, compute_api_permission.
func (c *call) capabilities(user string) map[string]map[string]int {
	areas := map[string][]string{
		"vms": {"VM.", "Permissions.Modify"}, "access": {"User.", "Group.", "Permissions.Modify"},
		"storage": {"Datastore.", "Permissions.Modify"}, "nodes": {"Sys.", "Permissions.Modify"},
		"sdn": {"SDN.", "Permissions.Modify"}, "dc": {"Sys.Audit", "Sys.Modify", "SDN."}, "mapping": {"Mapping.", "Permissions.Modify"},
	}
	paths := map[string]string{
		"vms": "/vms", "access": "/access/groups", "storage": "/storage", "nodes": "/nodes",
		"sdn": "/sdn", "dc": "/", "mapping": "/mapping",
	}
	out := map[string]map[string]int{}
	for area, prefixes := range areas {
		out[area] = map[string]int{}
		for p := range c.sim.access.privileges(user, paths[area]) {
			for _, prefix := range prefixes {
				if strings.HasPrefix(p, prefix) {
					out[area][p] = 1
				}
			}
		}
	}
	return out
}

// sign makes a ticket for a user.
func (s *Sim) sign(prefix, user string) string {
	plain := fmt.Sprintf("%s:%s:%08X", prefix, user, s.opts.Now().Unix())
	return plain + "::" + s.mac(plain)
}

func (s *Sim) mac(text string) string {
	h := hmac.New(sha256.New, s.secret)
	h.Write([]byte(text))
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil))
}

// verifyTicket gives the user of a ticket that is good.
func (s *Sim) verifyTicket(ticket string) (string, bool) {
	plain, sig, ok := strings.Cut(ticket, "::")
	f := strings.Split(plain, ":")
	if !ok || len(f) != 3 || f[0] != "PVE" || !hmac.Equal([]byte(sig), []byte(s.mac(plain))) {
		return "", false
	}
	return f[1], s.fresh(f[2])
}

func (s *Sim) fresh(stamp string) bool {
	n, err := strconv.ParseInt(stamp, 16, 64)
	age := s.opts.Now().Sub(time.Unix(n, 0))
	return err == nil && age > -5*time.Minute && age < ticketLife
}

// csrf makes the token that goes with a ticket.
func (s *Sim) csrf(user string) string {
	stamp := fmt.Sprintf("%08X", s.opts.Now().Unix())
	return stamp + ":" + s.mac("csrf:"+stamp+":"+user)
}

func (s *Sim) verifyCSRF(user, token string) bool {
	stamp, sig, ok := strings.Cut(token, ":")
	return ok && hmac.Equal([]byte(sig), []byte(s.mac("csrf:"+stamp+":"+user))) && s.fresh(stamp)
}

// verifyToken gives the user of "user@realm!name=secret" (AccessControl.pm, verify_token).
func (s *Sim) verifyToken(text string) (string, bool) {
	id, secret, ok := strings.Cut(text, "=")
	if !ok {
		return "", false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.access.token(id)
	owner, _, _ := splitToken(id)
	if t == nil || s.st.Users[owner].Disabled || t.Expire > 0 && t.Expire < s.opts.Now().Unix() {
		return "", false
	}
	return id, subtle.ConstantTimeCompare([]byte(secret), []byte(t.Secret.Reveal())) == 1
}

func (s *Sim) userEnabled(id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	u := s.st.Users[id]
	return u != nil && !u.Disabled
}
