package setting

import (
	"errors"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/property"
)

// Parts of a mount and of the root file system.
var (
	Storage = Key[string]{
		Path: "storage", Type: StorageName(), Virtual: true, Keep: true,
		Doc: "Storage on which the volume lies. A new volume is made there, and an existing one moved there.", Example: "local-zfs",
		Running: "restart: Proxmox moves volumes of stopped containers only",
	}
	Size = Key[Bytes]{
		// Proxmox makes a directory of 0, and gives it back as 0T (pve-container LXC.pm, alloc_disk).
		Path: "size", PVE: "size", Type: Amount(0, MiB, diskSize{}), Keep: true, Example: "64GiB",
		Doc: "Size of the volume. It can grow and never shrink. 0MiB is a directory without a limit, on storages that have such.",
	}
	Volume = Key[string]{
		Path: "volume", PVE: "volume", Keep: true, Example: "local-zfs:subvol-120-disk-1",
		Type: Text("volume of a storage, as in local-zfs:subvol-120-disk-1", checkVolume),
		Doc:  "Existing volume to mount, in place of a new one. Absent: the one that was made is kept.",
	}
	HostPath = Key[string]{
		Path: "hostPath", Type: Text("absolute path", checkPath), Virtual: true, Label: "host path", Example: "/srv/media",
		Doc: "Directory or block device of the node to mount (a bind mount), in place of a volume.", Lane: "root",
	}
	HostMount = Key[string]{
		Path: "hostMount", Type: Pattern("name of a host mount", `[A-Za-z0-9][-\w.]*`), Virtual: true,
		Doc: "Name of a host mount of the spec, in place of hostPath: the container is made and started after it is mounted.", Lane: "root", Example: "usb-media",
	}
	HostMountPath = Key[string]{
		Path: "path", Type: Text("relative path", CheckRelativePath), Virtual: true, Example: "films",
		Doc: "Directory below the host mount. Absent: the host mount itself.", Lane: "root",
	}
	ReadOnly = Key[bool]{
		Path: "readOnly", PVE: "ro", Type: Boolean(), Default: new(false), Absent: new(false), Doc: "Mount read-only.",
		Example: "true",
	}
	Backup = Key[bool]{
		Path: "backup", PVE: "backup", Type: Boolean(), Default: new(false), Absent: new(false), Example: "true",
		Doc: "Include the volume in backups. Bind mounts never are, the root file system always is.",
	}
	ACL = Key[bool]{
		Path: "acl", PVE: "acl", Type: Boolean(), Default: new(false), Absent: new(false), Label: "ACLs", Example: "true",
		Doc: "Mount with POSIX access control lists.",
	}
	IDMap = Key[string]{
		Path: "idmap", PVE: "idmap", Label: "id map", Example: `"u:0:100000:65536;g:0:100000:65536"`,
		Type: Pattern("id map: passthrough, or u:container:disk:length for users and g:… for groups, joined by ;",
			`passthrough|[ug]:\d+:\d+:\d+(;[ug]:\d+:\d+:\d+)*`),
		Doc: "How user and group ids of the volume appear in the container.",
	}
	KeepAttrs = Key[bool]{
		Path: "keepAttrs", PVE: "keepattrs", Type: Boolean(), Default: new(false), Absent: new(false), Example: "true",
		Doc: "Keep owner and mode of the mount point's directory.",
	}
	MountOptions = Key[[]string]{
		Path: "options", PVE: "mountoptions", Example: "[noatime]",
		Type: Unordered(List("mount option", semicolons, ";", func(s string) error {
			return oneOf(s, "discard", "lazytime", "noatime", "nodev", "noexec", "nosuid")
		})),
		Absent: new([]string(nil)),
		Doc:    "Mount options: discard, lazytime, noatime, nodev, noexec, nosuid.",
	}
	Quota = Key[bool]{
		Path: "quota", PVE: "quota", Type: Boolean(), Default: new(false), Absent: new(false), Example: "false",
		Doc: "Enable user quotas. Only privileged containers can start with them.",
	}
	Replicate = Key[bool]{
		Path: "replicate", PVE: "replicate", Type: Boolean(), Default: new(true), Absent: new(true), Example: "true",
		Doc: "Include the volume in storage replication.",
	}
	Shared = Key[bool]{
		Path: "shared", PVE: "shared", Type: Boolean(), Default: new(false), Absent: new(false), Example: "true",
		Doc: "Declare that the same is found under this path on every node, so that the container may migrate.",
	}
	OnRemove = Key[string]{
		Path: "onRemove", Type: Enum("detach", "destroy"), Virtual: true, Example: "destroy",
		Doc: "Alone, without any other field, it removes the mount: detach keeps the volume as unused, destroy destroys " +
			"it with its data. Beside a source (storage, volume, hostPath or hostMount) the mount stays, and nothing happens until " +
			"the other fields are taken away.",
	}
	MountPath = Key[string]{
		Path: "mp", PVE: "mp", Type: Text("absolute path", checkPath), Required: true, Doc: "path in the container",
	}
)

