package sim

import (
	"fmt"
	"strconv"
	"sync"
)

// A keyRule says what one key of a container's configuration is (pve-container LXC/Config.pm, $confdesc).
type keyRule struct {
	schema *schema
	priv   string // privilege to set or delete it; empty: VM.Config.Options
	fast   bool   // a change is live at once, without any action (LXC_FASTPLUG_OPTIONS)
	hidden bool   // not a parameter: parent, snaptime
}

// How many of each family there are (LXC/Config.pm, $MAX_*).
const (
	maxMounts   = 256
	maxDevices  = 256
	maxNetworks = 32
	maxUnused   = maxMounts
)

const (
	unitText  = `[-_.\pL\pM\pN_]+`
	plainText = `[^\x00-\x08\x0a-\x1F\x7F]`
)

var mountOption = `(?:discard|lazytime|noatime|nodev|noexec|nosuid)`

var rootfsProps = props{
	"volume":       format("pve-lxc-mp-string").need().isDefault(),
	"size":         format("disk-size"),
	"acl":          boolean(),
	"idmap":        matching(`passthrough|[ug]:[0-9]+:[0-9]+:[1-9][0-9]*(?:;[ug]:[0-9]+:[0-9]+:[1-9][0-9]*)*`),
	"mountoptions": matching(mountOption + `(?:;` + mountOption + `)*`),
	"quota":        boolean(),
	"replicate":    boolean(),
	"ro":           boolean(),
	"shared":       boolean(),
}

var mountProps = func() props {
	p := props{
		"mp":        format("pve-lxc-mp-string").need(),
		"backup":    boolean(),
		"keepattrs": boolean(),
	}
	for k, s := range rootfsProps {
		p[k] = s
	}
	return p
}()

var unusedProps = props{"volume": format("pve-volume-id").need().isDefault()}

var netProps = props{
	"name":         matching(unitText).need(),
	"bridge":       matching(unitText),
	"firewall":     boolean(),
	"gw":           format("ipv4"),
	"gw6":          format("ipv6"),
	"host-managed": boolean(),
	"hwaddr":       format("mac-addr"),
	"ip":           format("pve-ipv4-config"),
	"ip6":          format("pve-ipv6-config"),
	"link_down":    boolean(),
	"mtu":          integer().from("64").to("65535"),
	"rate":         number(),
	"tag":          integer().from("1").to("4094"),
	"trunks":       matching(`[0-9]+(?:;[0-9]+)*`),
	"type":         enum("veth"),
}

var deviceProps = props{
	"path":       format("pve-lxc-dev-string").isDefault(),
	"mode":       matching(`0[0-7]{3}`),
	"uid":        integer().from("0"),
	"gid":        integer().from("0"),
	"deny-write": boolean(),
}

var featureProps = props{
	"mount":        matching(`[a-zA-Z0-9_; ]+`),
	"nesting":      boolean(),
	"keyctl":       boolean(),
	"fuse":         boolean(),
	"mknod":        boolean(),
	"force_rw_sys": boolean(),
}

// Locks a container can carry.
var lockNames = []string{
	"backup", "create", "destroyed", "disk", "fstrim", "migrate", "mounted", "rollback", "snapshot", "snapshot-delete",
}

const (
	privCPU     = "VM.Config.CPU"
	privDisk    = "VM.Config.Disk"
	privMemory  = "VM.Config.Memory"
	privNetwork = "VM.Config.Network"
	privOptions = "VM.Config.Options"
)

