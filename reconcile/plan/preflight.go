package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/property"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// obstacle says why the call of a step would be refused, as far as that can be told beforehand: a privilege that
// the token lacks, a bridge that is not there, a disk that is failing, a storage that is full. "" where nothing is known to be in the way;
// what was not read is in nobody's way, and root lacks no privilege.
func (c *computation) obstacle(s Step, l Lane) (why string, ways []string) {
	op := s.Op
	if c.have.Permissions != nil && !s.Access.Root {
		if lacks := c.have.Permissions.Lacks(c.have.Privileges(op, l)); len(lacks) > 0 {
			return lacking(lacks)
		}
	}
	if why, ways = c.noBridge(op, l.Ref.Node); why != "" {
		return why, ways
	}
	if why, ways = c.onFailingDisk(op, l); why != "" {
		return why, ways
	}
	return c.noRoom(l.Ref.Node, c.have.takes(op, l))
}

// lacking says which privileges are missing, and how a token gets them. They are added to its role: an entry on a
// path takes the place of what comes from above.
func lacking(lacks []proxmox.Privileges) (why string, ways []string) {
	var texts, privs []string
	for _, p := range lacks {
		texts = append(texts, p.String())
		if !slices.Contains(privs, p.AnyOf[0]) {
			privs = append(privs, p.AnyOf[0])
		}
	}
	slices.Sort(privs)
	return "the token lacks " + join(texts), []string{
		fmt.Sprintf("add to the role that the token and its user have there: pveum role modify ROLE --append 1 --privs %q", strings.Join(privs, " ")),
		"tend doctor --role prints the roles and entries that the spec needs",
	}
}

// noBridge says which bridge of an operation the node does not have. A bridge that the token may not use is not
// listed, so that only the lack of one that it may use is told.
func (c *computation) noBridge(op Op, node string) (why string, ways []string) {
	known := c.have.Bridges[node]
	if known == nil {
		return "", nil
	}
	for _, b := range bridgesOf(op) {
		if !known[b] && c.have.Permissions != nil && c.have.Permissions.Allows("/sdn/zones/localnetwork/"+b, "SDN.Use") {
			ways = []string{"make it on node " + node}
			if len(known) > 0 {
				ways = append(ways, "write one of: "+join(slices.Sorted(maps.Keys(known))))
			}
			return fmt.Sprintf("bridge %s does not exist on node %s, or is denied to the token", b, node), ways
		}
	}
	return "", nil
}

// bridgesOf are the bridges that an operation plugs interfaces into.
func bridgesOf(op Op) []string {
	var v proxmox.Values
	switch op := op.(type) {
	case CreateContainer:
		v = op.Values
	case SetConfig:
		v = op.Set
	}
	var out []string
	for _, key := range v.Keys() {
		if _, isNet := setting.Network.Index(key); !isNet {
			continue
		}
		if net, err := property.ParsePairs(v[key], ""); err == nil {
			if b, ok := net.Get("bridge"); ok && !slices.Contains(out, b) {
				out = append(out, b)
			}
		}
	}
	return out
}

// preflightEdit says why an edit of a container would be refused.
func (c *computation) preflightEdit(w *spec.Container, e edit) (why string, ways []string) {
	have := c.have.Containers[w.ID]
	l := Lane{Ref: have.Ref, Base: have.Config}
	for _, op := range e.ops(setting.Protection.Or(have.Current.Record, false)) {
		if why, ways := c.obstacle(Step{Op: op, Access: e.change.Access}, l); why != "" {
			return why, ways
		}
	}
	return "", nil
}

// ops are the calls that an edit leads to.
func (e edit) ops(protected bool) []Op {
	var out []Op
	lift := SetConfig{Set: proxmox.Values{setting.Protection.PVE: ""}}
	switch e.kind {
	case editWait:
		return nil
	case editGrow:
		out = []Op{Resize{Disk: e.key, Size: e.size}}
	case editMove:
		out = []Op{MoveVolume{Disk: e.key, Storage: e.value}}
	case editRaw:
		out = []Op{setRaw(e)}
	case editFree:
	case editDelete, editRevert:
		out = []Op{SetConfig{Delete: []string{e.key}}}
	case editNet:
		if e.value == "" {
			out = []Op{SetConfig{Delete: []string{e.key}}}
			break
		}
		fallthrough
	default:
		out = []Op{SetConfig{Set: proxmox.Values{e.key: e.value}}}
	}
	if e.frees != "" {
		out = append(out, DestroyVolume{e.frees})
	}
	if protected && (e.frees != "" || isVolumeKey(e.key) && e.kind != editGrow) {
		out = append(out, lift)
	}
	return out
}