var rootObject = Object{
	Name: "root file system", DefaultKey: "volume", Needs: "volume", FromWire: volumeFromWire, ToWire: volumeToWire, Settle: settleVolume,
	Summary: volumeText,
	Rows:    []Row{Storage, Size, Volume, HostPath, ReadOnly, ACL, IDMap, MountOptions, Quota, Replicate, Shared},
}

// RootFS is the root file system.
var RootFS = Key[Record]{
	Path: "rootfs", PVE: "rootfs", Type: rootObject.Type(), Keep: true, Fixed: true, Label: "rootfs",
	Doc: "Root file system.", Example: "{storage: local-zfs, size: 8GiB}",
	OnEdit:  func(old, new *Record, f Facts) Effect { return editVolume(old, new, f) },
	MayEdit: mayMount,
	Running: "online to grow; else restart",
}

var mountObject = Object{
	Name: "mount", DefaultKey: "volume", Needs: "volume", FromWire: volumeFromWire, ToWire: volumeToWire, Settle: settleVolume,
	Summary: volumeText,
	Rows: []Row{
		Storage, Size, Volume, HostPath, HostMount, HostMountPath, ReadOnly, Backup, ACL, IDMap, KeepAttrs,
		MountOptions, Quota, Replicate, Shared, KeepSnapshots, OnRemove,
	},
}

// StorageName is the name of a storage (pve-storage; pve-common JSONSchema.pm, parse_storage_id).
func StorageName() Type[string] {
	return Pattern("name of a storage (a letter, then letters, digits, - _ .)", `[A-Za-z][-\w.]*[A-Za-z0-9]`)
}

// Mounts is mp0 to mp255.
var Mounts = &Family{
	Path: "mounts", PVE: "mp", Max: 255, Identity: MountPath, Label: "mount",
	Doc:     "Volumes and directories of the node, by the path in the container where they are mounted.",
	Example: "{/data: {storage: local-zfs, size: 64GiB}}",
	Member:  mountObject,
	OnEdit:  func(old, new *Record, _ int, f Facts) Effect { return editVolume(old, new, f) },
	MayEdit: mayMount, Hint: hintMount,
	Running: "online to add and to grow; else restart",
	Lane:    "token for volumes, root for directories and devices of the node",
}

// Unused is unused0 to unused255: volumes that the container has and does not mount. They are no setting:
// they come about, and go only with consent.
var Unused = &Family{
	Path: "unused", PVE: "unused", Max: 255, Label: "unused volume", Doc: "Volumes that are not mounted any more.",
	Member: Object{Name: "unused volume", Summary: func(Record) string { return "destroyed with its data" }},
}

// SameSource reports whether two mounts show the same data: the same volume or the same path of the node.
// A volume that is yet to be made is the same as one on its storage.
func SameSource(old, new Record) bool {
	oldHost, newHost := HostPath.Or(old, ""), HostPath.Or(new, "")
	if oldHost != "" || newHost != "" {
		return oldHost == newHost
	}
	want, ok := Volume.Get(new)
	return !ok || want == Volume.Or(old, "")
}

// Removal reports whether a mount of a spec says that it shall go, and whether its volume goes too. Only
// onRemove alone says so: a forgotten word beside it must not cost data.
func Removal(r Record) (removed, destroy bool) {
	how, ok := OnRemove.Get(r)
	removed = ok && len(r) == 1
	return removed, removed && how == "destroy"
}

// VolumeOwner is the VMID that a volume's name carries, and 0 where it carries none: Proxmox frees only
// volumes of the container itself (pve-storage Plugin.pm, parse_name_dir and the like).
func VolumeOwner(volume string) proxmox.VMID {
	m := volumeOwnerRE.FindStringSubmatch(volume)
	if m == nil {
		return 0
	}
	id, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return proxmox.VMID(id)
}

var volumeOwnerRE = regexp.MustCompile(`(?:^|[:/])(?:vm|subvol|basevol|base)-([0-9]+)-[^/]*$`)

