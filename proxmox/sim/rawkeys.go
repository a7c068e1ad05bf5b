package sim

import "strings"

const unknownRawKey = "unknown"

// rawKeyValidity is empty for a raw lxc.* key that Proxmox keeps, else the reason why it drops the line
// (LXC/Config.pm, is_valid_lxc_conf_key).
func rawKeyValidity(key string) string {
	switch key {
	case "lxc.rootfs.path":
		return "lxc.rootfs.path is auto generated from rootfs"
	case "lxc.rootfs.options":
		return "lxc.rootfs.options is not supported, please use mount point options in the \"rootfs\" key"
	}
	if rawKeys[strings.TrimPrefix(key, "lxc.")] {
		return ""
	}
	for _, prefix := range []string{"lxc.limit.", "lxc.cgroup.", "lxc.cgroup2.", "lxc.prlimit.", "lxc.net."} {
		if strings.HasPrefix(key, prefix) {
			return ""
		}
	}
	return unknownRawKey
}

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
