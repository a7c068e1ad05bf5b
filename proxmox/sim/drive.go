package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Drive is a physical disk of a node, with what lies on it and what it says of its health.
type Drive struct {
	Device string `yaml:"device"` // "/dev/sda", "/dev/nvme0n1"
	Type   string `yaml:"type"`   // hdd, ssd, nvme or usb
	Model  string `yaml:"model,omitempty"`
	Serial string `yaml:"serial,omitempty"`
	WWN    string `yaml:"wwn,omitempty"`
	ID     string `yaml:"id,omitempty"` // its name below /dev/disk/by-id
	Size   Bytes  `yaml:"size"`

	Health      string `yaml:"health,omitempty"` // what its check says: PASSED where empty, FAILED!; UNKNOWN: it cannot be asked
	Used        int    `yaml:"used,omitempty"`   // percent of its endurance, where it does not turn
	Celsius     int    `yaml:"celsius,omitempty"`
	Hours       int    `yaml:"hours,omitempty"`
	Reallocated int    `yaml:"reallocated,omitempty"`
	Pending     int    `yaml:"pending,omitempty"`
	Errors      int    `yaml:"errors,omitempty"`

	Parts []*DrivePart `yaml:"parts,omitempty"` // partitions, or the whole disk by its own device
}

// A DrivePart is what a part of a drive is used for: one of these.
type DrivePart struct {
	Device string `yaml:"device"`
	Size   Bytes  `yaml:"size,omitempty"`
	VG     string `yaml:"vg,omitempty"`   // volume group of LVM
	Pool   string `yaml:"pool,omitempty"` // of ZFS
	Vdev   string `yaml:"vdev,omitempty"` // group of the pool that it is in: mirror-0; or logs, cache, spares
	UUID   string `yaml:"uuid,omitempty"` // of its file system
	Type   string `yaml:"type,omitempty"` // of its file system; ext4 where it has one
	Mount  string `yaml:"mount,omitempty"`
}

// SensorFeatures are the values of one sensor as lm-sensors names them: temp1_input, temp1_max.
type SensorFeatures map[string]float64

var diskRoutes = []route{
	{method: "GET", path: "/nodes/{node}/disks", onNode: true, perm: need("/", "Sys.Audit"), handler: index("name", "list",
		"initgpt", "smart", "lvm", "lvmthin", "directory", "wipedisk", "zfs")},
	{
		method: "GET", path: "/nodes/{node}/disks/list", onNode: true, protected: true,
		perm:  either(need("/", "Sys.Audit"), need("/nodes/{node}", "Sys.Audit"), "node"),
		props: props{"include-partitions": boolean(), "skipsmart": boolean(), "type": enum("unused", "journal_disks")}, handler: listDisks,
	},
	{
		method: "GET", path: "/nodes/{node}/disks/smart", onNode: true, protected: true, perm: need("/", "Sys.Audit"),
		props: props{"disk": matching(`/dev/[a-zA-Z0-9\/]+`).need(), "healthonly": boolean()}, handler: diskSmart,
	},
	{method: "GET", path: "/nodes/{node}/disks/lvm", onNode: true, protected: true, perm: need("/", "Sys.Audit"), handler: listGroups},
	{method: "GET", path: "/nodes/{node}/disks/zfs", onNode: true, protected: true, perm: need("/", "Sys.Audit"), handler: listZPools},
	{
		method: "GET", path: "/nodes/{node}/disks/zfs/{name}", onNode: true, protected: true, perm: need("/", "Sys.Audit"),
		props: props{"name": format("pve-storage-id").need()}, handler: zpoolDetail,
	},
	{method: "GET", path: "/nodes/{node}/disks/directory", onNode: true, protected: true, perm: need("/", "Sys.Audit"), handler: listDiskDirectories},
}

func (d *Drive) flash() bool { return d.Type == "ssd" || d.Type == "nvme" }

// said is what the disk's check says.
func (d *Drive) said() string { return cmp.Or(d.Health, "PASSED") }

// asked reports whether the disk can be asked.
func (d *Drive) asked() bool { return d.Health != "UNKNOWN" }