func editVolume(old, new *Record, f Facts) Effect {
	switch {
	case old == nil:
		return Online
	case new == nil:
		return afterStop(old, new, f)
	case Size.Or(*new, 0) < Size.Or(*old, 0) && SameSource(*old, *new):
		return Refused
	}
	grown := maps.Clone(*old)
	if v, ok := Size.Get(*new); ok {
		Size.Set(grown, v)
	}
	if mountObject.Equal(grown, *new) {
		return Online
	}
	return afterStop(old, new, f)
}

// mayMount is pve-container LXC.pm, check_ct_modify_config_perm: paths of the node are for root; taking them
// away is not.
func mayMount(_, new *Record, _ Facts) Access {
	if new == nil {
		return Access{}
	}
	host := HostPath.Or(*new, "")
	if !fromNode(*new) {
		return Access{}
	}
	kind := "bind"
	if strings.HasPrefix(host, "/dev/") {
		kind = "device"
	}
	return Access{
		Root: true, Reason: kind + " mounts are for root@pam",
		Refusal: "Permission check failed (mount point type " + kind + " is only allowed for root@pam)",
	}
}

// fromNode reports whether a mount says anything that only a path of the node has.
func fromNode(r Record) bool {
	for _, path := range []string{HostPath.Path, HostMount.Path, HostMountPath.Path, KeepSnapshots.Path} {
		if _, ok := r[path]; ok {
			return true
		}
	}
	return false
}

func hintMount(old, new *Record, _ Facts) string {
	if old == nil || new != nil {
		return ""
	}
	if v, ok := Volume.Get(*old); ok {
		return "volume " + v + " is kept as unused"
	}
	return ""
}

// volumeFromWire splits what Proxmox calls the volume: "storage:name" is a volume, "/path" one of the node.
func volumeFromWire(r Record) Record {
	v, ok := Volume.Get(r)
	if !ok {
		return r
	}
	if strings.HasPrefix(v, "/") {
		delete(r, Volume.Path)
		HostPath.Set(r, v)
		return r
	}
	storage, _, _ := strings.Cut(v, ":")
	Storage.Set(r, storage)
	return r
}

// volumeToWire is the inverse. Only a mount that has no volume yet becomes "storage:GiB", which makes Proxmox
// allocate one: an existing volume is always written by its name, so that no second one can come about.
func volumeToWire(r Record) Record {
	out := maps.Clone(r)
	if host, ok := HostPath.Get(r); ok {
		Volume.Set(out, host)
		return out
	}
	if _, ok := Volume.Get(r); !ok {
		gib := float64(Size.Or(r, 4*GiB)) / float64(GiB)
		Volume.Set(out, Storage.Or(r, "")+":"+property.Number{}.Format(gib))
		delete(out, Size.Path)
	}
	return out
}

// settleVolume drops what was kept of another source than the spec's.
func settleVolume(spec, merged Record) Record {
	delete(merged, OnRemove.Path) // says what becomes of it later, and is nothing that Proxmox keeps
	if _, ok := HostPath.Get(spec); ok {
		for _, path := range []string{Volume.Path, Storage.Path, Size.Path} {
			delete(merged, path)
		}
	}
	if v, ok := Volume.Get(spec); ok {
		storage, _, _ := strings.Cut(v, ":")
		Storage.Set(merged, storage)
	}
	return merged
}

// volumeText is a mount in one line: how large and where from, then all else in brackets.
func volumeText(r Record) string {
	var parts, more []string
	volume, isVolume := Volume.Get(r)
	size, sized := Size.Get(r)
	storage := Storage.Or(r, "the default storage")
	switch host, ok := HostPath.Get(r); {
	case ok && strings.HasPrefix(host, "/dev/"):
		parts = append(parts, "device "+host)
	case ok:
		parts = append(parts, "bind "+host)
	case !sized && isVolume:
		parts = append(parts, "volume "+volume)
	case !sized:
		parts = append(parts, "volume on "+storage)
	case isVolume:
		parts, more = append(parts, size.String()+" on "+storage), []string{"volume " + volume}
	default:
		parts = append(parts, size.String()+" on "+storage)
	}
	for _, row := range []Row{ReadOnly, KeepSnapshots, Backup, ACL, KeepAttrs, Quota, Shared, IDMap} {
		more = append(more, partText(row, r))
	}
	if !Replicate.Or(r, true) {
		more = append(more, "not replicated")
	}
	if text := joinParts(append(more, MountOptions.Or(r, nil)...)); text != "" {
		parts = append(parts, "("+text+")")
	}
	return strings.Join(parts, " ")
}

func oneOf(s string, values ...string) error {
	for _, v := range values {
		if s == v {
			return nil
		}
	}
	return errors.New("is not one of " + strings.Join(values, ", "))
}
