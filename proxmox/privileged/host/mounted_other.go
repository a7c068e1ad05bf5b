//go:build !linux

package host

// isFUSE is false: Proxmox runs on Linux alone.
func isFUSE(string) bool { return false }