// row is an entry of Diskmanage.pm, get_disks.
func (d *Drive) row(skip, parts bool) map[string]any {
	row := map[string]any{
		"devpath": d.Device, "type": d.Type, "vendor": "unknown", "model": cmp.Or(d.Model, "unknown"), "serial": cmp.Or(d.Serial, "unknown"),
		"wwn": cmp.Or(d.WWN, "unknown"), "size": int64(d.Size), "gpt": flag(d.partitioned()), "rpm": 0, "health": "UNKNOWN", "wearout": "N/A",
		"osdid": -1, "osdid-list": nil,
	}
	if d.Type == "hdd" {
		row["rpm"] = "7200"
	}
	if d.ID != "" {
		row["by_id_link"] = "/dev/disk/by-id/" + d.ID
	}
	if !skip && d.asked() {
		row["health"] = d.said()
		if d.flash() {
			row["wearout"] = 100 - d.Used
		}
	}
	for _, p := range d.Parts {
		if used := p.used(); used != "" && row["used"] == nil {
			row["used"] = used
		}
		if p.Device == d.Device && p.Mount != "" {
			row["mounted"] = 1
		}
	}
	if d.partitioned() && parts {
		row["used"] = "partitions"
	}
	return row
}

func (d *Drive) partitioned() bool {
	return slices.ContainsFunc(d.Parts, func(p *DrivePart) bool { return p.Device != d.Device })
}

// used is Diskmanage.pm, determine_usage.
func (p *DrivePart) used() string {
	switch {
	case p.VG != "":
		return "LVM"
	case p.Pool != "":
		return "ZFS"
	case p.UUID != "" || p.Type != "":
		return cmp.Or(p.Type, "ext4")
	case p.Mount != "":
		return "mounted"
	}
	return ""
}

// source is what is mounted where a part is: a volume of the group, a data set of the pool, or the part itself.
func (p *DrivePart) source() string {
	switch {
	case p.VG != "":
		return "/dev/mapper/" + strings.ReplaceAll(p.VG, "-", "--") + "-root"
	case p.Pool != "":
		return p.Pool + "/ROOT/pve-1"
	}
	return p.Device
}

// mountType is the type of the file system of [DrivePart.source].
func (p *DrivePart) mountType() string {
	if p.Pool != "" {
		return "zfs"
	}
	return cmp.Or(p.Type, "ext4")
}

func (p *DrivePart) row(d *Drive) map[string]any {
	row := map[string]any{
		"devpath": p.Device, "parent": d.Device, "type": "partition", "size": int64(p.Size), "gpt": 1, "osdid": -1, "osdid-list": nil, "used": nil,
	}
	if used := p.used(); used != "" {
		row["used"] = used
	}
	if p.Mount != "" {
		row["mounted"] = 1
	}
	return row
}

// listDisks is API2/Disks.pm, list.
func listDisks(c *call) (any, error) {
	rows := []map[string]any{}
	for _, d := range c.sim.st.Nodes[c.node].Drives {
		rows = append(rows, d.row(c.on("skipsmart"), c.on("include-partitions")))
		for _, p := range d.Parts {
			if c.on("include-partitions") && p.Device != d.Device {
				rows = append(rows, p.row(d))
			}
		}
	}
	switch c.str("type") {
	case "unused":
		rows = slices.DeleteFunc(rows, func(r map[string]any) bool { return r["used"] != nil })
	case "journal_disks":
		rows = slices.DeleteFunc(rows, func(r map[string]any) bool {
			return r["used"] != nil && r["used"] != "LVM" && (r["used"] != "partitions" || r["gpt"] != 1)
		})
	}
	slices.SortFunc(rows, func(a, b map[string]any) int { return strings.Compare(a["devpath"].(string), b["devpath"].(string)) })
	return rows, nil
}

// listGroups is API2/Disks/LVM.pm, index.
func listGroups(c *call) (any, error) {
	type group struct {
		size    int64
		volumes []map[string]any
	}
	groups := map[string]*group{}
	c.sim.eachPart(c.node, func(_ *Drive, p *DrivePart) {
		if p.VG == "" {
			return
		}
		g := groups[p.VG]
		if g == nil {
			g = &group{}
			groups[p.VG] = g
		}
		g.size += int64(p.Size)
		g.volumes = append(g.volumes, map[string]any{"name": p.Device, "size": int64(p.Size), "free": 0, "leaf": 1})
	})
	rows := []map[string]any{}
	for _, name := range sortedKeys(groups) {
		g := groups[name]
		rows = append(rows, map[string]any{"name": name, "size": g.size, "free": 0, "lvcount": 1, "leaf": 0, "children": g.volumes})
	}
	return map[string]any{"leaf": 0, "children": rows}, nil
}

func (s *Sim) eachPart(node string, f func(*Drive, *DrivePart)) {
	for _, d := range s.st.Nodes[node].Drives {
		for _, p := range d.Parts {
			f(d, p)
		}
	}
}

