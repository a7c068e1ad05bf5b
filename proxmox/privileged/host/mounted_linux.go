package host

import "syscall"

// fuseMagic is the type of file systems in user space (linux/magic.h, FUSE_SUPER_MAGIC).
const fuseMagic = 0x65735546

func isFUSE(path string) bool {
	var s syscall.Statfs_t
	return syscall.Statfs(path, &s) == nil && uint32(s.Type) == fuseMagic
}
