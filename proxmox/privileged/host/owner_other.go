//go:build !unix

package host

import "io/fs"

// byRoot is never so: there is no Proxmox VE on such a system.
func byRoot(fs.FileInfo) bool { return false }
