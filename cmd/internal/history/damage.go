package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"runtime/debug"
)

// A brokenError is a database whose pages make no sense.
type brokenError struct{ what any }

func (e *brokenError) Error() string { return fmt.Sprintf("its pages make no sense: %v", e.what) }

// guard makes an error of a panic: the database library has no other way to say that a page makes no sense, and a
// file that became shorter while it was mapped faults.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &brokenError{p}
		}
	}()
	return do()
}

// Where a database says of itself how long it is: two meta pages, of which the newer one that is whole counts
// (bbolt internal/common/page.go and meta.go).
const (
	pageHeader   = 16
	magicAt      = pageHeader
	pageSizeAt   = pageHeader + 8
	pagesAt      = pageHeader + 40
	sumAt        = pageHeader + 56
	metaEnd      = pageHeader + 64
	magic        = 0xED0CDAED
	usualPage    = 4096
	largestPage  = 1 << 20
	leastOfPages = 4
)

// fits checks that a database is as long as it says: the library maps the file, and to read beyond its end kills
// the process. There may be none yet.
func fits(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	size := int64(usualPage)
	if p, ok := readMeta(f, 0); ok {
		size = p.pageSize
	}
	need := int64(-1)
	for _, at := range []int64{0, size} {
		if m, ok := readMeta(f, at); ok {
			need = max(need, m.pages*m.pageSize)
		}
	}
	switch {
	case need < 0:
		return errors.New("it is no database of this kind")
	case info.Size() < max(need, leastOfPages*size):
		return fmt.Errorf("it has %d bytes and should have %d", info.Size(), need)
	}
	return nil
}

type meta struct{ pageSize, pages int64 }

// readMeta reads the meta page at an offset; false: it is none, or not whole.
func readMeta(f io.ReaderAt, at int64) (meta, bool) {
	var b [metaEnd]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return meta{}, false
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[pageHeader:sumAt])
	m := meta{int64(binary.NativeEndian.Uint32(b[pageSizeAt:])), int64(binary.NativeEndian.Uint64(b[pagesAt:]))}
	whole := binary.NativeEndian.Uint32(b[magicAt:]) == magic && binary.NativeEndian.Uint64(b[sumAt:]) == sum.Sum64()
	return m, whole && m.pageSize > 0 && m.pageSize <= largestPage && m.pages > 0 && m.pages < 1<<40
}
