package spec

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

// network checks addresses and gateways, and what goes with what.
func (v *validation) network(c *Container) {
	interfaces, _ := c.Settings[setting.Network.Path].(setting.Members)
	v.room(c, setting.Network, len(interfaces))
	for _, name := range slices.Sorted(maps.Keys(interfaces)) {
		r, at := interfaces[name], pathOf(c, setting.Network).Join(name)
		owner := name + " of container " + c.Name
		v.address(at, r, setting.IPv4, owner)
		v.address(at, r, setting.IPv6, owner)
		v.gateway(at, r, setting.IPv4, setting.Gateway4)
		v.gateway(at, r, setting.IPv6, setting.Gateway6)
		if mac, ok := setting.MAC.Get(r); ok {
			v.claim(at.Join(setting.MAC.Path), claim{what: "MAC address", shown: mac, key: strings.ToUpper(mac), owner: owner})
		}
		// pve-container LXC/Config.pm, check_net: the node cannot do SLAAC for a guest.
		if setting.HostManaged.Or(r, false) && setting.IPv6.Or(r, "") == "auto" {
			v.fault(at.Join(setting.HostManaged.Path), below(at, setting.IPv6),
				"does not go with ipv6: auto, which Proxmox refuses: write an address, dhcp or manual")
		}
		// pve-container LXC/Config.pm, update_pct_config: it is compared with the bridge's.
		if _, bridged := setting.Bridge.Get(r); !bridged && setting.MTU.Or(r, 0) != 0 {
			v.fault(at.Join(setting.MTU.Path), below(at, setting.Bridge), "does not go without a bridge, which Proxmox refuses: write bridge, or remove it")
		}
	}
}

// address checks the address of one version. It is taken once in a network, which is a bridge and a VLAN: the
// same one in another network is another machine's business.
func (v *validation) address(at setting.Path, r setting.Record, ip setting.Key[string], owner string) {
	text, _ := ip.Get(r)
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return
	}
	v.claim(at.Join(ip.Path), claim{
		what: "address", shown: prefix.Addr().String(), owner: owner, with: below(at, setting.Bridge, setting.VLAN),
		key: fmt.Sprintf("%s\x00%d\x00%s", setting.Bridge.Or(r, ""), setting.VLAN.Or(r, 0), prefix.Addr()),
	})
	if err := hostAddress(prefix); err != nil {
		v.fault(at.Join(ip.Path), nil, "%s %w", text, err)
	}
}

// gateway checks that the gateway of one version can be reached from the address.
func (v *validation) gateway(at setting.Path, r setting.Record, ip, gw setting.Key[string]) {
	text, written := ip.Get(r)
	gateway, ok := gw.Get(r)
	if !ok {
		return
	}
	prefix, err := netip.ParsePrefix(text)
	addr, _ := netip.ParseAddr(gateway)
	here, with := at.Join(gw.Path), below(at, ip)
	switch {
	case !written:
		v.fault(here, with, "stands without an address: write %s, or remove it", ip.Path)
	case err != nil:
		v.fault(here, with, "means nothing with %s: %s: remove it, or write an address", ip.Path, text)
	case addr == prefix.Addr():
		v.fault(here, with, "%s is the container's own address: write the router's", gateway)
	case !prefix.Contains(addr) && !prefix.IsSingleIP() && !addr.IsLinkLocalUnicast():
		v.fault(here, with, "%s is outside the subnet %s: correct it, or the prefix length of the address", gateway, prefix.Masked())
	}
}

// hostAddress refuses the addresses of an IPv4 subnet that no machine can have.
func hostAddress(p netip.Prefix) error {
	if !p.Addr().Is4() || p.Bits() >= 31 {
		return nil
	}
	if p.Addr() == p.Masked().Addr() {
		return errors.New("is the address of the subnet itself: write one of its hosts")
	}
	last := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		last[i/8] |= 1 << (7 - i%8)
	}
	if p.Addr() == netip.AddrFrom4(last) {
		return errors.New("is the broadcast address of its subnet: write one of its hosts")
	}
	return nil
}
