package sim

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var confDir = regexp.MustCompile(`^/etc/pve/nodes/([^/]+)/lxc$`)

// ListDir names what is in a directory: the configuration files of containers, the processes of those that run, or
// what was written and made.
func (r *Root) ListDir(name string) ([]string, error) {
	r.sim.mu.RLock()
	defer r.sim.mu.RUnlock()
	var out []string
	if m := confDir.FindStringSubmatch(name); m != nil || name == "/proc" {
		for id, g := range r.sim.guests {
			switch {
			case g.vm != nil:
			case m != nil && g.node == m[1]:
				out = append(out, id.String()+".conf")
			case m == nil && g.node == r.node && g.running:
				out = append(out, id.String())
			}
		}
		slices.Sort(out)
		return out, nil
	}
	n := r.sim.st.Nodes[r.node]
	if n == nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	known := slices.Contains(n.Made, name)
	for _, p := range append(slices.Collect(maps.Keys(n.Files)), n.Made...) {
		if rest, below := strings.CutPrefix(p, name+"/"); below {
			first, _, _ := strings.Cut(rest, "/")
			if !slices.Contains(out, first) {
				out = append(out, first)
			}
		}
	}
	if !known && len(out) == 0 {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	slices.Sort(out)
	return out, nil
}

// MakeDir makes a directory.
func (r *Root) MakeDir(name string, _ fs.FileMode) (made bool, err error) {
	if !path.IsAbs(name) || path.Clean(name) != name {
		return false, fmt.Errorf("%q is not a plain absolute path", name)
	}
	if cfsLockPath.MatchString(name) {
		return r.makeLock(name)
	}
	r.sim.mu.Lock()
	n := r.sim.st.Nodes[r.node]
	if n != nil && !slices.Contains(n.Made, name) {
		n.Made, made = append(n.Made, name), true
		slices.Sort(n.Made)
		r.sim.store.touch()
	}
	r.sim.mu.Unlock()
	if n == nil {
		return false, fmt.Errorf("there is no node %s", r.node)
	}
	return made, r.sim.store.sync()
}

var procFile = regexp.MustCompile(`^/proc/(\d+)/(cgroup|mountinfo)$`)

// process is a file about the one process that each running container has, whose number is the container's.
func (r *Root) process(name string) ([]byte, bool) {
	m := procFile.FindStringSubmatch(name)
	if m == nil {
		return nil, false
	}
	id, err := parseVMID(m[1])
	g := r.sim.guests[id]
	if err != nil || g == nil || g.vm != nil || !g.running || g.node != r.node {
		return nil, false
	}
	if m[2] == "cgroup" {
		return []byte("0::/lxc/" + id.String() + "/ns/init.scope\n"), true
	}
	var b strings.Builder
	for i, d := range r.sim.st.Nodes[r.node].Disks {
		for _, p := range bindSources(g) {
			if d.MountedAt != "" && (p == d.MountedAt || strings.HasPrefix(p, d.MountedAt+"/")) {
				b.WriteString("100 99 " + devNumber(i) + " / " + p + " rw - " + d.Type + " " + d.Device + " rw\n")
			}
		}
	}
	return []byte(b.String()), true
}

// devNumber is the device number of a disk.
func devNumber(i int) string { return "8:" + strconv.Itoa(i+1) }
