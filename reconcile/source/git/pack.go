package git

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/felhom/tend/reconcile/source"
)

// A bounded reader ends with an error of class TooLarge where there is more than it may read.
type bounded struct {
	io.Reader
	left int64
	max  int64
}

func bound(r io.Reader, max int64) *bounded { return &bounded{r, max, max} }

// Read reads on, one byte past the limit at most.
func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.Reader.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, tooLarge("the server sends more than %d bytes", b.max)
	}
	return n, err
}

func tooLarge(format string, a ...any) error {
	return &source.Error{
		Class: source.TooLarge, Err: fmt.Errorf(format, a...),
		Hint: "keep what is no spec out of the repository, or raise the limit",
	}
}

// objectCache is how many bytes of objects stay in memory while they are read.
const objectCache = 8 * cache.MiByte

// unpack writes a pack into a folder and makes a storage of it. It is looked through first, as it claims to be: what
// would grow beyond the limits is not unpacked at all.
func unpack(dir string, pack io.Reader, l Limits) (store *filesystem.Storage, err error) {
	f, err := os.Create(filepath.Join(dir, "incoming"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, bound(pack, l.Pack)); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if err := measure(f, l); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	store = filesystem.NewStorage(osfs.New(filepath.Join(dir, "git")), cache.NewObjectLRU(objectCache))
	if err := packfile.UpdateObjectStorage(store, f); err != nil {
		return nil, errors.Join(damaged(err), store.Close())
	}
	return store, nil
}

func damaged(err error) error {
	return &source.Error{Class: source.Damaged, Err: fmt.Errorf("what the server sends is no good pack: %w", err)}
}

// measure holds what a pack claims to be against the limits.
func measure(f io.ReadSeeker, l Limits) error {
	scan := packfile.NewScanner(f)
	_, count, err := scan.Header()
	if err != nil {
		return damaged(err)
	}
	if int64(count) > int64(l.Objects) {
		return tooLarge("there are %d objects, over %d", count, l.Objects)
	}
	var all int64
	for range count {
		h, err := scan.NextObjectHeader()
		if err != nil {
			return damaged(err)
		}
		size := h.Length
		if h.Type == plumbing.OFSDeltaObject || h.Type == plumbing.REFDeltaObject {
			grown, err := deltaSize(scan)
			if err != nil {
				return damaged(err)
			}
			size = max(size, grown)
		}
		if size < 0 || size > l.Object {
			return tooLarge("an object has %d bytes, over %d", size, l.Object)
		}
		if all += size; all > l.Inflated {
			return tooLarge("the objects have more than %d bytes together", l.Inflated)
		}
	}
	return nil
}

// A head keeps the first bytes that are written to it.
type head struct {
	bytes [2 * binary.MaxVarintLen64]byte
	n     int
}

// Write drops what is past the first bytes.
func (h *head) Write(p []byte) (int, error) {
	h.n += copy(h.bytes[h.n:], p)
	return len(p), nil
}

// deltaSize is how large the object is that the delta at hand makes. A delta begins with the sizes of its base and of
// what it makes (gitformat-pack).
func deltaSize(scan *packfile.Scanner) (int64, error) {
	var h head
	if _, _, err := scan.NextObject(&h); err != nil {
		return 0, err
	}
	_, n := binary.Uvarint(h.bytes[:h.n])
	if n <= 0 {
		return 0, errors.New("a delta is cut off")
	}
	size, m := binary.Uvarint(h.bytes[n:h.n])
	if m <= 0 {
		return 0, errors.New("a delta is cut off")
	}
	return int64(min(size, 1<<62)), nil
}
