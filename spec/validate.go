package spec

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

// Validate finds what is wrong across settings and across containers: what no row of the table can see by
// itself. The faults have paths and no places; those are known to who read the spec.
func Validate(s *State) []Fault {
	v := &validation{state: s, taken: map[string]string{}}
	for _, c := range s.Containers {
		v.container(c)
	}
	v.dependencies()
	v.templates()
	v.jobs()
	return v.faults
}

type validation struct {
	state  *State
	faults []Fault
	taken  map[string]string // what only one container may have, and which one has it
}

func (v *validation) fault(c *Container, path setting.Path, format string, args ...any) {
	v.faultAt(setting.Path{Containers.Path, c.Name}.Join(path...), format, args...)
}

func (v *validation) faultAt(at setting.Path, format string, args ...any) {
	v.faults = append(v.faults, Fault{At: at, Err: fmt.Errorf(format, args...)})
}

// claim takes something for one container; it is a fault if another has it.
func (v *validation) claim(c *Container, at setting.Path, what, shown, key, owner string) {
	key = what + "\x00" + key
	if other, ok := v.taken[key]; ok {
		v.fault(c, at, "%s %s is taken by %s: write another one", what, shown, other)
		return
	}
	v.taken[key] = owner
}

func (v *validation) container(c *Container) {
	v.identity(c)
	v.volumes(c)
	v.network(c)
	v.sources(c)
	v.combinations(c)
}

// sources checks that a container is made from one thing.
func (v *validation) sources(c *Container) {
	n, at := 0, setting.Path{}
	for _, s := range []struct {
		row setting.Row
		set bool
	}{
		{FromTemplate, c.From.Template != ""},
		{FromImage, c.From.Image != ""},
		{FromBackup, c.From.Backup != ""},
		{CloneID, c.From.Clone != Clone{}},
	} {
		if s.set {
			n, at = n+1, strings.Split(s.row.SpecPath(), ".")
		}
	}
	switch {
	case n > 1:
		v.fault(c, at, "is a second source beside another: keep one of template, image, clone and backup")
	case c.From.Clone != (Clone{}) && c.From.Clone.ID == 0:
		v.fault(c, strings.Split(CloneID.Path, "."), "is missing: write the VMID of the container to copy")
	case c.From.Clone.ID == c.ID && c.ID != 0:
		v.fault(c, strings.Split(CloneID.Path, "."), "is the container itself: write the VMID of another one")
	}
	if c.Lifecycle.AllowRecreate && c.Lifecycle.BackupTo == "" {
		v.fault(c, strings.Split(BackupTo.Path, "."), "is missing: write the storage for the backup that recreate: allow makes first")
	}
}

// dependencies checks that what a container depends on exists, and that it does not depend on itself in the end.
func (v *validation) dependencies() {
	byName := map[string]*Container{}
	for _, c := range v.state.Containers {
		byName[c.Name] = c
	}
	state := map[string]int{} // 1: on the way, 2: done
	var visit func(c *Container)
	visit = func(c *Container) {
		state[c.Name] = 1
		for i, name := range c.DependsOn {
			at := setting.Path{DependsOn.Path, strconv.Itoa(i)}
			next := byName[name]
			switch {
			case next == nil:
				v.fault(c, at, "there is no container %q%s", name, didYouMean(name, slices.Sorted(maps.Keys(byName))))
			case state[name] == 1:
				v.fault(c, at, "depends, in the end, on %s itself: break the circle", c.Name)
			case state[name] == 0:
				visit(next)
			}
		}
		state[c.Name] = 2
	}
	for _, c := range v.state.Containers {
		if state[c.Name] == 0 {
			visit(c)
		}
	}
}

func didYouMean(name string, known []string) string {
	if n := setting.Nearest(name, known); n != "" {
		return fmt.Sprintf(": did you mean %q?", n)
	}
	return ""
}