// powerless reports whether the power state of a container may not be changed: it is the high availability
// manager's, or the token has no right to. What is due is then blocked.
func (c *computation) powerless(w *spec.Container, id proxmox.VMID, due string) bool {
	if c.leftToHA(w, id, due) {
		return true
	}
	why, ways := c.obstacle(Step{Op: Start{}}, Lane{Ref: proxmox.Ref{Node: w.Node, ID: id}})
	if why != "" {
		c.block(Blocked{ID: w.ID, Name: w.Name, What: due, Reason: why, Ways: ways})
	}
	return why != ""
}

// preflight blocks lanes that are done as a whole or not at all, of which a call would be refused: creates,
// migrations, recreates and destroys. Changes are looked at one by one before. A create is made without its start
// where only that is refused, since the container is then as it shall be but for its power.
func (c *computation) preflight() {
	var kept []Lane
	for _, l := range c.plan.Lanes {
		if l.Kind != ContainerKind || l.Action == Change && !l.whole() {
			kept = append(kept, l)
			continue
		}
		steps := len(l.Steps)
		if steps == 0 {
			continue
		}
		_, starts := l.Steps[steps-1].Op.(Start)
		if starts {
			steps--
		}
		why, ways := c.obstacles(l, l.Steps[:steps])
		if why != "" {
			c.block(Blocked{ID: l.Ref.ID, Name: l.Name, What: l.what(), Reason: why, Ways: ways})
			continue
		}
		if starts {
			if why, ways := c.obstacles(l, l.Steps[steps:]); why != "" {
				c.block(Blocked{ID: l.Ref.ID, Name: l.Name, What: "start", Reason: why, Ways: ways})
				l.Steps = l.Steps[:steps]
			}
		}
		kept = append(kept, l)
	}
	c.plan.Lanes = kept
	c.warnOfSpace()
}

// obstacles says why one of several steps would be refused.
func (c *computation) obstacles(l Lane, steps []Step) (why string, ways []string) {
	for _, s := range steps {
		if why, ways := c.obstacle(s, l); why != "" {
			return why, ways
		}
	}
	return "", nil
}

// whole reports whether a change is done as a whole or not at all.
func (l Lane) whole() bool {
	return slices.ContainsFunc(l.Steps, func(s Step) bool {
		switch s.Op.(type) {
		case Migrate, RestoreOver:
			return true
		}
		return false
	})
}

// what names a lane for those who ask what is blocked.
func (l Lane) what() string {
	for _, s := range l.Steps {
		switch s.Op.(type) {
		case Migrate:
			return "migrate"
		case RestoreOver:
			return "recreate"
		}
	}
	return l.Action.String()
}

// preflightNeeds adds what must be read to look a plan over: the token's privileges where a refusal would leave
// something half done, or where the plan is to be shown; bridges where interfaces are plugged in; storages where
// volumes grow or move.
func (p *Plan) preflightNeeds(have *Live, n *Needs) {
	n.Bridges = map[string]bool{}
	for _, b := range p.Blocked { // what is missing may only be out of the token's sight
		n.Permissions = n.Permissions || have.Permissions == nil && b.What == Create.String()
	}
	for _, l := range p.Lanes {
		n.Permissions = n.Permissions || have.Permissions == nil && (have.Shown || !harmless(l))
		for _, s := range l.Steps {
			if len(bridgesOf(s.Op)) > 0 && have.Bridges[l.Ref.Node] == nil {
				n.Bridges[l.Ref.Node] = true
			}
			switch s.Op.(type) {
			case Resize, MoveVolume, CloneContainer, RestoreOver:
				if have.Storages[l.Ref.Node] == nil {
					n.Storages[l.Ref.Node] = true
				}
			}
		}
	}
}

// harmless says of a lane that it is one change of settings: should it be refused, nothing was done, and the
// answer names the privilege.
func harmless(l Lane) bool {
	if len(l.Steps) != 1 {
		return false
	}
	op, ok := l.Steps[0].Op.(SetConfig)
	return ok && len(bridgesOf(op)) == 0 && !slices.ContainsFunc(slices.Concat(op.Set.Keys(), op.Delete), isVolumeKey)
}
