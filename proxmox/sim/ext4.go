package sim

import (
	"fmt"
	"strconv"
	"strings"
)

// An ext4 is the layout that mkfs.ext4 gives a raw volume: containers show the size that is left of it, and the
// task log what mkfs prints. The rules are those of e2fsprogs 1.47 with 4 KiB blocks.
type ext4 struct {
	blocks, groups, inodes, journal, overhead int64
}

const (
	ext4Block      = 4096
	ext4GroupSize  = 32768 // blocks of a group
	ext4InodeSize  = 256
	ext4InodeRatio = 16384 // bytes for each inode
	ext4DescSize   = 64
	ext4Growth     = 1024 // how often larger a file system may become
)

func newExt4(size int64) ext4 {
	f := ext4{blocks: size / ext4Block}
	f.groups = ceilDiv(f.blocks, ext4GroupSize)
	if f.groups == 0 {
		return f
	}
	perGroup := ceilDiv(ceilDiv(size, ext4InodeRatio), f.groups)
	perGroup = ceilDiv(perGroup, 16) * 16 // whole blocks of inodes
	f.inodes = perGroup * f.groups
	f.journal = journalBlocks(f.blocks)
	perBlock := int64(ext4Block / ext4DescSize)
	desc := ceilDiv(f.groups, perBlock)
	reserved := ceilDiv(ceilDiv(min(f.blocks*ext4Growth, 1<<32-1), ext4GroupSize), perBlock) - desc
	reserved = min(reserved, ext4Block/4)
	f.overhead = f.inodes*ext4InodeSize/ext4Block + 2*f.groups + f.journal + (1+int64(len(f.backups())))*(1+desc+reserved)
	return f
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

// journalBlocks is the size of the journal (e2fsprogs, ext2fs_default_journal_size).
func journalBlocks(blocks int64) int64 {
	for _, step := range []struct{ below, size int64 }{
		{2048, 0},
		{32768, 1024},
		{256 << 10, 4096},
		{512 << 10, 8192},
		{4 << 20, 16384},
		{8 << 20, 32768},
		{16 << 20, 65536},
		{32 << 20, 131072},
	} {
		if blocks < step.below {
			return step.size
		}
	}
	return 262144
}

// backups are the first blocks of the groups that hold a copy of the superblock: 1 and the powers of 3, 5 and 7.
func (f ext4) backups() []int64 {
	var out []int64
	for g := int64(1); g < f.groups; g++ {
		if g == 1 || isPower(g, 3) || isPower(g, 5) || isPower(g, 7) {
			out = append(out, g*ext4GroupSize)
		}
	}
	return out
}

func isPower(n, base int64) bool {
	for n > 1 && n%base == 0 {
		n /= base
	}
	return n == 1
}

// total is what df calls the size of the file system.
func (f ext4) total() int64 { return max(0, f.blocks-f.overhead) * ext4Block }

// used is what a fresh file system takes of a storage that allocates as it is written to.
func (f ext4) used() int64 { return (f.journal + 232) * ext4Block }

// FileSystem is how much an empty file system takes of a raw volume of a size, on a storage that allocates as it is
// written to.
func FileSystem(size Bytes) Bytes { return Bytes(newExt4(int64(size)).used()) }

func (f ext4) mkfsLog(uuid string) []string {
	log := []string{
		fmt.Sprintf("Creating filesystem with %d 4k blocks and %d inodes", f.blocks, f.inodes),
		"Filesystem UUID: " + uuid,
	}
	if backups := f.backups(); len(backups) > 0 {
		texts := make([]string, len(backups))
		for i, b := range backups {
			texts[i] = strconv.FormatInt(b, 10)
		}
		log = append(log, "Superblock backups stored on blocks: ", "\t"+strings.Join(texts, ", "))
	}
	return log
}
