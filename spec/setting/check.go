package setting

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox/property"
)

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

func atMost(n, limit int) error {
	if n > limit {
		return fmt.Errorf("has %d characters, %d are allowed", n, limit)
	}
	return nil
}

// dnsNameRE is pve-common JSONSchema.pm, pve_verify_dns_name.
var dnsNameRE = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$`)

func checkDNSName(s string) error {
	if !dnsNameRE.MatchString(s) {
		return errors.New("is not a DNS name: letters, digits and hyphens, in parts joined by dots")
	}
	return atMost(len(s), 255)
}

func dnsName() Type[string] {
	t := Text("DNS name", checkDNSName)
	t.Schema = Schema{"type": "string", "pattern": dnsNameRE.String(), "maxLength": 255}
	return t
}

// tagRE is pve-common JSONSchema.pm, pve_verify_tag.
var tagRE = regexp.MustCompile(`^(?i)[a-z0-9_][a-z0-9_\-+.]*$`)

func checkTag(s string) error {
	if !tagRE.MatchString(s) {
		return errors.New("is not a tag: it begins with a letter, digit or _, followed by letters, digits and _ . + -")
	}
	return nil
}

// Words splits a list as Proxmox does: at commas, semicolons and white space.
func Words(s string) []string { return property.SplitList(s) }

// Lines splits a text into its lines, without empty ones.
func Lines(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' }) }

// normalTags is what Proxmox makes of tags (pve-guest-common GuestHelpers.pm, get_unique_tags).
func normalTags(tags []string, f Facts) []string {
	var out []string
	for _, t := range tags {
		if !f.TagStyle.CaseSensitive {
			t = strings.ToLower(t)
		}
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	if !f.TagStyle.KeepOrder {
		slices.Sort(out)
	}
	return out
}

func parseAddr(s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

func checkIPLinkLocal(s string) error {
	a := parseAddr(s)
	if !a.IsValid() || a.Zone() != "" && !a.IsLinkLocalUnicast() {
		return errors.New("is not an IP address")
	}
	return nil
}

func checkPrefix(s, version string) error {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4() != (version == "IPv4") || p.Bits() == 0 {
		if a := parseAddr(s); a.IsValid() {
			return errors.New("has no prefix length: write for example " + s + "/24")
		}
		return errors.New("is not an " + version + " address with its prefix length")
	}
	return nil
}

var macRE = regexp.MustCompile(`^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$`)

func checkMAC(s string) error {
	if !macRE.MatchString(s) {
		return errors.New("is not a MAC address as in BC:24:11:00:01:20")
	}
	if b, _ := strconv.ParseUint(s[:2], 16, 8); b&1 == 1 {
		return errors.New("is a multicast address: the first byte must be even")
	}
	return nil
}

func checkVLAN(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 || n > 4094 {
		return errors.New("is not a VLAN number from 1 to 4094")
	}
	return nil
}

var timeZoneRE = regexp.MustCompile(`^[A-Z][A-Za-z]+(/[A-Z][A-Za-z_+\-]*)+$`)

// checkTimeZone accepts what can stand in the node's zone.tab: areas and places, none of the aliases below
// Etc (pve-common JSONSchema.pm, pve_verify_timezone).
func checkTimeZone(s string) error {
	if s == "host" || s == "UTC" || timeZoneRE.MatchString(s) && !strings.HasPrefix(s, "Etc/") {
		return nil
	}
	return errors.New("is not a time zone: write an area and place such as Europe/Vienna, or UTC, or host")
}

// checkPath accepts absolute paths without . and .. (pve-container LXC/Config.pm, verify_lxc_mp_string).
func checkPath(s string) error {
	if !strings.HasPrefix(s, "/") {
		return errors.New("is not an absolute path: it begins with /")
	}
	return checkPathParts(s)
}

// CheckRelativePath accepts paths that lead down from a directory: without . and .., and not absolute.
func CheckRelativePath(s string) error {
	if strings.HasPrefix(s, "/") {
		return errors.New("is not a relative path: remove the leading /")
	}
	return checkPathParts(s)
}

func checkPathParts(s string) error {
	for part := range strings.SplitSeq(s, "/") {
		if part == "." || part == ".." {
			return errors.New("holds . or .., which Proxmox refuses")
		}
	}
	if strings.ContainsAny(s, ",\n\r\x00") {
		return errors.New("holds a comma or control character, which a property string cannot carry")
	}
	return nil
}

func checkDevicePath(s string) error {
	if !strings.HasPrefix(s, "/dev/") {
		return errors.New("is not a path below /dev")
	}
	return checkPathParts(s)
}

var volumeRE = regexp.MustCompile(`^[A-Za-z][-\w.]*[A-Za-z0-9]:[^\s,]+$`)

func checkVolume(s string) error {
	_, name, _ := strings.Cut(s, ":")
	if !volumeRE.MatchString(s) {
		return errors.New("is not a volume: write storage:name")
	}
	if strings.Trim(name, digits+".") == "" {
		return errors.New("asks Proxmox to make a new volume: write storage and size in place of volume")
	}
	return nil
}

func checkEnvName(s string) error {
	if s == "" || strings.ContainsAny(s, "=\x00\n\r ") {
		return errors.New("is not the name of an environment variable")
	}
	return nil
}