// identity checks what tells containers apart and where they live.
func (v *validation) identity(c *Container) {
	if c.ID == 0 {
		v.fault(c, setting.Path{ID.Path}, "is missing: write the VMID, as in id: %s", ID.Example)
	} else {
		v.claim(c, setting.Path{ID.Path}, "VMID", fmt.Sprint(c.ID), fmt.Sprint(c.ID), "container "+c.Name)
	}
	nodes := v.state.Cluster.Nodes
	switch {
	case c.Node == "":
		v.fault(c, setting.Path{Node.Path}, "is missing: write the node, here or in defaults")
	case len(nodes) > 0 && !slices.Contains(nodes, c.Node):
		v.fault(c, setting.Path{Node.Path}, "%q is none of cluster.nodes, which are %s: correct one of them", c.Node, strings.Join(nodes, ", "))
	}
	v.claim(c, setting.Path{setting.Hostname.Path}, "host name", c.Hostname(), strings.ToLower(c.Hostname()), "container "+c.Name)
}

// volumes checks the root file system and the mounts.
func (v *validation) volumes(c *Container) {
	unprivileged := setting.Unprivileged.Or(c.Settings, *setting.Unprivileged.Default)
	root := setting.RootFS.Or(c.Settings, nil)
	at := setting.Path{setting.RootFS.Path}
	_, isVolume := setting.Volume.Get(root)
	_, isHost := setting.HostPath.Get(root)
	_, hasStorage := setting.Storage.Get(root)
	if (c.From.Template != "" || c.From.Image != "") && !isVolume && !isHost && !hasStorage {
		v.fault(c, at.Join(setting.Storage.Path), "is missing: write the storage for the root file system, here or in defaults")
	}
	v.source(c, at, root)
	v.quota(c, at, root, unprivileged)

	mounts, _ := c.Settings[setting.Mounts.Path].(setting.Members)
	v.room(c, setting.Mounts, len(mounts))
	seen := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(mounts)) {
		at := setting.Path{setting.Mounts.Path, id}
		clean := path.Clean(id)
		if other, ok := seen[clean]; ok {
			v.fault(c, at, "shadows the mount %s: both are at %s, remove one", other, clean)
		}
		seen[clean] = id
		switch clean {
		case "/":
			v.fault(c, at, "would shadow the root file system: mount below it, or write rootfs")
		case "/dev", "/proc", "/sys":
			v.fault(c, at, "would be shadowed by the container's own %s: mount elsewhere", clean)
		}
		r := mounts[id]
		if removed, _ := setting.Removal(r); removed {
			continue
		}
		if !v.source(c, at, r) {
			v.fault(c, at, "has no source: write storage and size for a new volume, or volume, or hostPath")
		} else if _, sized := setting.Size.Get(r); !sized && onStorage(r) {
			v.fault(c, at.Join(setting.Size.Path), "is missing: write the size of the volume, as in size: 8GiB")
		}
		v.quota(c, at, r, unprivileged)
	}
}

// onStorage reports whether a mount is a volume that Proxmox makes.
func onStorage(r setting.Record) bool {
	_, storage := setting.Storage.Get(r)
	_, volume := setting.Volume.Get(r)
	_, host := setting.HostPath.Get(r)
	return storage && !volume && !host
}

// source checks that a volume comes from one place only and reports whether it comes from any.
func (v *validation) source(c *Container, at setting.Path, r setting.Record) bool {
	volume, isVolume := setting.Volume.Get(r)
	_, isHost := setting.HostPath.Get(r)
	storage, hasStorage := setting.Storage.Get(r)
	_, hasSize := setting.Size.Get(r)
	switch {
	case isHost && (isVolume || hasStorage):
		v.fault(c, at.Join(setting.HostPath.Path), "names a second source beside the volume: keep one of hostPath, volume and storage")
	case isHost && hasSize:
		v.fault(c, at.Join(setting.Size.Path), "means nothing for a path of the node: remove it")
	case isVolume && hasStorage && !strings.HasPrefix(volume, storage+":"):
		v.fault(c, at.Join(setting.Storage.Path), "is not the storage of the volume %s: remove one of them", volume)
	}
	return isHost || isVolume || hasStorage
}

