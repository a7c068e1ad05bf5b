package proxmox

import (
	"context"
	"errors"
	"strings"
)

// A Network is a network interface of a node.
type Network struct {
	Name    string `pve:"iface"`
	Type    string `pve:"type"` // "bridge", "OVSBridge", "vnet", …
	Active  bool   `pve:"active"`
	Address string `pve:"cidr"`
	MTU     int64  `pve:"mtu"` // 0 where the node does not say, which mostly means 1500
}

// Bridges lists what an interface of a guest can be plugged into on a node: bridges and virtual networks on which
// the token has SDN.Use or SDN.Audit (pve-manager API2/Network.pm, index, type any_bridge).
func (c *Client) Bridges(ctx context.Context, node string) (list []Network, err error) {
	p := params{}
	p.text("type", "any_bridge")
	return list, c.get(ctx, nodePath(node, "/network"), p.values(), &list)
}

// HasInterface reports whether the network configuration of a node names an interface, as a bridge to which the token
// has no right and which Bridges leaves out. Virtual networks do not count. It takes Sys.Audit on the node
// (pve-manager API2/Network.pm, network_config).
func (c *Client) HasInterface(ctx context.Context, node, name string) (bool, error) {
	err := c.get(ctx, nodePath(node, "/network/"+escape(name)), nil, &struct{}{})
	if api, ok := errors.AsType[*APIError](err); ok && strings.Contains(api.Params["iface"], "does not exist") {
		return false, nil
	}
	return err == nil, err
}