// listZPools is API2/Disks/ZFS.pm, index.
func listZPools(c *call) (any, error) {
	sizes := map[string]int64{}
	c.sim.eachPart(c.node, func(_ *Drive, p *DrivePart) {
		if p.Pool != "" {
			sizes[p.Pool] += int64(p.Size)
		}
	})
	rows := []map[string]any{}
	for _, name := range sortedKeys(sizes) {
		rows = append(rows, map[string]any{"name": name, "size": sizes[name], "alloc": 0, "free": sizes[name], "frag": 0, "dedup": 1, "health": "ONLINE"})
	}
	return rows, nil
}

// zpoolDetail is API2/Disks/ZFS.pm, detail: what "zpool status -P" shows, which names devices by their links.
func zpoolDetail(c *call) (any, error) {
	name := c.str("name")
	leaf := func(device string) map[string]any {
		return map[string]any{"name": device, "state": "ONLINE", "read": 0, "write": 0, "cksum": 0, "msg": "", "leaf": 1}
	}
	groups, order := map[string][]any{}, []string{}
	c.sim.eachPart(c.node, func(d *Drive, p *DrivePart) {
		if p.Pool != name {
			return
		}
		if groups[p.Vdev] == nil {
			order = append(order, p.Vdev)
		}
		groups[p.Vdev] = append(groups[p.Vdev], leaf(d.link(p)))
	})
	if len(order) == 0 {
		return nil, dief("command '/sbin/zpool status -P %s' failed: exit code 1", name)
	}
	root := map[string]any{"name": name, "state": "ONLINE", "read": 0, "write": 0, "cksum": 0, "msg": "", "leaf": 0}
	inside, beside := []any{}, []any{}
	for _, v := range order {
		switch v {
		case "":
			inside = append(inside, groups[v]...)
		case "logs", "cache", "spares", "special":
			beside = append(beside, map[string]any{"name": v, "msg": "", "leaf": 0, "children": groups[v]})
		default:
			inside = append(inside, map[string]any{"name": v, "state": "ONLINE", "read": 0, "write": 0, "cksum": 0, "msg": "", "leaf": 0, "children": groups[v]})
		}
	}
	root["children"] = inside
	return map[string]any{
		"name": name, "state": "ONLINE", "errors": "No known data errors", "leaf": 0, "children": append([]any{root}, beside...),
	}, nil
}

// link is how zpool names a part: by its link where the drive has one.
func (d *Drive) link(p *DrivePart) string {
	n := strings.TrimPrefix(strings.TrimPrefix(p.Device, d.Device), "p")
	switch {
	case d.ID == "":
		return p.Device
	case n == "":
		return "/dev/disk/by-id/" + d.ID
	}
	return "/dev/disk/by-id/" + d.ID + "-part" + n
}

// listDiskDirectories is API2/Disks/Directory.pm, index: the mounts below /mnt/pve.
func listDiskDirectories(c *call) (any, error) {
	rows := []map[string]any{}
	c.sim.eachPart(c.node, func(_ *Drive, p *DrivePart) {
		if name, ok := strings.CutPrefix(p.Mount, "/mnt/pve/"); ok {
			rows = append(rows, map[string]any{
				"unitfile": "/etc/systemd/system/mnt-pve-" + name + ".mount", "path": p.Mount, "device": "/dev/disk/by-uuid/" + p.UUID,
				"type": cmp.Or(p.Type, "ext4"), "options": "defaults",
			})
		}
	})
	return rows, nil
}

// cloneDrives is a deep copy.
func cloneDrives(list []*Drive) []*Drive {
	out := slices.Clone(list)
	for i, d := range out {
		out[i] = new(*d)
		out[i].Parts = slices.Clone(d.Parts)
		for j, p := range d.Parts {
			out[i].Parts[j] = new(*p)
		}
	}
	return out
}

func cloneSensors(chips map[string]map[string]SensorFeatures) map[string]map[string]SensorFeatures {
	out := maps.Clone(chips)
	for chip, list := range out {
		out[chip] = maps.Clone(list)
		for name, values := range list {
			out[chip][name] = maps.Clone(values)
		}
	}
	return out
}

// drives checks what is written of disks.
func (c *stateChecker) drives(where string, n *Node) {
	for i, d := range n.Drives {
		at := fmt.Sprintf("%s.drives[%d]", where, i)
		switch {
		case d == nil || !strings.HasPrefix(d.Device, "/dev/"):
			c.add(at, "needs a device, as in /dev/sda")
		case !slices.Contains([]string{"hdd", "ssd", "nvme", "usb"}, d.Type):
			c.add(at, "type %q is not one of hdd, ssd, nvme, usb", d.Type)
		case slices.ContainsFunc(d.Parts, func(p *DrivePart) bool { return p == nil || !strings.HasPrefix(p.Device, d.Device) }):
			c.add(at, "each part needs a device that is %s or begins so", d.Device)
		}
	}
}
