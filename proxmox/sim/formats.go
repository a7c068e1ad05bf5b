package sim

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// checkFormat checks a value against a named format; name-list checks each element, name-opt passes an
// empty value (pve-common JSONSchema.pm, check_format).
func checkFormat(name, text string) error {
	if base, ok := strings.CutSuffix(name, "-list"); ok {
		for _, e := range splitList(text) {
			if err := formats[base](e); err != nil {
				return err
			}
		}
		return nil
	}
	if base, ok := strings.CutSuffix(name, "-opt"); ok {
		if !truthy(text) {
			return nil
		}
		name = base
	}
	return formats[name](text)
}

// formats are the named formats by their name in Proxmox, each with its text.
var formats = map[string]func(string) error{
	"pve-vmid":       matches(`[1-9][0-9]{2,8}`, "value does not look like a valid VM ID"),
	"pve-node":       matches(`[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?`, "value does not look like a valid node name"),
	"pve-configid":   quoted(`(?i)[a-z][a-z0-9_-]+`, "invalid configuration ID '%'"),
	"pve-storage-id": storageID,
	"dns-name": matches(`([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?`,
		"value does not look like a valid DNS name"),
	"mac-addr": matches(`(?i)[a-f0-9][02468ace](?::[a-f0-9]{2}){5}`, "value does not look like a valid unicast MAC address"),
	"ipv4":     check(isIPv4, "value does not look like a valid IPv4 address"),
	"ipv6":     check(isIPv6, "value does not look like a valid IPv6 address"),
	"ip":       check(isIP, "value does not look like a valid IP address"),
	"pve-ipv4-config": check(func(s string) bool { return s == "dhcp" || s == "manual" || isCIDR(s, isIPv4, 32) },
		"value does not look like a valid ipv4 network configuration"),
	"pve-ipv6-config": check(func(s string) bool {
		return s == "auto" || s == "dhcp" || s == "manual" || isCIDR(s, isIPv6, 128)
	}, "value does not look like a valid ipv6 network configuration"),
	"lxc-ip-with-ll-iface": check(isIPWithIface, "value does not look like a valid IP address"),
	"disk-size": func(s string) error {
		if _, ok := parseSize(s); !ok {
			return dief("value does not look like a valid disk size: %s", s)
		}
		return nil
	},
	"pve-startup-order":  check(isStartupOrder, "unable to parse startup options"),
	"pve-tag":            matches(`(?i)[a-z0-9_][a-z0-9_\-+.]*`, "invalid characters in tag"),
	"pve-ct-timezone":    timezone,
	"pve-lxc-mp-string":  mountPath,
	"pve-lxc-dev-string": devicePath,
	"pve-volume-id":      volumeID,
	"pve-poolid":         poolID,
	"pve-storage-content": func(s string) error {
		if !contentTypes[s] {
			return dief("invalid content type '%s'", s)
		}
		return nil
	},
	"pve-task-status-type": quoted(`(?i)(ok|error|warning|unknown)`, "invalid status '%'"),
	"pve-calendar-event":   calendarEvent,
	"pve-day-of-week":      quoted(`(mon|tue|wed|thu|fri|sat|sun)`, "invalid day '%'"),
	"pve-roleid":           quoted(`[A-Za-z0-9.\-_]+`, "role name '%' contains invalid characters"),
	"pve-groupid":          quoted(`[A-Za-z0-9.\-_]+`, "group name '%' contains invalid characters"),
	"pve-userid":           quoted(`[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+`, "value '%' does not look like a valid user name"),
	"pve-tokenid": quoted(`[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+`,
		"value '%' does not look like a valid token ID"),
	"pve-priv": func(s string) error {
		if !validPrivileges()[s] {
			return dief("invalid privilege '%s'", s)
		}
		return nil
	},
	"email": matches(`[\w+\-~]+(\.[\w+\-~]+)*@[a-zA-Z0-9\-]+(\.[a-zA-Z0-9\-]+)*`,
		"value does not look like a valid email address"),
	"email-or-username": matches(`[\w+\-~]+(\.[\w+\-~]+)*(@[a-zA-Z0-9\-]+(\.[a-zA-Z0-9\-]+)*)?`,
		"value does not look like a valid email address or user name"),
}

func matches(re, text string) func(string) error {
	rx := pat(re)
	return check(rx.MatchString, text)
}

