package privileged

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/property"
)

var (
	nodeName    = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`) // pve-common JSONSchema.pm, pve-node
	digestForm  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	storageForm = `[A-Za-z][-\w.]*[A-Za-z0-9]` // pve-common JSONSchema.pm, parse_storage_id
	storageName = regexp.MustCompile(`^` + storageForm + `$`)
	templateRef = regexp.MustCompile(`^` + storageForm + `:vztmpl/[\w.+@:~-]+$`)
	poolName    = regexp.MustCompile(`^[\w.-]+(?:/[\w.-]+)*$`)
	lockName    = regexp.MustCompile(`^[a-z]+(?:-[a-z]+)*$`)
	diskPath    = regexp.MustCompile(`^/dev/[a-zA-Z0-9]+(?:/[a-zA-Z0-9]+)*$`) // pve-storage API2/Disks.pm, smart
	ownerName   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_+.-]{0,127}$`)
)

// maxArg is how long a word of a command may be, in bytes: below what Linux takes (MAX_ARG_STRLEN, 128 KiB).
const maxArg = 100 << 10

// faults collects what is wrong; each says where.
type faults []error

func (f *faults) add(ok bool, format string, args ...any) {
	if !ok {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

func (f *faults) err(where string, err error) {
	if err != nil {
		*f = append(*f, fmt.Errorf("%s: %w", where, err))
	}
}

func (f faults) join() error { return errors.Join(f...) }

func (f *faults) target(ref proxmox.Ref) {
	f.add(nodeName.MatchString(ref.Node), "%.80q is not the name of a node", ref.Node)
	f.add(ref.ID >= proxmox.MinVMID && ref.ID <= proxmox.MaxVMID, "%d is not a VMID", ref.ID)
}

func (f *faults) digest(d string) {
	f.add(digestForm.MatchString(d), "%.80q is not a digest: it is the SHA-1 of the file in hex, and a must", d)
}

// Validate says what is wrong with the request: it must name a template on a storage, hold settings alone, one of
// which a token may not set, and no environment, which everybody on the node could read in the list of processes.
func (r Create) Validate() error {
	var f faults
	p := r.Params
	f.target(r.Target())
	f.add(templateRef.MatchString(p.Template), "%.80q is not a template on a storage, as in local:vztmpl/debian.tar.zst", p.Template)
	f.add(p.Storage == "" || storageName.MatchString(p.Storage), "%.80q is not the name of a storage", p.Storage)
	f.add(p.Pool == "" || poolName.MatchString(p.Pool), "%.80q is not the name of a pool", p.Pool)
	f.add(!strings.ContainsAny(p.Password.Reveal(), "\n\r\x00"), "the password holds a line break, which no one could type")
	for i, key := range p.SSHKeys {
		f.add(printable(key) && key != "", "SSH key %d is not one line of text", i+1)
	}
	for _, key := range p.Values.Keys() {
		f.err(key, checkSetting(key, p.Values[key]))
	}
	if len(f) == 0 {
		f.err("create", CheckNeeded(r, proxmox.Config{}))
	}
	return f.join()
}

// Validate says what is wrong with the request: every key must be one that a token may not always set, and the digest
// is a must. Whether a token could set what it names depends on what is there: see [CheckNeeded].
func (r SetConfig) Validate() error {
	var f faults
	f.target(r.Ref)
	f.digest(r.Update.Digest)
	f.add(len(r.Update.Set)+len(r.Update.Delete)+len(r.Update.Revert) > 0, "nothing is to be changed")
	for _, key := range r.Update.Set.Keys() {
		f.add(key != "rootfs", "rootfs: is not changed by a setting: Proxmox would write it as it stands and lose the volume")
		f.err(key, checkRootSetting(key, r.Update.Set[key]))
	}
	for _, key := range slices.Concat(r.Update.Delete, r.Update.Revert) {
		if _, set := r.Update.Set[key]; set {
			f.add(false, "%s: is set and taken away at once", key)
		}
		f.add(mayTakeAway(key), "%.80s: %w", key, ErrNotNeeded)
	}
	return f.join()
}

// Validate says what is wrong with the request: each line must be one that Proxmox keeps ([proxmox.RawLine.Check]),
// and the digest is a must.
func (r SetRaw) Validate() error {
	var f faults
	f.target(r.Ref)
	f.digest(r.Digest)
	for i, l := range r.Lines {
		f.err(fmt.Sprintf("line %d", i+1), l.Check())
	}
	return f.join()
}

// Validate says what is wrong with the request.
func (r Unlock) Validate() error {
	var f faults
	f.target(r.Ref)
	f.add(lockName.MatchString(r.Lock) && len(r.Lock) < 40, "%.80q is not the name of a lock", r.Lock)
	f.add(r.Lock != "mounted", "the lock mounted was set by a person with pct mount: pct unmount takes both away")
	f.add(r.Task.IsZero() || r.Task.Node == r.Ref.Node, "task %.80s ran on another node", r.Task)
	if !r.Task.IsZero() {
		_, err := proxmox.ParseUPID(r.Task.String())
		f.err("task", err)
	}
	return f.join()
}

// Validate says what is wrong with the request: the program must be a path or a word, no argument may hold a zero
// byte, and the time limit is a must.
func (r Exec) Validate() error {
	var f faults
	f.target(r.Ref)
	f.add(len(r.Argv) > 0 && r.Argv[0] != "" && !strings.HasPrefix(r.Argv[0], "-"), "there is no program to run")
	for i, w := range r.Argv {
		f.add(!strings.Contains(w, "\x00"), "word %d holds a zero byte, which no command can", i+1)
		f.add(len(w) <= maxArg, "word %d is longer than %d bytes", i+1, maxArg)
	}
	f.add(r.Timeout >= time.Second && r.Timeout <= time.Hour, "%v is no time limit from 1s to 1h", r.Timeout)
	return f.join()
}

// Validate says what is wrong with the request: the volume must be a snippet of plain name, and the content that of
// the checksum.
func (r PutSnippet) Validate() error {
	var f faults
	f.add(nodeName.MatchString(r.Node), "%.80q is not the name of a node", r.Node)
	if err := proxmox.CheckSnippet(r.Volume); err != nil {
		f.add(false, "%.80q %w", r.Volume, err)
	}
	f.add(len(r.Content) > 0 && len(r.Content) <= MaxSnippet, "the content has %d bytes, and may have from 1 to %d", len(r.Content), MaxSnippet)
	sum := sha256.Sum256(r.Content)
	f.add(hex.EncodeToString(sum[:]) == r.SHA256, "the content has the checksum %x and not %.80q, which the plan was made with", sum, r.SHA256)
	return f.join()
}

// Validate says what is wrong with the request: it is about one disk, about the sensors, or about all disks.
func (r ReadHealth) Validate() error {
	var f faults
	f.add(nodeName.MatchString(r.Node), "%.80q is not the name of a node", r.Node)
	about := 0
	for _, given := range []bool{r.Disk != "", r.Sensors, r.Disks} {
		if given {
			about++
		}
	}
	f.add(about == 1, "it is about a disk, about the sensors or about all disks, not about several of these or none")
	f.add(r.Disk == "" || diskPath.MatchString(r.Disk), "%.80q is not the path of a disk, as in /dev/sda", r.Disk)
	return f.join()
}

// checkPath takes absolute paths that are what they seem: no empty element, no "." and no "..".
func checkPath(p string) error {
	switch {
	case !path.IsAbs(p) || p == "/":
		return fmt.Errorf("%.80q is not an absolute path below /", p)
	case path.Clean(p) != p:
		return fmt.Errorf("%.80q is not a plain path: write %.80q", p, path.Clean(p))
	case !printable(p) || strings.Contains(p, ","):
		return fmt.Errorf("%.80q holds a character that Proxmox cannot keep in a setting", p)
	}
	return nil
}

// printable reports whether a text is one line without control characters.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) && len(s) <= maxArg
}

// pairs reads a property string whose parts are all known.
func pairs(text, defaultKey string, known ...string) (property.Pairs, error) {
	p, err := property.ParsePairs(text, defaultKey)
	if err != nil {
		return nil, err
	}
	for _, e := range p {
		if !slices.Contains(known, e.Key) {
			return nil, fmt.Errorf("%.80q is no part of it", e.Key)
		}
	}
	return p, nil
}
