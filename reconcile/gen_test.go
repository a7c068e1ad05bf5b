package reconcile_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A generator makes random specs that a loader would take, for a node that has what lab.yaml has.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 17))} }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// some is a random part of what it is given, in a random order.
func some[T any](g generator, from ...T) []T {
	out := slices.Clone(from)
	g.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:g.IntN(len(out)+1)]
}

const template = "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst"

// state is a spec of up to n containers.
func (g generator) state(n int) *spec.State {
	var list []*spec.Container
	for i := range 1 + g.IntN(n) {
		list = append(list, g.container(proxmox.VMID(200+i)))
	}
	return spec.NewState(spec.Cluster{Name: "home", Owner: "tend"}, list)
}

func (g generator) container(id proxmox.VMID) *spec.Container {
	c := &spec.Container{
		Name: fmt.Sprintf("ct%d", id), ID: id, Node: "pve1", From: spec.From{Template: template},
		Settings: g.settings(id),
		Power:    pick(g, spec.Running, spec.Running, spec.Stopped, spec.Any),
		Restart:  pick(g, spec.RestartNever, spec.RestartWindow, spec.RestartNow),
	}
	if g.chance(10) {
		c.Lifecycle.Ignore = some(g, "description", "tags", "cores", "memory", "network", "mounts", "features")
	}
	if g.chance(10) {
		c.Init.SSHKeys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"}
	}
	c.Lifecycle.ForbidDestroy = g.chance(5)
	return c
}

// settings are values of any rows of the table, some that only root may set among them.
func (g generator) settings(id proxmox.VMID) setting.Record {
	r := setting.Record{}
	setting.RootFS.Set(r, g.root())
	for _, set := range []func(setting.Record, proxmox.VMID){
		g.setIdentity, g.setResources, g.setMounts, g.setNetwork, g.setSystem, g.setStart,
	} {
		set(r, id)
	}
	return r
}

// may sets a key in some of the cases.
func may[T any](g generator, r setting.Record, k setting.Key[T], values ...T) {
	if g.chance(30) {
		k.Set(r, pick(g, values...))
	}
}

func (g generator) setIdentity(r setting.Record, id proxmox.VMID) {
	may(g, r, setting.Hostname, fmt.Sprintf("Web%d.home.lan", id), fmt.Sprintf("ct%d", id))
	may(g, r, setting.Description, "media", "zwei\nZeilen", "# Titel\n\n100% = ü: a,b;c", "Pro\tTab", "#x", " lead")
	if g.chance(40) {
		setting.Tags.Set(r, some(g, "media", "b-1", "c.d", "Zoo", "0x", "a_b"))
	}
}

func (g generator) setResources(r setting.Record, _ proxmox.VMID) {
	may(g, r, setting.Cores, 1, 2)
	may(g, r, setting.CPULimit, 0, 0.5, 1, 2)
	may(g, r, setting.CPUUnits, 50, 100, 1024, 20000)
	may(g, r, setting.Memory, 16*setting.MiB, 512*setting.MiB, setting.GiB, 1500*setting.MiB)
	may(g, r, setting.Swap, 0, 256*setting.MiB, 512*setting.MiB)
}

func (g generator) root() setting.Record {
	r := g.volume()
	delete(r, setting.Backup.Path)
	delete(r, setting.KeepAttrs.Path)
	return r
}

// volume is a mount of a volume that Proxmox makes.
func (g generator) volume() setting.Record {
	r := setting.Record{}
	setting.Storage.Set(r, pick(g, "local", "local", "local-btrfs"))
	setting.Size.Set(r, setting.Bytes(1+g.IntN(4))*setting.GiB)
	for _, k := range []setting.Key[bool]{
		setting.ReadOnly, setting.Backup, setting.ACL, setting.KeepAttrs, setting.Replicate,
	} {
		if g.chance(15) {
			k.Set(r, g.chance(70))
		}
	}
	if g.chance(20) {
		setting.MountOptions.Set(r, append(some(g, "nodev", "nosuid", "discard"), "noatime"))
	}
	return r
}

func (g generator) setMounts(r setting.Record, _ proxmox.VMID) {
	m := setting.Members{}
	for _, at := range some(g, "/data", "/srv/www", "/var/lib/app", "/mnt/a b") {
		if g.chance(5) {
			bind := setting.Record{}
			setting.HostPath.Set(bind, pick(g, "/mnt", "/srv"))
			m[at] = bind
			continue
		}
		m[at] = g.volume()
	}
	if len(m) > 0 {
		r[setting.Mounts.Path] = m
	}
}

func (g generator) setNetwork(r setting.Record, id proxmox.VMID) {
	m := setting.Members{}
	for i, name := range some(g, "eth0", "eth1", "lan") {
		m[name] = g.nic(id, i)
	}
	if len(m) > 0 {
		r[setting.Network.Path] = m
	}
	if g.chance(25) {
		setting.NameServers.Set(r, some(g, "192.168.1.1", "fd00::1", "9.9.9.9"))
	}
	may(g, r, setting.SearchDomains, []string{"home.lan"}, []string{"home.lan", "lab.lan"})
}

