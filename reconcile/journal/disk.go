package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// A disk is what a journal needs of a file system. Tests have one that breaks.
type disk interface {
	read(path string) ([]byte, error)
	// create makes an empty file, in place of one that is there.
	create(path string) (file, error)
	// rename gives a file another name, durably.
	rename(from, to string) error
	// write makes a whole file, durably.
	write(path string, data []byte) error
}

type file interface {
	io.Writer
	Sync() error
	Close() error
}

type osDisk struct{}

func (osDisk) read(path string) ([]byte, error) { return os.ReadFile(path) }

func (osDisk) create(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

func (osDisk) rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func (d osDisk) write(path string, data []byte) error {
	f, err := d.create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the names of a folder durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// A holder is what the lock file tells of the process that has the journal open.
type holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// acquire locks a journal. The lock has a file of its own, since the journal's is replaced from time to time;
// it stays when the journal is closed, since removing it would let two processes lock two files.
func acquire(path string) (*flock.Flock, error) {
	name := path + ".lock"
	lock := flock.New(name, flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("lock journal %s: %w", path, err)
	case !ok:
		return nil, &LockedError{Path: path, Holder: readHolder(name)}
	}
	host, _ := os.Hostname() // the process is named all the same
	text, err := json.Marshal(holder{PID: os.Getpid(), Host: host, Since: time.Now().Truncate(time.Second)})
	if err == nil {
		err = os.WriteFile(name, append(text, '\n'), 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock journal %s: %w", path, err), lock.Close())
	}
	return lock, nil
}

func readHolder(name string) string {
	var h holder
	text, err := os.ReadFile(name)
	if err != nil || json.Unmarshal(text, &h) != nil {
		return ""
	}
	return fmt.Sprintf("process %d on %s, since %s", h.PID, h.Host, h.Since.Format(time.DateTime))
}