// quota refuses what lets the start of a container die (pve-container API2/LXC/Status.pm, vm_start).
func (v *validation) quota(c *Container, at setting.Path, r setting.Record, unprivileged bool) {
	if unprivileged && setting.Quota.Or(r, false) {
		v.fault(c, at.Join(setting.Quota.Path), "is not supported by unprivileged containers: remove it")
	}
}

// room checks that a family has an index for each member, also after layers were merged.
func (v *validation) room(c *Container, fam *setting.Family, n int) {
	if n > fam.Max+1 {
		v.fault(c, setting.Path{fam.Path}, "%d members are more than the %d that Proxmox has room for: remove some", n, fam.Max+1)
	}
}

// network checks addresses and gateways.
func (v *validation) network(c *Container) {
	interfaces, _ := c.Settings[setting.Network.Path].(setting.Members)
	v.room(c, setting.Network, len(interfaces))
	for _, name := range slices.Sorted(maps.Keys(interfaces)) {
		r, at := interfaces[name], setting.Path{setting.Network.Path, name}
		owner := name + " of container " + c.Name
		v.address(c, at, r, setting.IPv4, setting.Gateway4, owner)
		v.address(c, at, r, setting.IPv6, setting.Gateway6, owner)
		if mac, ok := setting.MAC.Get(r); ok {
			v.claim(c, at.Join(setting.MAC.Path), "MAC address", mac, strings.ToUpper(mac), owner)
		}
		// pve-container LXC/Config.pm, check_net: the node cannot do SLAAC for a guest.
		if setting.HostManaged.Or(r, false) && setting.IPv6.Or(r, "") == "auto" {
			v.fault(c, at.Join(setting.HostManaged.Path), "does not go with ipv6: auto, which Proxmox refuses: write an address, dhcp or manual")
		}
	}
}

// address checks the address of one version and its gateway. An address is taken once in a network, which is
// a bridge and a VLAN: the same one in another network is another machine's business.
func (v *validation) address(c *Container, at setting.Path, r setting.Record, ip, gw setting.Key[string], owner string) {
	text, written := ip.Get(r)
	prefix, err := netip.ParsePrefix(text)
	static := written && err == nil
	if static {
		key := fmt.Sprintf("%s\x00%d\x00%s", setting.Bridge.Or(r, ""), setting.VLAN.Or(r, 0), prefix.Addr())
		v.claim(c, at.Join(ip.Path), "address", prefix.Addr().String(), key, owner)
		if err := hostAddress(prefix); err != nil {
			v.fault(c, at.Join(ip.Path), "%s %w", text, err)
		}
	}
	gateway, ok := gw.Get(r)
	if !ok {
		return
	}
	addr, _ := netip.ParseAddr(gateway)
	switch {
	case !written:
		v.fault(c, at.Join(gw.Path), "stands without an address: write %s, or remove it", ip.Path)
	case !static:
		v.fault(c, at.Join(gw.Path), "means nothing with %s: %s: remove it, or write an address", ip.Path, text)
	case addr == prefix.Addr():
		v.fault(c, at.Join(gw.Path), "%s is the container's own address: write the router's", gateway)
	case !prefix.Contains(addr) && !prefix.IsSingleIP() && !addr.IsLinkLocalUnicast():
		v.fault(c, at.Join(gw.Path), "%s is outside the subnet %s: correct it, or the prefix length of the address", gateway, prefix.Masked())
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

// combinations checks settings that do not go together.
func (v *validation) combinations(c *Container) {
	if c.Init.Password.File != "" && c.Init.Password.Env != "" {
		v.fault(c, strings.Split(PasswordEnv.Path, "."), "is a second source of the password beside file: keep one")
	}
	if setting.Template.Or(c.Settings, false) && c.Power == Running {
		v.fault(c, setting.Path{setting.Template.Path}, "cannot run: a template is never started; write state: stopped")
	}
	devices, _ := c.Settings[setting.Devices.Path].(setting.Members)
	v.room(c, setting.Devices, len(devices))
	seen := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(devices)) {
		clean := path.Clean(id)
		if other, ok := seen[clean]; ok {
			v.fault(c, setting.Path{setting.Devices.Path, id}, "is the same device as %s: remove one", other)
		}
		seen[clean] = id
	}
}
