package proxmox

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A RawLine is a line "lxc.key: value" that Proxmox passes on to LXC.
type RawLine struct{ Key, Value string }

// String is the line as Proxmox writes it, without its end.
func (l RawLine) String() string { return l.Key + ": " + l.Value }

// Check says what is wrong with a line that somebody wants to have: Proxmox drops what it does not know when it
// next writes the file, and what holds a line break would be two lines. The environment of the first process is
// not such a line but the setting env.
func (l RawLine) Check() error {
	switch {
	case !strings.HasPrefix(l.Key, "lxc."):
		return fmt.Errorf("%.80q is not a key of LXC: lxc. stands before all of them", l.Key)
	case l.Key == rawEnv:
		return fmt.Errorf("%s is written as env", l.Key)
	}
	if err := CheckRawKey(l.Key); err != nil {
		return err
	}
	return checkRawValue(l.Value)
}

// checkRawValue refuses what would not be read back as it was written (pve-container LXC/Config.pm,
// parse_pct_config: one line each, white space at either end is dropped). An empty value means something to LXC: it
// clears a list, as "lxc.cap.drop:" does.
func checkRawValue(value string) error {
	if strings.TrimSpace(value) != value {
		return errors.New("begins or ends with white space, which Proxmox drops")
	}
	for _, r := range value {
		if r < ' ' && r != '\t' || r == 0x7f {
			return errors.New("holds a control character, which Proxmox refuses")
		}
	}
	return nil
}

// ErrUnknownRawKey is the error of [CheckRawKey] for a key that Proxmox does not know.
var ErrUnknownRawKey = errors.New("is not a key that Proxmox knows, which drops its lines")

// rawEnv is the raw key in whose lines Proxmox keeps the setting env.
const rawEnv = "lxc.environment.runtime"

// rawKeyForm is what Proxmox reads as a raw line at all.
var rawKeyForm = regexp.MustCompile(`^lxc\.[a-z0-9_\-.]+$`)

// CheckRawKey says why Proxmox would drop a line with this key from a container's configuration file: it knows a
// list of keys, and all below some prefixes (pve-container LXC/Config.pm, is_valid_lxc_conf_key).
func CheckRawKey(key string) error {
	switch {
	case key == "lxc.rootfs.path":
		return errors.New("lxc.rootfs.path is refused by Proxmox: write rootfs")
	case key == "lxc.rootfs.options":
		return errors.New("lxc.rootfs.options is refused by Proxmox: write rootfs")
	case !rawKeyForm.MatchString(key):
		return fmt.Errorf("%.80q %w", key, ErrUnknownRawKey)
	case rawKeys[strings.TrimPrefix(key, "lxc.")]:
		return nil
	}
	for _, prefix := range rawPrefixes {
		if strings.HasPrefix(key, prefix) {
			return nil
		}
	}
	return fmt.Errorf("%.80q %w", key, ErrUnknownRawKey)
}

var rawPrefixes = []string{"lxc.limit.", "lxc.cgroup.", "lxc.cgroup2.", "lxc.prlimit.", "lxc.net."}

// rawKeys are the raw keys Proxmox knows, without "lxc."; the last group is deprecated.
var rawKeys = func() map[string]bool {
	out := map[string]bool{}
	for k := range strings.FieldsSeq(`
apparmor.profile apparmor.allow_incomplete apparmor.allow_nesting apparmor.raw selinux.context include arch uts.name
signal.halt signal.reboot signal.stop init.cmd init.cwd init.uid init.gid init.groups pty.max console.logfile
console.path tty.max devtty.dir hook.autodev autodev kmsg mount.fstab mount.entry mount.auto rootfs.mount cap.drop
cap.keep seccomp.profile seccomp.notify.proxy seccomp.notify.cookie idmap hook.pre-start hook.pre-mount hook.mount
hook.start hook.stop hook.post-stop hook.clone hook.destroy hook.version log.level log.file start.auto start.delay
start.order group environment environment.runtime environment.hooks sysctl.fs.mqueue sysctl.kernel.msgmax
sysctl.kernel.msgmnb sysctl.kernel.msgmni sysctl.kernel.sem sysctl.kernel.shmall sysctl.kernel.shmmax
sysctl.kernel.shmmni sysctl.kernel.shm_rmid_forced
aa_profile aa_allow_incomplete console devttydir haltsignal rebootsignal stopsignal id_map init_cmd loglevel logfile
mount network.type network.flags network.link network.mtu network.name network.hwaddr network.ipv4
network.ipv4.gateway network.ipv6 network.ipv6.gateway network.script.up network.script.down pts se_context seccomp
tty utsname`) {
		out[k] = true
	}
	return out
}()
