package spec

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// Rows of a host mount.
var (
	HostMountNode = setting.Key[string]{
		Path: "node", Type: Node.Type, Required: true, Doc: "Node that has the disk.", Example: "pve1",
	}
	HostMountDevice = setting.Key[string]{
		Path: "device", Required: true, Example: "UUID=6f8d2b1e-3c44-4a19-9d6a-0f2c7e5b8a90",
		Type: setting.Text("UUID=…, LABEL=… or a path below /dev/disk/by-id", proxmox.CheckMountDevice),
		Doc: "File system, by what stays the same when disks are plugged in another way: UUID=…, LABEL=…, PARTUUID=… or a " +
			"path below /dev/disk/by-id. blkid on the node shows them. It must be there: nothing is ever formatted.",
	}
	HostMountPoint = setting.Key[string]{
		Path: "path", Required: true, Example: "/mnt/usb-media",
		Type: setting.Text("absolute path below /mnt, /media or /srv", proxmox.CheckMountPoint),
		Doc: "Where it is mounted on the node: below /mnt, /media or /srv. The directory is made, so that nothing can be " +
			"written to it while the disk is away.",
	}
	HostMountFS = setting.Key[string]{
		Path: "filesystem", Type: setting.Text("type of a file system, as in ext4", proxmox.CheckFilesystem), Example: "ext4",
		Doc: "Type of the file system. Another one that is found is refused. Absent: what is found.",
	}
	HostMountOptions = setting.Key[[]string]{
		Path: "options", Example: "[noatime]", Label: "options",
		Type: setting.Unordered(setting.List("mount option", setting.Words, ",", proxmox.CheckMountOption)),
		Doc:  "Options of the mount. It always has nofail and a time limit: a disk that is away keeps the node from nothing.",
	}
)

// HostMountFields is everything that may be written for one host mount.
var HostMountFields = setting.Object{
	Name: "host mount",
	Rows: []setting.Row{HostMountNode, HostMountDevice, HostMountPoint, HostMountFS, HostMountOptions},
}

// HostMounts is where they are written.
var HostMounts = setting.Key[setting.Members]{
	Path: "hostMounts", Type: setting.Mapping(setting.Pattern("name of a host mount (letters, digits, - _ .)", proxmox.MountNameExpr), HostMountFields),
	Doc: "File systems of nodes that are mounted for containers, such as USB disks. Containers name them: mounts: {/media: " +
		"{hostMount: usb-media}}. Only root on the node can mount them. Where this is written, tend's own host mounts that " +
		"are not in it are unmounted once no container uses them, and no others.",
	Example: "{usb-media: {node: pve1, device: UUID=6f8d2b1e-3c44-4a19-9d6a-0f2c7e5b8a90, path: /mnt/usb-media}}",
}

// A HostMount is a file system of a node that is mounted for containers.
type HostMount struct {
	proxmox.HostMount
	Node  string
	Place Place
}

// NewHostMount makes a HostMount from the values of [HostMountFields].
func NewHostMount(name string, r setting.Record, at Place) *HostMount {
	m := &HostMount{Node: HostMountNode.Or(r, ""), Place: at}
	m.HostMount = proxmox.HostMount{
		Name: name, Device: HostMountDevice.Or(r, ""), Path: HostMountPoint.Or(r, ""), Filesystem: HostMountFS.Or(r, ""),
	}
	for _, o := range HostMountOptions.Or(r, nil) {
		if o != "nofail" { // which it has anyway
			m.Options = append(m.Options, o)
		}
	}
	return m
}

// Record is the inverse of [NewHostMount].
func (m *HostMount) Record() setting.Record {
	r := setting.Record{}
	for key, text := range map[*setting.Key[string]]string{
		&HostMountNode: m.Node, &HostMountDevice: m.Device, &HostMountPoint: m.Path, &HostMountFS: m.Filesystem,
	} {
		if text != "" {
			key.Set(r, text)
		}
	}
	if len(m.Options) > 0 {
		HostMountOptions.Set(r, m.Options)
	}
	return r
}

