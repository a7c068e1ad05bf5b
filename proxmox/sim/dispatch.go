package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

// A call is one request on its way through the simulator.
type call struct {
	ctx    context.Context
	sim    *Sim
	user   string // empty: nobody
	node   string // the node that the request was passed on to, or the one that answers
	params params
	total  *int
	fault  Fault
	forked []*task
}

// An answer is what goes back: a status, its reason phrase and the body, which may be empty.
type answer struct {
	status int
	reason string
	body   []byte
	closes bool // the connection ends with it
	cut    bool // nothing goes back at all
}

// serve carries out one request of an authenticated user (pve-manager HTTPServer.pm, rest_handler).
func (s *Sim) serve(ctx context.Context, user, method, path string, p params) answer {
	s.calls.Add(1)
	seen := Call{User: user, Method: method, Path: path, Params: p.values()}
	if s.opts.Observe != nil {
		s.opts.Observe(seen)
	}
	var f Fault
	if s.opts.Fault != nil {
		f = s.opts.Fault(seen)
	}
	if err := sleep(ctx, f.Delay); err != nil {
		return answer{cut: true}
	}
	if a, ok := f.answer(); ok && !f.After {
		return a
	}
	a := s.carryOut(ctx, user, method, path, p, f)
	if fa, ok := f.answer(); ok {
		return fa
	}
	return a
}

// answer is what the fault answers in place of the call.
func (f Fault) answer() (answer, bool) {
	switch {
	case f.Cut:
		return answer{cut: true}, true
	case f.Status == 0:
		return answer{}, false
	case f.Body != "":
		return answer{status: f.Status, reason: f.Reason, body: []byte(f.Body), closes: true}, true
	case f.Status == 401 || f.Status > 590:
		return answer{status: f.Status, reason: f.Reason, closes: true}, true
	}
	return failure(&fault{status: f.Status, text: f.Reason + "\n"}), true
}

// carryOut finds the route, checks permission, node and parameters in this order, and calls the handler.
func (s *Sim) carryOut(ctx context.Context, user, method, path string, p params, f Fault) answer {
	r, vars := s.routes.find(path)
	rt := r[method]
	if rt == nil {
		return failure(&fault{status: 501, text: fmt.Sprintf("Method '%s %s' not implemented", method, path)})
	}
	c := &call{ctx: ctx, sim: s, user: user, params: p, fault: f}
	data, err := s.underLock(rt, func() (any, error) { return c.handle(rt, vars, path) })
	if err == nil {
		c.await()
	}
	if method != "GET" {
		if serr := s.store.sync(); serr != nil {
			err = serr
		}
	}
	if err != nil {
		return failure(asFault(err))
	}
	return c.success(rt, data)
}

// underLock runs a read next to other reads, and anything else alone.
func (s *Sim) underLock(rt *route, fn func() (any, error)) (any, error) {
	if rt.method == "GET" {
		s.mu.RLock()
		defer s.mu.RUnlock()
	} else {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed {
			return nil, dief("the simulator is closed")
		}
	}
	return fn()
}

func (c *call) handle(rt *route, vars map[string]string, path string) (any, error) {
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		if v, ok := c.params[k]; ok && v.text != vars[k] {
			return nil, paramError(k, "duplicate parameter (already defined in URI) with conflicting values!")
		}
		c.params[k] = value{text: vars[k]}
	}
	if rt.noToken && strings.Contains(c.user, "!") {
		return nil, forbidden(notForTokens(path))
	}
	if err := c.authorise(rt.perm); err != nil {
		return nil, err
	}
	if err := c.passOn(rt); err != nil {
		return nil, err
	}
	c.params.normalise(rt.props)
	if err := c.params.verify(rt.props); err != nil {
		return nil, err
	}
	return rt.handler(c)
}

func notForTokens(path string) string {
	return fmt.Sprintf("URI '%s' not available with API token, need proper ticket.\n", path)
}

// authorise is RPCEnvironment.pm, check_api2_permissions.
func (c *call) authorise(p permission) error {
	if c.user == "" {
		if p.world {
			return nil
		}
		return forbidden("user != null")
	}
	if c.user == rootUser || p.world || p.all {
		return nil
	}
	if p.check == nil {
		return forbidden("user != root@pam")
	}
	return p.check(c)
}

