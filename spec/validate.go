package spec

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

// Validate finds what is wrong across settings and across containers: what no row of the table can see by
// itself. The faults have paths and no places; those are known to who read the spec.
func Validate(s *State) []Fault {
	v := &validation{state: s, taken: map[string]claim{}}
	for _, c := range s.Containers {
		v.identity(c)
		v.volumes(c)
		v.network(c)
		v.sources(c)
		v.combinations(c)
	}
	v.dependencies()
	v.templates()
	v.hostMounts()
	v.snippets()
	v.jobs()
	v.policies()
	return v.faults
}

type validation struct {
	state  *State
	faults []Fault
	taken  map[string]claim
}

// fault reports what is wrong with a value. with are the other values that it was judged by.
func (v *validation) fault(at setting.Path, with []setting.Path, format string, args ...any) {
	v.faults = append(v.faults, Fault{At: at, With: with, Err: fmt.Errorf(format, args...)})
}

// A claim is something that only one container may have.
type claim struct {
	what, shown, key string
	owner            string         // who has it
	with             []setting.Path // what it is read from
}

// claim takes something for one container; it is a fault if another has it.
func (v *validation) claim(at setting.Path, c claim) {
	key := c.what + "\x00" + c.key
	if other, ok := v.taken[key]; ok {
		v.fault(at, slices.Concat(c.with, other.with), "%s %s is taken by %s: write another one", c.what, c.shown, other.owner)
		return
	}
	c.with = append(c.with, at)
	v.taken[key] = c
}

// pathOf is the path of a container's row.
func pathOf(c *Container, row setting.Row) setting.Path {
	return below(setting.Path{Containers.Path, c.Name}, row)[0]
}

// below are the paths of rows below a path.
func below(at setting.Path, rows ...setting.Row) []setting.Path {
	out := make([]setting.Path, len(rows))
	for i, row := range rows {
		out[i] = at.Join(strings.Split(row.SpecPath(), ".")...)
	}
	return out
}

// sources checks that a container is made from one thing.
func (v *validation) sources(c *Container) {
	rows := []setting.Row{FromTemplate, FromImage, FromBackup, CloneID}
	var last setting.Row
	n := 0
	for i, set := range []bool{c.From.Template != "", c.From.Image != "", c.From.Backup != "", c.From.Clone != Clone{}} {
		if set {
			n, last = n+1, rows[i]
		}
	}
	switch {
	case n > 1:
		v.fault(pathOf(c, last), nil, "is a second source beside another: keep one of template, image, clone and backup")
	case c.From.Clone != (Clone{}) && c.From.Clone.ID == 0:
		v.fault(pathOf(c, CloneID), nil, "is missing: write the VMID of the container to copy")
	case c.From.Clone.ID == c.ID && c.ID != 0:
		v.fault(pathOf(c, CloneID), nil, "is the container itself: write the VMID of another one")
	}
	if c.Lifecycle.AllowRecreate && c.Lifecycle.BackupTo == "" {
		v.fault(pathOf(c, BackupTo), []setting.Path{pathOf(c, RecreateRule)},
			"is missing: write the storage for the backup that recreate: allow makes first")
	}
}

// dependencies checks that what a container depends on exists, and that it does not depend on itself in the end.
func (v *validation) dependencies() {
	byName := map[string]*Container{}
	for _, c := range v.state.Containers {
		byName[c.Name] = c
	}
	state := map[string]int{} // 1: on the way, 2: done
	var visit func(c *Container)
	visit = func(c *Container) {
		state[c.Name] = 1
		for i, name := range c.DependsOn {
			at := pathOf(c, DependsOn).Join(strconv.Itoa(i))
			next := byName[name]
			switch {
			case next == nil:
				v.fault(at, nil, "there is no container %q%s", name, didYouMean(name, slices.Sorted(maps.Keys(byName))))
			case state[name] == 1:
				v.fault(at, nil, "depends, in the end, on %s itself: break the circle", c.Name)
			case state[name] == 0:
				visit(next)
			}
		}
		state[c.Name] = 2
	}
	for _, c := range v.state.Containers {
		if state[c.Name] == 0 {
			visit(c)
		}
	}
}

func didYouMean(name string, known []string) string {
	if n := setting.Nearest(name, known); n != "" {
		return fmt.Sprintf(": did you mean %q?", n)
	}
	return ""
}

// identity checks what tells containers apart and where they live.
func (v *validation) identity(c *Container) {
	owner := "container " + c.Name
	if c.ID == 0 {
		v.fault(pathOf(c, ID), nil, "is missing: write the VMID, as in id: %s", ID.Example)
	} else {
		id := fmt.Sprint(c.ID)
		v.claim(pathOf(c, ID), claim{what: "VMID", shown: id, key: id, owner: owner})
	}
	nodes := v.state.Cluster.Nodes
	switch {
	case c.Node == "":
		v.fault(pathOf(c, Node), nil, "is missing: write the node, here or in defaults")
	case len(nodes) > 0 && !slices.Contains(nodes, c.Node):
		v.fault(pathOf(c, Node), nil, "%q is none of cluster.nodes, which are %s: correct one of them", c.Node, strings.Join(nodes, ", "))
	}
	name := c.Hostname()
	v.claim(pathOf(c, setting.Hostname), claim{what: "host name", shown: name, key: strings.ToLower(name), owner: owner})
}

// room checks that a family has an index for each member, also after layers were merged.
func (v *validation) room(c *Container, fam *setting.Family, n int) {
	if n > fam.Max+1 {
		v.fault(pathOf(c, fam), nil, "%d members are more than the %d that Proxmox has room for: remove some", n, fam.Max+1)
	}
}

// combinations checks settings that do not go together.
func (v *validation) combinations(c *Container) {
	if c.Init.Password.File != "" && c.Init.Password.Env != "" {
		v.fault(pathOf(c, PasswordEnv), nil, "is a second source of the password beside file: keep one")
	}
	if setting.Template.Or(c.Settings, false) && c.Power == Running {
		v.fault(pathOf(c, setting.Template), []setting.Path{pathOf(c, PowerState)}, "cannot run: a template is never started; write state: stopped")
	}
	devices, _ := c.Settings[setting.Devices.Path].(setting.Members)
	v.room(c, setting.Devices, len(devices))
	seen := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(devices)) {
		at := pathOf(c, setting.Devices)
		clean := path.Clean(id)
		if other, ok := seen[clean]; ok {
			v.fault(at.Join(id), []setting.Path{at.Join(other)}, "is the same device as %s: remove one", other)
		}
		seen[clean] = id
	}
}
