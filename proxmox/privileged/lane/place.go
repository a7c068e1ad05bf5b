package lane

import "io/fs"

// Places looks at and makes directories of a node as root. Paths are absolute, and one with a symbolic link in it is
// refused.
type Places interface {
	// ListDir names what is in a directory, sorted; the error of one that is absent matches [fs.ErrNotExist].
	ListDir(path string) ([]string, error)
	// MakeDir makes a directory with a mode, and those that it lies in with 0755; made is false where it was there.
	MakeDir(path string, mode fs.FileMode) (made bool, err error)
}
