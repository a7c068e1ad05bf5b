package setting

import (
	"errors"
	"slices"
	"strings"
)

// Parts of a network interface.
var (
	Bridge = Key[string]{
		Path: "bridge", PVE: "bridge", Type: Pattern("name of a bridge (letters, digits, - _ .)", `[-_.\w]+`), Example: "vmbr0",
		Doc: "Bridge or virtual network of the node that the interface is plugged into.",
	}
	IPv4 = Key[string]{
		Path: "ipv4", PVE: "ip", Type: address("IPv4", "dhcp", "manual"), Label: "IPv4", Example: "192.168.1.20/24",
		Doc: "IPv4 address with its prefix length; or dhcp; or manual, which leaves it to the guest.",
	}
	Gateway4 = Key[string]{
		Path: "gateway4", PVE: "gw", Type: host("IPv4"), Label: "IPv4 gateway", Example: "192.168.1.1",
		Doc: "Router for IPv4, in the subnet of the address.",
	}
	IPv6 = Key[string]{
		Path: "ipv6", PVE: "ip6", Type: address("IPv6", "auto", "dhcp", "manual"), Label: "IPv6", Example: "fd00::20/64",
		Doc: "IPv6 address with its prefix length; or auto (SLAAC), dhcp; or manual, which leaves it to the guest.",
	}
	Gateway6 = Key[string]{
		Path: "gateway6", PVE: "gw6", Type: host("IPv6"), Label: "IPv6 gateway", Example: "fd00::1",
		Doc: "Router for IPv6, in the subnet of the address or link-local.",
	}
	MAC = Key[string]{
		Path: "mac", PVE: "hwaddr", Label: "MAC address", Keep: true, Example: "BC:24:11:00:01:20",
		Type: foldCase(Text("unicast MAC address, as in BC:24:11:00:01:20", checkMAC)),
		Doc:  "MAC address. Absent: the one that Proxmox generated is kept.",
	}
	VLAN = Key[int64]{
		Path: "vlan", PVE: "tag", Type: Integer(1, 4094), Label: "VLAN", Doc: "VLAN that the interface is in. Absent: none.", Example: "30",
	}
	Trunks = Key[[]string]{
		Path: "trunks", PVE: "trunks", Label: "VLAN trunks", Example: `["10", "20"]`,
		Type:   Unordered(List("VLAN number in quotes", semicolons, ";", checkVLAN)),
		Absent: new([]string(nil)),
		Doc:    "VLANs that the guest sees with their tags.",
	}
	Firewall = Key[bool]{
		Path: "firewall", PVE: "firewall", Type: Boolean(), Default: new(false), Absent: new(false),
		Doc: "Let Proxmox's firewall filter the interface.", Example: "true",
	}
	LinkDown = Key[bool]{
		Path: "linkDown", PVE: "link_down", Type: Boolean(), Default: new(false), Absent: new(false),
		Doc: "Leave the interface unplugged.", Example: "false",
	}
	MTU = Key[int64]{
		Path: "mtu", PVE: "mtu", Type: Integer(64, 65535), Label: "MTU", Doc: "Largest packet, in bytes; at most the bridge's.",
		Example: "1400",
	}
	Rate = Key[float64]{
		Path: "rate", PVE: "rate", Type: Number(0, 1e6, " MB/s"), Doc: "Limit of the traffic in each direction, in MB/s (1 MB is 1048576 bytes, to Proxmox).", Example: "12.5",
	}
	HostManaged = Key[bool]{
		Path: "hostManaged", PVE: "host-managed", Type: Boolean(), Default: new(false), Absent: new(false),
		Doc: "Let the node configure the interface's addresses, for guests that cannot, such as those from OCI images.", Example: "false",
	}
	// veth is always printed by Proxmox and can be nothing else.
	linkType = Key[string]{
		Path: "type", PVE: "type", Type: Enum("veth"), Keep: true, Default: new("veth"), Absent: new("veth"),
		Doc: "Type of the interface. Proxmox has no other.", Example: "veth", Running: "there is no other value",
	}
	InterfaceName = Key[string]{
		Path: "name", PVE: "name", Type: Pattern("name of an interface (letters, digits, - _ ., at most 15)", `[-_.\w]{1,15}`), Required: true,
		Doc: "interface's name",
	}
)

// Network is net0 to net31.
var Network = &Family{
	Path: "network", PVE: "net", Max: 31, Identity: InterfaceName, Label: "interface",
	Doc:     "Network interfaces, by their name in the container.",
	Example: "{eth0: {bridge: vmbr0, ipv4: dhcp}}",
	Member: Object{Name: "network interface", Summary: interfaceText, Rows: []Row{
		Bridge, IPv4, Gateway4, IPv6, Gateway6, MAC, VLAN, Trunks, Firewall, LinkDown, MTU, Rate, HostManaged, linkType,
	}},
	OnEdit: editInterface, Hint: hintInterface,
	Running: "online for addresses, gateways, rate; link flap for bridge, VLAN, firewall, link, MAC address; mtu, trunks and hostManaged from the next start",
	Lane:    "token",
}

func editInterface(old, new *Record, index int, f Facts) Effect {
	switch {
	case !f.Running || old == nil:
		return Online
	case new == nil && index > 9:
		// Proxmox's rule for unplugging at once matches one digit only (LXC/Config.pm, vmconfig_hotplug_pending).
		return Restart
	case new == nil:
		return LinkFlap
	}
	for _, row := range []Row{MAC, Bridge, VLAN, Firewall, LinkDown} {
		if path := row.SpecPath(); !row.Equal((*old)[path], (*new)[path]) {
			return LinkFlap
		}
	}
	return Online
}

func hintInterface(old, new *Record, f Facts) string {
	if !f.Running || old == nil || new == nil {
		return ""
	}
	var later []string
	for _, row := range []Row{MTU, Trunks, HostManaged} {
		if i := row.Info(); !row.Equal((*old)[i.Path], (*new)[i.Path]) {
			later = append(later, i.Label)
		}
	}
	if len(later) == 0 {
		return ""
	}
	return strings.Join(later, ", ") + " in force from the next start"
}

// interfaceText is an interface in one line: where it is plugged in and its addresses, then all else.
func interfaceText(r Record) string {
	parts := []string{"on " + Bridge.Or(r, "no bridge")}
	for _, version := range [][2]Key[string]{{IPv4, Gateway4}, {IPv6, Gateway6}} {
		address, gateway := partText(version[0], r), partText(version[1], r)
		if address != "" && gateway != "" {
			address, gateway = address+" via "+version[1].Text(r[version[1].Path]), ""
		}
		parts = append(parts, address, gateway)
	}
	for _, row := range []Row{VLAN, Trunks, MAC, Firewall, LinkDown, MTU, Rate, HostManaged, linkType} {
		parts = append(parts, partText(row, r))
	}
	return joinParts(parts)
}

// foldCase compares without regard to case, and leaves the text as it is: sending a MAC address in other
// letters than those stored would cut the link.
func foldCase(t Type[string]) Type[string] {
	t.Equal = strings.EqualFold
	return t
}

func address(version string, words ...string) Type[string] {
	name := version + " address with prefix length"
	t := Text(name, func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return checkPrefix(s, version)
	})
	t.Name = name + ", or " + strings.Join(words, ", ")
	return t
}

func host(version string) Type[string] {
	return Text(version+" address", func(s string) error {
		if a := parseAddr(s); !a.IsValid() || a.Is4() != (version == "IPv4") || a.Zone() != "" {
			return errors.New("is not an " + version + " address")
		}
		return nil
	})
}