// HostMount returns the host mount with a name, or nil.
func (s *State) HostMount(name string) *HostMount {
	i := slices.IndexFunc(s.HostMounts, func(m *HostMount) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return s.HostMounts[i]
}

// Uses are the host mounts that a container names, sorted by name, those that do not exist left out.
func (s *State) Uses(c *Container) []*HostMount {
	found := map[string]*HostMount{}
	for _, r := range mountsOf(c.Settings) {
		if m := s.HostMount(setting.HostMount.Or(r, "")); m != nil {
			found[m.Name] = m
		}
	}
	var out []*HostMount
	for _, name := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[name])
	}
	return out
}

// hostMounts checks the host mounts, and that those that containers name are there.
func (v *validation) hostMounts() {
	var names []string
	for _, m := range v.state.HostMounts {
		names = append(names, m.Name)
		at := setting.Path{HostMounts.Path, m.Name}
		for _, row := range []setting.Key[string]{HostMountNode, HostMountDevice, HostMountPoint} {
			if row.Or(m.Record(), "") == "" {
				v.fault(at.Join(row.Path), nil, "is missing: write it, as in %s: %s", row.Path, row.Example)
			}
		}
		if nodes := v.state.Cluster.Nodes; len(nodes) > 0 && m.Node != "" && !contains(nodes, m.Node) {
			v.fault(at.Join(HostMountNode.Path), nil, "%q is none of cluster.nodes, which are %s: correct one of them", m.Node, strings.Join(nodes, ", "))
		}
	}
	for i, m := range v.state.HostMounts {
		for _, other := range v.state.HostMounts[:i] {
			v.twoMounts(m, other)
		}
	}
	for _, c := range v.state.Containers {
		for _, id := range slices.Sorted(maps.Keys(mountsOf(c.Settings))) {
			v.hostMount(c, pathOf(c, setting.Mounts).Join(id), mountsOf(c.Settings)[id], names)
		}
	}
}

// twoMounts checks that two host mounts of a node do not get in each other's way.
func (v *validation) twoMounts(m, other *HostMount) {
	at, there := setting.Path{HostMounts.Path, m.Name}, setting.Path{HostMounts.Path, other.Name}
	if m.Node != other.Node || m.Node == "" {
		return
	}
	with := func(row setting.Row) []setting.Path {
		return append(below(there, row, HostMountNode), at.Join(HostMountNode.Path))
	}
	if m.Device != "" && m.Device == other.Device {
		v.fault(at.Join(HostMountDevice.Path), with(HostMountDevice), "is mounted by %s already: mount it once, and name directories below it with path", other.Name)
	}
	switch {
	case m.Path == "" || other.Path == "":
	case m.Path == other.Path:
		v.fault(at.Join(HostMountPoint.Path), with(HostMountPoint), "is where %s is mounted: write another one", other.Name)
	case strings.HasPrefix(m.Path, other.Path+"/"):
		v.fault(at.Join(HostMountPoint.Path), with(HostMountPoint), "lies within %s, which is mounted at %s: write one beside it", other.Name, other.Path)
	case strings.HasPrefix(other.Path, m.Path+"/"):
		v.fault(at.Join(HostMountPoint.Path), with(HostMountPoint), "contains %s, which is mounted at %s: write one beside it", other.Name, other.Path)
	}
}

// hostMount checks the host mount that a mount of a container names.
func (v *validation) hostMount(c *Container, at setting.Path, r setting.Record, names []string) {
	name, named := setting.HostMount.Get(r)
	below, has := setting.HostMountPath.Get(r)
	switch m := v.state.HostMount(name); {
	case !named && has:
		v.fault(at.Join(setting.HostMountPath.Path), []setting.Path{at.Join(setting.HostMount.Path)}, "is a directory below a host mount, and there is none: write hostMount, or the whole path as hostPath")
	case !named:
	case m == nil:
		v.fault(at.Join(setting.HostMount.Path), nil, "there is no host mount %q%s", name, didYouMean(name, names))
	case m.Node != c.Node && m.Node != "" && c.Node != "":
		v.fault(at.Join(setting.HostMount.Path), []setting.Path{pathOf(c, Node), {HostMounts.Path, name, HostMountNode.Path}},
			"%s is mounted on node %s, and the container is for %s: correct one of them", name, m.Node, c.Node)
	case has && path.Join(m.Path, below) == m.Path:
		v.fault(at.Join(setting.HostMountPath.Path), nil, "is the host mount itself: remove it")
	}
}

func mountsOf(r setting.Record) setting.Members {
	m, _ := r[setting.Mounts.Path].(setting.Members)
	return m
}
