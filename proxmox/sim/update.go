package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// An update is one PUT of a container's configuration.
type update struct {
	call   *call
	set    map[string]string
	delete []string
	revert []string
}

// apply checks and carries out the update, in the order of pve-container API2/LXC/Config.pm, update_vm.
func (u update) apply(digest string) error {
	c, s := u.call, u.call.sim
	g, err := c.container()
	if err != nil {
		return err
	}
	if err := checkLock(g.conf); err != nil {
		return err
	}
	if err := checkDigest(digest, g.conf); err != nil {
		return err
	}
	mod := modification{call: c, id: g.id, old: g.conf, unprivileged: g.conf.on("unprivileged")}
	for _, keys := range [][]string{u.delete, u.revert} {
		if err := mod.checkDelete(keys); err != nil {
			return err
		}
	}
	if err := u.checkOptions(); err != nil {
		return err
	}
	if err := mod.checkSet(u.set); err != nil {
		return err
	}
	cf := g.conf.clone()
	ch := &change{
		sim: s, guest: g, conf: cf, running: g.running, modified: map[string]bool{}, errs: map[string]string{},
		warn: func(text string) { s.warn("%s", text) },
	}
	if err := ch.stage(u.set, u.delete, u.revert); err != nil {
		return err
	}
	ch.carryOut()
	if len(ch.errs) > 0 {
		return paramErrors(ch.errs)
	}
	if err := s.write(g, cf); err != nil {
		return err
	}
	return s.checkRuntime(g)
}

// checkOptions refuses unknown keys, and keys that are given twice.
func (u update) checkOptions() error {
	for _, k := range u.revert {
		if _, ok := confKeys()[k]; !ok {
			return paramError("revert", fmt.Sprintf("unknown option '%s'", k))
		}
		if _, ok := u.set[k]; ok {
			return paramError("revert", fmt.Sprintf("you can't use '-%s' and '-revert %s' at the same time", k, k))
		}
	}
	for _, k := range u.delete {
		if _, ok := confKeys()[k]; !ok {
			return paramError("delete", fmt.Sprintf("unknown option '%s'", k))
		}
		if _, ok := u.set[k]; ok {
			return paramError("delete", fmt.Sprintf("you can't use '-%s' and -delete %s' at the same time", k, k))
		}
		if slices.Contains(u.revert, k) {
			return paramError("delete", fmt.Sprintf("you can't use '-delete %s' and '-revert %s' at the same time", k, k))
		}
	}
	return nil
}

// A change is an update that passed its checks and now goes into a config, which is written only if all of it
// went well.
type change struct {
	sim      *Sim
	guest    *guest
	conf     *conf
	running  bool
	modified map[string]bool   // nil: all that is pending
	errs     map[string]string // by key
	warn     func(string)
	log      func(...string) // what tools print; nil: nowhere
}

func (ch *change) id() proxmox.VMID { return ch.guest.id }

func (ch *change) mac() string { return ch.sim.newMAC(ch.guest.id) }

func (ch *change) print(lines ...string) {
	if ch.log != nil {
		ch.log(lines...)
	}
}

