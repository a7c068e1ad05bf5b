// Package byhand says what a person can do as root where tend may not: the commands of the closed list, for the shell.
package byhand

import (
	"fmt"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/reconcile/plan"
)

// Work is what a person can do as root in tend's place.
type Work struct {
	Node  string
	About string   // "101 web"
	Lines []string // what is typed, and where there is no command what is done, as comments
}

// Of is what a plan would have done as root: one entry a container, in the order of the plan. The commands are
// those that the root lane runs, but for the digest: the steps between them change it.
func Of(p *plan.Plan) []Work {
	var out []Work
	for _, l := range p.Lanes {
		w := Work{Node: l.Ref.Node, About: strings.TrimSpace(l.Subject().String() + " " + l.Name)}
		if l.Kind != plan.ContainerKind {
			w.About = l.Subject().String()
		}
		for _, s := range l.Steps {
			if s.Access.Root {
				w.Lines = append(w.Lines, ofStep(l.Ref, s.Op)...)
			}
		}
		if len(w.Lines) > 0 {
			out = append(out, w)
		}
	}
	return out
}

func ofStep(r proxmox.Ref, op plan.Op) []string {
	switch op := op.(type) {
	case plan.CreateContainer:
		p := proxmox.CreateParams{ID: r.ID, Template: op.Template, Pool: op.Pool, Values: op.Values}
		lines := commands(privileged.Create{Node: r.Node, Params: p})
		if len(op.SSHKeys) > 0 {
			lines[0] += " --ssh-public-keys=FILE"
		}
		if !op.Password.IsZero() {
			lines[0] += " --password"
		}
		return lines
	case plan.SetConfig:
		return commands(privileged.SetConfig{Ref: r, Update: proxmox.Update{Set: op.Set, Delete: op.Delete, Revert: op.Revert}})
	case plan.SetRaw:
		return ofRaw(r, op)
	case plan.MountHost:
		return privileged.Runbook(privileged.Mount{Node: r.Node, Owner: op.Owner, Mount: op.Mount})
	case plan.UnmountHost:
		return privileged.Runbook(privileged.Mount{Node: r.Node, Owner: op.Owner, Mount: op.Mount, Absent: true})
	case plan.PutSnippet:
		return privileged.Runbook(privileged.PutSnippet{Node: r.Node, Volume: op.Volume, SHA256: op.SHA256, Content: op.Content})
	case plan.Unlock:
		return privileged.Runbook(privileged.Unlock{Ref: r, Lock: op.Lock})
	}
	return []string{"# " + op.Verb()}
}

// commands are those of a request as a person types them.
func commands(r privileged.Request) []string {
	var out []string
	for _, c := range privileged.Commands(r) {
		var argv []string
		for _, word := range c.Argv {
			if word != "--digest=" { // a person looks first
				argv = append(argv, word)
			}
		}
		c.Argv = argv
		out = append(out, c.String())
	}
	return out
}

// ofRaw says how to edit the configuration file, for which there is no command.
func ofRaw(r proxmox.Ref, op plan.SetRaw) []string {
	file := fmt.Sprintf("/etc/pve/nodes/%s/lxc/%d.conf", r.Node, r.ID)
	if len(op.Lines) == 0 {
		return []string{"# while it is stopped, take all lines lxc.… out of the first section of " + file}
	}
	out := []string{"# while it is stopped, these are to be the only lines lxc.… in the first section of " + file + ":"}
	for _, line := range op.Lines {
		out = append(out, "#   "+line)
	}
	return out
}
