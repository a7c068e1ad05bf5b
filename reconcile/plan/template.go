package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A source is what a template of the spec is on a node: a volume that is there or will be, or the reason why not.
type source struct {
	volume string
	after  []Subject // the lane that makes it present, where it is not there yet
	why    string
	ways   []string
	// unknown says that it is not known yet what there is.
	unknown bool
}

// templates plans the templates of the spec, on each node that shall have them, before the containers.
func (c *computation) templates() {
	c.sources = map[string]map[string]source{}
	for _, t := range c.want.Templates {
		c.sources[t.Name] = map[string]source{}
		first := "" // node that has the shared storage
		for _, node := range c.templateNodes(t) {
			here := c.have.Storages[node][t.Storage]
			if first != "" && here.Shared { // one lane is enough for all nodes
				c.sources[t.Name][node] = c.sources[t.Name][first]
				continue
			}
			c.sources[t.Name][node] = c.template(t, node)
			if here.Shared {
				first = node
			}
		}
	}
}

// templateNodes are the nodes that shall have a template, the first of them the one that fetches it to a shared
// storage. A node that is offline is left out: it has nothing now, and gets it when it is back.
func (c *computation) templateNodes(t *spec.Template) []string {
	var nodes []string
	add := func(n string) {
		if !slices.Contains(nodes, n) {
			nodes = append(nodes, n)
		}
	}
	for _, n := range t.Nodes {
		add(n)
	}
	if len(nodes) == 0 {
		for _, w := range c.want.Containers {
			if w.From.Template == t.Name || w.From.Image == t.Name {
				add(w.Node)
			}
		}
	}
	if len(nodes) == 0 {
		nodes = slices.Sorted(maps.Keys(c.have.Nodes))
	}
	slices.Sort(nodes)
	return slices.DeleteFunc(nodes, func(n string) bool { return !c.have.Nodes[n] })
}

// template plans one template on one node.
func (c *computation) template(t *spec.Template, node string) source {
	if c.have.Storages[node] == nil || c.have.Templates[node] == nil {
		c.plan.needs.Templates[node] = true
		c.plan.needs.Storages[node] = true
		return source{volume: t.Volume(t.FileName()), unknown: true} // it is taken for present, until it is known
	}
	block := func(why string, ways ...string) source {
		c.block(Blocked{Kind: TemplateKind, Name: t.Name, Node: node, What: "download", Reason: why, Ways: ways})
		return source{why: fmt.Sprintf("template %s cannot be had: %s", t.Name, why), ways: ways}
	}
	if why, ways := c.cannotStore(t, node); why != "" {
		return block(why, ways...)
	}
	file, present := c.presentFile(t, node)
	var newest proxmox.Appliance
	if !present && t.Appliance != "" {
		list := c.have.Appliances[node]
		if list == nil {
			c.plan.needs.Appliances[node] = true
			return source{volume: t.Volume(file), unknown: true}
		}
		var ok bool
		if newest, ok = newestAppliance(t.Appliance, list); !ok {
			return block(notListed(t.Appliance, list))
		}
		file = newest.File
		present = c.have.Templates[node][t.Volume(file)]
	}
	if present {
		return source{volume: t.Volume(file)}
	}
	lane := Lane{Kind: TemplateKind, Name: t.Name, Ref: proxmox.Ref{Node: node}, Action: Create}
	lane.Steps = []Step{{Op: download(t, file)}}
	if why, ways := c.obstacles(lane, lane.Steps); why != "" {
		return block(why, ways...)
	}
	c.plan.Lanes = append(c.plan.Lanes, lane)
	return source{volume: t.Volume(file), after: []Subject{lane.Subject()}}
}

func download(t *spec.Template, file string) Op {
	switch {
	case t.Image != "":
		return PullImage{Storage: t.Storage, Reference: t.Image, File: file}
	case t.URL != "":
		return DownloadURL{Storage: t.Storage, URL: t.URL, File: file, Checksum: t.Checksum}
	}
	return DownloadAppliance{Storage: t.Storage, File: file}
}

// presentFile is the file of a template on a node. Of an appliance without a version, it is the newest that is
// there: what is there is never replaced.
func (c *computation) presentFile(t *spec.Template, node string) (file string, present bool) {
	if file = t.FileName(); file != "" {
		return file, c.have.Templates[node][t.Volume(file)]
	}
	for _, volume := range slices.Sorted(maps.Keys(c.have.Templates[node])) {
		name, ok := strings.CutPrefix(volume, t.Volume(""))
		if ok && strings.HasPrefix(name, t.Appliance+"_") && (file == "" || compareVersions(name, file) > 0) {
			file = name
		}
	}
	return file, file != ""
}

// newestAppliance finds an appliance in the list of a node, by its file, its package or the beginning of its file,
// which differ for those of TurnKey.
func newestAppliance(name string, list []proxmox.Appliance) (newest proxmox.Appliance, ok bool) {
	for _, a := range list {
		if a.File != name && a.Package != name && !strings.HasPrefix(a.File, name+"_") {
			continue
		}
		if !ok || compareVersions(a.File, newest.File) > 0 {
			newest, ok = a, true
		}
	}
	return newest, ok
}

func notListed(name string, list []proxmox.Appliance) (why, way string) {
	var known []string
	for _, a := range list {
		known = append(known, a.Package, a.File)
	}
	way = "see what there is: pveam update, then pveam available"
	if near := setting.Nearest(name, known); near != "" {
		way = "write the one that there is: " + near
	}
	return fmt.Sprintf("appliance %s is not in the list of the node", name), way
}

// cannotStore says why a template cannot lie where it shall.
func (c *computation) cannotStore(t *spec.Template, node string) (why string, ways []string) {
	var fit []string
	for _, n := range slices.Sorted(maps.Keys(c.have.Storages[node])) {
		if slices.Contains(c.have.Storages[node][n].Content, "vztmpl") {
			fit = append(fit, n)
		}
	}
	use := []string{"write one of: " + join(fit)}
	if len(fit) == 0 {
		use = []string{"let a storage of the node take templates (content vztmpl)"}
	}
	s, ok := c.have.Storages[node][t.Storage]
	switch {
	case !ok:
		return fmt.Sprintf("storage %s does not exist on node %s", t.Storage, node), use
	case !slices.Contains(s.Content, "vztmpl"):
		return fmt.Sprintf("storage %s does not take templates (content vztmpl)", t.Storage), use
	case !s.Active || !s.Enabled:
		return fmt.Sprintf("storage %s is not active on node %s", t.Storage, node), append([]string{"activate it"}, use...)
	}
	return "", nil
}

// resolve finds the volume that a container is made from. A name without a colon is that of a template of the
// spec.
func (c *computation) resolve(w *spec.Container) source {
	name := w.From.Template
	if name == "" {
		name = w.From.Image
	}
	if name == "" || strings.Contains(name, ":") {
		return source{volume: name}
	}
	if c.want.Template(name) == nil {
		return source{why: fmt.Sprintf("there is no template %q in the spec", name), ways: []string{"write a volume, or declare the template"}}
	}
	s, ok := c.sources[name][w.Node]
	if !ok {
		return source{why: fmt.Sprintf("template %s is not for node %s", name, w.Node), ways: []string{"add the node to the template's nodes"}}
	}
	return s
}

// compareVersions compares names with numbers in them, which count as numbers.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		x, y := leadingNumber(a), leadingNumber(b)
		if x != "" && y != "" {
			a, b = a[len(x):], b[len(y):]
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if n := strings.Compare(x, y); n != 0 {
				return n
			}
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func leadingNumber(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
}