// singleKeys are the keys that stand alone; families are added by confKeys.
var singleKeys = map[string]keyRule{
	"lock":   {schema: enum(lockNames...), fast: true},
	"onboot": {schema: boolean(), fast: true},
	"startup": {
		schema: format("pve-startup-order"), fast: true,
	},
	"template": {schema: boolean()},
	"arch":     {schema: enum("amd64", "i386", "arm64", "armhf", "riscv32", "riscv64")},
	"ostype": {schema: enum("debian", "devuan", "ubuntu", "centos", "fedora", "opensuse", "archlinux", "alpine",
		"gentoo", "nixos", "unmanaged")},
	"console":      {schema: boolean()},
	"tty":          {schema: integer().from("0").to("6")},
	"cores":        {schema: integer().from("1").to("8192"), priv: privCPU, fast: true},
	"cpulimit":     {schema: number().from("0").to("8192"), priv: privCPU},
	"cpuunits":     {schema: integer().from("0").to("500000"), priv: privCPU},
	"memory":       {schema: integer().from("16"), priv: privMemory},
	"swap":         {schema: integer().from("0"), priv: privMemory},
	"hostname":     {schema: format("dns-name").atMost(255), priv: privNetwork, fast: true},
	"description":  {schema: str().atMost(8192), fast: true},
	"searchdomain": {schema: format("dns-name-list"), priv: privNetwork},
	"nameserver":   {schema: format("lxc-ip-with-ll-iface-list"), priv: privNetwork},
	"timezone":     {schema: format("pve-ct-timezone")},
	"rootfs":       {schema: parts(rootfsProps), priv: privDisk},
	"parent":       {schema: format("pve-configid").atMost(40), hidden: true},
	"snaptime":     {schema: integer().from("0"), hidden: true},
	"cmode":        {schema: enum("shell", "console", "tty")},
	"entrypoint":   {schema: matching(plainText + `+`)},
	"env":          {schema: matching(`(?:\w+=` + plainText + `*)(?:\x00\w+=` + plainText + `*)*`)},
	"protection":   {schema: boolean(), fast: true},
	"unprivileged": {schema: boolean()},
	"features":     {schema: parts(featureProps)},
	"hookscript":   {schema: format("pve-volume-id"), fast: true},
	"tags":         {schema: format("pve-tag-list"), fast: true},
	"debug":        {schema: boolean()},
}

// confKeys is the table of all keys, families spelled out.
var confKeys = sync.OnceValue(func() map[string]keyRule {
	keys := map[string]keyRule{}
	for k, r := range singleKeys {
		keys[k] = r
	}
	for _, f := range []struct {
		name string
		n    int
		rule keyRule
	}{
		{"mp", maxMounts, keyRule{schema: parts(mountProps), priv: privDisk}},
		{"unused", maxUnused, keyRule{schema: parts(unusedProps)}},
		{"net", maxNetworks, keyRule{schema: parts(netProps), priv: privNetwork}},
		{"dev", maxDevices, keyRule{schema: parts(deviceProps)}},
	} {
		for i := range f.n {
			keys[f.name+strconv.Itoa(i)] = f.rule
		}
	}
	return keys
})

// confProps are the keys that create and update take as parameters, with own added
// (LXC/Config.pm, json_config_properties).
func confProps(own props) props {
	p := props{}
	for k, r := range confKeys() {
		if !r.hidden {
			p[k] = r.schema
		}
	}
	for k, s := range own {
		p[k] = s
	}
	return p
}

// mountKeys are rootfs and mp0 to mp255, in the order in which Proxmox walks them.
var mountKeys = sync.OnceValue(func() []string {
	keys := make([]string, 0, maxMounts+1)
	keys = append(keys, "rootfs")
	for i := range maxMounts {
		keys = append(keys, "mp"+strconv.Itoa(i))
	}
	return keys
})

var unusedKeys = sync.OnceValue(func() []string {
	keys := make([]string, 0, maxUnused)
	for i := range maxUnused {
		keys = append(keys, "unused"+strconv.Itoa(i))
	}
	return keys
})

// storedType checks a value read from a config file and gives the text Proxmox goes on with
// (LXC/Config.pm, check_type). A value that fails is kept as it stands, after a warning.
func storedType(key, text string) (string, error) {
	rule, ok := confKeys()[key]
	if !ok {
		return text, fmt.Errorf("unknown setting '%s'", key)
	}
	switch rule.schema.typ {
	case "boolean":
		if b, ok := parseBoolean(text); ok {
			return b, nil
		}
		return text, fmt.Errorf("type check ('boolean') failed - got '%s'", text)
	case "integer":
		if !digitsText.MatchString(text) {
			return text, fmt.Errorf("type check ('integer') failed - got '%s'", text)
		}
		return trimZeros(text), nil
	case "number":
		if !storedNum.MatchString(text) {
			return text, fmt.Errorf("type check ('number') failed - got '%s'", text)
		}
		return text, nil
	}
	return text, rule.schema.checkFormat("", text)
}

// trimZeros is Perl's int() of digits.
func trimZeros(s string) string {
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	return s
}

// jsonValue gives a stored text the JSON type in which Proxmox answers it.
func jsonValue(key, text string) any {
	rule, ok := confKeys()[key]
	if ok && (rule.schema.typ == "integer" || rule.schema.typ == "boolean") && digitsText.MatchString(text) {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	}
	return text
}