func (g generator) nic(id proxmox.VMID, index int) setting.Record {
	r := setting.Record{}
	setting.Bridge.Set(r, "vmbr0")
	switch g.IntN(4) {
	case 0:
		setting.IPv4.Set(r, "dhcp")
	case 1:
		setting.IPv4.Set(r, fmt.Sprintf("10.%d.%d.20/24", id%250, index))
		if g.chance(50) {
			setting.Gateway4.Set(r, fmt.Sprintf("10.%d.%d.1", id%250, index))
		}
	case 2:
		setting.IPv6.Set(r, pick(g, "auto", "dhcp", "manual", fmt.Sprintf("fd00::%d:%d/64", id, index)))
	}
	may(g, r, setting.VLAN, 10, 30)
	may(g, r, setting.Firewall, true, false)
	may(g, r, setting.Rate, 1.5, 12)
	if g.chance(15) {
		setting.LinkDown.Set(r, g.chance(50))
		setting.MTU.Set(r, pick(g, int64(1280), int64(1400)))
	}
	if g.chance(15) {
		setting.MAC.Set(r, fmt.Sprintf("bc:24:11:00:%02x:%02x", int(id)%250, index))
	}
	return r
}

func (g generator) setSystem(r setting.Record, _ proxmox.VMID) {
	if g.chance(10) {
		setting.Unprivileged.Set(r, g.chance(70))
	}
	if g.chance(30) {
		f := setting.Record{}
		setting.Nesting.Set(f, g.chance(80))
		if g.chance(10) {
			setting.KeyCtl.Set(f, true)
		}
		setting.Features.Set(r, f)
	}
	if g.chance(10) {
		setting.OSType.Set(r, pick(g, "debian", "unmanaged"))
	}
	may(g, r, setting.TimeZone, "host", "Europe/Vienna")
	may(g, r, setting.Protection, true, true, false)
}

func (g generator) setStart(r setting.Record, _ proxmox.VMID) {
	may(g, r, setting.StartOnBoot, true, false)
	if g.chance(25) {
		s := setting.Record{"order": int64(1 + g.IntN(5))}
		setting.Startup.Set(r, s)
	}
	may(g, r, setting.Console, true, false)
	may(g, r, setting.ConsoleMode, "tty", "console", "shell")
	may(g, r, setting.TTYs, 0, 2, 6)
	may(g, r, setting.Debug, true, false)
	may(g, r, setting.EntryPoint, "/sbin/init", "/bin/sh -c 'x y'")
	may(g, r, setting.Env, map[string]string{"TZ": "UTC"}, map[string]string{"A": "1", "B": "x=y, z"})
}

// edited is a spec after some edits: some containers are as they were, some changed, gone or new.
func (g generator) edited(s *spec.State) *spec.State {
	var list []*spec.Container
	for _, c := range s.Containers {
		switch n := g.IntN(10); {
		case n == 0 && len(s.Containers) > 1:
		case n < 4:
			list = append(list, c)
		default:
			list = append(list, g.changed(c))
		}
	}
	if len(list) == 0 || g.chance(20) {
		list = append(list, g.container(proxmox.VMID(200+len(s.Containers)+g.IntN(5))))
	}
	return spec.NewState(s.Cluster, list)
}

// changed is a container with some of its settings changed.
func (g generator) changed(c *spec.Container) *spec.Container {
	out := *c
	other := g.container(c.ID)
	out.Settings = maps.Clone(c.Settings)
	for _, row := range setting.Container.Rows {
		path := row.SpecPath()
		if path == setting.RootFS.Path || path == setting.Unprivileged.Path || !g.chance(25) {
			continue
		}
		if v, ok := other.Settings[path]; ok {
			out.Settings[path] = v
		} else {
			delete(out.Settings, path)
		}
	}
	if g.chance(30) {
		root := maps.Clone(setting.RootFS.Or(c.Settings, nil))
		setting.Size.Set(root, setting.Bytes(1+g.IntN(6))*setting.GiB)
		setting.RootFS.Set(out.Settings, root)
	}
	if m, ok := out.Settings[setting.Mounts.Path].(setting.Members); ok && g.chance(40) {
		out.Settings[setting.Mounts.Path] = g.changedMounts(m)
	}
	if g.chance(30) {
		out.Power, out.Restart = other.Power, other.Restart
	}
	return &out
}

// changedMounts grows, shrinks or moves some mounts, and changes their options.
func (g generator) changedMounts(m setting.Members) setting.Members {
	out := setting.Members{}
	for _, at := range slices.Sorted(maps.Keys(m)) {
		r := maps.Clone(m[at])
		if _, sized := setting.Size.Get(r); sized && g.chance(50) {
			setting.Size.Set(r, setting.Bytes(1+g.IntN(6))*setting.GiB)
		}
		if g.chance(30) {
			setting.ReadOnly.Set(r, g.chance(50))
		}
		if !g.chance(10) {
			out[at] = r
		}
	}
	return out
}

// byHand are values that somebody may set on a container past the spec, in Proxmox's text.
func (g generator) byHand(id proxmox.VMID) proxmox.Values {
	v := proxmox.Values{}
	other := g.settings(id)
	for _, row := range setting.Container.Rows {
		i := row.Info()
		value, ok := other[i.Path]
		if _, family := row.(*setting.Family); family || !ok || !g.chance(30) || slices.Contains([]string{
			setting.RootFS.Path, setting.Unprivileged.Path, setting.Tags.Path,
		}, i.Path) {
			continue
		}
		if i.Path == setting.Features.Path {
			// What root alone may set and the next stop puts in force changes what a token may change then.
			value = maps.Clone(value.(setting.Record))
			delete(value.(setting.Record), setting.KeyCtl.Path)
		}
		if text := row.FormatWire(value); strings.TrimSpace(text) != "" {
			v[i.PVE] = text
		}
	}
	return v
}
