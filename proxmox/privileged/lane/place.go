package lane

import (
	"io/fs"
	"time"
)

// Places looks at and makes directories of a node as root. Paths are absolute, and one with a symbolic link in it is
// refused.
type Places interface {
	// ListDir names what is in a directory, sorted; the error of one that is absent matches [fs.ErrNotExist].
	ListDir(path string) ([]string, error)
	// MakeDir makes a directory with a mode, and those that it lies in with 0755; made is false where it was there.
	MakeDir(path string, mode fs.FileMode) (made bool, err error)
	// SetTime sets the times of a directory that is a cluster lock: to now to renew it, which only the node can that made
	// it, and to 1970 to ask for the end of one that nobody renews, which is an error in any case. The error of one that
	// is absent matches [fs.ErrNotExist], of one that this node may not renew [fs.ErrPermission], and where there is no quorum [proxmox.ErrNoQuorum].
	SetTime(path string, t time.Time) error
	// RemoveDir removes a directory that is a cluster lock; one that is absent is no error.
	RemoveDir(path string) error
}
