package leader

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/gofrs/flock"
)

// A file is the lock file of a machine for an owner. It stays when it is not held: who removes one that another opens at the
// same moment leaves two who think that they hold it.
type file struct {
	path  string
	about string
	lock  *flock.Flock // nil: it cannot be made
	err   error        // why
}

// openFile makes the file where it is missing. It is readable for everybody, so that everybody can lock it.
func openFile(o Options, owner string) *file {
	if o.Dir == "" {
		return &file{}
	}
	f := &file{path: filepath.Join(o.Dir, "tend-agent-"+plain(owner)+"-"+plain(o.Cluster)+".lock"), about: o.About}
	made, err := os.OpenFile(f.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|syscall.O_NOFOLLOW, 0o644)
	if err == nil {
		err = errors.Join(made.Chmod(0o644), made.Close()) // whatever the umask is
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		f.err = err
		return f
	}
	if info, err := os.Lstat(f.path); err != nil || !info.Mode().IsRegular() {
		f.err = cmp.Or(err, fmt.Errorf("%s is no regular file", f.path))
		return f
	}
	f.lock = flock.New(f.path, flock.SetFlag(os.O_RDONLY))
	return f
}

var unplain = regexp.MustCompile(`[^\w.+-]+`)

func plain(text string) string { return unplain.ReplaceAllString(text, "_") }

// fault is why another agent on this machine would not be noticed; "" where it would.
func (f *file) fault() string {
	if f.err == nil {
		return ""
	}
	return fmt.Sprintf("another agent on this machine would not be noticed: %v", f.err)
}

// take takes the lock, and says who else has it; "" where this agent does or nothing can be known.
func (f *file) take() string {
	if f.lock == nil || f.lock.Locked() {
		return ""
	}
	ok, err := f.lock.TryLock()
	switch {
	case err != nil:
		f.lock, f.err = nil, err
		return ""
	case !ok:
		text, err := os.ReadFile(f.path)
		who := strings.TrimSpace(string(text))
		if err != nil || who == "" || len(who) > 1000 {
			who = "its lock is " + f.path
		}
		return "another agent on this machine acts for the same owner (" + who + ")"
	}
	f.sign()
	return ""
}

// sign writes into the file who has it, for people: where another user has made it, it stays as it is.
func (f *file) sign() {
	w, err := os.OpenFile(f.path, os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	_, _ = w.WriteString(f.about + "\n")
	_ = w.Close()
}

func (f *file) release() {
	if f.lock != nil {
		_ = f.lock.Unlock() // closing the file lets go of it
	}
}
