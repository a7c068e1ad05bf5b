package setting

import (
	"errors"
	"slices"
	"strings"
)

// Features and their parts.
var (
	Nesting = Key[bool]{
		Path: "nesting", PVE: "nesting", Type: Boolean(), Default: new(false), Absent: new(false), Example: "true",
		Doc: "Let the container see the node's /proc and /sys, as systemd and containers inside need.",
	}
	KeyCtl = Key[bool]{
		Path: "keyctl", PVE: "keyctl", Type: Boolean(), Default: new(false), Absent: new(false), Example: "true",
		Doc: "Allow the keyctl system call in an unprivileged container, as Docker needs.", Lane: "root",
	}
	FUSE = Key[bool]{
		Path: "fuse", PVE: "fuse", Type: Boolean(), Default: new(false), Absent: new(false), Example: "true",
		Doc: "Allow FUSE file systems. Snapshots of a running container may then hang.", Lane: "root",
	}
	MkNod = Key[bool]{
		Path: "mknod", PVE: "mknod", Type: Boolean(), Default: new(false), Absent: new(false), Example: "true",
		Doc: "Allow mknod in an unprivileged container.", Lane: "root",
	}
	ForceRWSys = Key[bool]{
		Path: "forceRwSys", PVE: "force_rw_sys", Type: Boolean(), Default: new(false), Absent: new(false),
		Doc: "Mount /sys writable in an unprivileged container.", Lane: "root", Label: "writable /sys", Example: "true",
	}
	MountTypes = Key[[]string]{
		Path: "mount", PVE: "mount", Example: "[nfs, cifs]", Label: "mount of",
		Type: Unordered(List("file system type", semicolons, ";", func(s string) error {
			if s == "" || strings.Trim(s, letters+digits+"_") != "" {
				return errors.New("is not the name of a file system type")
			}
			return nil
		})),
		Doc: "File system types that the container may mount.", Lane: "root", Absent: new([]string(nil)),
	}
	features = Object{Name: "feature", Rows: []Row{Nesting, KeyCtl, FUSE, MkNod, ForceRWSys, MountTypes}}

	Features = Key[Record]{
		Path: "features", PVE: "features", Type: features.Type(), Absent: &Record{}, OnEdit: afterStop[Record],
		Doc: "What the container may do beyond the usual.", MayEdit: mayEditFeatures,
		Lane: "token for nesting in an unprivileged container, else root", Example: "{nesting: true}",
	}
)

// mayEditFeatures is pve-container LXC.pm, check_ct_modify_config_perm: a token may only change nesting, and
// only in an unprivileged container. Proxmox compares what is written, so "off" differs from absent.
func mayEditFeatures(old, new *Record, f Facts) Access {
	if !f.Unprivileged {
		return Access{
			Root: true, Reason: "API tokens may not change features of a privileged container",
			Refusal: "Permission check failed (changing feature flags for privileged container is only allowed for root@pam)",
		}
	}
	for _, row := range features.Rows[1:] {
		path := row.SpecPath()
		a, hadOld := at(old, path)
		b, hasNew := at(new, path)
		if hadOld != hasNew || hadOld && !sameWritten(a, b) {
			return Access{
				Root: true, Reason: "API tokens may only change nesting",
				Refusal: "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)",
			}
		}
	}
	return Access{}
}

func at(r *Record, path string) (any, bool) {
	if r == nil {
		return nil, false
	}
	v, ok := (*r)[path]
	return v, ok
}

func sameWritten(a, b any) bool {
	x, ok := a.([]string)
	if !ok {
		return a == b
	}
	y, ok := b.([]string)
	return ok && slices.Equal(x, y)
}
