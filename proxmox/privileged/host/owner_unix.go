//go:build unix

package host

import (
	"io/fs"
	"os"
	"syscall"
)

// byRoot reports whether root owns a file, or, in tests that do not run as root, who runs them.
func byRoot(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid())
}
