package proxmox

import (
	"context"
	"net/url"
)

// A Pool is a resource pool: guests and storages to which privileges are given together. A guest is in at most
// one.
type Pool struct {
	Name    string `pve:"poolid"` // with its parents, "customers/acme"
	Comment string `pve:"comment"`
	// Members are told by [Client.Pool] alone.
	Members []Resource `pve:"members"`
}

// Guests are the VMIDs of the members.
func (p Pool) Guests() []VMID {
	var out []VMID
	for _, m := range p.Members {
		if m.Guest != 0 {
			out = append(out, m.Guest)
		}
	}
	return out
}

// Pools lists the pools on which the token has Pool.Audit, without their members. Which guest is in which pool
// [Client.Resources] tells for all at once.
func (c *Client) Pools(ctx context.Context) (list []Pool, err error) {
	return list, c.get(ctx, "/pools", nil, &list)
}

// Pool reads a pool and its members. One that does not exist is refused with [ErrNotFound].
func (c *Client) Pool(ctx context.Context, name string) (Pool, error) {
	var list []Pool
	if err := c.get(ctx, "/pools", url.Values{"poolid": {name}}, &list); err != nil {
		return Pool{}, err
	}
	for _, p := range list {
		if p.Name == name {
			return p, nil
		}
	}
	// An endpoint that ignores the name answers with all pools, and this one is not among them.
	return Pool{}, &missingError{"pool " + name}
}

// CreatePool makes a pool. One that is there is refused with [ErrExists], and one whose parent is not with
// [ErrNotFound]. It needs Pool.Allocate on /pool/{name}.
func (c *Client) CreatePool(ctx context.Context, name, comment string) error {
	p := params{}
	p.text("poolid", name)
	p.text("comment", comment)
	return c.change(ctx, "POST", "/pools", p)
}

// DeletePool removes a pool that has no members. It needs Pool.Allocate.
func (c *Client) DeletePool(ctx context.Context, name string) error {
	return c.change(ctx, "DELETE", "/pools", params{"poolid": {name}})
}

// AddToPool makes guests members of a pool, and takes them out of the pools that they are in. Where one is a
// member already the whole call is refused with [ErrAlready]. It needs Pool.Allocate on both pools and VM.Allocate
// or Permissions.Modify on the guests (pve-manager API2/Pool.pm, update_pool).
func (c *Client) AddToPool(ctx context.Context, name string, guests ...VMID) error {
	p := params{}
	p.text("poolid", name)
	p.list("vms", joinIDs(guests))
	p.flag("allow-move", true)
	return c.change(ctx, "PUT", "/pools", p)
}

// RemoveFromPool takes guests out of a pool. Where one is no member the whole call is refused with [ErrAlready].
func (c *Client) RemoveFromPool(ctx context.Context, name string, guests ...VMID) error {
	p := params{}
	p.text("poolid", name)
	p.list("vms", joinIDs(guests))
	p.flag("delete", true)
	return c.change(ctx, "PUT", "/pools", p)
}

// A missingError is that of something which a list should hold and does not.
type missingError struct{ what string }

func (e *missingError) Error() string { return e.what + " does not exist" }
func (e *missingError) Unwrap() error { return ErrNotFound }