// quoted is matches with a text that holds the value in place of %.
func quoted(re, text string) func(string) error {
	rx := pat(re)
	return func(s string) error {
		if !rx.MatchString(s) {
			return &fault{status: 500, text: strings.Replace(text, "%", s, 1) + "\n"}
		}
		return nil
	}
}

func check(ok func(string) bool, text string) func(string) error {
	return func(s string) error {
		if !ok(s) {
			return &fault{status: 500, text: text + "\n"}
		}
		return nil
	}
}

var storageIDText = pat(`(?i)[a-z][a-z0-9\-_.]*[a-z0-9]`)

func storageID(s string) error {
	if runes(s) < 2 {
		return dief("storage ID '%s' cannot be shorter than 2 characters", s)
	}
	if !storageIDText.MatchString(s) {
		return dief("storage ID '%s' contains illegal characters", s)
	}
	return nil
}

var ipv4Text = regexp.MustCompile(`^(?:(?:25[0-5]|(?:2[0-4]|1[0-9]|[1-9])?[0-9])\.){3}(?:25[0-5]|(?:2[0-4]|1[0-9]|[1-9])?[0-9])$`)

func isIPv4(s string) bool { return ipv4Text.MatchString(strings.TrimSuffix(s, "\n")) }

func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6() && a.Zone() == ""
}

func isIP(s string) bool { return isIPv4(s) || isIPv6(s) }

// isCIDR checks address/length with a length from 8 (JSONSchema.pm, pve_verify_cidrv4).
func isCIDR(s string, addr func(string) bool, bits int) bool {
	a, l, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(l)
	return ok && err == nil && digitsText.MatchString(l) && addr(a) && n > 7 && n <= bits
}

var ifaceText = pat(`(?i)[a-z][a-z0-9_]{1,20}([:.][0-9]+)?`)

func isIPWithIface(s string) bool {
	if a, iface, ok := strings.Cut(s, "%"); ok && strings.HasPrefix(a, "fe80:") {
		return isIPv6(a) && ifaceText.MatchString(iface)
	}
	return isIP(s)
}

var startupPart = regexp.MustCompile(`^(?:(?:order=)?[0-9]+|up=[0-9]+|down=[0-9]+)\n?$`)

// isStartupOrder is JSONSchema.pm, pve_parse_startup_order.
func isStartupOrder(s string) bool {
	if !truthy(s) {
		return false
	}
	for p := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(p) != "" && !startupPart.MatchString(p) {
			return false
		}
	}
	return true
}

var badMountPath = regexp.MustCompile(`/\.\.?/|/\.\.?\n?$|^\.\./`)

func mountPath(s string) error {
	if strings.Contains(s, ".") && badMountPath.MatchString(s) {
		return dief("%s contains illegal character sequences", s)
	}
	return nil
}

var badDevicePath = regexp.MustCompile(`/\.\.?(?:/|\n?$)`)

func devicePath(s string) error {
	if badDevicePath.MatchString(s) || !strings.HasPrefix(s, "/dev/") {
		return dief("%s is not a valid device path", s)
	}
	return nil
}

func volumeID(s string) error {
	if !volidText.MatchString(s) {
		return dief("unable to parse volume ID '%s'", s)
	}
	return nil
}

var poolIDText = pat(`[A-Za-z0-9.\-_]+(?:/[A-Za-z0-9.\-_]+){0,2}`)

func poolID(s string) error {
	if len(dropTrailingEmpty(strings.Split(s, "/"))) > 3 {
		return dief("pool name '%s' nested too deeply (max levels = 3)", s)
	}
	if !poolIDText.MatchString(s) {
		return dief("pool name '%s' contains invalid characters", s)
	}
	return nil
}

// zones are the names in zone.tab, the only ones besides UTC that Proxmox takes.
var zones = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for z := range strings.FieldsSeq(zoneNames) {
		out[z] = true
	}
	return out
})

func timezone(s string) error {
	if s != "host" && s != "UTC" && !zones()[s] {
		return dief("invalid time zone '%s'", s)
	}
	return nil
}

var contentTypes = map[string]bool{
	"images": true, "rootdir": true, "vztmpl": true, "iso": true, "backup": true, "snippets": true,
	"import": true, "none": true,
}
