package privileged

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/property"
)

// ErrNotNeeded is the error of a request that an API token could make: the lane is for what is on the list alone.
var ErrNotNeeded = errors.New("an API token may do this: it is not for the privileged lane")

// settingKeys are the settings that a create may carry, families without their index (pve-container LXC/Config.pm,
// json_config_properties). The environment is not among them: it may be secret, and the list of processes shows
// every word of a command to everybody on the node; it is set by a call afterwards. What else pct create takes, such
// as force or restore, is no setting.
var settingKeys = []string{
	"arch", "cmode", "console", "cores", "cpulimit", "cpuunits", "debug", "description", "dev", "entrypoint", "features",
	"hookscript", "hostname", "memory", "mp", "nameserver", "net", "onboot", "ostype", "protection", "rootfs",
	"searchdomain", "startup", "swap", "tags", "timezone", "tty", "unprivileged",
}

// features are the flags that exist (pve-container LXC/Config.pm, features_desc).
var features = []string{"force_rw_sys", "fuse", "keyctl", "mknod", "mount", "nesting"}

// family is a key without its index, with false for a key whose index Proxmox would not write.
func family(key string) (name string, ok bool) {
	name = strings.TrimRight(key, "0123456789")
	index := key[len(name):]
	indexed := slices.Contains([]string{"dev", "mp", "net"}, name)
	if !indexed {
		return name, index == ""
	}
	n, err := strconv.Atoi(index)
	return name, err == nil && n <= 255 && strconv.Itoa(n) == index
}

// checkSetting says what is wrong with a setting of a create. Proxmox itself checks the values of those that a token
// may set.
func checkSetting(key, value string) error {
	name, ok := family(key)
	switch {
	case key == "env":
		return errors.New("may be secret and cannot stand in a command: it is set by a call afterwards")
	case !ok || !slices.Contains(settingKeys, name):
		return errors.New("is not a setting of a container")
	case value == "" || len(value) > maxArg || strings.Contains(value, "\x00"):
		return errors.New("has a value that no command can hold")
	case name == "description":
		return nil
	case !printable(value):
		return errors.New("holds a control character, which Proxmox refuses")
	case name == "rootfs" || name == "mp":
		if !strings.HasPrefix(strings.TrimPrefix(value, "volume="), "/") {
			return nil
		}
	case name != "dev" && name != "features" && name != "hookscript":
		return nil
	}
	return checkRootSetting(key, value)
}

// checkRootSetting says what is wrong with a setting that is for root@pam.
func checkRootSetting(key, value string) error {
	name, ok := family(key)
	if !ok || !printable(value) {
		return errors.New("is not a setting of a container, or its value is not one line")
	}
	switch name {
	case "features":
		_, err := pairs(value, "", features...)
		return err
	case "hookscript":
		if err := proxmox.CheckSnippet(value); err != nil {
			return fmt.Errorf("%.80q %w", value, err)
		}
		return nil
	case "dev":
		p, err := pairs(value, "path", "path", "mode", "uid", "gid", "deny-write")
		return errors.Join(err, checkHostPath(p, "path", "/dev/"))
	case "rootfs", "mp":
		return checkHostMount(name, value)
	}
	return ErrNotNeeded
}

// checkHostMount says what is wrong with a mount of a directory or device of the node.
func checkHostMount(name, value string) error {
	known := []string{"volume", "size", "acl", "idmap", "mountoptions", "quota", "replicate", "ro", "shared"}
	if name == "mp" {
		known = append(known, "mp", "backup", "keepattrs")
	}
	p, err := pairs(value, "volume", known...)
	if err != nil {
		return err
	}
	if volume, _ := p.Get("volume"); !strings.HasPrefix(volume, "/") {
		return ErrNotNeeded
	}
	if name == "mp" {
		where, _ := p.Get("mp")
		err = checkPath(where)
	}
	return errors.Join(err, checkHostPath(p, "volume", "/"))
}

func checkHostPath(p property.Pairs, key, below string) error {
	v, _ := p.Get(key)
	if err := checkPath(v); err != nil {
		return err
	}
	if !strings.HasPrefix(v, below) {
		return fmt.Errorf("%.80q is not below %s", v, below)
	}
	return nil
}

// mayTakeAway reports whether a key may stand in delete or revert: those that root@pam alone may take away.
func mayTakeAway(key string) bool {
	name, ok := family(key)
	return ok && slices.Contains([]string{"dev", "features", "hookscript"}, name)
}

// CheckNeeded says which part of a request a token could do by itself: for a change each key counts, of a create one
// that it could not is enough. have is the configuration as it is, and the zero value for a create; other requests are
// always needed. The error matches [ErrNotNeeded].
//
// The rules are those of pve-container LXC.pm, check_ct_modify_config_perm.
func CheckNeeded(r Request, have proxmox.Config) error {
	switch r := r.(type) {
	case Create:
		unprivileged := r.Params.Values["unprivileged"] != "0" // the default of a create
		for key, value := range r.Params.Values {
			if setNeedsRoot(key, "", value, unprivileged) {
				return nil
			}
		}
		return fmt.Errorf("no setting is for root@pam alone: %w", ErrNotNeeded)
	case SetConfig:
		return changeNeeded(r.Update, have.Current)
	}
	return nil
}

func changeNeeded(u proxmox.Update, have proxmox.Values) error {
	unprivileged := have["unprivileged"] == "1"
	var f faults
	for _, key := range u.Set.Keys() {
		f.add(setNeedsRoot(key, have[key], u.Set[key], unprivileged), "%s: %w", key, ErrNotNeeded)
	}
	for _, key := range slices.Concat(u.Delete, u.Revert) { // a revert is checked as a delete (API2/LXC/Config.pm, update_vm)
		f.add(takingNeedsRoot(key, have[key], unprivileged), "%s: %w", key, ErrNotNeeded)
	}
	return f.join()
}

// setNeedsRoot reports whether a token would be refused to set a key; old is empty where it is not set.
func setNeedsRoot(key, old, value string, unprivileged bool) bool {
	switch name, _ := family(key); name {
	case "dev", "hookscript":
		return true
	case "rootfs", "mp":
		return strings.HasPrefix(strings.TrimPrefix(value, "volume="), "/")
	case "features":
		return !unprivileged || otherFeatures(old, value)
	}
	return false
}

// takingNeedsRoot reports whether a token would be refused to delete or revert a key.
func takingNeedsRoot(key, old string, unprivileged bool) bool {
	switch name, _ := family(key); name {
	case "dev", "hookscript":
		return true
	case "features":
		return !unprivileged || otherFeatures("", old)
	}
	return false
}

// otherFeatures reports whether a flag other than nesting differs, as written: off differs from absent.
func otherFeatures(old, value string) bool {
	return !maps.Equal(flags(old), flags(value))
}

func flags(text string) map[string]string {
	p, err := property.ParsePairs(text, "")
	if err != nil {
		return map[string]string{"": text}
	}
	out := map[string]string{}
	for _, e := range p {
		if on, err := (property.Bool{}).Parse(e.Value); err == nil && e.Key != "mount" {
			e.Value = property.Bool{}.Format(on)
		}
		if e.Key != "nesting" {
			out[e.Key] = e.Value
		}
	}
	return out
}
