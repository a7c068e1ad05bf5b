package backup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec/setting"
)

// A Verdict is what can be proven of an archive, and what cannot.
type Verdict struct {
	Archive  Archive
	Proven   []string // each a sentence without a period
	Unproven []string // what nobody has looked at, and what would
	Wrong    []string // why the archive should not be relied on
}

// Sound reports whether nothing speaks against the archive.
func (v Verdict) Sound() bool { return len(v.Wrong) == 0 }

// Verify says what can be proven of an archive without restoring it: what a Proxmox Backup Server found, or that a file
// opens; that the configuration in it is that of the container; and that its size is not odd beside the one before it,
// which is nil where there is none. have is the container as it is now; nil: it does not exist.
func Verify(ctx context.Context, c *proxmox.Client, a Archive, before *Archive, have *plan.Observed, now time.Time) Verdict {
	v := Verdict{Archive: a}
	v.age(now)
	v.size(before)
	v.server()
	content, err := Open(ctx, c, a)
	if err != nil {
		v.wrong("it does not open: %s", err)
		return v
	}
	if a.OnServer() {
		v.proven("the configuration in it can be fetched and understood")
	} else {
		v.proven("it opens, and the configuration at its beginning can be read and understood")
		v.unproven("a file has no checksum that Proxmox tells: what comes after its beginning is read by a restore alone (tend backups drill %d)", a.Guest)
	}
	v.matches(content, have)
	v.proven("by its configuration it %s", content.Covers())
	return v
}

func (v *Verdict) proven(format string, args ...any) {
	v.Proven = append(v.Proven, fmt.Sprintf(format, args...))
}

func (v *Verdict) unproven(format string, args ...any) {
	v.Unproven = append(v.Unproven, fmt.Sprintf(format, args...))
}

func (v *Verdict) wrong(format string, args ...any) {
	v.Wrong = append(v.Wrong, fmt.Sprintf(format, args...))
}

func (v *Verdict) age(now time.Time) {
	if v.Archive.Created.After(now.Add(retention.Skew)) {
		v.wrong("its time lies in the future: %s", v.Archive.Created.UTC().Format(time.RFC3339))
	}
}

// size holds the size against that of the archive before.
func (v *Verdict) size(before *Archive) {
	switch {
	case v.Archive.Size <= 0:
		v.wrong("it is empty")
	case before != nil && before.Kind == v.Archive.Kind && v.Archive.Size < before.Size/2:
		v.wrong("it is less than half as large as the one before it, %s: look whether something is missing", before.ID)
	}
}

// server tells what a Proxmox Backup Server found.
func (v *Verdict) server() {
	if !v.Archive.OnServer() {
		return
	}
	switch s := v.Archive.Verification.State; s {
	case "ok":
		v.proven("the backup server has read it whole, and all checksums agreed")
		v.unproven("since then it may have been damaged: the server tells when it verifies again")
	case "":
		v.unproven("the backup server has not verified it yet: make a verify job there")
	default:
		v.wrong("the backup server could not verify it: %s", s)
	}
	if v.Archive.Encrypted != "" {
		v.unproven("it is encrypted: without the key (%s) nobody can restore it, and this does not show whether the key is kept", v.Archive.Encrypted)
	}
}

// matches holds the configuration in the archive against the container.
func (v *Verdict) matches(c Content, have *plan.Observed) {
	name := c.Values["hostname"]
	switch {
	case c.Values["rootfs"] == "":
		v.wrong("the configuration in it names no root file system")
	case have == nil:
		v.proven("it is of a container called %s, which does not exist now", name)
		return
	case have.Name != name:
		v.wrong("it is of a container called %s, and %d is called %s now: it may be of another one that had this VMID", name, v.Archive.Guest, have.Name)
		return
	}
	if have == nil || !have.Managed || have.Broken != nil {
		return
	}
	now, then := plan.CoverageOf(have.Current.Record), c.Covers()
	for _, mount := range now.In {
		if !slices.Contains(then.In, mount) {
			v.wrong("it does not hold %s, which backups of the container hold now", mount)
		}
	}
	if keys := differing(c.Values, have.Config.Current); len(keys) == 0 {
		v.proven("the configuration in it is the one that the container has now")
	} else {
		v.proven("the configuration in it is of %s, and differs from now in: %s", name, strings.Join(keys, ", "))
	}
}

// differing are the keys in which two configurations differ, but for the names of volumes, which a restore makes anew.
func differing(a, b proxmox.Values) (keys []string) {
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		_, isMount := setting.Mounts.Index(key)
		switch {
		case isMount, key == setting.RootFS.PVE, strings.HasPrefix(key, "unused"), slices.Contains([]string{"lock", "parent", "digest"}, key):
		case strings.TrimSpace(a[key]) != strings.TrimSpace(b[key]):
			keys = append(keys, key)
		}
	}
	return keys
}