// passOn finds the node the call is for, as pveproxy does before it looks at the other parameters.
func (c *call) passOn(rt *route) error {
	st := c.sim.st
	c.node = st.Cluster.Local
	if !rt.onNode {
		return nil
	}
	name := c.params["node"].text
	if name == "localhost" || name == c.node {
		return nil
	}
	n := st.Nodes[name]
	if n == nil {
		return lookupFailure(name)
	}
	if n.Offline {
		return &fault{status: 595, text: "No route to host", bare: true}
	}
	c.node = name
	return nil
}

// lookupFailure is what the resolver says of a name: one that cannot be a name is not known, any other could not
// be asked for.
func lookupFailure(name string) error {
	text := "Temporary failure in name resolution"
	if strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
		text = "Name or service not known"
	}
	return dief("hostname lookup '%s' failed - failed to get address info for: %s: %s", name, name, text)
}

// await waits for the tasks the call has started, where a task takes no time: until they end, or wait themselves.
func (c *call) await() {
	for _, t := range c.forked {
		if t.fault.TaskHang || c.sim.workTime(t.UPID.Type) > 0 {
			continue
		}
		select {
		case <-t.settled:
		case <-c.ctx.Done():
			return
		}
		select {
		case <-t.done: // what it started itself is known now
			for _, sub := range t.children {
				sub.await()
			}
		default:
		}
	}
}

func (c *call) success(rt *route, data any) answer {
	body := struct {
		Data  any  `json:"data"`
		Total *int `json:"total,omitempty"`
	}{Data: data}
	if c.total != nil && *c.total > 0 {
		body.Total = c.total
	}
	raw, err := marshal(body)
	if err != nil {
		return failure(asFault(err))
	}
	return answer{status: 200, reason: "OK", body: raw, closes: rt.protected}
}

// failure writes an error: its first line is the reason phrase, the whole text the message
// (pve-http-server Formatter/Standard.pm, AnyEvent.pm response).
func failure(f *fault) answer {
	reason, _, _ := strings.Cut(f.text, "\n")
	a := answer{status: f.status, reason: reason, closes: true}
	if f.status == 0 {
		a.status = 500
	}
	if strings.Contains(reason, "\r") {
		a.status, a.reason = 400, "Bad Request"
		return a
	}
	if f.bare {
		return a
	}
	body := struct {
		Data    any               `json:"data"`
		Message string            `json:"message"`
		Errors  map[string]string `json:"errors,omitempty"`
	}{Message: f.text, Errors: f.params}
	raw, err := marshal(body)
	if err != nil {
		return a
	}
	a.body = raw
	return a
}

// marshal writes JSON as Perl does: without escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// values gives the parameters as a client would write them.
func (p params) values() url.Values {
	out := make(url.Values, len(p))
	for k, v := range p {
		if v.kind == listValue {
			for _, e := range v.list {
				out.Add(k, e.text)
			}
			continue
		}
		out.Set(k, v.text)
	}
	return out
}

// given reports whether a parameter has a value.
func (c *call) given(key string) bool {
	v, ok := c.params[key]
	return ok && v.kind != undefValue
}

func (c *call) str(key string) string { return c.params[key].text }

// on reports whether a boolean is given and set.
func (c *call) on(key string) bool { return truthy(c.params[key].text) }

// integer gives a whole number that was verified, or def.
func (c *call) integer(key string, def int64) int64 {
	if !c.given(key) {
		return def
	}
	var n int64
	if _, err := fmt.Sscan(c.str(key), &n); err != nil {
		return def
	}
	return n
}

func (c *call) vmid() proxmox.VMID { return proxmox.VMID(c.integer("vmid", 0)) }

// container is the container of the call, which must be on its node.
func (c *call) container() (*guest, error) { return c.sim.container(c.node, c.vmid()) }

func (c *call) isRoot() bool { return c.user == rootUser }

// lockGuest takes the lock of a config file for the rest of the call; the caller lets go of it.
func (c *call) lockGuest(id proxmox.VMID, timeout time.Duration) error {
	return c.sim.lockGuest(c.ctx, nil, id, timeout)
}
