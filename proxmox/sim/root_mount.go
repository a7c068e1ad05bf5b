package sim

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// A Disk is a block device of a node that holds a file system.
type Disk struct {
	Device    string `yaml:"device"`         // "/dev/sdb1"
	Type      string `yaml:"type,omitempty"` // "ext4"; empty: it holds none
	UUID      string `yaml:"uuid,omitempty"`
	Label     string `yaml:"label,omitempty"`
	PartUUID  string `yaml:"partuuid,omitempty"`
	ID        string `yaml:"id,omitempty"` // its name below /dev/disk/by-id
	MountedAt string `yaml:"mountedAt,omitempty"`
	Busy      bool   `yaml:"busy,omitempty"` // a process of the node has a file of it open
}

// is reports whether a text names the disk: a tag, its device, or a link to it.
func (d *Disk) is(name string) bool {
	switch tag, value, tagged := strings.Cut(name, "="); {
	case tagged:
		have := map[string]string{"UUID": d.UUID, "LABEL": d.Label, "PARTUUID": d.PartUUID}
		return value != "" && have[tag] == value
	case d.ID != "" && name == "/dev/disk/by-id/"+d.ID, d.UUID != "" && name == "/dev/disk/by-uuid/"+d.UUID:
		return true
	}
	return name == d.Device
}

// bindSources are the paths of the node that a container mounts: by mount points and by raw lines.
func bindSources(g *guest) (out []string) {
	for m := range g.conf.mounts() {
		if m.kind == bindMount {
			out = append(out, m.volume)
		}
	}
	for line := range strings.Lines(g.raw) {
		if strings.HasPrefix(line, "[") {
			break
		}
		if entry, ok := strings.CutPrefix(line, "lxc.mount.entry: "); ok {
			source, _, _ := strings.Cut(entry, " ")
			out = append(out, strings.ReplaceAll(source, `\040`, " "))
		}
	}
	return out
}

// wants is where systemd keeps which units the start of the node wants.
const (
	unitDir = "/etc/systemd/system/"
	wants   = unitDir + "multi-user.target.wants/"
)

// ofMounts is a program that needs its words alone.
func ofMounts(run func([]string) shellReply) func(context.Context, []string, []byte) (shellReply, error) {
	return func(_ context.Context, words []string, _ []byte) (shellReply, error) { return run(words), nil }
}

// systemd takes the words of systemctl.
func (r *Root) systemd(words []string) shellReply {
	return r.systemctl(words[0], words[len(words)-1])
}

// systemctl is systemd with mount units, as far as tend needs it.
func (r *Root) systemctl(verb, unit string) shellReply {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	n := r.sim.st.Nodes[r.node]
	failed := func(format string, args ...any) shellReply {
		return shellReply{stderr: fmt.Sprintf(format, args...) + "\n", exit: 1}
	}
	file := n.Files[unitDir+unit]
	if verb == "daemon-reload" {
		return shellReply{}
	}
	if file == nil {
		return failed("Failed to %s unit: Unit file %s does not exist.", verb, unit)
	}
	defer r.sim.store.touch()
	what, where, kind := unitMount(file.Content)
	i := slices.IndexFunc(n.Disks, func(d *Disk) bool { return d.is(what) })
	switch verb {
	case "enable":
		n.Files[wants+unit] = &File{Content: "link"}
	case "disable":
		delete(n.Files, wants+unit)
	case "is-enabled":
		if n.Files[wants+unit] == nil {
			return shellReply{stdout: "disabled\n", exit: 1}
		}
		return shellReply{stdout: "enabled\n"}
	case "start":
		if i < 0 || kind != "" && kind != n.Disks[i].Type {
			return failed("Job for %s failed. See \"systemctl status %s\" and \"journalctl -xeu %s\" for details.", unit, unit, unit)
		}
		n.Disks[i].MountedAt = where
	case "reload":
		if at := r.mountedAt(where); at < 0 {
			return failed("%s is not active, cannot reload.", unit)
		}
	case "stop":
		at := r.mountedAt(where)
		if at >= 0 && n.Disks[at].Busy {
			return failed("Job for %s failed. See \"systemctl status %s\" and \"journalctl -xeu %s\" for details.", unit, unit, unit)
		}
		if at >= 0 {
			n.Disks[at].MountedAt = ""
		}
	default:
		return failed("Unknown command verb %s.", verb)
	}
	return shellReply{}
}

// mountedAt is the index of the disk that is mounted at a place, -1 where none is.
func (r *Root) mountedAt(where string) int {
	return slices.IndexFunc(r.sim.st.Nodes[r.node].Disks, func(d *Disk) bool { return d.MountedAt == where && where != "" })
}

func unitMount(text string) (what, where, kind string) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "What":
			what = value
		case "Where":
			where = value
		case "Type":
			kind = value
		}
	}
	return what, where, kind
}

// findmnt lists what is mounted, as JSON.
func (r *Root) findmnt(words []string) shellReply {
	r.sim.mu.RLock()
	defer r.sim.mu.RUnlock()
	list := []map[string]string{}
	for i, d := range r.sim.st.Nodes[r.node].Disks {
		where, source := optionOf(words, "--mountpoint"), optionOf(words, "--source")
		if d.MountedAt == "" || where != "" && where != d.MountedAt || source != "" && !d.is(source) {
			continue
		}
		list = append(list, map[string]string{"source": d.Device, "target": d.MountedAt, "fstype": d.Type, "maj:min": devNumber(i)})
	}
	r.sim.eachPart(r.node, func(d *Drive, p *DrivePart) {
		where, source := optionOf(words, "--mountpoint"), optionOf(words, "--source")
		if p.Mount != "" && (where == "" || where == p.Mount) && (source == "" || source == p.Device) {
			list = append(list, map[string]string{"source": p.source(), "target": p.Mount, "fstype": p.mountType(), "maj:min": "259:1"})
		}
	})
	if len(list) == 0 {
		return shellReply{exit: 1}
	}
	text, _ := json.Marshal(map[string]any{"filesystems": list}) // of texts, which never fails
	return shellReply{stdout: string(text) + "\n"}
}

func optionOf(words []string, name string) string {
	if i := slices.Index(words, name); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

// blkid tells of the disks, or of one, as a shell would read it.
func (r *Root) blkid(words []string) shellReply {
	r.sim.mu.RLock()
	defer r.sim.mu.RUnlock()
	device := ""
	if last := words[len(words)-1]; path.IsAbs(last) && last != "/dev/null" {
		device = last
	}
	var b strings.Builder
	for _, d := range r.sim.st.Nodes[r.node].Disks {
		if device != "" && !d.is(device) || d.Type == "" && d.PartUUID == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		for _, f := range [][2]string{{"DEVNAME", d.Device}, {"LABEL", d.Label}, {"UUID", d.UUID}, {"TYPE", d.Type}, {"PARTUUID", d.PartUUID}} {
			if f[1] != "" {
				b.WriteString(f[0] + "=" + f[1] + "\n")
			}
		}
	}
	r.sim.eachPart(r.node, func(_ *Drive, p *DrivePart) {
		if p.UUID == "" || device != "" && device != p.Device {
			return
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "DEVNAME=%s\nUUID=%s\nTYPE=%s\n", p.Device, p.UUID, cmp.Or(p.Type, "ext4"))
	})
	if b.Len() == 0 {
		return shellReply{exit: 2}
	}
	return shellReply{stdout: b.String()}
}