// stage writes the update to the pending section (LXC/Config.pm, update_pct_config).
func (ch *change) stage(set map[string]string, del, revert []string) error {
	for _, k := range revert {
		delete(ch.conf.pending.values, k)
		ch.conf.dropPendingDelete(k)
	}
	for _, k := range del {
		if err := ch.stageDelete(k); err != nil {
			return err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(set)) {
		ch.modified[k] = true
		v, err := ch.prepare(k, set[k])
		if err != nil {
			return err
		}
		ch.conf.pending.values[k] = v
		ch.conf.dropPendingDelete(k)
	}
	ch.conf.cleanPending()
	return nil
}

func (ch *change) stageDelete(k string) error {
	_, live := ch.conf.values[k]
	_, pending := ch.conf.pending.values[k]
	if !live && !pending {
		ch.warn(fmt.Sprintf("cannot delete '%s' - not set in current configuration!", k))
		return nil
	}
	ch.modified[k] = true
	switch {
	case k == "memory" || k == "rootfs" || k == "ostype":
		return dief("unable to delete required option '%s'", k)
	case isFamily(k, "unused") || isFamily(k, "mp"):
		if err := checkProtection(ch.conf, fmt.Sprintf("can't remove CT %d drive '%s'", ch.id(), k)); err != nil {
			return err
		}
	case k == "unprivileged":
		return dief("unable to delete read-only option: '%s'", k)
	}
	ch.conf.addPendingDelete(k)
	return nil
}

// prepare checks a value for what the schema cannot know, and brings it into the form in which it is kept.
func (ch *change) prepare(k, v string) (string, error) {
	switch {
	case isMountKey(k):
		return v, ch.checkMount(k, v)
	case k == "hookscript":
		return v, ch.sim.checkHookscript(ch.guest.node, v)
	case k == "nameserver" || k == "searchdomain":
		return strings.Join(splitList(v), " "), nil
	case k == "unprivileged":
		return "", dief("unable to modify read-only option: '%s'", k)
	case k == "tags":
		return uniqueTags(v, ch.sim.st.Datacenter), nil
	case isFamily(k, "net"):
		return v, ch.checkNetwork(k, v)
	case isFamily(k, "dev"):
		return v, ch.checkDevice(k, v)
	}
	return v, nil
}

func (ch *change) checkMount(k, v string) error {
	if err := checkProtection(ch.conf, fmt.Sprintf("can't update CT %d drive '%s'", ch.id(), k)); err != nil {
		return err
	}
	m, err := parseMount(k, v)
	if err != nil {
		return err
	}
	if m.kind == volumeMount {
		id, _, err := splitVolid(m.volume)
		if err != nil {
			return err
		}
		cfg, err := ch.sim.storage(id)
		if err != nil {
			return err
		}
		if !cfg.holds("rootdir") {
			return dief("storage '%s' does not allow content type 'rootdir' (Container)", id)
		}
	}
	return checkIDMap(m.idMap())
}

// checkIDMap refuses entries that overlap (LXC.pm, validate_id_maps).
func checkIDMap(entries []string) error {
	type span struct{ ct, host, n int64 }
	seen := map[string][]span{}
	for _, e := range entries {
		f := strings.Split(e, ":")
		if len(f) != 4 {
			return dief("failed to parse mount point idmap: %s", e)
		}
		sp := span{int64(mustFloat(f[1])), int64(mustFloat(f[2])), int64(mustFloat(f[3]))}
		for _, o := range seen[f[0]] {
			if sp.ct < o.ct+o.n && o.ct < sp.ct+sp.n || sp.host < o.host+o.n && o.host < sp.host+sp.n {
				return dief("invalid map entry '%s:%d:%d:%d': overlaps with '%s:%d:%d:%d'",
					f[0], sp.ct, sp.host, sp.n, f[0], o.ct, o.host, o.n)
			}
		}
		seen[f[0]] = append(seen[f[0]], sp)
	}
	return nil
}

// checkHookscript is pve-guest-common GuestHelpers.pm, check_hookscript. A snippet that no root wrote is executable.
func (s *Sim) checkHookscript(node, volid string) error {
	n, err := s.parseVolume(volid)
	switch {
	case err != nil:
		return err
	case n.kind != "snippets":
		return dief("'%s' is not in the snippets directory", volid)
	case !slices.Contains(s.st.Snippets, volid):
		return dief("script '%s' does not exist", volid)
	}
	if f := s.st.Nodes[node].Files[s.volumePath(volid)]; f != nil && f.Mode&0o111 == 0 {
		return dief("script '%s' is not executable", volid)
	}
	return nil
}

func (ch *change) checkNetwork(k, v string) error {
	net, err := netProps.parse(v, "")
	if err != nil {
		return err
	}
	if mtu := net["mtu"]; truthy(mtu) {
		bridge, err := ch.sim.bridgeMTU(ch.guest.node, net["bridge"])
		if err != nil {
			return err
		}
		if int(mustFloat(mtu)) > bridge {
			return dief("%s: MTU size '%s' is bigger than bridge MTU '%d'", k, mtu, bridge)
		}
	}
	if net["link_down"] != "1" && truthy(net["host-managed"]) && net["ip6"] == "auto" {
		return dief("%s: SLAAC is not supported for host-managed network configuration.", k)
	}
	return nil
}

// bridgeMTU is pve-common Network.pm, read_bridge_mtu.
func (s *Sim) bridgeMTU(nodeName, bridge string) (int, error) {
	b := s.st.Nodes[nodeName].Bridges[bridge]
	if b == nil {
		return 0, dief("bridge '%s' does not exist", bridge)
	}
	return b.MTU, nil
}

func (ch *change) checkDevice(k, v string) error {
	path, err := devicePathOf(k, v)
	if err != nil {
		return err
	}
	return ch.sim.deviceExists(ch.guest.node, path)
}

func devicePathOf(k, v string) (string, error) {
	d, err := deviceProps.parse(v, "")
	if err != nil {
		return "", err
	}
	if d["path"] == "" {
		return "", dief("Path has to be defined")
	}
	return d["path"], nil
}

// deviceExists is pve-container LXC/Tools.pm, get_device_mode_and_rdev.
func (s *Sim) deviceExists(nodeName, path string) error {
	if slices.Contains(usualDevices, path) || slices.Contains(s.st.Nodes[nodeName].Devices, path) {
		return nil
	}
	return dief("Device %s does not exist", path)
}

// usualDevices are device nodes that every node has.
var usualDevices = []string{
	"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/fuse", "/dev/net/tun",
	"/dev/kvm", "/dev/kmsg", "/dev/console", "/dev/ppp", "/dev/loop-control",
}

// usualDirectories are the roots of what may be bind mounted on every node.
var usualDirectories = []string{"/srv", "/opt", "/mnt", "/media", "/home", "/root", "/usr", "/var", "/etc", "/tmp", "/run"}

// directoryExists reports whether a path of the node exists.
func (s *Sim) directoryExists(nodeName, path string) bool {
	for _, roots := range [][]string{usualDirectories, s.st.Nodes[nodeName].Directories} {
		for _, r := range roots {
			if path == r || strings.HasPrefix(path, strings.TrimSuffix(r, "/")+"/") {
				return true
			}
		}
	}
	return false
}

// checkRuntime is what fails when the configuration for LXC is written, after the change is in force already
// (LXC.pm, update_lxc_config).
func (s *Sim) checkRuntime(g *guest) error {
	c := g.conf
	if c.on("template") {
		return nil
	}
	if !truthy(c.values["arch"]) {
		return dieAt("LXC.pm", 729, "missing 'arch' - internal error")
	}
	if !truthy(c.values["ostype"]) {
		return dieAt("LXC.pm", 735, "missing 'ostype' - internal error")
	}
	for i := range maxDevices {
		k := fmt.Sprintf("dev%d", i)
		v, ok := c.values[k]
		if !ok {
			continue
		}
		path, err := devicePathOf(k, v)
		if err != nil {
			return err
		}
		if err := s.deviceExists(g.node, path); err != nil {
			return err
		}
	}
	for i := range maxNetworks {
		v, ok := c.values[fmt.Sprintf("net%d", i)]
		if !ok {
			continue
		}
		net, err := parseNetwork(v, func() string { return s.newMAC(g.id) })
		if err != nil {
			return err
		}
		if net["bridge"] == "" {
			continue
		}
		if _, err := s.bridgeMTU(g.node, net["bridge"]); err != nil {
			return err
		}
	}
	return nil
}

// uniqueTags brings tags into the datacenter's style (GuestHelpers.pm, get_unique_tags).
func uniqueTags(text string, datacenter map[string]any) string {
	style := propertyOption(datacenter, "tag-style")
	sensitive := truthy(style["case-sensitive"])
	tags := splitList(text)
	if style["ordering"] != "config" {
		slices.SortStableFunc(tags, func(a, b string) int {
			if !sensitive {
				a, b = strings.ToLower(a), strings.ToLower(b)
			}
			return strings.Compare(a, b)
		})
	}
	var out []string
	seen := map[string]bool{}
	for _, t := range tags {
		if !sensitive {
			t = strings.ToLower(t)
		}
		if !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return strings.Join(out, ";")
}

// propertyOption reads a datacenter option that is a property string, given as text or as a map.
func propertyOption(datacenter map[string]any, key string) map[string]string {
	out := map[string]string{}
	switch v := datacenter[key].(type) {
	case string:
		for part := range strings.SplitSeq(v, ",") {
			k, val, _ := strings.Cut(part, "=")
			out[k] = val
		}
	case map[string]any:
		for k, val := range v {
			out[k] = fmt.Sprint(val)
		}
	}
	return out
}
