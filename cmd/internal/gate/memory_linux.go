package main

import "syscall"

// What statfs(2) says of file systems: Linux, include/uapi/linux/magic.h and statfs(2).
const (
	tmpfsMagic = 0x01021994
	stNoExec   = 8
)

// inMemory reports whether a folder is in memory, has room for what the tests write at once, and lets programs run.
func inMemory(dir string) bool {
	var s syscall.Statfs_t
	return syscall.Statfs(dir, &s) == nil && int64(s.Type) == tmpfsMagic && s.Flags&stNoExec == 0 && s.Bavail*uint64(s.Bsize) >= 4<<30
}
