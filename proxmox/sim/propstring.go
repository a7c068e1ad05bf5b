package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A property string is read and printed by its schema here, with Proxmox's texts. Package property does the
// same for clients, who need no texts but the order that was given.

// defaultKey is the part that is written without its key, or empty.
func (p props) defaultKey() string {
	for k, s := range p {
		if s.defaultKey {
			return k
		}
	}
	return ""
}

// parse reads a property string; booleans become 1 or 0 (JSONSchema.pm, parse_property_string).
func (p props) parse(text, path string) (map[string]string, error) {
	res := map[string]string{}
	defaultSeen := false
	for _, part := range dropTrailingEmpty(strings.Split(text, ",")) {
		if strings.TrimSpace(part) == "" {
			continue
		}
		key, val, found := strings.Cut(part, "=")
		switch {
		case found && key != "" && val != "" && val[0] != '\n':
			if _, dup := res[key]; dup {
				return nil, dief("duplicate key in comma-separated list property: %s", key)
			}
			res[key] = p.normal(key, val)
		case found:
			return nil, dief("missing key in comma-separated list property")
		default:
			def := p.defaultKey()
			if def == "" {
				return nil, dief("value without key, but schema does not define a default key")
			}
			if defaultSeen || truthy(res[def]) {
				return nil, dief("duplicate key in comma-separated list property: %s", def)
			}
			defaultSeen = true
			res[def] = p.normal(def, part)
		}
	}
	if errs := p.verifyParts(res, path); len(errs) > 0 {
		return nil, &fault{status: 500, text: "format error\n", params: errs}
	}
	return res, nil
}

func (p props) normal(key, val string) string {
	if s := p[key]; s != nil && s.typ == "boolean" {
		val, _ = parseBoolean(val)
	}
	return val
}

func (p props) verifyParts(res map[string]string, path string) map[string]string {
	vals := make(params, len(res))
	for k, v := range res {
		vals[k] = value{text: v}
	}
	errs := map[string]string{}
	checkObject(path, p, vals, errs)
	return errs
}

// print writes a property string: the default key first, then the required keys, then the rest, each in
// order; sizes, which stand in bytes, with their unit (JSONSchema.pm, print_property_string).
func (p props) print(vals map[string]string) string {
	var out []string
	def := p.defaultKey()
	if v, ok := vals[def]; ok && def != "" {
		out = append(out, v)
	}
	for _, required := range []bool{true, false} {
		for _, k := range slices.Sorted(maps.Keys(vals)) {
			if s := p[k]; k != def && s != nil && s.required == required {
				out = append(out, k+"="+vals[k])
			}
		}
	}
	return strings.Join(out, ",")
}

// A mount is a parsed rootfs, mpN or unusedN.
type mount struct {
	key    string
	parts  map[string]string
	volume string
	size   int64
	sized  bool
	kind   mountKind
}

type mountKind int

const (
	volumeMount mountKind = iota
	bindMount
	deviceMount
)

func (k mountKind) String() string { return [...]string{"volume", "bind", "device"}[k] }

// classify is pve-container LXC/Config.pm, classify_mountpoint.
func classify(volume string) mountKind {
	switch {
	case strings.HasPrefix(volume, "/dev/"):
		return deviceMount
	case strings.HasPrefix(volume, "/"):
		return bindMount
	}
	return volumeMount
}

// parseMount is LXC/Config.pm, parse_volume.
func parseMount(key, text string) (*mount, error) {
	p := mountProps
	switch {
	case key == "rootfs":
		p = rootfsProps
	case strings.HasPrefix(key, "unused"):
		p = unusedProps
	}
	vals, err := p.parse(text, "")
	if err != nil {
		return nil, err
	}
	m := &mount{key: key, parts: vals, volume: vals["volume"], kind: classify(vals["volume"])}
	if s, ok := vals["size"]; ok {
		m.size, m.sized = parseSize(s)
	}
	if key == "rootfs" {
		vals["mp"] = "/"
	}
	return m, nil
}

// print is LXC/Config.pm, print_volume.
func (m *mount) print() string {
	vals := maps.Clone(m.parts)
	vals["volume"] = m.volume
	delete(vals, "size")
	if m.sized {
		vals["size"] = formatSize(m.size)
	}
	if strings.HasPrefix(m.key, "unused") {
		return m.volume
	}
	if m.key == "rootfs" {
		delete(vals, "mp")
	}
	return mountProps.print(vals)
}

// on reports whether a boolean part is set.
func (m *mount) on(part string) bool { return truthy(m.parts[part]) }

// backedUp reports whether vzdump takes the volume (LXC/Config.pm, mountpoint_backup_enabled).
func (m *mount) backedUp() bool {
	return m.key == "rootfs" || m.kind == volumeMount && m.on("backup")
}

// idMap gives the entries of an idmap other than passthrough.
func (m *mount) idMap() []string {
	text, ok := m.parts["idmap"]
	if !ok || text == "passthrough" {
		return nil
	}
	return strings.Split(text, ";")
}

// A network is a parsed netN.
type network map[string]string

// parseNetwork is LXC/Config.pm, parse_lxc_network; mac makes an address where none is given.
func parseNetwork(text string, mac func() string) (network, error) {
	if text == "" {
		return network{}, nil
	}
	vals, err := netProps.parse(text, "")
	if err != nil {
		return nil, err
	}
	vals["type"] = "veth"
	if !truthy(vals["hwaddr"]) {
		vals["hwaddr"] = mac()
	}
	return vals, nil
}

func (n network) print() string { return netProps.print(n) }

// differ reports whether one of the parts differs, where an absent one is "".
func (n network) differ(other network, parts ...string) bool {
	for _, p := range parts {
		if n[p] != other[p] {
			return true
		}
	}
	return false
}

// indexed splits "mp12" into "mp" and 12.
func indexed(key string) (family string, index int, ok bool) {
	i := len(key)
	for i > 0 && key[i-1] >= '0' && key[i-1] <= '9' {
		i--
	}
	if i == len(key) || i == 0 {
		return key, 0, false
	}
	_, err := fmt.Sscanf(key[i:], "%d", &index)
	return key[:i], index, err == nil
}

// isFamily reports whether key is family with an index.
func isFamily(key, family string) bool {
	f, _, ok := indexed(key)
	return ok && f == family
}

// isMountKey reports whether key is rootfs or mpN.
func isMountKey(key string) bool { return key == "rootfs" || isFamily(key, "mp") }
