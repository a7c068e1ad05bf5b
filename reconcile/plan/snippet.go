package plan

import (
	"fmt"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
)

// snippets plans the snippets of the spec, on each node that shall have them, before the containers that name them.
func (c *computation) snippets() {
	c.scripts = map[string]map[string]mountState{}
	for _, s := range c.want.Snippets {
		c.scripts[s.Name] = map[string]mountState{}
		for _, node := range SnippetNodes(c.want, s) {
			c.scripts[s.Name][node] = c.snippet(s, node)
		}
	}
}

// SnippetNodes are the nodes that shall have a snippet: those that it names, or those of the containers that name it.
func SnippetNodes(want *spec.State, s *spec.Snippet) []string {
	nodes := slices.Clone(s.Nodes)
	if len(nodes) == 0 {
		for _, w := range want.Containers {
			if want.Script(w) == s && w.Node != "" {
				nodes = append(nodes, w.Node)
			}
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// snippet plans one snippet on one node.
func (c *computation) snippet(s *spec.Snippet, node string) mountState {
	block := func(why string, ways ...string) mountState {
		c.block(Blocked{Kind: SnippetKind, Name: s.Name, Node: node, What: "put", Reason: why, Ways: ways})
		return mountState{why: fmt.Sprintf("snippet %s is not there: %s", s.Name, why)}
	}
	have, read := c.have.Snippets[node][s.Volume()]
	switch {
	case !c.have.Nodes[node]:
		return block(fmt.Sprintf("node %s does not exist or is offline", node), "correct the node", "bring the node back")
	case c.barred(snippetAccess, node):
		block(c.noRootHere("whether it is there is not known, for only root on the node can read and put it", node), c.rootWays(node)...)
		return mountState{}
	case c.have.HostMountsBroken[node] != nil:
		return block(c.have.HostMountsBroken[node].Error(), "see what keeps root on the node from reading them")
	case have.Broken != "":
		return block(have.Broken, "see whether storage "+s.Storage+" is there and takes snippets")
	case read && have.SHA256 == s.SHA256() && have.Executable:
		return mountState{}
	}
	lane := Lane{Kind: SnippetKind, Name: s.Name, Ref: proxmox.Ref{Node: node}, Action: Create}
	cause := ""
	if read && have.SHA256 != "" {
		lane.Action, cause = Change, "its content is another"
		if have.SHA256 == s.SHA256() {
			cause = "it is not executable"
		}
	}
	lane.Steps = []Step{{Op: PutSnippet{Volume: s.Volume(), SHA256: s.SHA256(), Content: s.Content}, Access: snippetAccess, Cause: cause}}
	c.plan.Lanes = append(c.plan.Lanes, lane)
	return mountState{after: []Subject{lane.Subject()}}
}
