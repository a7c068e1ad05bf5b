package setting

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// KeepSnapshots makes a bind mount one that Proxmox does not know of. It refuses snapshots of a container with a bind
// mount among its mount points (pve-guest-common AbstractConfig.pm, __snapshot_prepare); a raw line for LXC is none.
var KeepSnapshots = Key[bool]{
	Path: "keepSnapshots", Type: Boolean(), Virtual: true, Default: new(false), Absent: new(false), Label: "keeps snapshots",
	Doc: "Mount the directory of the node by a raw line for LXC (lxc.mount.entry), so that snapshots of the container stay " +
		"possible: Proxmox takes none of a container that has the same as a mount point. A change of it needs a restart, " +
		"and a line is all that Proxmox shows of it.",
	Example: "true", Lane: "root", Running: "restart: raw lines are written while the container is stopped",
}

const (
	rawMountKey  = "lxc.mount.entry: "
	rawMountTail = ",create=dir 0 0"
)

// fstabSpace and fstabText convert the characters that part the fields of a line (fstab(5); getmntent(3)).
var (
	fstabSpace = strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`)
	fstabText  = strings.NewReplacer(`\134`, `\`, `\040`, " ", `\011`, "\t")
)

// RawMount is the raw line that mounts a directory of the node in a container, as a mount with [KeepSnapshots] is
// written: "lxc.mount.entry: /srv/media media none bind,ro,create=dir 0 0". The place in the container is relative there
// (lxc.container.conf(5)).
func RawMount(where string, r Record) string {
	how := "bind"
	if ReadOnly.Or(r, false) {
		how = "bind,ro"
	}
	target := strings.Trim(path.Clean(where), "/")
	return rawMountKey + fstabSpace.Replace(HostPath.Or(r, "")) + " " + fstabSpace.Replace(target) + " none " + how + rawMountTail
}

// ParseRawMount reads what RawMount writes; ok is false for any other line, even if it mounts the same.
func ParseRawMount(line string) (where string, r Record, ok bool) {
	fields := strings.Split(strings.TrimPrefix(line, rawMountKey), " ")
	if len(fields) != 6 {
		return "", nil, false
	}
	r = Record{}
	HostPath.Set(r, fstabText.Replace(fields[0]))
	KeepSnapshots.Set(r, true)
	if strings.HasPrefix(fields[3], "bind,ro,") {
		ReadOnly.Set(r, true)
	}
	where = "/" + fstabText.Replace(fields[1])
	good := checkPath(where) == nil && checkPath(HostPath.Or(r, "")) == nil && where != "/"
	return where, r, good && RawMount(where, r) == line
}

// RawSource is the path of the node that a raw line of any form mounts.
func RawSource(line string) (source string, ok bool) {
	entry, isMount := strings.CutPrefix(line, rawMountKey)
	source, _, _ = strings.Cut(entry, " ")
	return fstabText.Replace(source), isMount && strings.HasPrefix(source, "/")
}

// rawMounts are the mounts that raw lines are, by where they are in the container, and the other lines.
func rawMounts(lines []string) (mounts Members, rest []string) {
	mounts = Members{}
	for _, line := range lines {
		where, r, ok := ParseRawMount(line)
		if _, twice := mounts[where]; !ok || twice {
			rest = append(rest, line)
			continue
		}
		mounts[where] = r
	}
	return mounts, rest
}

// AsRaw writes the mounts with [KeepSnapshots] of a record as raw lines, after those that it has, in the order of their
// paths: a mount comes after the one that it lies in. The record is not changed.
func AsRaw(r Record) Record {
	members, _ := r[Mounts.Path].(Members)
	rest, lines := Members{}, slices.Clone(Raw.Or(r, nil))
	for _, where := range slices.Sorted(maps.Keys(members)) {
		removed, _ := Removal(members[where])
		if !removed && KeepSnapshots.Or(members[where], false) {
			lines = append(lines, RawMount(where, members[where]))
			continue
		}
		rest[where] = members[where]
	}
	if len(rest) == len(members) {
		return r
	}
	out := maps.Clone(r)
	out[Mounts.Path] = rest
	Raw.Set(out, lines)
	return out
}

// FromRaw is the inverse of AsRaw, as far as there is one: raw lines that are such mounts become mounts, unless that
// would change what is mounted, or in which order.
func FromRaw(r Record) Record {
	lines := Raw.Or(r, nil)
	mounts, rest := rawMounts(lines)
	twice := slices.ContainsFunc(rest, func(line string) bool { _, _, ok := ParseRawMount(line); return ok })
	if len(mounts) == 0 || twice {
		return r
	}
	out, all := maps.Clone(r), Members{}
	members, _ := r[Mounts.Path].(Members)
	maps.Copy(all, members)
	for where, m := range mounts {
		if liesOver(where, members) {
			return r
		}
		all[where] = m
	}
	out[Mounts.Path] = all
	delete(out, Raw.Path)
	if len(rest) > 0 {
		Raw.Set(out, rest)
	}
	if !slices.Equal(Raw.Or(AsRaw(out), nil), lines) {
		return r
	}
	return out
}

// liesOver reports whether a mount by a raw line, which comes after all mount points, would lie at one of them or above.
func liesOver(where string, members Members) bool {
	for other := range members {
		if clean := path.Clean(other); clean == where || strings.HasPrefix(clean, where+"/") {
			return true
		}
	}
	return false
}

// rawMountLines shows raw lines that mount directories as the mounts that they are.
func rawMountLines(old, new []string) (lines []Line, restOld, restNew []string) {
	was, restOld := rawMounts(old)
	is, restNew := rawMounts(new)
	for _, where := range slices.Sorted(maps.Keys(was)) {
		if _, stays := is[where]; !stays {
			lines = append(lines, Line{"-", Mounts.Label + " " + where, volumeText(was[where])})
		}
	}
	for _, where := range slices.Sorted(maps.Keys(is)) {
		switch before, there := was[where]; {
		case !there:
			lines = append(lines, Line{"+", Mounts.Label + " " + where, volumeText(is[where])})
		case !mountObject.Equal(before, is[where]):
			lines = append(lines, Line{"~", Mounts.Label + " " + where, strings.Join(parts(mountObject.Rows, before, is[where]), ", ")})
		}
	}
	return lines, restOld, restNew
}

// RawMountsChanged are the places in the container whose mounts by raw lines differ between two lists of them.
func RawMountsChanged(old, new []string) map[string]bool {
	was, _ := rawMounts(old)
	is, _ := rawMounts(new)
	out := map[string]bool{}
	for _, m := range []Members{was, is} {
		for where := range m {
			if was[where] == nil || is[where] == nil || !mountObject.Equal(was[where], is[where]) {
				out[where] = true
			}
		}
	}
	return out
}
